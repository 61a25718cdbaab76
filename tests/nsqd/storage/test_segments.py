"""The files of a disk queue: names, counting, and what is in a folder."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqd.storage import segments
from nsqd.storage.segments import Left, Position, QueueFiles, count_records, inventory, write_at
from tests.support.disk import record


@pytest.fixture
def files(tmp_path: Path) -> QueueFiles:
    """Of a channel's queue."""
    return QueueFiles(tmp_path, "t:c")


def test_names_are_the_original_s(files: QueueFiles, tmp_path: Path) -> None:
    assert files.path(0) == tmp_path / "t:c.diskqueue.000000.dat"
    assert files.path(1_234_567) == tmp_path / "t:c.diskqueue.1234567.dat"
    files.store_positions(4, Position(0, 0), Position(2, 0))
    assert (tmp_path / "t:c.diskqueue.meta.dat").read_bytes() == b"4\n0,0\n2,0\n"


def test_positions_come_back_as_they_were_stored(files: QueueFiles) -> None:
    assert not files.has_positions()
    stored = (-3, Position(1, 2), Position(999_999_999, 1 << 40))
    files.store_positions(*stored)
    assert files.has_positions()
    assert files.load_positions() == stored
    files.remove_positions()
    files.remove_positions()
    assert not files.has_positions()
    with pytest.raises(FileNotFoundError):
        files.load_positions()


def test_a_folder_tells_which_segments_there_are(tmp_path: Path) -> None:
    for name in (
        "a.diskqueue.000002.dat",
        "a.diskqueue.000010.dat",
        "a.diskqueue.1000000.dat",
        "a:b.diskqueue.000000.dat",
        "a.diskqueue.meta.dat",
        "a.diskqueue.000003.dat.bad",
        "a.diskqueue.000003.dat.bad.1",
        "a.diskqueue.00004.dat",
        "a.diskqueue.meta.dat.77.tmp",
        "x.diskqueue.y.diskqueue.000005.dat",
        ".diskqueue.000006.dat",
        "nsqd.dat",
        "a:b.diskqueue.deferred.dat",
        "late.diskqueue.deferred.dat",
        "gone.diskqueue.deferred.dat.bad",
    ):
        (tmp_path / name).touch()
    assert inventory(tmp_path) == {
        "a": Left([2, 10, 1_000_000]),
        "a:b": Left([0], deferred=True),
        "x.diskqueue.y": Left([5]),
        "late": Left([], deferred=True),
    }
    assert QueueFiles(tmp_path, "a").numbers(0, 999) == [2, 10]
    assert QueueFiles(tmp_path, "a").numbers(10, 10**9) == [10, 1_000_000]
    assert QueueFiles(tmp_path, "x").numbers(0, 10**9) == []


def test_a_name_is_no_pattern(tmp_path: Path) -> None:
    (tmp_path / "axb.diskqueue.000000.dat").touch()
    assert QueueFiles(tmp_path, "a.b").numbers(0, 9) == []


def test_a_new_segment_begins_empty_and_an_old_one_goes_on(files: QueueFiles) -> None:
    files.path(0).write_bytes(b"rest of a failure")
    os.close(files.open_for_writing(Position(0, 0)))
    assert files.size(0) == 0
    files.path(0).write_bytes(b"data")
    os.close(files.open_for_writing(Position(0, 4)))
    assert files.size(0) == 4
    assert files.size(1) == 0


def test_cutting_and_removing_what_is_gone_is_fine(files: QueueFiles) -> None:
    files.cut(Position(3, 0))
    files.remove(3)
    files.discard(range(5))
    files.remove_all(range(5))
    assert files.keep_as_bad(files.path(3)).name == "t:c.diskqueue.000003.dat.bad"


def test_what_is_kept_as_bad_is_kept_once_and_over_nothing_else(files: QueueFiles) -> None:
    path = files.path(0)
    Path(f"{path}.bad").write_bytes(b"earlier")
    path.write_bytes(b"damaged")
    bad = files.keep_as_bad(path)
    assert files.keep_as_bad(path) == bad
    path.unlink()
    assert (Path(f"{path}.bad").read_bytes(), bad.read_bytes()) == (b"earlier", b"damaged")


def test_where_files_have_one_name_only_a_copy_is_kept(
    files: QueueFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", no_links)
    files.path(0).write_bytes(b"damaged")
    assert files.keep_as_bad(files.path(0)).read_bytes() == b"damaged"


def test_discarding_goes_on_where_one_can_t_be_removed(files: QueueFiles) -> None:
    files.path(0).mkdir()
    files.path(1).touch()
    files.discard(range(2))
    assert not files.path(1).exists()


def test_all_of_the_data_is_written_at_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: pwrite(fd, data[:3], at))
    fd = os.open(tmp_path / "x", os.O_RDWR | os.O_CREAT)
    write_at(fd, b"0123456789", 5)
    assert os.pread(fd, 100, 0) == b"\0" * 5 + b"0123456789"
    os.close(fd)


@given(
    st.lists(st.binary(max_size=60), max_size=20),
    st.integers(5, 80),
    st.integers(0, 20),
    st.binary(max_size=29),
)
def test_records_are_counted_wherever_reads_end(
    tmp_path_factory: pytest.TempPathFactory, bodies: list[bytes], chunk: int, skip: int, rest: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "counted.dat"
    records = [record(body) for body in bodies]
    path.write_bytes(b"".join(records) + rest)
    skip = min(skip, len(records))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments, "_COUNT_CHUNK", chunk)
        assert count_records(path, sum(map(len, records[:skip]))) == len(records) - skip


def test_nothing_is_counted_where_there_is_nothing(tmp_path: Path) -> None:
    assert count_records(tmp_path / "gone", 0) == 0
    (tmp_path / "short").write_bytes(record(b"x"))
    assert count_records(tmp_path / "short", 1000) == 0
    assert count_records(tmp_path / "short", 3) == 0
