"""Topics are archived side by side; they end together, in order, and one that fails ends all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from nsqclient import Consumer
from nsqclient.errors import InvalidName
from nsqclient.tools.to_file.archives import Archives
from nsqclient.tools.to_file.failures import ArchiveFailed
from tests.support.fake_nsqd import FakeNsqd, ok, refuse
from tests.support.nsqd import Node, eventually


class Taking:
    """An archive that finishes what it gets."""

    def __init__(self, consumer: Consumer, taken: list[bytes]) -> None:
        self.consumer = consumer
        self.taken = taken
        self.reloads = 0
        self.ended = False

    async def run(self) -> None:
        async for message in self.consumer:
            if message.body == b"full":
                raise ArchiveFailed("no space left on device")
            if message.body == b"bug":
                raise ZeroDivisionError
            self.taken.append(message.body)
            await message.finish()
        await asyncio.sleep(0)
        self.ended = True

    def reload(self) -> None:
        self.reloads += 1


class World:
    """Archives of one nsqd's topics."""

    def __init__(self, address: str) -> None:
        self.taken: list[bytes] = []
        self.made: dict[str, Taking] = {}
        self.archives = Archives(
            lambda topic: Consumer(topic, "c", address, max_in_flight=10, drain_on_error=0), self.make
        )

    def make(self, consumer: Consumer) -> Taking:
        return self.made.setdefault(consumer.topic, Taking(consumer, self.taken))

    async def failed(self) -> None:
        async with asyncio.timeout(5):
            await self.archives.failed.wait()


@asynccontextmanager
async def archiving(node: Node) -> AsyncIterator[World]:
    world = World(address_of(node))
    try:
        yield world
    finally:
        async with asyncio.timeout(5):
            await world.archives.stop()


def address_of(node: Node) -> str:
    host, port = node.tcp
    return f"{host}:{port}"


async def publish(node: Node, topic: str, *bodies: bytes) -> None:
    producer = await node.connect()
    await producer.pub(topic, *bodies)


async def test_each_topic_has_an_archive_and_all_end_in_order(tmp_path: Path) -> None:
    async with Node(tmp_path) as node:
        await publish(node, "a", b"1")
        await publish(node, "b", b"2")
        async with archiving(node) as world:
            world.archives.add_named(["a", "b"])
            await eventually(lambda: sorted(world.taken) == [b"1", b"2"])
        assert [archive.ended for archive in world.made.values()] == [True, True]
        assert not world.archives.failed.is_set()


async def test_a_topic_that_is_told_again_is_not_begun_again(tmp_path: Path) -> None:
    async with Node(tmp_path) as node, archiving(node) as world:
        world.archives.add_discovered(["a"])
        await eventually(lambda: list(world.made) == ["a"])
        world.archives.add_discovered(["a", "b"])
        await eventually(lambda: list(world.made) == ["a", "b"])
        assert len(node.channel("a", "c").clients) == 1


async def test_reloading_reaches_all(tmp_path: Path) -> None:
    async with Node(tmp_path) as node, archiving(node) as world:
        world.archives.reload()  # there is none yet
        world.archives.add_named(["a", "b"])
        await eventually(lambda: len(world.made) == 2)
        world.archives.reload()
        assert [archive.reloads for archive in world.made.values()] == [1, 1]


async def test_one_that_fails_is_fatal_and_its_messages_go_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with Node(tmp_path) as node:
        await publish(node, "a", b"full")
        async with archiving(node) as world:
            world.archives.add_named(["a", "b"])
            await world.failed()
        assert [(r.levelno, r.getMessage()) for r in caplog.records if r.levelno > logging.WARNING] == [
            (logging.CRITICAL, "no space left on device")
        ]
        assert world.made["b"].ended
        consumer = await node.subscribe("a", "c", rdy=1)
        assert (await consumer.message()).body == b"full"


async def test_a_bug_does_not_go_unnoticed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with Node(tmp_path) as node:
        await publish(node, "a", b"bug")
        async with archiving(node) as world:
            world.archives.add_named(["a"])
            await world.failed()
        assert "the archive of a failed" in caplog.text
        assert "ZeroDivisionError" in caplog.text


async def test_a_bad_name_is_refused_before_anything_begins(tmp_path: Path) -> None:
    async with Node(tmp_path) as node, archiving(node) as world:
        with pytest.raises(InvalidName):
            world.archives.add_named(["a", "b!"])
        assert not world.made


async def test_a_nsqd_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    async with Node(tmp_path) as node:
        address = address_of(node)
    world = World(address)
    world.archives.add_named(["a"])
    await eventually(lambda: list(world.made) == ["a"])
    async with Node(tmp_path, f"--tcp-address={address}") as node:
        await publish(node, "a", b"1")
        await eventually(lambda: world.taken == [b"1"])
        await world.archives.stop()


async def test_stopping_ends_what_has_hardly_begun(tmp_path: Path) -> None:
    async with Node(tmp_path) as node:
        async with archiving(node) as world:
            world.archives.add_named(["a"])
        assert not world.archives.failed.is_set()
        world.archives.add_discovered(["late"])
        assert not world.made


@pytest.mark.parametrize("discovered", [False, True], ids=["named", "discovered"])
async def test_a_topic_that_nsqd_refuses_is_fatal_if_it_was_named_and_else_tried_again(
    discovered: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with FakeNsqd() as nsqd:
        nsqd.script("SUB", refuse("E_SUB_FAILED SUB failed exiting"), ok)
        world = World(nsqd.address)
        begin: Callable[[list[str]], None] = (
            world.archives.add_discovered if discovered else world.archives.add_named
        )
        begin(["a"])
        said = "couldn't create logger for new topic a: "
        await eventually(lambda: said in caplog.text)
        (record,) = (r for r in caplog.records if said in r.getMessage())
        assert "E_SUB_FAILED" in record.getMessage()
        if discovered:
            assert record.levelno == logging.ERROR
            await asyncio.sleep(0)
            world.archives.add_discovered(["a"])
            await eventually(lambda: list(world.made) == ["a"])
        else:
            assert record.levelno == logging.CRITICAL
            await world.failed()
        await world.archives.stop()
