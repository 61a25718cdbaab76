"""Bounds what a producer holds: callers wait for room, in the order they came."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from nsqclient.errors import Backlogged


class Room:
    """Places for ``max_items`` items and ``max_bytes`` bytes; a lone item may be larger."""

    def __init__(self, max_items: int, max_bytes: int) -> None:
        self.items: int = 0
        self.bytes: int = 0
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._waiting: OrderedDict[asyncio.Future[None], int] = OrderedDict()

    def __str__(self) -> str:
        return (
            f"{self.items} publishes of {self.bytes} bytes are pending, "
            f"max_pending is {self._max_items}, max_pending_bytes {self._max_bytes}"
        )

    def take_nowait(self, size: int) -> bool:
        """Takes a place if there is one and nobody waits for it."""
        items, total = self.items, self.bytes + size
        if self._waiting or items >= self._max_items or (total > self._max_bytes and items):
            return False
        self.items, self.bytes = items + 1, total
        return True

    async def take(self, size: int, deadline: float) -> None:
        """Waits for a place until ``deadline`` on the loop's clock; then raises Backlogged."""
        if self.take_nowait(size):
            return
        place = asyncio.get_running_loop().create_future()
        self._waiting[place] = size
        try:
            async with asyncio.timeout_at(deadline):
                await place
        except BaseException as e:
            if self._waiting.pop(place, None) is None:
                if place.done() and not place.cancelled() and place.exception() is None:
                    self.give_back(size)  # the place came at the moment we stopped waiting
            else:
                self._admit()  # a smaller one behind may fit
            if isinstance(e, TimeoutError):
                raise Backlogged(f"no room came in time: {self}") from None
            raise

    def give_back(self, size: int, items: int = 1) -> None:
        """The places of so many ``items``, ``size`` bytes together, are free."""
        self.items -= items
        self.bytes -= size
        if self._waiting:
            self._admit()

    def refuse(self, error: Exception) -> None:
        """Nobody gets a place any more."""
        while self._waiting:
            place, _ = self._waiting.popitem(last=False)
            if not place.done():
                place.set_exception(error)

    def _admit(self) -> None:
        while self._waiting:
            place, size = next(iter(self._waiting.items()))
            if not self._fits(size):
                return
            del self._waiting[place]
            if not place.done():
                self.items += 1
                self.bytes += size
                place.set_result(None)

    def _fits(self, size: int) -> bool:
        return self.items < self._max_items and (self.bytes + size <= self._max_bytes or self.items == 0)
