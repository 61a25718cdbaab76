"""A stand-in for the connection that a message came from."""

from __future__ import annotations

from nsqclient.consumer.backoff import Signal
from nsqclient.consumer.message import FINISHED, REQUEUED, Message, Settled, State
from nsqclient.content import codecs
from nsqclient.content.codecs import Codec
from nsqclient.durations import Seconds
from nsqclient.errors import DeadLetter


class RecordingSource:
    """Records the answers."""

    def __init__(self) -> None:
        self.node = "n:4150"
        self.topic = "t"
        self.channel = "c"
        self.lease = 60.0
        self.longest = 900.0
        self.margin = 0.2
        self.codec: Codec = codecs.auto
        self.settled = Settled()
        self.calls: list[tuple[object, ...]] = []

    def finished(self, id_bytes: bytes) -> None:
        self.calls.append(("finished", id_bytes))

    def requeue(self, message: Message, delay: Seconds | None) -> None:
        message.state = REQUEUED
        self.calls.append(("requeue", delay))

    def hand_back(self, message: Message) -> None:
        message.state = REQUEUED
        self.calls.append(("hand_back",))

    def expire(self, message: Message) -> None:
        self.calls.append(("expire",))

    def failed(self, message: Message, error: BaseException | None, delay: Seconds | None) -> None:
        message.state = REQUEUED
        self.calls.append(("failed", error, delay))

    def dead(self, message: Message, error: DeadLetter) -> None:
        message.state = FINISHED
        self.calls.append(("dead", error))

    def end_given_up(self, message: Message, signal: Signal | None) -> None:
        message.state = FINISHED
        self.calls.append(("end_given_up", signal))

    def touched(self, message: Message) -> None:
        self.calls.append(("touched", message.id_bytes))

    def lapse(self, message: Message) -> None:
        self.calls.append(("lapse",))

    def keep(self, who: object, message: Message, limit: float | None) -> None:
        self.calls.append(("keep", limit))

    def let_go(self, who: object) -> None:
        self.calls.append(("let_go",))

    def too_late(self, message: Message, wanted: State) -> None:
        self.calls.append(("too_late", wanted))
