from __future__ import annotations

import errno
import fcntl
import gzip
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsqclient.tools.to_file.folders import lock_shared
from nsqclient.tools.to_file.leftovers import Repaired, find, newest, repair
from nsqclient.tools.to_file.members import member
from nsqclient.tools.to_file.naming import FileNames
from nsqclient.tools.to_file.segment import Segment
from nsqclient.tools.to_file.settings import Settings

BATCHES = [b"one\ntwo\n", bytes(range(256)) * 3 + b"\n", b"", b"three\n" * 200]
RANDOM = random.Random(1).randbytes(300_000) + b"\n"


def made_by_others(data: bytes) -> bytes:
    return gzip.compress(data, 6, mtime=1)


def expected(parts: list[bytes], batches: list[bytes], size: int) -> bytes:
    """The records of all members that end there or before."""
    end, whole = 0, b""
    for part, batch in zip(parts, batches, strict=True):
        end += len(part)
        if end <= size:
            whole += batch
    return whole


def repaired(path: Path, content: bytes, *, marked_only: bool = False) -> int | None:
    """How much is cut off; None if it is not touched."""
    path.write_bytes(content)
    return cut(path, marked_only=marked_only)


def cut(path: Path, *, marked_only: bool = False) -> int | None:
    done = repair(path, gzip=path.suffix == ".gz", marked_only=marked_only)
    return None if done is None else done.cut


def test_a_gzip_file_cut_at_any_byte_keeps_all_that_was_synced(tmp_path: Path) -> None:
    parts = [member(batch, 6) for batch in BATCHES]
    content = b"".join(parts)
    path = tmp_path / "x.gz"
    for size in range(len(content) + 1):
        assert repaired(path, content[:size], marked_only=True) is not None
        assert gzip.decompress(path.read_bytes()) == expected(parts, BATCHES, size)
        assert path.stat().st_size > 0
        assert cut(path, marked_only=True) == 0


def test_a_gzip_file_of_others_cut_at_any_byte_keeps_all_that_was_synced(tmp_path: Path) -> None:
    parts = [made_by_others(BATCHES[0]), member(BATCHES[1], 1), made_by_others(BATCHES[3])]
    batches = [BATCHES[0], BATCHES[1], BATCHES[3]]
    content = b"".join(parts)
    path = tmp_path / "x.gz"
    for size in range(len(content) + 1):
        assert repaired(path, content[:size]) is not None
        assert gzip.decompress(path.read_bytes()) == expected(parts, batches, size)


def test_large_members_of_others_are_read_through(tmp_path: Path) -> None:
    path = tmp_path / "x.gz"
    whole = made_by_others(RANDOM) + made_by_others(b"\0" * 5_000_000)
    assert repaired(path, whole + made_by_others(RANDOM)[:-1]) == len(made_by_others(RANDOM)) - 1
    assert path.read_bytes() == whole


def test_a_last_member_whose_bytes_never_reached_the_disk_is_cut(tmp_path: Path) -> None:
    path, first, second = tmp_path / "x.gz", member(b"one\n", 6), member(b"two\n", 6)
    holed = second[:20] + b"\0" * (len(second) - 20)
    assert repaired(path, first + holed) == len(second)
    assert gzip.decompress(path.read_bytes()) == b"one\n"


def kept(path: Path) -> list[bytes]:
    """What is in the files with what was cut off."""
    return [other.read_bytes() for other in sorted(path.parent.glob(f"{path.name}.torn*"))]


@pytest.mark.parametrize("made", [lambda data: member(data, 6), made_by_others])
def test_a_gzip_file_damaged_anywhere_loses_nothing(tmp_path: Path, made: Callable[[bytes], bytes]) -> None:
    parts = [made(b"one\n" * 9), made(RANDOM[:200] + b"\n"), made(b"three\n")]
    content, last = b"".join(parts), len(parts[0] + parts[1])
    for at in range(len(content)):
        path = tmp_path / str(at) / "x.gz"
        path.parent.mkdir()
        damaged = content[:at] + bytes([content[at] ^ 0x55]) + content[at + 1 :]
        path.write_bytes(damaged)
        done = repair(path, gzip=True, marked_only=False)
        assert done is not None
        if at < last:  # a part whose damage is not seen is hopped over
            assert path.read_bytes() == damaged
            assert kept(path) == []
        elif done.cut:
            assert path.read_bytes() == content[:last]
            assert kept(path) == [damaged[last:]]


def test_damage_before_whole_members_is_told_of(tmp_path: Path) -> None:
    path, parts = tmp_path / "x.gz", [member(batch, 6) for batch in BATCHES]
    content = parts[0] + b"\0" * len(parts[1]) + parts[3]
    path.write_bytes(content)
    assert repair(path, gzip=True, marked_only=False) == Repaired(len(parts[0]), damaged=True)
    assert path.read_bytes() == content


def test_a_torn_member_may_hold_compressed_messages(tmp_path: Path) -> None:
    path, whole = tmp_path / "x.gz", member(b"one\n", 6)
    torn = member(gzip.compress(b"a message") + RANDOM, 6)[:-1]
    assert gzip.compress(b"a message")[:20] in torn
    assert repaired(path, whole + torn) == len(torn)
    assert path.read_bytes() == whole
    assert kept(path) == []


