"""A consumer's side of one nsqd: its connection, and the messages held from it."""

from __future__ import annotations

import asyncio
import logging
import struct
from typing import Protocol

from nsqclient.checks import check_delay
from nsqclient.connection.connection import Connection, Refused
from nsqclient.connection.opening import open_connection
from nsqclient.connection.options import ConnectionOptions
from nsqclient.connection.reconnect import Failure, Reconnect
from nsqclient.connection.state import Event, Refusal
from nsqclient.consumer.backoff import Signal
from nsqclient.consumer.counts import Counts
from nsqclient.consumer.enveloped import EnvelopedMessage
from nsqclient.consumer.events import Events, LeaseLost, NodeUp, Reason
from nsqclient.consumer.failures import LinearRequeue
from nsqclient.consumer.flow import Flow
from nsqclient.consumer.leases import Keeper
from nsqclient.consumer.message import FINISHED, HELD, LOST, REQUEUED, Message, Settled, State
from nsqclient.consumer.ready import Share
from nsqclient.content.codecs import Codec
from nsqclient.discovery.dialing import Dial, dial_directly
from nsqclient.durations import Seconds, to_seconds
from nsqclient.errors import ConnectError, DeadLetter, NotNsqd, SubscribeRefused
from nsqclient.pauses import Chance, FullJitter
from nsqclient.tasks import Tasks
from nsqcore.wire import commands
from nsqcore.wire.frames import CLOSE_WAIT

log = logging.getLogger(__name__)

LONGEST_SETTLE = 1.0
"""Seconds that nsqd is given to hear of a new RDY; mostly a few round trips, measured with SUB."""


class Home(Protocol):
    """The consumer, as its subscriptions see it."""

    flow: Flow
    counts: Counts
    events: Events
    keeper: Keeper

    def joined(self, subscription: Subscription) -> None:
        """The nsqd accepted the subscription."""

    def connect_failed(self, subscription: Subscription, failure: Failure) -> None:
        """The nsqd can't be reached, or refused."""

    def received(self, subscription: Subscription, batch: list[Message]) -> None:
        """Messages came."""

    def give_up(self, message: Message, error: BaseException | None, signal: Signal) -> bool:
        """Asks, for a message that failed, whether it had its last attempt; if so the consumer ends it."""

    def dead(self, message: Message, error: DeadLetter) -> None:
        """No further attempt can help the message."""

    def settled(self) -> None:
        """Something that a closing consumer waits for may have happened."""

    def lost(self, subscription: Subscription, messages: list[Message]) -> None:
        """The connection is gone, with these."""

    def loop_blocked(self, seconds: float) -> None:
        """The event loop stood still; each connection says so."""

    def taken_back(self, messages: list[Message]) -> None:
        """nsqd has taken messages back while their connection goes on."""


