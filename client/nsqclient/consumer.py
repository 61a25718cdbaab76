"""Receives the messages of a channel from all nsqds that have its topic."""

from __future__ import annotations

import asyncio
import logging
import random
from types import TracebackType
from typing import NamedTuple, Self

from nsqclient.checks import check_name
from nsqclient.discovery import Discovery
from nsqclient.errors import AuthRequired, ConfigError, IdentifyRejected, SubscribeRefused
from nsqclient.flow import Flow
from nsqclient.giveup import GiveUp, GiveUpHook
from nsqclient.intake import Intake
from nsqclient.lifecycle import Lifecycle
from nsqclient.message import Message
from nsqclient.nodes import Nodes
from nsqclient.options import (
    Backoff,
    Chance,
    ConnectionOptions,
    FullJitter,
    LinearRequeue,
    Seconds,
    to_seconds,
)
from nsqclient.reconnect import Failure
from nsqclient.subscription import Counts, Subscription
from nsqclient.targets import Lookup, Target, to_target
from nsqclient.tasks import Tasks
from nsqclient.workers import Handler, Workers

log = logging.getLogger(__name__)

CLOSE_WAIT_TIMEOUT = 1.0
"""Seconds for nsqd to confirm, at the end, that it sends no more."""
TURN = 0.01
"""Seconds that messages are handed out without letting the loop turn. A body that never waits would keep
heartbeats and answers back until all that was received is worked on."""


class ConsumerStats(NamedTuple):
    """Counts since the consumer was made; and what is so now."""

    received: int
    finished: int
    requeued: int
    given_up: int
    lost: int
    """Messages that nsqd took back: their connection ended, or their time ran out."""
    in_flight: int
    """Received and not answered."""
    buffered: int
    """Of these, not handed out yet."""
    connections: int
    backoff_level: int


