from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from deploy.local.ledger import Account
from deploy.local.publisher import Resends
from deploy.local.summary import Channel, Outcome

INDEX = Account("index", 1000, 1010, 10, 0, 0, ())
ARCHIVE = Account("archive", 1000, 1000, 0, 0, 0, ())
GOOD = Outcome(
    channels=[Channel(INDEX, 2.0), Channel(ARCHIVE, 0.0)],
    publishing_s=0.5,
    resends=[Resends(attempts=2, not_sent=1, in_doubt=10), Resends()],
    left_out=[],
    failures=[],
    strange=0,
    shares=[400, 410, 200],
    archive=Path("run/x/archive"),
)


def shown(outcome: Outcome) -> str:
    out = io.StringIO()
    outcome.show(Console(file=out, width=100))
    return out.getvalue()


def row(text: str, channel: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if f" {channel} " in line and "│" in line]
    return [cell.strip() for cell in line.strip("│").split("│")]


def test_the_table_has_a_row_per_channel() -> None:
    text = shown(GOOD)
    assert row(text, "index") == ["index", "1,000", "1,010", "10", "0", "505"]
    assert row(text, "archive") == ["archive", "1,000", "1,000", "0", "0", "-"]
    assert "2,000 messages/s" in text
    assert "shared as 400 + 410 + 200." in text
    assert "Nothing is missing" in text
    assert GOOD.succeeded


def test_duplicates_are_allowed_and_one_missing_record_is_not() -> None:
    lost = replace(ARCHIVE, missing=1, examples=(("os.py", 7),))
    outcome = replace(GOOD, channels=[Channel(INDEX, 2.0), Channel(lost, 1.0)])
    assert not outcome.succeeded
    text = shown(outcome)
    assert "MISSING on archive: 1 records, such as os.py:7" in text
    assert "Nothing is missing" not in text


def test_a_process_that_ended_badly_is_a_failure() -> None:
    outcome = replace(GOOD, failures=["nsqd-1 exited with status 1"])
    assert not outcome.succeeded
    assert "FAILED: nsqd-1 exited with status 1" in shown(outcome)


def test_what_was_left_out_is_told_but_not_at_any_length() -> None:
    text = shown(replace(GOOD, left_out=[f"file {number}" for number in range(10)]))
    assert "Not published: file 2" in text
    assert "file 3" not in text
    assert "Not published: 7 more" in text


def test_strange_and_unexpected_messages_are_told() -> None:
    odd = replace(INDEX, unexpected=4)
    text = shown(replace(GOOD, strange=3, channels=[Channel(odd, 1.0), Channel(ARCHIVE, 1.0)]))
    assert "3 messages were no records" in text
    assert "index: 4 records that were never published" in text
