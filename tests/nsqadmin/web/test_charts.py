from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqadmin.web.charts import Line, ceiling, chart, compact, duration, rate, sparkline


@dataclass(frozen=True)
class Given:
    values: Sequence[float | None]
    end: float = 1_800_000_000.0
    step: float = 30.0


def paths(markup: str, kind: str) -> list[str]:
    return re.findall(rf'<path class="{kind}"[^>]* d="([^"]*)"', markup)


@pytest.mark.parametrize(
    ("value", "top"),
    [(0, 1), (0.3, 0.4), (1, 1), (1.1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (10.5, 20), (950, 1000)],
)
def test_an_axis_ends_at_a_round_number_whose_half_is_round(value: float, top: float) -> None:
    assert ceiling(value) == pytest.approx(top)


def test_an_axis_of_counts_has_no_halves() -> None:
    assert ceiling(0, whole=True) == 2
    assert ceiling(1, whole=True) == 2


@given(st.floats(min_value=0, max_value=1e200))
def test_an_axis_always_has_room_for_its_values(value: float) -> None:
    top = ceiling(value)
    assert top > 0
    assert top >= value * (1 - 1e-6)


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (12, "12"), (999, "999"), (999.9, "1k"), (1234, "1.23k"), (35e6, "35M")]
)
def test_compact_numbers_have_three_digits(value: float, text: str) -> None:
    assert compact(value) == text


def test_rates_and_latencies_read_like_people_say_them() -> None:
    assert [rate(0.25), rate(12), rate(1234)] == ["0.25/s", "12/s", "1,234/s"]
    assert [duration(0), duration(2.5e6), duration(1.5e9)] == ["0", "2.5 ms", "1.5 s"]


def test_a_value_that_was_not_measured_is_a_gap() -> None:
    (line,) = paths(sparkline(Given([1, 2, None, None, 3, 4]), "depth"), "line")
    assert line.count("M") == 2
    assert line.count("L") == 2


def test_a_single_value_between_gaps_is_seen() -> None:
    (line,) = paths(sparkline(Given([None, 3, None]), "depth"), "line")
    assert line.count("L") == 1


def test_a_sparkline_says_in_words_what_it_shows() -> None:
    text = sparkline(Given([0, 1204, 87]), "depth, last hour")
    assert 'aria-label="depth, last hour: 0 to 1,204, now 87"' in text
    assert "depth: 5 all the time" in sparkline(Given([5, 5]), "depth")
    assert "not known yet" in sparkline(Given([None, None]), "depth")


def test_a_chart_has_its_figures_in_words_and_as_data() -> None:
    text = chart(
        "Messages",
        [Line("in", "published", Given([1.0, None, 30.0])), Line("out", "finished", Given([0, 0, None]))],
        "rate",
    )
    assert "30/s</span> <small>1/s to 30/s</small>" in text
    assert "not known</span> <small></small>" in text
    assert 'data-values="[1.0,null,30.0]"' in text
    assert 'data-end="1800000000.000" data-step="30"' in text
    assert "<span>40/s</span><span>20/s</span><span>0</span>" in text


def test_a_chart_without_values_says_so() -> None:
    assert "Nothing measured yet" in chart("Depth", [Line("depth", "depth", Given([None]))])


def test_names_are_escaped_wherever_they_stand() -> None:
    bad = "<script>\"'&"
    for text in (sparkline(Given([1]), bad), chart(bad, [Line(bad, "depth", Given([1, 2]))], note=bad)):
        assert "<script" not in text
        assert "style=" not in text


@given(
    st.lists(
        st.none() | st.floats(allow_nan=False, allow_infinity=False, min_value=0, max_value=1e15), min_size=1
    )
)
def test_any_values_give_well_formed_pictures_inside_their_frame(values: list[float | None]) -> None:
    text = chart("Depth", [Line("depth", "depth", Given(values))])
    ET.fromstring(text)
    for line in paths(text, "line"):
        ys = [float(spot.split()[1]) for spot in re.split("[ML]", line) if spot]
        assert all(0 <= y <= 100 for y in ys)
