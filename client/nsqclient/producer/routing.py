"""Which nsqd takes what. Pure: decided from the nodes that take publishes now."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Sequence
from typing import TypeVar

from nsqclient.producer.options import Node, Pick, Routing

N = TypeVar("N", bound=Node)
P = TypeVar("P")


class Router:
    """Deals parcels to nodes as ``routing`` says; ``zone`` and ``region`` are where we are."""

    def __init__(self, routing: Routing, zone: str = "", region: str = "") -> None:
        self._routing = routing
        self._zone = zone
        self._region = region
        self._turn = 0
        self._last = ""
        self.custom: Pick | None = routing.pick if callable(routing.pick) else None
        """The user's function, where that decides."""

    def pick(self, topic: str, nodes: Sequence[N]) -> N:
        """One of ``nodes``, of which there is at least one.

        Raises what a function of the user raises, and ValueError when that answers with something else.
        """
        if self.custom is not None:
            chosen = self.custom(topic, nodes)
            for node in nodes:
                if node is chosen:
                    return node
            raise ValueError(f"pick returned {chosen!r}, which is none of the nodes it was given")
        if self._routing.pick == "sticky":
            return self._same(nodes)
        if self._routing.pick == "least_pending":
            return min(nodes, key=lambda node: node.pending)
        if self._routing.pick == "nearest":
            nodes = self._near(nodes)
        self._turn += 1
        return nodes[self._turn % len(nodes)]

    def deal(self, parcels: list[P], nodes: Sequence[N]) -> list[tuple[N, list[P]]]:
        """Spreads ``parcels`` over ``nodes``; only for the ways of our own, see :attr:`custom`."""
        if len(nodes) == 1:
            return [(nodes[0], parcels)]
        if self._routing.pick == "sticky":
            return [(self.pick("", nodes), parcels)]
        if self._routing.pick == "least_pending":
            return _level(parcels, nodes)
        if self._routing.pick == "nearest":
            nodes = self._near(nodes)
        hands = [
            (nodes[(self._turn + n + 1) % len(nodes)], parcels[n :: len(nodes)]) for n in range(len(nodes))
        ]
        self._turn += len(parcels)
        return [(node, hand) for node, hand in hands if hand]

    def pick_another(self, topic: str, nodes: Sequence[N], taken: Collection[Node]) -> N | None:
        """One that is not among ``taken``, in a zone of its own if there is one; None if there is none."""
        free = [node for node in nodes if node not in taken]
        zones = {node.zone for node in taken if node.zone}
        apart = [node for node in free if node.zone not in zones]
        free = apart or free
        return self.pick(topic, free) if free else None

    def _same(self, nodes: Sequence[N]) -> N:
        for node in nodes:
            if node.address == self._last:
                return node
        self._last = nodes[0].address
        return nodes[0]

    def _near(self, nodes: Sequence[N]) -> Sequence[N]:
        if self._zone and (near := [node for node in nodes if node.zone == self._zone]):
            return near
        if self._region and (near := [node for node in nodes if node.region == self._region]):
            return near
        return nodes


def _level(parcels: list[P], nodes: Sequence[N]) -> list[tuple[N, list[P]]]:
    """Each to the one that has the fewest then."""
    hands: list[list[P]] = [[] for _ in nodes]
    heap = [(node.pending, n) for n, node in enumerate(nodes)]
    heapq.heapify(heap)
    for parcel in parcels:
        pending, n = heap[0]
        hands[n].append(parcel)
        heapq.heapreplace(heap, (pending + 1, n))
    return [(node, hand) for node, hand in zip(nodes, hands, strict=True) if hand]
