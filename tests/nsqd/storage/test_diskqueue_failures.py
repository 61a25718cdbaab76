"""Writes and syncs that fail: who is told, what stays, and how it goes on."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.disk import OVERHEAD, SIZE, A, B, C, D, E, Rig, descriptors

PWRITE, FSYNC = os.pwrite, os.fsync


class Medium:
    """A medium with so many bytes left; what does not fit is written in part, and the next try fails."""

    def __init__(self, room: int, error: int = errno.ENOSPC) -> None:
        self.room = room
        self.error = error

    def pwrite(self, fd: int, data: bytes, offset: int) -> int:
        size = min(len(data), max(self.room - offset, 0))
        if not size:
            raise OSError(self.error, os.strerror(self.error))
        return PWRITE(fd, data[:size], offset)


@pytest.fixture
def medium(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Medium]:
    def make(room: int, error: int = errno.ENOSPC) -> Medium:
        made = Medium(room, error)
        monkeypatch.setattr(os, "pwrite", made.pwrite)
        return made

    return make


def code(answers: list[OSError | None]) -> list[int | None]:
    return [None if error is None else error.errno or -1 for error in answers]


def health(rig: Rig) -> int | None:
    return None if rig.disk.error is None else rig.disk.error.errno


def settle(rig: Rig, answers: list[OSError | None]) -> list[OSError | None]:
    """The answers once the turn is over."""
    rig.disk.write_now()
    return answers


def failing(error: int) -> Callable[..., int]:
    def call(*_: object, **__: object) -> int:
        raise OSError(error, os.strerror(error))

    return call


# -- writes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EFBIG, errno.EROFS])
@pytest.mark.parametrize("room", [SIZE, SIZE + 1, SIZE + 4, 2 * SIZE - 1])
def test_a_failing_write_refuses_its_publisher_and_leaves_nothing(
    rig: Rig, medium: Callable[..., Medium], room: int, error: int
) -> None:
    queue = rig.open()
    rig.put(queue, A)
    full = medium(room, error)
    refused = rig.append(queue, B)
    rig.disk.write_now()
    assert code(refused) == [error]
    assert (queue.depth, queue.pending) == (1, 0)
    assert rig.segment(0).stat().st_size == SIZE
    assert rig.disk.error is refused[0]
    full.room = 1000
    rig.put(queue, C)
    assert rig.disk.error is None, "healthy again"
    assert rig.take(queue) == [A, C]
    assert queue.depth == 0


def test_a_write_fails_exactly_those_of_its_turn_that_do_not_fit(
    rig: Rig, medium: Callable[..., Medium]
) -> None:
    queue = rig.open()
    medium(2 * SIZE)
    first, long, last = rig.append(queue, A), rig.append(queue, b"x" * 60), rig.append(queue, B)
    rig.disk.write_now()
    assert (code(first), code(long), code(last)) == ([None], [errno.ENOSPC], [None])
    assert queue.depth == 2
    assert rig.take(queue) == [A, B]


def test_a_batch_is_stored_whole_or_not_at_all(rig: Rig, medium: Callable[..., Medium]) -> None:
    queue = rig.open()
    rig.put(queue, A)
    full = medium(2 * SIZE)
    refused = rig.append(queue, B, C, D, E)
    rig.disk.write_now()
    assert code(refused) == [errno.ENOSPC]
    full.room = 10_000
    rig.put(queue, B)
    assert rig.take(rig.crash()) == [A, B]


def test_a_batch_that_fails_in_its_third_segment_leaves_nothing_of_the_others(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = descriptors()
    queue = rig.open()
    rig.put(queue, A)

    def pwrite(fd: int, data: bytes, offset: int) -> int:
        if b"e" in data:
            raise OSError(errno.EIO, "bad medium")
        return PWRITE(fd, data, offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", pwrite)
        refused = rig.append(queue, *[B] * 2, *[C] * 3, *[E] * 3)
        rig.disk.write_now()
    assert code(refused) == [errno.EIO]
    assert rig.files() == ["000000.dat"]
    assert rig.segment(0).stat().st_size == SIZE
    rig.put(queue, C, D, E)
    assert rig.take(queue) == [A, C, D, E]
    rig.disk.work()
    queue.close()
    rig.disk.work()
    assert descriptors() == before


@pytest.mark.parametrize("sizes", [[SIZE], [SIZE, SIZE, SIZE, SIZE]])
def test_a_first_write_that_fails_leaves_no_file_and_no_descriptor(
    rig: Rig, medium: Callable[..., Medium], sizes: list[int]
) -> None:
    before = descriptors()
    queue = rig.open()
    medium(0)
    refused = rig.append(queue, *[b"x" * (size - OVERHEAD) for size in sizes])
    rig.disk.write_now()
    assert code(refused) == [errno.ENOSPC]
    queue.delete()
    rig.disk.work()
    assert rig.files() == []
    assert descriptors() == before


def test_a_segment_that_can_t_be_created_refuses_its_publisher(rig: Rig, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    with Rig(folder, max_bytes_per_file=3 * SIZE) as rig:
        queue = rig.open()
        folder.rmdir()
        assert code(settle(rig, rig.append(queue, A))) == [errno.ENOENT]
        assert queue.depth == 0
        folder.mkdir()
        rig.put(queue, B)
        assert rig.take(queue) == [B]


def test_no_descriptors_left_refuses_publishers_and_nothing_more(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = rig.open()
    rig.put(queue, A, B)
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", failing(errno.EMFILE))
        patch.setattr(os, "dup", failing(errno.EMFILE))
        assert code(settle(rig, rig.append(queue, C))) == [None], "the segment is open"
        assert code(settle(rig, rig.append(queue, D, E))) == [errno.EMFILE]
        queue.sync()
        assert rig.take(queue) == []
    rig.disk.work()
    rig.disk.retry()
    rig.put(queue, D)
    assert rig.take(queue) == [A, B, C, D]


def test_a_rest_that_can_t_be_cut_off_is_overwritten(
    rig: Rig, medium: Callable[..., Medium], monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = rig.open()
    rig.put(queue, A)
    full = medium(2 * SIZE - 1)
    with monkeypatch.context() as patch:
        patch.setattr(os, "truncate", failing(errno.EIO))
        assert code(settle(rig, rig.append(queue, B))) == [errno.ENOSPC]
    assert rig.segment(0).stat().st_size == 2 * SIZE - 1
    assert rig.take(queue) == [A], "not read"
    full.room = 1000
    rig.put(queue, C)
    assert rig.take(queue) == [C]


def test_half_a_record_that_stays_is_not_delivered_after_a_restart(
    rig: Rig, medium: Callable[..., Medium], monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = rig.open()
    rig.put(queue, A)
    medium(2 * SIZE - 1)
    with monkeypatch.context() as patch:
        patch.setattr(os, "truncate", failing(errno.EIO))
        settle(rig, rig.append(queue, B))
    queue = rig.reopen(queue)
    assert queue.depth == 1
    assert rig.take(queue) == [A]


def test_a_write_that_the_kernel_takes_in_parts_is_finished(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: PWRITE(fd, data[:7], offset))
    queue = rig.open()
    rig.put(queue, A, B, C, D)
    assert rig.take(queue) == [A, B, C, D]


def test_a_write_that_takes_nothing_means_that_the_disk_is_full(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        os, "pwrite", lambda fd, data, offset: PWRITE(fd, data[:7], offset) if not offset else 0
    )
    queue = rig.open()
    assert code(settle(rig, rig.append(queue, A))) == [errno.ENOSPC]


def test_closing_on_a_full_disk_says_so_and_keeps_what_was_stored(
    rig: Rig, medium: Callable[..., Medium]
) -> None:
    queue = rig.open()
    rig.put(queue, A)
    medium(SIZE)
    refused = rig.append(queue, B)
    queue.close()
    rig.disk.work()
    assert code(refused) == [errno.ENOSPC]
    assert rig.meta.read_bytes() == b"1\n0,0\n0,40\n"


FULL_DISK = """
import resource, sys
from pathlib import Path
from tests.support.disk import Rig

resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
with Rig(Path(sys.argv[1])) as rig:
    queue = rig.open()
    answers = []
    for n in range(100):
        answers.append(rig.append(queue, b"%02d" % n + b"x" * 68))
        if n % 7 == 0:
            rig.disk.write_now()
    rig.disk.write_now()
    stored = [n for n, answer in enumerate(answers) if answer == [None]]
    assert stored == list(range(50)), stored
    assert [answer[0].errno for answer in answers[50:]] == [27] * 50, answers
    assert [int(body[:2]) for body in rig.take(queue)] == stored
    print("as it should be")
"""


def test_at_a_limit_that_the_kernel_sets_those_that_fit_are_stored(tmp_path: Path) -> None:
    """RLIMIT_FSIZE: real short writes and real errors, without a full disk."""
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[3],
    )
    assert (done.stdout, done.returncode) == ("as it should be\n", 0), done.stderr


# -- syncs -----------------------------------------------------------------------------------------


def test_a_sync_that_fails_shows_in_the_health_and_is_tried_again(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    queue = rig.open()
    rig.put(queue, A)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing(errno.EIO))
        rig.disk.timeout()
        rig.disk.work()
        assert health(rig) == errno.EIO
        assert "DISKQUEUE(t) failed to sync - " in caplog.messages[-1]
        assert not rig.meta.exists(), "positions of data that may not be there are not stored"
        rig.disk.timeout()
        rig.disk.work()
        assert len(caplog.messages) == 2, "once per timeout"
    rig.disk.timeout()
    rig.disk.work()
    assert health(rig) is None
    assert rig.meta.read_bytes() == b"1\n0,0\n0,40\n"
    rig.disk.timeout()
    assert not rig.disk.jobs
    assert not rig.disk.timers


@pytest.mark.parametrize("sync_every", [0, 1])
def test_a_sync_that_fails_is_not_tried_without_a_pause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sync_every: int
) -> None:
    with Rig(tmp_path, sync_every=sync_every) as rig:
        queue = rig.open()
        monkeypatch.setattr(os, "fsync", failing(errno.EIO))
        rig.put(queue, A, B)
        rig.disk.work(10)
        assert not rig.disk.jobs
        assert rig.disk.timers


def test_a_good_sync_does_not_hide_a_failing_write(
    rig: Rig, medium: Callable[..., Medium], monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = rig.open()
    rig.put(queue, A)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing(errno.EIO))
        queue.sync()
        rig.disk.work()
    medium(SIZE)
    (error,) = settle(rig, rig.append(queue, B))
    rig.disk.timeout()
    rig.disk.work()
    assert rig.meta.exists()
    assert rig.disk.error is error


def test_a_segment_that_can_t_be_synced_at_its_end_shows_in_the_health(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = rig.open()
    rig.put(queue, A, B, C, D)
    monkeypatch.setattr(os, "fsync", failing(errno.EIO))
    rig.disk.work()
    assert rig.disk.error is not None


def test_closing_raises_what_the_sync_raised_but_stores_the_positions(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = descriptors()
    queue = rig.open()
    rig.put(queue, A)

    def fsync(fd: int) -> None:
        if "000000" in str(Path(f"/proc/self/fd/{fd}").readlink()):
            raise OSError(errno.EIO, "bad medium")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="bad medium"):
        queue.close()
    assert rig.meta.read_bytes() == b"1\n0,0\n0,40\n"
    assert descriptors() == before
