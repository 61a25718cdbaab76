"""The rings of the past: density, clocks that jump, and who goes when there is no room."""

from __future__ import annotations

from nsqadmin.history.ring import METRICS, Grain, Past, Values
from nsqadmin.history.series import Key, Metric

FINE, COARSE = Grain(5.0, 24), Grain(60.0, 30)
ONE_KEY = (24 + 30) * len(METRICS) * 4
NOW = 1_800_000_000.0
T = Key("topic", "t")


def past(keys: int = 10) -> Past:
    return Past(FINE, COARSE, memory=keys * ONE_KEY)


def depths(of: Past, now: float, seconds: float = 30, key: Key = T) -> list[float | None]:
    return list(of.series(key, Metric.DEPTH, now, seconds, 100).values)


def test_a_coarse_point_is_the_mean_of_rates_and_the_highest_depth() -> None:
    ring = past()
    for i, (rate, depth) in enumerate([(1.0, 5), (3.0, 90), (None, 7)]):
        ring.add(NOW + 5 * i, {T: {Metric.PUBLISHED: rate, Metric.DEPTH: depth}}, 5)
    assert ring.series(T, Metric.PUBLISHED, NOW, 1800, 30).values[-1] == 2.0
    assert ring.series(T, Metric.DEPTH, NOW, 1800, 30).values[-1] == 90


def test_a_rate_over_a_moment_weighs_no_more_than_a_moment() -> None:
    ring = past()
    for at, rate, seconds in [(1.0, 0.0, 5.0), (1.25, 2000.0, 0.25), (4.75, 0.0, 4.75)]:
        ring.add(NOW + at, {T: {Metric.PUBLISHED: rate}}, 5, seconds)
    assert ring.series(T, Metric.PUBLISHED, NOW, 5, 1).values == [50.0]
    assert ring.series(T, Metric.PUBLISHED, NOW, 1800, 30).values[-1] == 50.0


def test_a_clock_that_is_set_back_forgets_what_it_comes_by_again() -> None:
    ring = past()
    for i in range(200):
        ring.add(NOW + 5 * i, {T: {Metric.DEPTH: i}}, 5)
    back = NOW + 5 * 190
    ring.add(back, {T: {Metric.DEPTH: 1000}}, 5)
    assert depths(ring, back) == [185, 186, 187, 188, 189, 1000]
    assert depths(ring, back + 25) == [1000, None, None, None, None, None]
    ring.add(NOW - 86400, {T: {Metric.DEPTH: 7}}, 5)
    assert depths(ring, NOW - 86400) == [None] * 5 + [7]
    assert [value for value in depths(ring, NOW - 86400, 1800) if value is not None] == [7]


def test_a_clock_that_is_set_forward_leaves_a_hole() -> None:
    ring = past()
    ring.add(NOW, {T: {Metric.DEPTH: 1}}, 5)
    ring.add(NOW + 60, {T: {Metric.DEPTH: 2}}, 5)
    assert depths(ring, NOW + 60, 65) == [1] + [None] * 11 + [2]
    ring.add(NOW + 1e9, {T: {Metric.DEPTH: 3}}, 5)
    assert depths(ring, NOW + 1e9) == [None] * 5 + [3]


def test_samples_that_come_less_often_fill_the_points_between() -> None:
    ring = past()
    for i in range(3):
        ring.add(NOW + 20 * i, {T: {Metric.DEPTH: i}}, 20)
    assert depths(ring, NOW + 40, 45) == [0, 1, 1, 1, 1, 2, 2, 2, 2]


def test_without_room_the_most_idle_goes_for_one_that_is_busy() -> None:
    ring = past(keys=3)
    idle, busier, busy, new = (Key("topic", name) for name in ("idle", "busier", "busy", "new"))
    for i in range(130):
        figures: dict[Key, Values] = {idle: {Metric.DEPTH: 4}, busier: {Metric.DEPTH: min(i, 5)}}
        figures[busy] = {Metric.PUBLISHED: 1.0}
        assert ring.add(NOW + 5 * i, figures, 5) == 0
    later = NOW + 5 * 130
    assert ring.add(later, {new: {Metric.DEPTH: 9, Metric.PUBLISHED: 0.0}}, 5) == 1
    assert ring.add(later, {new: {Metric.PUBLISHED: 2.0}}, 5) == 0
    assert set(ring.keys()) == {busier, busy, new}
    assert ring.add(later, {idle: {Metric.PUBLISHED: 2.0}}, 5) == 0
    assert set(ring.keys()) == {busy, new, idle}
    assert ring.add(later, {busier: {Metric.PUBLISHED: 2.0}}, 5) == 1


def test_what_has_no_past_any_more_is_dropped() -> None:
    ring = past()
    ring.add(NOW, {T: {Metric.DEPTH: 4}}, 5)
    ring.forget(NOW + 1740)
    assert ring.keys() == [T]
    ring.forget(NOW + 1900)
    assert ring.keys() == []
    assert depths(ring, NOW) == [None] * 6
