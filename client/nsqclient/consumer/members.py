"""The nsqds of a consumer: found, joined, lost and left, and what their subscriptions bring."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from math import inf
from typing import Protocol

from nsqclient.connection.reconnect import Failure
from nsqclient.consumer.backoff import Signal
from nsqclient.consumer.batches import Starving
from nsqclient.consumer.counts import Counts
from nsqclient.consumer.events import Events, LookupFailed, LoopBlocked, NodeDown, Subscribed
from nsqclient.consumer.flow import Flow
from nsqclient.consumer.giveup import GiveUp
from nsqclient.consumer.intake import Intake
from nsqclient.consumer.leases import Keeper
from nsqclient.consumer.message import Message
from nsqclient.consumer.news import News
from nsqclient.consumer.options import Leases
from nsqclient.consumer.subscription import Home, Subscription
from nsqclient.discovery.discovery import Discovery
from nsqclient.discovery.nodes import Nodes
from nsqclient.discovery.targets import Lookup, Nsqd
from nsqclient.errors import (
    AuthRejected,
    AuthRequired,
    Closed,
    CompressionRefused,
    DeadLetter,
    IdentifyRejected,
    SubscribeRefused,
    TlsFailed,
    TlsRefused,
)
from nsqclient.pauses import Chance
from nsqclient.tasks import Tasks

log = logging.getLogger(__name__)

CLOSE_WAIT_TIMEOUT = 1.0
"""Seconds for nsqd to confirm, at the end, that it sends no more."""
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


class Make(Protocol):
    """Makes the subscription of a nsqd."""

    def __call__(self, node: str, *, home: Home) -> Subscription:
        """``home`` is who is told what happens to it."""


class Members:
    """The subscriptions of one consumer."""

    def __init__(
        self,
        make: Make,
        target: Nsqd | Lookup,
        *,
        topic: str,
        channel: str,
        events: Events,
        flow: Flow,
        intake: Intake,
        give_up: GiveUp,
        leases: Leases,
        news: News,
        tasks: Tasks,
        failed: Callable[[BaseException], None],
        chance: Chance,
    ) -> None:
        """``news`` is told what the start or the end of the consumer may be waiting for."""
        self.counts: Counts = Counts()
        self.events: Events = events
        self.flow: Flow = flow
        self.keeper: Keeper = Keeper(leases, self._held, self._shortest_lease, self._lapsed, failed)
        self.any_joined: bool = False
        """Whether a nsqd has ever accepted the subscription."""
        self._target = target
        missing = target.drop_missing_after if isinstance(target, Lookup) else inf
        self._nodes: Nodes[Subscription] = Nodes(lambda node: make(node, home=self), missing)
        self.by_node: dict[str, Subscription] = self._nodes.members
        self._topic = topic
        self._channel = channel
        self._where = {"topic": topic, "channel": channel}
        self._intake = intake
        self._give_up = give_up
        self._news = news
        self._tasks = tasks
        self._chance = chance
        self._discovery: Discovery | None = None
        self._blocked_said = -inf

    # ---- finding and leaving nsqds

    def start(self) -> None:
        """Looks for nsqds, and connects to them."""
        if isinstance(self._target, Lookup):
            self._discovery = Discovery(
                self._target, self._topic, self.found, self._chance, self._lookup_failed
            )
            self._tasks.start(self._discovery.run(), "nsqclient consumer discovery")
            self._tasks.start(self._first_poll(self._discovery), "nsqclient consumer first poll")
        else:
            self.found(frozenset(self._target.addresses), True)

    def found(self, named: frozenset[str], complete: bool) -> None:
        """There are these nsqds; ``complete`` says that there are no others."""
        if self._intake.ended:  # whoever joined now would not be told to end
            return
        self._nodes.found(named, complete, asyncio.get_running_loop().time())

    def connect(self, node: str) -> None:
        """Uses that nsqd as well; raises Closed when the end has begun."""
        if self._intake.ended:
            raise Closed("the consumer is closed")
        self._nodes.unwanted.discard(node)
        self.found(frozenset([node]), False)

    async def disconnect(self, node: str, drain: float) -> None:
        """Leaves that nsqd in order, whoever names it."""
        self._nodes.unwanted.add(node)
        member = self.by_node.get(node)
        if member is None:
            return
        member.stop()
        member.begin_close()
        self.flow.leave(member)
        waiting = [message for message in self._intake.messages if message.source is member]
        self._intake.drop(waiting)
        for message in waiting:
            member.hand_back(message)
        unconfirmed = asyncio.get_running_loop().call_later(CLOSE_WAIT_TIMEOUT, self._left, member)
        try:
            async with asyncio.timeout(drain):
                await self._news.until(lambda: self._intake.ended or (member.quiet and not member.held))
        except TimeoutError:
            pass
        finally:
            if not self._intake.ended:  # else the end of the consumer does this
                await member.end()
                if self.by_node.get(node) is member:
                    self._nodes.forget(node)
                    if node not in self._nodes.unwanted:  # it was asked for again meanwhile
                        self.found(frozenset([node]), False)
            unconfirmed.cancel()

    def _left(self, member: Subscription) -> None:
        member.close_unconfirmed()
        self._news.tell()

    async def _first_poll(self, discovery: Discovery) -> None:
        await discovery.polled.wait()
        self._news.tell()

    def _lookup_failed(self, url: str, reason: str) -> None:
        if self.events.wanted:
            self.events.emit(LookupFailed(url, reason))

    # ---- how they stand

    @property
    def decided(self) -> bool:
        """Whether it is known which nsqds there are, and each was tried."""
        asked = self._discovery is None or self._discovery.polled.is_set()
        return asked and all(member.decided for member in self.by_node.values())

    @property
    def refusal(self) -> Exception | None:
        """The first reason for which nsqds refuse, when all of them do."""
        members = self.by_node.values()
        refusals = [m.failure for m in members if isinstance(m.failure, REFUSALS)]
        return refusals[0] if refusals and len(refusals) == len(members) else None

    def starving(self) -> Starving:
        """Whether more can come while nothing is answered."""
        asked = [m for m in self.by_node.values() if m.connected and m.share.rdy]
        full = sum(len(member.held) >= member.share.rdy for member in asked)
        return Starving(some=full > 0, every=full == len(asked))

    @property
    def is_starved(self) -> bool:
        """Whether the share of a connection is used up, or nearly."""
        return any(
            m.connected and m.held and len(m.held) >= int(0.85 * m.share.rdy) for m in self.by_node.values()
        )

    def _held(self) -> list[Message]:
        return [message for member in self.by_node.values() for message in member.held.values()]

    def _lapsed(self, messages: list[Message]) -> None:
        """nsqd must have taken these back: nobody answered them in time."""
        self._intake.drop(messages)
        for message in messages:
            message.source.lapse(message)

    def _shortest_lease(self) -> float:
        return min((m.lease - m.margin for m in self.by_node.values() if m.connected), default=inf)

    # ---- their end

    def begin_close(self) -> None:
        """Asks all of them to send no more."""
        for member in self.by_node.values():
            member.begin_close()

    def close_unconfirmed(self) -> None:
        """They took too long to say that they send no more."""
        for member in self.by_node.values():
            member.close_unconfirmed()
        self._news.tell()

    @property
    def quiet(self) -> bool:
        """Whether no message can come any more."""
        return all(member.quiet for member in self.by_node.values())

    @property
    def done(self) -> bool:
        """Whether, besides, all that came was answered."""
        return all(member.quiet and not member.held for member in self.by_node.values())

    async def end(self) -> None:
        """Hands back what is held, and ends the connections."""
        await asyncio.gather(*(member.end() for member in self.by_node.values()))
        self.keeper.stop()

    # ---- what subscriptions tell; see Home

    def joined(self, subscription: Subscription) -> None:
        """A nsqd accepted the subscription."""
        where = {**self._where, "node": subscription.node}
        log.info("subscribed to %s/%s at %s", self._topic, self._channel, subscription.node, extra=where)
        self.any_joined = True
        if self.events.wanted:
            self.events.emit(Subscribed(subscription.node))
        self._news.tell()
        self.keeper.joined()
        self.flow.join(subscription)

    def connect_failed(self, subscription: Subscription, failure: Failure) -> None:
        """A nsqd can't be reached, or refused."""
        complaint = str(failure)
        again = complaint == subscription.complaint and not isinstance(failure, REFUSALS)
        level = logging.DEBUG if again else logging.WARNING
        subscription.complaint = complaint
        where = {**self._where, "node": subscription.node}
        log.log(level, "can't receive %s/%s - %s", self._topic, self._channel, failure, extra=where)
        if self.events.wanted:
            self.events.emit(NodeDown(subscription.node, failure))
        self._news.tell()

    def received(self, subscription: Subscription, batch: list[Message]) -> None:
        """Messages came."""
        if subscription.stopping:  # they were under way when CLS was sent
            for message in batch:
                subscription.hand_back(message)
            return
        self._intake.add(batch)
        if self.flow.alert:
            self.flow.arrived(subscription)
        if len(self._intake.messages) > self.flow.max_in_flight:
            self._drop_expired()

    def _drop_expired(self) -> None:
        """nsqd took back what waited too long here, and sent other messages instead."""
        now = asyncio.get_running_loop().time()
        expired = [m for m in self._intake.messages if now - m.renewed_at > m.source.lease]
        self._intake.drop(expired)
        for message in expired:
            message.source.expire(message)

    def taken_back(self, messages: list[Message]) -> None:
        """nsqd has taken messages back while their connection goes on."""
        self._intake.drop(messages)
        self._news.tell()

    def lost(self, subscription: Subscription, messages: list[Message]) -> None:
        """A connection is gone, with these."""
        if not self._intake.ended:
            where = {**self._where, "node": subscription.node}
            log.info("lost %s/%s - %s", self._topic, self._channel, subscription.failure, extra=where)
        self._intake.drop(messages)
        self.flow.leave(subscription)
        if self.events.wanted and subscription.failure is not None:
            self.events.emit(NodeDown(subscription.node, subscription.failure))
        if self._discovery is not None:
            self._discovery.poll_soon()
        self._news.tell()

    def give_up(self, message: Message, error: BaseException | None, signal: Signal) -> bool:
        """Whether the message had its last attempt."""
        return self._give_up.after_failure(message, error, signal)

    def dead(self, message: Message, error: DeadLetter) -> None:
        """No further attempt can help the message."""
        self._give_up.at_once(message, error)

    def settled(self) -> None:
        """A message was answered, or nsqd sends no more."""
        self._news.tell()

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
