"""Publishes messages to one nsqd of several, and says what became of each."""

from __future__ import annotations

import random
from collections.abc import Iterable
from types import TracebackType
from typing import NamedTuple, Self

from nsqclient.checks import Body, check_bodies, check_body, check_delay, check_name, check_timeout
from nsqclient.connection.options import ConnectionOptions
from nsqclient.discovery.targets import Target, to_target
from nsqclient.durations import Seconds, to_seconds
from nsqclient.errors import ConfigError
from nsqclient.pauses import Chance
from nsqclient.producer.dispatch import Dispatch
from nsqclient.producer.options import RetryPolicy
from nsqclient.producer.pending import Receipt
from nsqclient.producer.room import Room
from nsqcore.wire import commands

CANCELLED_FLUSH = 1.0
"""Seconds that a producer which is left by an exception waits for what is pending."""


class ProducerStats(NamedTuple):
    """Counts of publishes since the producer was made, an MPUB being one; and what is pending now."""

    stored: int
    rejected: int
    not_sent: int
    unknown: int
    pending: int
    pending_bytes: int
    connections: int


class Producer:
    """Publishes to the nsqds of ``target``, in turn; use it with ``async with``.

    It connects in the background and reconnects when a nsqd is lost. Many publishes may be under way at
    the same time; each has ``timeout`` seconds for everything, waiting for a connection and for room
    included. At most ``max_pending`` publishes of ``max_pending_bytes`` in all are held at a time.

    Leaving the block waits up to ``close_timeout`` for what is pending; after an exception or a
    cancellation at most a second.
    """

    def __init__(
        self,
        target: Target,
        *,
        options: ConnectionOptions | None = None,
        retry: RetryPolicy | None = None,
        timeout: Seconds = 5.0,
        max_pending: int = 10_000,
        max_pending_bytes: int = 64 << 20,
        close_timeout: Seconds = 10.0,
        chance: Chance = random.random,
    ) -> None:
        """Nothing connects here. ``chance`` draws the random numbers of the pauses between connects."""
        if max_pending < 1 or max_pending_bytes < 1:
            raise ConfigError("max_pending and max_pending_bytes are at least 1")
        options = options or ConnectionOptions()
        self._target = to_target(target)
        self._limits = options.limits
        self._timeout = check_timeout(timeout)
        self._close_timeout = to_seconds(close_timeout)
        room = Room(max_pending, max_pending_bytes)
        self._dispatch = Dispatch(self._target, options, retry or RetryPolicy(), room, chance)

    # ---- publishing

    async def publish(
        self, topic: str, body: Body, *, delay: Seconds | None = None, timeout: Seconds | None = None
    ) -> Receipt:
        """Publishes one message and waits until a nsqd has it.

        ``delay`` seconds keep it from consumers for so long. Raises ConfigError for what could never be
        published, before anything is sent; PublishError, whose ``outcome`` tells whether the message may
        be stored; and Closed. Cancelling it keeps a message that was not written yet from being sent.
        """
        check_name("topic", topic)
        checked = check_body(body, self._limits)
        delay_ms = 0 if delay is None else check_delay(delay, self._limits)
        if delay_ms:
            command = commands.encode_dpub(topic, delay_ms, checked)
        else:
            command = commands.encode_pub(topic, checked)
        return await self._publish(topic, command, 1, timeout)

    async def publish_many(
        self, topic: str, bodies: Iterable[Body], *, timeout: Seconds | None = None
    ) -> Receipt:
        """Publishes several messages in one command: nsqd stores all or, unless it fails, none of them.

        Raises as :meth:`publish`; MessageTooLarge also when they exceed the limit of one command together.
        """
        check_name("topic", topic)
        checked = check_bodies(bodies, self._limits)
        return await self._publish(topic, commands.encode_mpub(topic, checked), len(checked), timeout)

    async def _publish(self, topic: str, command: bytes, count: int, timeout: Seconds | None) -> Receipt:
        seconds = self._timeout if timeout is None else check_timeout(timeout)
        return await self._dispatch.publish(topic, command, count, seconds)

    @property
    def stats(self) -> ProducerStats:
        """Counts, as of now."""
        counts, room = self._dispatch.counts, self._dispatch.room
        return ProducerStats(
            counts.stored,
            counts.rejected,
            counts.not_sent,
            counts.unknown,
            room.items,
            room.bytes,
            self._dispatch.connections,
        )

    def __repr__(self) -> str:
        return f"<Producer {self._target!r} {self._dispatch.life.phase} pending={self._dispatch.room.items}>"

    # ---- its life

    async def __aenter__(self) -> Self:
        self._dispatch.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close(None if error is None else min(CANCELLED_FLUSH, self._close_timeout))

    async def close(self, timeout: Seconds | None = None) -> None:
        """Takes no more, waits up to ``timeout`` (``close_timeout``) for what is pending, disconnects.

        What has no outcome by then fails as not sent or unknown. A second call waits for the first.
        Being cancelled cuts the waiting short, not the cleaning up.
        """
        await self._dispatch.close(self._close_timeout if timeout is None else to_seconds(timeout))
