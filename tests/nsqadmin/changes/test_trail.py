from __future__ import annotations

import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqadmin.changes.trail import Did, Entry, Trail, _read


def _entry(number: int) -> Entry:
    return Entry(at=float(number), action="pause topic", result="done", user="ann", topic=f"t{number}")


async def _kept(file: Path, most: int = 100) -> list[Entry]:
    trail = Trail(most, file)
    await trail.start()
    return list(trail)


async def test_the_newest_come_first_and_the_oldest_give_way() -> None:
    trail = Trail(3)
    await trail.start()
    for number in range(5):
        trail.add(_entry(number))
    await trail.stop()
    assert [entry.at for entry in trail] == [4, 3, 2]


async def test_a_file_keeps_everything_over_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    trail = Trail(100, file)
    await trail.start()
    steps = (Did("nsqd n1:4151", "topic deleted"), Did("nsqd n2:4151", "timed out", failed=True))
    full = Entry(1.5, "delete topic", "partly done", "ann", "10.0.0.1:5", "t", "c\n\u2028é", "n", "x", steps)
    trail.add(full)
    trail.add(_entry(2))
    await trail.stop()
    assert file.read_bytes().count(b"\n") == 2
    assert file.stat().st_mode & 0o077 == 0
    assert await _kept(file) == [_entry(2), full]
    assert await _kept(file, 1) == [_entry(2)]


async def test_the_files_are_bounded_and_the_newest_are_in_them(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    trail = Trail(10_000, file, largest=1000)
    await trail.start()
    for number in range(100):
        trail.add(_entry(number))
        await trail.stop()
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert set(sizes) == {"audit.jsonl", "audit.1.jsonl"}
    assert all(0 < size <= 1000 for size in sizes.values())
    kept = [entry.at for entry in await _kept(file)]
    assert kept == sorted(kept, reverse=True)
    assert (kept[0], len(kept) > 5) == (99, True)


async def test_a_line_cut_by_a_crash_costs_only_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "audit.jsonl"
    trail = Trail(100, file)
    await trail.start()
    trail.add(_entry(1))
    trail.add(_entry(2))
    await trail.stop()
    file.write_bytes(file.read_bytes()[:-9])
    again = Trail(100, file)
    await again.start()
    assert f"1 lines of {file} make no sense" in caplog.text
    again.add(_entry(3))
    await again.stop()
    assert await _kept(file) == [_entry(3), _entry(1)]


async def test_a_folder_that_went_away_is_told_of_once_and_harms_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "data"
    trail = Trail(100, folder / "audit.jsonl")
    await trail.start()
    with caplog.at_level(logging.ERROR):
        for number in range(3):
            trail.add(_entry(number))
            await trail.stop()
    assert sum("are not kept" in message for message in caplog.messages) == 1
    assert len(list(trail)) == 3
    folder.mkdir()
    trail.add(_entry(3))
    await trail.stop()
    assert await _kept(folder / "audit.jsonl") == [_entry(3)]


_LINES = st.sampled_from(
    [
        b"\n",
        b"{",
        b"}",
        b'{"at":1,"action":"a","result":"b"}',
        b"[" * 5000,
        b"null",
        b"\xff",
        b"\x00",
        b'"at"',
    ]
)


@given(st.one_of(st.binary(), st.lists(_LINES).map(b"".join)))
def test_any_file_is_entries_and_broken_lines(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "fuzz.jsonl"
    file.write_bytes(data)
    found, broken = _read([file], 1000)
    assert len(found) + broken == sum(line != b"" for line in data.split(b"\n"))
