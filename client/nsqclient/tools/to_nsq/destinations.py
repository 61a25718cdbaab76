"""A nsqd that messages are published to: dialled when there is something for it, and not waited for while it is down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from nsqclient.consumer.message import Message
from nsqclient.errors import NsqError, PublishError, PublishRejected
from nsqclient.producer.delivery import Delivery
from nsqclient.producer.producer import Producer

Load = list[tuple[Message, bytes]]
"""Messages and what is to be published of each."""
Failures = dict[Message, NsqError]
"""What was not confirmed, and why."""

MPUB_BYTES = 1 << 20
"""Bytes of the messages in one MPUB at most; what is larger goes alone. A fifth of what nsqd takes by default."""
_OF_THE_MESSAGE = frozenset({"E_BAD_MESSAGE", "E_BAD_BODY"})


def is_hopeless(error: BaseException) -> bool:
    """Whether nsqd refused the message itself, as too large: it would do so again, and nothing else is wrong."""
    return isinstance(error, PublishRejected) and error.code in _OF_THE_MESSAGE


def is_movable(error: BaseException) -> bool:
    """Whether the nsqd certainly did not get it, so that another may."""
    return isinstance(error, PublishError) and error.outcome == "not_sent"


class Destination:
    """One nsqd. Messages that came for the first time share a command; one that failed before goes alone.

    A nsqd that fails half way through a command has stored some of its messages: those are published twice,
    but only once more, as the command is not repeated.
    """

    def __init__(self, address: str, make: Callable[[], Producer]) -> None:
        self.address = address
        self.busy: int = 0
        """How many loads are on their way."""
        self._make = make
        self._producer: Producer | None = None
        self._opening = asyncio.Lock()

    async def publish(self, topic: str, load: Load, timeout: float) -> Failures:
        """Returns once all have an outcome, after about ``timeout`` seconds at most; never raises PublishError."""
        self.busy += 1
        try:
            producer = await self._opened()
            if not producer.nodes[0].connected:
                await producer.check(timeout, again=False)
            return await _publish(producer, topic, load, timeout)
        except NsqError as e:
            return {message: e for message, _ in load}
        finally:
            self.busy -= 1

    async def close(self) -> None:
        """Ends the connection; nothing is on its way any more."""
        if self._producer is not None:
            await self._producer.close(0)

    async def _opened(self) -> Producer:
        if self._producer is None:
            async with self._opening:
                if self._producer is None:
                    producer = self._make()
                    await producer.__aenter__()
                    self._producer = producer
        return self._producer


async def _publish(producer: Producer, topic: str, load: Load, timeout: float) -> Failures:
    failures, suspects = await _outcomes(producer, topic, parts(load), timeout)
    if suspects:  # one of them is to blame, and none is stored
        alone, _ = await _outcomes(producer, topic, ([item] for item in suspects), timeout)
        failures |= alone
    return failures


async def _outcomes(
    producer: Producer, topic: str, parts: Iterator[Load], timeout: float
) -> tuple[Failures, Load]:
    """What failed; and apart from that, what was refused together and may be accepted alone."""
    deliveries: list[tuple[Load, Delivery]] = []
    failures: Failures = {}
    suspects: Load = []
    for part in parts:
        try:
            if len(part) == 1:
                delivery = await producer.submit(topic, part[0][1], timeout=timeout)
            else:
                delivery = await producer.submit_many(topic, [body for _, body in part], timeout=timeout)
        except NsqError as e:
            failures |= {message: e for message, _ in part}
        else:
            deliveries.append((part, delivery))
    for part, delivery in deliveries:
        try:
            await delivery
        except NsqError as e:
            if len(part) > 1 and is_hopeless(e):
                suspects += part
            else:
                failures |= {message: e for message, _ in part}
    return failures, suspects


def parts(load: Load) -> Iterator[Load]:
    """What goes together: first those that may, then each of the others."""
    together: Load = []
    alone: Load = []
    size = 0
    for item in load:
        message, body = item
        if message.attempts > 1 or len(body) > MPUB_BYTES:
            alone.append(item)
            continue
        size += len(body)
        if size > MPUB_BYTES:
            yield together
            together, size = [], len(body)
        together.append(item)
    if together:
        yield together
    for item in alone:
        yield [item]
