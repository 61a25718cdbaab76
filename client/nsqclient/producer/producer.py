"""Publishes messages to one nsqd of several, or to some of them, and says what became of each."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from struct import Struct
from types import TracebackType
from typing import Literal, NamedTuple, Self

from nsqclient.checks import Body, check_bodies, check_body, check_delay, check_name, check_timeout
from nsqclient.connection.endpoint import resolve
from nsqclient.connection.options import ConnectionOptions
from nsqclient.connection.state import Agreement
from nsqclient.discovery.targets import Target
from nsqclient.durations import Seconds, to_seconds
from nsqclient.errors import Backlogged, ConfigError
from nsqclient.lifecycle import Lifecycle
from nsqclient.pauses import Chance
from nsqclient.producer.copies import Redundant
from nsqclient.producer.delivery import Delivery, Receipt
from nsqclient.producer.dispatch import Counts, Dispatch, NodeState, Settings
from nsqclient.producer.options import Batch, RetryPolicy, Routing
from nsqclient.producer.parcels import Publish
from nsqclient.producer.reports import Reports, Ring
from nsqclient.producer.room import Room
from nsqcore.wire import commands

CANCELLED_FLUSH = 1.0
"""Seconds that a producer which is left by an exception waits for what is pending."""
KNOWN_TOPICS = 1000
"""Names that were checked lately are not checked again."""

_U32 = Struct(">I").pack


class ProducerStats(NamedTuple):
    """Counts of publishes since the producer was made, an MPUB being one; and what is pending now."""

    stored: int
    rejected: int
    not_sent: int
    unknown: int
    pending: int
    pending_bytes: int
    connections: int
    reports_dropped: int


class ClosedSummary(NamedTuple):
    """What became of all publishes of a producer that is closed, an MPUB being one."""

    delivered: int
    failed: int
    """Certainly not stored."""
    unknown: int
    """Stored or not."""


class Producer:
    """Publishes to the nsqds of ``target``; use it with ``async with``.

    It connects in the background and reconnects when a nsqd is lost. Many publishes may be under way at
    the same time; each has ``timeout`` seconds for everything, waiting for a connection and for room
    included. At most ``max_pending`` publishes of ``max_pending_bytes`` in all are held at a time.

    ``reports`` says what :meth:`reports` keeps of messages that nobody waits for: ``errors`` (and what was
    abandoned), ``all``, or ``none``; at most ``max_pending`` of them.

    Leaving the block waits up to ``close_timeout`` for what is pending; after an exception or a
    cancellation at most a second.
    """

    def __init__(
        self,
        target: Target,
        *,
        options: ConnectionOptions | None = None,
        routing: Routing | None = None,
        retry: RetryPolicy | None = None,
        batch: Batch | None = None,
        reports: Literal["errors", "all", "none"] = "errors",
        timeout: Seconds = 5.0,
        max_pending: int = 10_000,
        max_pending_bytes: int = 64 << 20,
        close_timeout: Seconds = 10.0,
        chance: Chance = random.random,
    ) -> None:
        """Nothing connects here. ``chance`` draws the random numbers of the pauses between connects."""
        if max_pending < 1 or max_pending_bytes < 1:
            raise ConfigError("max_pending and max_pending_bytes are at least 1")
        if reports not in ("errors", "all", "none"):
            raise ConfigError(f"reports is {reports!r}, want 'errors', 'all' or 'none'")
        routing = routing or Routing()
        if batch is not None and routing.copies > 1:
            raise ConfigError(
                "batch and copies can't be combined: copies of one message go to different nsqds"
            )
        place, settings = resolve(target, options)
        self._settings = Settings(
            target=place,
            options=settings,
            retry=retry or RetryPolicy(),
            routing=routing,
            batch=batch,
            reports=reports,
            chance=chance,
        )
        self._limits = self._settings.options.limits
        self._timeout = check_timeout(timeout)
        self._close_timeout = to_seconds(close_timeout)
        self._life = Lifecycle("producer")
        self._counts = Counts()
        self._room = Room(max_pending, max_pending_bytes)
        self._ring = Ring(max_pending)
        self._prefixes: dict[str, bytes] = {}
        self._kind = Redundant if routing.copies > 1 else Publish
        self._dispatch: Dispatch | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    # ---- publishing

    async def publish(
        self, topic: str, body: Body, *, delay: Seconds | None = None, timeout: Seconds | None = None
    ) -> Receipt:
        """Publishes one message and waits until a nsqd has it.

        ``delay`` seconds keep it from consumers for so long. Raises ConfigError for what could never be
        published, before anything is sent; PublishError, whose ``outcome`` tells whether the message may
        be stored; and Closed.

        Cancelling it keeps a message that was not written yet from being sent; otherwise its outcome will
        be among the :meth:`reports`. A note on the CancelledError says which.
        """
        dispatch = self._opened()
        publish = self._single(topic, body, delay, timeout)
        if not self._room.take_nowait(publish.size):
            await dispatch.wait_for_room(publish.size, publish.deadline)
        return await dispatch.complete(publish)

    async def publish_many(
        self, topic: str, bodies: Iterable[Body], *, timeout: Seconds | None = None
    ) -> Receipt:
        """Publishes several messages in one command: nsqd stores all or, unless it fails, none of them.

        Raises as :meth:`publish`; MessageTooLarge also when they exceed the limit of one command together.
        """
        dispatch = self._opened()
        check_name("topic", topic)
        checked = check_bodies(bodies, self._limits)
        command = commands.encode_mpub(topic, checked)
        publish = self._made(topic, command, len(checked), None, None, False, timeout)
        if not self._room.take_nowait(publish.size):
            await dispatch.wait_for_room(publish.size, publish.deadline)
        return await dispatch.complete(publish)

    async def submit(
        self,
        topic: str,
        body: Body,
        *,
        delay: Seconds | None = None,
        timeout: Seconds | None = None,
        note: object = None,
    ) -> Delivery:
        """Gives one message to the producer, and waits for no more than room.

        The delivery may be awaited, or not: what becomes of the message is also told by :meth:`reports`,
        together with ``note``. Raises ConfigError, Closed, and Backlogged when no room comes within the
        timeout, which goes on for the sending. Being cancelled means that the message was not taken.
        """
        dispatch = self._opened()
        publish = self._single(topic, body, delay, timeout)
        publish.submitted, publish.note = True, note
        if not self._room.take_nowait(publish.size):
            await dispatch.wait_for_room(publish.size, publish.deadline)
        dispatch.take(publish)
        return publish

    def submit_nowait(
        self,
        topic: str,
        body: Body,
        *,
        delay: Seconds | None = None,
        timeout: Seconds | None = None,
        note: object = None,
    ) -> Delivery:
        """Gives one message to the producer, or raises Backlogged if there is no room now; see :meth:`submit`."""
        dispatch = self._opened()
        publish = self._single(topic, body, delay, timeout)
        if not self._room.take_nowait(publish.size):
            self._counts.not_sent += 1
            raise Backlogged(f"no room: {self._room}")
        publish.submitted, publish.note = True, note
        dispatch.take(publish)
        return publish

    def _opened(self) -> Dispatch:
        dispatch = self._dispatch
        if dispatch is None or not self._life.is_open:
            raise self._life.closed()
        return dispatch

    def _single(self, topic: str, body: object, delay: Seconds | None, timeout: Seconds | None) -> Publish:
        """A publish of one message; raises ConfigError."""
        prefix = self._prefixes.get(topic) or self._prefix(topic)
        if type(body) is not bytes or not 0 < len(body) <= self._limits.max_msg_size:
            body = check_body(body, self._limits)
        if delay is not None and (delay_ms := check_delay(delay, self._limits)):
            command = commands.encode_dpub(topic, delay_ms, body)
            return self._made(topic, command, 1, None, None, False, timeout)
        if self._settings.batch is not None:
            publish = self._made(topic, body, 1, None, None, False, timeout)
            publish.loose = True
            return publish
        return self._made(topic, b"".join((prefix, _U32(len(body)), body)), 1, None, None, False, timeout)

    def _made(
        self,
        topic: str,
        command: bytes,
        count: int,
        key: str | None,
        note: object,
        submitted: bool,
        timeout: Seconds | None,
    ) -> Publish:
        assert self._loop is not None
        seconds = self._timeout if timeout is None else check_timeout(timeout)
        now = self._loop.time()
        return self._kind(topic, command, count, key, note, submitted, now, now + seconds)

    def _prefix(self, topic: str) -> bytes:
        check_name("topic", topic)
        if len(self._prefixes) >= KNOWN_TOPICS:
            self._prefixes.clear()
        prefix = self._prefixes[topic] = b"PUB %b\n" % topic.encode()
        return prefix

    # ---- what became of it

    def reports(self) -> Reports:
        """An async iterator over what became of messages that nobody waits for; it need not be read.

        These are messages given to :meth:`submit`, publishes that were cancelled after they had been
        written, and copies that ended after their publish. The newest ``max_pending`` are kept: where room
        is wanted, the oldest successes go first. It ends when the producer is closed.
        """
        return Reports(self._ring, good=True, bad=True)

    def successes(self) -> Reports:
        """The same, without failures; with ``reports="all"``."""
        return Reports(self._ring, good=True, bad=False)

    def errors(self) -> Reports:
        """The same, without successes."""
        return Reports(self._ring, good=False, bad=True)

    @property
    def closed(self) -> bool:
        """Whether it has ended."""
        return self._life.phase == "closed"

    @property
    def stats(self) -> ProducerStats:
        """Counts, as of now."""
        counts, room, dispatch = self._counts, self._room, self._dispatch
        return ProducerStats(
            counts.stored,
            counts.rejected,
            counts.not_sent,
            counts.unknown,
            room.items,
            room.bytes,
            0 if dispatch is None else dispatch.connections,
            self._ring.dropped,
        )

    @property
    def closed_summary(self) -> ClosedSummary | None:
        """What became of all publishes; None before it is closed."""
        if self._life.phase != "closed":
            return None
        counts = self._counts
        return ClosedSummary(counts.stored, counts.rejected + counts.not_sent, counts.unknown)

    @property
    def nodes(self) -> tuple[NodeState, ...]:
        """The nsqds that are known, as of now."""
        return () if self._dispatch is None else self._dispatch.nodes

    async def check(self, timeout: Seconds | None = None) -> dict[str, Agreement]:
        """Waits until each known nsqd is connected or has failed to be; what was agreed with those that are.

        Raises NoNodes, which says why, when none is connected within ``timeout`` (as for publishes).
        """
        return await self._opened().check(self._timeout if timeout is None else check_timeout(timeout))

    async def flush(self, timeout: Seconds | None = None) -> None:
        """Waits until all that is pending now has an outcome; batches leave at once.

        Raises TimeoutError after ``timeout`` seconds; None is to wait for the timeouts of the publishes.
        """
        async with asyncio.timeout(None if timeout is None else check_timeout(timeout)):
            await self._opened().flush()

    def __repr__(self) -> str:
        return f"<Producer {self._settings.target!r} {self._life.phase} pending={self._room.items}>"

    # ---- its life

    async def __aenter__(self) -> Self:
        self._life.open()
        self._loop = asyncio.get_running_loop()
        self._dispatch = Dispatch(self._settings, self._life, self._room, self._counts, self._ring)
        self._dispatch.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close(None if error is None else min(CANCELLED_FLUSH, self._close_timeout))

    async def close(self, timeout: Seconds | None = None) -> None:
        """Takes no more, waits up to ``timeout`` (``close_timeout``) for what is pending, disconnects.

        What has no outcome by then fails as not sent or unknown, and is among the :meth:`reports` if
        nobody waits for it. A second call waits for the first. Being cancelled cuts the waiting short, not
        the cleaning up.
        """
        dispatch = self._dispatch
        if dispatch is None:
            self._life.phase = "closed"
            self._ring.end()
            return
        limit = self._close_timeout if timeout is None else to_seconds(timeout)
        try:
            await self._life.close(lambda: dispatch.close(limit), dispatch.hurry)
        finally:
            self._ring.end()
