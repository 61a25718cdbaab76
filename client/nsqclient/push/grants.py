"""What a token's bearer may do: who it is, which topics it may hear, and until when. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import re2

BROADCAST = "push#ephemeral"
"""The channel that stands, in permissions, for hearing a topic together with all others."""
SUBSCRIBE = "subscribe"
MOST_PATTERN = 10_000
"""Characters of one pattern."""


class Denied(Exception):
    """The token is not good; the text is for the log, never for the bearer."""


class Unavailable(Exception):
    """Nobody could be asked whether the token is good."""


class BadGrant(ValueError):
    """An auth server's answer, or a token's claims, are not what they have to be."""


@lru_cache(maxsize=4096)
def _compiled(text: str) -> Any:
    """RE2 takes time in proportion to the name, whatever the pattern is; nsqd reads patterns with it too."""
    if len(text) > MOST_PATTERN:
        raise BadGrant("a pattern is too large")
    options = re2.Options()
    options.log_errors = False  # else it writes to stderr by itself
    try:
        return re2.compile(text, options)
    except (re2.error, UnicodeEncodeError):
        raise BadGrant("a pattern does not compile") from None


@dataclass(frozen=True, slots=True)
class Permission:
    """Patterns that are found anywhere in the names of topics and channels, as in nsqd's AUTH."""

    topic: str
    """A pattern."""
    channels: tuple[str, ...]
    """Patterns."""

    def __post_init__(self) -> None:
        for pattern in (self.topic, *self.channels):
            _compiled(pattern)

    def allows(self, topic: str, channel: str) -> bool:
        """Whether both are matched."""
        return _compiled(self.topic).search(topic) is not None and any(
            _compiled(pattern).search(channel) is not None for pattern in self.channels
        )


@dataclass(frozen=True, slots=True)
class Grant:
    """What is known of a connection once its token was checked."""

    user: str
    """Whom messages are addressed to; not empty."""
    permissions: tuple[Permission, ...] = ()
    """What may be heard beside the user's own messages."""
    ttl: float | None = None
    """Seconds until it has to be checked again; None is never."""

    def may_subscribe(self, topic: str, channel: str) -> bool:
        """To a channel of its own name, or to all messages of a topic when ``channel`` is empty."""
        return any(permission.allows(topic, channel or BROADCAST) for permission in self.permissions)


class Authenticator(Protocol):
    """Checks tokens."""

    async def check(self, token: str, *, remote_ip: str, tls: bool) -> Grant:
        """What the bearer may do; raises Denied and Unavailable."""

    async def close(self) -> None:
        """Ends what it has open."""


def read_permissions(entries: object) -> tuple[Permission, ...]:
    """The ``authorizations`` of nsqd's AUTH that allow to subscribe; raises BadGrant."""
    if entries is None:
        return ()
    if not isinstance(entries, list):
        raise BadGrant("authorizations are not a list")
    found = []
    for entry in entries:
        if not isinstance(entry, Mapping):
            raise BadGrant("an authorization is not an object")
        topic = entry.get("topic", "")
        channels, permissions = _texts(entry.get("channels")), _texts(entry.get("permissions"))
        if not isinstance(topic, str):
            raise BadGrant("an authorization's topic is not text")
        if SUBSCRIBE in permissions:
            found.append(Permission(topic, channels))
    return tuple(found)


def read_answer(answer: object) -> Grant:
    """The answer of a nsqd auth server; raises BadGrant."""
    if not isinstance(answer, Mapping):
        raise BadGrant("the answer is not an object")
    ttl, user = answer.get("ttl"), answer.get("identity")
    if not isinstance(ttl, int) or isinstance(ttl, bool) or ttl <= 0:
        raise BadGrant("the ttl is not a positive whole number")
    if not isinstance(user, str) or not user:
        raise BadGrant("there is no identity, so it can't be told whose connection this is")
    return Grant(user, read_permissions(answer.get("authorizations")), float(ttl))


def _texts(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise BadGrant("an authorization's channels and permissions are lists of text")
    return tuple(value)
