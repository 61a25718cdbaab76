from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqcore.durations import NS_PER_MS, NS_PER_S, Duration, go_duration


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("0", 0),
        ("-0", 0),
        ("0s", 0),
        ("1ns", 1),
        ("1us", 1_000),
        ("1µs", 1_000),
        ("1μs", 1_000),
        ("250ms", 250 * NS_PER_MS),
        ("1.5s", 1_500_000_000),
        (".5s", 500_000_000),
        ("1.s", NS_PER_S),
        ("1h15m", 4_500 * NS_PER_S),
        ("1h30m10.5s", 5_410_500_000_000),
        ("-1m30s", -90 * NS_PER_S),
        ("+2m", 120 * NS_PER_S),
        ("0.1ns", 0),
        ("2562047h47m16.854775807s", (1 << 63) - 1),
    ],
)
def test_texts_that_go_reads_mean_the_same(text: str, ns: int) -> None:
    assert Duration.parse(text) == ns


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "1x",
        "s",
        ".s",
        "1.5",
        "1 s",
        " 1s",
        "1s ",
        "--1s",
        "1s-1s",
        "\u0661s",
        "9999999h",
        "-",
        "1e3s",
    ],
)
def test_other_texts_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="want a number and a unit, such as 250ms"):
        Duration.parse(text)


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0s"),
        (271, "271ns"),
        (1_754, "1.754µs"),
        (108_550_000, "108.55ms"),
        (2_721_939_127, "2.721939127s"),
        (999_999_999, "999.999999ms"),
        (60 * NS_PER_S, "1m0s"),
        (3605 * NS_PER_S, "1h0m5s"),
        (300 * NS_PER_S, "5m0s"),
        (-1_500_000_000, "-1.5s"),
        (100 * 3600 * NS_PER_S, "100h0m0s"),
    ],
)
def test_durations_print_as_go_prints_them(ns: int, text: str) -> None:
    assert go_duration(ns) == text
    assert str(Duration(ns)) == text


@given(st.integers(min_value=-(1 << 63) + 1, max_value=(1 << 63) - 1))
def test_what_is_printed_can_be_read(ns: int) -> None:
    assert Duration.parse(go_duration(ns)) == ns


def test_a_duration_is_counted_in_other_units() -> None:
    assert Duration.of_ms(1_500) == Duration.parse("1.5s")
    assert Duration.parse("1.9999ms").ms == 1
    assert Duration.parse("250ms").seconds == 0.25
