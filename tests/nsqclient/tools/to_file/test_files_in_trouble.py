"""Files that others take away, and disks that fail."""

from __future__ import annotations

import errno
import gzip
import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from nsqclient.tools.to_file import files as files_module
from nsqclient.tools.to_file import segment as segment_module
from nsqclient.tools.to_file.failures import ArchiveFailed
from tests.nsqclient.tools.to_file.rig import NAME, Rig, lines, refuse


@pytest.fixture(autouse=True)
def _all_lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


# ---- files taken away


@pytest.mark.parametrize("zipped", [False, True])
def test_what_was_not_synced_when_a_file_is_deleted_is_written_again(tmp_path: Path, zipped: bool) -> None:
    rig = Rig(tmp_path, gzip=zipped)
    rig.files.write([b"synced"])
    rig.files.sync()
    rig.files.write([b"not yet"])
    [path] = rig.out.iterdir()
    path.unlink()
    rig.files.sync()
    [content] = rig.contents().values()
    assert (gzip.decompress(content) if zipped else content) == b"not yet\n"
    rig.files.abandon()


def test_what_was_not_synced_when_a_file_is_deleted_is_written_again_at_its_end(tmp_path: Path) -> None:
    rig = Rig(tmp_path, separate=True)
    rig.files.write([b"x"])
    (rig.work / f"t-000000.{NAME}").unlink()
    rig.files.close()
    assert rig.contents() == {f"out/t-000001.{NAME}": b"x\n"}


def test_files_that_are_deleted_again_and_again_are_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = Rig(tmp_path)

    def delete(fd: int) -> None:
        (rig.out / f"t.{NAME}").unlink()

    monkeypatch.setattr(segment_module, "fdatasync", delete)
    rig.files.write([b"x"])
    with pytest.raises(ArchiveFailed, match="files are deleted while they are written"):
        rig.files.sync()
    rig.files.abandon()


def test_a_file_that_was_moved_keeps_what_it_has_and_another_is_opened(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig(tmp_path)
    rig.files.write([b"one"])
    (rig.out / f"t.{NAME}").rename(rig.out / "moved")
    rig.files.sync()
    rig.files.write([b"two"])
    rig.files.close()
    assert rig.contents() == {"out/moved": b"one\n", f"out/t.{NAME}": b"two\n"}
    assert f"WARNING [t/c] {rig.out}/t.{NAME} was moved by somebody else, opening another" in lines(caplog)


def test_a_file_that_was_emptied_gets_what_was_not_synced_again(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.files.write([b"one"])
    rig.files.sync()
    rig.files.write([b"two"])
    os.truncate(rig.out / f"t.{NAME}", 0)
    rig.files.sync()
    rig.files.write([b"three"])
    rig.files.close()
    assert rig.contents() == {f"out/t.{NAME}": b"two\nthree\n"}


def test_a_file_that_somebody_took_from_the_work_folder_is_theirs(tmp_path: Path) -> None:
    rig = Rig(tmp_path, separate=True)
    rig.files.write([b"x"])
    (rig.work / f"t-000000.{NAME}").rename(rig.work / "taken")
    rig.files.close()
    assert rig.contents() == {"work/taken": b"x\n"}


# ---- disks that fail


def failing(number: int, after: int = 0) -> Callable[..., int]:
    """Instead of a write: takes so many bytes, and fails from then on."""
    left = [after]

    def write(fd: int, data: memoryview) -> int:
        some = min(left[0], len(data))
        if not some:
            raise OSError(number, os.strerror(number))
        left[0] -= some
        return os.write(fd, data[:some])

    return write


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("after", range(0, 12, 3))
def test_a_batch_that_does_not_fit_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zipped: bool, after: int
) -> None:
    rig = Rig(tmp_path, gzip=zipped)
    rig.files.write([b"one"])
    rig.files.sync()
    before = rig.contents()
    monkeypatch.setattr(segment_module, "write_some", failing(errno.ENOSPC, after))
    path = next(rig.out.iterdir())
    if zipped:  # which writes when it syncs
        rig.files.write([b"two, which is too long"])
    with pytest.raises(ArchiveFailed) as raised:
        rig.files.sync() if zipped else rig.files.write([b"two, which is too long"])
    what = "failed to fsync output file: sync" if zipped else "writing message to disk: write"
    assert str(raised.value) == f"[t/c] {what} {path}: no space left on device"
    rig.files.abandon()
    assert rig.contents() == before


def test_a_partly_written_batch_stays_when_others_may_have_written_behind_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig, other = Rig(tmp_path), Rig(tmp_path)
    rig.files.write([b"one"])
    other.files.write([b"two"])
    monkeypatch.setattr(segment_module, "write_some", failing(errno.EIO, 2))
    with pytest.raises(ArchiveFailed, match="input/output error"):
        rig.files.write([b"torn"])
    rig.files.abandon()
    other.files.abandon()
    assert rig.contents() == {f"out/t.{NAME}": b"one\ntwo\nto"}


@pytest.mark.parametrize("end", ["sync", "close"])
def test_a_sync_that_fails_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    rig = Rig(tmp_path)
    rig.files.write([b"one"])
    monkeypatch.setattr(segment_module, "fdatasync", refuse)
    with pytest.raises(ArchiveFailed) as raised:
        getattr(rig.files, end)()
    path = rig.out / f"t.{NAME}"
    assert str(raised.value) == f"[t/c] failed to fsync output file: sync {path}: input/output error"
    rig.files.abandon()


def test_a_folder_that_cannot_be_synced_fails_the_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = Rig(tmp_path)
    rig.files.write([b"one"])
    monkeypatch.setattr(segment_module, "sync_folder_of", refuse)
    with pytest.raises(ArchiveFailed, match="input/output error"):
        rig.files.sync()
    rig.files.abandon()


def test_a_move_that_fails_leaves_the_file_in_the_work_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = Rig(tmp_path, separate=True)
    rig.files.write([b"one"])
    monkeypatch.setattr(files_module, "move", refuse)
    with pytest.raises(ArchiveFailed) as raised:
        rig.files.close()
    source, target = rig.work / f"t-000000.{NAME}", rig.out / f"t-000000.{NAME}"
    assert str(raised.value) == f"[t/c] unable to move file from {source} to {target}: input/output error"
    assert rig.contents() == {f"work/t-000000.{NAME}": b"one\n"}
    monkeypatch.undo()
    rig.make().recover()
    assert rig.contents() == {f"out/t-000000.{NAME}": b"one\n"}


def test_a_folder_that_is_a_file_says_so(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.out.write_bytes(b"")
    with pytest.raises(ArchiveFailed, match=r"unable to open .*: (file exists|not a directory)"):
        rig.files.write([b"one"])
