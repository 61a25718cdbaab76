"""The nsqds in use, as discovery names them: who joins, who is forgotten."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from math import inf
from typing import Generic, Protocol, TypeVar


class Member(Protocol):
    """What is kept for one nsqd."""

    @property
    def connected(self) -> bool:
        """Whether it can be reached now."""

    def start(self) -> None:
        """Begins to connect."""

    def stop(self) -> None:
        """Stops trying to connect; called once."""

    def hurry(self) -> None:
        """Tries to connect now."""


MOST_MEMBERS = 4096
"""However many are named: each is connected to, and a nsqlookupd may name others each time."""

M = TypeVar("M", bound=Member)


class Nodes(Generic[M]):
    """The members by address. The clock is passed in."""

    def __init__(self, make: Callable[[str], M], drop_missing_after: float = inf) -> None:
        """A member that can't be reached is dropped when it was not named for so many seconds."""
        self.members: dict[str, M] = {}
        self.unwanted: set[str] = set()
        """Addresses that are left out, whoever names them."""
        self._make = make
        self._drop_missing_after = drop_missing_after
        self._missing: dict[str, float] = {}

    def forget(self, address: str) -> None:
        """There is no such member any more."""
        self.members.pop(address, None)
        self._missing.pop(address, None)

    def _dispensable(self, named: Collection[str]) -> list[str]:
        """Those not named now that can't be reached; known longest first."""
        return [a for a, member in self.members.items() if a not in named and not member.connected]

    def found(self, named: Iterable[str], complete: bool, now: float) -> None:
        """Takes an answer of discovery; only a ``complete`` one says that others are missing."""
        named = set(named) - self.unwanted
        dispensable: Iterator[str] | None = None
        for address in sorted(named):
            if address not in self.members:
                if len(self.members) >= MOST_MEMBERS:
                    dispensable = dispensable or iter(self._dispensable(named))
                    other = next(dispensable, None)
                    if other is None:
                        continue
                    self.members[other].stop()
                    self.forget(other)
                self.members[address] = self._make(address)
                self.members[address].start()
            elif self._missing.pop(address, None) is not None:
                self.members[address].hurry()
        if not complete:
            return
        for address, member in list(self.members.items()):
            if address in named:
                continue
            since = self._missing.setdefault(address, now)
            if not member.connected and now - since >= self._drop_missing_after:
                self.forget(address)
                member.stop()
