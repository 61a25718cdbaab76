"""What a bridge counts, and the page that Prometheus reads."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields


@dataclass(slots=True)
class Counters:
    """Totals since the start."""

    connections_total: int = 0
    rejected_total: int = 0
    """Connections that were not let in: origin, limits, token."""
    received_total: int = 0
    """Messages from NSQ."""
    pushed_total: int = 0
    """Messages to browsers, each browser counted."""
    acked_total: int = 0
    nacked_total: int = 0
    timed_out_total: int = 0
    """Messages that a browser did not answer in time."""
    dropped_total: int = 0
    """Messages that a slow connection did not get."""
    returned_total: int = 0
    """Messages handed back to nsqd."""
    given_up_total: int = 0
    """Messages handed back too often, and finished for that."""
    finished_early_total: int = 0
    """Messages finished before all browsers had answered, as too many were waiting."""
    unaddressed_total: int = 0
    """Messages of a user topic that name no user."""
    absent_total: int = 0
    """Messages for users, or of topics, that nobody here listens to."""
    closed: Counter[int] = field(default_factory=Counter)
    """Connections closed by the bridge, by code."""


def page(counters: Counters, gauges: dict[str, float]) -> str:
    """All of it in Prometheus's text format."""
    lines = []
    for name, value in gauges.items():
        lines += [f"# TYPE nsq_push_{name} gauge", f"nsq_push_{name} {value:g}"]
    for f in fields(counters):
        if f.name != "closed":
            lines += [f"# TYPE nsq_push_{f.name} counter", f"nsq_push_{f.name} {getattr(counters, f.name)}"]
    lines.append("# TYPE nsq_push_closed_total counter")
    lines += [f'nsq_push_closed_total{{code="{code}"}} {n}' for code, n in sorted(counters.closed.items())]
    return "\n".join(lines) + "\n"
