"""``nsqd.dat``: to the byte as the original writes it, read as the original reads it, never lost."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqcore.errors import StartError
from nsqd.storage import metadata
from nsqd.storage.metadata import TopicMeta

names = st.text("abcXYZ019._-", min_size=1, max_size=64)
channels = st.lists(st.fixed_dictionaries({"name": names, "paused": st.booleans()}), max_size=4)
topics = st.lists(
    st.fixed_dictionaries(
        {"name": names, "paused": st.booleans(), "channels": channels.map(lambda found: found or None)}
    ),
    max_size=4,
)


def write(folder: Path, text: str | bytes) -> None:
    (folder / "nsqd.dat").write_bytes(text.encode() if isinstance(text, str) else text)


def test_the_file_is_the_original_s_to_the_byte(tmp_path: Path) -> None:
    metadata.store(
        tmp_path,
        [
            {"name": "t", "paused": False, "channels": [{"name": "c", "paused": True}]},
            {"name": "u", "paused": True, "channels": None},
        ],
    )
    assert (tmp_path / "nsqd.dat").read_bytes() == (
        b'{"topics":[{"name":"t","paused":false,"channels":[{"name":"c","paused":true}]},'
        b'{"name":"u","paused":true,"channels":null}],"version":"1.3.0"}'
    )
    assert stat.S_IMODE((tmp_path / "nsqd.dat").stat().st_mode) == 0o600


def test_no_topics_are_null(tmp_path: Path) -> None:
    metadata.store(tmp_path, [])
    assert (tmp_path / "nsqd.dat").read_bytes() == b'{"topics":null,"version":"1.3.0"}'
    assert metadata.load(tmp_path) == []


@given(topics)
def test_what_is_stored_is_loaded(tmp_path_factory: pytest.TempPathFactory, stored: list[TopicMeta]) -> None:
    folder = tmp_path_factory.getbasetemp()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        metadata.store(folder, stored)
    assert [{**topic, "channels": topic["channels"] or None} for topic in metadata.load(folder)] == stored


def test_a_folder_without_the_file_is_fresh(tmp_path: Path) -> None:
    assert metadata.load(tmp_path) == []


READABLE: dict[str, tuple[str, list[TopicMeta]]] = {
    "nothing but braces": ("{}", []),
    "another version, and keys of the future": ('{"version":"9.9","topics":null,"x":[1]}', []),
    "white space": ('\n { "topics" : [ ] } \n', []),
    "a topic without anything": ('{"topics":[{}]}', [{"name": "", "paused": False, "channels": []}]),
    "null in every place": (
        '{"topics":[{"name":null,"paused":null,"channels":[null]},null]}',
        [
            {"name": "", "paused": False, "channels": [{"name": "", "paused": False}]},
            {"name": "", "paused": False, "channels": []},
        ],
    ),
    "keys in other letters": (
        '{"Topics":[{"NAME":"t","Paused":true,"channels":[{"Name":"c"}]}]}',
        [{"name": "t", "paused": True, "channels": [{"name": "c", "paused": False}]}],
    ),
}


@pytest.mark.parametrize(("text", "expected"), READABLE.values(), ids=READABLE.keys())
def test_what_go_reads_is_read(tmp_path: Path, text: str, expected: list[TopicMeta]) -> None:
    write(tmp_path, text)
    assert metadata.load(tmp_path) == expected


UNREADABLE: dict[str, bytes] = {
    "nothing at all": b"",
    "half a file": b'{"topics":[{"name":"t","pau',
    "no JSON": b"what is this?",
    "something behind": b'{"topics":null} x',
    "a list": b"[]",
    "a word for the topics": b'{"topics":"t"}',
    "topics that are words": b'{"topics":["t"]}',
    "a name that is a number": b'{"topics":[{"name":1}]}',
    "paused by a number": b'{"topics":[{"name":"t","paused":1}]}',
    "channels that are no list": b'{"topics":[{"name":"t","channels":{}}]}',
    "bytes that are no text": b'{"topics":[{"name":"\xff"}]}',
    "an abyss": b"[" * 100_000,
}


@pytest.mark.parametrize("text", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_what_can_t_be_read_ends_the_start_and_stays_as_it_is(tmp_path: Path, text: bytes) -> None:
    write(tmp_path, text)
    with pytest.raises(StartError) as refused:
        metadata.load(tmp_path)
    assert str(refused.value).startswith(f"failed to parse metadata in {tmp_path / 'nsqd.dat'} - ")
    assert "\n" not in str(refused.value)
    assert (tmp_path / "nsqd.dat").read_bytes() == text


def test_a_file_that_can_t_be_opened_ends_the_start(tmp_path: Path) -> None:
    (tmp_path / "nsqd.dat").mkdir()
    with pytest.raises(StartError, match=r"failed to read metadata from \S+ - .*Is a directory"):
        metadata.load(tmp_path)


def test_a_write_that_fails_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        metadata.store(tmp_path, [])
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("nsqd.dat", b"old")]
