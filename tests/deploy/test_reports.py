from __future__ import annotations

from pathlib import Path

from deploy.local.ledger import Ledger
from deploy.local.reports import Counts, Report


def test_counts_travel_as_a_line() -> None:
    counts = Counts(delivered=3, first=1.5, last=2.25)
    line = counts.line()
    assert "\n" not in line
    assert Counts.read(line.encode() + b"\n") == counts


def test_a_report_travels_through_a_file(tmp_path: Path) -> None:
    ledger = Ledger()
    ledger.add("a", 3)
    ledger.add("a", 3)
    Report(ledger, strange=2).save(tmp_path / "r.report")
    again = Report.load(tmp_path / "r.report")
    assert (list(again.ledger), again.ledger.added, again.strange) == ([("a", 3)], 2, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["r.report"]
