"""A report as text: the original's rows, JSON, or CSV. Pure: what is printed, not where."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Protocol

from nsqclient.tools.stat.counts import Row

HEADER_EVERY = 25
"""Polls from one header to the next; the poll that begins the rates is the first."""
_PARTS = "------rate------+----------------depth----------------+--------------metadata---------------"
_NAMES = (
    f"{'ingress':>7} {'egress':>7} | {'total':>7} {'mem':>7} {'disk':>7} {'inflt':>5} {'def':>5} | "
    f"{'req':>7} {'t-o':>7} {'msgs':>12} {'clients':>7}"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What one poll found."""

    time: float
    """Unix seconds."""
    topic: str
    rows: Sequence[Row]
    nodes: int
    """Nsqds that were asked."""
    missing: Sequence[str]
    """Those among them that gave no answer."""


class Form(Protocol):
    """Reports as text."""

    def heading(self) -> str:
        """What comes before all reports."""

    def text(self, report: Report) -> str:
        """A report, whole lines."""


class Rows:
    """The original's rows; of several channels each row is followed by the channel it is of."""

    def __init__(self, *, several: bool) -> None:
        self._several = several
        self._polls = 1

    def heading(self) -> str:
        """The two lines of the header."""
        last = ("+" + "topic/channel".center(21, "-"), " | topic/channel") if self._several else ("", "")
        return f"{_PARTS}{last[0]}\n{_NAMES}{last[1]}\n"

    def text(self, report: Report) -> str:
        """The rows, after the header where it is due."""
        header = self.heading() if self._polls % HEADER_EVERY == 0 else ""
        self._polls += 1
        return header + "".join(self._line(report.topic, row) for row in report.rows)

    def _line(self, topic: str, row: Row) -> str:
        last = f" | {topic}/{row.channel}{' (paused)' if row.paused else ''}" if self._several else ""
        return (
            f"{_whole(row.ingress):7} {_whole(row.egress):7} | {row.depth:7} {row.memory_depth:7} "
            f"{row.backend_depth:7} {row.in_flight_count:5} {row.deferred_count:5} | {row.requeue_count:7} "
            f"{row.timeout_count:7} {row.message_count:12} {row.client_count:7}{last}\n"
        )


class JsonLines:
    """An object per channel and line."""

    def heading(self) -> str:
        """None."""
        return ""

    def text(self, report: Report) -> str:
        """A line per row."""
        return "".join(
            json.dumps(_facts(report, row) | {"missing": list(report.missing)}, separators=(",", ":")) + "\n"
            for row in report.rows
        )


class Csv:
    """A table for spreadsheets, its first line the names of the columns. A rate that is not known is empty."""

    def heading(self) -> str:
        """The names."""
        return ",".join(("time", "topic", *Row.__dataclass_fields__, "missing")) + "\n"

    def text(self, report: Report) -> str:
        """A line per row."""
        lines = io.StringIO()
        writer = csv.writer(lines, lineterminator="\n")
        for row in report.rows:
            facts = _facts(report, row) | {"missing": len(report.missing)}
            writer.writerow(_cell(value) for value in facts.values())
        return lines.getvalue()


def _facts(report: Report, row: Row) -> dict[str, object]:
    time = datetime.fromtimestamp(report.time, UTC).isoformat(timespec="milliseconds")
    facts = {"time": time.replace("+00:00", "Z"), "topic": report.topic, **asdict(row)}
    for rate in ("ingress", "egress"):
        value = facts[rate]
        if isinstance(value, float):
            facts[rate] = round(value, 3) + 0.0  # no minus before a zero
    return facts


def _cell(value: object) -> object:
    return str(value).lower() if isinstance(value, bool) else value


def _whole(rate: float | None) -> int:
    """A rate as the original's column takes it; to the nearest, as real time is never just the interval."""
    return 0 if rate is None else round(rate)
