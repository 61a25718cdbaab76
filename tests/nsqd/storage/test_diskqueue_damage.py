"""Reading what is damaged, gone, or can't be read for the moment."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable
from pathlib import Path
from struct import pack

import pytest

from nsqd.storage.salvage import WINDOW
from nsqd.storage.segment_reader import READ_CHUNK
from tests.support.disk import OVERHEAD, SIZE, A, B, C, D, E, F, G, Rig, descriptors, record


def overwrite(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


Harm = Callable[[Path], None]
LENGTHS: dict[str, Harm] = {
    "a length of nothing": lambda path: overwrite(path, SIZE, pack(">i", 0)),
    "a length that no message has": lambda path: overwrite(path, SIZE, pack(">i", 25)),
    "a negative length": lambda path: overwrite(path, SIZE, pack(">i", -36)),
    "a length beyond the end": lambda path: overwrite(path, SIZE, pack(">i", 100)),
    "an enormous length": lambda path: overwrite(path, SIZE, pack(">i", 2**31 - 1)),
    "zeros": lambda path: overwrite(path, SIZE, bytes(SIZE)),
}
"""The second of three records."""
ENDS: dict[str, Harm] = {
    "an end within the length": lambda path: os.truncate(path, SIZE + 3),
    "an end behind the length": lambda path: os.truncate(path, SIZE + 4),
    "an end within the record": lambda path: os.truncate(path, 2 * SIZE - 1),
}
HARMS = {
    **{name: (harm, [C]) for name, harm in LENGTHS.items()},
    **{name: (harm, []) for name, harm in ENDS.items()},
}
harms = pytest.mark.parametrize(("harm", "rest"), HARMS.values(), ids=HARMS.keys())


@harms
def test_what_lies_before_and_behind_the_damage_is_delivered(
    rig: Rig, harm: Harm, rest: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    queue = rig.open()
    rig.put(queue, A, B, C, D, E, F, G)
    harm(rig.segment(0))
    damaged = rig.segment(0).read_bytes()
    assert rig.take(queue) == [A, *rest, D, E, F, G]
    assert queue.depth == 0
    rig.put(queue, A)
    assert rig.take(queue) == [A]
    rig.disk.work()
    assert not rig.segment(0).exists()
    assert Path(f"{rig.segment(0)}.bad").read_bytes() == damaged
    first, second, third = caplog.messages
    assert first.startswith("DISKQUEUE(t) reading at ")
    assert f" of {rig.segment(0)} - " in first
    to = 2 * SIZE if rest else len(damaged)
    assert second == (
        f"DISKQUEUE(t) skipped {to - SIZE} bytes at {SIZE} of {rig.segment(0)}, "
        f"which is kept as {rig.segment(0)}.bad; going on at {to}"
    )
    assert third == f"DISKQUEUE(t) positive depth at tail ({2 - len(rest)}), data loss, resetting 0..."


@harms
def test_the_depth_is_right_soon_after_the_damage(
    rig: Rig, harm: Harm, rest: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    queue = rig.open()
    rig.put(queue, A, B, C, D, E, F, G)
    harm(rig.segment(0))
    left = [*rest, D, E, F, G]
    assert rig.take(queue, 2) == [A, left.pop(0)]
    rig.disk.turn()
    rig.put(queue, A)
    left.append(A)
    assert rig.take(queue, 1) == [left.pop(0)]
    rig.disk.work()
    assert queue.depth == len(left)
    assert rig.take(queue) == left
    assert queue.depth == 0
    assert "at tail" not in caplog.text


def test_a_count_that_comes_too_late_changes_nothing(rig: Rig) -> None:
    queue = rig.open()
    rig.put(queue, A, B, C, D)
    overwrite(rig.segment(0), SIZE, pack(">i", 5))
    assert rig.take(queue, 2) == [A, C]
    rig.disk.turn()
    assert rig.take(queue) == [D]
    rig.put(queue, E, F)
    rig.disk.work()
    assert queue.depth == 2


def test_a_length_that_grew_does_not_cost_the_next_record(rig: Rig) -> None:
    queue = rig.open()
    rig.put(queue, A, B, C, D)
    overwrite(rig.segment(0), SIZE, pack(">i", SIZE - 4 + 8))
    found = rig.take(queue)
    assert found == [A, B + record(C)[:8], C, D]


def test_numbers_in_a_body_are_not_taken_for_records(tmp_path: Path) -> None:
    """A length that shrank leads into the body, where possible lengths stand."""
    with Rig(tmp_path) as rig:
        for count in (1, 1000):
            queue = rig.open()
            rig.put(queue, A, pack(">i", 26) * 300, B)
            overwrite(rig.segment(queue._reader.at.file), SIZE, pack(">i", 126))
            found = [body for _ in range(5) for body in rig.take(queue, count)]
            assert found == [A, pack(">i", 26) * 25, B]
            assert queue.depth == 0
            rig.reopen(queue)


@harms
def test_damage_in_the_segment_that_is_written_costs_only_what_is_there(
    rig: Rig, harm: Harm, rest: list[bytes]
) -> None:
    before = descriptors()
    queue = rig.open()
    rig.put(queue, A, B, C)
    harm(rig.segment(0))
    assert rig.take(queue) == [A, *rest]
    assert queue.depth == 0
    rig.put(queue, D)
    assert rig.segment(1).stat().st_size == SIZE
    assert rig.take(queue) == [D]
    queue = rig.reopen(queue)
    assert (queue.depth, rig.take(queue)) == (0, [])
    assert rig.files() == ["000000.dat.bad", "meta.dat"]
    assert descriptors() == before


@harms
def test_damage_found_at_the_start_is_not_counted(rig: Rig, harm: Harm, rest: list[bytes]) -> None:
    queue = rig.open()
    rig.put(queue, A, B, C, D)
    harm(rig.segment(0))
    queue = rig.crash()
    assert rig.take(queue) == [A, *rest, D]
    assert queue.depth == 0


def test_a_message_longer_than_the_limit_of_today_is_delivered(rig: Rig) -> None:
    """The original sets the whole segment aside when --max-msg-size was lowered."""
    queue = rig.open()
    rig.put(queue, b"x" * 3_000_000)
    assert rig.take(queue) == [b"x" * 3_000_000]


def test_a_damaged_segment_never_replaces_one_set_aside_before(rig: Rig) -> None:
    queue = rig.open()
    for name in ("000000.dat.bad", "000000.dat.bad.1"):
        (rig.folder / f"t.diskqueue.{name}").write_bytes(b"earlier")
    rig.put(queue, A)
    overwrite(rig.segment(0), 0, b"\xff\xff\xff\xff")
    assert rig.take(queue) == []
    rig.disk.work()
    assert [name for name in rig.files() if ".bad" in name] == [
        "000000.dat.bad",
        "000000.dat.bad.1",
        "000000.dat.bad.2",
    ]
    assert (rig.folder / "t.diskqueue.000000.dat.bad").read_bytes() == b"earlier"


def test_a_segment_that_is_gone_is_passed_over(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    queue = rig.open()
    rig.put(queue, *[A] * 3, *[B] * 3, *[C] * 3, D)
    rig.segment(0).unlink()
    rig.segment(1).unlink()
    assert rig.take(queue) == [C, C, C, D]
    assert queue.depth == 0
    assert caplog.messages[0].startswith(f"DISKQUEUE(t) reading at 0 of {rig.segment(0)} - ")


def test_a_segment_that_is_open_is_read_though_its_name_is_gone(rig: Rig) -> None:
    """As after somebody removed the data folder: who was told OK gets his messages through."""
    queue = rig.open()
    rig.put(queue, A)
    rig.segment(0).unlink()
    rig.put(queue, B)
    assert rig.take(queue) == [A, B]
    assert queue.depth == 0


def test_what_is_written_behind_a_segment_that_is_gone_is_delivered(rig: Rig) -> None:
    queue = rig.open()
    rig.put(queue, A, B)
    queue = rig.reopen(queue)
    rig.segment(0).unlink()
    assert rig.take(queue) == []
    assert queue.depth == 0
    for body in (C, D):
        rig.put(queue, body)
        assert rig.take(queue) == [body]
    assert rig.take(rig.crash()) == [C, D]


def test_a_file_cut_short_while_it_is_read_does_not_stop_the_loop(rig: Rig) -> None:
    queue = rig.open()
    rig.put(queue, A, B, C)
    assert rig.take(queue, 1) == [A]
    queue._reader.caught_up()
    os.truncate(rig.segment(0), SIZE)
    assert rig.take(queue) == []
    assert queue.depth == 0


# -- reads that fail -------------------------------------------------------------------------------


def failing(error: int, times: int = 1) -> Callable[..., int]:
    """Stands for a system call that fails so often, and should then not be asked any more."""
    left = [times]

    def call(*_: object, **__: object) -> int:
        left[0] -= 1
        assert left[0] >= 0, "asked again"
        raise OSError(error, os.strerror(error))

    return call


@pytest.mark.parametrize("call", ["open", "dup", "pread"])
@pytest.mark.parametrize("error", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EACCES, errno.EINTR])
def test_a_read_that_fails_for_the_moment_loses_nothing(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, call: str, error: int, caplog: pytest.LogCaptureFixture
) -> None:
    queue = rig.open()
    rig.put(queue, A, B, *([] if call == "dup" else [C, D]))
    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing(error))
        assert rig.take(queue) == []
        assert rig.take(queue) == [], "not asked again before a while has passed"
    assert queue.depth in (2, 4)
    assert rig.disk.error is None, "health is about writes"
    assert len(rig.disk.retries) == 1
    grown = rig.grown
    rig.disk.retry()
    assert rig.grown == grown + 1, "consumers are woken"
    assert rig.take(queue) == [A, B, C, D][: 2 if call == "dup" else 4]
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert not [name for name in rig.files() if "bad" in name]


def test_what_was_read_ahead_is_delivered_while_the_rest_can_t_be_read(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = rig.open()
    rig.put(queue, A, B, C, D)
    with monkeypatch.context() as patch:
        opened = os.open
        patch.setattr(os, "dup", failing(errno.EMFILE))
        patch.setattr(os, "open", lambda *args: opened(*args))
        assert rig.take(queue) == [A, B, C]
    assert queue.depth == 1
    rig.disk.retry()
    assert rig.take(queue) == [D]


def test_a_medium_that_can_t_be_read_holds_nothing_else_up(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = rig.open()
    rig.put(queue, A, B, C, D)
    with monkeypatch.context() as patch:
        pread = os.pread
        patch.setattr(os, "pread", failing(errno.EIO))
        queue.take(0, 1)
        patch.setattr(
            os, "pread", lambda fd, size, at: pread(fd, size, at) if is_second(fd) else failing(errno.EIO)()
        )
        assert rig.take(queue) == [D]
    rig.disk.work()
    assert queue.depth == 0
    assert {"000000.dat", "000000.dat.bad"} & set(rig.files()) == {"000000.dat.bad"}


def is_second(fd: int) -> bool:
    return "000001" in str(Path(f"/proc/self/fd/{fd}").readlink())


def test_a_damaged_segment_that_can_t_be_kept_is_tried_again(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = rig.open()
    rig.put(queue, A, B, C, D)
    overwrite(rig.segment(0), SIZE, b"\0\0\0\0")
    with monkeypatch.context() as patch:
        patch.setattr(os, "link", failing(errno.EROFS))
        assert rig.take(queue) == [A]
    assert rig.take(queue) == [], "not before a while"
    rig.disk.retry()
    assert rig.take(queue) == [C, D]


def test_no_descriptor_is_left_behind_by_many_segments(rig: Rig) -> None:
    before = descriptors()
    queue = rig.open()
    for _ in range(30):
        rig.put(queue, A, B, C, D)
        assert rig.take(queue) == [A, B, C, D]
        queue.sync()
    rig.disk.work()
    assert descriptors() <= before + 2
    queue.close()
    assert descriptors() == before


def test_a_record_damaged_behind_the_first_read_is_noticed(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        queue = rig.open()
        filler = b"f" * (READ_CHUNK - OVERHEAD - 2)
        rig.put(queue, filler, A, B)
        overwrite(rig.segment(0), READ_CHUNK - 2, b"\x7f\0\0\0")
        assert rig.take(queue) == [filler]
        turns = 0
        while not (found := rig.take(queue)):
            rig.disk.turn()
            turns += 1
        assert (found, queue.depth) == ([B], 0)
        assert turns == READ_CHUNK // WINDOW, "each of them short"
        rig.disk.work()
        assert record(B) in (tmp_path / "t.diskqueue.000000.dat.bad").read_bytes()
