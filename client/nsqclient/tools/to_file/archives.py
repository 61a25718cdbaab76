"""All topics that are being archived: each has a consumer and an archive of its own, and they end together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol

from nsqclient.consumer.consumer import Consumer
from nsqclient.errors import ConnectError, NsqError, SubscribeRefused
from nsqclient.tools.to_file.failures import ArchiveFailed

log = logging.getLogger(__name__)


class Archive(Protocol):
    """What writes the messages of one consumer."""

    async def run(self) -> None:
        """Until the consumer ends; then everything it has received is in files, synced and finished.

        Raises ArchiveFailed when it can't go on.
        """

    def reload(self) -> None:
        """Closes what is open, once it is synced; the next message opens anew."""


class Archives:
    """The topics under way. The first that fails ends them all: ``failed`` is set, and somebody calls :meth:`stop`."""

    def __init__(self, consumer: Callable[[str], Consumer], archive: Callable[[Consumer], Archive]) -> None:
        """``consumer`` makes that of a topic and raises ConfigError for one that there can't be."""
        self.failed: asyncio.Event = asyncio.Event()
        self._consumer = consumer
        self._archive = archive
        self._consumers: dict[str, Consumer] = {}
        self._running: dict[str, Archive] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopping = False

    def add_named(self, topics: Iterable[str]) -> None:
        """Begins with these; one that nsqd refuses is a failure. Raises ConfigError for a bad name."""
        consumers = {topic: self._consumer(topic) for topic in topics}
        for topic, consumer in consumers.items():
            self._start(topic, consumer, retried=False)

    def add_discovered(self, topics: Iterable[str]) -> None:
        """Begins with those that are not under way; one that nsqd refuses is taken up when it is told again."""
        for topic in topics:
            if topic not in self._tasks and not self._stopping:
                self._start(topic, self._consumer(topic), retried=True)

    def reload(self) -> None:
        """Closes all files; what is written next opens them anew."""
        for archive in self._running.values():
            archive.reload()

    async def stop(self) -> None:
        """Ends in order: what was received is written, synced and finished, files are closed and moved."""
        self._stopping = True
        for consumer in self._consumers.values():
            consumer.stop()
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    # ---- one topic

    def _start(self, topic: str, consumer: Consumer, *, retried: bool) -> None:
        self._consumers[topic] = consumer
        task = asyncio.create_task(self._run(topic, consumer, retried=retried), name=f"archive of {topic}")
        self._tasks[topic] = task
        task.add_done_callback(partial(self._ended, topic))

    async def _run(self, topic: str, consumer: Consumer, *, retried: bool) -> None:
        if self._stopping:
            return
        try:
            async with consumer:
                archive = self._running[topic] = self._archive(consumer)
                await archive.run()
        except (ConnectError, SubscribeRefused) as e:
            if retried:
                log.error("couldn't create logger for new topic %s: %s", topic, e)
            else:
                self._fail(f"couldn't create logger for new topic {topic}: {e}")
        except (ArchiveFailed, NsqError, OSError) as e:
            self._fail(str(e))

    def _ended(self, topic: str, task: asyncio.Task[None]) -> None:
        del self._tasks[topic], self._consumers[topic]
        self._running.pop(topic, None)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("the archive of %s failed", topic, exc_info=error)
            self.failed.set()

    def _fail(self, text: str) -> None:
        log.critical("%s", text)
        self.failed.set()
