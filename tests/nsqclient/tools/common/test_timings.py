from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqclient.tools.common.timings import Timings, line, percentile


def timed(every: int, names: tuple[str, ...], *requests: tuple[str, float]) -> list[str]:
    lines: list[str] = []
    timings = Timings(every, names, lines.append)
    for name, seconds in requests:
        timings.add(name, seconds)
    return lines


def test_a_line_comes_with_the_request_after_those_it_tells_of() -> None:
    assert timed(2, ("a",), ("a", 0.001), ("a", 0.003)) == []
    expected = "[aggregate]: finished 2 - 99th: 3.00ms - 95th: 3.00ms - avg: 2.00ms"
    assert timed(2, ("a",), ("a", 0.001), ("a", 0.003), ("a", 9.0)) == [expected]
    assert len(timed(2, ("a",), *[("a", 0.001)] * 5)) == 2


def test_several_addresses_have_lines_of_their_own() -> None:
    requests = [("a", 0.001), ("b", 0.003)] * 3
    assert timed(2, ("a", "b"), *requests) == [
        "[aggregate]: finished 2 - 99th: 3.00ms - 95th: 3.00ms - avg: 2.00ms",
        "[aggregate]: finished 2 - 99th: 3.00ms - 95th: 3.00ms - avg: 2.00ms",
        "[a]: finished 2 - 99th: 1.00ms - 95th: 1.00ms - avg: 1.00ms",
        "[b]: finished 2 - 99th: 3.00ms - 95th: 3.00ms - avg: 3.00ms",
    ]


def test_zero_has_no_lines() -> None:
    assert timed(0, ("a",), *[("a", 0.001)] * 500) == []


def test_an_address_given_twice_is_one() -> None:
    assert timed(1, ("a", "a"), ("a", 0.001), ("a", 0.001)) == [
        "[aggregate]: finished 1 - 99th: 1.00ms - 95th: 1.00ms - avg: 1.00ms"
    ]


@pytest.mark.parametrize(("every", "warned"), [(0, False), (1, True), (99, True), (100, False), (250, False)])
def test_too_few_requests_for_percentiles_are_warned_of(every: int, warned: bool) -> None:
    lines: list[str] = []
    Timings(every, ("a",), lines.append).warn()
    text = f"Warning: use more than 100 status values for accurate percentiles (configured with {every})"
    assert lines == ([text] if warned else [])


def test_percentiles_of_a_hundred() -> None:
    assert line("x", [n / 1000 for n in range(100, 0, -1)]) == (
        "[x]: finished 100 - 99th: 99.00ms - 95th: 95.00ms - avg: 50.50ms"
    )


@given(st.lists(st.floats(0, 1000), min_size=1), st.sampled_from((0.5, 0.95, 0.99)))
def test_a_percentile_is_a_value_that_enough_do_not_exceed(values: list[float], share: float) -> None:
    ordered = sorted(values)
    value = percentile(ordered, share)
    assert value in ordered
    assert sum(v <= value for v in ordered) >= math.floor(share * len(ordered))
    assert sum(v < value for v in ordered) <= share * len(ordered)
