"""The protocol ``nsq.v1`` between browser and bridge: JSON texts, one per WebSocket message. Pure.

Browser to bridge: ``{"op": ...}``. Bridge to browser: ``{"type": ...}``.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from nsqcore.names import valid_name

SUBPROTOCOL = "nsq.v1"
TOKEN_PREFIX = "nsq.token."
"""A further subprotocol that carries the token, base64url without padding."""
MOST_SEQS = 1000
"""Messages that one acknowledgement may name."""
MOST_REF = 64
"""Characters of a ``ref``."""


class Close(IntEnum):
    """Why the bridge closes a connection; a browser sees the number."""

    GOING_AWAY = 1001
    """The bridge is shut down: connect again, to another one."""
    TRY_LATER = 1013
    """The auth service does not answer, or the bridge is full."""
    TOO_SLOW = 4008
    """Too many messages were not acknowledged, or nothing was read for too long."""
    BAD_REQUEST = 4400
    """What was sent is not this protocol."""
    UNAUTHORIZED = 4401
    """No token, a bad one, or one that has expired: get another."""
    TOO_MANY = 4409
    """The user has too many connections."""
    RATE = 4429
    """Too much was sent."""


class BadRequest(ValueError):
    """A browser sent what is not this protocol; the text tells it what."""


@dataclass(frozen=True, slots=True)
class Auth:
    """Shows a token: first thing, or again before the old one expires."""

    token: str


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Asks for a topic's messages: all of them, or, with a channel, a share of the work."""

    topic: str
    channel: str
    max: int
    """Messages of the channel at a time."""
    ref: str


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """Ends a subscription."""

    topic: str
    channel: str
    ref: str


@dataclass(frozen=True, slots=True)
class Settle:
    """Answers messages: ``ack``, ``nack`` or ``touch``."""

    verb: str
    seqs: tuple[int, ...]
    delay: float | None
    """Of a nack: seconds until the message comes again."""


@dataclass(frozen=True, slots=True)
class Ping:
    """Asks for a ``pong``: scripts in browsers can't send the protocol's own pings."""

    ref: str


Command = Auth | Subscribe | Unsubscribe | Settle | Ping


def parse(text: str) -> Command:
    """What a browser wants; raises BadRequest, and nothing else, for any text."""
    try:
        data = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise BadRequest("not JSON") from None
    if not isinstance(data, dict):
        raise BadRequest("not a JSON object")
    op = data.get("op")
    if op in ("ack", "nack", "touch"):
        return Settle(op, _seqs(data), _delay(data) if op == "nack" else None)
    if op == "auth":
        token = data.get("token")
        if not isinstance(token, str) or not _is_sound(token):
            raise BadRequest("auth without a token")
        return Auth(token)
    if op == "subscribe":
        topic, channel = _names(data)
        count = data.get("max", 1)
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise BadRequest("max is a whole number, 1 or more")
        return Subscribe(topic, channel, count, _ref(data))
    if op == "unsubscribe":
        return Unsubscribe(*_names(data), _ref(data))
    if op == "ping":
        return Ping(_ref(data))
    raise BadRequest("unknown op")


def _no_constant(text: str) -> None:
    raise ValueError(text)  # Infinity and NaN are not JSON


def _is_sound(text: str) -> bool:
    """Whether it can be sent on: JSON can spell halves of characters, which no encoding has."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _names(data: dict[str, Any]) -> tuple[str, str]:
    topic, channel = data.get("topic"), data.get("channel") or ""
    if not isinstance(topic, str) or not valid_name(topic):
        raise BadRequest("topic is not a valid name")
    if not isinstance(channel, str) or (channel and not valid_name(channel)):
        raise BadRequest("channel is not a valid name")
    return topic, channel


def _seqs(data: dict[str, Any]) -> tuple[int, ...]:
    seqs = data.get("seq")
    many = seqs if isinstance(seqs, list) else [seqs]
    if len(many) > MOST_SEQS or not all(isinstance(n, int) and not isinstance(n, bool) for n in many):
        raise BadRequest(f"seq is a number, or a list of at most {MOST_SEQS}")
    return tuple(many)


def _delay(data: dict[str, Any]) -> float | None:
    delay = data.get("delay")
    if delay is None:
        return None
    if not isinstance(delay, int | float) or isinstance(delay, bool) or not 0 <= delay <= 3600:
        raise BadRequest("delay is a number of seconds, 0 to 3600")
    return float(delay)


def _ref(data: dict[str, Any]) -> str:
    ref = data.get("ref", "")
    if not isinstance(ref, str) or len(ref) > MOST_REF or not _is_sound(ref):
        raise BadRequest(f"ref is a text of at most {MOST_REF} characters")
    return ref


def encode(kind: str, **members: object) -> str:
    """A text for the browser; members that are empty are left out."""
    given = {name: value for name, value in members.items() if value not in ("", None)}
    return json.dumps({"type": kind, **given}, ensure_ascii=False, separators=(",", ":"))


def message_tail(
    kind: str, id_text: str, topic: str, channel: str, attempts: int, timestamp_ns: int, body: bytes
) -> str:
    """What all receivers of a message get, to be completed by :func:`message_frame`."""
    members: dict[str, object] = {
        "kind": kind,
        "id": id_text,
        "topic": topic,
        "channel": channel,
        "attempts": attempts,
        "timestamp": timestamp_ns / 1e6,
    }
    if not channel:
        del members["channel"]
    try:
        members["body"] = body.decode()
    except UnicodeDecodeError:
        members["body64"] = base64.b64encode(body).decode()
    return json.dumps(members, ensure_ascii=False, separators=(",", ":"))[1:]


def message_frame(seq: int, tail: str) -> str:
    """A message for one connection, which answers it by ``seq``."""
    return f'{{"type":"message","seq":{seq},{tail}'


def token_of_protocols(offered: str) -> str:
    """The token in a ``Sec-WebSocket-Protocol`` header; empty when there is none, or a broken one."""
    for name in offered.split(","):
        name = name.strip()
        if name.startswith(TOKEN_PREFIX):
            coded = name.removeprefix(TOKEN_PREFIX)
            try:
                return base64.b64decode(
                    coded + "=" * (-len(coded) % 4), altchars=b"-_", validate=True
                ).decode()
            except ValueError:
                return ""
    return ""
