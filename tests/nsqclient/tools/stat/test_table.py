from __future__ import annotations

from dataclasses import replace

import pytest
from rich.console import Console

from nsqclient.tools.stat.table import GROWING, REMEMBERED, LiveTable, spark, tendency
from tests.nsqclient.tools.stat.test_forms import ROW, report


def text_of(table: LiveTable) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(table.drawn())
    return capture.get()


@pytest.fixture
def table() -> LiveTable:
    return LiveTable("orders", Console(quiet=True))


def test_a_table_shows_every_count_of_every_channel(table: LiveTable) -> None:
    mail = replace(
        ROW,
        channel="mail",
        ingress=1234.4,
        egress=None,
        depth=5678,
        backend_depth=23,
        deferred_count=11,
        requeue_count=12,
        timeout_count=13,
        message_count=1000000,
        paused=True,
    )
    table.show(report(mail, replace(ROW, channel="archive")))
    text = text_of(table)
    for shown in ("orders", "mail paused", "archive", "1,234", "5,678", "23", "11", "12", "13", "1,000,000"):
        assert shown in text
    assert "2 of 2 nsqds" in text


def test_nsqds_that_are_missing_are_named(table: LiveTable) -> None:
    table.show(report(ROW, missing=("10.0.0.7:4151",)))
    assert "1 of 2 nsqds, without 10.0.0.7:4151" in text_of(table)


def test_the_last_notes_stay_below_the_table(table: LiveTable) -> None:
    for n in range(9):
        table.note(f"note {n} of nsqd [red]a[/red]")
    text = text_of(table)
    assert "note 8 of nsqd [red]a[/red]" in text
    assert "note 4 " not in text


def test_before_the_first_report_it_says_when_rates_come(table: LiveTable) -> None:
    assert "one interval from now" in text_of(table)


@pytest.mark.parametrize(
    ("depths", "colour"),
    [
        ([], ""),
        ([5], ""),
        ([5, 5, 5, 5, 5], ""),
        ([5, 6], "yellow"),
        ([9, 1, 2, 3, 4], "yellow"),
        ([1, 2, 3, 4, 5], "bold red"),
        ([1, 2, 2, 2, 2], "bold red"),
        ([9, 8, 7, 6, 5], ""),
        ([1] * 20 + [2, 3, 4, 5], "bold red"),
    ],
)
def test_depths_that_grow_have_a_colour(depths: list[int], colour: str) -> None:
    assert GROWING == 5
    assert tendency(depths) == colour


def test_a_bar_for_each_depth() -> None:
    assert spark([]) == ""
    assert spark([0, 0]) == "▁▁"
    assert spark([0, 10, 5]) == "▁█▄"


def test_only_so_many_depths_are_remembered(table: LiveTable) -> None:
    for n in range(REMEMBERED * 2):
        table.show(report(replace(ROW, depth=n + 1)))
    assert text_of(table).count("▇") < REMEMBERED
    assert text_of(table).count("█") >= 1
