"""A broker with several clients on simulated time, and the model beside it: every step is done to both and compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory
from unittest.mock import patch

from nsqcore.connections import Connections
from nsqcore.durations import NS_PER_S, Duration
from nsqcore.wire.commands import NOP
from nsqcore.wire.frames import (
    ERROR,
    HEARTBEAT,
    MAGIC_V2,
    MESSAGE,
    RESPONSE,
    FrameDecoder,
    decode_message,
    encode_frame,
)
from nsqd.broker import Broker
from nsqd.options import Options
from nsqd.protocol.connection import Connection
from tests.properties.broker_model import ClientModel, Model
from tests.properties.comparison import Comparison
from tests.properties.dialogue import MOST_DELAY_MS, MSG_TIMEOUT_S, Command, Dialogue
from tests.properties.fuzzing import MEMORY
from tests.properties.simulation import Event, FakeTransport, SimulatedLoop
from tests.support.disk import Rig

LONGEST_S = 3.0
HEARTBEAT_S = 30.0
SINCE_1970 = 1_700_000_000.0
_HEARTBEAT_FRAME = encode_frame(RESPONSE, HEARTBEAT)


@dataclass(frozen=True)
class Limits:
    """What makes brokers differ."""

    mem_queue_size: int = 10_000
    mem_queue_bytes: int = 1 << 30
    max_bytes_per_file: int = 100 << 20
    sync_every: int = 2500


class Transport(FakeTransport):
    """Answers heartbeats."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if data != _HEARTBEAT_FRAME:
            super().write(data)
        elif self.protocol is not None:
            self._loop.call_soon(self.protocol.data_received, NOP)


class Peer:
    """A client of both: its connection to the broker, and its place in the model."""

    def __init__(self, number: int, transport: Transport, connection: Connection) -> None:
        self.transport = transport
        self.connection = connection
        self.frames = FrameDecoder()
        self.model = ClientModel(f"client {number}", MSG_TIMEOUT_S)
        self.blocked_since = 0.0


