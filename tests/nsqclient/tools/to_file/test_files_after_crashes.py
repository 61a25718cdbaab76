"""What a crash left is completed, repaired or let alone."""

from __future__ import annotations

import errno
import fcntl
import gzip
import logging
import os
from pathlib import Path

import pytest

from nsqclient.tools.to_file.failures import ArchiveFailed
from nsqclient.tools.to_file.members import member
from tests.nsqclient.tools.to_file.rig import NAME, Rig, lines, refuse


@pytest.fixture(autouse=True)
def _all_lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def test_files_left_in_the_work_folder_are_completed(tmp_path: Path) -> None:
    rig = Rig(tmp_path, separate=True, filename_format="<DATETIME>/<TOPIC><REV>.log")
    left = {
        "2024-12-31_23/t-000004.log": b"one\ntwo\nto",
        "2025-01-01_10/t-000000.log": b"three\n",
        "2025-01-01_10/u-000000.log": b"of another topic",
    }
    for name, content in left.items():
        (rig.work / name).parent.mkdir(parents=True, exist_ok=True)
        (rig.work / name).write_bytes(content)
    (rig.out / "2025-01-01_10").mkdir(parents=True)
    (rig.out / "2025-01-01_10/t-000000.log").write_bytes(b"theirs")
    rig.files.recover()
    assert rig.contents() == {
        "out/2024-12-31_23/t-000004.log": b"one\ntwo\n",
        "out/2025-01-01_10/t-000000.log": b"theirs",
        "out/2025-01-01_10/t-000001.log": b"three\n",
        "work/2025-01-01_10/u-000000.log": b"of another topic",
    }


def test_a_move_that_a_crash_cut_short_is_ended(tmp_path: Path) -> None:
    rig = Rig(tmp_path, separate=True)
    for folder in (rig.work, rig.out):
        folder.mkdir()
    (rig.work / f"t-000000.{NAME}").write_bytes(b"x\n")
    (rig.out / f"t-000000.{NAME}").hardlink_to(rig.work / f"t-000000.{NAME}")
    rig.files.recover()
    assert rig.contents() == {f"out/t-000000.{NAME}": b"x\n"}


def test_a_file_that_another_process_is_writing_to_stays_in_the_work_folder(tmp_path: Path) -> None:
    rig = Rig(tmp_path, separate=True)
    rig.files.write([b"x"])
    rig.make().recover()
    assert rig.contents() == {f"work/t-000000.{NAME}": b"x\n"}
    rig.files.close()
    assert rig.contents() == {f"out/t-000000.{NAME}": b"x\n"}


def test_torn_files_are_repaired_where_they_lie_without_a_work_folder(tmp_path: Path) -> None:
    rig = Rig(tmp_path, gzip=True)
    rig.out.mkdir()
    whole = member(b"one\n", 6)
    (rig.out / f"t-000000.{NAME}.gz").write_bytes(whole + whole[:-5])
    (rig.out / f"t-000001.{NAME}.gz").write_bytes(whole[:15])
    (rig.out / f"t-000002.{NAME}.gz").write_bytes(gzip.compress(b"theirs")[:-3])
    rig.files.recover()
    contents = rig.contents()
    assert contents[f"out/t-000000.{NAME}.gz"] == whole
    assert gzip.decompress(contents[f"out/t-000001.{NAME}.gz"]) == b""
    assert contents[f"out/t-000002.{NAME}.gz"] == gzip.compress(b"theirs")[:-3]


def test_a_damaged_file_is_left_as_it_is_and_others_are_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig(tmp_path, separate=True, gzip=True)
    rig.work.mkdir()
    left, whole = rig.work / f"t-000000.{NAME}.gz", member(b"one\n", 6)
    left.write_bytes(whole + b"?" + whole)
    rig.files.recover()
    assert lines(caplog) == [
        f"WARNING [t/c] {left} is damaged from byte {len(whole)} on, and more records follow: leaving it as it is"
    ]
    rig.files.write([b"two"])
    rig.files.close()
    contents = rig.contents()
    assert contents.pop(f"work/t-000000.{NAME}.gz") == whole + b"?" + whole
    assert {name: gzip.decompress(data) for name, data in contents.items()} == {
        f"out/t-000001.{NAME}.gz": b"two\n"
    }


