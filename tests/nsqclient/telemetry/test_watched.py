from __future__ import annotations

import gc
import weakref

from nsqclient.telemetry.watched import Watched


class Counting:
    def __init__(self, count: float) -> None:
        self.count = count
        self.closed = False


def watched() -> Watched[Counting]:
    return Watched(lambda one: {"count": one.count}, lambda one: {"now": one.count})


def test_those_of_the_same_labels_are_added_up() -> None:
    all_of_them = watched()
    for label, count in (("a", 1), ("a", 2), ("b", 5)):
        all_of_them.add((label,), Counting(count))
    assert all_of_them.counters() == {("a",): {"count": 3}, ("b",): {"count": 5}}
    assert all_of_them.gauges() == {("a",): {"now": 3}, ("b",): {"now": 5}}


def test_what_a_closed_one_counted_stays_and_it_is_not_kept_alive() -> None:
    all_of_them = watched()
    first, second = Counting(3), Counting(4)
    all_of_them.add(("a",), first)
    all_of_them.add(("a",), second)
    first.closed = True
    assert all_of_them.counters() == {("a",): {"count": 7}}
    assert all_of_them.gauges() == {("a",): {"now": 4}}
    gone = weakref.ref(first)
    del first
    gc.collect()
    assert gone() is None
    second.count = 5
    assert all_of_them.counters() == {("a",): {"count": 8}}


def test_a_reading_that_is_disturbed_is_repeated() -> None:
    disturbances = [RuntimeError("dictionary changed size during iteration")] * 3

    def read(one: Counting) -> dict[str, float]:
        if disturbances:
            raise disturbances.pop()
        return {"count": one.count}

    disturbed: Watched[Counting] = Watched(read, read)
    disturbed.add(("a",), Counting(1))
    assert disturbed.counters() == {("a",): {"count": 1}}
