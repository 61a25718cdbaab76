from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nsqclient.producer.deadlines import GRAIN, Deadlines


def test_an_item_is_due_at_its_time_and_not_before() -> None:
    deadlines: Deadlines[str] = Deadlines()
    deadlines.add("a", 1.0)
    assert deadlines.due(1.0 - 2 * GRAIN) == []
    assert deadlines.due(1.0 + GRAIN) == ["a"]
    assert deadlines.due(9.0) == []


def test_an_item_that_left_is_not_due() -> None:
    deadlines: Deadlines[str] = Deadlines()
    key = deadlines.add("a", 1.0)
    deadlines.add("b", 1.0)
    deadlines.discard("a", key)
    assert deadlines.due(2.0) == ["b"]


def test_leaving_twice_or_after_it_was_due_is_fine() -> None:
    deadlines: Deadlines[str] = Deadlines()
    key = deadlines.add("a", 1.0)
    assert deadlines.due(2.0) == ["a"]
    deadlines.discard("a", key)
    deadlines.discard("a", key)
    assert deadlines.next_time() is None


@given(st.lists(st.floats(0, 100), min_size=1))
def test_all_come_out_in_order_and_within_the_grain(times: list[float]) -> None:
    deadlines: Deadlines[tuple[int, float]] = Deadlines()
    for number, when in enumerate(times):
        deadlines.add((number, when), when)
    came: list[tuple[int, float]] = []
    while (when_next := deadlines.next_time()) is not None:
        due = deadlines.due(when_next)
        assert due
        for _, when in due:
            assert 0 <= when_next - when <= GRAIN
        came += due
    assert sorted(came) == sorted(enumerate(times))
