from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import msgpack
import pytest

from deploy.local import archive as archive_module
from deploy.local.archive import read
from deploy.local.consumer import Tally, archive, index
from deploy.local.records import encode
from nsqclient import Consumer


class FakeMessage:
    def __init__(self, body: bytes, folder: Path | None = None) -> None:
        self.body = body
        self.finished = 0
        self.on_disk = -1
        self._folder = folder

    def finish(self) -> None:
        self.finished += 1
        if self._folder:
            self.on_disk = read(self._folder).added


async def deliver(messages: list[FakeMessage]) -> AsyncIterator[FakeMessage]:
    for number, message in enumerate(messages):
        if number % 3 == 2:
            await asyncio.sleep(0)
        yield message


def consumer_of(messages: list[FakeMessage]) -> Consumer:
    return cast(Consumer, deliver(messages))


def record(file: str, line: int, text: str = "two words") -> bytes:
    return encode(file, line, text.encode()) or b""


async def test_index_notes_each_line_and_counts_repetitions() -> None:
    messages = [FakeMessage(record("a", 1)), FakeMessage(record("a", 1)), FakeMessage(record("b", 3, "x"))]
    tally = Tally()
    await index(consumer_of(messages), tally)
    assert [message.finished for message in messages] == [1, 1, 1]
    assert sorted(tally.report.ledger) == [("a", 1), ("b", 3)]
    assert (tally.counts.delivered, tally.report.ledger.added) == (3, 3)
    assert 0 < tally.counts.first <= tally.counts.last


async def test_archive_finishes_a_message_only_when_it_is_on_disk(tmp_path: Path) -> None:
    messages = [FakeMessage(record("a", line), tmp_path) for line in range(1, 11)]
    tally = Tally()
    await archive(consumer_of(messages), tally, tmp_path)
    assert [message.finished for message in messages] == [1] * 10
    assert all(message.on_disk > place for place, message in enumerate(messages))
    assert read(tmp_path).distinct == tally.counts.delivered == 10


async def test_a_strangers_message_is_finished_and_only_counted(tmp_path: Path) -> None:
    for channel in ("index", "archive"):
        messages = [
            FakeMessage(b"hello"),
            FakeMessage(msgpack.packb({"file": 1})),
            FakeMessage(record("a", 1)),
        ]
        tally = Tally()
        if channel == "index":
            await index(consumer_of(messages), tally)
        else:
            await archive(consumer_of(messages), tally, tmp_path)
        assert [message.finished for message in messages] == [1, 1, 1]
        assert (tally.report.strange, tally.counts.delivered) == (2, 1)
    assert list(read(tmp_path)) == [("a", 1)]


async def test_what_cannot_be_written_is_not_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: object, bodies: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archive_module.Archive, "write", full)
    messages = [FakeMessage(record("a", 1))]
    with pytest.raises((OSError, ExceptionGroup)):
        await archive(consumer_of(messages), Tally(), tmp_path)
    assert messages[0].finished == 0