class World:
    """Use :meth:`send`, :meth:`operate`, :meth:`wait` and the rest; each raises AssertionError when the two differ."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.loop = SimulatedLoop()
        self.folder = folder
        self.options = Options(
            data_path=str(folder),
            node_id=1,
            mem_queue_size=limits.mem_queue_size,
            mem_queue_bytes=limits.mem_queue_bytes,
            max_bytes_per_file=limits.max_bytes_per_file,
            sync_every=limits.sync_every,
            msg_timeout=Duration(int(MSG_TIMEOUT_S * NS_PER_S)),
            max_msg_timeout=Duration(int(LONGEST_S * NS_PER_S)),
            max_req_timeout=Duration(MOST_DELAY_MS * 1_000_000),
        )
        self.model = Model(limit=limits.mem_queue_size, budget=limits.mem_queue_bytes, longest=LONGEST_S)
        self.peers: list[Peer] = []
        self.log: list[Event] = []
        self.dialogue = Dialogue(self.model)
        self._connected = 0
        self.broker = self.loop.perform(self._open)

    def _open(self) -> Broker:
        self.connections: Connections[Connection] = Connections()
        broker = Broker(self.options)
        broker.load()
        return broker

    def close(self) -> None:
        """Ends everything."""
        self.loop.stall(False)
        self.loop.complete(self.broker.close())
        self.loop.close()

    # -- what can happen ---------------------------------------------------------------------------

    def connect(self) -> Peer:
        def connect() -> Connection:
            connection = Connection(self.broker, self.connections)
            transport.connect(connection)
            connection.data_received(MAGIC_V2)
            return connection

        self._connected += 1
        transport = Transport(self.loop, self.log)
        peer = Peer(self._connected, transport, self.loop.perform(connect))
        self.peers.append(peer)
        return peer

    def disconnect(self, peer: Peer, *, in_order: bool) -> None:
        """The client ends its connection, by the book or by a crash."""
        peer.model.doomed = True
        self._step(peer.transport.end if in_order else peer.transport.lose)
        assert peer.model.gone
        self._compare()

    def send(self, peer: Peer, commands: Sequence[Command]) -> None:
        """The client sends commands in one piece."""
        self.model.used = self.broker.budget.used
        data = self.dialogue.say(peer.model, commands, self.loop.now)
        self._step(lambda: peer.connection.data_received(data))
        self._compare()

    def block(self, peer: Peer, *, blocked: bool) -> None:
        """The client stops reading, or goes on."""
        peer.model.blocked = blocked
        peer.blocked_since = self.loop.now
        protocol = peer.connection
        self._step(protocol.pause_writing if blocked else protocol.resume_writing)
        self._compare()

    def wait(self, seconds: float) -> None:
        """Time passes."""
        for peer in self.peers:
            if peer.model.blocked and self.loop.now + seconds - peer.blocked_since > HEARTBEAT_S - 1:
                self.block(peer, blocked=False)
        self._step(lambda: None, seconds)
        self._compare()

    def operate(self, on_broker: Callable[[Broker], object], on_model: Callable[[Model], object]) -> None:
        """An operator does something."""
        self.model.used = self.broker.budget.used
        on_model(self.model)
        self._step(lambda: on_broker(self.broker))
        self._compare()

    def hold(self) -> None:
        """The daemon is told to end: for a moment it still takes what consumers answer, and delivers nothing."""
        self.model.held = True
        busy = self.loop.perform(self.broker.hold)
        assert busy == any(peer.model.held for peer in self.peers)

    def restart(self) -> None:
        """The daemon ends and starts again; all connections end."""
        self.loop.stall(False)
        for peer in self.peers:
            peer.model.doomed = True
        with patch("time.time_ns", lambda: round((self.loop.time() + SINCE_1970) * 1e9)):
            assert self.loop.complete(self.broker.close()), "something could not be stored"
            for peer in self.peers:
                self.loop.perform(peer.transport.lose)
            self.log.clear()
            self.peers.clear()
            self.model.restart()
            self._check_folder()
            self.broker = self.loop.perform(self._open)
        self._settle()
        self._compare()

    def look_as_after_a_kill(self) -> None:
        """What is on disk at this moment is enough for the next life to deliver what the model has there."""
        lines = {topic.name: topic.line for topic in self.model.topics.values()} | {
            f"{topic.name}:{channel.name}": channel.line
            for topic in self.model.topics.values()
            for channel in topic.channels.values()
        }
        with TemporaryDirectory(dir=MEMORY) as scratch:
            folder = copytree(self.folder, Path(scratch, "copy"))
            for name, line in lines.items():
                if line.ephemeral:
                    continue
                with Rig(folder, name) as rig:
                    found = [body.decode() for body in rig.take(rig.open())]
                assert all(key in self.model.sizes for key in found)
                place = {key: at for at, key in enumerate(found)}  # of what comes twice, the last counts
                reached = -1
                for group in line.groups_on_disk:
                    assert group <= place.keys(), f"{group} of {name} would be lost"
                    assert min(place[key] for key in group) > reached, f"{group} would come too early"
                    reached = max(place[key] for key in group)

    # -- comparing ---------------------------------------------------------------------------------

    def _step(self, action: Callable[[], object], seconds: float = 0.0) -> None:
        self.loop.perform(action)
        if seconds:
            self.loop.advance(seconds)
        self._settle()

    def _settle(self) -> None:
        """Tells the model what the broker did, which must be allowed."""
        self.model.drain()
        peers = {peer.transport: peer for peer in self.peers}
        log, events = self.log, list(self.log)
        log.clear()
        for at, transport, data in events:
            peer = peers[transport]  # type: ignore[index]
            if data is None:
                assert peer.model.doomed, f"{peer.model.name} was disconnected"
                self.model.leave(peer.model)
                continue
            for kind, content in peer.frames.feed(data):
                if kind == MESSAGE:
                    message = decode_message(content)
                    self.model.deliver(peer.model, self.dialogue.heard(message), message.attempts, at)
                else:
                    said = b"!" * (kind == ERROR) + content
                    assert peer.model.answers, f"{peer.model.name} was told {said!r}"
                    assert said == peer.model.answers.pop(0)
        self.model.drain()
        for peer in self.peers:
            assert not peer.model.answers, f"{peer.model.name} was not told {peer.model.answers}"
            assert peer.model.gone or not peer.model.doomed or peer.transport.lost, f"{peer.model.name} lives"
        self.peers = [peer for peer in self.peers if not peer.model.gone]

    def _compare(self) -> None:
        clients = [(peer.connection.client, peer.model) for peer in self.peers]
        Comparison(self.broker, self.model, clients, self.dialogue.key_of, self.loop.now).all()

    def _check_folder(self) -> None:
        """An ended daemon leaves metadata, and of each queue that exists what belongs to it."""
        queues = set(self.model.topics) | {
            f"{topic.name}:{channel}" for topic in self.model.topics.values() for channel in topic.channels
        }
        for path in self.folder.iterdir():
            name, dot, rest = path.name.partition(".diskqueue.")
            assert path.name == "nsqd.dat" or (dot and name in queues and rest.endswith(".dat")), path.name
            assert not rest.endswith(".bad")
