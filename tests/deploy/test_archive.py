from __future__ import annotations

from pathlib import Path

from deploy.local.archive import Archive, read
from deploy.local.records import encode


def record(line: int) -> bytes:
    return encode("f", line, b"x" * 40) or b""


def test_what_was_written_is_on_disk_before_the_archive_is_closed(tmp_path: Path) -> None:
    with Archive(tmp_path / "archive") as archive:
        archive.write([record(1), record(2)])
        assert sorted(read(tmp_path / "archive")) == [("f", 1), ("f", 2)]
        archive.write([record(2)])
    ledger = read(tmp_path / "archive")
    assert (ledger.added, ledger.distinct) == (3, 2)


def test_files_roll_and_all_of_them_are_read(tmp_path: Path) -> None:
    with Archive(tmp_path, roll_at=100) as archive:
        for line in range(1, 7):
            archive.write([record(line)])
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["records-0001.msgpack", "records-0002.msgpack", "records-0003.msgpack"]
    assert [line for _, line in read(tmp_path)] == [1, 2, 3, 4, 5, 6]


def test_an_archive_that_was_never_written_is_empty(tmp_path: Path) -> None:
    assert read(tmp_path / "nowhere").added == 0
