"""Archives what a consumer receives: written and synced in a thread, finished only then.

While the thread writes one batch, the loop receives the next: a sync begins when half of what may be in flight has
come, so nsqds need not wait for disks, nor disks for nsqds.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

from nsqclient.consumer.batches import MessageBatch
from nsqclient.consumer.consumer import Consumer
from nsqclient.consumer.message import Message
from nsqclient.tools.to_file.failures import ArchiveFailed
from nsqclient.tools.to_file.files import TopicFiles
from nsqclient.tools.to_file.settings import Settings

__all__ = ["ArchiveFailed", "TopicArchive"]

log = logging.getLogger(__name__)

OF_LEASE = 0.5
"""The part of a message's time after which it is synced at the latest, whatever the interval."""


class What(enum.Enum):
    """What the thread is to do once the records are written."""

    NOTHING = enum.auto()
    SYNC = enum.auto()
    TICK = enum.auto()
    """Look whether another file is due, and sync."""
    CLOSE = enum.auto()


class TopicArchive:
    """Writes the messages of one consumer to the files of its topic.

    A message is finished only when its record, and the name of its file, would survive a power failure. Its
    consumer should have ``max_in_flight`` of the settings, and ``Leases(auto_touch=True)`` in case a disk stands still.
    """

    def __init__(
        self,
        consumer: Consumer,
        settings: Settings,
        *,
        archived: Callable[[int, int], None] = lambda count, size: None,
    ) -> None:
        """``archived`` is told how many messages were finished, and the bytes of their records.

        Raises ConfigError where ``<REV>`` is missing.
        """
        self._consumer = consumer
        self._settings = settings
        self._archived = archived
        self._where = f"[{consumer.topic}/{consumer.channel}]"
        self._files = TopicFiles(consumer.topic, consumer.channel, settings)
        self._enough = max(1, settings.max_in_flight // 2)
        self._arrived: list[Sequence[Message]] = []
        """Received, and not given to the thread."""
        self._pending: list[Sequence[Message]] = []
        """Given to the thread, and not synced."""
        self._waiting = 0
        """How many both are."""
        self._ended = False
        self._reload = False
        self._news = asyncio.Event()
        self._sync_by = float("inf")
        """When messages that wait must be synced, as their time would run out."""

    def reload(self) -> None:
        """Syncs and closes the file; the next message or tick opens another, or the same again."""
        self._reload = True
        self._news.set()

    async def run(self) -> None:
        """Returns when the consumer has stopped and what it brought is safe and finished.

        Raises ArchiveFailed, and what made the consumer fail. Then, and when this is cancelled, messages that are
        not finished go back to their nsqds at once.
        """
        pool = ThreadPoolExecutor(1, thread_name_prefix=f"nsq_to_file {self._consumer.topic}")
        receiving: asyncio.Task[None] | None = None
        try:
            await asyncio.get_running_loop().run_in_executor(pool, self._files.recover)
            receiving = asyncio.create_task(self._receive(), name=f"nsq_to_file {self._consumer.topic}")
            await self._archive(pool)
            await receiving
        finally:
            if receiving is not None and not receiving.done():
                receiving.cancel()
                await asyncio.wait([receiving])
            pool.submit(self._files.abandon)
            pool.shutdown(wait=False)
            for message in chain(*self._pending, *self._arrived):
                message.settle(asyncio.CancelledError())

    # ---- receiving

    async def _receive(self) -> None:
        most = max(1, self._settings.max_in_flight)
        loop = asyncio.get_running_loop()
        try:
            async for batch in self._consumer.batches(max_messages=most, linger=0):
                self._arrived.append(batch.messages)
                self._waiting += len(batch)
                self._sync_by = min(self._sync_by, loop.time() + OF_LEASE * batch[0].time_left())
                self._news.set()
        finally:
            self._ended = True
            self._news.set()

    # ---- archiving

    async def _archive(self, pool: ThreadPoolExecutor) -> None:
        loop, interval = asyncio.get_running_loop(), self._settings.sync_interval
        tick_at = loop.time() + interval
        while True:
            now = loop.time()
            ended = self._ended
            if ended or self._reload:
                self._reload = False
                await self._do(pool, What.CLOSE)
                if ended:
                    return
            elif now >= tick_at:
                tick_at = max(tick_at + interval, now)
                await self._do(pool, What.TICK)
            elif self._waiting and (now >= self._sync_by or self._is_time()):
                await self._do(pool, What.SYNC)
            elif self._arrived and not self._settings.gzip:  # whose bytes come with the sync
                await self._do(pool, What.NOTHING)
            else:
                self._news.clear()
                timer = loop.call_at(min(tick_at, self._sync_by), self._news.set)
                try:
                    await self._news.wait()
                finally:
                    timer.cancel()

    def _is_time(self) -> bool:
        """Whether nsqds would have to wait."""
        return self._waiting >= self._enough or self._consumer.is_starved

    async def _do(self, pool: ThreadPoolExecutor, what: What) -> None:
        """Has the thread do it, and finishes what is safe then."""
        arrived, self._arrived = self._arrived, []
        self._pending += arrived
        count = 0
        if what is not What.NOTHING:
            count, self._waiting = self._waiting, 0
            self._sync_by = float("inf")
        await asyncio.get_running_loop().run_in_executor(pool, self._work, arrived, what, count)
        if what is not What.NOTHING:
            pending, self._pending = self._pending, []
            for messages in pending:
                MessageBatch(messages).settle()
                self._archived(len(messages), sum(len(message.body) + 1 for message in messages))

    def _work(self, arrived: list[Sequence[Message]], what: What, count: int) -> None:
        """In the thread; ``count`` records are synced then."""
        files = self._files
        bodies = [message.body for message in chain(*arrived)]
        if bodies:
            files.write(bodies)
        if what is What.TICK:
            files.tick()
        if count:
            log.info("%s syncing %d records to disk", self._where, count)
        if what is What.CLOSE:
            files.close()
        elif what is not What.NOTHING:
            files.sync()