def test_what_is_cut_off_a_file_and_may_have_been_good_is_kept_where_it_was(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig(tmp_path, separate=True, gzip=True)
    rig.work.mkdir()
    left, whole = rig.work / f"t-000000.{NAME}.gz", member(b"one\n", 6)
    left.write_bytes(whole + b"junk")
    rig.files.recover()
    assert rig.contents() == {f"out/t-000000.{NAME}.gz": whole, f"work/t-000000.{NAME}.gz.torn": b"junk"}
    assert lines(caplog)[0] == (
        f"WARNING [t/c] cut 4 bytes that are no whole record off the end of {left}, and kept them in {left}.torn"
    )


def other_disk(path: Path, target: Path) -> None:
    """Instead of a link."""
    number = errno.EEXIST if os.path.lexists(path) else errno.EXDEV
    raise OSError(number, os.strerror(number))


def test_a_file_that_others_write_to_is_copied_to_another_disk_by_the_last_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "hardlink_to", other_disk)
    rig, other = Rig(tmp_path, separate=True), Rig(tmp_path, separate=True)
    rig.files.write([b"one"])
    other.files.write([b"two"])
    rig.files.close()
    assert rig.contents() == {f"work/t-000000.{NAME}": b"one\ntwo\n"}
    other.files.write([b"three"])
    other.files.close()
    assert rig.contents() == {f"out/t-000000.{NAME}": b"one\ntwo\nthree\n"}


def test_a_copy_whose_source_a_crash_has_spared_is_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "hardlink_to", other_disk)
    rig = Rig(tmp_path, separate=True)
    rig.files.write([b"one"])
    with monkeypatch.context() as crash:
        crash.setattr(Path, "unlink", refuse)
        with pytest.raises(ArchiveFailed):
            rig.files.close()
    assert rig.contents() == {f"out/t-000000.{NAME}": b"one\n", f"work/t-000000.{NAME}": b"one\n"}
    rig.make().recover()
    assert rig.contents() == {f"out/t-000000.{NAME}": b"one\n"}


def test_a_file_that_is_only_like_another_is_no_copy_of_it(tmp_path: Path) -> None:
    rig = Rig(tmp_path, separate=True)
    for folder in (rig.work, rig.out):
        folder.mkdir()
        path = folder / f"t-000000.{NAME}"
        path.write_bytes(b"one\n")
        os.utime(path, (1000, 1000))  # as precise as some file systems are
    rig.files.recover()
    assert rig.contents() == {f"out/t-000000.{NAME}": b"one\n", f"out/t-000001.{NAME}": b"one\n"}


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_without_locks_no_file_is_touched_and_no_record_joined_to_a_torn_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    def no_locks(fd: int, how: int) -> None:
        raise OSError(number, os.strerror(number))

    rig = Rig(tmp_path)
    rig.out.mkdir()
    path = rig.out / f"t.{NAME}"
    path.write_bytes(b"one\ntorn")
    monkeypatch.setattr(fcntl, "flock", no_locks)
    rig.files.recover()
    assert lines(caplog) == [f"WARNING [t/c] can't look into {path}: {os.strerror(number).lower()}"]
    rig.files.write([b"two"])
    rig.files.write([b"three"])
    rig.files.close()
    assert path.read_bytes() == b"one\ntorn\ntwo\nthree\n"


def test_an_empty_file_left_behind_is_removed_where_none_are_wanted(tmp_path: Path) -> None:
    for skip in (False, True):
        rig = Rig(tmp_path / str(skip), separate=True, skip_empty_files=skip)
        rig.work.mkdir(parents=True)
        (rig.work / f"t-000000.{NAME}").touch()
        rig.files.recover()
        assert list(rig.contents()) == ([] if skip else [f"out/t-000000.{NAME}"])
