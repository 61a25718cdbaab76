"""The ring of reports: bounded, successes go first, reading is optional."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqclient import PublishNotSent
from nsqclient.producer.reports import Report, Reports, Ring


def good(note: object) -> Report:
    return Report("t", note, None, None, None)


def bad(note: object) -> Report:
    return Report("t", note, None, None, PublishNotSent("no"))


def rest(ring: Ring) -> list[object]:
    ring.end()
    notes = []
    while (report := ring.take(good=True, bad=True)) is not None:
        notes.append(report.note)
    return notes


def test_reports_come_in_their_order() -> None:
    ring = Ring(10)
    for report in (good(1), bad(2), good(3)):
        ring.add(report)
    assert rest(ring) == [1, 2, 3]


def test_the_oldest_successes_go_first_and_then_the_oldest_errors() -> None:
    ring = Ring(3)
    for report in (bad(1), good(2), good(3), bad(4)):
        ring.add(report)
    assert ring.dropped == 1
    for report in (bad(5), bad(6)):
        ring.add(report)
    assert ring.dropped == 3
    assert rest(ring) == [4, 5, 6]


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 10))
def test_the_ring_is_bounded_and_counts_what_it_drops(kinds: list[bool], capacity: int) -> None:
    ring = Ring(capacity)
    for n, fine in enumerate(kinds):
        ring.add(good(n) if fine else bad(n))
    kept = rest(ring)
    assert len(kept) == min(capacity, len(kinds))
    assert len(kept) + ring.dropped == len(kinds)
    assert kept == sorted(kept, key=str) or kept == sorted(kept)  # type: ignore[type-var]
    errors = [n for n, fine in enumerate(kinds) if not fine]
    assert [n for n in kept if n in errors] == errors[-capacity:][-len([n for n in kept if n in errors]) :]


async def test_a_reader_waits_and_ends_with_the_ring() -> None:
    ring = Ring(3)
    reports = Reports(ring, good=True, bad=True)
    task = asyncio.create_task(anext(reports))
    await asyncio.sleep(0)
    ring.add(bad(1))
    assert (await task).note == 1
    ring.add(good(2))
    ring.end()
    assert [report.note async for report in reports] == [2]


async def test_a_cancelled_reader_loses_nothing_and_leaves_nothing() -> None:
    ring = Ring(3)
    reports = Reports(ring, good=False, bad=True)
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await anext(reports)
    assert not ring._waiting
    task = asyncio.create_task(anext(reports))
    await asyncio.sleep(0)
    ring.add(bad(1))
    task.cancel()
    await asyncio.wait([task])
    assert (await anext(reports)).note == 1


async def test_views_pass_over_what_is_not_theirs() -> None:
    ring = Ring(5)
    for report in (good(1), bad(2), good(3)):
        ring.add(report)
    assert (await anext(Reports(ring, good=False, bad=True))).note == 2
    assert (await anext(Reports(ring, good=True, bad=False))).note == 1
    assert Reports(ring, good=True, bad=True).dropped == 0
