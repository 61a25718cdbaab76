from __future__ import annotations

import pytest

from nsqadmin.web.guard import Guard
from nsqadmin.web.html import Html, latency, moment, number, percent, span


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s"),
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (125, "2 min 5 s"),
        (3600, "1 h"),
        (3605, "1 h 5 s"),
        (7384, "2 h 3 min"),
        (90061, "1 d 1 h"),
        (86400 * 30, "30 d"),
    ],
)
def test_spans_read_by_their_two_largest_units(seconds: float, text: str) -> None:
    assert span(seconds) == text


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [(0, "0"), (271, "271 ns"), (1500, "1.5 µs"), (237_550_000, "237.6 ms"), (61e9, "61.0 s")],
)
def test_latencies_read_in_a_fitting_unit(nanoseconds: float, text: str) -> None:
    assert latency(nanoseconds) == text


@pytest.mark.parametrize(("quantile", "text"), [(0.5, "50%"), (0.99, "99%"), (0.999, "99.9%"), (1, "100%")])
def test_quantiles_read_as_percent(quantile: float, text: str) -> None:
    assert percent(quantile) == text


def test_numbers_have_commas() -> None:
    assert number(1234567) == "1,234,567"


def test_a_time_that_no_calendar_has_is_left_out() -> None:
    assert moment(1795330109) == "2026-11-22T06:48:29Z"
    assert moment(1 << 62) == ""


@pytest.mark.parametrize(
    ("base", "topics"), [("/", "/topics"), ("/nsq", "/nsq/topics"), ("/a/b", "/a/b/topics")]
)
def test_addresses_lie_below_the_base_path(base: str, topics: str) -> None:
    html = Html(base, Guard([], ""))
    assert html.url("topics") == topics


def test_names_are_escaped_whole_in_addresses() -> None:
    html = Html("/", Guard([], ""))
    assert html.url("topics", "a/b?c#ephemeral", "ä") == "/topics/a%2Fb%3Fc%23ephemeral/%C3%A4"
    assert html.url("actions", "delete", topic="a&b=c", channel="") == "/actions/delete?topic=a%26b%3Dc"
