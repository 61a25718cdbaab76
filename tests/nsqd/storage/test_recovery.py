"""Disk queues after an unclean end, or with files that somebody else left: nothing that is there may be lost."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from nsqd.storage.recovery import Recovered, recover
from nsqd.storage.segments import Position, QueueFiles, count_records
from tests.support.disk import SIZE, A, B, C, D, E, Rig, record


def lay(rig: Rig, *segments: list[bytes], meta: str | None = None) -> None:
    """Files as another life may have left them."""
    for number, bodies in enumerate(segments):
        rig.segment(number).write_bytes(b"".join(map(record, bodies)))
    if meta is not None:
        rig.meta.write_text(meta)


# -- a clean stop ----------------------------------------------------------------------------------


def test_positions_that_fit_are_obeyed(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    lay(rig, [A, B, C], [D], meta="2\n0,80\n1,40\n")
    queue = rig.open()
    assert queue.depth == 2
    rig.put(queue, E)
    assert rig.take(queue) == [C, D, E]
    rig.disk.work()
    assert rig.files() == ["000001.dat", "meta.dat"], "E went into the segment that had room"
    assert caplog.records == []


def test_writing_goes_on_in_the_segment_even_when_it_is_full(rig: Rig) -> None:
    lay(rig, [A, B, C], meta="3\n0,0\n0,120\n")
    queue = rig.open()
    rig.put(queue, D)
    assert rig.take(queue) == [A, B, C, D]


def test_a_queue_that_was_emptied_goes_on_behind_its_old_numbers(rig: Rig) -> None:
    lay(rig, meta="0\n7,0\n7,0\n")
    queue = rig.open()
    rig.put(queue, A)
    assert rig.files() == ["000007.dat", "meta.dat"]
    assert rig.take(queue) == [A]


# -- a kill ----------------------------------------------------------------------------------------


def test_what_was_written_behind_the_stored_position_is_found(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    queue = rig.open()
    rig.put(queue, A, B)
    queue.sync()
    rig.disk.work()
    rig.put(queue, C, D, E)
    queue = rig.crash()
    assert queue.depth == 5
    assert rig.take(queue) == [A, B, C, D, E]
    assert queue.depth == 0
    text = "DISKQUEUE(t) metadata writePos 80 < file size of 120, skipping to new file"
    assert [(r.levelno, r.getMessage()) for r in caplog.records] == [(logging.WARNING, text)]


def test_what_the_stored_depth_tells_is_not_counted_again(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backlog of 10 GB would hold up the start for 20 s."""
    queue = rig.open()
    rig.put(queue, A, B, C, D)
    rig.disk.work()
    assert rig.take(queue, 1) == [A]
    queue.sync()
    rig.disk.work()
    rig.put(queue, E, A, B)
    counted: list[tuple[str, int]] = []

    def count(path: Path, start: int) -> int:
        counted.append((path.name[-10:], start))
        return count_records(path, start)

    monkeypatch.setattr("nsqd.storage.recovery.count_records", count)
    queue = rig.crash()
    assert counted == [("000001.dat", SIZE), ("000002.dat", 0)]
    assert queue.depth == 6
    assert rig.take(queue) == [B, C, D, E, A, B]
    assert queue.depth == 0


def test_segments_behind_a_stored_position_at_the_end_of_one_are_found(rig: Rig) -> None:
    """The original overwrites them: to it, the position fits."""
    queue = rig.open()
    rig.put(queue, A, B, C)
    queue.sync()
    rig.disk.work()
    rig.put(queue, D)
    queue = rig.crash()
    assert queue.depth == 4
    rig.put(queue, E)
    assert rig.take(queue) == [A, B, C, D, E]


