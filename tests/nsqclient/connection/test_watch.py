from __future__ import annotations

from math import inf

import pytest

from nsqclient.connection.watch import GRACE, Look, Watch


def test_looks_are_a_quarter_of_the_shortest_time_apart() -> None:
    assert Watch(30, 60, 10, 0).period == 2.5
    assert Watch(1, 2, 10, 0).period == 0.25
    assert Watch(inf, inf, 10_000, 0).period == 15


def test_what_is_well_is_looked_at_again() -> None:
    watch = Watch(4, 8, 8, 100)
    assert watch.look(101, 100.5, 0, 0) == Look(1)


def test_silence_is_an_end_after_some_grace() -> None:
    watch = Watch(4, 8, 100, 0)
    assert watch.look(7, 0, 0, 0).fault == ""
    assert watch.look(8, 0, 0, 0) == Look(GRACE)
    assert watch.look(8.5, 0, 0, 0).fault == "nothing came for 8.5 s"


def test_a_read_ends_the_suspicion() -> None:
    watch = Watch(4, 8, 100, 0)
    assert watch.look(8, 0, 0, 0).again == GRACE
    assert watch.look(8.5, 8.2, 0, 0).again == 1
    assert watch.look(17, 8.2, 0, 0).fault == ""
    assert watch.look(17.5, 8.2, 0, 0).fault == "nothing came for 9.3 s"


@pytest.mark.parametrize(("late", "still"), [(0.0, 0.0), (2.9, 0.0), (3.0, 3.0), (60.0, 60.0)])
def test_a_loop_that_stood_still_is_told_by_a_look_that_is_late(late: float, still: float) -> None:
    assert Watch(4, 100, 100, 0).look(1 + late, 0, 0, 0).stood_still == still


def test_a_loop_that_stands_still_for_a_heartbeat_is_noticed_whenever_it_begins() -> None:
    for begins in range(100):
        watch = Watch(4, 100, 100, 0)
        begin = begins / 100
        assert watch.look(max(1.0, begin + 4), 0, 0, 0).stood_still >= 3


def test_without_heartbeats_nothing_is_too_long() -> None:
    assert Watch(inf, inf, 4, 0).look(1000, 0, 0, 0) == Look(1)


def test_a_peer_that_takes_nothing_is_an_end() -> None:
    watch = Watch(8, 100, 4, 0)
    assert watch.look(1, 0, 500, 0).fault == ""
    assert watch.look(2, 0, 500, 0).fault == ""
    assert watch.look(3, 0, 800, 300).fault == ""
    assert watch.look(4, 0, 800, 0).fault == ""
    assert watch.look(5, 0, 800, 0).fault == "nsqd has taken no byte for 4.0 s"


def test_a_peer_that_takes_one_byte_a_look_is_slow_and_no_more() -> None:
    watch = Watch(8, 100, 4, 0)
    unsent = 1000
    for now in range(1, 50):
        unsent += 10 - 11
        assert watch.look(now, 0, unsent, 10).fault == ""


def test_what_was_all_taken_begins_anew() -> None:
    watch = Watch(8, 100, 4, 0)
    for now, unsent in enumerate([5, 5, 5, 0, 5, 5, 5, 5], 1):
        assert watch.look(now, 0, unsent, 0).fault == ""


def test_time_in_which_we_offered_nothing_does_not_count() -> None:
    watch = Watch(8, 100, 4, 0)
    watch.look(1, 0, 5, 0)
    assert watch.look(50, 0, 5, 0).fault == ""
