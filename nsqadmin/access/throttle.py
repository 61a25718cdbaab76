"""How often passwords may be tried: few times at once, then one now and then, by where the tries come from."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from math import ceil
from time import monotonic

_MOST = 10_000


class Tries:
    """Buckets of ``burst`` tries that fill up again by one every ``every`` seconds; at most 10,000 are kept."""

    def __init__(self, burst: int, every: float, clock: Callable[[], float] = monotonic) -> None:
        self.burst = burst
        self.every = every
        self.clock = clock
        self._empty_until: dict[str, float] = {}
        """By key: when its bucket will be full. Absent ones are."""

    def wait(self, key: str) -> int:
        """Seconds until there is a try for ``key``, 0 if there is one now."""
        missing = self._missing(key)
        return ceil((missing - self.burst + 1) * self.every) if missing > self.burst - 1 else 0

    def take(self, key: str) -> None:
        """Uses a try up."""
        full = self.clock() + (self._missing(key) + 1) * self.every
        self._empty_until.pop(key, None)
        self._empty_until[key] = full
        if len(self._empty_until) > _MOST:
            del self._empty_until[next(iter(self._empty_until))]

    def give_back(self, key: str) -> None:
        """Makes a try unused: it was right."""
        if key in self._empty_until:
            self._empty_until[key] -= self.every

    def touched(self, key: str) -> bool:
        """Whether a try of ``key`` is missing."""
        return self._missing(key) > 0

    def _missing(self, key: str) -> float:
        return max(0.0, (self._empty_until.get(key, 0.0) - self.clock()) / self.every)


def neighbourhood(address: str) -> str:
    """The key of an address: of IPv6 the /64, for who has one address there has all."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((int(found) >> 64 << 64, 64)))
