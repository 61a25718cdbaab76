"""The work behind a consumer: subscriptions kept, messages taken in and handed out, an orderly end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from math import inf

from nsqclient.connection.options import ConnectionOptions
from nsqclient.connection.reconnect import Failure
from nsqclient.consumer.admission import Admission
from nsqclient.consumer.backoff import Signal
from nsqclient.consumer.batches import Starving
from nsqclient.consumer.create import create_everywhere
from nsqclient.consumer.dedup import Dedup
from nsqclient.consumer.events import Events, LookupFailed, LoopBlocked, NodeDown, Subscribed
from nsqclient.consumer.failures import Failures
from nsqclient.consumer.flow import Flow
from nsqclient.consumer.health import Health
from nsqclient.consumer.intake import Intake
from nsqclient.consumer.leases import Keeper
from nsqclient.consumer.message import HELD, Message
from nsqclient.consumer.options import FlowControl, Leases
from nsqclient.consumer.rate import Rate
from nsqclient.consumer.ready import UNBOUNDED
from nsqclient.consumer.subscription import Counts, Subscription
from nsqclient.consumer.workers import Workers
from nsqclient.content.codecs import Codec
from nsqclient.discovery.discovery import Discovery
from nsqclient.discovery.nodes import Nodes
from nsqclient.discovery.targets import Lookup, Nsqd
from nsqclient.durations import to_seconds
from nsqclient.errors import (
    AuthRejected,
    AuthRequired,
    CompressionRefused,
    DeadLetter,
    IdentifyRejected,
    SubscribeRefused,
    TlsFailed,
    TlsRefused,
)
from nsqclient.lifecycle import Lifecycle
from nsqclient.pauses import Chance, FullJitter
from nsqclient.tasks import Tasks

log = logging.getLogger(__name__)

CLOSE_WAIT_TIMEOUT = 1.0
"""Seconds for nsqd to confirm, at the end, that it sends no more."""
TURN = 0.01
"""Seconds that messages are handed out without letting the loop turn. A body that never waits would keep
heartbeats and answers back until all that was received is worked on."""
AHEAD = 2
"""Messages under way for each that is handled, unless ``max_in_flight`` is given: so none waits for its next."""
REFUSALS = (
    SubscribeRefused,
    IdentifyRejected,
    AuthRequired,
    AuthRejected,
    TlsRefused,
    TlsFailed,
    CompressionRefused,
)
"""Failures that are a nsqd's answer to what we ask of it, not trouble on the way."""