class Subscription:
    """One nsqd of a consumer."""

    def __init__(
        self,
        node: str,
        topic: str,
        channel: str,
        *,
        home: Home,
        options: ConnectionOptions,
        requeue: LinearRequeue,
        margin: float,
        codec: Codec,
        headers: bool,
        pace: FullJitter,
        chance: Chance,
        tasks: Tasks,
        dial: Dial = dial_directly,
    ) -> None:
        self.node = node
        self.topic = topic
        self.channel = channel
        self.held: dict[bytes, Message] = {}
        """Messages received and not answered, by ID."""
        self.share: Share = Share(0)
        self.lease: float = 0.0
        """Seconds until nsqd takes a message back that is neither answered nor touched."""
        self.longest: float = 0.0
        """Seconds until it does so in spite of TOUCH."""
        self.margin: float = margin
        """Seconds that messages and answers are taken to travel: at most half of ``lease``."""
        self._margin = margin
        self.codec = codec
        self.settled: Settled = Settled(self._written)
        self._where = {"topic": topic, "channel": channel, "node": node}
        self.decided: bool = False
        """Whether the first attempt to connect is over."""
        self.failure: Failure | None = None
        """Why the last attempt failed; None while it is connected."""
        self.complaint: str = ""
        """What was logged of that, so that it is said once."""
        self._connection: Connection | None = None
        self._home = home
        self._flow = home.flow
        self._counts = home.counts
        self._make: type[Message] = EnvelopedMessage if headers else Message
        self._options = options
        self._requeue = requeue
        self._tasks = tasks
        self._dial = dial
        self._task: asyncio.Task[object] | None = None
        self._reconnect = Reconnect(self._connect, self._connect_failed, pace, chance)
        self.stopping: bool = False
        """Whether it takes no more messages."""
        self._closing_confirmed = False

    @property
    def connected(self) -> bool:
        """Whether there is a connection."""
        return self._connection is not None

    @property
    def quiet(self) -> bool:
        """Whether no message can come any more."""
        return self._connection is None or self._closing_confirmed

    # ---- its life

    def start(self) -> None:
        """Connects, and again whenever the connection is lost."""
        self._task = self._tasks.start(self._reconnect.run(), f"nsqclient consumer {self.node}")

    def stop(self) -> None:
        """Connects no more."""
        if self._task is not None:
            self._task.cancel()

    def hurry(self) -> None:
        """Tries to connect now."""
        self._reconnect.hurry()

    def begin_close(self) -> None:
        """Asks nsqd to send no more, once; what is held may still be answered."""
        if self.stopping:
            return
        self.stopping = True
        if self._connection is not None and self._connection.alive:
            self._connection.advance(Event.CLS)
            self._connection.send(commands.CLS)

    def close_unconfirmed(self) -> None:
        """nsqd took too long to say that it sends no more."""
        self._closing_confirmed = True

    async def end(self) -> None:
        """Hands back what is held, and ends the connection."""
        for message in list(self.held.values()):
            self.hand_back(message)
        if self._connection is not None:
            await self._connection.end()

    async def _connect(self) -> Connection:
        connection = await open_connection(self.node, self._options, self._dial)
        try:
            clock = asyncio.get_running_loop().time
            asked = clock()
            if self._home.events.wanted:
                self._home.events.emit(NodeUp(self.node))
            await connection.ask(Event.SUB, commands.encode_sub(self.topic, self.channel))
            settle = min(LONGEST_SETTLE, 4 * (clock() - asked))
            connection.attach(self)
        except Refused as e:
            connection.close()
            raise SubscribeRefused(self.node, e.refusal.code, e.refusal.text) from None
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        self.decided, self.failure, self.complaint = True, None, ""
        self.share = Share(connection.agreement.max_rdy_count, settle)
        self.lease = connection.agreement.msg_timeout
        self.longest = connection.agreement.max_msg_timeout
        self.margin = min(self._margin, self.lease / 2)
        self._home.joined(self)
        return connection

    def _connect_failed(self, failure: Failure) -> None:
        self.decided, self.failure = True, failure
        self._home.connect_failed(self, failure)

    # ---- RDY

    def send_rdy(self, count: int) -> None:
        """Sends it."""
        if self._connection is not None and self._connection.alive:
            self._connection.advance(Event.RDY)
            self._connection.send(commands.encode_rdy(count))

    # ---- answers to messages; the state of the message is set by then, or set here

    def finished(self, id_bytes: bytes) -> None:
        """The message is done."""
        held, flow = self.held, self._flow  # all in one piece: it is done for each message
        del held[id_bytes]
        if flow.alert:
            flow.answered(self, Signal.RESUME)
        if self.stopping:
            self._home.settled()
        self._counts.finished += 1
        assert self._connection is not None
        if held:
            self._connection.send(b"FIN %b\n" % id_bytes)
        else:
            self._connection.send_now(b"FIN %b\n" % id_bytes)

    def requeue(self, message: Message, delay: Seconds | None) -> None:
        """The message is to come again, and nothing is wrong."""
        self._requeue_as(message, delay, Signal.CONTINUE)

    def hand_back(self, message: Message) -> None:
        """The message is to come again at once: it was not worked on to its end."""
        self._requeue_as(message, 0.0, None)

    def failed(self, message: Message, error: BaseException | None, delay: Seconds | None) -> None:
        """The message is to come again, or to be given up: something is wrong."""
        signal = self._home.flow.verdict(error)
        if not self._home.give_up(message, error, signal):
            self._requeue_as(message, delay, signal)

    def dead(self, message: Message, error: DeadLetter) -> None:
        """The message is to be given up at once."""
        self._home.dead(message, error)

    def touched(self, message: Message) -> None:
        """The message's time starts again, as far as nsqd lets it."""
        now = asyncio.get_running_loop().time()
        message.renewed_at = min(now, message.received_at + max(0.0, self.longest - self.lease))
        self._send(commands.encode_touch(message.id_bytes))

    def keep(self, who: object, message: Message, limit: float | None) -> None:
        """The message is touched in time from now on, for up to ``limit`` seconds, on behalf of ``who``."""
        self._home.keeper.keep(who, message, limit)

    def let_go(self, who: object) -> None:
        """Nothing is touched on behalf of ``who`` any more."""
        self._home.keeper.let_go(who)

    def too_late(self, message: Message, wanted: State) -> None:
        """An answer was given to a message that is lost: nsqd will deliver it again, it was counted."""
        self._tell_lost(message.id, "late")

    def end_given_up(self, message: Message, signal: Signal | None) -> None:
        """Finishes a message that had its last attempt; ``signal`` tells whether it failed just now."""
        message.state = FINISHED
        self._answer(message.id_bytes, signal)
        self._send(commands.encode_fin(message.id_bytes))

    def _requeue_as(self, message: Message, delay: Seconds | None, signal: Signal | None) -> None:
        limits = self._options.limits
        if delay is None:
            delay = min(self._requeue.delay(message.attempts), to_seconds(limits.max_delay))
        delay_ms = check_delay(delay, limits)
        message.state = REQUEUED
        self._answer(message.id_bytes, signal)
        self._home.counts.requeued += 1
        self._send(commands.encode_req(message.id_bytes, delay_ms))

    def _answer(self, id_bytes: bytes, signal: Signal | None) -> None:
        del self.held[id_bytes]
        flow = self._home.flow
        if flow.alert or signal is not Signal.RESUME:
            flow.answered(self, signal)
        if self.stopping:
            self._home.settled()

    def _send(self, command: bytes) -> None:
        """The answer to the last message that is held leaves at once: nothing will come to go along with it."""
        assert self._connection is not None  # else the message would be lost
        if self.held:
            self._connection.send(command)
        else:
            self._connection.send_now(command)

    # ---- called by the connection

    def messages_came(self, payloads: list[bytes]) -> None:
        """Message frames."""
        now = asyncio.get_running_loop().time()
        held, make = self.held, self._make
        try:
            batch = [make(self, data, now) for data in payloads]
        except struct.error:
            self._abort("a message is shorter than its head")
            return
        came = {message.id_bytes: message for message in batch}
        if len(came) == len(batch) and held.keys().isdisjoint(came.keys()):
            held.update(came)
        else:  # the time of some ran out, and nsqd sent them here once more
            replaced: list[Message] = []
            for message in batch:
                if message.id_bytes in held:
                    replaced.append(held[message.id_bytes])
                held[message.id_bytes] = message
            self._take_back(replaced, "redelivered")
            batch = [message for message in batch if message.state is HELD]
        self._counts.received += len(payloads)
        if make is EnvelopedMessage:
            batch = [message for message in batch if self._is_readable(message)]
        self._home.received(self, batch)

    def _is_readable(self, message: Message) -> bool:
        """Whether its envelope, if any, is in order; if not, the message fails as if a handler had."""
        broken = isinstance(message, EnvelopedMessage) and message.broken
        if broken:
            self._home.counts.broken += 1
            log.error("message %s can't be read", message.id, exc_info=broken, extra=self._where)
            message.settle(broken)
        return not broken

    def answered(self, data: bytes) -> None:
        """The only answer not awaited is the one to CLS."""
        if self.stopping and data == CLOSE_WAIT:
            self._closing_confirmed = True
            self._home.settled()
        else:
            self._abort(f"unexpected answer {data[:32]!r}")

    def refused(self, refusal: Refusal) -> None:
        """Mostly an answer that came too late: the message's time had run out."""
        message = self.held.get(refusal.message_id)
        if message is not None and refusal.code == "E_TOUCH_FAILED":
            del self.held[message.id_bytes]
            self._take_back([message], "refused")
        elif (
            not refusal.fatal and refusal.code != "E_TOUCH_FAILED"
        ):  # whose message was answered or lost meanwhile
            self._home.counts.lost += 1
            self._tell_lost(refusal.message_id.decode(), "refused")
            self._home.flow.lease_lost(self)

    def writable(self) -> None:
        """Nothing waits for that: answers are few, as the messages held are."""

    def blocked_for(self, seconds: float) -> None:
        """The event loop stood still."""
        self._home.loop_blocked(seconds)

    def lost(self, error: ConnectError) -> None:
        """The connection is gone; nsqd delivers again what is held."""
        self._connection = None
        self.failure = error
        messages = list(self.held.values())
        self.held.clear()
        for message in messages:
            message.state = LOST
            self._tell_lost(message.id, "disconnected")
        self._home.counts.lost += len(messages)
        self._home.lost(self, messages)

    def expire(self, message: Message) -> None:
        """Its time ran out before it was handed out."""
        message.state = LOST
        self._answer(message.id_bytes, None)
        self._home.counts.lost += 1
        self._tell_lost(message.id, "expired")

    def lapse(self, message: Message) -> None:
        """Nobody answered it in time."""
        self.expire(message)
        self._home.flow.lease_lost(self)

    def _take_back(self, messages: list[Message], reason: Reason) -> None:
        for message in messages:
            message.state = LOST
            self._tell_lost(message.id, reason)
        self._home.counts.lost += len(messages)
        self._home.taken_back(messages)
        self._home.flow.answered(self, None)  # there is room for others
        self._home.flow.lease_lost(self)

    def _tell_lost(self, message_id: str, reason: Reason) -> None:
        if self._home.events.wanted:
            self._home.events.emit(LeaseLost(self.node, message_id, reason))

    async def _written(self) -> None:
        if self._connection is not None:
            await self._connection.written()

    def _abort(self, reason: str) -> None:
        if self._connection is not None:
            self._connection.abort(NotNsqd(self.node, reason))
