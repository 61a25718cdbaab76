"""The way of a publish: queued, written to a nsqd, answered; and sent again where that is safe."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from dataclasses import dataclass
from math import inf

from nsqclient.connection.options import ConnectionOptions
from nsqclient.connection.reconnect import Failure
from nsqclient.connection.state import Refusal
from nsqclient.discovery.discovery import Discovery
from nsqclient.discovery.nodes import Nodes
from nsqclient.discovery.targets import Lookup, Nsqd
from nsqclient.errors import (
    Backlogged,
    Closed,
    ConnectError,
    NoNodes,
    Outcome,
    PublishError,
    PublishNotSent,
    PublishRejected,
    PublishTimeout,
    PublishUnknown,
)
from nsqclient.lifecycle import Lifecycle
from nsqclient.pauses import Chance
from nsqclient.producer.deadlines import Deadlines
from nsqclient.producer.options import RetryPolicy
from nsqclient.producer.outlet import Outlet
from nsqclient.producer.pending import Pending, Receipt
from nsqclient.producer.room import Room
from nsqclient.tasks import Tasks

log = logging.getLogger(__name__)

CHUNK = 64 << 10
"""Bytes per write and nsqd: small enough that a slow one is noticed before it has everything."""
NODE_REASONS = frozenset({"E_PUB_FAILED", "E_DPUB_FAILED"})
"""The message was not stored for a reason of that nsqd (its disk, its shutdown): another may take it."""
HALF_WAY = "E_MPUB_FAILED"
"""Some of the messages may be stored."""


@dataclass(slots=True)
class Counts:
    """Publishes by what became of them."""

    stored: int = 0
    rejected: int = 0
    not_sent: int = 0
    unknown: int = 0

    def failed(self, outcome: Outcome) -> None:
        """One more."""
        setattr(self, outcome, getattr(self, outcome) + 1)


class Dispatch:
    """The work behind a producer."""

    def __init__(
        self,
        target: Nsqd | Lookup,
        options: ConnectionOptions,
        retry: RetryPolicy,
        room: Room,
        chance: Chance,
    ) -> None:
        self.counts = Counts()
        self.life = Lifecycle("producer")
        self.room = room
        self._target = target
        self._options = options
        self._retry = retry
        self._chance = chance
        self._tasks = Tasks(self._fail)
        self._queue: OrderedDict[Pending, None] = OrderedDict()
        self._deadlines: Deadlines[Pending] = Deadlines()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = inf
        self._pump_due = False
        self._turn = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._last_failure: Failure | None = None
        self._discovery: Discovery | None = None
        self._nodes: Nodes[Outlet] = Nodes(self._outlet)

    @property
    def connections(self) -> int:
        """How many nsqds are connected."""
        return sum(outlet.connected for outlet in self._nodes.members.values())

    # ---- its life

    def open(self) -> None:
        """Begins to connect."""
        self.life.open()
        if isinstance(self._target, Lookup):
            self._nodes = Nodes(self._outlet, self._target.drop_missing_after)
            self._discovery = Discovery(self._target, None, self._found, self._chance)
            self._tasks.start(self._discovery.run(), "nsqclient producer discovery")
        else:
            self._found(frozenset(self._target.addresses), True)

    async def close(self, limit: float) -> None:
        """Takes no more, waits up to ``limit`` seconds for what is pending, disconnects."""
        await self.life.close(lambda: self._close(limit), self._idle.set)

    async def _close(self, limit: float) -> None:
        self.room.refuse(Closed("the producer is closed"))
        try:
            async with asyncio.timeout(limit):
                await self._idle.wait()
        except TimeoutError:
            pass
        await self._tasks.stop()
        self._give_up_pending("the producer was closed before nsqd answered")
        if self._timer is not None:
            self._timer.cancel()
        await asyncio.gather(*(outlet.end() for outlet in self._nodes.members.values()))

    def _fail(self, error: BaseException) -> None:
        """A part of the producer died: whoever waits must know."""
        log.error("the producer failed", exc_info=error)
        cause = self.life.fail(error)
        self.room.refuse(cause)
        for pending in [*self._written(), *self._queue]:
            self._end(pending, cause)
            self._unqueue(pending)
        self._idle.set()

    # ---- the way of a publish

    async def publish(self, topic: str, command: bytes, count: int, timeout: float) -> Receipt:
        """Sends ``command`` with its ``count`` messages, and waits for its answer.

        Raises PublishError, also when ``timeout`` seconds have passed, and Closed.
        """
        self.life.check_open()
        loop = asyncio.get_running_loop()
        now = loop.time()
        deadline = now + timeout
        if not self.room.take_nowait(len(command)):
            try:
                await self.room.take(len(command), deadline)
            except Backlogged:
                self.counts.not_sent += 1
                raise
        pending = Pending(topic, command, count, loop.create_future(), now)
        pending.bucket = self._deadlines.add(pending, deadline)
        if deadline < self._timer_at:
            self._set_timer(deadline)
        self._idle.clear()
        self._queue[pending] = None
        self._pump_soon()
        try:
            return await pending.done
        except asyncio.CancelledError as e:
            e.add_note(self._abandon(pending))
            raise

    def _pump_soon(self) -> None:
        if not self._pump_due:
            self._pump_due = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        """Deals what is queued to the nsqds that are ready, in turn; one write for each."""
        self._pump_due = False
        while self._queue:
            ready = [outlet for outlet in self._nodes.members.values() if outlet.ready]
            if not ready:
                return
            hands: list[list[Pending]] = [[] for _ in ready]
            room = CHUNK * len(ready)
            while self._queue and room > 0:
                pending, _ = self._queue.popitem(last=False)
                if pending.done.done():
                    self._leave(pending)
                    continue
                room -= len(pending.command)
                self._turn += 1
                hands[self._turn % len(ready)].append(pending)
            for outlet, hand in zip(ready, hands, strict=True):
                if hand:
                    outlet.write(hand)

    def _resend(self, batch: list[Pending]) -> None:
        """Puts them, oldest first, before all others."""
        for pending in reversed(batch):
            if pending.done.done():
                self._leave(pending)
            else:
                self._queue[pending] = None
                self._queue.move_to_end(pending, last=False)
        self._pump_soon()

    def _unqueue(self, pending: Pending) -> None:
        """It is not to be sent, unless it was; the place of one that was stays taken until its answer."""
        if pending in self._queue:
            del self._queue[pending]
            self._leave(pending)

    def _leave(self, pending: Pending) -> None:
        """It is neither queued nor written any more."""
        self.room.give_back(len(pending.command))
        self._deadlines.discard(pending, pending.bucket)
        if not self.room.items:
            self._idle.set()

    def _end(self, pending: Pending, error: Exception) -> None:
        """It failed; whether it has left is not touched."""
        if not pending.done.done():
            pending.done.set_exception(error)
            self.counts.failed(error.outcome if isinstance(error, PublishError) else pending.outcome)

    def _abandon(self, pending: Pending) -> str:
        """Its caller was cancelled; returns what can be said about it."""
        self._unqueue(pending)
        if pending.done.cancelled():
            self.counts.failed(pending.outcome)
            said = "was not sent" if pending.outcome == "not_sent" else "may be stored"
        elif pending.done.exception() is None:
            said = f"is stored by {pending.node}"
        else:
            said = f"failed: {pending.done.exception()}"
        return f"the publish to topic {pending.topic} {said}"

    def _set_timer(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = when
        self._timer = asyncio.get_running_loop().call_at(when, self._deadline_passed)

    def _deadline_passed(self) -> None:
        self._timer, self._timer_at = None, inf
        for pending in self._deadlines.due(asyncio.get_running_loop().time()):
            error = self._timeout_error(pending)
            self._unqueue(pending)
            self._end(pending, error)
        following = self._deadlines.next_time()
        if following is not None:
            self._set_timer(following)

    def _timeout_error(self, pending: Pending) -> PublishError:
        if pending.outcome == "not_sent" and not self.connections:
            why = f": {self._last_failure}" if self._last_failure else ""
            error: PublishError = NoNodes(f"no nsqd of {self._target!r} is connected{why}")
            error.__cause__ = self._last_failure
            return error
        told = "was not sent in time" if pending.outcome == "not_sent" else "got no answer in time"
        return PublishTimeout(
            f"the publish to topic {pending.topic} {told}",
            pending.outcome,
            node=pending.node,
            attempts=pending.attempts,
        )

    def _written(self) -> list[Pending]:
        return [p for outlet in self._nodes.members.values() for p in outlet.written]

    def _give_up_pending(self, why: str) -> None:
        for pending in [*self._written(), *self._queue]:
            text = f"the publish to topic {pending.topic}: {why}"
            kind = PublishNotSent if pending.outcome == "not_sent" else PublishUnknown
            self._end(pending, kind(text, node=pending.node, attempts=pending.attempts))

    # ---- what outlets and discovery tell

    def _outlet(self, node: str) -> Outlet:
        return Outlet(
            node, self._options, self._retry.backoff, self._chance, self, self._tasks, self._target.dial
        )

    def _found(self, named: frozenset[str], complete: bool) -> None:
        self._nodes.found(named, complete, asyncio.get_running_loop().time())

    def acked(self, pending: Pending) -> None:
        """nsqd has stored it."""
        self._leave(pending)
        self.counts.stored += 1
        if not pending.done.done():
            pending.done.set_result(pending.receipt(asyncio.get_running_loop().time()))

    def refused(self, pending: Pending, refusal: Refusal) -> None:
        """nsqd has refused it; for reasons of its own it may go elsewhere."""
        if refusal.code == HALF_WAY:
            self._unknown_fate(pending, refusal.text, refusal.code)
            return
        pending.failures += 1
        if refusal.code in NODE_REASONS and pending.failures < self._retry.attempts:
            self._resend([pending])
            return
        self._leave(pending)
        text, attempts = f"{pending.node}: {refusal.text}", pending.attempts
        kind = PublishUnknown if pending.maybe_stored else PublishRejected
        self._end(pending, kind(text, code=refusal.code, node=pending.node, attempts=attempts))

    def unsent(self, pending: list[Pending]) -> None:
        """nsqd never looked at them."""
        self._resend(pending)

    def unanswered(self, pending: list[Pending], error: ConnectError) -> None:
        """Their answers are lost."""
        for one in reversed(pending):
            self._unknown_fate(one, f"{error}; the answer was lost", "")

    def _unknown_fate(self, pending: Pending, why: str, code: str) -> None:
        pending.maybe_stored = True
        pending.failures += 1
        if self._retry.on_unknown == "retry" and pending.failures < self._retry.attempts:
            self._resend([pending])
            return
        self._leave(pending)
        self._end(pending, PublishUnknown(why, code=code, node=pending.node, attempts=pending.attempts))

    def writable(self) -> None:
        """An outlet takes publishes again."""
        self._pump_soon()

    def connect_failed(self, failure: Failure) -> None:
        """A nsqd could not be reached."""
        self._last_failure = failure
        log.info("can't connect - %s", failure)

    def disconnected(self) -> None:
        """A connection was lost."""
        if self._discovery is not None:
            self._discovery.poll_soon()
