"""Publishes what is given up to a topic of its own, together with what is known about it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Literal

from nsqclient.consumer.message import Message, message_facts
from nsqclient.content.envelope import wrap
from nsqclient.content.propagation import DEADLINE_MS
from nsqclient.errors import EnvelopeError, MessageTooLarge
from nsqclient.producer.producer import Producer

log = logging.getLogger(__name__)

Why = Literal["attempts", "handler", "expired"]
"""It failed too often, its handler raised DeadLetter, or its sender's deadline had passed."""

ERROR_TEXT = 1000
"""Characters of an error's text that travel."""
CLOSE_TIMEOUT = 0.5
"""Seconds for the producer to end; every letter was confirmed or given back by then."""


class DeadLetters:
    """Publishes them, with the producer given or with one that is made when it is needed."""

    def __init__(self, topic: str, given: Producer | None, make: Callable[[], Producer]) -> None:
        self.topic = topic
        self.count: int = 0
        """How many were published."""
        self._producer = given
        self._make = make
        self._own: Producer | None = None
        self._opening = asyncio.Lock()

    async def publish(self, message: Message, error: BaseException | None, why: Why) -> None:
        """Returns when a nsqd has it; raises what :meth:`Producer.publish` raises, and Closed.

        It has the headers of the message and those of :func:`letter_headers`, if the producer sends headers
        and they fit; else it is as it came.
        """
        producer = self._producer or await self._own_producer()
        if not (producer.sends_headers and await self._with_headers(producer, message, error, why)):
            await self._as_it_came(producer, message)
        self.count += 1
        log.warning(
            "message %s of topic %s is a dead letter in topic %s (%s) after %d attempts: %r",
            message.id,
            message.topic,
            self.topic,
            why,
            message.attempts,
            error,
            extra=message_facts(message),
        )

    async def _with_headers(
        self, producer: Producer, message: Message, error: BaseException | None, why: Why
    ) -> bool:
        headers = {**message.headers, **letter_headers(message, error, why)}
        headers.pop(DEADLINE_MS, None)  # whoever reads the letter is not late
        try:
            await producer.publish(self.topic, message.body, headers=headers, key=message.key)
        except (MessageTooLarge, EnvelopeError) as e:
            log.warning(
                "message %s is a dead letter without new headers: %s",
                message.id,
                e,
                extra=message_facts(message),
            )
            return False
        return True

    async def _as_it_came(self, producer: Producer, message: Message) -> None:
        if not message.headers:
            await producer.publish(self.topic, message.body)
        elif producer.sends_headers:  # it would put an envelope around ours
            await producer.publish(self.topic, message.body, headers=message.headers, key=message.key)
        else:
            await producer.publish(self.topic, wrap(message.headers, message.body))

    async def close(self) -> None:
        """Ends the producer that was made."""
        if self._own is not None:
            await self._own.close(CLOSE_TIMEOUT)

    async def _own_producer(self) -> Producer:
        async with self._opening:
            if self._own is None:
                producer = self._make()
                await producer.__aenter__()
                self._own = producer
        return self._own


def letter_headers(message: Message, error: BaseException | None, why: Why) -> dict[str, str]:
    """What a dead letter tells about the message it was."""
    headers = {
        "nsq-reason": why,
        "nsq-topic": message.topic,
        "nsq-channel": message.channel,
        "nsq-node": message.node,
        "nsq-message-id": message.id,
        "nsq-attempts": str(message.attempts),
        "nsq-timestamp": str(message.timestamp_ns),
    }
    if error is not None:
        headers["nsq-error"] = f"{type(error).__name__}: {error}"[:ERROR_TEXT]
    return headers
