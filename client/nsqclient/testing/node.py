"""A fake nsqd: queues, the connections to it, and what is wrong with it at present."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable

from nsqclient.durations import Seconds, to_seconds
from nsqclient.testing import memory
from nsqclient.testing.agreement import NodeOptions
from nsqclient.testing.commands import HANDLERS
from nsqclient.testing.queues import Channel, Queues
from nsqclient.testing.record import Commands
from nsqclient.testing.session import Faults, Session


class FakeNode:
    """One nsqd of a :class:`~nsqclient.testing.cluster.FakeCluster`, which makes them.

    It keeps what nsqd keeps and answers as nsqd answers, in memory; faults are switched on by methods and
    hold until :meth:`heal`. Every command that came is on record.
    """

    def __init__(
        self, address: str, number: int, options: NodeOptions, happened: Callable[[], object]
    ) -> None:
        self.address = address
        """What clients connect to; nothing listens there."""
        self.options = options
        self.up: bool = True
        self.faults: Faults = Faults()
        self.queues: Queues = Queues(number, options, happened)
        self.sessions: list[Session] = []
        """Connections there are, oldest first."""
        self.connections_made: int = 0
        self._happened = happened
        self._commands: list[str] = []
        self._published: dict[str, list[bytes]] = {}
        self._listener: asyncio.Server | None = None
        self._unreachable = False

    # ---- what came, and what is there

    @property
    def commands(self) -> Commands:
        """All commands so far, of all connections, NOPs left out: ``PUB t body``, ``REQ id 0``, ``AUTH``."""
        return Commands(self._commands)

    @property
    def nops(self) -> int:
        """Heartbeats answered by the connections there are."""
        return sum(session.nops for session in self.sessions)

    @property
    def topics(self) -> list[str]:
        """Their names."""
        return sorted(self.queues.topics)

    def published(self, topic: str) -> list[bytes]:
        """All bodies ever stored here, oldest first, whatever became of them."""
        return list(self._published.get(topic, ()))

    def depth(self, topic: str, channel: str | None = None) -> int:
        """Messages that wait: for a consumer of the channel, or for the topic's first channel."""
        found = self.queues.topics.get(topic)
        if found is None:
            return 0
        if channel is None:
            return len(found.backlog)
        return found.channels[channel].depth if channel in found.channels else 0

    def in_flight(self, topic: str, channel: str) -> int:
        """Messages that consumers have and have not answered, those of lost connections too."""
        found = self._channel(topic, channel)
        return len(found.in_flight) if found else 0

    def deferred(self, topic: str, channel: str) -> int:
        """Messages that are kept back for a while."""
        found = self._channel(topic, channel)
        return len(found.deferred) if found else 0

    def requeued(self, topic: str, channel: str) -> int:
        """How many messages came back by REQ."""
        found = self._channel(topic, channel)
        return found.requeued if found else 0

    def timed_out(self, topic: str, channel: str) -> int:
        """How many messages came back because their time ran out."""
        found = self._channel(topic, channel)
        return found.timed_out if found else 0

    def _channel(self, topic: str, channel: str) -> Channel | None:
        found = self.queues.topics.get(topic)
        return found.channels.get(channel) if found else None

    @property
    def idle(self) -> bool:
        """Whether nothing is in flight, and nothing waits for a consumer that is there."""
        topics = self.queues.topics.values()
        return all(channel.idle for topic in topics for channel in topic.channels.values())

    # ---- what nsqd's HTTP API does

    def publish(self, topic: str, *bodies: bytes, delay: Seconds = 0.0) -> None:
        """Puts messages into the topic, as if somebody had published them."""
        self._store(topic, list(bodies), to_seconds(delay))
        self._happened()

    def create(self, topic: str, channel: str | None = None) -> None:
        """Makes the topic, and the channel."""
        found = self.queues.topic(topic)
        if channel is not None:
            found.channel(channel)

    def pause_topic(self, topic: str, paused: bool = True) -> None:
        """Messages stay in the topic, or go to its channels again."""
        found = self.queues.topic(topic)
        found.paused = paused
        found.pump()

    def pause_channel(self, topic: str, channel: str, paused: bool = True) -> None:
        """Messages stay in the channel, or go to consumers again."""
        found = self.queues.topic(topic).channel(channel)
        found.paused = paused
        found.pump()

    def empty(self, topic: str, channel: str | None = None) -> None:
        """Forgets the messages, those in flight included."""
        found = self.queues.topic(topic)
        if channel is None:
            found.backlog.clear()
        else:
            found.channel(channel).empty()

    def delete(self, topic: str, channel: str | None = None) -> None:
        """Deletes it, and ends its consumers' connections; nothing happens if it is not there."""
        if channel is None:
            self.queues.delete_topic(topic)
        else:
            self.queues.delete_channel(topic, channel)
        self._happened()

    # ---- faults

    def stop(self) -> None:
        """Ends it in order: connections end, messages are kept for :meth:`start`."""
        self._down(keep=True)

    def kill(self) -> None:
        """Ends it at once: messages in memory, that is all of them here, are lost; names are kept."""
        self._down(keep=False)

    def _down(self, keep: bool) -> None:
        if self.up:
            self.up = False
            for session in list(self.sessions):
                (session.close if keep else session.drop)()
            self.queues.rest(keep)
            self._happened()

    def start(self) -> None:
        """It is there again, at the same address."""
        self.up = True
        self._happened()

    def pause(self) -> None:
        """It stands still, as if stopped by a debugger: connections stay, nothing is read or said."""
        self._pace(paused=True)

    def resume(self) -> None:
        """Ends a :meth:`pause`: what was sent meanwhile is read now."""
        self._pace(paused=False)
        for topic in self.queues.topics.values():
            for channel in topic.channels.values():
                channel.pump()

    def _pace(self, paused: bool) -> None:
        self.faults.paused = paused
        for session in list(self.sessions):
            session.pace()

    def drop_connections(self) -> None:
        """Every connection breaks; new ones work."""
        for session in list(self.sessions):
            session.drop()

    def half_open(self) -> None:
        """Nothing goes through the connections there are any more, and neither side is told; new ones work."""
        for session in self.sessions:
            session.severed = True

    def unreachable(self) -> None:
        """Connecting is not refused and does not succeed either: packets vanish. Connections there are stay."""
        self._unreachable = True

    def delay(self, seconds: Seconds) -> None:
        """Whatever it says from now on, it says that much later."""
        self.faults.delay = to_seconds(seconds)

    def throttle(self, bytes_per_second: float) -> None:
        """It reads no more than that from each connection."""
        self.faults.rate = bytes_per_second

    def drop_replies(self, command: str = "*") -> None:
        """It does what it is told, and its answers are lost; messages and heartbeats still come.

        ``command`` is a verb or a pattern such as ``"PUB orders *"``, to lose only the answers to these. A real
        stream loses all that follows as well: :meth:`drop_connections` before
        answers come again.
        """
        self.faults.unheard = command

    def refuse(self, command: str, error: str, *, times: int = 1) -> None:
        """The next commands are answered with the error frame and not done.

        ``command`` is a verb or a pattern such as ``"PUB orders *"``; ``error`` is code and text. As with
        nsqd, the connection ends after any error but ``E_FIN_FAILED``, ``E_REQ_FAILED``, ``E_TOUCH_FAILED``;
        in these ``*`` becomes the message's ID: ``"E_FIN_FAILED FIN * failed ID not in flight"``.
        """
        self.faults.refusals.append((command, error, times))

    def refuse_tls(self) -> None:
        """Who asks for TLS from now on is told that there is none."""
        self.faults.no_tls = True

    def heal(self) -> None:
        """Ends all faults; severed connections stay so, and a node that is down stays down."""
        paused = self.faults.paused
        self.faults.heal()
        self._unreachable = False
        if paused:
            self.resume()

    # ---- connections

    async def connect(self, protocol: asyncio.Protocol) -> None:
        """Connects a client's protocol over memory; raises OSError as a socket would."""
        if self._unreachable:
            await asyncio.get_running_loop().create_future()
        await asyncio.sleep(0)
        if not self.up:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
        number = 50_000 + self.connections_made
        memory.connect(protocol, self._session(), ("client.test", number), ("nsqd.test", 4150))

    async def listen(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listens for clients that need a real socket as well; returns where, ``host:port``."""
        if self._listener is None:
            self._listener = await asyncio.get_running_loop().create_server(self._session, host, port)
        return "{}:{}".format(*self._listener.sockets[0].getsockname()[:2])

    async def close(self) -> None:
        """Ends it, and what it listens on."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self.drop_connections()
        self.queues.rest(keep=False)

    def _session(self) -> Session:
        session = Session(self, HANDLERS)
        if self.up:
            self.sessions.append(session)
            self.connections_made += 1
        else:
            asyncio.get_running_loop().call_soon(session.drop)
        return session

    # ---- called by sessions

    def noted(self, session: Session, command: str) -> None:
        """A command came."""
        self._commands.append(command)

    def stored(self, topic: str, bodies: list[bytes], delay: float) -> None:
        """Messages were published."""
        self._store(topic, bodies, delay)

    def _store(self, topic: str, bodies: list[bytes], delay: float) -> None:
        self._published.setdefault(topic, []).extend(bodies)
        self.queues.topic(topic).put([self.queues.entry(body, delay) for body in bodies])

    def happened(self) -> None:
        """Something changed."""
        self._happened()

    def gone(self, session: Session) -> None:
        """A connection ended."""
        if session in self.sessions:
            self.sessions.remove(session)
        self._happened()

    def __repr__(self) -> str:
        return f"<FakeNode {self.address} {'up' if self.up else 'down'} connections={len(self.sessions)}>"
