"""A producer's side of one nsqd: its connection, and the publishes written to it in order.

nsqd runs commands strictly in order and answers each, so the answers need no number: each belongs to the
oldest publish without one. And it reads nothing after what it refuses, so everything behind a refused
publish was certainly not stored.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Protocol

from nsqclient.connection.connection import Connection
from nsqclient.connection.opening import open_connection
from nsqclient.connection.options import ConnectionOptions
from nsqclient.connection.reconnect import Failure, Reconnect
from nsqclient.connection.state import Event, Refusal
from nsqclient.discovery.dialing import Dial, dial_directly
from nsqclient.errors import ConnectError, NotNsqd
from nsqclient.pauses import Chance, FullJitter
from nsqclient.producer.pending import Pending
from nsqclient.tasks import Tasks
from nsqcore.wire.frames import OK

log = logging.getLogger(__name__)


class Fates(Protocol):
    """Who hears what became of publishes; a producer."""

    def acked(self, pending: Pending) -> None:
        """nsqd has stored it."""

    def refused(self, pending: Pending, refusal: Refusal) -> None:
        """nsqd has refused it."""

    def unsent(self, pending: list[Pending]) -> None:
        """Written in vain: nsqd certainly never looked at them. Oldest first."""

    def unanswered(self, pending: list[Pending], error: ConnectError) -> None:
        """Written, and the answers lost. Oldest first."""

    def writable(self) -> None:
        """An outlet takes publishes again."""

    def connect_failed(self, failure: Failure) -> None:
        """A nsqd could not be reached."""

    def disconnected(self) -> None:
        """A connection was lost."""


class Outlet:
    """One nsqd of a producer."""

    def __init__(
        self,
        node: str,
        options: ConnectionOptions,
        pace: FullJitter,
        chance: Chance,
        fates: Fates,
        tasks: Tasks,
        dial: Dial = dial_directly,
    ) -> None:
        self.node = node
        self.connection: Connection | None = None
        self._options = options
        self._fates = fates
        self._tasks = tasks
        self._dial = dial
        self.written: deque[Pending] = deque()
        """Publishes without an answer, oldest first."""
        self._reconnect = Reconnect(self._connect, fates.connect_failed, pace, chance)
        self._task: asyncio.Task[object] | None = None

    @property
    def connected(self) -> bool:
        """Whether there is a connection."""
        return self.connection is not None and self.connection.alive

    @property
    def ready(self) -> bool:
        """Whether it takes publishes now."""
        return self.connection is not None and self.connection.alive and not self.connection.blocked

    def start(self) -> None:
        """Connects, and again whenever the connection is lost."""
        self._task = self._tasks.start(self._reconnect.run(), f"nsqclient producer {self.node}")

    def stop(self) -> None:
        """Connects no more."""
        if self._task is not None:
            self._task.cancel()

    def hurry(self) -> None:
        """Tries to connect now."""
        self._reconnect.hurry()

    def write(self, batch: list[Pending]) -> None:
        """Sends them in one write; only while :attr:`ready`."""
        connection = self.connection
        assert connection is not None
        connection.advance(Event.PUB)
        for pending in batch:
            pending.node = self.node
            pending.attempts += 1
            pending.on_wire = True
            connection.send(pending.command)
        self.written.extend(batch)
        connection.flush()

    async def end(self) -> None:
        """Ends the connection; what has no answer by now will have none."""
        if self.connection is not None:
            await self.connection.end()

    async def _connect(self) -> Connection:
        connection = await open_connection(self.node, self._options, self._dial)
        connection.attach(self)
        self.connection = connection
        self._fates.writable()
        return connection

    # ---- called by the connection

    def messages_came(self, payloads: list[bytes]) -> None:
        """Can't be: the connection is not subscribed."""
        raise AssertionError(f"{len(payloads)} messages on a producer's connection")

    def answered(self, data: bytes) -> None:
        """The oldest publish is stored."""
        if data == OK and self.written:
            pending = self.written.popleft()
            pending.on_wire = False
            self._fates.acked(pending)
        elif self.connection is not None:
            self.connection.abort(NotNsqd(self.node, f"unexpected answer {data[:32]!r}"))

    def refused(self, refusal: Refusal) -> None:
        """The oldest publish is refused, and the ones behind it were not read."""
        written = list(self.written)
        self.written.clear()
        for pending in written:
            pending.on_wire = False
        self._fates.unsent(written[1:])
        if written:
            self._fates.refused(written[0], refusal)
        if self.connection is not None:
            self.connection.abort(ConnectError(self.node, refusal.text))

    def writable(self) -> None:
        """There is room again."""
        self._fates.writable()

    def blocked_for(self, seconds: float) -> None:
        """The event loop stood still."""
        log.warning("the event loop stood still for %.1f s; %s may end the connection", seconds, self.node)

    def lost(self, error: ConnectError) -> None:
        """The connection is gone."""
        self.connection = None
        written = list(self.written)
        self.written.clear()
        for pending in written:
            pending.on_wire = False
        self._fates.unanswered(written, error)
        self._fates.disconnected()
