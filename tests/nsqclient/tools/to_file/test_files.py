"""The files of one topic: opened, rotated, synced, and moved when they are complete."""

from __future__ import annotations

import gzip
import logging
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsqclient.tools.to_file import segment as segment_module
from nsqclient.tools.to_file.members import member
from tests.nsqclient.tools.to_file.rig import LATER, NAME, Rig, lines


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
