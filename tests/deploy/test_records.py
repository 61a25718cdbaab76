from __future__ import annotations

import os
import struct
import sysconfig
from pathlib import Path

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.local.records import (
    MAX_RECORD,
    BadInput,
    BadRecord,
    Batch,
    Source,
    Survey,
    batches,
    decode,
    encode,
    find,
)


def surveyed(*sources: Source) -> Survey:
    survey = Survey()
    for source in sources:
        survey.add(source)
    return survey


def bodies(batch: Batch) -> list[bytes]:
    """The messages of an mpub body, read as its format is described."""
    (count,) = struct.unpack_from(">I", batch.body)
    at, found = 4, []
    for _ in range(count):
        (size,) = struct.unpack_from(">I", batch.body, at)
        found.append(batch.body[at + 4 : at + 4 + size])
        at += 4 + size
    assert at == len(batch.body)
    return found


def test_the_standard_library_is_found_without_installed_packages() -> None:
    names = {source.name for source in find(None)}
    assert "asyncio/base_events.py" in names
    assert all(name.endswith(".py") for name in names)
    assert not any("site-packages" in name for name in names)
    assert all(source.path.is_relative_to(sysconfig.get_path("stdlib")) for source in find(None))


def test_a_folder_gives_all_files_below_it_in_order(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name in ("b/two.txt", "one", "b/site-packages"):
        (tmp_path / name).write_text("x")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    assert [source.name for source in find(tmp_path)] == ["one", "b/site-packages", "b/two.txt"]


def test_a_file_is_called_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "words"
    path.write_text("x")
    assert find(path) == [Source(path, "words")]


@pytest.mark.parametrize("name", ["nowhere", "."])
def test_what_has_no_files_is_refused_by_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match=str(tmp_path / name)):
        find(tmp_path / name)


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX only")
def test_names_that_are_not_utf8_stay_apart(tmp_path: Path) -> None:
    try:
        for name in (b"a\xff", b"a\xfe"):
            Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_text("x")
    except OSError:
        pytest.skip("the file system takes UTF-8 only")
    found = {source.name for source in find(tmp_path)}
    assert found == {"a\\xff", "a\\xfe"}
    for odd in found:
        assert decode(encode(odd, 1, b"x") or b"") == (odd, 1, "x")


def test_blank_lines_are_skipped_but_counted_in_line_numbers(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"one\n\n \t\r\n  four  \r\nfive")
    assert surveyed(Source(path, "f")).lines == 3
    (batch,) = batches([Source(path, "f")], 10, 1000)
    assert [decode(body) for body in bodies(batch)] == [
        ("f", 1, "one"),
        ("f", 4, "  four  "),
        ("f", 5, "five"),
    ]
    assert list(batch.keys) == [("f", 1), ("f", 4), ("f", 5)]


def test_undecodable_bytes_are_replaced() -> None:
    assert decode(encode("f", 7, b"a\xffb\n") or b"") == ("f", 7, "a\ufffdb")


@given(st.lists(st.binary(max_size=40), max_size=30), st.integers(1, 7), st.integers(1, 200))
def test_batches_hold_every_surveyed_record_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], most: int, most_bytes: int
) -> None:
    path = tmp_path_factory.mktemp("batches") / "f"
    path.write_bytes(b"\n".join(lines))
    made = list(batches([Source(path, "f")], most, most_bytes))
    want = [(number, line) for number, line in enumerate(path.read_bytes().split(b"\n"), 1) if line.strip()]
    got = [decode(body) for batch in made for body in bodies(batch)]
    assert [line for _, line, _ in got] == [number for number, _ in want]
    assert surveyed(Source(path, "f")).lines == len(got)
    assert all(1 <= len(batch.keys) <= most for batch in made)
    assert [key for batch in made for key in batch.keys] == [(file, line) for file, line, _ in got]
    assert all(len(batch.body) <= most_bytes + 8 or len(batch.keys) == 1 for batch in made)


def test_lines_too_long_for_nsqd_are_left_out_and_named(tmp_path: Path) -> None:
    path = tmp_path / "f"
    fits = b"x" * (MAX_RECORD - 100)
    path.write_bytes(b"\n".join([b"a", b"y" * 3 * MAX_RECORD, fits, b"\xff" * (MAX_RECORD // 2), b"z"]))
    survey = surveyed(Source(path, "f"))
    assert survey.lines == 3
    assert survey.left_out == [
        f"{path}, line 2: longer than nsqd takes",
        f"{path}, line 4: longer than nsqd takes",
    ]
    keys = [key for batch in batches([Source(path, "f")], 10, 1000) for key in batch.keys]
    assert keys == [("f", 1), ("f", 3), ("f", 5)]


def test_a_file_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    survey = surveyed(Source(tmp_path / "gone", "gone"))
    assert (survey.lines, survey.sources) == (0, [])
    assert survey.left_out == [f"{tmp_path / 'gone'}: No such file or directory"]


def test_a_file_that_vanishes_after_the_survey_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="gone: No such file"):
        list(batches([Source(tmp_path / "gone", "gone")], 1, 1))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        b"hello",
        msgpack.packb([1]),
        msgpack.packb({"file": "f", "line": 1}),
        msgpack.packb({"file": "f", "line": "1", "text": ""}),
        msgpack.packb({"file": b"f", "line": 1, "text": ""}),
        msgpack.packb({"file": "f", "line": True, "text": ""}),
        msgpack.packb({"file": "f", "line": 0, "text": ""}),
        msgpack.packb({"file": "f", "line": 1 << 40, "text": ""}),
        msgpack.packb({"file": "f", "line": 1, "text": ""}) + b"x",
    ],
)
def test_a_strangers_message_is_no_record(body: bytes) -> None:
    with pytest.raises(BadRecord):
        decode(body)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_record_or_bad(body: bytes) -> None:
    try:
        file, line, text = decode(body)
    except BadRecord:
        return
    assert isinstance(file, str)
    assert line > 0
    assert isinstance(text, str)