def test_without_a_position_file_everything_is_read_and_nothing_overwritten(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    queue = rig.open()
    rig.put(queue, A, B, C, D)
    queue = rig.crash()
    assert queue.depth == 4
    rig.put(queue, E)
    assert rig.take(queue) == [A, B, C, D, E]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_mended_positions_are_stored_so_that_a_second_kill_changes_nothing(rig: Rig) -> None:
    queue = rig.open()
    rig.put(queue, A, B, C, D)
    queue = rig.crash()
    rig.disk.work()
    assert rig.meta.read_bytes() == b"4\n0,0\n2,0\n"
    assert rig.take(queue, 2) == [A, B]
    queue = rig.crash()
    assert rig.take(queue, 2) == [A, B]
    rig.put(queue, E)
    queue = rig.crash()
    assert rig.take(queue) == [A, B, C, D, E]


def test_a_kill_before_any_write_is_nothing_to_mend(rig: Rig) -> None:
    queue = rig.open()
    rig.put(queue, A)
    queue = rig.reopen(queue)
    queue = rig.crash()
    assert list(rig.disk.jobs) == []
    assert rig.take(queue) == [A]


def test_half_a_record_at_the_end_costs_only_itself(rig: Rig) -> None:
    lay(rig, [A, B], meta="1\n0,0\n0,40\n")
    with rig.segment(0).open("ab") as file:
        file.write(record(C)[:-1])
    queue = rig.open()
    assert queue.depth == 2
    rig.put(queue, D)
    assert rig.take(queue) == [A, B, D]
    assert queue.depth == 0
    rig.disk.work()
    assert "000000.dat.bad" in rig.files()


def test_a_segment_shorter_than_its_position_gets_no_hole(rig: Rig) -> None:
    """A loss of power can do that; the original would write behind the hole, and lose what it wrote."""
    lay(rig, [A], meta="3\n0,0\n0,120\n")
    queue = rig.open()
    assert queue.depth == 1
    rig.put(queue, B)
    assert rig.take(queue) == [A, B]


def test_a_segment_that_was_read_but_for_the_stored_position_is_not_looked_for(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    queue = rig.open()
    rig.put(queue, A, B, C, D, E)
    queue.sync()
    assert rig.take(queue, 4) == [A, B, C, D]
    rig.disk.work(3)  # ends the full segment, stores the old positions, removes the segment that was read
    assert rig.files() == ["000001.dat", "meta.dat"]
    queue = rig.crash()
    assert queue.depth == 2
    assert rig.take(queue) == [D, E], "again, but not lost"
    assert all(record.levelno < logging.ERROR for record in caplog.records)


# -- what nobody should have done ------------------------------------------------------------------

GARBAGE = {
    "nothing": "",
    "no numbers": "what is this?\n",
    "a number too few": "1\n0,0\n1\n",
    "a line too many": "4\n0,0\n1,40\n5\n",
    "no end of line": "4\n0,0\n1,40",
    "blanks": " 4\n0,0\n1,40\n",
    "negative positions": "4\n0,-40\n1,40\n",
    "a number that no computer takes": f"{'9' * 5000}\n0,0\n1,40\n",
    "letters of another script": "٤\n0,0\n1,40\n",
}


@pytest.mark.parametrize("text", GARBAGE.values(), ids=GARBAGE.keys())
def test_a_garbled_position_file_costs_nothing(rig: Rig, text: str, caplog: pytest.LogCaptureFixture) -> None:
    lay(rig, [A, B, C], [D], meta=text)
    queue = rig.open()
    assert queue.depth == 4
    rig.put(queue, E)
    assert rig.take(queue) == [A, B, C, D, E]
    assert caplog.records[0].levelno == logging.ERROR
    assert caplog.records[0].getMessage().startswith("DISKQUEUE(t) failed to retrieveMetaData - ")


def test_a_garbled_position_file_alone_is_an_empty_queue(rig: Rig) -> None:
    lay(rig, meta="garbage")
    queue = rig.open()
    rig.put(queue, A)
    assert rig.take(queue) == [A]
    assert rig.files() == ["000000.dat", "meta.dat"]


IMPOSSIBLE = {
    "reading behind writing": "4\n1,40\n0,120\n",
    "reading behind writing within a segment": "4\n0,80\n0,40\n",
    "writing in a segment that is far away": "4\n0,0\n999999999,0\n",
    "writing in a segment that is not there": "4\n0,0\n2,40\n",
    "writing in a segment before the last": "3\n0,0\n0,120\n",
    "a depth of nothing though there is something": "0\n0,0\n1,40\n",
    "a negative depth": "-3\n0,0\n1,40\n",
    "a depth though nothing is left": "3\n1,40\n1,40\n",
    "everything far away": "3\n999999999,40\n999999999,80\n",
}
READ_BEFORE = {
    "a depth though nothing is left": 4,
    "everything far away": 4,
}


@pytest.mark.parametrize("text", IMPOSSIBLE.values(), ids=IMPOSSIBLE.keys())
def test_positions_that_can_t_be_are_mended(rig: Rig, text: str, request: pytest.FixtureRequest) -> None:
    lay(rig, [A, B, C], [D], meta=text)
    queue = rig.open()
    left = [A, B, C, D][READ_BEFORE.get(request.node.callspec.id, 0) :]
    assert queue.depth == len(left)
    rig.put(queue, E)
    assert rig.take(queue) == [*left, E]
    assert queue.depth == 0
    rig.disk.work()
    queue = rig.reopen(queue)
    assert (queue.depth, rig.take(queue)) == (0, [])


def test_segments_that_begin_late_and_have_gaps_are_all_read(rig: Rig) -> None:
    for number, body in ((3, A), (5, B), (700_000, C)):
        rig.segment(number).write_bytes(record(body))
    rig.meta.write_text("9\n0,40\n4,0\n")
    queue = rig.open()
    assert queue.depth == 3
    rig.put(queue, D)
    assert rig.take(queue) == [A, B, C, D]
    rig.disk.work()
    assert rig.files() == ["700001.dat", "meta.dat"]


def test_a_depth_too_low_is_mended_when_it_is_used_up(rig: Rig) -> None:
    """The original stores such a depth when it stops before it has read all that a kill had left."""
    lay(rig, [A, B, C], [D, E], meta="2\n0,0\n1,80\n")
    queue = rig.open()
    assert queue.depth == 2
    assert rig.take(queue, 2) == [A, B]
    assert queue.depth == 3
    assert rig.take(queue) == [C, D, E]
    assert queue.depth == 0


def test_a_depth_too_high_is_reset_at_the_tail(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    lay(rig, [A, B], meta="7\n0,0\n0,80\n")
    queue = rig.open()
    assert queue.depth == 7
    assert rig.take(queue) == [A, B]
    assert queue.depth == 0
    assert caplog.messages == ["DISKQUEUE(t) positive depth at tail (5), data loss, resetting 0..."]


def test_files_of_an_earlier_life_are_found_when_the_name_is_used_again(rig: Rig, tmp_path: Path) -> None:
    lay(rig, [A, B])
    for name in ("t:c", "tt", "t.diskqueue"):
        with Rig(tmp_path, name) as other:
            assert other.open().depth == 0
    assert rig.take(rig.open()) == [A, B]


def test_looking_changes_nothing(rig: Rig) -> None:
    lay(rig, [A, B, C], [D], meta="garbage")
    assert recover(QueueFiles(rig.folder, "t"), [0, 1]) == Recovered(
        4, Position(0, 0), Position(2, 0), as_stored=False
    )
    assert rig.meta.read_text() == "garbage"
    assert rig.files() == ["000000.dat", "000001.dat", "meta.dat"]


def test_a_position_file_that_can_t_be_read_is_no_empty_queue(rig: Rig) -> None:
    lay(rig, [A])
    rig.meta.mkdir()
    with pytest.raises(IsADirectoryError):
        rig.open()
