"""What consumers with a ``sample_rate`` did not want, kept for the others.

The rule. A message is offered once to each consumer that samples, before the others get it, and accepted
with the chance of its rate. What all have declined goes to the consumers that don't sample; nothing is
discarded while there is one. Where all sample, what each of them has declined is discarded, for that is
what they ask for.

A message that somebody accepted and that came back is not discarded: where all sample, it is not drawn again.

Nobody waits for ever: while :attr:`Declined.full`, consumers that sample get nothing new, so they are never
far ahead of those that don't; where all sample and one of them takes nothing, the oldest of what waits for
it is discarded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator
from itertools import islice
from random import random

from nsqd.client import Client
from nsqd.frames import first_delivery

MOST_DECLINED = 1000
MOST_DECLINED_BYTES = 4 << 20
MOST_RUNS = 32
"""With so many consumers that sample, who has declined what is kept roughly: bounds the looking."""

Decliners = frozenset[Client]
NOBODY: Decliners = frozenset()


def draw(run: list[bytes], rate: int) -> tuple[list[bytes], list[bytes]]:
    """About ``rate`` percent of a run, and the rest; both in order."""
    wanted: list[bytes] = []
    rest: list[bytes] = []
    for frame in run:
        (wanted if random() * 100 < rate else rest).append(frame)
    return wanted, rest


class Declined:
    """Frames as they are to be sent, each under those that have declined it; oldest first among these."""

    __slots__ = ("_bytes", "_count", "_runs")

    def __init__(self) -> None:
        self._runs: dict[Decliners, deque[bytes]] = {}
        self._count = 0
        self._bytes = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[bytes]:
        for frames in self._runs.values():
            yield from frames

    @property
    def full(self) -> bool:
        """No more should be added."""
        return self._count >= MOST_DECLINED or self._bytes >= MOST_DECLINED_BYTES

    def clear(self) -> None:
        """Drops everything."""
        self._runs.clear()
        self._count = self._bytes = 0

    def put(self, frames: list[bytes], by: Decliners) -> None:
        """These were declined by them."""
        self._count += len(frames)
        self._bytes += sum(map(len, frames))
        self._runs.setdefault(by, deque()).extend(frames)
        if len(self._runs) > MOST_RUNS:
            (one, first), (two, second) = islice(self._runs.items(), 2)
            del self._runs[one], self._runs[two]
            # Those who declined one of the two count for both: they get less than their rate, never more.
            self._runs.setdefault(one | two, deque()).extend((*first, *second))

    def take(self, client: Client, count: int) -> tuple[list[bytes], Decliners]:
        """Takes up to ``count`` that this client has not declined; and who has. Empty when there are none."""
        for by, frames in self._runs.items():
            if client not in by:
                run = [frames.popleft() for _ in range(min(count, len(frames)))]
                if not frames:
                    del self._runs[by]
                self._forget(run)
                return run, by
        return [], NOBODY

    def discard_declined_by_all(self, clients: Collection[Client]) -> None:
        """All consumers sample: lets go of what each of these has declined, and of the oldest of too much."""
        for by in [by for by in self._runs if by.issuperset(clients)]:
            self._forget(self._runs.pop(by))
        while self.full:
            by, frames = next(iter(self._runs.items()))
            self._forget((frames.popleft(),))
            if not frames:
                del self._runs[by]

    def _forget(self, frames: Collection[bytes]) -> None:
        self._count -= len(frames)
        self._bytes -= sum(map(len, frames))


class Sampling:
    """The offers that one channel makes while some of its consumers sample, or somebody did and left."""

    __slots__ = ("consumers", "declined")

    def __init__(self) -> None:
        self.consumers = 0
        """How many of the channel's consumers sample."""
        self.declined = Declined()

    @property
    def over(self) -> bool:
        """Whether the channel can do without."""
        return not self.consumers and not self.declined

    def offer(
        self,
        client: Client,
        clients: Collection[Client],
        fresh: Callable[[int], list[bytes]],
        *,
        room: int,
        most: int,
        most_bytes: int,
    ) -> tuple[list[bytes], int]:
        """Shows messages to one that samples until it has accepted as many as it has room for.

        ``clients`` are all of the channel, ``fresh`` takes up to so many messages that nobody was shown;
        about ``most`` and ``most_bytes`` are shown. Returns what was accepted, and how many were shown.
        """
        others = len(clients) > self.consumers
        accepted: list[bytes] = []
        shown = size = 0
        while shown < most and size < most_bytes and len(accepted) < room:
            count = min(room - len(accepted), most - shown)  # all of which may be accepted
            run, by = self.declined.take(client, count)
            if not run and not (others and self.declined.full):
                run = fresh(count)
            if not run:
                break
            shown += len(run)
            size += sum(map(len, run))
            wanted, rest = draw(run, client.settings.sample_rate)
            if not others:
                wanted += [frame for frame in rest if not first_delivery(frame)]
                rest = [frame for frame in rest if first_delivery(frame)]
            accepted += wanted
            if rest:
                self.declined.put(rest, by | {client})
                self.discard(clients)
        return accepted, shown

    def discard(self, clients: Collection[Client]) -> None:
        """Lets go of what nobody is left for, if all these consumers sample."""
        if 0 < self.consumers == len(clients):
            self.declined.discard_declined_by_all(clients)