class Reception:
    """The subscriptions of one consumer, and the messages they bring."""

    def __init__(
        self,
        topic: str,
        channel: str,
        target: Nsqd | Lookup,
        *,
        options: ConnectionOptions,
        max_in_flight: int | None,
        flow: FlowControl,
        failures: Failures,
        leases: Leases,
        codec: Codec,
        dedup: Dedup | None,
        headers: bool,
        create: bool,
        pace: FullJitter,
        chance: Chance,
    ) -> None:
        options.check_for_consumer()
        self.topic = topic
        self.channel = channel
        self.counts: Counts = Counts()
        self.events: Events = Events()
        self._max_in_flight = max_in_flight
        self.flow: Flow = Flow(
            1 if max_in_flight is None else max_in_flight,
            flow,
            self.events,
            chance,
            self._fail,
            self.buffered,
        )
        self.intake: Intake = Intake()
        self.life: Lifecycle = Lifecycle("consumer")
        self.nodes: Nodes[Subscription] = Nodes(self._subscription)
        self.workers: Workers = Workers(self.life, self._handlers_changed)
        self._target = target
        self._options = options
        self.keeper: Keeper = Keeper(leases, self._held, self._shortest_lease, self._fail)
        self._create = create
        self._where = {"topic": topic, "channel": channel}
        self._margin = to_seconds(leases.margin)
        self._codec = codec
        self._headers = headers
        self._requeue = failures.requeue
        self.admission: Admission = Admission(
            failures,
            dedup,
            topic=topic,
            target=target,
            options=options,
            headers=headers,
            events=self.events,
            failed=self._fail,
            chance=chance,
        )
        self._give_up = self.admission.give_up
        self._pace = pace
        self._chance = chance
        self._tasks = Tasks(self._fail)
        self._discovery: Discovery | None = None
        self._news = asyncio.Event()
        """Set when something happened that the start or the end may be waiting for."""
        self._joined = self._hurried = False
        self._turn_ends = 0.0
        self._blocked_said = -inf
        self._close_wait: asyncio.TimerHandle | None = None
        self._rate_timer: asyncio.TimerHandle | None = None

    @property
    def given_up(self) -> int:
        """How many messages had all their attempts."""
        return self._give_up.count

    async def take(self) -> Message | None:
        """The next message that is worth handing out; None when nothing comes any more."""
        messages = self.intake.messages
        clock = asyncio.get_running_loop().time
        while True:
            if clock() > self._turn_ends:
                await asyncio.sleep(0)
                self._turn_ends = clock() + TURN
            while messages:
                if self.flow.rate is not None and self._must_wait(self.flow.rate):
                    break
                message = messages.popleft()
                if clock() - message.renewed_at > message.source.lease:
                    message.source.expire(message)
                elif self.admission.needed and not await self._admit(message):
                    continue
                elif not self._give_up.overdue(message):
                    if self.flow.rate is not None:
                        self._handed_out(self.flow.rate)
                    return message
            if self.intake.ended:
                return None
            if self.life.phase == "new":
                raise self.life.closed()
            await self.intake.wait()

    def set_rate(self, per_second: float | None) -> None:
        """Limits the messages handed out per second."""
        self.flow.set_rate(per_second)
        self.intake.wake(UNBOUNDED)

    def _must_wait(self, rate: Rate) -> bool:
        loop = asyncio.get_running_loop()
        wait = rate.wait(loop.time())
        if wait and self._rate_timer is None:
            self._rate_timer = loop.call_later(wait, self._may_go_on)
        return wait > 0

    def _handed_out(self, rate: Rate) -> None:
        self.flow.handed_out()
        if self.intake.messages and not self._must_wait(rate):
            self.intake.wake(1)

    def _may_go_on(self) -> None:
        self._rate_timer = None
        self.intake.wake(1)

    async def _admit(self, message: Message) -> bool:
        try:
            admitted = await self.admission.admit(message)
        except BaseException:
            self.put_back([message])
            raise
        if admitted and self.intake.ended and message.state is HELD:
            message.source.hand_back(message)
        return admitted and message.state is HELD

    def set_max_in_flight(self, count: int) -> None:
        """Changes the cap, for good."""
        self._max_in_flight = count
        self.flow.set_max_in_flight(count)

    def _handlers_changed(self, places: int) -> None:
        if self._max_in_flight is None and places and not self.intake.ended:
            self.flow.set_max_in_flight(AHEAD * places)

    def put_back(self, messages: list[Message]) -> None:
        """These were taken and are not handed out: they come first again."""
        held = [message for message in messages if message.state is HELD]
        if not self.intake.ended:
            self.intake.put_back(held)
            return
        for message in held:
            message.source.hand_back(message)

    def buffered(self) -> int:
        """Messages that can be taken without waiting."""
        return len(self.intake.messages)

    def starving(self) -> Starving:
        """Whether more can come while nothing is answered."""
        asked = [m for m in self.nodes.members.values() if m.connected and m.share.rdy]
        full = sum(len(member.held) >= member.share.rdy for member in asked)
        return Starving(some=full > 0, every=full == len(asked))

    @property
    def is_starved(self) -> bool:
        """Whether the share of a connection is used up, or nearly."""
        return any(
            m.connected and m.held and len(m.held) >= int(0.85 * m.share.rdy)
            for m in self.nodes.members.values()
        )

    def health(self) -> Health:
        """How it stands."""
        members = self.nodes.members.values()
        reasons = [str(m.failure) for m in members if m.failure is not None]
        if not members and self.life.phase == "open":
            reasons.append("no nsqd is known to have the topic")
        usable = self.life.phase == "open" and not self.life.failed
        if not usable:
            reasons.insert(0, str(self.life.closed()))
        live = self.life.phase in ("new", "open", "closing") and not self.life.failed
        return Health(live, usable and any(m.connected for m in members), tuple(reasons))

    # ---- nodes, by hand

    def connect(self, node: str) -> None:
        """Uses that nsqd as well."""
        self.nodes.unwanted.discard(node)
        self._found(frozenset([node]), False)

    async def disconnect(self, node: str, drain: float) -> None:
        """Leaves that nsqd in order, whoever names it."""
        self.nodes.unwanted.add(node)
        member = self.nodes.members.get(node)
        if member is None:
            return
        member.stop()
        member.begin_close()
        self.flow.leave(member)
        waiting = [message for message in self.intake.messages if message.source is member]
        self.intake.drop(waiting)
        for message in waiting:
            member.hand_back(message)
        unconfirmed = asyncio.get_running_loop().call_later(CLOSE_WAIT_TIMEOUT, self._left, member)
        try:
            async with asyncio.timeout(drain):
                await self._until(lambda: self.intake.ended or (member.quiet and not member.held))
        except TimeoutError:
            pass
        finally:
            if not self.intake.ended:  # else the end of the consumer does this
                await member.end()
                self.nodes.members.pop(node, None)
            unconfirmed.cancel()

    def _left(self, member: Subscription) -> None:
        member.close_unconfirmed()
        self._news.set()

    # ---- its life

    async def open(self) -> None:
        """Returns once a nsqd accepted the subscription, or none can at present.

        Raises the first of ``REFUSALS`` when every nsqd there is refuses.
        """
        self.life.open()
        self.flow.start()
        if isinstance(self._target, Lookup):
            self.nodes = Nodes(self._subscription, self._target.drop_missing_after)
            self._discovery = Discovery(
                self._target, self.topic, self._found, self._chance, self._lookup_failed
            )
            self._tasks.start(self._discovery.run(), "nsqclient consumer discovery")
            self._tasks.start(self._first_poll(self._discovery), "nsqclient consumer first poll")
        else:
            self._found(frozenset(self._target.addresses), True)
        try:
            if self._create and isinstance(self._target, Lookup):
                made = await create_everywhere(self._target, self.topic, self.channel, self._chance)
                self._found(made, False)  # nsqlookupds may not have heard of it yet
            await self._first_attempts()
        except BaseException:
            await self.close(0)
            raise

    def stop(self) -> None:
        """Begins the end: deliveries stop, and what was not handed out goes back."""
        if self.life.phase == "new" or self.intake.ended:
            return
        self.flow.stop()
        self._tasks.cancel()
        for member in self.nodes.members.values():
            member.begin_close()
        for message in self.intake.end():
            message.source.hand_back(message)
        self._news.set()
        self._close_wait = asyncio.get_running_loop().call_later(CLOSE_WAIT_TIMEOUT, self._close_wait_over)

    async def close(self, drain: float) -> None:
        """Ends in order; a second call waits for the first."""
        await self.life.close(lambda: self._close(drain), self._hurry)

    async def _close(self, drain: float) -> None:
        self.stop()
        await self._tasks.stop()
        members = self.nodes.members.values()
        try:
            async with asyncio.timeout(drain):
                await self._until(lambda: self._hurried or all(m.quiet and not m.held for m in members))
        except TimeoutError:
            pass
        await self.workers.cancel()
        await self.admission.close()
        # what is still on its way here must come before the connections end, to be handed back
        await self._until(lambda: all(member.quiet for member in members))
        await asyncio.gather(*(member.end() for member in members))
        for timer in (self._close_wait, self._rate_timer):
            if timer is not None:
                timer.cancel()
        self.keeper.stop()
        self.events.end()

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._news.clear()  # all who wait are woken by the next news, whoever cleared it
            await self._news.wait()

    def _hurry(self) -> None:
        self._hurried = True
        self._news.set()

    def _close_wait_over(self) -> None:
        for member in self.nodes.members.values():
            member.close_unconfirmed()
        self._news.set()

    def _fail(self, error: BaseException) -> None:
        """A part of the consumer died: whoever waits must know."""
        log.error("the consumer failed", exc_info=error, extra=self._where)
        self.life.fail(error)
        self.stop()
        self._news.set()

    async def _first_poll(self, discovery: Discovery) -> None:
        await discovery.polled.wait()
        self._news.set()

    async def _first_attempts(self) -> None:
        """Until it is known how the consumer stands."""
        members = self.nodes.members.values()

        def known() -> bool:
            asked = self._discovery is None or self._discovery.polled.is_set()
            decided = asked and all(member.decided for member in members)
            return decided or self._joined or self.life.failed or self.intake.ended

        await self._until(known)
        if self.life.failed:
            raise self.life.closed()
        refusals = [m.failure for m in members if isinstance(m.failure, REFUSALS)]
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
            margin=self._margin,
            codec=self._codec,
            pace=self._pace,
            chance=self._chance,
            tasks=self._tasks,
            dial=self._target.dial,
            headers=self._headers,
        )

    def _found(self, named: frozenset[str], complete: bool) -> None:
        self.nodes.found(named, complete, asyncio.get_running_loop().time())

    def joined(self, subscription: Subscription) -> None:
        """A nsqd accepted the subscription."""
        where = {**self._where, "node": subscription.node}
        log.info("subscribed to %s/%s at %s", self.topic, self.channel, subscription.node, extra=where)
        self._joined = True
        if self.events.wanted:
            self.events.emit(Subscribed(subscription.node))
        self._news.set()
        self.keeper.joined()
        self.flow.join(subscription)

    def connect_failed(self, subscription: Subscription, failure: Failure) -> None:
        """A nsqd can't be reached, or refused."""
        level = logging.WARNING if isinstance(failure, REFUSALS) else logging.INFO
        where = {**self._where, "node": subscription.node}
        log.log(level, "can't receive %s/%s - %s", self.topic, self.channel, failure, extra=where)
        if self.events.wanted:
            self.events.emit(NodeDown(subscription.node, failure))
        self._news.set()

    def received(self, subscription: Subscription, batch: list[Message]) -> None:
        """Messages came."""
        if subscription.stopping:  # they were under way when CLS was sent
            for message in batch:
                subscription.hand_back(message)
            return
        self.intake.add(batch)
        if self.flow.alert:
            self.flow.arrived(subscription)
        if len(self.intake.messages) > self.flow.max_in_flight:
            self._drop_expired()

    def give_up(self, message: Message, error: BaseException | None, signal: Signal) -> bool:
        """Whether the message had its last attempt."""
        return self._give_up.after_failure(message, error, signal)

    def dead(self, message: Message, error: DeadLetter) -> None:
        """No further attempt can help the message."""
        self._give_up.at_once(message, error)

    def settled(self) -> None:
        """Something happened that a closing consumer waits for."""
        self._news.set()

    def lost(self, subscription: Subscription, messages: list[Message]) -> None:
        """A connection is gone, with these."""
        if not self.intake.ended:
            where = {**self._where, "node": subscription.node}
            log.info("lost %s/%s - %s", self.topic, self.channel, subscription.failure, extra=where)
        self.intake.drop(messages)
        self.flow.leave(subscription)
        if self.events.wanted and subscription.failure is not None:
            self.events.emit(NodeDown(subscription.node, subscription.failure))
        if self._discovery is not None:
            self._discovery.poll_soon()
        self._news.set()

    def _lookup_failed(self, url: str, reason: str) -> None:
        if self.events.wanted:
            self.events.emit(LookupFailed(url, reason))

    def loop_blocked(self, seconds: float) -> None:
        """The event loop stood still; each connection says so, and users hear it once."""
        now = asyncio.get_running_loop().time()
        if now - self._blocked_said < seconds:
            return
        self._blocked_said = now
        log.warning(
            "the event loop stood still for %.1f s; nsqds may end their connections",
            seconds,
            extra=self._where,
        )
        if self.events.wanted:
            self.events.emit(LoopBlocked(seconds))

    def taken_back(self, messages: list[Message]) -> None:
        """nsqd has taken messages back while their connection goes on."""
        self.intake.drop(messages)

    def _held(self) -> list[Message]:
        return [message for member in self.nodes.members.values() for message in member.held.values()]

    def _shortest_lease(self) -> float:
        return min((m.lease - m.margin for m in self.nodes.members.values() if m.connected), default=1.0)

    def _drop_expired(self) -> None:
        """nsqd took back what waited too long here, and sent other messages instead."""
        now = asyncio.get_running_loop().time()
        expired = [m for m in self.intake.messages if now - m.renewed_at > m.source.lease]
        self.intake.drop(expired)
        for message in expired:
            message.source.expire(message)
