"""A store of keys in this process."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from nsqclient.dedup.store import CLAIMED, CONFIRMED, Claim
from nsqclient.durations import within
from nsqclient.errors import DedupStoreFull


class MemoryStore:
    """Remembers up to ``max_keys`` keys while the process lives; consumers of one loop may share it.

    When it is full the key that was confirmed first is forgotten before its window is over, which
    ``forgotten`` counts. Claims are never forgotten early: a claim that finds nothing but claims raises
    DedupStoreFull.
    """

    def __init__(self, max_keys: int = 100_000) -> None:
        within("max_keys", max_keys, 1)
        self.forgotten: int = 0
        """Keys dropped for want of room; above 0 the window is shorter than asked for."""
        self._max_keys = max_keys
        self._claims: dict[str, tuple[str, float]] = {}
        self._confirmed: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        """Keys remembered, those included whose time is over and that nobody asked for since."""
        return len(self._claims) + len(self._confirmed)

    async def claim(self, key: str, owner: str, timeout: float) -> Claim:
        """Takes a key, as :class:`Store` says; raises DedupStoreFull."""
        now = asyncio.get_running_loop().time()
        if self._confirmed.get(key, now) > now:
            return CONFIRMED
        taken = self._claims.get(key)
        if taken is not None and taken[0] != owner and taken[1] > now:
            return Claim("running", taken[1] - now)
        self._confirmed.pop(key, None)
        if taken is None:
            self._make_room(now)
        self._claims[key] = (owner, now + timeout)
        return CLAIMED

    async def confirm(self, key: str, owner: str, window: float) -> None:
        """Remembers a key as done, as :class:`Store` says."""
        now = asyncio.get_running_loop().time()
        if self._claims.pop(key, None) is None and key not in self._confirmed:
            self._make_room(now)
        self._confirmed[key] = now + window
        self._confirmed.move_to_end(key)

    async def release(self, key: str, owner: str) -> None:
        """Gives a key back, as :class:`Store` says."""
        taken = self._claims.get(key)
        if taken is not None and taken[0] == owner:
            del self._claims[key]

    def _make_room(self, now: float) -> None:
        """For one key more."""
        confirmed = self._confirmed
        while confirmed and next(iter(confirmed.values())) <= now:
            confirmed.popitem(last=False)
        if len(self) < self._max_keys:
            return
        if confirmed:
            confirmed.popitem(last=False)
            self.forgotten += 1
            return
        for key in [key for key, (_, until) in self._claims.items() if until <= now]:
            del self._claims[key]
        if len(self) >= self._max_keys:
            raise DedupStoreFull(f"all {self._max_keys} keys of the MemoryStore are claimed (max_keys)")
