"""A publish as middleware sees it."""

from __future__ import annotations

from dataclasses import dataclass, field

from nsqclient.durations import Seconds


@dataclass(slots=True)
class Outgoing:
    """What is about to be published. Middleware may change all of it before it goes on."""

    topic: str
    """Where it goes."""
    value: object
    """Not encoded yet."""
    headers: dict[str, str] = field(default_factory=dict)
    """What goes along; to be added to."""
    key: str | None = None
    """Names the message itself, whatever its node and ID: for dropping duplicates."""
    delay: Seconds | None = None
    """Keeps it from consumers for so long."""
    timeout: Seconds | None = None
    """None: the producer's."""
    note: object = None
    """The caller's own, returned with the report."""
    propagate_deadline: bool | None = None
    """Whether the scope's deadline travels along; None: as the scope says."""
    carries_headers: bool = False
    """Whether the producer can send headers. When it can't, setting some is an error."""
    count: int = 1
    """Messages: more than one when ``value`` is a list of them, published together."""