class Consumer:
    """Receives messages; use it with ``async with``.

    ::

        async with Consumer("orders", "billing", Lookup("http://lookup:4161"), max_in_flight=200) as consumer:
            async for message in consumer:
                async with message:  # finished when the block ends, requeued when it raises
                    await bill(message.body)

    At most ``max_in_flight`` messages are received and not answered at a time, all nsqds together.
    :meth:`run` handles messages concurrently instead of one by one.

    A message that fails comes again after ``requeue`` says, and the consumer slows down as ``backoff``
    says (None: never). After ``attempts`` deliveries (0: any number) a message that fails is given up:
    it is logged and finished, or, with ``give_up``, finished when that has run; if it raises, the message
    is requeued. A message that was delivered more often, without an answer from here, is given up before
    it is handed out, as it may be what kills the process.

    Leaving the block stops deliveries, requeues at once what was not handed out, waits up to ``drain``
    seconds (``drain_on_error`` after an exception) for messages under way, cancels the handlers of the
    rest and requeues these. It takes at most two seconds more than that.
    """

    def __init__(
        self,
        topic: str,
        channel: str,
        target: Target,
        *,
        options: ConnectionOptions | None = None,
        max_in_flight: int = 1,
        backoff: Backoff | None = Backoff(),  # noqa: B008 - frozen
        requeue: LinearRequeue | None = None,
        attempts: int = 5,
        give_up: GiveUpHook | None = None,
        reconnect: FullJitter | None = None,
        drain: Seconds = 25.0,
        drain_on_error: Seconds = 5.0,
        chance: Chance = random.random,
    ) -> None:
        """Nothing connects here. ``chance`` draws the random numbers of all pauses."""
        check_name("topic", topic)
        check_name("channel", channel)
        _check_count("max_in_flight", max_in_flight)
        _check_count("attempts", attempts)
        self.topic = topic
        self.channel = channel
        self._target = to_target(target)
        self._options = options or ConnectionOptions()
        self._requeue = requeue or LinearRequeue()
        self._pace = reconnect or FullJitter()
        self._drain = to_seconds(drain)
        self._drain_on_error = min(to_seconds(drain_on_error), self._drain)
        self._chance = chance
        self._life = Lifecycle("consumer")
        self._tasks = Tasks(self._fail)
        self._intake = Intake()
        self._workers = Workers(self._take, self._life)
        self._give_up = GiveUp(attempts, give_up)
        self._nodes: Nodes[Subscription] = Nodes(self._subscription)
        self._discovery: Discovery | None = None
        self._news = asyncio.Event()
        self._joined = self._hurried = False
        self._turn_ends = 0.0
        self._close_wait: asyncio.TimerHandle | None = None
        self.flow = Flow(max_in_flight, backoff, chance, self._fail)
        self.counts = Counts()

    # ---- receiving

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        message = await self._take()
        if message is None:
            if self._life.failed:
                raise self._life.closed()
            raise StopAsyncIteration
        return message

    async def get(self, timeout: Seconds | None = None) -> Message:
        """The next message; raises TimeoutError after ``timeout`` seconds, and Closed.

        A call that is cancelled or times out takes nothing: the message stays first in line.
        """
        async with asyncio.timeout(None if timeout is None else to_seconds(timeout)):
            message = await self._take()
        if message is None:
            raise self._life.closed()
        return message

    async def run(self, handler: Handler, *, concurrency: int = 1) -> None:
        """Handles messages with up to ``concurrency`` calls of ``handler`` at a time, until the consumer stops.

        A message is finished when its handler returns, unless the handler answered it. When it raises,
        the error is logged and the message fails; the others are not touched. Raises Closed if the
        consumer itself fails. Cancelling it cancels the handlers, whose messages are requeued at once.
        """
        if concurrency < 1:
            raise ConfigError(f"concurrency is {concurrency}, want at least 1")
        self._life.check_open()
        await self._workers.run(handler, concurrency)

    async def _take(self) -> Message | None:
        """The next message that is worth handing out; None when nothing comes any more."""
        messages = self._intake.messages
        clock = asyncio.get_running_loop().time
        while True:
            if clock() > self._turn_ends:
                await asyncio.sleep(0)
                self._turn_ends = clock() + TURN
            while messages:
                message = messages.popleft()
                if clock() - message.received_at > message.source.lease:
                    message.source.expire(message)
                elif not self._give_up.overdue(message):
                    return message
            if self._intake.ended:
                return None
            if self._life.phase == "new":
                raise self._life.closed()
            await self._intake.wait()

    # ---- control

    def pause(self) -> None:
        """Stops deliveries; what was received can still be worked on."""
        self.flow.set_paused(True)

    def resume(self) -> None:
        """Ends a :meth:`pause`."""
        self.flow.set_paused(False)

    def set_max_in_flight(self, count: int) -> None:
        """Changes the cap at once; 0 stops deliveries."""
        _check_count("max_in_flight", count)
        self.flow.set_max_in_flight(count)

    @property
    def stats(self) -> ConsumerStats:
        """Counts, as of now."""
        members = self._nodes.members.values()
        counts = self.counts
        return ConsumerStats(
            counts.received,
            counts.finished,
            counts.requeued,
            self._give_up.count,
            counts.lost,
            sum(len(member.held) for member in members),
            len(self._intake.messages),
            sum(member.connected for member in members),
            self.flow.level,
        )

    def __repr__(self) -> str:
        return f"<Consumer {self.topic}/{self.channel} {self._target!r} {self._life.phase}>"

    # ---- its life

    async def __aenter__(self) -> Self:
        """Returns once a nsqd accepted the subscription, or none can at present.

        Raises SubscribeRefused, IdentifyRejected or AuthRequired when every nsqd there is refuses.
        """
        self._life.open()
        if isinstance(self._target, Lookup):
            self._nodes = Nodes(self._subscription, self._target.drop_missing_after)
            self._discovery = Discovery(self._target, self.topic, self._found, self._chance)
            self._tasks.start(self._discovery.run(), "nsqclient consumer discovery")
            self._tasks.start(self._first_poll(self._discovery), "nsqclient consumer first poll")
        else:
            self._found(frozenset(self._target.addresses), True)
        try:
            await self._first_attempts()
        except BaseException:
            await self.close(0)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close(None if error is None else self._drain_on_error)

    def stop(self) -> None:
        """Begins the end: deliveries stop, iterators and :meth:`run` end once what they have is done.

        For signal handlers and the like; :meth:`close` does the rest.
        """
        if self._life.phase == "new" or self._intake.ended:
            return
        self.flow.stop()
        self._tasks.cancel()
        for member in self._nodes.members.values():
            member.begin_close()
        for message in self._intake.end():
            message.source.hand_back(message)
        self._close_wait = asyncio.get_running_loop().call_later(CLOSE_WAIT_TIMEOUT, self._close_wait_over)

    async def close(self, drain: Seconds | None = None) -> None:
        """Ends in order, as leaving the block does; a second call waits for the first.

        Being cancelled cuts the ``drain`` short, not the cleaning up.
        """
        limit = self._drain if drain is None else to_seconds(drain)
        await self._life.close(lambda: self._close(limit), self._hurry)

    async def _close(self, drain: float) -> None:
        self.stop()
        await self._tasks.stop()
        try:
            async with asyncio.timeout(drain):
                while not self._hurried and not all(m.drained for m in self._nodes.members.values()):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            pass
        await self._workers.cancel()
        await self._give_up.cancel()
        await asyncio.gather(*(member.end() for member in self._nodes.members.values()))
        if self._close_wait is not None:
            self._close_wait.cancel()

    def _hurry(self) -> None:
        self._hurried = True
        self._news.set()

    def _close_wait_over(self) -> None:
        for member in self._nodes.members.values():
            member.close_unconfirmed()
        self._news.set()

    def _fail(self, error: BaseException) -> None:
        """A part of the consumer died: whoever waits must know."""
        log.error("the consumer failed", exc_info=error)
        self._life.fail(error)
        self.stop()
        self._news.set()

    async def _first_poll(self, discovery: Discovery) -> None:
        await discovery.polled.wait()
        self._news.set()

    async def _first_attempts(self) -> None:
        """Until it is known how the consumer stands."""
        members = self._nodes.members.values()
        while not self._joined:
            if self._life.failed:
                raise self._life.closed()
            asked = self._discovery is None or self._discovery.polled.is_set()
            if asked and all(member.decided for member in members):
                break
            self._news.clear()
            await self._news.wait()
        refusals = [m.failure for m in members if isinstance(m.failure, _REFUSALS)]
        if refusals and len(refusals) == len(members):
            raise refusals[0]

    # ---- what discovery and subscriptions tell

    def _subscription(self, node: str) -> Subscription:
        return Subscription(
            node,
            self.topic,
            self.channel,
            home=self,
            options=self._options,
            requeue=self._requeue,
            pace=self._pace,
            chance=self._chance,
            tasks=self._tasks,
        )

    def _found(self, named: frozenset[str], complete: bool) -> None:
        self._nodes.found(named, complete, asyncio.get_running_loop().time())

    def joined(self, subscription: Subscription) -> None:
        """A nsqd accepted the subscription."""
        log.info("subscribed to %s/%s at %s", self.topic, self.channel, subscription.node)
        self._joined = True
        self._news.set()
        self.flow.join(subscription)

    def connect_failed(self, subscription: Subscription, failure: Failure) -> None:
        """A nsqd can't be reached, or refused."""
        level = logging.WARNING if isinstance(failure, _REFUSALS) else logging.INFO
        log.log(level, "can't receive %s/%s - %s", self.topic, self.channel, failure)
        self._news.set()

    def received(self, subscription: Subscription, batch: list[Message]) -> None:
        """Messages came."""
        if self._intake.ended:  # they were under way when CLS was sent
            for message in batch:
                subscription.hand_back(message)
            return
        self._intake.add(batch)
        if self.flow.alert:
            self.flow.arrived(subscription)
        if len(self._intake.messages) > self.flow.max_in_flight:
            self._drop_expired()

    def give_up(self, message: Message, error: BaseException | None) -> bool:
        """Whether the message had its last attempt."""
        return self._give_up.after_failure(message, error)

    def settled(self) -> None:
        """Something happened that a closing consumer waits for."""
        self._news.set()

    def lost(self, subscription: Subscription, messages: list[Message]) -> None:
        """A connection is gone, with these."""
        if not self._intake.ended:
            log.info("lost %s/%s - %s", self.topic, self.channel, subscription.failure)
        self._intake.drop(messages)
        self.flow.leave(subscription)
        if self._discovery is not None:
            self._discovery.poll_soon()
        self._news.set()

    def taken_back(self, message: Message) -> None:
        """nsqd has taken a message back while its connection goes on."""
        self._intake.drop([message])

    def _drop_expired(self) -> None:
        """nsqd took back what waited too long here, and sent other messages instead."""
        now = asyncio.get_running_loop().time()
        for message in list(self._intake.messages):
            if now - message.received_at > message.source.lease:
                message.source.expire(message)


_REFUSALS = (SubscribeRefused, IdentifyRejected, AuthRequired)


def _check_count(name: str, value: int) -> None:
    if value < 0:
        raise ConfigError(f"{name} is {value}, want 0 or more")
