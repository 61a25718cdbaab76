from __future__ import annotations

import asyncio

import pytest

from nsqclient import ConnectError, FullJitter, SubscribeRefused
from nsqclient.connection.connection import Connection
from nsqclient.connection.options import ConnectionOptions
from nsqclient.connection.reconnect import Failure, Reconnect


class Nsqd:
    """Refuses, accepts and loses connections as the test says; pauses are recorded, not waited for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, chance: float = 1.0) -> None:
        self.failures: list[Failure] = []
        self.pauses: list[float] = []
        self.script: list[Exception | float] = []
        self.now = 0.0
        self.over = asyncio.Event()
        loop = asyncio.get_running_loop()
        self.reconnect = Reconnect(
            self.connect, self.failures.append, FullJitter(1.0, cap=8.0), lambda: chance
        )
        monkeypatch.setattr(self.reconnect, "_sleep", self.sleep)
        monkeypatch.setattr(loop, "time", lambda: self.now)

    async def connect(self) -> Connection:
        if not self.script:
            self.over.set()
            await asyncio.Event().wait()
        step = self.script.pop(0)
        if isinstance(step, Exception):
            raise step
        connection = Connection("n:1", ConnectionOptions())
        asyncio.get_running_loop().call_soon(self.lose, connection, step)
        return connection

    def lose(self, connection: Connection, after: float) -> None:
        self.now += after
        connection.closed.set()

    async def sleep(self, pause: float) -> None:
        self.pauses.append(pause)

    async def run(self, *script: Exception | float) -> None:
        self.script = list(script)
        task = asyncio.create_task(self.reconnect.run())
        await self.over.wait()
        task.cancel()
        await asyncio.wait([task])


async def test_pauses_grow_while_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    nsqd = Nsqd(monkeypatch)
    error = ConnectError("n:1", "refused")
    await nsqd.run(*[error] * 5)
    assert nsqd.pauses == [1, 2, 4, 8, 8]
    assert nsqd.failures == [error] * 5


async def test_pauses_are_random(monkeypatch: pytest.MonkeyPatch) -> None:
    nsqd = Nsqd(monkeypatch, chance=0.25)
    await nsqd.run(*[ConnectError("n:1", "refused")] * 3)
    assert nsqd.pauses == [0.25, 0.5, 1.0]


async def test_after_a_long_connection_pauses_begin_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    nsqd = Nsqd(monkeypatch)
    error = ConnectError("n:1", "refused")
    await nsqd.run(error, error, 100.0, error)
    assert nsqd.pauses == [1, 2, 1, 2]


async def test_connections_that_break_at_once_do_not_shorten_the_pauses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nsqd = Nsqd(monkeypatch)
    await nsqd.run(0.5, 0.5, 0.5)
    assert nsqd.pauses == [1, 2, 4]


async def test_a_refused_subscription_is_tried_again_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    nsqd = Nsqd(monkeypatch, chance=0.5)
    refusal = SubscribeRefused("n:1", "E_SUB_FAILED", "too many")
    await nsqd.run(refusal, refusal)
    assert nsqd.pauses == [6.0, 6.0]
    assert nsqd.failures == [refusal, refusal]


async def test_news_end_a_pause() -> None:
    tried = asyncio.Event()
    again = asyncio.Event()

    async def connect() -> Connection:
        (again if tried.is_set() else tried).set()
        raise ConnectError("n:1", "refused")

    reconnect = Reconnect(connect, lambda failure: None, FullJitter(1000, cap=1000), lambda: 1.0)
    task = asyncio.create_task(reconnect.run())
    await tried.wait()
    await asyncio.sleep(0)
    reconnect.hurry()
    async with asyncio.timeout(5):
        await again.wait()
    task.cancel()
    await asyncio.wait([task])
