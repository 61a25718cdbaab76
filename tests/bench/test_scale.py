"""``bench.scale``: its ranges are measured, judged and drawn; the page shows every plot."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench.scale.__main__ import RANGES
from bench.scale.drawing import draw, file_of, plain
from bench.scale.ranges import Plot, Point, curve, middle, verdicts
from bench.scale.results import load, save
from tests.docs.page import ROOT

PLOT = Plot("made-up", "Made up", "things", "CPU, µs", {"a": "one", "b": "another"})
POINTS = [Point(1, {"a": 1.0, "b": 2.0}), Point(1000, {"a": 1.4}), Point(1_000_000, {"a": 1.2, "b": 3.1})]
BRIEF = [each.name for each in RANGES if each.name not in ("rest", "timeouts")]
"""Ranges whose points take a moment; the others wait for seconds to pass."""


def test_ranges_are_measured_against_a_real_nsqd_and_their_numbers_are_kept(tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    only = [f"--only={name}" for name in BRIEF]
    run = subprocess.run(
        [sys.executable, "-m", "bench.scale", "--quick", "--measure-only", f"--results={results}", *only],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert run.returncode == 0, run.stderr
    found = load(results)
    assert sorted(found) == sorted(BRIEF)
    for grown in RANGES:
        if grown.name in BRIEF:
            assert [point.x for point in found[grown.name]] == list(grown.quick)
            assert all(value > 0 for point in found[grown.name] for value in point.values.values())


def test_numbers_are_the_same_after_they_were_stored(tmp_path: Path) -> None:
    save({"made-up": POINTS}, tmp_path / "results.json")
    assert load(tmp_path / "results.json") == {"made-up": POINTS}
    assert load(tmp_path / "missing.json") == {}


def test_a_point_is_the_median_of_its_rounds() -> None:
    assert middle([{"a": 9.0}, {"a": 1.0}, {"a": 2.0}]) == {"a": 2.0}


def test_a_series_is_judged_by_how_far_it_leaves_its_smallest_value() -> None:
    a, b = verdicts(PLOT, POINTS)
    assert (a.series, a.smallest, a.largest, a.kept) == ("a", 1.0, 1.4, True)
    assert (b.series, b.smallest, b.largest, b.kept) == ("b", 2.0, 3.1, False)


def test_a_limit_is_judged_by_the_largest_value_alone() -> None:
    plot = Plot("late", "Late", "things", "ms", {"b": "late"}, relative=False, limit=3.0)
    assert [each.kept for each in verdicts(plot, POINTS)] == [False]
    assert [each.kept for each in verdicts(plot, POINTS[:2])] == [True]


def test_a_plot_shows_its_part_of_the_range_and_leaves_out_what_was_not_measured() -> None:
    plot = Plot("part", "Part", "things", "µs", {"a": "one"}, since=2, until=1000)
    assert curve(plot, "a", POINTS) == [(1000, 1.4)]
    assert curve(PLOT, "b", POINTS) == [(1, 2.0), (1_000_000, 3.1)]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.5, "0.5"), (200, "200"), (3000, "3k"), (1e7, "10M"), (4096, "4Ki"), (1 << 20, "1Mi")],
)
def test_numbers_on_axes_are_short(value: float, text: str) -> None:
    assert plain(value) == text


@pytest.mark.parametrize("limit", [None, 50.0])
def test_a_plot_is_drawn_800_pixels_wide(tmp_path: Path, limit: float | None) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib comes with the extra bench")
    plot = Plot("made-up", "Made up", "things", "ms", PLOT.series, relative=limit is None, limit=limit)
    picture = draw(plot, POINTS, tmp_path).read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert int.from_bytes(picture[16:20], "big") == 800


def test_every_plot_is_on_the_page_and_its_numbers_are_kept() -> None:
    page = (ROOT / "docs" / "performance.md").read_text("utf-8")
    found = load()
    for grown in RANGES:
        assert [point.x for point in found[grown.name]] == list(grown.points)
        for plot in grown.plots:
            assert file_of(plot).is_file()
            assert f"](img/{file_of(plot).name})" in page
