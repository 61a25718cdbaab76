"""A producer's side of one nsqd: its connection, and the parcels written to it in order.

nsqd runs commands strictly in order and answers each, so the answers need no number: each belongs to the
oldest parcel without one. And it reads nothing after what it refuses, so everything behind a refused
parcel was certainly not stored.

A nsqd that lost a connection, refused for reasons of its own, or let a publish run out of time is not
trusted at once: it takes one parcel, and others only when that one is answered.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

from nsqclient.connection.connection import Connection
from nsqclient.connection.opening import open_connection
from nsqclient.connection.options import ConnectionOptions
from nsqclient.connection.reconnect import Failure, Reconnect
from nsqclient.connection.state import Event, Phase, Refusal
from nsqclient.discovery.dialing import Dial, dial_directly
from nsqclient.errors import ConnectError, NotNsqd
from nsqclient.pauses import Chance, FullJitter
from nsqclient.producer.parcels import Parcel
from nsqclient.tasks import Tasks
from nsqcore.wire.frames import OK

SILENCE_LIMIT = 10.0
"""Seconds without an answer, after a publish ran out of time, until a connection is given up."""


class Judge(Protocol):
    """Who knows what answers mean for parcels."""

    def acked(self, parcels: list[Parcel]) -> None:
        """nsqd has stored them. Oldest first."""

    def refused(self, parcel: Parcel, refusal: Refusal) -> None:
        """nsqd has refused it."""

    def unsent(self, parcels: list[Parcel]) -> None:
        """Written in vain: nsqd certainly never looked at them. Oldest first."""

    def unanswered(self, parcels: list[Parcel], error: ConnectError) -> None:
        """Written, and the answers lost. Oldest first."""


class Office(Protocol):
    """Who hears how an outlet does; a producer."""

    def writable(self) -> None:
        """An outlet takes parcels again."""

    def connect_failed(self, failure: Failure, *, again: bool) -> None:
        """A nsqd could not be reached; ``again``: for the reason that it could not be before."""

    def disconnected(self) -> None:
        """A connection was lost."""

    def loop_blocked(self, seconds: float) -> None:
        """The event loop stood still; each connection says so."""


class Outlet:
    """One nsqd of a producer."""

    def __init__(
        self,
        address: str,
        options: ConnectionOptions,
        pace: FullJitter,
        chance: Chance,
        office: Office,
        judge: Judge,
        tasks: Tasks,
        dial: Dial = dial_directly,
        zone: str = "",
        region: str = "",
    ) -> None:
        self.address = address
        self.zone = zone
        self.region = region
        self.tombstones: frozenset[str] = frozenset()
        """Topics that are being removed from it."""
        self.connection: Connection | None = None
        self.written: deque[Parcel] = deque()
        """Parcels without an answer, oldest first."""
        self.probing: bool = False
        """It must answer one parcel before it gets others."""
        self.tried: bool = False
        """Whether a connect has failed since it was last connected."""
        self.rtt: float | None = None
        self.last_error: ConnectError | None = None
        self._complaint = ""
        """Why it could not be reached, as long as it can't be: what is told once."""
        self._options = options
        self._office = office
        self._judge = judge
        self._dial = dial
        self._tasks = tasks
        self._loop = asyncio.get_running_loop()
        self._reconnect = Reconnect(self._connect, self._connect_failed, pace, chance)
        self._task: asyncio.Task[object] | None = None
        self._silence: asyncio.TimerHandle | None = None
        self._sent = 0
        self._answered = 0
        self._timed = 0
        self._timed_at = 0.0

    @property
    def connected(self) -> bool:
        """Whether there is a connection."""
        return self.connection is not None and self.connection.alive

    @property
    def ready(self) -> bool:
        """Whether it takes parcels now; one at most while :attr:`probing`."""
        connection = self.connection
        return (
            connection is not None
            and connection.takes_bytes
            and self._silence is None
            and not (self.probing and self.written)
        )

    @property
    def hopeful(self) -> bool:
        """Whether it is worth waiting for: it is connected and answers, or nothing has failed yet."""
        return self._silence is None if self.connected else not self.tried

    @property
    def pending(self) -> int:
        """How many parcels have no answer."""
        return len(self.written)

    def start(self) -> None:
        """Connects, and again whenever the connection is lost."""
        self._task = self._tasks.start(self._reconnect.run(), f"nsqclient producer {self.address}")

    def stop(self) -> None:
        """Connects no more."""
        if self._task is not None:
            self._task.cancel()

    def hurry(self) -> None:
        """Tries to connect now."""
        self._reconnect.hurry()

    def write(self, parcels: list[Parcel]) -> None:
        """Sends them in one write; only while :attr:`ready`."""
        connection = self.connection
        assert connection is not None
        if connection.phase is not Phase.IDENTIFIED:
            connection.advance(Event.PUB)
        address = self.address
        for parcel in parcels:
            parcel.node = address
            parcel.attempts += 1
            parcel.on_wire = True
        self.written.extend(parcels)
        if self._timed <= self._answered:
            self._timed = self._sent + 1
            self._timed_at = self._loop.time()
        self._sent += len(parcels)
        connection.send_now(
            parcels[0].command if len(parcels) == 1 else b"".join([parcel.command for parcel in parcels])
        )

    def check_silence(self) -> None:
        """Passes it over while its oldest parcel has run out of time, and gives it up after a while."""
        if self._silence is None and self.written and self.written[0].out_of_time:
            self._silence = self._loop.call_later(SILENCE_LIMIT, self._silent)

    async def end(self) -> None:
        """Ends the connection; what has no answer by now will have none."""
        self._heard()
        if self.connection is not None:
            await self.connection.end()

    async def _connect(self) -> Connection:
        connection = await open_connection(self.address, self._options, self._dial)
        connection.attach(self, self.acknowledged)
        self.connection = connection
        self.tried, self._complaint = False, ""
        self._office.writable()
        return connection

    def _connect_failed(self, failure: Failure) -> None:
        self.tried = True
        if isinstance(failure, ConnectError):
            self.last_error = failure
        complaint = str(failure)
        self._office.connect_failed(failure, again=complaint == self._complaint)
        self._complaint = complaint

    def _heard(self) -> None:
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None

    def _silent(self) -> None:
        self._silence = None
        if self.connection is not None:
            self.connection.abort(ConnectError(self.address, "it answers no publish"))

    # ---- called by the connection

    def messages_came(self, payloads: list[bytes]) -> None:
        """Can't be: the connection is not subscribed."""
        raise AssertionError(f"{len(payloads)} messages on a producer's connection")

    def answered(self, data: bytes) -> None:
        """The oldest parcel is stored."""
        if data == OK:
            self.acknowledged(1)
        elif self.connection is not None:
            self.connection.abort(NotNsqd(self.address, f"unexpected answer {data[:32]!r}"))

    def acknowledged(self, count: int) -> None:
        """So many of the oldest parcels are stored."""
        written = self.written
        if count > len(written):
            assert self.connection is not None
            self.connection.abort(NotNsqd(self.address, f"{count} answers to {len(written)} publishes"))
            return
        if count == len(written):
            parcels = list(written)
            written.clear()
        else:
            parcels = [written.popleft() for _ in range(count)]
        self._answered += count
        if self._answered >= self._timed > self._answered - count:
            self.rtt = self._loop.time() - self._timed_at
        resumed = self.probing or self._silence is not None
        self.probing = False
        if self._silence is not None:
            self._heard()
        self._judge.acked(parcels)
        if resumed:
            self.check_silence()
            self._office.writable()

    def refused(self, refusal: Refusal) -> None:
        """The oldest parcel is refused, and the ones behind it were not read."""
        error = ConnectError(self.address, refusal.text)
        written = self._take_all()
        self.last_error = error
        self._judge.unsent(written[1:])
        if written:
            self._judge.refused(written[0], refusal)
        if self.connection is not None:
            self.connection.abort(error)

    def writable(self) -> None:
        """There is room again."""
        self._office.writable()

    def blocked_for(self, seconds: float) -> None:
        """The event loop stood still."""
        self._office.loop_blocked(seconds)

    def lost(self, error: ConnectError) -> None:
        """The connection is gone."""
        self.connection = None
        self.last_error = error
        self._judge.unanswered(self._take_all(), error)
        self._office.disconnected()

    def _take_all(self) -> list[Parcel]:
        written = list(self.written)
        self.written.clear()
        for parcel in written:
            parcel.on_wire = False
        self._answered = self._timed = self._sent
        self.probing = True
        self._heard()
        return written
