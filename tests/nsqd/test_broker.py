"""The broker as a whole: what it finds at its start, what it stores, and how it ends."""

from __future__ import annotations

import asyncio
import errno
import json
import os
from collections import deque
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from nsqcore.errors import StartError
from nsqd import broker as module
from nsqd import message_queue
from nsqd.broker import Broker
from nsqd.errors import Refused
from nsqd.storage import metadata
from nsqd.storage.backend import Stored
from nsqd.storage.diskqueue import DiskQueue
from nsqd.topic import Topic
from tests.support.disk import body_of, descriptors, record
from tests.support.nsqd import eventually, make_options

FULL = OSError(errno.ENOSPC, "No space left on device")
Open = Callable[..., Broker]


@pytest_asyncio.fixture
async def start(tmp_path: Path) -> AsyncIterator[Open]:
    """Starts brokers, one after the other, on a folder that stays; the last is closed with the test."""
    made: list[Broker] = []

    def open_broker(*flags: str) -> Broker:
        made.append(Broker(make_options(tmp_path, *flags)))
        made[-1].load()
        return made[-1]

    yield open_broker
    if made and not made[-1].exiting:
        await made[-1].close()


def put(topic: Topic, broker: Broker, *bodies: bytes) -> None:
    topic.put(broker.frames.many(bodies))


def stored(folder: Path) -> dict[str, Any]:
    """Topics in ``nsqd.dat``: name to (paused, channels: name to paused)."""
    topics = json.loads((folder / "nsqd.dat").read_text())["topics"] or []
    return {t["name"]: (t["paused"], {c["name"]: c["paused"] for c in t["channels"] or []}) for t in topics}


def waiting(broker: Broker, topic: str, channel: str) -> list[bytes]:
    """The bodies that wait in a channel's disk queue; takes them."""
    backend = broker.topics[topic.encode()].channels[channel].backend
    return [body_of(frame) for frame in backend.take(1 << 30, 1 << 30).frames]


# -- what is stored --------------------------------------------------------------------------------


async def test_a_start_writes_the_metadata(start: Open, tmp_path: Path) -> None:
    start()
    assert stored(tmp_path) == {}


async def test_topics_channels_and_pauses_come_back_and_ephemeral_ones_do_not(
    start: Open, tmp_path: Path
) -> None:
    broker = start()
    t = broker.topic(b"t")
    broker.channel(t, "c").pause(True)
    broker.channel(t, "gone#ephemeral")
    broker.topic(b"u").pause(True)
    broker.channel(broker.topic(b"e#ephemeral"), "c")
    await broker.stored()
    expected = {"t": (False, {"c": True}), "u": (True, {})}
    assert stored(tmp_path) == expected
    await broker.close()
    broker = start()
    assert set(broker.topics) == {b"t", b"u"}
    assert broker.topics[b"u"].paused
    assert broker.topics[b"t"].channels["c"].paused
    assert stored(tmp_path) == expected


