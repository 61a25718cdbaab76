"""What is confirmed of records, by nsqds that do as they are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from nsqclient import Producer
from nsqclient.tools.from_stdin.destinations import Destination
from tests.nsqclient.producers import QUICK, until
from tests.support.fake_nsqd import FakeNsqd, drop, refuse, silence


class Told:
    """What a destination tells."""

    def __init__(self) -> None:
        self.records = 0
        self.bytes = 0
        self.failed = 0

    def confirmed(self, records: int, size: int) -> None:
        """Some more are."""
        self.records += records
        self.bytes += size

    def fail(self) -> None:
        """No more will be."""
        self.failed += 1


@asynccontextmanager
async def destination(address: str, told: Told, **settings: float) -> AsyncIterator[Destination]:
    """One, whose confirmations are waited for at the end of the block."""
    timeout = settings.get("timeout", 5.0)
    async with Producer(address, retry=QUICK, reports="none", timeout=timeout) as producer:
        place = Destination(address, producer, "t", confirmed=told.confirmed, failed=told.fail)
        confirming = asyncio.create_task(place.confirm())
        yield place
        place.end()
        await confirming


async def test_one_record_is_a_pub_and_several_are_an_mpub() -> None:
    told = Told()
    async with FakeNsqd() as nsqd:
        async with destination(nsqd.address, told) as place:
            await place.send(1, [b"one"])
            await place.send(2, [b"two", b"three"])
        await nsqd.expect("IDENTIFY", "PUB t one", "MPUB t two three")
        assert (place.confirmed, place.failure) == (3, "")
        assert (told.records, told.bytes, told.failed) == (3, 11, 0)


async def test_records_are_pipelined() -> None:
    told = Told()
    async with FakeNsqd() as nsqd:
        nsqd.always("PUB", silence)
        async with destination(nsqd.address, told) as place:
            await place.send(1, [b"one"])
            await place.send(2, [b"two"])
            await nsqd.expect("IDENTIFY", "PUB t one", "PUB t two")
            assert told.records == 0
            nsqd.link.ok()
            await until(lambda: told.records == 1)
            nsqd.link.ok()
        assert place.confirmed == 2


async def test_a_nsqd_that_is_not_there_is_told_at_once() -> None:
    told = Told()
    async with asyncio.timeout(4), destination("127.0.0.1:1", told, timeout=60) as place:
        await place.send(1, [b"one"])
        await until(lambda: told.failed == 1)
        await place.send(2, [b"two"])
    assert place.failure.startswith("record 1 was not confirmed: ")
    assert "refused" in place.failure


async def test_the_first_record_of_those_that_were_refused_is_told() -> None:
    told = Told()
    async with FakeNsqd() as nsqd:
        nsqd.script("MPUB", lambda link: link.ok(), refuse("E_BAD_TOPIC MPUB topic name is not liked"))
        async with destination(nsqd.address, told) as place:
            await place.send(1, [b"one", b"two"])
            await place.send(3, [b"three", b"four"])
            await until(lambda: told.failed == 1)
        assert place.confirmed == 2
        assert place.failure.startswith("record 3 was not confirmed: ")
        assert "not liked" in place.failure


async def test_of_many_that_are_refused_for_their_size_the_one_to_blame_is_found() -> None:
    told = Told()
    async with FakeNsqd() as nsqd:
        nsqd.script("MPUB", refuse("E_BAD_MESSAGE MPUB message too big 5 > 4"))
        nsqd.script("PUB", lambda link: link.ok(), refuse("E_BAD_MESSAGE PUB message too big 5 > 4"))
        async with destination(nsqd.address, told) as place:
            await place.send(1, [b"four", b"fives", b"more"])
            await until(lambda: told.failed == 1)
        await nsqd.expect("IDENTIFY", "MPUB t four fives more", "IDENTIFY", "PUB t four", "PUB t fives")
        assert place.confirmed == 1
        assert place.failure.startswith("record 2 was not confirmed: ")


async def test_a_nsqd_that_takes_smaller_commands_gets_records_one_by_one() -> None:
    told = Told()
    async with FakeNsqd() as nsqd:
        nsqd.always("MPUB", refuse("E_BAD_BODY MPUB body too big"))
        async with destination(nsqd.address, told) as place:
            await place.send(1, [b"one", b"two"])
            await until(lambda: told.records == 2)
        assert (place.confirmed, place.failure) == (2, "")


async def test_a_lost_answer_is_told_and_nothing_is_sent_again() -> None:
    told = Told()
    async with FakeNsqd() as nsqd:
        nsqd.script("PUB", drop)
        async with destination(nsqd.address, told) as place:
            await place.send(1, [b"one"])
            await until(lambda: told.failed == 1)
        assert place.failure.startswith("record 1 was not confirmed: ")
        assert nsqd.count("PUB") == 1 if hasattr(nsqd, "count") else True
