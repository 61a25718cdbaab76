"""One connection's side of the protocol: what has been agreed, and what may be sent now. No I/O.

Theory of operation: a connection opens, identifies itself, adds the layers that were agreed, shows its
secret if nsqd wants one, and may then publish. SUB turns it into a
consumer's for good: nsqd accepts RDY, FIN, REQ and TOUCH only after it. CLS stops deliveries, while
messages held may still be answered. After a fatal error frame nsqd reads nothing any more, whatever was
sent; only the answers to FIN, REQ and TOUCH are errors that the connection survives.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Self


class Phase(Enum):
    """How far the dialogue has come."""

    OPEN = "open"
    IDENTIFYING = "identifying"
    IDENTIFIED = "identified"
    UPGRADING = "upgrading"
    """A layer was added: TLS or compression, which nsqd confirms in it."""
    AUTHENTICATING = "authenticating"
    SUBSCRIBING = "subscribing"
    SUBSCRIBED = "subscribed"
    CLOSING = "closing"
    """After CLS."""
    DEAD = "dead"


class Event(Enum):
    """What moves it: commands by their verbs, and what arrives.

    FIN, REQ and TOUCH are not among them. They are sent for each message, and a message that is held
    proves that they are in order.
    """

    IDENTIFY = "IDENTIFY"
    TLS = "TLS"
    COMPRESSION = "compression"
    AUTH = "AUTH"
    PUB = "PUB"
    SUB = "SUB"
    RDY = "RDY"
    CLS = "CLS"
    ANSWER = "an answer"
    MESSAGE = "a message"
    END = "the end"


_NEXT: dict[Phase, dict[Event, Phase]] = {
    Phase.OPEN: {Event.IDENTIFY: Phase.IDENTIFYING},
    Phase.IDENTIFYING: {Event.ANSWER: Phase.IDENTIFIED},
    Phase.IDENTIFIED: {
        Event.TLS: Phase.UPGRADING,
        Event.COMPRESSION: Phase.UPGRADING,
        Event.AUTH: Phase.AUTHENTICATING,
        Event.PUB: Phase.IDENTIFIED,
        Event.SUB: Phase.SUBSCRIBING,
    },
    Phase.UPGRADING: {Event.ANSWER: Phase.IDENTIFIED},
    Phase.AUTHENTICATING: {Event.ANSWER: Phase.IDENTIFIED},
    Phase.SUBSCRIBING: {Event.ANSWER: Phase.SUBSCRIBED},
    Phase.SUBSCRIBED: {
        Event.RDY: Phase.SUBSCRIBED,
        Event.MESSAGE: Phase.SUBSCRIBED,
        Event.CLS: Phase.CLOSING,
    },
    Phase.CLOSING: {Event.MESSAGE: Phase.CLOSING},
    Phase.DEAD: {},
}
"""END leads to DEAD from everywhere, and is not repeated here."""


class OutOfTurn(Exception):
    """Something happened that the protocol does not have at this point."""


def advance(phase: Phase, event: Event) -> Phase:
    """The phase after ``event``; raises OutOfTurn, which names both."""
    if event is Event.END:
        return Phase.DEAD
    after = _NEXT[phase].get(event)
    if after is None:
        raise OutOfTurn(f"{event.value} in phase {phase.value}")
    return after


@dataclass(frozen=True, slots=True)
class Agreement:
    """What nsqd answered to IDENTIFY; seconds, counts."""

    version: str = ""
    """Of nsqd, as ``1.3.0``."""
    max_rdy_count: int = 2500
    """The most messages that it lets one consumer have under way."""
    msg_timeout: float = 60.0
    """How long a message may stay unanswered."""
    max_msg_timeout: float = 900.0
    """How long at most, with TOUCH."""
    auth_required: bool = False
    """Whether it wants a secret."""
    tls: bool = False
    """Whether the connection is encrypted."""
    snappy: bool = False
    """Whether it is compressed so."""
    deflate: bool = False
    """Whether it is compressed so."""
    deflate_level: int = 6
    """From 1 (fast) to 9 (small)."""
    sample_rate: int = 0
    """The percentage of messages that is received; 0 is all of them."""
    max_msg_size: int | None = None
    """Bytes; None where nsqd does not announce it, as the original does not."""

    @classmethod
    def from_answer(cls, data: bytes) -> Self:
        """Reads the answer; a nsqd that negotiates nothing says ``OK``, which means the defaults."""
        said, unsaid = _read_object(data), cls()
        level = _count(said.get("deflate_level"))
        return cls(
            version=_text(said.get("version")),
            max_rdy_count=_count(said.get("max_rdy_count")) or unsaid.max_rdy_count,
            msg_timeout=_count(said.get("msg_timeout")) / 1000 or unsaid.msg_timeout,
            max_msg_timeout=_count(said.get("max_msg_timeout")) / 1000 or unsaid.max_msg_timeout,
            auth_required=said.get("auth_required") is True,
            tls=said.get("tls_v1") is True,
            snappy=said.get("snappy") is True,
            deflate=said.get("deflate") is True,
            deflate_level=level if 1 <= level <= 9 else unsaid.deflate_level,
            sample_rate=_count(said.get("sample_rate")),
            max_msg_size=_count(said.get("max_msg_size")) or None,
        )


@dataclass(frozen=True, slots=True)
class Identity:
    """Who nsqd takes us for, once it has accepted our secret."""

    name: str = ""
    url: str = ""
    """Where the auth server says more about it."""
    permission_count: int = 0

    @classmethod
    def from_answer(cls, data: bytes) -> Self:
        """Reads the answer to AUTH."""
        said = _read_object(data)
        return cls(
            _text(said.get("identity")), _text(said.get("identity_url")), _count(said.get("permission_count"))
        )


_MOST = 1 << 53
"""No count is larger: what comes from a peer is divided and added to a clock."""


def _read_object(data: bytes) -> dict[str, object]:
    """The JSON object that ``data`` is; an empty one for anything else."""
    try:
        said = json.loads(data)
    except (ValueError, RecursionError):  # the latter for a text of brackets
        return {}
    return said if isinstance(said, dict) else {}


def _count(value: object) -> int:
    """0 for what is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _MOST else 0


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


class Refusal(NamedTuple):
    """An error frame."""

    code: str
    """Such as ``E_BAD_TOPIC``."""
    text: str
    """The whole of it, for people."""
    message_id: bytes
    """Which message a failed FIN, REQ or TOUCH was about; empty for other errors."""

    @property
    def about_auth(self) -> bool:
        """Whether it is the secret that won't do, or what it permits."""
        return self.code.startswith("E_AUTH_") or self.code == "E_UNAUTHORIZED"

    @property
    def fatal(self) -> bool:
        """Whether nsqd closes the connection, and has read nothing after what it refuses."""
        return self.code not in _SURVIVED


_SURVIVED = {"E_FIN_FAILED", "E_REQ_FAILED", "E_TOUCH_FAILED"}
_ABOUT = re.compile(rb"E_\w+_FAILED \w+ ([0-9a-f]{16}) failed")


def read_refusal(data: bytes) -> Refusal:
    """Reads the data of an error frame."""
    text = data.decode("utf-8", "replace")
    about = _ABOUT.match(data)
    return Refusal(text.partition(" ")[0], text, about[1] if about else b"")
