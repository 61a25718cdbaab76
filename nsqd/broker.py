"""All topics of a daemon: finding, creating, deleting, storing which there are, ending without a loss."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from nsqcore.errors import StartError
from nsqcore.golang import go_quote, go_reason
from nsqcore.layers.codec import Tls
from nsqcore.names import is_ephemeral, valid_name
from nsqd.channel import Channel
from nsqd.errors import EXITING, Refused
from nsqd.frames import FrameBuilder
from nsqd.guid import Ids
from nsqd.latency import Latency
from nsqd.locality import EXPERIMENT, Locality
from nsqd.message_queue import Budget
from nsqd.options import Options
from nsqd.pressure import Pressure
from nsqd.storage import metadata
from nsqd.storage.atomic import remove_unfinished
from nsqd.storage.backend import Backend, NullBackend
from nsqd.storage.disk import Disk
from nsqd.storage.diskqueue import DiskQueue
from nsqd.storage.metadata import TopicMeta
from nsqd.storage.segments import NOTHING, Left, inventory
from nsqd.topic import Topic

log = logging.getLogger(__name__)
STORE_RETRY_S = 1.0
"""After ``nsqd.dat`` could not be written."""
DISCARD_RUN = 20_000
"""Messages that are let go of in one go: a million at once would hold the loop for 50 ms."""


class Listener(Protocol):
    """Who wants to know what exists: the links to nsqlookupd."""

    def topic_changed(self, topic: Topic) -> None:
        """Created or deleted (``exiting``). A created one starts when somebody calls :meth:`Topic.start`."""

    def channel_changed(self, channel: Channel) -> None:
        """Created or deleted (``exiting``)."""


class Broker:
    """Owns the topics. Made in the running loop; :meth:`load`, use, :meth:`close`."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.topics: dict[bytes, Topic] = {}
        """By name as it stands on the wire."""
        self.frames = FrameBuilder(Ids(options.node_id))
        self.budget = Budget(options.memory_budget)
        self.disk = Disk(sync_timeout=options.sync_timeout.seconds)
        self.exiting = False
        self.listener: Listener | None = None
        self.tls: Tls | None = None
        self._pressure = Pressure()
        """Makes the TLS layers of clients; None while there is no certificate."""
        self._locality = (
            Locality(region=options.topology_region, zone=options.topology_zone)
            if EXPERIMENT in options.enable_experiment
            else None
        )
        self._folder = Path(options.data_path or ".")
        self._leftovers: dict[str, Left] = {}
        self._loop = asyncio.get_running_loop()
        self._stored: asyncio.Event | None = None  # set when the metadata write now due is done
        self._storing: asyncio.Task[None] | None = None
        self._store_error: OSError | None = None  # of the last metadata write
        self._loading = True  # until load() succeeded

    # -- topics and channels -----------------------------------------------------------------------

    def topic(self, name: bytes) -> Topic:
        """The topic of that valid name, created if it is not there; raises Refused while the daemon stops."""
        topic = self.topics.get(name)
        return topic if topic is not None else self._create_topic(name.decode())

    def channel(self, topic: Topic, name: str) -> Channel:
        """The channel of that valid name, created if it is not there; raises Refused when the topic is going."""
        channel = topic.channels.get(name)
        return channel if channel is not None else self._create_channel(topic, name)

    def _create_topic(self, name: str) -> Topic:
        if self.exiting:
            raise Refused(EXITING)
        topic = Topic(
            name,
            limit=self.options.mem_queue_size,
            budget=self.budget,
            make_backend=lambda grown: self._make_backend(name, grown, ephemeral=is_ephemeral(name)),
            discard=self.discard,
        )
        self.topics[name.encode()] = topic
        log.info("TOPIC(%s): created", name)
        self._changed(store=not is_ephemeral(name))
        if self._loading:
            return topic  # started when its channels are there
        if self.listener is None:
            topic.start()
        else:
            self.listener.topic_changed(topic)
        return topic

    def _create_channel(self, topic: Topic, name: str) -> Channel:
        if self.exiting or topic.exiting:
            raise Refused(EXITING)
        queue_name = f"{topic.name}:{name}"
        ephemeral = is_ephemeral(name) or is_ephemeral(topic.name)
        channel = Channel(
            topic.name,
            name,
            limit=self.options.mem_queue_size,
            budget=self.budget,
            make_backend=lambda grown: self._make_backend(queue_name, grown, ephemeral=ephemeral),
            emptied=self._consumers_left,
            discard=self.discard,
            latency=self._latency(),
            locality=self._locality,
            pressure=self._pressure,
        )
        log.info("TOPIC(%s): new channel(%s)", topic.name, name)
        topic.add_channel(channel)
        self._changed(store=not ephemeral)
        if self.listener is not None and not self._loading:
            self.listener.channel_changed(channel)
        return channel

    def _latency(self) -> Latency | None:
        percentiles = self.options.e2e_processing_latency_percentiles
        if not percentiles:
            return None
        return Latency(self.options.e2e_processing_latency_window_time.seconds, percentiles)

    def delete_topic(self, topic: Topic) -> None:
        """Deletes a topic with its channels, their messages and files; their consumers are disconnected."""
        log.info("TOPIC(%s): deleting", topic.name)
        del self.topics[topic.name.encode()]
        topic.delete()
        for channel in list(topic.channels.values()):
            self._delete_channel(topic, channel)
        self._changed(store=not is_ephemeral(topic.name))
        if self.listener is not None:
            self.listener.topic_changed(topic)

    def delete_channel(self, topic: Topic, channel: Channel) -> None:
        """Deletes a channel with its messages and files; its consumers are disconnected.

        An ephemeral topic goes with its last channel.
        """
        self._delete_channel(topic, channel)
        self._changed(store=not is_ephemeral(channel.name) and not is_ephemeral(topic.name))
        if not topic.channels and is_ephemeral(topic.name):
            self.delete_topic(topic)

    def _delete_channel(self, topic: Topic, channel: Channel) -> None:
        log.info("TOPIC(%s): deleting channel %s", channel.topic_name, channel.name)
        log.info("CHANNEL(%s): deleting", channel.name)
        topic.remove_channel(channel)
        channel.delete()
        if self.listener is not None:
            self.listener.channel_changed(channel)

    def _consumers_left(self, channel: Channel) -> None:
        topic = self.topics.get(channel.topic_name.encode())
        if is_ephemeral(channel.name) and not channel.exiting and topic is not None and not self.exiting:
            self.delete_channel(topic, channel)

    def _make_backend(self, name: str, grown: Callable[[], None], *, ephemeral: bool) -> Backend:
        if ephemeral:
            return NullBackend()
        try:
            queue = DiskQueue(
                self._folder,
                name,
                disk=self.disk,
                grown=grown,
                max_bytes_per_file=self.options.max_bytes_per_file,
                sync_every=self.options.sync_every,
                left=self._leftovers.get(name, NOTHING),
                portable=self.options.portable_exit,
            )
        except OSError as e:
            raise Refused(go_reason(e)) from e
        self._leftovers.pop(name, None)  # only now: who failed to read them must not be taken for a new queue
        return queue

    def discard(self, messages: deque[Any]) -> None:
        """Lets go of many messages without holding up the loop."""
        for _ in range(min(len(messages), DISCARD_RUN)):
            messages.pop()
        if messages:
            self._loop.call_soon(self.discard, messages)

    # -- metadata ----------------------------------------------------------------------------------

    def load(self) -> None:
        """Opens all that the last life left. Blocks; raises StartError."""
        try:
            remove_unfinished(self._folder)
            self._leftovers = inventory(self._folder)
            self._restore(metadata.load(self._folder))
        except (OSError, Refused) as e:
            raise StartError(go_reason(e), metadata.LOADING) from None
        log.info("NSQ: persisting topic/channel metadata to %s", self._folder / metadata.FILE_NAME)
        try:
            metadata.store(self._folder, self._metadata())
        except OSError as e:
            raise StartError(go_reason(e), "persist metadata") from None
        self._loading = False

    def _restore(self, topics: list[TopicMeta]) -> None:
        for entry in topics:
            if not valid_name(entry["name"]):
                log.warning("skipping creation of invalid topic %s", _quoted(entry["name"]))
                continue
            topic = self.topic(entry["name"].encode())
            for child in entry["channels"] or []:
                if not valid_name(child["name"]):
                    log.warning("skipping creation of invalid channel %s", _quoted(child["name"]))
                    continue
                self.channel(topic, child["name"]).pause(child["paused"])
            topic.pause(entry["paused"])
            topic.start()

    def _metadata(self) -> list[TopicMeta]:
        return [
            {
                "name": topic.name,
                "paused": topic.paused,
                "channels": [
                    {"name": c.name, "paused": c.paused}
                    for c in topic.channels.values()
                    if not is_ephemeral(c.name)
                ]
                or None,
            }
            for topic in self.topics.values()
            if not is_ephemeral(topic.name)
        ]

    def _changed(self, *, store: bool) -> None:
        if store and not self._loading and not self.exiting:
            self._store_soon()

    def _store_soon(self) -> asyncio.Event:
        """One write for all changes of a turn, and one more for those that come while it is written."""
        if self._stored is None:
            self._stored = asyncio.Event()
            if self._storing is None:
                self._storing = self._loop.create_task(self._store(), name="metadata")
        return self._stored

    async def _store(self) -> None:
        while self._stored is not None:
            done, self._stored = self._stored, None
            topics = self._metadata()
            log.info("NSQ: persisting topic/channel metadata to %s", self._folder / metadata.FILE_NAME)
            try:
                await self._loop.run_in_executor(None, metadata.store, self._folder, topics)
            except OSError as e:
                log.error("failed to persist metadata - %s", e)
                self.disk.unhealthy(e)
                self._store_error = e
                self._loop.call_later(STORE_RETRY_S, self._store_again)
            else:
                if self._store_error is not None:
                    self.disk.mended(self._store_error)
                    self._store_error = None
            done.set()
        self._storing = None

    def _store_again(self) -> None:
        if self._store_error is not None and not self.exiting:
            self._store_soon()

    async def stored(self) -> None:
        """Returns when ``nsqd.dat`` holds what is so now."""
        await self._store_soon().wait()

    # -- end ---------------------------------------------------------------------------------------

    def hold(self) -> bool:
        """Delivers nothing more; returns whether consumers still hold messages, which they may be finishing."""
        busy = False
        for topic in self.topics.values():
            for channel in topic.channels.values():
                channel.held = True
                busy = busy or channel.in_flight_count > 0
        return busy

    async def close(self) -> bool:
        """Takes no more messages and stores everything: memory, in flight, deferred, metadata.

        Closes the consumers' connections. Returns False when something could not be stored (it is logged).
        """
        self.exiting = True
        if self._loading:  # nothing was opened, or not all of it: what is on disk must stay as it is
            await self.disk.close()
            return True
        failures: list[OSError] = []

        def stored(error: OSError | None) -> None:
            if error is not None:
                failures.append(error)

        while self._storing is not None:
            await self._storing
        try:
            log.info("NSQ: persisting topic/channel metadata to %s", self._folder / metadata.FILE_NAME)
            metadata.store(self._folder, self._metadata())
        except OSError as e:
            log.error("failed to persist metadata - %s", e)
            failures.append(e)
        log.info("NSQ: closing topics")
        backends: list[Backend] = []
        for topic in list(self.topics.values()):  # one may be deleted while another is flushed
            log.info("TOPIC(%s): closing", topic.name)
            topic.flush(stored)
            backends.append(topic.backend)
            for channel in topic.channels.values():
                log.info("CHANNEL(%s): closing", channel.name)
                counts = channel.flush(stored)
                if any(counts):
                    log.info(
                        "CHANNEL(%s): flushing %d memory %d in-flight %d deferred messages to backend",
                        channel.name,
                        *counts,
                    )
                backends.append(channel.backend)
            await asyncio.sleep(0)  # this turn's writes
        await self.disk.drain()
        for backend in backends:
            try:
                backend.close()
            except OSError as e:
                log.error("failed to close a queue - %s", e)
                failures.append(e)
        await self.disk.close()
        return not failures


def _quoted(name: str) -> str:
    return go_quote(name.encode("utf-8", "replace"))
