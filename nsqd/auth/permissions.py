"""What an auth server allows a client: its answer, checked, and the question whether a command may pass.

Pure: the clock, the sockets and the client are elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeVar

from nsqcore.golang import go_key
from nsqcore.patterns import Pattern, PatternError, compiled

PUBLISH, SUBSCRIBE = "publish", "subscribe"
LONGEST_TTL_S = 365 * 86400
"""Longer times to live are cut: timers take no more, and no connection lives so long."""
_REMEMBERED = 1000  # decisions
V = TypeVar("V", str, int)


class BadAnswer(Exception):
    """The auth server's answer is not what it has to be; the text says why."""


@dataclass(frozen=True, slots=True)
class Authorization:
    """One entry of the answer: these permissions on these channels of these topics."""

    topic: Pattern
    channels: tuple[Pattern, ...]
    permissions: frozenset[str]

    def allows(self, permission: str, topic: str, channel: str) -> bool:
        """Whether this entry alone allows it. Publishing is to the channel "": a pattern has to match that too."""
        return (
            permission in self.permissions
            and self.topic.found_in(topic)
            and any(pattern.found_in(channel) for pattern in self.channels)
        )


@dataclass(slots=True)
class Permissions:
    """All that one answer allows, for ``ttl`` seconds."""

    ttl: float
    identity: str
    identity_url: str
    authorizations: tuple[Authorization, ...]
    _decided: dict[tuple[str, str, str], bool] = field(default_factory=dict)

    def allow(self, command: str, topic: str, channel: str = "") -> bool:
        """Whether a command may pass: SUB needs ``subscribe``, all others ``publish``."""
        asked = (SUBSCRIBE if command == "SUB" else PUBLISH, topic, channel)
        allowed = self._decided.get(asked)
        if allowed is None:
            allowed = any(entry.allows(*asked) for entry in self.authorizations)
            if len(self._decided) >= _REMEMBERED:
                self._decided.clear()
            self._decided[asked] = allowed
        return allowed


def parse(answer: object) -> Permissions:
    """The permissions of a decoded JSON answer; raises BadAnswer.

    As Go decodes it: keys in any letter case, ``null`` as if absent, numbers whole, other keys ignored.
    """
    fields = _fields(answer)
    ttl = _value(fields, "ttl", 0)
    authorizations = tuple(_authorization(entry) for entry in _list(fields, "authorizations"))
    if ttl <= 0:
        raise BadAnswer(f"invalid TTL {ttl} (must be >0)")
    return Permissions(
        ttl=min(ttl, LONGEST_TTL_S),
        identity=_value(fields, "identity", ""),
        identity_url=_value(fields, "identity_url", ""),
        authorizations=authorizations,
    )


def _authorization(entry: object) -> Authorization:
    fields = _fields(entry)
    permissions = [_text(each) for each in _list(fields, "permissions")]
    for permission in permissions:
        if permission not in (PUBLISH, SUBSCRIBE):
            raise BadAnswer(f"unknown permission {permission}")
    return Authorization(
        _pattern("topic", _value(fields, "topic", "")),
        tuple(_pattern("channel", _text(each)) for each in _list(fields, "channels")),
        frozenset(permissions),
    )


def _pattern(what: str, text: str) -> Pattern:
    try:
        return compiled(text)
    except PatternError as e:
        raise BadAnswer(f'unable to compile {what} "{text}" error parsing regexp: {e}') from None


def _fields(value: object) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadAnswer(f"expected a JSON object, not {type(value).__name__}")
    return {go_key(key): item for key, item in value.items() if item is not None}


def _value(fields: dict[str, Any], key: str, default: V) -> V:
    value = fields.get(key, default)
    if type(value) is not type(default):
        raise BadAnswer(f"{key} is not of type {type(default).__name__}")
    return value


def _text(value: object) -> str:
    if value is not None and not isinstance(value, str):
        raise BadAnswer(f"expected text, not {type(value).__name__}")
    return value or ""


def _list(fields: dict[str, Any], key: str) -> list[object]:
    value = fields.get(key, [])
    if not isinstance(value, list):
        raise BadAnswer(f"{key} is not a list")
    return value
