"""The charts that pages share: which figures stand together, and what they are called."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from nsqadmin.cluster.model import Queue
from nsqadmin.history.series import History, Key, Metric
from nsqadmin.web.charts import Line, chart

POINTS = 120
PERIODS = {"15m": 900.0, "1h": 3600.0, "6h": 21600.0, "12h": 43200.0}
"""What visitors may choose, in seconds."""
USUAL = "1h"


def period_of(text: str) -> str:
    """The period that an address asks for; the usual one for what is none."""
    return text if text in PERIODS else USUAL


def quantiles_of(queues: Sequence[Queue]) -> list[float]:
    """The latency columns: every quantile that some queue has, highest first."""
    return sorted({p.quantile for queue in queues for p in queue.latency.percentiles}, reverse=True)


class Pictures:
    """Charts of one thing over the last ``seconds``."""

    def __init__(self, history: History, key: Key, seconds: float) -> None:
        self.history = history
        self.key = key
        self.seconds = seconds

    def _line(self, label: str, look: str, metric: Metric) -> Line:
        return Line(label, look, self.history.series(self.key, metric, self.seconds, POINTS))

    def messages(self) -> Markup:
        """What comes in and what goes out."""
        note = "each channel finishes its own copy" if self.key.kind != "channel" else ""
        lines = [
            self._line("published", "published", Metric.PUBLISHED),
            self._line("finished", "finished", Metric.FINISHED),
        ]
        return chart("Messages per second", lines, "rate", note=note)

    def waiting(self) -> Markup:
        """The backlog."""
        return chart("Waiting", [self._line("depth", "depth", Metric.DEPTH)])

    def in_flight(self) -> Markup:
        """What consumers hold, and what waits for its time."""
        lines = [
            self._line("in flight", "in-flight", Metric.IN_FLIGHT),
            self._line("deferred", "other", Metric.DEFERRED),
        ]
        return chart("In flight and deferred", lines)

    def trouble(self) -> Markup:
        """What has to be delivered again."""
        lines = [
            self._line("requeued", "finished", Metric.REQUEUED),
            self._line("timed out", "trouble", Metric.TIMED_OUT),
        ]
        return chart("Delivered again, per second", lines, "rate")

    def latency(self) -> Markup | None:
        """From publish to finish; None where the nodes keep no percentiles."""
        lines = [
            self._line("highest percentile", "in-flight", Metric.LATENCY_HIGH),
            self._line("lowest percentile", "published", Metric.LATENCY_LOW),
        ]
        if all(value is None for line in lines for value in line.points.values):
            return None
        return chart("From publish to finish", lines, "ns")
