"""Publishes messages to one nsqd of several, or to some of them, and says what became of each."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Literal, Self

from nsqclient.checks import Body, check_kind, check_timeout
from nsqclient.connection.endpoint import resolve
from nsqclient.connection.options import ConnectionOptions
from nsqclient.connection.state import Agreement
from nsqclient.content import codecs
from nsqclient.content.codecs import Codec
from nsqclient.content.outgoing import Outgoing
from nsqclient.content.sealing import SWITCH, HeadersMode
from nsqclient.discovery.targets import Target
from nsqclient.durations import Seconds, to_seconds
from nsqclient.errors import Backlogged, ConfigError
from nsqclient.lifecycle import Lifecycle
from nsqclient.pauses import Chance
from nsqclient.producer.composing import Composer
from nsqclient.producer.counts import ClosedSummary, Counts, NodeState, ProducerStats
from nsqclient.producer.delivery import Delivery, Receipt
from nsqclient.producer.dispatch import Dispatch, Settings
from nsqclient.producer.options import Batch, RetryPolicy, Routing
from nsqclient.producer.parcels import Publish
from nsqclient.producer.relay import AroundPublish, Relays, wrapped
from nsqclient.producer.reports import Reports, Ring
from nsqclient.producer.room import Room

CANCELLED_FLUSH = 1.0
"""Seconds that a producer which is left by an exception waits for what is pending."""

log = logging.getLogger(__name__)


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
        codec: Codec = codecs.auto,
        headers: HeadersMode = "never",
        around: Sequence[AroundPublish] = (),
        chance: Chance = random.random,
    ) -> None:
        """Nothing connects here. Raises ConfigError.

        ``target`` is where to connect: an address or several, :class:`Nsqd`, :class:`Lookup`, an :class:`Endpoint`, or
        a fake of ``nsqclient.testing``; ``options`` say how. ``codec`` makes bodies of values that are not bytes,
        ``headers`` says whether an envelope around bodies may carry some (``always`` puts one around each),
        ``around`` is called around each publish. ``chance`` draws the random numbers of the pauses between connects.
        """
        if max_pending < 1 or max_pending_bytes < 1:
            raise ConfigError("max_pending and max_pending_bytes are at least 1")
        if reports not in ("errors", "all", "none"):
            raise ConfigError(f"reports is {reports!r}, want 'errors', 'all' or 'none'")
        check_kind("routing", routing, Routing)
        check_kind("retry", retry, RetryPolicy)
        check_kind("batch", batch, Batch)
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
        if headers not in ("never", "auto", "always"):
            raise ConfigError(f"headers is {headers!r}, want 'never', 'auto' or 'always'")
        if routing.copies > 1 and headers == "never":
            raise ConfigError(f"copies={routing.copies} can't be told apart by consumers: {SWITCH}")
        self._codec = codec
        self._headers = headers
        self._around = tuple(around)
        self._timeout = check_timeout(timeout)
        self._close_timeout = to_seconds(close_timeout)
        self._life = Lifecycle("producer")
        self._counts = Counts()
        self._room = Room(max_pending, max_pending_bytes)
        self._ring = Ring(max_pending)
        self._relays = Relays(max_pending, self._counts, self._ring, reports)
        self._dispatch: Dispatch | None = None

    # ---- publishing

    async def publish(
        self,
        topic: str,
        value: object,
        *,
        delay: Seconds | None = None,
        timeout: Seconds | None = None,
        headers: Mapping[str, str] | None = None,
        key: str | None = None,
        propagate_deadline: bool | None = None,
    ) -> Receipt:
        """Publishes one message and waits until a nsqd has it.

        Bytes are sent as they are, other values as the producer's codec encodes them. ``delay`` seconds keep
        it from consumers for so long; ``timeout`` seconds bound everything (None: the producer's), and so does the
        :class:`scope` around. ``key`` names the message itself, so that consumers can drop a second one; it travels
        with ``headers``, which the producer must be allowed to send. ``propagate_deadline`` says whether the
        scope's deadline travels as well (None: as the scope says).

        Raises, before anything is sent, ConfigError for what could never be published and CodecError for a value
        that can't be encoded; PublishError, whose ``outcome`` tells whether the message may be stored; and Closed.

        Cancelling it keeps a message that was not written yet from being sent; otherwise its outcome will
        be among the :meth:`reports`. A note on the CancelledError says which.
        """
        dispatch = self._opened()
        if headers is None and key is None and propagate_deadline is None and not self._around:
            publish = self._composed.single(topic, value, delay, timeout)
            if publish is not None:
                if not self._room.take_nowait(publish.size):
                    await dispatch.wait_for_room(publish.size, publish.deadline)
                try:  # what Dispatch.complete does, without a coroutine of its own for each message
                    await dispatch.begin(publish)
                except asyncio.CancelledError as e:
                    e.add_note(dispatch.abandon(publish))
                    raise
                if publish.error is not None:
                    raise publish.error
                return publish.receipt()
        outgoing = self._outgoing(topic, value, delay, timeout, headers, key, propagate_deadline)
        return await wrapped(self._around, self._send)(outgoing)

    async def publish_many(
        self,
        topic: str,
        values: Iterable[object],
        *,
        timeout: Seconds | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Receipt:
        """Publishes several messages in one command: nsqd stores all or, unless it fails, none of them.

        All have the same ``headers``. Raises as :meth:`publish`; MessageTooLarge also when they exceed the
        limit of one command together.
        """
        dispatch = self._opened()
        if headers is None and not self._around:
            publish = self._composed.many(topic, values, timeout)
            if publish is not None:
                if not self._room.take_nowait(publish.size):
                    await dispatch.wait_for_room(publish.size, publish.deadline)
                return await dispatch.complete(publish)
        if not isinstance(values, str | Body) and isinstance(values, Iterable):
            values = list(values)
        outgoing = self._outgoing(topic, values, None, timeout, headers, None, None)
        outgoing.count = len(values) if isinstance(values, list) else 1
        return await wrapped(self._around, self._send_many)(outgoing)

    async def submit(
        self,
        topic: str,
        value: object,
        *,
        delay: Seconds | None = None,
        timeout: Seconds | None = None,
        headers: Mapping[str, str] | None = None,
        key: str | None = None,
        propagate_deadline: bool | None = None,
        note: object = None,
    ) -> Delivery:
        """Gives one message to the producer, and waits for no more than room.

        The delivery may be awaited, or not: what becomes of the message is also told by :meth:`reports`,
        together with ``note``. Raises ConfigError, Closed, and Backlogged when no room comes within the
        timeout, which goes on for the sending. Being cancelled means that the message was not taken.
        """
        dispatch = self._opened()
        publish: Publish | None = None
        if headers is None and key is None and propagate_deadline is None and not self._around:
            publish = self._composed.single(topic, value, delay, timeout)
        if publish is None:
            outgoing = self._outgoing(topic, value, delay, timeout, headers, key, propagate_deadline, note)
            if self._around:
                relayed = self._relays.start(outgoing, self._around, self._send_relayed)
                await relayed.taken()
                return relayed
            publish = self._composed.sealed(outgoing)
        publish.submitted, publish.note = True, note
        if not self._room.take_nowait(publish.size):
            await dispatch.wait_for_room(publish.size, publish.deadline)
        dispatch.take(publish)
        return publish

    async def submit_many(
        self,
        topic: str,
        values: Iterable[object],
        *,
        timeout: Seconds | None = None,
        headers: Mapping[str, str] | None = None,
        note: object = None,
    ) -> Delivery:
        """Gives several messages to the producer, to leave in one command, and waits for no more than room.

        This is :meth:`publish_many` for streams: nsqd stores all or, unless it fails, none of them. They have
        one delivery together, and are one publish in the counts. Raises as :meth:`submit`; MessageTooLarge also
        when they exceed the limit of one command together.
        """
        dispatch = self._opened()
        publish: Publish | None = None
        if headers is None and not self._around:
            publish = self._composed.many(topic, values, timeout)
        if publish is None:
            if not isinstance(values, str | Body) and isinstance(values, Iterable):
                values = list(values)
            outgoing = self._outgoing(topic, values, None, timeout, headers, None, None, note)
            outgoing.count = len(values) if isinstance(values, list) else 1
            if self._around:
                relayed = self._relays.start(outgoing, self._around, self._send_many_relayed)
                await relayed.taken()
                return relayed
            publish = self._composed.sealed_many(outgoing)
        publish.submitted, publish.note = True, note
        if not self._room.take_nowait(publish.size):
            await dispatch.wait_for_room(publish.size, publish.deadline)
        dispatch.take(publish)
        return publish

    def submit_nowait(
        self,
        topic: str,
        value: object,
        *,
        delay: Seconds | None = None,
        timeout: Seconds | None = None,
        headers: Mapping[str, str] | None = None,
        key: str | None = None,
        propagate_deadline: bool | None = None,
        note: object = None,
    ) -> Delivery:
        """Gives one message to the producer, or raises Backlogged if there is no room now; see :meth:`submit`."""
        dispatch = self._opened()
        publish: Publish | None = None
        if headers is None and key is None and propagate_deadline is None and not self._around:
            publish = self._composed.single(topic, value, delay, timeout)
        if publish is None:
            outgoing = self._outgoing(topic, value, delay, timeout, headers, key, propagate_deadline, note)
            if self._around:
                if self._relays.full:
                    raise self._backlogged()
                return self._relays.start(outgoing, self._around, self._send_relayed)
            publish = self._composed.sealed(outgoing)
        if not self._room.take_nowait(publish.size):
            dispatch.make_room()
            raise self._backlogged()
        publish.submitted, publish.note = True, note
        dispatch.take(publish)
        return publish

    def _opened(self) -> Dispatch:
        dispatch = self._dispatch
        if dispatch is None or not self._life.is_open:
            raise self._life.closed()
        return dispatch

    def _backlogged(self) -> Backlogged:
        self._counts.not_sent += 1
        return Backlogged(f"no room: {self._room}")

    def _outgoing(
        self,
        topic: str,
        value: object,
        delay: Seconds | None,
        timeout: Seconds | None,
        headers: Mapping[str, str] | None,
        key: str | None,
        propagate_deadline: bool | None,
        note: object = None,
    ) -> Outgoing:
        return Outgoing(
            topic,
            value,
            headers={} if headers is None else {**headers},
            key=key,
            delay=delay,
            timeout=timeout,
            note=note,
            propagate_deadline=propagate_deadline,
            carries_headers=self._headers != "never",
        )

    async def _send(self, outgoing: Outgoing) -> Receipt:
        return await self._complete(self._composed.sealed(outgoing))

    async def _send_many(self, outgoing: Outgoing) -> Receipt:
        return await self._complete(self._composed.sealed_many(outgoing))

    async def _send_relayed(self, outgoing: Outgoing, taken: Callable[[], None]) -> Receipt:
        return await self._complete(self._composed.sealed(outgoing), taken)

    async def _send_many_relayed(self, outgoing: Outgoing, taken: Callable[[], None]) -> Receipt:
        return await self._complete(self._composed.sealed_many(outgoing), taken)

    async def _complete(self, publish: Publish, taken: Callable[[], None] = lambda: None) -> Receipt:
        dispatch = self._dispatch
        assert dispatch is not None
        if not dispatch.accepting or self._life.failed:
            raise self._life.closed()
        if not self._room.take_nowait(publish.size):
            await dispatch.wait_for_room(publish.size, publish.deadline)
        taken()
        return await dispatch.complete(publish)

    # ---- what became of it

    def reports(self) -> Reports:
        """An async iterator over what became of messages that nobody waits for; it need not be read.

        These are messages given to :meth:`submit`, publishes that were cancelled after they had been
        written, and copies without which their publish succeeded. The newest ``max_pending`` are kept: where room
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
    def sends_headers(self) -> bool:
        """Whether it was made with ``headers`` other than ``never``."""
        return self._headers != "never"

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

    async def check(self, timeout: Seconds | None = None, *, again: bool = True) -> dict[str, Agreement]:
        """Waits until each known nsqd is connected or has failed to be; what was agreed with those that are.

        Raises NoNodes, which says why, when none is connected within ``timeout`` (as for publishes); without
        ``again`` as soon as each that is known has failed once.
        """
        limit = self._timeout if timeout is None else check_timeout(timeout)
        return await self._opened().check(limit, again)

    async def flush(self, timeout: Seconds | None = None) -> None:
        """Waits until all that is pending now has an outcome; batches leave at once.

        Raises TimeoutError after ``timeout`` seconds; None is to wait for the timeouts of the publishes.
        """
        async with asyncio.timeout(None if timeout is None else check_timeout(timeout)):
            dispatch = self._opened()
            with dispatch.without_linger():
                await self._relays.ended()
            await dispatch.flush()

    def __repr__(self) -> str:
        return f"<Producer {self._settings.target!r} {self._life.phase} pending={self._room.items}>"

    # ---- its life

    async def __aenter__(self) -> Self:
        self._life.open()
        self._composed = Composer(
            limits=self._settings.options.limits,
            timeout=self._timeout,
            codec=self._codec,
            headers=self._headers,
            copies=self._settings.routing.copies > 1,
            batches=self._settings.batch is not None,
        )
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
            await self._life.close(partial(self._close, dispatch, limit), partial(self._hurry, dispatch))
        finally:
            self._ring.end()

    async def _close(self, dispatch: Dispatch, limit: float) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + limit
        with dispatch.without_linger():
            await self._relays.wait(limit)
        await dispatch.close(max(0.0, end - loop.time()))
        await self._relays.cancel()
        if self._counts.unheard:
            log.warning(
                "a producer was closed; %d messages that nobody waited for have failed or may have",
                self._counts.unheard,
            )

    def _hurry(self, dispatch: Dispatch) -> None:
        self._relays.hurry()
        dispatch.hurry()
