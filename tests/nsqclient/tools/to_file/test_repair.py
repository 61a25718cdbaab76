from __future__ import annotations

import gzip
import os
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsqclient.tools.to_file.folders import lock_shared
from nsqclient.tools.to_file.leftovers import find, newest, repair
from nsqclient.tools.to_file.members import member
from nsqclient.tools.to_file.naming import FileNames
from nsqclient.tools.to_file.settings import Settings

BATCHES = [b"one\ntwo\n", bytes(range(256)) * 3 + b"\n", b"", b"three\n" * 200]
RANDOM = random.Random(1).randbytes(300_000) + b"\n"


def made_by_others(data: bytes) -> bytes:
    return gzip.compress(data, 6, mtime=1)


def expected(parts: list[bytes], batches: list[bytes], cut: int) -> bytes:
    """The records of all members that end before the cut."""
    end, whole = 0, b""
    for part, batch in zip(parts, batches, strict=True):
        end += len(part)
        if end <= cut:
            whole += batch
    return whole


def repaired(path: Path, content: bytes, *, marked_only: bool = False) -> int | None:
    path.write_bytes(content)
    return repair(path, gzip=path.suffix == ".gz", marked_only=marked_only)


def test_a_gzip_file_cut_at_any_byte_keeps_all_that_was_synced(tmp_path: Path) -> None:
    parts = [member(batch, 6) for batch in BATCHES]
    content = b"".join(parts)
    path = tmp_path / "x.gz"
    for cut in range(len(content) + 1):
        assert repaired(path, content[:cut], marked_only=True) is not None
        assert gzip.decompress(path.read_bytes()) == expected(parts, BATCHES, cut)
        assert path.stat().st_size > 0
        assert repair(path, gzip=True, marked_only=True) == 0


def test_a_gzip_file_of_others_cut_at_any_byte_keeps_all_that_was_synced(tmp_path: Path) -> None:
    parts = [made_by_others(BATCHES[0]), member(BATCHES[1], 1), made_by_others(BATCHES[3])]
    batches = [BATCHES[0], BATCHES[1], BATCHES[3]]
    content = b"".join(parts)
    path = tmp_path / "x.gz"
    for cut in range(len(content) + 1):
        assert repaired(path, content[:cut]) is not None
        assert gzip.decompress(path.read_bytes()) == expected(parts, batches, cut)


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


def test_a_gzip_file_that_another_program_made_is_not_touched_where_finished_files_lie(
    tmp_path: Path,
) -> None:
    path, torn = tmp_path / "x.gz", made_by_others(BATCHES[3])[:-1]
    assert repaired(path, torn, marked_only=True) is None
    assert path.read_bytes() == torn


def test_a_plain_file_cut_at_any_byte_keeps_its_whole_lines(tmp_path: Path) -> None:
    content = b"one\n\ntwo two\n" + b"x" * 40 + b"\nlast\n"
    path = tmp_path / "x.log"
    for cut in range(len(content) + 1):
        torn = content[:cut]
        lines = torn[: torn.rfind(b"\n") + 1]
        assert repaired(path, torn) == cut - len(lines)
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
        assert repair(path, gzip=False, marked_only=False) == 4


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
