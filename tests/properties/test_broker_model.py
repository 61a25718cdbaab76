"""Several clients and an operator do whatever comes to their minds, beside a model of plain dictionaries."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import ClassVar
from unittest.mock import patch

import hypothesis.strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from nsqd import channel, message_queue, topic
from nsqd.broker import Broker
from nsqd.storage import segment_reader
from tests.properties.broker_model import Model
from tests.properties.dialogue import Command
from tests.properties.fuzzing import MEMORY, examples, property_test
from tests.properties.world import Limits, Peer, World

TOPICS = st.sampled_from(["t", "t", "t", "t", "t", "u", "e#ephemeral"])
CHANNELS = st.sampled_from(["c", "c", "c", "c", "d", "x#ephemeral"])
SIZES = st.integers(1, 30)
DELAYS = st.sampled_from([0, 0, 10, 700, 2500, 4000])
MESSAGES = st.sampled_from([0, 0, 1, 1, 2, 3, 4, 5, 10, 12, 14, 17, 20])
WHICH = st.integers(0, 3)

PUBLISH = st.one_of(
    st.builds(Command, st.just("PUB"), topic=TOPICS, sizes=st.tuples(SIZES)),
    st.builds(
        Command, st.just("MPUB"), topic=TOPICS, sizes=st.lists(SIZES, min_size=1, max_size=5).map(tuple)
    ),
    st.builds(Command, st.just("DPUB"), topic=TOPICS, number=DELAYS, sizes=st.tuples(SIZES)),
)
FINISH = st.one_of(
    st.builds(Command, st.just("FIN"), number=st.sampled_from([0, 0, 0, 1]), message=MESSAGES),
    st.builds(Command, st.just("TOUCH"), message=MESSAGES),
    st.builds(
        Command, st.just("REQ"), number=st.one_of(DELAYS, st.sampled_from([4001, 10**19])), message=MESSAGES
    ),
)
READY = st.builds(Command, st.just("RDY"), number=st.sampled_from([0, 1, 2, 5, 100]))
RARE = st.one_of(
    st.builds(Command, st.sampled_from(["CLS", "NOP", "BOGUS"])),
    st.builds(Command, st.just("SUB"), topic=TOPICS, channel=CHANNELS),
    st.builds(Command, st.just("IDENTIFY"), number=st.sampled_from([0, 1000, 3000])),
    st.builds(Command, st.just("DPUB"), topic=TOPICS, number=st.just(4001)),
)
COMMANDS = st.lists(st.one_of(PUBLISH, FINISH, FINISH, READY, RARE), min_size=1, max_size=5)
SUBSCRIPTIONS = st.tuples(
    st.sampled_from([0, 0, 1000, 3000]), TOPICS, CHANNELS, st.sampled_from([0, 1, 1, 2, 5, 100])
)


class BrokerMachine(RuleBasedStateMachine):
    limits: ClassVar = Limits()

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=MEMORY))
        self.world = World(self.folder, self.limits)

    def teardown(self) -> None:
        self.world.close()
        shutil.rmtree(self.folder)

    # -- clients -----------------------------------------------------------------------------------

    @initialize(
        consumers=st.lists(SUBSCRIPTIONS, min_size=1, max_size=3),
        commands=st.lists(PUBLISH, max_size=5),
    )
    def begin(self, consumers: list[tuple[int, str, str, int]], commands: list[Command]) -> None:
        for consumer in consumers:
            self.subscribe(consumer)
        if commands:
            self.publish(0, commands)

    @precondition(lambda self: len(self.world.peers) < 4)
    @rule(wanted=SUBSCRIPTIONS)
    def subscribe(self, wanted: tuple[int, str, str, int]) -> None:
        timeout, topic, channel, ready = wanted
        commands = [Command("SUB", topic, channel), Command("RDY", number=ready)]
        if timeout:
            commands.insert(0, Command("IDENTIFY", number=timeout))
        self.world.send(self.world.connect(), commands)

    @rule(which=WHICH, commands=COMMANDS)
    def send(self, which: int, commands: list[Command]) -> None:
        self.world.send(self.peer(which), commands)

    @rule(which=WHICH, commands=st.lists(PUBLISH, min_size=1, max_size=4))
    def publish(self, which: int, commands: list[Command]) -> None:
        self.world.send(self.peer(which), commands)

    @precondition(lambda self: self.holders())
    @rule(which=WHICH, commands=st.lists(FINISH, min_size=1, max_size=4))
    def finish(self, which: int, commands: list[Command]) -> None:
        holders = self.holders()
        self.world.send(holders[which % len(holders)], commands)

    @rule(which=WHICH, what=st.sampled_from(["ready", "ready", "ready", "reading", "lost", "ended"]))
    def change(self, which: int, what: str) -> None:
        peer = self.peer(which)
        if what == "ready":
            self.world.send(peer, [Command("RDY", number=which)])
        elif what == "reading":
            self.world.block(peer, blocked=not peer.model.blocked)
        else:
            self.world.disconnect(peer, in_order=what == "ended")

    # -- time, weather and operators ---------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.005, 0.3, 1.0, 1.0, 1.4, 2.1, 6.0, 61.0]))
    def wait(self, seconds: float) -> None:
        self.world.wait(seconds)

    @rule(
        what=st.sampled_from(["stall", "stall", "stall", "kill", "kill", "restart", "held restart"]),
        answers=st.lists(FINISH, max_size=3),
    )
    def daemon(self, what: str, answers: list[Command]) -> None:
        if what == "stall":
            self.world.loop.stall(not self.world.loop.stalled)
            return
        if what == "kill":
            self.world.look_as_after_a_kill()
            return
        if what == "held restart":
            self.world.hold()
            for peer in self.holders():
                if answers:
                    self.world.send(peer, answers)
        self.world.restart()

    @rule(which=WHICH, action=st.sampled_from(["create", "delete", "empty", "pause", "unpause", "unpause"]))
    def topic(self, which: int, action: str) -> None:
        names = ["t", *self.world.model.topics]
        name = names[which % len(names)]

        def on_broker(broker: Broker) -> None:
            topic = broker.topic(name.encode())
            if action == "delete":
                broker.delete_topic(topic)
            elif action == "empty":
                topic.empty()
            elif action != "create":
                topic.pause(action == "pause")

        def on_model(model: Model) -> None:
            topic = model.topic(name)
            if action == "delete":
                model.delete_topic(topic)
            elif action == "empty":
                model.empty_topic(topic)
            elif action != "create":
                topic.paused = action == "pause"

        self.world.operate(on_broker, on_model)

    @precondition(lambda self: self.world.model.topics)
    @rule(
        which=WHICH,
        name=CHANNELS,
        action=st.sampled_from(["create", "delete", "empty", "pause", "unpause", "unpause"]),
    )
    def channel(self, which: int, name: str, action: str) -> None:
        owners = list(self.world.model.topics)
        owner = owners[which % len(owners)]

        def on_broker(broker: Broker) -> None:
            topic = broker.topics[owner.encode()]
            channel = broker.channel(topic, name)
            if action == "delete":
                broker.delete_channel(topic, channel)
            elif action == "empty":
                channel.empty()
            elif action != "create":
                channel.pause(action == "pause")

        def on_model(model: Model) -> None:
            channel = model.channel(model.topics[owner], name)
            if action == "delete":
                model.delete_channel(channel)
            elif action == "empty":
                model.empty_channel(channel)
            elif action != "create":
                channel.paused = action == "pause"

        self.world.operate(on_broker, on_model)

    # -- help --------------------------------------------------------------------------------------

    def peer(self, which: int) -> Peer:
        peers = self.world.peers
        return peers[which % len(peers)] if peers else self.world.connect()

    def holders(self) -> list[Peer]:
        return [peer for peer in self.world.peers if peer.model.held]


class InMemory(BrokerMachine):
    """Everything fits."""


class ThroughFiles(BrokerMachine):
    """Two messages in memory, two or three in a file."""

    limits = Limits(mem_queue_size=2, max_bytes_per_file=180, sync_every=3)


class WithoutMemory(BrokerMachine):
    """Every message in a file of its own."""

    limits = Limits(mem_queue_size=0, max_bytes_per_file=1, sync_every=1)


class OnABudget(BrokerMachine):
    """Few bytes of memory for all, and all that is done in slices is done in the smallest ones."""

    limits = Limits(mem_queue_size=5, mem_queue_bytes=300, max_bytes_per_file=400)


@property_test(weight=8)
def test_in_memory() -> None:
    run_state_machine_as_test(InMemory, settings=examples(600, steps=40))


@property_test(weight=8)
def test_through_files() -> None:
    run_state_machine_as_test(ThroughFiles, settings=examples(600, steps=40))


@property_test(weight=8)
def test_without_memory() -> None:
    run_state_machine_as_test(WithoutMemory, settings=examples(500, steps=40))


@property_test(weight=8)
def test_on_a_budget_and_in_slices() -> None:
    with (
        patch.multiple(channel, MAX_RUN=2, MAX_RUN_BYTES=100, DUE_RUN=2, FLUSH_RUN=2),
        patch.multiple(message_queue, FLUSH_RUN=2),
        patch.multiple(topic, DRAIN_RUN=2, DRAIN_BYTES=100),
        patch.multiple(segment_reader, READ_CHUNK=64),
    ):
        run_state_machine_as_test(OnABudget, settings=examples(500, steps=40))
