"""Prints the messages of several topics, and finishes each when it is printed, not before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import accumulate

from nsqclient.consumer.consumer import Consumer
from nsqclient.consumer.message import Message
from nsqclient.tools.tail.lines import Form
from nsqclient.tools.tail.output import Output

GRACE = 2.0
"""Seconds that a slow reader has, once we are to end, to take what is being written to it."""


class Printing:
    """Takes from ``consumers``, one of each topic, until one of them has printed enough, or :meth:`stop`.

    What is not printed by then is handed back at once. A reader that stands still is given :data:`GRACE` seconds.
    """

    def __init__(
        self,
        consumers: Sequence[Consumer],
        output: Output,
        form: Form,
        *,
        per_topic: int,
        total: int,
        printed: Callable[[int, int], None],
    ) -> None:
        """Ends after so many of one topic, or of all; 0 is any number. ``printed`` is told of messages and bytes."""
        self._consumers = consumers
        self._output = output
        self._form = form
        self._per_topic = per_topic
        self._total = total
        self._told = printed
        self._claimed = 0
        """Messages of all topics that are printed, or being printed."""
        self._patience: asyncio.TimerHandle | None = None

    def stop(self) -> None:
        """Receives no more."""
        for consumer in self._consumers:
            consumer.stop()
        if self._patience is None:
            loop = asyncio.get_running_loop()
            self._patience = loop.call_later(GRACE, self._output.abandon)

    async def run(self) -> None:
        """Until the end. Raises OSError when the output takes no more, and what the consumers fail with."""
        try:
            async with asyncio.TaskGroup() as group:
                for consumer in self._consumers:
                    group.create_task(self._print(consumer))
        except ExceptionGroup as e:
            raise e.exceptions[0] from None
        finally:
            if self._patience is not None:
                self._patience.cancel()
        if self._output.error is not None:
            raise self._output.error

    async def _print(self, consumer: Consumer) -> None:
        left = self._per_topic or None
        async for batch in consumer.batches(max_messages=200, linger=0):
            count = self._claim(len(batch), left)
            done = await self._written(batch[:count])
            for message in batch[:done]:
                message.finish()
            for message in batch[done:]:
                message.requeue(0, backoff=False)
            if left is not None:
                left -= count
            if done < len(batch) or left == 0 or (self._total and self._claimed >= self._total):
                self.stop()

    def _claim(self, count: int, left: int | None) -> int:
        """How many of so many may be printed."""
        if left is not None:
            count = min(count, left)
        if self._total:
            count = min(count, self._total - self._claimed)
        self._claimed += count
        return count

    async def _written(self, messages: Sequence[Message]) -> int:
        """Prints them; returns how many are printed to their ends."""
        lines = list(map(self._form, messages))
        data = b"".join(lines)
        written = await self._output.write(data)
        if written == len(data):
            count = len(messages)
        else:
            count = sum(end <= written for end in accumulate(map(len, lines)))
        self._told(count, written)
        return count
