"""Emptying, deleting and closing disk queues: what is gone, what stays, and where the next life goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.disk import SIZE, A, B, C, D, Rig, descriptors

# -- emptying and deleting -------------------------------------------------------------------------


def test_emptying_removes_the_files_and_numbers_go_on(rig: Rig) -> None:
    queue = rig.open()
    rig.put(queue, A, B, C, D)
    assert rig.take(queue, 1) == [A]
    answers = rig.append(queue, A)
    queue.empty()
    assert (queue.depth, queue.pending, answers) == (0, 0, [None])
    rig.put(queue, B)
    assert rig.take(queue) == [B], "at once, although the disk thread has not removed anything yet"
    rig.disk.work()
    assert rig.files() == ["000002.dat"]
    rig.disk.write_now()
    assert rig.take(queue) == []


def test_emptying_while_a_sync_runs_leaves_no_old_positions(rig: Rig) -> None:
    queue = rig.open()
    rig.put(queue, A, B)
    queue.sync()
    queue.empty()
    rig.disk.work()
    assert rig.files() == []
    assert rig.take(rig.crash()) == []


def test_emptying_spares_files_that_were_set_aside(rig: Rig) -> None:
    bad = Path(f"{rig.segment(0)}.bad")
    bad.write_bytes(b"kept for a person to look at")
    queue = rig.open()
    rig.put(queue, A)
    queue.empty()
    queue.delete()
    rig.disk.work()
    assert rig.files() == ["000000.dat.bad"]


def test_deleting_removes_everything_for_good(rig: Rig) -> None:
    before = descriptors()
    queue = rig.open()
    rig.put(queue, A, B, C, D)
    assert rig.take(queue, 1) == [A]
    queue.sync()
    rig.put(queue, A)
    queue.delete()
    rig.disk.work()
    rig.disk.timeout()
    rig.disk.work()
    queue.close()
    assert rig.files() == []
    assert descriptors() == before


def test_a_queue_of_the_same_name_may_be_made_while_the_old_one_is_removed(rig: Rig) -> None:
    """Else its first segment would be removed with the old ones, or the old messages would come back."""
    old = rig.open()
    rig.put(old, A, B)
    old.sync()
    rig.disk.work()
    old.delete()
    new = rig.open(leftovers=False)
    assert new.depth == 0
    rig.put(new, C)
    rig.disk.work()
    assert rig.take(new) == [C]
    rig.put(new, D)
    new.delete()
    newest = rig.open(leftovers=False)
    rig.put(newest, A)
    rig.disk.work()
    assert rig.take(newest) == [A]
    assert rig.disk.removals == {}


def test_a_name_that_was_deleted_begins_anew_when_all_is_removed(rig: Rig) -> None:
    old = rig.open()
    rig.put(old, A, B)
    old.delete()
    rig.disk.work()
    new = rig.open(leftovers=False)
    rig.put(new, C)
    assert rig.files() == ["000000.dat"]


# -- closing ---------------------------------------------------------------------------------------


def test_closing_writes_what_waits_and_where_to_go_on(rig: Rig) -> None:
    before = descriptors()
    queue = rig.open()
    rig.put(queue, A, B, C, D)
    assert rig.take(queue, 2) == [A, B]
    answers = rig.append(queue, A)
    queue.close()
    rig.disk.work()
    assert answers == [None]
    assert rig.meta.read_bytes() == b"3\n0,80\n1,80\n"
    assert descriptors() == before


def test_closing_never_leaves_the_reading_position_at_the_end_of_a_segment(rig: Rig) -> None:
    """The original would take that segment for a damaged one."""
    queue = rig.open()
    rig.put(queue, A, B, C, D)
    assert rig.take(queue, 3) == [A, B, C]
    queue.close()
    rig.disk.work()
    assert rig.meta.read_bytes() == b"1\n1,0\n1,40\n"
    assert rig.files() == ["000001.dat", "meta.dat"]


def test_closing_an_empty_queue_leaves_no_read_segment(rig: Rig) -> None:
    """Else the original would set it aside as soon as it rolls over."""
    queue = rig.open()
    rig.put(queue, A, B, C, D)
    assert rig.take(queue) == [A, B, C, D]
    queue.close()
    rig.disk.work()
    assert rig.meta.read_bytes() == b"0\n2,0\n2,0\n"
    assert rig.files() == ["meta.dat"]
    queue = rig.open()
    rig.put(queue, A)
    assert rig.segment(2).stat().st_size == SIZE


def test_closing_an_untouched_queue_writes_nothing(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker with thousands of idle channels stops at once."""
    queue = rig.open()
    rig.put(queue, A)
    queue = rig.reopen(queue)
    monkeypatch.setattr("nsqd.storage.segments.write_atomically", pytest.fail)
    queue.close()
    assert rig.meta.read_bytes() == b"1\n0,0\n0,40\n"


def test_settling_is_no_news_to_a_queue_that_is_read_destructively(rig: Rig) -> None:
    queue = rig.open()
    rig.put(queue, A)
    assert queue.take(1, 100).positions is None
    queue.settle(range(1))
    assert queue.depth == 0
