"""Where records go, and what is confirmed of them there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

from nsqclient.errors import NsqError, PublishRejected
from nsqclient.producer.delivery import Delivery
from nsqclient.producer.producer import Producer

_TOO_MUCH = ("E_BAD_MESSAGE", "E_BAD_BODY")
"""With these a nsqd refuses a command for its sizes, which may be the fault of one record, or of their number."""


class _Sent(NamedTuple):
    number: int
    records: Sequence[bytes]
    delivery: Delivery | NsqError


class Destination:
    """A nsqd that is to have every record, or several of which one is to have each.

    :meth:`confirm` runs in a task beside :meth:`send`. Records are numbered from 1.
    """

    def __init__(
        self,
        name: str,
        producer: Producer,
        topic: str,
        *,
        confirmed: Callable[[int, int], None],
        failed: Callable[[], None],
    ) -> None:
        """``confirmed`` is told of a number of records and their bytes, ``failed`` that there will be no more."""
        self.name: str = name
        self.confirmed: int = 0
        """All records up to this one are."""
        self.failure: str = ""
        """Why the one behind it is not."""
        self._producer = producer
        self._topic = topic
        self._told = confirmed
        self._failed = failed
        self._given = 0
        self._ready = False
        self._broken = False
        self._sent: asyncio.Queue[_Sent | None] = asyncio.Queue()

    async def send(self, number: int, records: Sequence[bytes]) -> None:
        """Publishes them, the first of which is ``number``, in one command; waits for no more than room."""
        if self._broken:
            return
        self._given = number + len(records) - 1
        try:
            if not self._ready:  # a nsqd that is not there is told of at once, not when the time is over
                await self._producer.check(again=False)
                self._ready = True
            if len(records) == 1:
                delivery = await self._producer.submit(self._topic, records[0])
            else:
                delivery = await self._producer.submit_many(self._topic, records)
        except NsqError as e:
            self._broken = True
            self._sent.put_nowait(_Sent(number, records, e))  # earlier ones may fail, too, and come first
        else:
            self._sent.put_nowait(_Sent(number, records, delivery))

    def end(self) -> None:
        """Nothing more is sent."""
        self._sent.put_nowait(None)

    def give_up(self, why: str) -> None:
        """Waits no longer; what is not confirmed has failed."""
        if not self.failure and self.confirmed < self._given:
            self._fail(self.confirmed + 1, why)

    async def confirm(self) -> None:
        """Waits for the confirmations, in their order, until :meth:`end` or a failure."""
        while not self.failure and (sent := await self._sent.get()):
            try:
                if isinstance(sent.delivery, NsqError):
                    raise sent.delivery
                await sent.delivery
            except NsqError as e:
                if isinstance(e, PublishRejected) and e.code in _TOO_MUCH and len(sent.records) > 1:
                    await self._one_by_one(sent)
                else:
                    self._fail(sent.number, e)
            else:
                self._count(sent.records)

    async def _one_by_one(self, sent: _Sent) -> None:
        """Finds the record that is to blame, if it is one; those before it are stored."""
        for number, record in enumerate(sent.records, sent.number):
            try:
                await self._producer.publish(self._topic, record)
            except NsqError as e:
                self._fail(number, e)
                return
            self._count([record])

    def _count(self, records: Sequence[bytes]) -> None:
        self.confirmed += len(records)
        self._told(len(records), sum(map(len, records)))

    def _fail(self, number: int, error: Exception | str) -> None:
        self._broken = True
        self.failure = f"record {number} was not confirmed: {error}"
        self._failed()
