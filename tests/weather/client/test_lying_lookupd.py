"""nsqlookupds that tell wrong ports, dead addresses and garbage, and something else at every poll."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from nsqclient import ConnectionOptions, Consumer, FlowControl, FullJitter, Lookup, Message, Producer
from tests.support.fake_lookupd import FakeLookupd
from tests.weather.client.ledger import Ledger
from tests.weather.client.site import Site

QUICK = FullJitter(0.01, cap=0.1)
OPTIONS = ConnectionOptions(dial_timeout=0.5, handshake_timeout=0.5)
GARBAGE = (
    "",
    "{}",
    "[]",
    "null",
    "\0",
    "<html>",
    '{"producers": 1}',
    '{"producers": [1, null, {}]}',
    "[" * 10_000,
)
ODD = (
    {"broadcast_address": "", "tcp_port": 4150},
    {"broadcast_address": "no such host.invalid", "tcp_port": 4150},
    {"broadcast_address": "x" * 300, "tcp_port": 4150},
    {"broadcast_address": "127.0.0.1", "tcp_port": 0},
    {"broadcast_address": "127.0.0.1", "tcp_port": 70_000},
    {"broadcast_address": "127.0.0.1", "tcp_port": -1},
    {"broadcast_address": "127.0.0.1", "tcp_port": "4150"},
    {"broadcast_address": ["127.0.0.1"], "tcp_port": {}},
)


class Liar:
    """A nsqlookupd that says something else whenever it is asked to."""

    def __init__(self, server: FakeLookupd, truth: list[str], dead: list[str]) -> None:
        self.server = server
        self._truth = truth
        self._dead = dead
        self._chance = random.Random(1)
        self._turn = itertools.count()

    def lie(self) -> None:
        """The next lie."""
        server, chance = self.server, self._chance
        self.tell_truth()
        match next(self._turn) % 6:
            case 0:  # a part of the truth, and what is dead
                self._name([*chance.sample(self._truth, 1), *self._dead])
            case 1:
                server.text = chance.choice(GARBAGE)
            case 2:  # other ports: a nsqlookupd is no nsqd
                self._name([server.url.removeprefix("http://"), *self._dead])
            case 3:
                server.status = chance.choice([404, 500, 503])
            case 4:
                server.text = json.dumps({"channels": [], "producers": ODD})
            case _:
                self._name([])

    def tell_truth(self) -> None:
        """What is so."""
        self.server.status, self.server.text = 200, None
        self._name(self._truth)

    def _name(self, nodes: list[str]) -> None:
        self.server.nodes, self.server.topics = nodes, {"t": nodes}


async def test_lies_cost_neither_messages_nor_connections(program: str | Path, tmp_path: Path) -> None:
    ledger = Ledger()
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        dead = f"127.0.0.1:{taken.getsockname()[1]}"
    async with (
        FakeLookupd() as one,
        FakeLookupd() as two,
        Site(program, tmp_path / "a", "--msg-timeout=2s") as a,
        Site(program, tmp_path / "b", "--msg-timeout=2s") as b,
    ):
        truth = [a.address, b.address]
        liars = [Liar(server, truth, [dead]) for server in (one, two)]
        for liar in liars:
            liar.tell_truth()
        target = Lookup(one.url, two.url, poll_interval=0.05, request_timeout=0.5, drop_missing_after=0.2)
        async with (
            Producer(target, options=OPTIONS, timeout=10) as producer,
            Consumer(
                "t",
                "c",
                target,
                options=OPTIONS,
                max_in_flight=10,
                flow=FlowControl(backoff=None),
                reconnect=QUICK,
            ) as consumer,
        ):

            async def handler(message: Message) -> None:
                ledger.seen[message.body] += 1

            await until(lambda: consumer.stats.connections == producer.stats.connections == 2)
            working = asyncio.create_task(consumer.run(handler))
            for turn in range(60):
                for liar in liars:
                    liar.lie()
                for body in ledger.bodies(5):
                    await ledger.record([body], producer.publish("t", body))
                if turn == 30:  # one of them can be found again by lies alone
                    a.proxy.cut()
                await asyncio.sleep(0.03)
            for liar in liars:
                liar.tell_truth()
            await until(lambda: consumer.stats.connections == producer.stats.connections == 2)
            await until(lambda: {node.address for node in producer.nodes} == set(truth))
            await until(lambda: ledger.stored.keys() <= ledger.seen.keys())
            consumer.stop()
            await working
        assert b.proxy.accepted == 2, "it was left and joined again"
        assert len(one.requests) > 20
    ledger.check()
    assert not ledger.absent


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - a snapshot has no event
            await asyncio.sleep(0.01)
