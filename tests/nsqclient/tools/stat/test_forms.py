from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest

from nsqclient.tools.stat.counts import Row
from nsqclient.tools.stat.forms import Csv, JsonLines, Report, Rows

ROW = Row(
    channel="c",
    ingress=9.4,
    egress=8.6,
    depth=0,
    memory_depth=0,
    backend_depth=0,
    in_flight_count=9,
    deferred_count=0,
    requeue_count=0,
    timeout_count=0,
    message_count=90,
    client_count=1,
    paused=False,
    nodes=1,
)
HEADER = """\
------rate------+----------------depth----------------+--------------metadata---------------
ingress  egress |   total     mem    disk inflt   def |     req     t-o         msgs clients
"""
LINE = "      9       9 |       0       0       0     9     0 |       0       0           90       1\n"


def report(*rows: Row, missing: tuple[str, ...] = ()) -> Report:
    return Report(time=1738324800.25, topic="t", rows=rows, nodes=2, missing=missing)


def test_rows_are_those_of_the_original_byte_for_byte() -> None:
    form = Rows(several=False)
    assert form.heading() + form.text(report(ROW)) == HEADER + LINE


def test_numbers_that_are_too_wide_push_the_others_aside() -> None:
    wide = replace(ROW, ingress=12345678.0, depth=123456789, message_count=1234567890123)
    assert Rows(several=False).text(report(wide)) == (
        "12345678       9 | 123456789       0       0     9     0 |       0       0 1234567890123       1\n"
    )


def test_the_header_comes_again_at_every_25th_poll() -> None:
    form = Rows(several=False)
    lines = (form.heading() + "".join(form.text(report(ROW)) for _ in range(51))).splitlines(keepends=True)
    rows = [LINE] * 24 + HEADER.splitlines(keepends=True) + [LINE]
    assert lines == HEADER.splitlines(keepends=True) + rows + rows + [LINE]


def test_rates_are_rounded_and_an_unknown_one_is_shown_as_none() -> None:
    text = Rows(several=False).text
    assert text(report(replace(ROW, ingress=9.98, egress=-0.4))).startswith("     10       0 |")
    assert text(report(replace(ROW, ingress=None, egress=-2.6))).startswith("      0      -3 |")


def test_of_several_channels_each_row_tells_which_it_is() -> None:
    form = Rows(several=True)
    head, names = form.heading().splitlines()
    assert (head, names) == (
        HEADER.splitlines()[0] + "+----topic/channel----",
        HEADER.splitlines()[1] + " | topic/channel",
    )
    lines = form.text(report(ROW, replace(ROW, channel="d", paused=True)))
    assert lines == LINE[:-1] + " | t/c\n" + LINE[:-1] + " | t/d (paused)\n"


def test_json_is_an_object_per_channel_and_line() -> None:
    form = JsonLines()
    assert form.heading() == ""
    rows = report(replace(ROW, ingress=1 / 3, egress=None, paused=True), ROW, missing=("b:1",))
    first, second = map(json.loads, form.text(rows).splitlines())
    assert first == {
        "time": "2025-01-31T12:00:00.250Z",
        "topic": "t",
        "channel": "c",
        "ingress": 0.333,
        "egress": None,
        "depth": 0,
        "memory_depth": 0,
        "backend_depth": 0,
        "in_flight_count": 9,
        "deferred_count": 0,
        "requeue_count": 0,
        "timeout_count": 0,
        "message_count": 90,
        "client_count": 1,
        "paused": True,
        "nodes": 1,
        "missing": ["b:1"],
    }
    assert second["ingress"] == 9.4


def test_csv_has_a_column_for_each_field() -> None:
    form = Csv()
    text = form.heading() + form.text(report(replace(ROW, egress=None), missing=("b:1", "b:2")))
    (found,) = csv.DictReader(io.StringIO(text))
    assert found["time"] == "2025-01-31T12:00:00.250Z"
    assert (found["topic"], found["channel"], found["ingress"], found["egress"]) == ("t", "c", "9.4", "")
    assert (found["paused"], found["nodes"], found["missing"]) == ("false", "1", "2")
    assert None not in found


@pytest.mark.parametrize("form", [JsonLines(), Csv()])
def test_a_rate_a_little_below_zero_has_no_minus(form: JsonLines | Csv) -> None:
    assert "-0.0" not in form.text(report(replace(ROW, ingress=0.0, egress=-0.0000001)))
