"""Publishers and consumers of a nsqd in its own process, which remember what was promised and what came.

::

    with nsqd(folder) as d:
        publisher = await Publisher.start(d.tcp, "t", "first")
        await publisher.reached(1000)
        d.kill()
        await publisher.ended
    with nsqd(folder) as d:
        delivered = await drain(d.tcp, "t", "c", publisher.confirmed)
"""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, cast

from nsqcore.addresses import parse_host_port
from nsqcore.wire.commands import encode_fin, encode_mpub, encode_pub, encode_rdy
from nsqcore.wire.frames import ERROR, MAGIC_V2, MESSAGE, OK, WireMessage, decode_message
from tests.support.nsqd import DEADLINE_S, RawClient
from tests.support.processes import DaemonProcess, spawn

PATIENCE_S = 20.0
"""For what takes a moment on a machine that does other things, too."""


@contextmanager
def nsqd(folder: Path, *flags: str, env: dict[str, str] | None = None) -> Iterator[DaemonProcess]:
    """A nsqd in its own process, on free ports."""
    always = (f"--data-path={folder}", "--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0")
    with spawn("nsqd", *always, "--broadcast-address=127.0.0.1", *flags, env=env) as daemon:
        yield daemon


def post(daemon: DaemonProcess, target: str, body: bytes = b"") -> tuple[int, bytes]:
    """One HTTP POST: status and body."""
    return _request(daemon, "POST", target, body)


def get(daemon: DaemonProcess, target: str) -> tuple[int, bytes]:
    """One HTTP GET: status and body."""
    return _request(daemon, "GET", target, None)


def _request(daemon: DaemonProcess, method: str, target: str, body: bytes | None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(daemon.http, timeout=PATIENCE_S)
    try:
        connection.request(method, target, body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def stats(daemon: DaemonProcess) -> dict[str, dict[str, Any]]:
    """Topics by name, each with ``channels`` by name."""
    topics = json.loads(get(daemon, "/stats?format=json")[1])["topics"]
    return {t["topic_name"]: {**t, "channels": {c["channel_name"]: c for c in t["channels"]}} for t in topics}


async def connect(address: str) -> RawClient:
    """A client that has said hello."""
    client = await RawClient.open(cast(tuple[str, int], tuple(parse_host_port(address))))
    opened.append(client)
    client.send(MAGIC_V2)
    return client


opened: list[RawClient] = []
"""Every client since the test began; it is closed with the test."""


async def part(*clients: RawClient) -> None:
    """Closes connections, and turns the loop until they are: a test may block it next."""
    for client in clients:
        client.drop()
    for _ in range(3):
        await asyncio.sleep(0)


class Publisher:
    """Publishes to a topic as fast as the answers come, in turns by runs of PUBs and by MPUB, until it is cut off.

    Bodies are ``<name>-<number>``, each once.
    """

    def __init__(self, client: RawClient, topic: str, name: str) -> None:
        self.confirmed: set[bytes] = set()
        """What nsqd said OK to."""
        self.refused: set[bytes] = set()
        """What nsqd said no to."""
        self._client, self._topic, self._name = client, topic, name
        self._news = asyncio.Event()
        self.ended = asyncio.ensure_future(self._run())
        """Done when the connection is over."""

    @classmethod
    async def start(cls, address: str, topic: str, name: str) -> Self:
        """Begins."""
        return cls(await connect(address), topic, name)

    async def reached(self, count: int) -> None:
        """Waits until so many messages are confirmed; raises AssertionError when that does not happen."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.confirmed) < count:
                assert not self.ended.done(), f"cut off behind {len(self.confirmed)} of {count} messages"
                self._news.clear()
                await self._news.wait()

    async def stop(self) -> None:
        """Ends the connection when it is idle."""
        self._stopping = True
        await self.ended

    _stopping = False

    async def _run(self) -> None:
        number = 0
        try:
            while not self._stopping:
                bodies = [b"%s-%d" % (self._name.encode(), number + n) for n in range(1 + number % 37)]
                number += len(bodies)
                if number % 2:
                    self._client.send(encode_mpub(self._topic, bodies))
                    self._note(await self._client.frame(), bodies)
                else:
                    self._client.send(b"".join(encode_pub(self._topic, body) for body in bodies))
                    for body in bodies:
                        self._note(await self._client.frame(), [body])
                self._news.set()
        except EOFError:
            pass
        finally:
            await part(self._client)
            self._news.set()

    def _note(self, frame: tuple[int, bytes], bodies: Collection[bytes]) -> None:
        if frame[1] == OK:
            self.confirmed.update(bodies)
        else:
            assert frame[0] == ERROR, frame
            self.refused.update(bodies)


async def drain(
    address: str, topic: str, channel: str, wanted: Collection[bytes], *, ready: int = 200
) -> list[WireMessage]:
    """Takes and finishes messages until all that is wanted has come; raises AssertionError naming what does not."""
    client, missing, came = await connect(address), set(wanted), list[WireMessage]()
    await client.sub(topic, channel)
    client.send(encode_rdy(ready))
    try:
        while missing:
            message = await client.message()
            came.append(message)
            missing.discard(message.body)
            client.send(encode_fin(message.id))
        await _all_obeyed(client)
    except AssertionError as e:
        raise AssertionError(
            f"{len(missing)} of {len(wanted)} messages are missing, {sorted(missing)[:3]} among them"
        ) from e
    finally:
        await part(client)
    return came


async def take(address: str, topic: str, channel: str, count: int) -> list[bytes]:
    """Takes and finishes exactly so many messages, one after the other, and holds none when it leaves."""
    client, bodies = await connect(address), list[bytes]()
    await client.sub(topic, channel)
    client.send(encode_rdy(1))
    while len(bodies) < count:
        message = await client.message()
        bodies.append(message.body)
        if len(bodies) == count:
            client.send(encode_rdy(0))
        client.send(encode_fin(message.id))
    await client.settled()
    await part(client)
    return bodies


async def _all_obeyed(client: RawClient) -> None:
    """nsqd has obeyed all that was sent; messages that come meanwhile are passed over."""
    client.fin(b"f" * 16)
    async with asyncio.timeout(DEADLINE_S):
        while (await client.frame())[0] == MESSAGE:
            pass


def decode(frame: tuple[int, bytes]) -> WireMessage:
    """A message frame's message."""
    assert frame[0] == MESSAGE, frame
    return decode_message(frame[1])
