"""A topic that is being removed from a nsqd is not brought back by a publish."""

from __future__ import annotations

import asyncio
from typing import Literal

import pytest

from nsqclient import Lookup, Producer, Routing
from tests.nsqclient.producers import start, until
from tests.support.fake_lookupd import FakeLookupd
from tests.support.fake_nsqd import FakeNsqd

REMOVED: dict[str, object] = {"topics": ["u", "t"], "tombstones": [False, True]}


def pubs(nsqd: FakeNsqd) -> list[str]:
    return [command for command in nsqd.commands if command.startswith("PUB")]


@pytest.mark.parametrize("pick", ["round_robin", "sticky", "least_pending", "nearest"])
async def test_others_get_it(pick: Literal["round_robin", "sticky", "least_pending", "nearest"]) -> None:
    async with FakeNsqd() as gone, FakeNsqd() as here, FakeLookupd() as lookupd:
        lookupd.nodes = [gone.address, here.address]
        lookupd.tells = {gone.address: REMOVED}
        async with Producer(Lookup(lookupd.url), routing=Routing(pick=pick)) as producer:
            await until(lambda: producer.stats.connections == 2)
            await asyncio.gather(*start(producer, *(b"%d" % n for n in range(20))))
            assert len(pubs(here)) == 20
            assert pubs(gone) == []
            await asyncio.gather(*(producer.publish("u", b"x") for _ in range(20)))
            assert len(pubs(gone)) + len(pubs(here)) == 40


async def test_it_waits_for_one_that_takes_nothing_at_present() -> None:
    async with FakeNsqd() as gone, FakeNsqd() as here, FakeLookupd() as lookupd:
        lookupd.nodes = [gone.address, here.address]
        lookupd.tells = {gone.address: REMOVED}
        async with Producer(Lookup(lookupd.url)) as producer:
            await until(lambda: producer.stats.connections == 2)
            here.link.stop_reading()
            big = [asyncio.create_task(producer.publish("t", b"x" * 1_000_000)) for _ in range(20)]
            await until(lambda: not _takes(producer, here.address))
            more = start(producer, b"more")
            await producer.publish("u", b"x")
            assert pubs(gone) == ["PUB u x"]
            here.link.resume_reading()
            await asyncio.gather(*big, *more)
            assert pubs(gone) == ["PUB u x"]


def _takes(producer: Producer, address: str) -> bool:
    assert producer._dispatch is not None
    return any(outlet.ready for outlet in producer._dispatch._outlets() if outlet.address == address)


async def test_where_it_is_removed_everywhere_it_is_wanted_back() -> None:
    async with FakeNsqd() as gone, FakeLookupd() as lookupd:
        lookupd.nodes = [gone.address]
        lookupd.tells = {gone.address: REMOVED}
        async with Producer(Lookup(lookupd.url)) as producer:
            await producer.publish("t", b"x")
            assert pubs(gone) == ["PUB t x"]


async def test_what_is_over_is_forgotten() -> None:
    async with FakeNsqd() as gone, FakeNsqd() as here, FakeLookupd() as lookupd:
        lookupd.nodes = [gone.address, here.address]
        lookupd.tells = {gone.address: REMOVED}
        async with Producer(Lookup(lookupd.url, poll_interval=0.05)) as producer:
            await until(lambda: producer.stats.connections == 2)
            lookupd.tells = {}
            asked = len(lookupd.requests)
            await lookupd.asked(asked + 2)
            await asyncio.gather(*start(producer, *(b"%d" % n for n in range(20))))
            assert pubs(gone)
            assert pubs(here)


async def test_copies_go_elsewhere_while_there_are_enough() -> None:
    async with FakeNsqd() as gone, FakeNsqd() as a, FakeNsqd() as b, FakeLookupd() as lookupd:
        lookupd.nodes = [gone.address, a.address, b.address]
        lookupd.tells = {gone.address: REMOVED}
        routing = Routing(copies=2)
        async with Producer(Lookup(lookupd.url), routing=routing, headers="auto") as producer:
            await until(lambda: producer.stats.connections == 3)
            for _ in range(10):
                receipt = await producer.publish("t", b"x")
                assert sorted(receipt.nodes) == sorted([a.address, b.address])
