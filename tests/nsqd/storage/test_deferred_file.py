"""The file of deferred messages: any msgpack reader takes it, and damage costs what is damaged."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqd.storage.deferred_file import ALONE, COPIED, DeferredFile, ForeignFile, Header, Message, pack, unpack
from nsqd.storage.segments import Position, QueueFiles

MESSAGES = [Message(1_700_000_000_000_000_000 + n, b"%026d" % n + b"body" * n) for n in range(5)]
HEADER = Header("t:c", 1_699_999_999_000_000_000, 5, 3, 12, Position(1, 40), Position(4, 160))
DATA = b"".join(pack(HEADER, MESSAGES, COPIED))

payloads = st.binary(min_size=26, max_size=60)
messages = st.lists(st.builds(Message, st.integers(-(2**63), 2**63 - 1), payloads), max_size=6)


@pytest.fixture
def file(tmp_path: Path) -> DeferredFile:
    return DeferredFile(QueueFiles(tmp_path, "t:c"))


def test_any_msgpack_reader_takes_it() -> None:
    unpacker = msgpack.Unpacker()
    unpacker.feed(DATA)
    name, state, header, *entries = unpacker
    assert (name, state) == (["nsqd-deferred", 1], [COPIED, 0])
    assert msgpack.unpackb(header[1]) == {
        "queue": "t:c",
        "stopped": 1_699_999_999_000_000_000,
        "messages": 5,
        "tail": 3,
        "depth": 12,
        "read": [1, 40],
        "write": [4, 160],
    }
    assert [(due, payload) for _, due, payload in entries] == MESSAGES


@given(messages)
def test_what_was_stored_is_found(found: list[Message]) -> None:
    contents = unpack(b"".join(pack(HEADER._replace(messages=len(found)), found, ALONE)))
    assert contents == (ALONE, HEADER._replace(messages=len(found)), found, None)


def test_a_state_noted_in_place_is_found(file: DeferredFile) -> None:
    file.store(HEADER, MESSAGES, COPIED)
    file.note(ALONE, 3)
    assert file.load() == (ALONE, HEADER, MESSAGES[3:], None)
    file.remove()
    file.remove()
    assert file.load() is None


def in_order(some: Iterable[Message]) -> bool:
    rest = iter(MESSAGES)
    return all(message in rest for message in some)


@pytest.mark.parametrize("end", range(len(DATA)))
def test_an_end_anywhere_costs_what_is_behind_it(end: int) -> None:
    try:
        contents = unpack(DATA[:end])
    except ForeignFile:
        assert end < 16
        return
    ends = [len(b"".join(pack(HEADER, MESSAGES[:n], COPIED))) for n in range(1, 6)]
    assert contents.damage is not None
    assert contents.messages == MESSAGES[: sum(end >= whole for whole in ends)]


@given(st.integers(0, len(DATA) - 1), st.binary(min_size=1, max_size=40))
def test_damage_costs_what_is_damaged_and_makes_nothing_up(at: int, harm: bytes) -> None:
    data = DATA[:at] + harm + DATA[at + len(harm) :]
    try:
        contents = unpack(data)
    except ForeignFile:
        assert at < 16
        return
    if data == DATA:
        assert contents.damage is None
        return
    assert in_order(contents.messages)
    bounds = [len(b"".join(pack(HEADER, MESSAGES[:n], COPIED))) for n in range(6)]
    whole = [
        m
        for m, begin, end in zip(MESSAGES, bounds, bounds[1:], strict=False)
        if end <= at or begin >= at + len(harm)
    ]
    if at >= 28:  # else the state is what was harmed: it counts messages that are gone
        assert in_order(whole)
        assert set(whole) <= set(contents.messages)


@given(st.binary(max_size=200))
def test_no_bytes_do_harm(data: bytes) -> None:
    for text in (data, DATA[:16] + data, DATA[:28] + data):
        try:
            contents = unpack(text)
        except ForeignFile:
            continue
        assert contents.messages == [] or text.startswith(DATA[:16])


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "does not begin"),
        (b"\x93", "does not begin"),
        (b"#!/bin/sh\n", "does not begin"),
        (DATA[:15] + b"\2" + DATA[16:], "version 2, this nsqd knows version 1"),
    ],
)
def test_a_file_that_is_not_ours_is_kept_and_reported(
    file: DeferredFile, data: bytes, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    file.path.write_bytes(data)
    assert file.load() is None
    assert not file.path.exists()
    assert Path(f"{file.path}.bad").read_bytes() == data
    assert why in caplog.text
    assert str(file.path) in caplog.text
