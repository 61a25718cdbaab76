"""What a publish takes along from the scope around it, and what a consumer makes of that.

Deadlines travel as a remaining time, to be added to nsqd's own timestamp of the message: so the clock of the
publisher does not matter, only those of nsqd and the consumer, for which there is a tolerance.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextvars import Context, copy_context
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from nsqclient.content.outgoing import Outgoing
from nsqclient.content.scope import DEADLINE, Elsewhere, received_scope, surroundings, within
from nsqclient.durations import to_seconds
from nsqclient.errors import ConfigError

MESSAGE_KEY = "message-key"
CONTENT_TYPE = "content-type"
SENT_AT = "sent-at"
DEADLINE_MS = "deadline-ms"
VALUE = "value-"
"""Before the names of propagated values."""

TOLERANCE = 0.5
"""Seconds that the clocks of nsqd and consumer may differ before a message expires too early."""
LONGEST_MS = 10**12
"""No deadline is further away than some thirty years; more is no deadline."""

_declared: set[str] = set()


def propagate(*names: str) -> None:
    """Declares scope values that travel with every publish inside the scope; all others stay at home.

    For the whole process, once, mostly at import. What travels must be text. Raises ConfigError for an
    empty name.
    """
    for name in names:
        if not name:
            raise ConfigError("a propagated value has a name")
    _declared.update(names)


def insists(propagate_deadline: bool | None) -> str:
    """Why a publish made here must have headers, for an error's text; empty if it may do without."""
    state = surroundings.get()
    names = state.insists & _declared
    if names:
        return f"values of the scope that are to travel ({', '.join(sorted(names))})"
    wanted = DEADLINE in state.insists if propagate_deadline is None else propagate_deadline
    if wanted and state.deadline is not None:
        return "the scope's deadline that is to travel"
    return ""


def stamp(outgoing: Outgoing) -> float | None:
    """Adds what the caller's scope says to the headers; those that were given win.

    Returns the deadline that is to travel, on the event loop's clock, or None. It is no header yet, as it is
    stamped anew whenever the message is sent: see :func:`deadline_header`.
    Raises ConfigError for a declared value that is not text.
    """
    headers = outgoing.headers
    if outgoing.key is not None:
        headers.setdefault(MESSAGE_KEY, outgoing.key)
    state = surroundings.get()
    for name in state.values.keys() & _declared:
        value = state.values[name]
        if not isinstance(value, str):
            raise ConfigError(f"the scope's {name!r} is to travel, so it must be text, not {value!r}")
        headers.setdefault(VALUE + name, value)
    wanted = outgoing.propagate_deadline
    return state.deadline if (state.propagate_deadline if wanted is None else wanted) else None


def deadline_header(deadline: float, now: float, outgoing: Outgoing) -> str:
    """The value of ``deadline-ms`` for an attempt that is made now: both on the event loop's clock.

    A delay is added: nsqd's timestamp is from before it, and the receiver is not to lose that time.
    """
    delay = 0.0 if outgoing.delay is None else to_seconds(outgoing.delay)
    return str(max(0, int((deadline - now + delay) * 1000)))


def sent_at(wall: float) -> str:
    """The value of ``sent-at``, from Unix seconds: for people, as it depends on the sender's clock."""
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds")


@dataclass(frozen=True, slots=True)
class Received:
    """What a message brought along from its sender's scope."""

    values: Mapping[str, str] = field(default_factory=dict)
    expires_at: float | None = None
    """Unix seconds on nsqd's clock, tolerance included; None when the sender asked for no deadline."""

    def expired(self, wall: float) -> bool:
        """Whether the deadline has passed, at these Unix seconds."""
        return self.expires_at is not None and wall > self.expires_at

    def deadline(self, now: float, wall: float) -> float | None:
        """When it expires on the event loop's clock; given is one moment there and in Unix seconds."""
        return None if self.expires_at is None else now + (self.expires_at - wall)

    def scope(self, now: float, wall: float) -> received_scope:
        """The scope for working on it, which enforces the deadline; for code that nothing else limits."""
        return received_scope(self.deadline(now, wall), self.values)


NOTHING = Received()


def handling_context(brought: Received = NOTHING, deadline: float | None = None) -> Context:
    """A copy of the current context for working on one message: its sender's scope, and no other.

    For whoever enforces the ``deadline`` (on the event loop's clock) himself, on the current task. What is published inside carries
    the values that are declared here and the deadline on, where the producer can send headers.
    """
    context = copy_context()
    state = within(deadline, brought.values)
    if deadline is not None:  # scopes inside need not enforce it once more
        state = replace(state, enforced=((asyncio.current_task(), Elsewhere(deadline)),))
    context.run(surroundings.set, state)
    return context


def read(headers: Mapping[str, str], timestamp_ns: int, tolerance: float = TOLERANCE) -> Received:
    """Understands a message's headers; a deadline that is no number of milliseconds is none."""
    values = {name[len(VALUE) :]: text for name, text in headers.items() if name.startswith(VALUE)}
    text = headers.get(DEADLINE_MS, "")
    if not (text.isascii() and text.isdigit() and len(text) <= 13 and int(text) <= LONGEST_MS):
        return Received(values)
    return Received(values, timestamp_ns / 1e9 + int(text) / 1000 + tolerance)
