"""The disk queue in good weather: its files to the byte, order, limits, and what it asks of the disk thread."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from nsqd.storage.segment_reader import READ_CHUNK
from tests.support.disk import OVERHEAD, SIZE, A, B, C, D, Rig, record

"""Of a record of these."""


# -- bytes -----------------------------------------------------------------------------------------


def test_a_record_is_a_length_then_timestamp_attempts_id_and_body(rig: Rig) -> None:
    queue = rig.open()
    rig.put(queue, b"hello")
    assert rig.segment(0).read_bytes() == (
        b"\x00\x00\x00\x1f"  # 26 + 5
        b"\x17\x02\x03\x04\x05\x06\x07\x08"
        b"\x00\x00"
        b"0000000000000000"
        b"hello"
    )


def test_a_frame_counts_the_delivery_to_come(rig: Rig) -> None:
    queue = rig.open()
    queue.append([record(b"x", attempts=0), record(b"y", attempts=3, number=0xABC)], lambda _: None)
    rig.disk.write_now()
    first, second = queue.take(2, 1000).frames
    assert first == b"\0\0\0\x1f" + b"\0\0\0\2" + b"\x17\2\3\4\5\6\7\x08" + b"\0\1" + b"0" * 16 + b"x"
    assert (
        second == b"\0\0\0\x1f" + b"\0\0\0\2" + b"\x17\2\3\4\5\6\7\x08" + b"\0\4" + b"0000000000000abc" + b"y"
    )


def test_attempts_go_from_65535_to_0_as_those_of_the_original(rig: Rig) -> None:
    queue = rig.open()
    queue.append([record(b"x", attempts=65535)], lambda _: None)
    rig.disk.write_now()
    assert queue.take(1, 1000).frames[0][16:18] == b"\0\0"


def test_the_position_file_holds_five_numbers(rig: Rig) -> None:
    queue = rig.open()
    rig.put(queue, A, B, C, D)
    assert rig.take(queue, 1) == [A]
    rig.disk.work()
    queue.sync()
    rig.disk.work()
    assert rig.meta.read_bytes() == b"3\n0,40\n1,40\n"
    assert rig.files() == ["000000.dat", "000001.dat", "meta.dat"]


def test_files_are_for_their_owner_alone(rig: Rig) -> None:
    queue = rig.open()
    rig.put(queue, A)
    queue.sync()
    rig.disk.work()
    for path in (rig.segment(0), rig.meta):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_nothing_is_created_before_it_is_needed(rig: Rig) -> None:
    queue = rig.open()
    queue.empty()
    queue.sync()
    assert rig.take(queue) == []
    rig.disk.timeout()
    rig.disk.work()
    queue.close()
    assert rig.files() == []


def test_a_percent_sign_in_the_path_is_just_a_letter(tmp_path: Path) -> None:
    folder = tmp_path / "100%d %s%n"
    folder.mkdir()
    with Rig(folder, "topic:channel", max_bytes_per_file=3 * SIZE) as rig:
        queue = rig.open()
        rig.put(queue, A, B, C, D)
        queue.sync()
        rig.disk.work()
        assert sorted(path.name for path in folder.iterdir()) == [
            "topic:channel.diskqueue.000000.dat",
            "topic:channel.diskqueue.000001.dat",
            "topic:channel.diskqueue.meta.dat",
        ]
        assert rig.take(rig.reopen(queue)) == [A, B, C, D]


# -- segments --------------------------------------------------------------------------------------


def test_a_record_that_ends_exactly_at_the_limit_stays_in_its_segment(rig: Rig) -> None:
    queue = rig.open()
    for body in (A, B, C):
        rig.put(queue, body)
    assert rig.segment(0).stat().st_size == 3 * SIZE
    assert not rig.segment(1).exists()
    rig.put(queue, D)
    assert rig.segment(1).stat().st_size == SIZE


def test_a_record_that_would_pass_the_limit_begins_a_segment(rig: Rig) -> None:
    queue = rig.open()
    rig.put(queue, A)
    rig.put(queue, b"x" * (2 * SIZE - OVERHEAD + 1))
    assert rig.segment(0).stat().st_size == SIZE
    assert rig.segment(1).stat().st_size == 2 * SIZE + 1


def test_a_record_larger_than_a_segment_has_one_of_its_own(rig: Rig) -> None:
    queue, large = rig.open(), b"L" * 1000
    rig.put(queue, large)
    rig.put(queue, A, large, B)
    assert [rig.segment(n).stat().st_size for n in range(4)] == [1030, SIZE, 1030, SIZE]
    assert rig.take(queue) == [large, A, large, B]


def test_one_message_per_segment_works_too(tmp_path: Path) -> None:
    with Rig(tmp_path, max_bytes_per_file=1) as rig:
        queue = rig.open()
        rig.put(queue, A, B)
        rig.put(queue, C)
        assert [rig.segment(n).stat().st_size for n in range(3)] == [SIZE] * 3
        assert rig.take(queue) == [A, B, C]


def test_many_publishers_of_a_turn_share_one_write(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[int] = []
    pwrite = os.pwrite

    def counting(fd: int, data: bytes, offset: int) -> int:
        writes.append(len(data))
        return pwrite(fd, data, offset)

    monkeypatch.setattr(os, "pwrite", counting)
    queue = rig.open()
    answers = [rig.append(queue, body) for body in (A, B, C)]
    assert (queue.depth, queue.pending, answers) == (0, 3, [[], [], []])
    rig.disk.write_now()
    assert writes == [3 * SIZE]
    assert (queue.depth, queue.pending, answers) == (3, 0, [[None], [None], [None]])
    assert rig.grown == 1


@pytest.mark.parametrize("left_in_the_segment", [True, False])
def test_a_segment_read_to_its_end_is_removed_and_never_set_aside(
    rig: Rig, caplog: pytest.LogCaptureFixture, left_in_the_segment: bool
) -> None:
    """The original renames such a segment to .bad when a record ends exactly where a segment rolls over."""
    queue = rig.open()
    for _ in range(4):
        rig.put(queue, A, B, C)
        assert (
            rig.take(queue, 2 if left_in_the_segment else 3) == [A, B, C][: 2 if left_in_the_segment else 3]
        )
        if left_in_the_segment:
            assert rig.take(queue, 1) == [C]
        rig.disk.work()
    rig.put(queue, D)
    assert rig.take(queue) == [D]
    rig.disk.work()
    queue.sync()
    rig.disk.work()
    assert rig.files() == ["000004.dat", "meta.dat"]
    assert rig.meta.read_bytes() == b"0\n4,40\n4,40\n"
    assert caplog.records == []


# -- taking ----------------------------------------------------------------------------------------


def test_a_take_ends_at_its_count_or_behind_its_size_but_gives_one(rig: Rig) -> None:
    queue = rig.open()
    rig.put(queue, A, B, C, D)
    assert rig.take(queue, 0) == []
    assert rig.take(queue, 1) == [A]
    assert rig.take(queue, 9, 1) == [B]
    assert rig.take(queue, 9, SIZE + 1) == [C, D]
    assert rig.take(queue, 9) == []
    assert queue.depth == 0


def test_what_is_appended_but_not_written_can_t_be_taken(rig: Rig) -> None:
    queue = rig.open()
    rig.append(queue, A)
    assert rig.take(queue) == []
    assert (queue.depth, queue.pending) == (0, 1)


@pytest.mark.parametrize("cut", range(1, 38))
def test_a_record_may_lie_anywhere_across_two_reads(tmp_path: Path, cut: int) -> None:
    with Rig(tmp_path, "other", max_bytes_per_file=1 << 30) as rig:
        queue = rig.open()
        filler = b"f" * (READ_CHUNK - OVERHEAD - cut)
        rig.put(queue, filler, A, B)
        assert rig.take(queue) == [filler, A, B]
        assert queue.depth == 0


def test_a_record_may_be_longer_than_what_is_read_at_once(tmp_path: Path) -> None:
    with Rig(tmp_path, max_bytes_per_file=1 << 30) as rig:
        queue = rig.open()
        large = bytes(range(256)) * (READ_CHUNK // 128)
        rig.put(queue, A, large, B)
        assert rig.take(queue, 1) == [A]
        assert rig.take(queue, 1) == [large]
        rig.put(queue, large)
        assert rig.take(queue) == [B, large]


def test_reading_follows_writing_within_a_segment(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        queue = rig.open()
        for n in range(50):
            rig.put(queue, b"%d" % n)
            assert rig.take(queue) == [b"%d" % n]
            assert queue.depth == 0


# -- the disk thread -------------------------------------------------------------------------------


def syncs(rig: Rig) -> int:
    """Syncs that the disk thread has still to do."""
    return sum(getattr(job, "func", job).__name__ == "_sync_on_thread" for job, _ in rig.disk.jobs)


def test_so_many_operations_lead_to_a_sync(tmp_path: Path) -> None:
    with Rig(tmp_path, sync_every=5) as rig:
        queue = rig.open()
        rig.put(queue, A, B)
        assert rig.take(queue, 2) == [A, B]
        assert syncs(rig) == 0
        rig.put(queue, C)
        assert syncs(rig) == 1
        rig.disk.work()
        assert rig.meta.read_bytes() == b"1\n0,80\n0,120\n"


def test_nothing_is_synced_any_more_when_queues_are_being_closed(tmp_path: Path) -> None:
    with Rig(tmp_path, sync_every=1) as rig:
        queue = rig.open()
        rig.disk.ending = True
        rig.put(queue, A, B)
        queue.sync()
        assert not rig.disk.jobs
        queue.close()
        assert rig.meta.read_bytes() == b"2\n0,0\n0,%d\n" % (2 * SIZE)


def test_with_sync_every_0_every_operation_leads_to_one(tmp_path: Path) -> None:
    with Rig(tmp_path, sync_every=0) as rig:
        queue = rig.open()
        rig.put(queue, A)
        assert syncs(rig) == 1
        rig.disk.work()
        assert rig.take(queue) == [A]
        assert syncs(rig) == 1


def test_the_end_of_a_segment_leads_to_a_sync(rig: Rig) -> None:
    """So an original that finds the folder after a kill knows at least of the segments before the last."""
    queue = rig.open()
    rig.put(queue, A, B, C)
    assert syncs(rig) == 0
    rig.put(queue, D)
    rig.disk.work()
    assert rig.meta.read_bytes() == b"4\n0,0\n1,40\n"


def test_a_sync_under_way_is_not_joined_by_a_second(tmp_path: Path) -> None:
    with Rig(tmp_path, sync_every=1) as rig:
        queue = rig.open()
        for body in (A, B, C):
            rig.put(queue, body)
        assert syncs(rig) == 1
        rig.disk.work(1)
        assert rig.meta.read_bytes() == b"1\n0,0\n0,40\n", "it stores what was so when it was asked for"
        assert syncs(rig) == 1, "the next one follows at once, for enough has happened meanwhile"
        rig.disk.work()
        assert rig.meta.read_bytes() == b"3\n0,0\n0,120\n"


def test_a_change_is_synced_at_the_timeout_and_an_idle_queue_is_not(rig: Rig) -> None:
    queue = rig.open()
    assert rig.disk.timers == []
    rig.put(queue, A)
    rig.disk.timeout()
    rig.disk.work()
    assert rig.meta.read_bytes() == b"1\n0,0\n0,40\n"
    rig.meta.unlink()
    rig.disk.timeout()
    rig.disk.work()
    assert not rig.meta.exists()
    assert rig.disk.timers == []


def test_a_sync_covers_the_data_before_it_stores_the_positions(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def noting(fd: int) -> None:
        synced.append(Path(f"/proc/self/fd/{fd}").readlink().name.partition(".dat")[0])
        fsync(fd)

    monkeypatch.setattr(os, "fsync", noting)
    queue = rig.open()
    rig.put(queue, A, B, C, D)
    queue.sync()
    rig.disk.work()
    assert synced[:3] == ["t.diskqueue.000000", "t.diskqueue.000001", "t.diskqueue.meta"]
    assert synced[3:] == [rig.folder.name]