def test_what_was_cut_off_is_kept_unless_it_is_the_beginning_of_a_member(tmp_path: Path) -> None:
    path, whole = tmp_path / "x.gz", member(b"one\n", 6)
    for junk, names in ((whole[:-1], []), (b"junk", [".torn"]), (b"more", [".torn", ".torn.2"])):
        path.write_bytes(whole + junk)
        done = repair(path, gzip=True, marked_only=False)
        assert done is not None
        assert done.cut == len(junk)
        assert [other.name for other in sorted(tmp_path.iterdir())] == ["x.gz"] + ["x.gz" + n for n in names]
        assert done.kept == (tmp_path / f"x.gz{names[-1]}" if names else None)
    assert kept(path) == [b"junk", b"more"]


@pytest.mark.parametrize("content", [b"no line at all", b"line\n" + b"x" * ((1 << 20) + 1)])
def test_what_is_hardly_a_torn_line_is_kept(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.log"
    end = content.find(b"\n") + 1
    assert repaired(path, content) == len(content) - end
    assert path.read_bytes() == content[:end]
    assert kept(path) == [content[end:]]


def test_a_compressed_file_is_not_taken_for_lines_after_a_change_of_flags(tmp_path: Path) -> None:
    path, content = tmp_path / "x.gz", member(RANDOM, 6)
    path.write_bytes(content + content[:9])
    assert repair(path, gzip=False, marked_only=True) == Repaired(len(content), 9)
    assert path.read_bytes() == content
    path.write_bytes(made_by_others(RANDOM))
    assert repair(path, gzip=False, marked_only=True) is None
    assert path.read_bytes() == made_by_others(RANDOM)


def test_a_file_is_locked_as_nfs_wants_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(fd: int, how: int) -> None:
        mode = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE
        needed = os.O_WRONLY if how & fcntl.LOCK_EX else os.O_RDONLY
        if mode not in (os.O_RDWR, needed):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        locked(fd, how)

    locked = fcntl.flock
    monkeypatch.setattr(fcntl, "flock", flock)
    path = tmp_path / "x.log"
    assert repaired(path, b"one\ntorn") == 4
    segment = Segment(path, exclusive=False, gzip_level=0)
    segment.write(b"partly")
    assert cut(path) is None
    segment.abandon()
    assert cut(path) == 6


def test_a_gzip_file_that_another_program_made_is_not_touched_where_finished_files_lie(
    tmp_path: Path,
) -> None:
    path, torn = tmp_path / "x.gz", made_by_others(BATCHES[3])[:-1]
    assert repaired(path, torn, marked_only=True) is None
    assert path.read_bytes() == torn


def test_a_plain_file_cut_at_any_byte_keeps_its_whole_lines(tmp_path: Path) -> None:
    content = b"one\n\ntwo two\n" + b"x" * 40 + b"\nlast\n"
    path = tmp_path / "x.log"
    for size in range(len(content) + 1):
        torn = content[:size]
        lines = torn[: torn.rfind(b"\n") + 1]
        assert repaired(path, torn) == size - len(lines)
        assert path.read_bytes() == lines


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 200_000), st.integers(0, 200_000))
def test_a_torn_line_of_any_length_is_cut(
    tmp_path_factory: pytest.TempPathFactory, kept: int, torn: int
) -> None:
    path = tmp_path_factory.mktemp("x") / "x.log"
    lines = b"k" * kept + b"\n"
    assert repaired(path, lines + b"t" * torn) == torn
    assert path.read_bytes() == lines


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_break_a_repair(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("x") / "x.gz"
    assert repaired(path, content) is not None
    gzip.decompress(path.read_bytes())


def test_a_file_that_a_process_of_ours_has_open_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_bytes(b"torn")
    fd = os.open(path, os.O_RDONLY)  # a lock is enough
    try:
        lock_shared(fd)
        assert repair(path, gzip=False, marked_only=False) is None
    finally:
        os.close(fd)
    assert path.read_bytes() == b"torn"


def test_a_file_that_any_program_has_open_for_writing_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_bytes(b"torn")
    with path.open("ab"):
        assert repair(path, gzip=False, marked_only=False) is None
    with path.open("rb"):
        assert cut(path) == 4


def test_what_is_no_file_is_not_touched(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "real").write_bytes(b"torn")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for name in ("pipe", "link"):
        assert repair(tmp_path / name, gzip=False, marked_only=False) is None
    assert (tmp_path / "real").read_bytes() == b"torn"


def test_only_files_of_the_topic_are_found_and_only_in_folders_of_the_format(tmp_path: Path) -> None:
    form = "%Y/<TOPIC>/<HOST><REV>.<DATETIME>.log".replace("%Y", "<DATETIME>")
    names = FileNames("t", Settings(filename_format=form, datetime_format="%Y", host="h", rotate_size=1))
    for name in (
        "2025/t/h-000000.2025.log",
        "2024/t/h-000017.2023.log",
        "2024/t/other-000017.2023.log",
        "2024/u/h-000000.2025.log",
        "20245/t/h-000000.2025.log",
        "2025/t/deeper/h-000000.2025.log",
        "h-000000.2025.log",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "2025/t/h-000001.2025.log").symlink_to("/dev/null")
    assert sorted(find(tmp_path, names)) == ["2024/t/h-000017.2023.log", "2025/t/h-000000.2025.log"]
    assert list(find(tmp_path / "missing", names)) == []


def test_the_newest_files_are_those_written_to_last(tmp_path: Path) -> None:
    names = FileNames("t", Settings(filename_format="<TOPIC><REV>", rotate_size=1))
    for revision in range(5):
        path = tmp_path / f"t-{revision:06d}"
        path.touch()
        os.utime(path, (revision * 7 % 5, revision * 7 % 5))
    assert newest(tmp_path, names, 2) == ["t-000002", "t-000004"]
