from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from nsqclient import ConfigError, ConnectionOptions, Consumer, Nsqd, Producer
from nsqclient.discovery.dialing import DialOptions, dial_directly, parse_local_addr
from tests.support.fake_nsqd import FakeNsqd


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("10.0.0.1", "10.0.0.1", 0),
        ("10.0.0.1:4999", "10.0.0.1", 4999),
        ("::1", "::1", 0),
        ("[::1]", "::1", 0),
        ("[::1]:4999", "::1", 4999),
        ("host", "host", 0),
    ],
)
def test_a_local_address_may_go_without_its_port(text: str, host: str, port: int) -> None:
    assert parse_local_addr(text) == (host, port)


@pytest.mark.parametrize("text", ["", ":4150", "a:b", "[::1]:x", "a:99999"])
def test_what_is_no_local_address_is_refused_by_the_options(text: str) -> None:
    with pytest.raises(ConfigError, match="local_addr"):
        ConnectionOptions(local_addr=text)


async def test_connections_come_from_the_local_address() -> None:
    ended = asyncio.Event()
    ours: list[str] = []

    class Protocol(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            ours.append(transport.get_extra_info("sockname")[0])
            transport.close()

        def connection_lost(self, exc: Exception | None) -> None:
            ended.set()

    async with FakeNsqd() as nsqd, asyncio.timeout(5):
        await dial_directly(nsqd.address, Protocol, ConnectionOptions(local_addr="127.0.0.2"))
        await ended.wait()
        assert ours == ["127.0.0.2"]


class Elsewhere(Nsqd):
    """Dials the fake nsqd, whatever the name of the nsqd is."""

    def __init__(self, nsqd: FakeNsqd) -> None:
        super().__init__("nowhere.invalid:1")
        self.nsqd = nsqd
        self.dialed: list[str] = []

    async def dial(self, node: str, factory: Callable[[], asyncio.Protocol], options: DialOptions) -> None:
        self.dialed.append(node)
        await super().dial(self.nsqd.address, factory, options)


async def test_a_target_may_dial_in_its_own_way() -> None:
    async with FakeNsqd() as nsqd:
        target = Elsewhere(nsqd)
        async with Producer(target) as producer:
            receipt = await producer.publish("t", b"x")
        async with Consumer("t", "c", target):
            pass
        assert target.dialed == ["nowhere.invalid:1"] * 2
        assert "nowhere.invalid:1" in repr(receipt)
