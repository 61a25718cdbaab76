import hypothesis.strategies as st
from hypothesis import given

from nsqd.deferred import Deferred


def test_gives_what_is_due_in_the_order_of_the_times() -> None:
    deferred = Deferred()
    for due, frame in ((3.0, b"c"), (1.0, b"a"), (2.0, b"b")):
        deferred.add(due, frame)
    assert deferred.due(0.9, 10) == []
    assert deferred.due(2.0, 10) == [b"a", b"b"]
    assert len(deferred) == 1
    assert deferred.next_due() == 3.0


def test_equal_times_keep_their_order_whatever_the_frames_say() -> None:
    deferred = Deferred()
    frames = [b"z", b"a", b"m", b"a"]
    for frame in frames:
        deferred.add(1.0, frame)
    assert deferred.due(1.0, 10) == frames


def test_gives_no_more_than_it_is_asked_for() -> None:
    deferred = Deferred()
    for n in range(5):
        deferred.add(float(n), b"%d" % n)
    assert deferred.due(10.0, 2) == [b"0", b"1"]
    assert deferred.due(10.0, 2) == [b"2", b"3"]
    assert deferred.next_due() == 4.0


def test_says_when_a_new_one_is_the_first_to_come() -> None:
    deferred = Deferred()
    assert deferred.add(2.0, b"a")
    assert not deferred.add(3.0, b"b")
    assert not deferred.add(2.0, b"c")
    assert deferred.add(1.0, b"d")


def test_an_empty_one_knows_no_time() -> None:
    deferred = Deferred()
    assert deferred.next_due() is None
    assert deferred.take_all() == []
    assert deferred.due(1e9, 1) == []


def test_dropping_leaves_nothing() -> None:
    deferred = Deferred()
    for n in (3, 1, 2):
        deferred.add(float(n), b"%d" % n)
    assert {past for _, _, past in deferred.drop()} == {b"1", b"2", b"3"}
    assert (len(deferred), deferred.next_due()) == (0, None)


@given(st.lists(st.one_of(st.integers(0, 20), st.tuples(st.integers(0, 20), st.integers(1, 4)))))
def test_does_as_a_sorted_list_does(steps: list[int | tuple[int, int]]) -> None:
    deferred, model, added = Deferred(), list[tuple[float, int]](), 0
    for step in steps:
        if isinstance(step, int):
            first = not model or step < model[0][0]
            assert deferred.add(float(step), b"%d" % added) == first
            model = sorted([*model, (float(step), added)])
            added += 1
        else:
            now, limit = step
            due = [entry for entry in model if entry[0] <= now][:limit]
            assert deferred.due(now, limit) == [b"%d" % n for _, n in due]
            model = model[len(due) :]
        assert len(deferred) == len(model)
        assert deferred.next_due() == (model[0][0] if model else None)
    assert deferred.take_all() == [(due, b"%d" % n) for due, n in model]
    assert len(deferred) == 0