async def test_many_changes_of_a_turn_are_stored_together(
    start: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker, writes, store = start(), [], metadata.store

    def counting(folder: Path, topics: list[metadata.TopicMeta]) -> None:
        writes.append(len(topics))
        store(folder, topics)

    monkeypatch.setattr(metadata, "store", counting)
    for n in range(50):
        broker.channel(broker.topic(b"t%d" % n), "c")
    await broker.stored()
    assert writes == [50]
    broker.delete_topic(broker.topics[b"t7"])
    await broker.stored()
    assert writes == [50, 49]
    assert "t7" not in stored(tmp_path)


async def test_a_change_during_a_write_is_stored_by_another(start: Open, tmp_path: Path) -> None:
    broker = start()
    broker.topic(b"t")
    waits = [asyncio.ensure_future(broker.stored())]
    await asyncio.sleep(0)
    broker.topic(b"u")
    waits.append(asyncio.ensure_future(broker.stored()))
    await asyncio.gather(*waits)
    assert set(stored(tmp_path)) == {"t", "u"}


async def test_metadata_that_could_not_be_stored_is_stored_later(
    start: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "STORE_RETRY_S", 0.01)
    broker = start()

    def full(*_: object) -> None:
        raise FULL

    with monkeypatch.context() as patch:
        patch.setattr(metadata, "store", full)
        broker.topic(b"t")
        await broker.stored()
        assert broker.disk.error is FULL
        assert f"failed to persist metadata - {FULL}" in caplog.messages
    await eventually(lambda: "t" in stored(tmp_path))
    await eventually(lambda: broker.disk.error is None)


async def test_a_deletion_is_stored_with_the_files_gone(start: Open, tmp_path: Path) -> None:
    broker = start("--mem-queue-size=0")
    topic = broker.topic(b"t")
    put(topic, broker, b"kept in the topic")
    await asyncio.sleep(0)
    broker.channel(topic, "c")
    await eventually(lambda: topic.channels["c"].depth == 1)
    broker.delete_topic(topic)
    await broker.stored()
    await broker.disk.drain()
    assert [path.name for path in tmp_path.iterdir()] == ["nsqd.dat"]
    assert stored(tmp_path) == {}


@pytest.mark.parametrize("what", ["topic", "channel"])
async def test_what_is_deleted_and_made_again_at_once_is_new_and_keeps_what_comes(
    start: Open, what: str
) -> None:
    broker = start("--mem-queue-size=0", "--sync-every=1")
    topic = broker.topic(b"t")
    channel = broker.channel(topic, "c")
    for _ in range(20):
        put(topic, broker, b"old", b"old")
        await asyncio.sleep(0)
        if what == "topic":
            broker.delete_topic(topic)
            topic = broker.topic(b"t")
        else:
            broker.delete_channel(topic, channel)
        channel = broker.channel(topic, "c")
        assert channel.depth == 0
        put(topic, broker, b"new")
    await asyncio.sleep(0)
    await broker.disk.drain()
    assert waiting(broker, "t", "c") == [b"new"]
    await broker.close()
    broker = start()
    assert waiting(broker, "t", "c") == []


# -- what is found ---------------------------------------------------------------------------------


async def test_files_of_an_earlier_life_are_served_under_a_name_that_is_made_again(
    start: Open, tmp_path: Path
) -> None:
    (tmp_path / "t:c.diskqueue.000003.dat").write_bytes(record(b"one") + record(b"two"))
    broker = start()
    assert broker.topics == {}
    topic = broker.topic(b"t")
    channel = broker.channel(topic, "c")
    assert (channel.depth, broker.channel(topic, "d").depth) == (2, 0)
    assert waiting(broker, "t", "c") == [b"one", b"two"]


async def test_files_that_can_t_be_read_now_are_read_at_the_next_try(
    start: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "t.diskqueue.000000.dat").write_bytes(record(b"one"))
    broker = start()

    def too_many(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", too_many)
        with pytest.raises(Refused, match="too many open files"):
            broker.topic(b"t")
    assert broker.topics == {}
    assert broker.topic(b"t").depth == 1


async def test_invalid_names_in_the_metadata_are_skipped_with_a_warning(
    start: Open, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "nsqd.dat").write_text(
        r"""{"topics":[{"name":"bad\u0000name"},{"name":"\ud800"},{"name":"x#ephemeral"},
        {"name":"t","channels":[{"name":"a b"},{"name":"c"}]},{"name":"t","channels":[{"name":"d"}]}]}"""
    )
    broker = start()
    assert set(broker.topics) == {b"t", b"x#ephemeral"}
    assert set(broker.topics[b"t"].channels) == {"c", "d"}
    assert caplog.messages == [
        r'skipping creation of invalid topic "bad\x00name"',
        'skipping creation of invalid topic "?"',
        'skipping creation of invalid channel "a b"',
    ]


async def test_a_crash_s_half_files_are_cleared_away(start: Open, tmp_path: Path) -> None:
    (tmp_path / "nsqd.dat.4037200794235010051.tmp").write_bytes(b"half")
    start()
    assert [path.name for path in tmp_path.iterdir()] == ["nsqd.dat"]


async def test_a_start_that_fails_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    for name, data in {
        "nsqd.dat": b'{"topics":[{"name":"t","channels":[{"name":"c"}]},{"name":"u"',
        "t:c.diskqueue.000000.dat": record(b"x"),
        "t:c.diskqueue.meta.dat": b"garbage",
    }.items():
        (tmp_path / name).write_bytes(data)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    broker = Broker(make_options(tmp_path))
    with pytest.raises(StartError) as refused:
        broker.load()
    assert refused.value.task == "load metadata"
    assert await broker.close()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


async def test_a_queue_that_can_t_be_read_ends_the_start_and_costs_no_topic(tmp_path: Path) -> None:
    text = '{"topics":[{"name":"a"},{"name":"t"},{"name":"z"}]}'
    (tmp_path / "nsqd.dat").write_text(text)
    (tmp_path / "t.diskqueue.meta.dat").mkdir()
    broker = Broker(make_options(tmp_path))
    with pytest.raises(StartError, match="is a directory"):
        broker.load()
    await broker.close()
    assert (tmp_path / "nsqd.dat").read_text() == text


async def test_a_folder_that_can_t_be_written_ends_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise FULL

    broker = Broker(make_options(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StartError) as refused:
            broker.load()
    assert refused.value.task == "persist metadata"
    await broker.close()
    assert list(tmp_path.iterdir()) == []


# -- the end ---------------------------------------------------------------------------------------


async def test_everything_is_stored_at_the_end_in_its_order(start: Open) -> None:
    broker = start("--mem-queue-size=3", "--max-bytes-per-file=100")
    topic = broker.topic(b"t")
    channel = broker.channel(topic, "c")
    put(topic, broker, b"1", b"2", b"3", b"4", b"5")
    topic.put_deferred(broker.frames.one(b"7", attempts=0).frames[0], 1, 60)
    channel.returned.append(broker.frames.one(b"6").frames[0])
    unstarted = broker.topic(b"u")
    put(unstarted, broker, b"a", b"b")
    unstarted.put_deferred(broker.frames.one(b"c", attempts=0).frames[0], 1, 60)
    assert await broker.close()
    broker = start()
    assert broker.topics[b"t"].channels["c"].depth == 6
    assert len(broker.topics[b"t"].channels["c"].deferred) == 1
    frames = broker.topics[b"t"].channels["c"].backend.take(100, 1 << 20).frames
    assert [body_of(frame) for frame in frames] == [b"4", b"5", b"1", b"2", b"3", b"6"]
    assert [frame[17] for frame in frames] == [1, 1, 1, 1, 1, 2]
    assert [body_of(frame) for frame in broker.topics[b"u"].backend.take(9, 999).frames] == [b"a", b"b"]
    assert [body_of(past) for _, past in broker.topics[b"u"].deferred] == [b"c"]


@pytest.mark.parametrize(("run", "size"), [(7, 1 << 20), (1000, 300), (1000, 1)])
async def test_a_long_queue_in_memory_is_stored_in_runs(
    start: Open, monkeypatch: pytest.MonkeyPatch, run: int, size: int
) -> None:
    """All at once would take as much memory again, at the very end."""
    monkeypatch.setattr(message_queue, "FLUSH_RUN", run)
    monkeypatch.setattr(message_queue, "FLUSH_BYTES", size)
    broker = start()
    bodies = [b"%d" % n for n in range(100)]
    put(broker.topic(b"t"), broker, *bodies)
    runs: list[int] = []
    append = DiskQueue.append

    def counting(queue: DiskQueue, records: list[bytes], done: Stored) -> None:
        runs.append(len(records))
        append(queue, records, done)

    monkeypatch.setattr(DiskQueue, "append", counting)
    assert await broker.close()
    assert broker.budget.used == 0
    assert max(runs) <= min(run, size // 34 + 1)
    broker = start()
    assert [body_of(f) for f in broker.topics[b"t"].backend.take(200, 1 << 20).frames] == bodies


async def test_nothing_is_created_while_it_ends(start: Open) -> None:
    broker = start()
    topic = broker.topic(b"t")
    await broker.close()
    with pytest.raises(Refused, match="exiting"):
        broker.topic(b"u")
    with pytest.raises(Refused, match="exiting"):
        broker.channel(topic, "c")
    with pytest.raises(Refused, match="exiting"):
        put(topic, broker, b"x")


async def test_a_topic_deleted_while_it_ends_costs_the_others_nothing(start: Open, tmp_path: Path) -> None:
    broker = start()
    for name in (b"a", b"b", b"c"):
        put(broker.topic(name), broker, name)
    closing = asyncio.ensure_future(broker.close())
    for _ in range(100):
        if broker.topics[b"a"].exiting:
            break
        await asyncio.sleep(0)
    broker.delete_topic(broker.topics[b"b"])
    assert await closing
    broker = start()
    assert [broker.topics[name].depth for name in (b"a", b"c")] == [1, 1]


async def test_what_can_t_be_stored_at_the_end_is_reported(
    start: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broker = start()
    put(broker.topic(b"t"), broker, b"x")

    def full(*_: object) -> int:
        raise FULL

    monkeypatch.setattr(os, "pwrite", full)
    assert not await broker.close()
    assert any("failed to write to" in message for message in caplog.messages)


async def test_an_end_during_a_metadata_write_stores_the_last_state(start: Open, tmp_path: Path) -> None:
    broker = start()
    broker.topic(b"t")
    await asyncio.sleep(0)
    broker.topic(b"u").pause(True)
    await broker.close()
    assert stored(tmp_path) == {"t": (False, {}), "u": (True, {})}


async def test_starts_and_ends_leave_no_descriptor(start: Open) -> None:
    before = descriptors()
    for _ in range(3):
        broker = start("--max-bytes-per-file=100", "--mem-queue-size=0")
        topic = broker.topic(b"t")
        channel = broker.channel(topic, "c")
        put(topic, broker, *[b"x" * 20] * 10)
        await asyncio.sleep(0)
        channel.backend.take(3, 1 << 20)
        await broker.close()
    assert descriptors() == before


async def test_very_many_messages_are_let_go_of_in_slices(
    start: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DISCARD_RUN", 10)
    broker = start()
    messages = deque([b"x"] * 35)
    broker.discard(messages)
    assert len(messages) == 25
    await eventually(lambda: not messages)
