"""The work behind a producer: what is taken, until when, and what becomes of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf

from nsqclient.connection.options import ConnectionOptions, Topology
from nsqclient.connection.reconnect import Failure
from nsqclient.connection.state import Agreement
from nsqclient.discovery.discovery import Discovery
from nsqclient.discovery.nodes import Nodes
from nsqclient.discovery.targets import Lookup, Nsqd
from nsqclient.errors import (
    Closed,
    NoNodes,
    PublishError,
    PublishNotSent,
    PublishTimeout,
    PublishUnknown,
)
from nsqclient.lifecycle import Lifecycle
from nsqclient.pauses import Chance
from nsqclient.producer.answers import Answers, dropped
from nsqclient.producer.copies import Redundant
from nsqclient.producer.counts import Counts, NodeState
from nsqclient.producer.delivery import Receipt
from nsqclient.producer.gathering import Gathering
from nsqclient.producer.ledger import Ledger
from nsqclient.producer.options import Batch, RetryPolicy, Routing
from nsqclient.producer.outlet import Outlet
from nsqclient.producer.parcels import OVER, Publish
from nsqclient.producer.reports import Ring
from nsqclient.producer.room import Room
from nsqclient.producer.routing import Router
from nsqclient.producer.sending import Sending
from nsqclient.tasks import Tasks

log = logging.getLogger(__name__)

GRAIN = 1 / 64
"""Seconds between two looks for what has run out of time: so late, at most, is a timeout noticed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What a producer was made with, checked."""

    target: Nsqd | Lookup
    options: ConnectionOptions
    retry: RetryPolicy
    routing: Routing
    batch: Batch | None
    reports: str
    chance: Chance


class Dispatch:
    """Made when the producer is opened, within the loop."""

    def __init__(self, settings: Settings, life: Lifecycle, room: Room, counts: Counts, ring: Ring) -> None:
        self.counts = counts
        self.room = room
        self.gathering: Gathering | None = None
        self._settings = settings
        self._life = life
        self._loop = asyncio.get_running_loop()
        self._tasks = Tasks(self._fail)
        self._ledger = Ledger(room, counts, ring, settings.reports)
        self._live = self._ledger.live
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = inf
        self._blocked_said = -inf
        self.accepting: bool = True
        self._last_failure: Failure | None = None
        self._lookup_failure = ""
        self._connects = asyncio.Event()
        """Set anew at each connect and each failure to."""
        self._discovery: Discovery | None = None
        drop_after = settings.target.drop_missing_after if isinstance(settings.target, Lookup) else inf
        self._nodes: Nodes[Outlet] = Nodes(self._outlet, drop_after)
        here = settings.options.topology or Topology()
        self._sending = Sending(
            settings.routing, Router(settings.routing, here.zone, here.region), self._outlets, self._ledger
        )
        self._answers = Answers(settings.retry, self._ledger, self._sending)
        if settings.batch is not None:
            limit = settings.options.limits.max_body_size
            self.gathering = Gathering(settings.batch, limit, self._sending.add)

    def _outlets(self) -> list[Outlet]:
        return list(self._nodes.members.values())

    @property
    def connections(self) -> int:
        """How many nsqds are connected."""
        return sum(outlet.connected for outlet in self._nodes.members.values())

    @property
    def nodes(self) -> tuple[NodeState, ...]:
        """All nsqds that are known."""
        return tuple(
            NodeState(o.address, o.zone, o.region, o.connected, o.pending, o.rtt, o.last_error)
            for o in self._outlets()
        )

    # ---- its life

    def open(self) -> None:
        """Begins to connect."""
        target = self._settings.target
        if isinstance(target, Lookup):
            self._discovery = Discovery(
                target, None, self._found, self._settings.chance, self._lookup_failing
            )
            self._tasks.start(self._discovery.run(), "nsqclient producer discovery")
        else:
            self._found(frozenset(target.addresses), True)

    async def close(self, limit: float) -> None:
        """Waits up to ``limit`` seconds for what is pending, disconnects."""
        self.accepting = False
        self._connects.set()
        self.room.refuse(Closed("the producer is closed"))
        if self.gathering is not None:
            self.gathering.flush()
        try:
            async with asyncio.timeout(limit):
                await self._ledger.idle()
        except TimeoutError:
            pass
        await self._tasks.stop()
        for publish in list(self._live):
            self._time_over(publish, self._closing_error(publish))
        if self._timer is not None:
            self._timer.cancel()
        await asyncio.gather(*(outlet.end() for outlet in self._outlets()))

    def hurry(self) -> None:
        """Waits no longer for what is pending."""
        self._ledger.hurry()

    def _fail(self, error: BaseException) -> None:
        """A part of the producer died: whoever waits must know."""
        log.error("the producer failed", exc_info=error)
        cause = self._life.fail(error)
        self.room.refuse(cause)
        for publish in list(self._live):
            self._time_over(publish, cause)
        self._ledger.hurry()
        self._connects.set()

    async def flush(self) -> None:
        """Waits until all that is pending now has an outcome."""
        if self.gathering is not None:
            self.gathering.flush()
        await self._ledger.flush()

    async def check(self, limit: float, again: bool) -> dict[str, Agreement]:
        """Waits for a connect of each known nsqd; raises NoNodes when none is connected.

        Unless ``again``, a connect that has failed is not waited for once more.
        """
        try:
            async with asyncio.timeout(limit):
                while True:
                    self._life.check_open()
                    outlets = self._outlets()
                    decided = outlets and all(o.connected or o.tried for o in outlets)
                    if decided and (self.connections or not again):
                        break
                    self._connects.clear()
                    await self._connects.wait()
        except TimeoutError:
            pass
        if not self.connections:
            raise self._no_nodes()
        return {o.address: o.connection.agreement for o in self._outlets() if o.connection and o.connected}

    # ---- what is taken

    async def wait_for_room(self, size: int, deadline: float) -> None:
        """Takes a place for ``size`` bytes; raises Backlogged after ``deadline``, and Closed."""
        self.make_room()
        try:
            await self.room.take(size, deadline)
        except PublishNotSent:
            self.counts.not_sent += 1
            raise
        except asyncio.CancelledError as e:
            self.counts.not_sent += 1
            e.add_note("the publish was not sent (outcome: not_sent)")
            raise
        if not self.accepting or self._life.failed:  # it was closed between the place and our turn
            self.room.give_back(size, 1)
            raise self._life.closed()

    @contextmanager
    def without_linger(self) -> Iterator[None]:
        """Within it, what is published waits for no company."""
        gathering = self.gathering
        if gathering is None:
            yield
            return
        gathering.hurried += 1
        gathering.flush()
        try:
            yield
        finally:
            gathering.hurried -= 1

    def make_room(self) -> None:
        """Somebody wants a place: batches that wait for more messages, for which there is no room, leave."""
        if self.gathering is not None:
            self.gathering.flush()

    def take(self, publish: Publish) -> None:
        """Sends it, for which a place was taken; what is taken in one turn of the loop leaves together."""
        self._keep(publish)
        if publish.loose and self.gathering is not None:
            self.gathering.add(publish)
        else:
            self._sending.add(publish)

    def begin(self, publish: Publish) -> asyncio.Future[None]:
        """The same for one that is waited for: by awaiting what this returns, see :meth:`complete`."""
        waiter = self._loop.create_future()
        publish.waiters = [waiter]
        self._keep(publish)
        if publish.loose and self.gathering is not None:
            self.gathering.add(publish)
        elif len(self._live) == 1:
            self._sending.add_now(publish)  # nothing else is under way: no use in waiting for company
        else:
            self._sending.add(publish)
        return waiter

    async def complete(self, publish: Publish) -> Receipt:
        """The same, and waits for it."""
        try:
            await self.begin(publish)
        except asyncio.CancelledError as e:
            e.add_note(self.abandon(publish))
            raise
        if publish.error is not None:
            raise publish.error
        return publish.receipt()

    def _keep(self, publish: Publish) -> None:
        """It is live until its outcome is known or its deadline passed."""
        self._live.add(publish)
        if publish.deadline < self._timer_at:
            self._set_timer(publish.deadline)

    def abandon(self, publish: Publish) -> str:
        """Its caller was cancelled; returns what can be said about it."""
        what = f"the publish to topic {publish.topic}"
        if publish.state == OVER:
            if publish.error is None:
                return f"{what} is stored by {', '.join(publish.acked_nodes)}"
            return f"{what} failed: {publish.error}"
        if publish.outcome == "not_sent":
            self._ledger.take_back(publish)
            self._sending.sweep(len(self._live))
            return f"{what} was not sent (outcome: not_sent)"
        publish.abandoned = True
        parcel = publish.carrier or publish
        if not parcel.on_wire and not isinstance(publish, Redundant):  # it only waited to be sent once more
            publish.give_up()
            self._ledger.failed(publish, dropped(parcel))
        return f"{what} may be stored (outcome: unknown); reports() will tell its outcome as abandoned"

    # ---- time

    def _set_timer(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = when
        self._timer = self._loop.call_at(when, self._deadline_passed)

    def _deadline_passed(self) -> None:
        """Looks at everything: a timer per publish would cost more than the rest of its bookkeeping."""
        self._timer, self._timer_at = None, inf
        now = self._loop.time()
        due = [publish for publish in self._live if publish.deadline <= now]
        for publish in sorted(due, key=lambda publish: publish.deadline):
            self._time_over(publish, self._timeout_error(publish))
        if due:
            self._sending.sweep(len(self._live))
            for outlet in self._outlets():
                outlet.check_silence()
        if self._live:
            first = min(publish.deadline for publish in self._live)
            self._set_timer(max(first, now + GRAIN))

    def _time_over(self, publish: Publish, error: Exception) -> None:
        """It fails, unless only some copies were still under way; nothing of it is sent any more."""
        if publish.state == OVER:
            nodes = publish.open_nodes
            publish.give_up()
            lost = error if isinstance(error, PublishError) else self._closing_error(publish)
            self._ledger.copy_ended(publish, lost, nodes)
            return
        publish.give_up()
        self._ledger.failed(publish, error)

    def _timeout_error(self, publish: Publish) -> PublishError:
        parcel, outcome = publish.carrier or publish, publish.outcome
        if outcome == "not_sent" and self.connections < self._settings.routing.copies:
            return self._no_nodes()
        told = "was not sent in time" if outcome == "not_sent" else "got no answer in time"
        return PublishTimeout(
            f"the publish to topic {publish.topic} {told}",
            outcome,
            node=parcel.node,
            attempts=parcel.attempts,
            acked_nodes=publish.acked_nodes,
        )

    def _no_nodes(self) -> NoNodes:
        target, why = self._settings.target, f": {self._last_failure}" if self._last_failure else ""
        if isinstance(target, Lookup) and not self._outlets():
            why = self._lookup_failure or ": the nsqlookupds know of none"
        if self.connections:
            copies, there = self._settings.routing.copies, self.connections
            return NoNodes(f"{copies} copies want as many nsqds of {target!r}, {there} are connected{why}")
        error = NoNodes(f"no nsqd of {target!r} is connected{why}")
        error.__cause__ = self._last_failure
        return error

    def _closing_error(self, publish: Publish) -> PublishError:
        parcel = publish.carrier or publish
        kind = PublishNotSent if publish.outcome == "not_sent" else PublishUnknown
        return kind(
            f"the publish to topic {publish.topic}: the producer was closed before nsqd answered",
            node=parcel.node,
            attempts=parcel.attempts,
            acked_nodes=publish.acked_nodes,
        )

    # ---- what outlets and discovery tell

    def _outlet(self, node: str) -> Outlet:
        settings = self._settings
        return Outlet(
            node,
            settings.options,
            settings.retry.backoff,
            settings.chance,
            self,
            self._answers,
            self._tasks,
            settings.target.dial,
        )

    def _lookup_failing(self, url: str, reason: str) -> None:
        self._lookup_failure = f": nsqlookupd {url} does not answer - {reason}"

    def _found(self, named: frozenset[str], complete: bool) -> None:
        self._nodes.found(named, complete, self._loop.time())
        if complete:
            self._lookup_failure = ""
        if self._discovery is not None:
            for outlet in self._outlets():
                found = self._discovery.nodes.get(outlet.address)
                if found is not None:
                    outlet.zone, outlet.region = found.zone, found.region
                outlet.tombstones = frozenset() if found is None else found.tombstones
            self._sending.avoid_tombstones()
        self._connects.set()

    def writable(self) -> None:
        """An outlet takes parcels again."""
        self._sending.soon()
        self._connects.set()

    def connect_failed(self, failure: Failure, *, again: bool) -> None:
        """A nsqd could not be reached; ``again``: for the reason that it could not be before."""
        self._last_failure = failure
        self._connects.set()
        self._sending.soon()
        log.log(logging.DEBUG if again else logging.INFO, "can't connect - %s", failure)

    def disconnected(self) -> None:
        """A connection was lost."""
        if self._discovery is not None:
            self._discovery.poll_soon()

    def loop_blocked(self, seconds: float) -> None:
        """The event loop stood still; each connection says so, and it is logged once."""
        now = self._loop.time()
        if now - self._blocked_said >= seconds:
            self._blocked_said = now
            log.warning("the event loop stood still for %.1f s; nsqds may end their connections", seconds)
