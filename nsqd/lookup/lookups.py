"""All nsqlookupds of a node: tells them what exists, asks them which channels a new topic should have."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING

from nsqcore.names import is_ephemeral, valid_name
from nsqcore.version import NSQ_VERSION
from nsqcore.wire.lookup import encode_register, encode_unregister
from nsqd.broker import Broker
from nsqd.channel import Channel
from nsqd.errors import Refused
from nsqd.lookup.peer import LookupPeer
from nsqd.topic import Topic

if TYPE_CHECKING:
    from nsqcore.http_client import JsonClient

log = logging.getLogger(__name__)


class Lookups:
    """Listens to the broker. A new topic starts when its channels are created, or asking for them failed.

    Publishers never wait for that: until then their messages gather in the topic.
    """

    def __init__(self, broker: Broker, *, hostname: str, tcp_port: int, http_port: int) -> None:
        """The ports are the broadcast ones."""
        self.broadcast_ports = (tcp_port, http_port)
        self._broker = broker
        self._options = broker.options
        self._identity = {
            "broadcast_address": broker.options.broadcast_address,
            "hostname": hostname,
            "http_port": http_port,
            "tcp_port": tcp_port,
            "topology_region": broker.options.topology_region,
            "topology_zone": broker.options.topology_zone,
            "version": NSQ_VERSION,
        }
        self._peers: list[LookupPeer] = []
        self._discoveries: set[asyncio.Task[None]] = set()
        self._leaving: set[asyncio.Task[None]] = set()
        self._http: JsonClient | None = None

    def connect(self, addresses: Iterable[str]) -> None:
        """Registers with these and no others: those that are new are connected to, those that are not left."""
        wanted = dict.fromkeys(addresses)
        for peer in [peer for peer in self._peers if peer.address not in wanted]:
            log.info("LOOKUP(%s): removing peer", peer.address)
            self._peers.remove(peer)
            peer.known.set()  # who asks all of them for channels must not wait for this one
            task = asyncio.get_running_loop().create_task(peer.close(), name=f"end of {peer.address}")
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)
        new = [address for address in wanted if address not in {peer.address for peer in self._peers}]
        for address in new:
            log.info("LOOKUP(%s): adding peer", address)
        self._peers += [
            LookupPeer(
                address,
                identity=self._identity,
                registrations=self._registrations,
                max_answer=self._options.max_body_size,
            )
            for address in new
        ]

    def _registrations(self) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        for topic in self._broker.topics.values():
            found += [(topic.name, channel) for channel in topic.channels] or [(topic.name, "")]
        return found

    # -- what the broker tells ---------------------------------------------------------------------

    def topic_changed(self, topic: Topic) -> None:
        """Registers or unregisters a topic; a new one gets its channels."""
        encode = encode_unregister if topic.exiting else encode_register
        self._tell(encode(topic.name))
        if not topic.exiting:
            if self._peers:
                task = asyncio.get_running_loop().create_task(
                    self._discover(topic), name=f"channels of {topic.name}"
                )
                self._discoveries.add(task)
                task.add_done_callback(self._discoveries.discard)
            else:
                topic.start()

    def channel_changed(self, channel: Channel) -> None:
        """Registers or unregisters a channel."""
        encode = encode_unregister if channel.exiting else encode_register
        self._tell(encode(channel.topic_name, channel.name))

    def _tell(self, command: bytes) -> None:
        for peer in self._peers:
            kind = "channel" if b" " in command.partition(b" ")[2] else "topic"
            log.info("LOOKUPD(%s): %s %s", peer.address, kind, command.rstrip().decode())
            peer.send(command)

    # -- channels of a new topic -------------------------------------------------------------------

    async def _discover(self, topic: Topic) -> None:
        try:
            for name in await self._channels_of(topic.name):
                if valid_name(name) and not is_ephemeral(name) and not topic.exiting:
                    self._broker.channel(topic, name)
        except Refused:
            return
        finally:
            topic.start()

    async def _channels_of(self, topic: str) -> list[str]:
        """What the nsqlookupds know together; those that fail are left out, with a warning."""
        await asyncio.gather(*(peer.known.wait() for peer in self._peers))
        addresses = [peer.http_address for peer in self._peers if peer.http_address]
        if not addresses:
            log.error("no available nsqlookupd to query for channels to pre-create for topic %s", topic)
            return []
        answers = await asyncio.gather(*(self._ask(address, topic) for address in addresses))
        failures = [answer for answer in answers if isinstance(answer, str)]
        if failures:
            log.warning(
                "failed to query nsqlookupd for channels to pre-create for topic %s - %s",
                topic,
                "; ".join(failures),
            )
        return sorted({name for answer in answers if not isinstance(answer, str) for name in answer})

    async def _ask(self, address: str, topic: str) -> list[str] | str:
        if self._http is None:
            # A third of a second that neither the start nor the loop has to wait for.
            await asyncio.to_thread(import_module, "nsqcore.http_client")
        from nsqcore.http_client import HttpFailure, JsonClient

        if self._http is None:
            self._http = JsonClient(
                connect_timeout=self._options.http_client_connect_timeout.seconds,
                request_timeout=self._options.http_client_request_timeout.seconds,
                max_answer=self._options.max_body_size,
            )
        try:
            answer = await self._http.get(f"http://{address}/channels", topic=topic)
            return [name for name in answer["channels"] if isinstance(name, str)]
        except (HttpFailure, KeyError, TypeError) as e:
            return str(e)

    async def close(self) -> None:
        """Ends the links."""
        for task in list(self._discoveries):
            task.cancel()
        await asyncio.gather(
            *(peer.close() for peer in self._peers),
            *self._discoveries,
            *self._leaving,
            return_exceptions=True,
        )
        if self._http is not None:
            await self._http.close()
