"""Publishes of one topic that wait for others, to leave as one MPUB."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from nsqclient.producer.options import Batch
from nsqclient.producer.parcels import OVER, Gathered, Parcel, Publish
from nsqcore.wire import commands


class _Open:
    """A batch that takes more."""

    def __init__(self, timer: asyncio.TimerHandle) -> None:
        self.members: list[Publish] = []
        self.bytes = 4
        self.timer = timer


class Gathering:
    """A batch for each topic; ``send`` is given the full and the timely ones."""

    def __init__(self, batch: Batch, max_body_size: int, send: Callable[[Parcel], None]) -> None:
        """A batch is never larger than ``max_body_size`` bytes."""
        self.hurried: int = 0
        """How many want that nothing lingers: batches then leave in the next turn of the loop."""
        self._batch = batch
        self._max_bytes = min(batch.max_bytes, max_body_size)
        self._send = send
        self._open: dict[str, _Open] = {}
        self._loop = asyncio.get_running_loop()

    def add(self, publish: Publish) -> None:
        """Takes a publish whose ``command`` is its body."""
        topic, size = publish.topic, 4 + len(publish.command)
        batch = self._open.get(topic)
        if batch is not None and batch.bytes + size > self._max_bytes:
            self._leave(topic)
            batch = None
        if batch is None:
            linger = 0 if self.hurried else self._batch.seconds
            left = publish.deadline - self._loop.time()
            # half of its time is for the sending, however long others are to be waited for
            timer = self._loop.call_later(min(linger, max(0.0, left / 2)), self._leave, topic)
            batch = self._open[topic] = _Open(timer)
        batch.members.append(publish)
        batch.bytes += size
        if len(batch.members) >= self._batch.max_messages or batch.bytes >= self._max_bytes:
            self._leave(topic)

    def flush(self) -> None:
        """Lets all of them leave now."""
        for topic in list(self._open):
            self._leave(topic)

    def _leave(self, topic: str) -> None:
        batch = self._open.pop(topic)
        batch.timer.cancel()
        members = [member for member in batch.members if member.state != OVER]
        if len(members) == 1:
            members[0].loose = False
            members[0].command = commands.encode_pub(topic, members[0].command)
            self._send(members[0])
        elif members:
            self._send(Gathered(topic, members))
