"""The queue of parcels, and how they are dealt to the nsqds that take some."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection

from nsqclient.errors import PublishNotSent
from nsqclient.producer.copies import Copy, Redundant
from nsqclient.producer.options import Routing
from nsqclient.producer.outlet import Outlet
from nsqclient.producer.parcels import OVER, WAITING, Fates, Parcel
from nsqclient.producer.routing import Router

CHUNK = 64 << 10
"""Bytes per write and nsqd: small enough that a slow one is noticed before it has everything."""


class Sending:
    """Parcels in their order, on their way to ``outlets``, a look at those that there are now."""

    def __init__(
        self, routing: Routing, router: Router, outlets: Callable[[], Collection[Outlet]], fates: Fates
    ) -> None:
        self._routing = routing
        self._router = router
        self._outlets = outlets
        self._fates = fates
        self._queue: deque[Parcel] = deque()
        self._copies: deque[Copy] = deque()
        """Those of publishes to several nsqds that are to be sent again."""
        self._loop = asyncio.get_running_loop()
        self._tombstoned: frozenset[str] = frozenset()
        """Topics that are being removed from some nsqd."""
        self._due = False
        self._one_by_one = routing.copies == 1 and router.custom is None
        """Whether a parcel goes to the only nsqd there is, as it is."""
        self._pump = self._pump_copies if routing.copies > 1 else self._pump_parcels

    def add(self, parcel: Parcel) -> None:
        """Sends it, together with what is added in this turn of the loop."""
        self._queue.append(parcel)
        if not self._due:
            self._due = True
            self._loop.call_soon(self.pump)

    def add_now(self, parcel: Parcel) -> None:
        """Sends it at once if some nsqd takes it."""
        if self._one_by_one and not self._queue and not self._tombstoned and parcel.state == WAITING:
            outlets = self._outlets()
            if len(outlets) == 1:
                for outlet in outlets:
                    if outlet.ready:
                        outlet.write([parcel])
                        return
        self._queue.append(parcel)
        self._pump()

    def resend(self, parcels: list[Parcel]) -> None:
        """Sends them, oldest first, before all others."""
        for parcel in reversed(parcels):
            if isinstance(parcel, Copy):
                self._copies.appendleft(parcel)
            else:
                self._queue.appendleft(parcel)
        self.soon()

    def soon(self) -> None:
        """Looks whether something can be sent, once this turn of the loop is over."""
        if not self._due:
            self._due = True
            self._loop.call_soon(self.pump)

    def avoid_tombstones(self) -> None:
        """The tombstones of outlets may have changed: a publish would bring the topic back that is being removed."""
        self._tombstoned = frozenset[str]().union(*(outlet.tombstones for outlet in self._outlets()))
        self.soon()

    def sweep(self, live: int) -> None:
        """Forgets what is not to be sent any more, if there is much of it; ``live`` publishes are not."""
        if len(self._queue) > 2 * live + 64:
            self._queue = deque(parcel for parcel in self._queue if parcel.state != OVER)
        if len(self._copies) > 2 * live + 64:
            self._copies = deque(copy for copy in self._copies if copy.state != OVER)

    def pump(self) -> None:
        """Deals what is queued to the nsqds that are ready; one write for each."""
        self._due = False
        self._pump()

    def _pump_parcels(self) -> None:
        waiting: list[Parcel] = []
        while self._queue:
            ready = [outlet for outlet in self._outlets() if outlet.ready]
            probing = [outlet for outlet in ready if outlet.probing]
            if probing:
                ready = self._probe(probing, ready)
            if not ready:
                break
            parcels = self._next_parcels(CHUNK * len(ready))
            if not parcels:
                break
            if self._tombstoned:
                parcels = self._deal_around_tombstones(parcels, ready, waiting)
                if not parcels:
                    continue
            if self._router.custom is not None:
                hands = self._deal_by_hand(parcels, ready)
            else:
                hands = self._router.deal(parcels, ready)
            for outlet, hand in hands:
                outlet.write(hand)
        if waiting:
            self._queue.extendleft(reversed(waiting))

    def _probe(self, probing: list[Outlet], ready: list[Outlet]) -> list[Outlet]:
        """Gives each of ``probing`` the one parcel it may have, if the oldest is for it; returns the others."""
        for outlet in probing:
            probe = self._next_parcels(1)
            if probe and self._is_for(outlet, probe[0], ready):
                outlet.write(probe)
            else:
                self._queue.extendleft(probe)
        return [outlet for outlet in ready if outlet not in probing]

    def _is_for(self, outlet: Outlet, parcel: Parcel, ready: list[Outlet]) -> bool:
        if self._is_shunned(outlet, parcel.topic):
            return False
        if self._router.custom is None:
            return True
        try:
            return self._router.pick(parcel.topic, ready) is outlet
        except Exception as e:  # noqa: BLE001 - the user's function; its error belongs to this message
            self._blame(parcel, e)
            return False

    def _is_shunned(self, outlet: Outlet, topic: str) -> bool:
        """Whether the topic is being removed from that nsqd, and another is there to take it."""
        return topic in outlet.tombstones and any(
            other.connected and topic not in other.tombstones for other in self._outlets()
        )

    def _deal_around_tombstones(
        self, parcels: list[Parcel], ready: list[Outlet], waiting: list[Parcel]
    ) -> list[Parcel]:
        """Sends those whose topic some nsqd is to get no more of; returns the others.

        What only a nsqd may take that takes nothing at present is added to ``waiting``.
        """
        others: list[Parcel] = []
        hands: dict[str, tuple[Outlet, list[Parcel]]] = {}
        for parcel in parcels:
            spared = [outlet for outlet in ready if not self._is_shunned(outlet, parcel.topic)]
            if len(spared) == len(ready):
                others.append(parcel)
                continue
            if not spared:
                waiting.append(parcel)
                continue
            try:
                outlet = self._router.pick(parcel.topic, spared)
            except Exception as e:  # noqa: BLE001 - the user's function; its error belongs to this message
                self._blame(parcel, e)
                continue
            hands.setdefault(outlet.address, (outlet, []))[1].append(parcel)
        for outlet, hand in hands.values():
            outlet.write(hand)
        return others

    def _next_parcels(self, size: int) -> list[Parcel]:
        """The oldest ones of about so many bytes."""
        queue = self._queue
        parcels = []
        while queue and size > 0:
            parcel = queue.popleft()
            if parcel.state and not parcel.refresh():
                continue
            if parcel.waiters is not None and parcel.cancelled:
                continue
            size -= len(parcel.command)
            parcels.append(parcel)
        return parcels

    def _deal_by_hand(self, parcels: list[Parcel], ready: list[Outlet]) -> list[tuple[Outlet, list[Parcel]]]:
        hands: dict[str, tuple[Outlet, list[Parcel]]] = {}
        for parcel in parcels:
            try:
                outlet = self._router.pick(parcel.topic, ready)
            except Exception as e:  # noqa: BLE001 - the user's function; its error belongs to this message
                self._blame(parcel, e)
                continue
            hands.setdefault(outlet.address, (outlet, []))[1].append(parcel)
        return list(hands.values())

    def _blame(self, parcel: Parcel, cause: Exception) -> None:
        def make() -> PublishNotSent:
            error = PublishNotSent(f"choosing a nsqd for topic {parcel.topic} failed: {cause!r}")
            error.__cause__ = cause
            return error

        parcel.fail(make, self._fates)

    # ---- copies

    def _pump_copies(self) -> None:
        hands: dict[str, tuple[Outlet, list[Parcel]]] = {}
        while True:
            dealt = self._deal_copies(hands)
            for outlet, hand in hands.values():
                outlet.write(hand)
            if not dealt:
                return
            hands.clear()

    def _deal_copies(self, hands: dict[str, tuple[Outlet, list[Parcel]]]) -> bool:
        """Fills ``hands``; false when nothing more can be dealt now."""
        room = CHUNK

        def ready(taken: Collection[str] = ()) -> list[Outlet]:
            return [
                outlet
                for outlet in self._outlets()
                if outlet.ready
                and outlet.address not in taken
                and not (outlet.probing and outlet.address in hands)
            ]

        for _ in range(len(self._copies)):
            copy = self._copies.popleft()
            if copy.state == OVER:
                continue
            taken = copy.of.taken
            siblings = [outlet for outlet in self._outlets() if outlet.address in taken]
            chosen = self._choose(copy, ready(taken), siblings, 1)
            if chosen:
                hands.setdefault(chosen[0].address, (chosen[0], []))[1].append(copy)
                copy.node = chosen[0].address
                copy.on_wire = True
            elif copy.state == OVER:
                continue
            elif self._dispensable(copy, taken):
                copy.of.do_without(copy, self._loop.time(), self._fates)
            else:
                self._copies.append(copy)
        while self._queue and room > 0:
            publish = self._queue[0]
            assert isinstance(publish, Redundant)
            if publish.state == OVER or publish.cancelled:
                self._queue.popleft()
                continue
            there = ready()
            count = self._count(len(there))
            if not count:
                return False
            chosen = self._choose(publish, there, [], count)
            self._queue.popleft()
            if len(chosen) < count:
                continue
            wanted = self._routing.min_acks or count
            room -= len(publish.command)
            for outlet, copy in zip(
                chosen, publish.split(count, wanted, count < self._routing.copies), strict=True
            ):
                copy.node = outlet.address
                hands.setdefault(outlet.address, (outlet, []))[1].append(copy)
        return bool(self._queue)

    def _dispensable(self, copy: Copy, taken: Collection[str]) -> bool:
        """Whether to make no more of a copy for which there is no nsqd."""
        if self._routing.shortage == "fail" or len(copy.of.copies) <= (self._routing.min_acks or 1):
            return False
        return not any(outlet.hopeful for outlet in self._outlets() if outlet.address not in taken)

    def _count(self, ready: int) -> int:
        """How many copies to make now with so many nsqds ready; 0 is to wait."""
        routing = self._routing
        if ready >= routing.copies:
            return routing.copies
        if routing.shortage == "fail" or ready < (routing.min_acks or 1):
            return 0
        hopeful = sum(outlet.hopeful for outlet in self._outlets())
        return 0 if hopeful > ready else ready

    def _choose(self, parcel: Parcel, ready: list[Outlet], taken: list[Outlet], count: int) -> list[Outlet]:
        """So many different nsqds; fewer, if there are not as many, or the user's function fails."""
        chosen: list[Outlet] = []
        while len(chosen) < count:
            there = ready
            if parcel.topic in self._tombstoned:  # others come first
                free = [o for o in ready if o not in chosen and parcel.topic not in o.tombstones]
                there = free or ready
            try:
                outlet = self._router.pick_another(parcel.topic, there, [*taken, *chosen])
            except Exception as e:  # noqa: BLE001 - the user's function; its error belongs to this message
                self._blame(parcel, e)
                return []
            if outlet is None:
                break
            chosen.append(outlet)
        return chosen
