"""Reads and writes fail in the midst of delivery: what can be delivered is, and the loop does not spin."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nsqcore.wire.commands import encode_pub
from nsqd import broker
from nsqd.storage import disk
from nsqd.storage.segment_reader import SegmentReader
from nsqd.topic import Topic
from tests.support.nsqd import Node, eventually


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "RETRY_S", 0.02)
    monkeypatch.setattr(broker, "STORE_RETRY_S", 0.02)


def no_descriptors(*_: object, **__: object) -> int:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def unreadable(patch: pytest.MonkeyPatch) -> None:
    """No queue can open a segment to read it."""
    patch.setattr(os, "dup", no_descriptors)
    patch.setattr(SegmentReader, "_read_ahead", no_descriptors)


def counting(patch: pytest.MonkeyPatch, owner: type, name: str) -> list[None]:
    """Gets longer with each call."""
    calls: list[None] = []
    real: Callable[..., Any] = getattr(owner, name)

    def call(*args: Any) -> Any:
        calls.append(None)
        return real(*args)

    patch.setattr(owner, name, call)
    return calls


async def test_a_topic_whose_backlog_can_t_be_read_waits_without_spinning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies = [b"%d" % n for n in range(20)]
    async with Node(tmp_path, "--mem-queue-size=0") as node:
        producer = await node.connect()
        await producer.pub("t", *bodies)
        with monkeypatch.context() as patch:
            unreadable(patch)
            drains = counting(patch, Topic, "_drain")
            consumer = await node.subscribe("t", "c", rdy=100)
            await eventually(lambda: len(drains) >= 3)
            turns = await turns_of(0.1)
            assert len(drains) < 10, f"once per pause, in {turns} turns of the loop"
        assert await consumer.bodies(20) == bodies


async def turns_of(seconds: float) -> int:
    """Turns the loop for a while; how often it turned."""
    until, turns = asyncio.get_running_loop().time() + seconds, 0
    while asyncio.get_running_loop().time() < until:
        await asyncio.sleep(0)
        turns += 1
    return turns


async def test_a_channel_whose_backlog_can_t_be_read_waits_without_spinning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies = [b"%d" % n for n in range(20)]
    async with Node(tmp_path, "--mem-queue-size=0") as node:
        consumer = await node.subscribe("t", "c")
        producer = await node.connect()
        with monkeypatch.context() as patch:
            unreadable(patch)
            await producer.pub("t", *bodies)
            reads = counting(patch, SegmentReader, "_fill")
            consumer.rdy(100)
            await eventually(lambda: len(reads) >= 3)
            await turns_of(0.1)
            assert len(reads) < 10, "once per pause"
        assert await consumer.bodies(20) == bodies


async def test_what_consumers_gave_back_is_delivered_while_the_backlog_can_t_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Node(tmp_path, "--mem-queue-size=0") as node:
        producer = await node.connect()
        consumer = await node.subscribe("t", "c", rdy=1)
        await producer.pub("t", b"first", b"second")
        message = await consumer.message()
        node.channel("t", "c").backend._reader.forget()  # type: ignore[attr-defined]
        with monkeypatch.context() as patch:
            unreadable(patch)
            consumer.req(message.id)
            again = await consumer.message()
            assert (again.body, again.attempts) == (b"first", 2)
        consumer.fin(again.id)
        assert await consumer.bodies(1) == [b"second"]


async def test_a_backlog_that_its_channel_can_t_store_is_kept_and_delivered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its publishers were told OK long ago; the original drops it."""
    bodies = [b"%d" % n for n in range(50)]
    async with Node(tmp_path, "--mem-queue-size=5") as node:
        producer = await node.connect()
        await producer.pub("t", *bodies)
        consumer = await node.subscribe("t", "c")
        await eventually(lambda: node.topic("t").depth == 0)
        await node.request("POST", "/topic/pause?topic=t", b"")
        await producer.pub("t", *bodies)
        pwrite = os.pwrite

        def full_for_channels(fd: int, data: bytes, offset: int) -> int:
            if "t:c." in str(Path(f"/proc/self/fd/{fd}").readlink()):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return pwrite(fd, data, offset)

        monkeypatch.setattr(os, "pwrite", full_for_channels)
        consumer.rdy(2500)
        assert await consumer.bodies(50) == bodies
        await node.request("POST", "/topic/unpause?topic=t", b"")
        assert await consumer.bodies(50) == bodies
        await consumer.settled()


async def test_health_follows_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Node(tmp_path, "--mem-queue-size=0", "--sync-timeout=10ms") as node:
        producer = await node.connect()
        await producer.pub("t", b"x")
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", no_descriptors)
            await eventually(lambda: node.broker.disk.error is not None)
            answer = await node.request("GET", "/ping")
            assert (answer.status, answer.body) == (500, b"NOK - too many open files")
        await eventually(lambda: node.broker.disk.error is None)
        assert (await node.request("GET", "/ping")).status == 200
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", no_descriptors)
            producer.send(encode_pub("t", b"y"))
            await producer.expect_error("E_PUB_FAILED PUB failed too many open files")
            assert (await node.request("GET", "/ping")).status == 500
        producer = await node.connect()
        await producer.pub("t", b"z")
        assert (await node.request("GET", "/ping")).status == 200
