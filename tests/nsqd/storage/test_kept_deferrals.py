"""Deferred messages over the end of a life: their times are kept, and no crash loses or multiplies them."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from unittest.mock import patch

import pytest

from nsqd.frames import past_of_payload
from nsqd.storage.diskqueue import DiskQueue
from tests.support.disk import SIZE, A, B, C, D, E, F, Rig, body_of, record

NOW = 1_700_000_000_000_000_000
Restored = list[tuple[float, bytes]]


@pytest.fixture(autouse=True)
def _clock() -> Iterator[None]:
    with patch("time.time_ns", return_value=NOW):
        yield


def past(body: bytes, attempts: int = 0) -> bytes:
    return past_of_payload(record(body, attempts=attempts)[4:])


def end_with(rig: Rig, queue: DiskQueue, *deferred: tuple[float, bytes]) -> None:
    """A clean stop at loop time 100 with these messages deferred."""
    queue.defer([(100 + due, past(body)) for due, body in deferred], 100.0, lambda _: None)
    rig.disk.write_now()
    rig.disk.work()
    queue.close()


def begin(rig: Rig) -> tuple[DiskQueue, Restored]:
    """The next start, at loop time 0."""
    queue = rig.crash()
    return queue, [(round(due, 6), body_of(frame)) for due, frame in queue.restored(0.0)]


def deferred_path(rig: Rig) -> Path:
    return rig.folder / "t.diskqueue.deferred.dat"


def laid(rig: Rig) -> None:
    """A queue of four messages, two of them read, that ended with three deferred."""
    queue = rig.open()
    rig.put(queue, A, B, C, D)
    assert rig.take(queue, 2) == [A, B]
    end_with(rig, queue, (5.0, E), (60.0, A), (7.5, F))


def test_they_come_back_with_their_times_and_are_not_in_the_queue(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    laid(rig)
    queue, restored = begin(rig)
    assert restored == [(5.0, E), (7.5, F), (60.0, A)]
    assert queue.depth == 2
    assert rig.take(queue) == [C, D]
    assert caplog.records == []


def test_the_queue_holds_them_last_for_who_knows_no_such_file(rig: Rig) -> None:
    laid(rig)
    assert rig.meta.read_bytes() == b"5\n0,80\n2,120\n"
    deferred_path(rig).unlink()
    queue, restored = begin(rig)
    assert restored == []
    assert rig.take(queue) == [C, D, E, F, A]


def test_attempts_are_kept(rig: Rig) -> None:
    queue = rig.open()
    queue.defer([(1.0, past(A, attempts=7))], 0.0, lambda _: None)
    queue.close()
    assert rig.crash().restored(0.0) == [(1.0, past(A, attempts=7))]


def test_what_is_portable_is_in_the_queue_only(rig: Rig) -> None:
    queue = rig.open(portable=True)
    rig.put(queue, A)
    end_with(rig, queue, (5.0, B))
    assert rig.files() == ["000000.dat", "meta.dat"]
    queue, restored = begin(rig)
    assert (restored, rig.take(queue)) == ([], [A, B])


def test_a_portable_end_leaves_no_file_of_an_earlier_one(rig: Rig) -> None:
    laid(rig)
    queue = rig.open(portable=True)
    end_with(rig, queue, *[(due, body_of(frame)) for due, frame in queue.restored(0.0)])
    assert not deferred_path(rig).exists()
    queue, restored = begin(rig)
    assert (restored, rig.take(queue)) == ([], [C, D, E, F, A])


def test_nothing_deferred_leaves_no_file(rig: Rig) -> None:
    laid(rig)
    queue = rig.open()
    queue.restored(0.0)
    assert not queue.handed_on(1000.0)
    queue.close()
    assert "deferred.dat" not in rig.files()


@pytest.mark.parametrize("down", [3 * 10**9, -(10**15)], ids=["3 s", "the clock was set back"])
def test_time_passes_while_it_is_down_but_no_delay_grows(rig: Rig, down: int) -> None:
    laid(rig)
    with patch("time.time_ns", return_value=NOW + down):
        _, restored = begin(rig)
    passed = max(down / 1e9, 0)
    assert restored == [(5.0 - passed, E), (7.5 - passed, F), (60.0 - passed, A)]


# -- crashes ---------------------------------------------------------------------------------------


def test_kills_right_after_the_start_change_nothing(rig: Rig) -> None:
    laid(rig)
    for _ in range(3):
        queue, restored = begin(rig)
        assert restored == [(5.0, E), (7.5, F), (60.0, A)]
    assert rig.take(queue) == [C, D]


def test_what_came_due_is_noted_within_the_sync_timeout(rig: Rig) -> None:
    laid(rig)
    queue, _ = begin(rig)
    assert queue.handed_on(6.0)
    queue, restored = begin(rig)
    assert len(restored) == 3, "twice rather than never"
    assert queue.handed_on(6.0)
    rig.disk.timeout()
    rig.disk.work()
    queue, restored = begin(rig)
    assert restored == [(7.5, F), (60.0, A)]
    assert queue.handed_on(8.0)
    rig.disk.timeout()
    rig.disk.work()
    queue, restored = begin(rig)
    assert restored == [(60.0, A)]
    assert not queue.handed_on(61.0)
    rig.disk.timeout()
    rig.disk.work()
    assert "deferred.dat" not in rig.files()
    assert rig.take(rig.crash()) == [C, D]


def test_new_messages_as_long_as_the_copies_are_not_taken_for_them(rig: Rig) -> None:
    """They come to stand where the copies stood, with the positions that the file names."""
    laid(rig)
    queue, _ = begin(rig)
    rig.disk.work()
    rig.put(queue, b"1" * 10, b"2" * 10, b"3" * 10)
    queue.sync()
    rig.disk.work()
    assert rig.meta.read_bytes() == b"5\n0,80\n2,120\n"
    queue, restored = begin(rig)
    assert restored == [(5.0, E), (7.5, F), (60.0, A)]
    assert rig.take(queue) == [C, D, b"1" * 10, b"2" * 10, b"3" * 10]


@pytest.mark.parametrize("call", ["unlink", "fsync", "pwrite"])
@pytest.mark.parametrize("number", range(3))
def test_a_start_cut_short_anywhere_is_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    with Rig(tmp_path, max_bytes_per_file=SIZE) as rig:
        laid(rig)
        calls = 0
        real = getattr(os, call)

        def cut_short(*args: object, **more: object) -> object:
            nonlocal calls
            calls += 1
            if calls > number:
                raise OSError("killed")
            return real(*args, **more)

        with monkeypatch.context() as patched:
            patched.setattr(os, call, cut_short)
            with suppress(OSError):
                rig.crash()
        queue, restored = begin(rig)
        assert restored == [(5.0, E), (7.5, F), (60.0, A)]
        assert rig.take(queue) == [C, D]


def test_an_end_that_can_t_sync_the_rest_stores_them(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = rig.open()
    rig.put(queue, A)
    queue.defer([(105.0, past(B))], 100.0, lambda _: None)
    fsync = os.fsync

    def fails_once(fd: int) -> None:
        monkeypatch.setattr(os, "fsync", fsync)
        raise OSError("input/output error")

    monkeypatch.setattr(os, "fsync", fails_once)
    with pytest.raises(OSError, match="input/output error"):
        queue.close()
    queue, restored = begin(rig)
    assert (restored, rig.take(queue)) == ([(5.0, B)], [A])


def test_an_end_that_can_t_write_the_file_has_them_in_the_queue(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    laid(rig)
    queue, restored = begin(rig)
    queue.defer([(due, past(body)) for due, body in restored], 0.0, lambda _: None)

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("nsqd.storage.deferred_file.write_atomically", full)
        with pytest.raises(OSError, match="no space left"):
            queue.close()
    queue, restored = begin(rig)
    assert (restored, rig.take(queue)) == ([], [C, D, E, F, A])


def test_an_end_that_can_t_write_the_copies_keeps_the_old_file(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    laid(rig)
    queue, restored = begin(rig)
    queue.defer([(due, past(body)) for due, body in restored], 0.0, lambda _: None)

    def full(*_: object) -> int:
        raise OSError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        with pytest.raises(OSError, match="no space left"):
            queue.close()
    queue, restored = begin(rig)
    assert restored == [(5.0, E), (7.5, F), (60.0, A)]
    assert rig.take(queue) == [C, D]


def test_a_portable_end_that_can_t_write_them_keeps_the_old_file(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    laid(rig)
    rig.crash()
    queue = rig.open(portable=True)
    restored = queue.restored(0.0)
    answers: list[OSError | None] = []

    def full(*_: object) -> int:
        raise OSError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        queue.defer(restored, 0.0, answers.append)
        rig.disk.write_now()
        queue.close()
    assert [str(answer) for answer in answers] == ["no space left on device"]
    assert begin(rig)[1] == [(5.0, E), (7.5, F), (60.0, A)]


# -- others had the folder -------------------------------------------------------------------------


def test_when_somebody_else_used_the_queue_the_queue_is_right(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    laid(rig)
    rig.meta.write_text("4\n1,0\n2,120\n")  # the original read C and stopped
    rig.segment(0).unlink()
    queue, restored = begin(rig)
    assert restored == []
    assert rig.take(queue) == [D, E, F, A]
    assert not deferred_path(rig).exists()
    assert "does not go with the queue any more" in caplog.text


def test_what_somebody_else_added_and_could_not_note_is_not_removed(rig: Rig) -> None:
    """The original was killed: its position file is as we left it."""
    laid(rig)
    rig.segment(3).write_bytes(record(b"added"))
    queue, restored = begin(rig)
    assert restored == []
    assert rig.take(queue) == [C, D, E, F, A, b"added"]


def test_other_messages_at_the_same_positions_are_not_taken_for_the_copies(rig: Rig) -> None:
    """The original handed all on, the channel was deleted and made anew, and as much came in again."""
    queue = rig.open()
    end_with(rig, queue, (5.0, E))
    rig.segment(0).write_bytes(record(A))
    queue, restored = begin(rig)
    assert (restored, rig.take(queue)) == ([], [A])
    assert not deferred_path(rig).exists()


def test_a_damaged_file_whose_copies_are_there_costs_delays_only(rig: Rig) -> None:
    laid(rig)
    os.truncate(deferred_path(rig), 150)
    damaged = deferred_path(rig).read_bytes()
    queue, restored = begin(rig)
    assert restored == []
    assert rig.take(queue) == [C, D, E, F, A]
    assert Path(f"{deferred_path(rig)}.bad").read_bytes() == damaged


def test_a_damaged_file_without_copies_costs_what_is_damaged(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    laid(rig)
    begin(rig)
    data = deferred_path(rig).read_bytes()
    deferred_path(rig).write_bytes(data.replace(b"f" * 10, b"g" * 10))
    for _ in range(2):
        queue, restored = begin(rig)
        assert restored == [(5.0, E), (60.0, A)]
    assert rig.take(queue) == [C, D]
    errors = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert len(errors) == 1
    assert f"of {deferred_path(rig)}, which is kept as {deferred_path(rig)}.bad - damaged" in errors[0]


# -- emptying and deleting -------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["empty", "delete"])
def test_emptying_and_deleting_forget_them(rig: Rig, way: str) -> None:
    laid(rig)
    queue, _ = begin(rig)
    getattr(queue, way)()
    rig.disk.work()
    assert rig.files() == []
    queue, restored = begin(rig)
    assert (restored, rig.take(queue)) == ([], [])


def test_emptying_a_queue_of_nothing_else_forgets_them(rig: Rig) -> None:
    end_with(rig, rig.open(), (5.0, A))
    queue, restored = begin(rig)
    assert (restored, queue.depth) == ([(5.0, A)], 0)
    rig.disk.work()
    queue.empty()
    rig.disk.work()
    assert begin(rig)[1] == []


def test_a_queue_made_anew_while_the_old_one_goes_has_none_of_them(rig: Rig) -> None:
    laid(rig)
    queue, _ = begin(rig)
    queue.delete()
    new = rig.open(leftovers=False)
    assert new.restored(0.0) == []
    rig.put(new, B)
    rig.disk.work()
    assert rig.take(new) == [B]
