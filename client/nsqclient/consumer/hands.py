"""The handlers of one consumer, and the batches that are taken from it."""

from __future__ import annotations

from collections.abc import Sequence

from nsqclient.consumer.batches import BatchIterator, Collector, MessageBatch
from nsqclient.consumer.handling import Batches, Messages
from nsqclient.consumer.message import Message
from nsqclient.consumer.reception import Reception
from nsqclient.consumer.worker import Around, Handler
from nsqclient.consumer.workers import Crew
from nsqclient.durations import Seconds
from nsqclient.errors import ConfigError


class Hands:
    """Makes them."""

    def __init__(self, reception: Reception, around: Sequence[Around[Message]]) -> None:
        self._reception = reception
        self._around = around

    def crew(self, handler: Handler[Message], concurrency: int, timeout: Seconds | None) -> Crew[Message]:
        """For single messages. Raises ConfigError."""
        reception = self._reception
        return Crew(
            reception.workers,
            reception.handout.take,
            self._kind(),
            handler,
            concurrency,
            around=self._around,
            timeout=timeout,
            take_now=reception.handout.take_now,
        )

    def batch_crew(
        self,
        handler: Handler[MessageBatch],
        max_messages: int,
        linger: Seconds,
        concurrency: int,
        timeout: Seconds | None,
    ) -> Crew[MessageBatch]:
        """For batches; middleware, which is for messages, is not asked. Raises ConfigError."""
        collector = Collector(self._reception.handout, max_messages, linger)
        kind = Batches(self._kind())
        return Crew(
            self._reception.workers,
            collector.take,
            kind,
            handler,
            concurrency,
            timeout=timeout,
            each=max_messages,
        )

    def batches(self, max_messages: int, linger: Seconds) -> BatchIterator:
        """To be iterated over. Raises ConfigError."""
        life = self._reception.life
        collector = Collector(self._reception.handout, max_messages, linger)
        return BatchIterator(collector, lambda: life.closed() if life.failed else None)

    def set_concurrency(self, count: int) -> None:
        """Of all that runs. Raises ConfigError."""
        crews = self._reception.workers.crews
        if not crews:
            raise ConfigError("nothing runs whose concurrency could be set")
        for crew in crews:
            crew.set_concurrency(count)

    def _kind(self) -> Messages:
        admission = self._reception.admission
        return Messages(admission.give_up, expire=admission.expires)
