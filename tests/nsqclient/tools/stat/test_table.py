from __future__ import annotations

from dataclasses import replace

import pytest
from rich.console import Console

from nsqclient.tools.stat.table import GROWING, REMEMBERED, LiveTable, short, spark, tendency
from tests.nsqclient.tools.stat.test_forms import ROW, report


def text_of(table: LiveTable) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(table.drawn())
    return capture.get()


@pytest.fixture
def table() -> LiveTable:
    return LiveTable("orders", Console(quiet=True, width=200))


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
    for shown in ("orders", "mail paused", "archive", "1,234", "5,678", "23", "11", "12", "13", "1.0M"):
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


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (-0.4, "0"),
        (9.98, "10"),
        (-2.6, "-3"),
        (99_999, "99,999"),
        (100_000, "100.0k"),
        (999_949, "999.9k"),
        (999_950, "1.0M"),
        (123_456_789, "123.5M"),
        (2 * 10**9, "2.0G"),
        (7 * 10**12, "7T"),
    ],
)
def test_numbers_are_short(number: float, text: str) -> None:
    assert short(number) == text
    assert len(short(number)) <= 7


def test_a_terminal_of_80_columns_shows_all_counts_without_the_bars() -> None:
    table = LiveTable("orders", Console(quiet=True, width=80))
    many = replace(
        ROW,
        channel="a-channel-with-a-long-name",
        ingress=123456.7,
        egress=123456.7,
        depth=123456789,
        backend_depth=123456789,
        in_flight_count=123456789,
        message_count=123456789,
    )
    table.show(report(many))
    console = Console(width=80)
    with console.capture() as capture:
        console.print(table.drawn())
    text = capture.get()
    assert (text.count("123.5k"), text.count("123.5M")) == (2, 4)
    assert "clients" in text
    assert "so far" not in text
    assert max(map(len, text.splitlines())) <= 80
