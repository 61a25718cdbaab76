from __future__ import annotations

import errno
import fcntl
import gzip
import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsqclient.tools.to_file import files as files_module
from nsqclient.tools.to_file import segment as segment_module
from nsqclient.tools.to_file.failures import ArchiveFailed
from nsqclient.tools.to_file.files import TopicFiles
from nsqclient.tools.to_file.members import member
from nsqclient.tools.to_file.settings import Settings


class Rig:
    """Files of topic t, channel c, in folders of their own, with a clock that the test moves."""

    def __init__(self, folder: Path, **more: Any) -> None:
        self.out, self.work = folder / "out", folder / "work"
        self.seconds = 0.0
        more.setdefault("filename_format", "<TOPIC><REV>.<DATETIME>.log")
        if more.pop("separate", False):
            more["work_dir"] = str(self.work)
        self.settings = Settings(output_dir=str(self.out), host="h", **more)
        self.files = self.make()

    def make(self) -> TopicFiles:
        """As after a start of the process."""
        return TopicFiles("t", "c", self.settings, now=self.now, clock=lambda: self.seconds)

    def now(self) -> datetime:
        return datetime(2025, 1, 1, 10, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def contents(self) -> dict[str, bytes]:
        """All files below both folders."""
        return {
            f"{folder.name}/{path.relative_to(folder)}": path.read_bytes()
            for folder in (self.out, self.work)
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }


NAME = "2025-01-01_10.log"
LATER = "2025-01-01_11.log"


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [f"{record.levelname} {record.message}" for record in caplog.records]


@pytest.fixture(autouse=True)
def _all_lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


# ---- opening


def test_a_plain_file_is_appended_to_by_the_next_process(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    for body in (b"one", b"two"):
        files = rig.make()
        files.write([body])
        files.close()
    assert rig.contents() == {f"out/t.{NAME}": b"one\ntwo\n"}


def test_a_torn_line_is_cut_before_more_is_appended(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig(tmp_path)
    rig.out.mkdir()
    (rig.out / f"t.{NAME}").write_bytes(b"one\ntor")
    rig.files.write([b"two"])
    rig.files.close()
    assert rig.contents() == {f"out/t.{NAME}": b"one\ntwo\n"}
    assert f"WARNING [t/c] cut 3 bytes of a torn record off the end of {rig.out}/t.{NAME}" in lines(caplog)


@pytest.mark.parametrize("more", [{"gzip": True}, {"rotate_interval": 60.0}])
def test_a_file_that_is_there_is_left_alone_and_the_next_revision_taken(
    tmp_path: Path, more: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig(tmp_path, **more)
    suffix = ".gz" if rig.settings.gzip else ""
    for _ in range(3):
        files = rig.make()
        files.write([b"x"])
        files.close()
    assert list(rig.contents()) == [f"out/t-00000{n}.{NAME}{suffix}" for n in range(3)]
    assert lines(caplog)[-3:] == [
        f"WARNING [t/c] working file already exists: {rig.out}/t-000000.{NAME}{suffix}",
        f"WARNING [t/c] working file already exists: {rig.out}/t-000001.{NAME}{suffix}",
        f"INFO [t/c] opening {rig.out}/t-000002.{NAME}{suffix}",
    ]


def test_a_file_that_is_too_large_is_skipped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig(tmp_path, rotate_size=3)
    rig.out.mkdir()
    (rig.out / f"t-000000.{NAME}").write_bytes(b"four\n")
    rig.files.write([b"x"])
    rig.files.close()
    assert rig.contents() == {f"out/t-000000.{NAME}": b"four\n", f"out/t-000001.{NAME}": b"x\n"}
    assert f"INFO [t/c] {rig.out}/t-000000.{NAME} currently 5 bytes (> 3), rotating..." in lines(caplog)


def test_folders_are_made_and_files_less_umask(tmp_path: Path) -> None:
    rig = Rig(tmp_path, filename_format="a/<DATETIME>/<TOPIC>", separate=False)
    previous = os.umask(0o027)
    try:
        rig.files.write([b"x"])
    finally:
        os.umask(previous)
    rig.files.close()
    made = rig.out / "a/2025-01-01_10/t"
    assert (made.stat().st_mode & 0o777, made.parent.stat().st_mode & 0o777) == (0o640, 0o750)


# ---- rotation


def test_a_new_name_begins_at_the_first_revision(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig(tmp_path, rotate_size=1)
    for at in (0, 0, 3600):
        rig.seconds = at
        rig.files.write([b"body"])
    rig.files.close()
    assert list(rig.contents()) == [f"out/t-000000.{NAME}", f"out/t-000000.{LATER}", f"out/t-000001.{NAME}"]
    assert f"INFO [t/c] new filename t<REV>.{LATER}, rotating..." in lines(caplog)


def test_a_file_ends_when_it_is_older_than_the_interval(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig(tmp_path, rotate_interval=1.0)
    for at in (0.0, 1.0, 1.2):
        rig.seconds = at
        rig.files.write([b"%d" % (at * 10)])
    rig.files.close()
    assert rig.contents() == {f"out/t-000000.{NAME}": b"0\n10\n", f"out/t-000001.{NAME}": b"12\n"}
    assert "INFO [t/c] 1.2s since last open, rotating..." in lines(caplog)


def test_a_file_exceeds_the_size_by_one_record(tmp_path: Path) -> None:
    rig = Rig(tmp_path, rotate_size=20)
    rig.files.write([b"12345678"] * 7)
    rig.files.close()
    assert [len(content) for content in rig.contents().values()] == [27, 27, 9]


@settings(max_examples=60, deadline=None)
@given(
    limit=st.integers(1, 60),
    batches=st.lists(st.lists(st.binary(max_size=30).filter(lambda b: b"\n" not in b)), max_size=6),
)
def test_whatever_the_batches_sizes_are_kept_and_nothing_is_lost(
    tmp_path_factory: pytest.TempPathFactory, limit: int, batches: list[list[bytes]]
) -> None:
    rig = Rig(tmp_path_factory.mktemp("x"), rotate_size=limit)
    for batch in batches:
        if batch:
            rig.files.write(batch)
    rig.files.close()
    contents = list(rig.contents().values())
    bodies = [body for batch in batches for body in batch]
    assert b"".join(contents) == b"".join(body + b"\n" for body in bodies)
    for content in contents[:-1]:
        last = content[:-1].rfind(b"\n") + 1
        assert last <= limit < len(content)


def test_sizes_count_before_compression(tmp_path: Path) -> None:
    rig = Rig(tmp_path, rotate_size=1000, gzip=True)
    rig.files.write([b"x" * 99] * 25)
    rig.files.close()
    assert [len(gzip.decompress(content)) for content in rig.contents().values()] == [1100, 1100, 300]


def test_a_tick_opens_a_file_even_without_messages(tmp_path: Path) -> None:
    rig = Rig(tmp_path, gzip=True)
    rig.files.tick()
    rig.seconds = 3600
    rig.files.tick()
    rig.files.close()
    assert [gzip.decompress(content) for content in rig.contents().values()] == [b"", b""]
    assert b"" not in rig.contents().values()


@pytest.mark.parametrize("separate", [False, True])
def test_without_empty_files_a_tick_ends_the_last_one_and_opens_none(tmp_path: Path, separate: bool) -> None:
    rig = Rig(tmp_path, skip_empty_files=True, separate=separate)
    rig.files.tick()
    assert rig.contents() == {}
    rig.files.write([b"x"])
    for at in (3600, 7200):
        rig.seconds = at
        rig.files.tick()
        rig.files.sync()
    rev = "-000000" if separate else ""
    assert rig.contents() == {f"out/t{rev}.{NAME}": b"x\n"}


# ---- syncing


def test_a_gzip_file_is_readable_up_to_its_last_sync(tmp_path: Path) -> None:
    rig = Rig(tmp_path, gzip=True)
    for body in (b"one", b"two"):
        rig.files.write([body])
        rig.files.sync()
    rig.files.write([b"three"])
    [content] = rig.contents().values()
    assert gzip.decompress(content) == b"one\ntwo\n"
    rig.files.abandon()


def test_large_batches_become_several_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment_module, "LARGEST_MEMBER", 100)
    rig = Rig(tmp_path, gzip=True)
    for _ in range(3):
        rig.files.write([b"x" * 99])
    rig.files.close()
    [content] = rig.contents().values()
    assert content == member(b"x" * 99 + b"\n", 6) * 3


# ---- the work folder


def test_a_finished_file_is_moved_with_its_folders(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig(tmp_path, separate=True, filename_format="a/<TOPIC><REV>")
    rig.files.write([b"x"])
    assert rig.contents() == {"work/a/t-000000": b"x\n"}
    rig.files.close()
    assert rig.contents() == {"out/a/t-000000": b"x\n"}
    assert f"INFO [t/c] moving finished file {rig.work}/a/t-000000 to {rig.out}/a/t-000000" in lines(caplog)


def test_after_a_move_the_next_record_opens_the_next_revision(tmp_path: Path) -> None:
    rig = Rig(tmp_path, separate=True)
    for _ in range(2):
        rig.files.write([b"x"])
        rig.files.close()
    assert list(rig.contents()) == [f"out/t-000000.{NAME}", f"out/t-000001.{NAME}"]


def test_a_name_that_is_taken_in_the_output_folder_is_skipped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig(tmp_path, separate=True)
    rig.out.mkdir()
    (rig.out / f"t-000000.{NAME}").write_bytes(b"theirs")
    rig.files.write([b"x"])
    rig.files.close()
    assert rig.contents() == {f"out/t-000000.{NAME}": b"theirs", f"out/t-000001.{NAME}": b"x\n"}
    assert f"WARNING [t/c] output file already exists: {rig.out}/t-000000.{NAME}" in lines(caplog)


def test_a_file_that_appeared_meanwhile_is_not_overwritten(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig(tmp_path, separate=True)
    rig.files.write([b"x"])
    for revision in (0, 1):
        (rig.out / f"t-00000{revision}.{NAME}").write_bytes(b"theirs")
    rig.files.close()
    assert rig.contents() == {
        f"out/t-000000.{NAME}": b"theirs",
        f"out/t-000001.{NAME}": b"theirs",
        f"out/t-000002.{NAME}": b"x\n",
    }
    source, target = rig.work / f"t-000000.{NAME}", rig.out / f"t-000002.{NAME}"
    assert lines(caplog)[-2:] == [
        f"WARNING [t/c] destination file already exists: {rig.out}/t-000000.{NAME}",
        f"INFO [t/c] renamed finished file {source} to {target} to avoid overwrite",
    ]


# ---- after a crash


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


def refuse(*arguments: object) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


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
