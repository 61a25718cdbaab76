"""Which of several addresses gets the next message: the rules of ``--mode``, without any I/O.

``round-robin`` takes turns whatever happens. ``hostpool`` takes turns among the addresses that work: one that
failed is left alone for 30 s, and twice as long after each further failure, up to 15 min; when all have failed,
all count as working again. ``epsilon-greedy`` does the same and prefers the fast: mostly an address is drawn in
proportion to its speed of the last five minutes, and sometimes one whose turn it is, so that a host that has
become faster is noticed.

``all`` (every address gets every message) leaves nothing to pick; the tools that have it see to it themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from nsqclient.errors import ConfigError
from nsqclient.pauses import Chance

ROUND_ROBIN = "round-robin"
HOSTPOOL = "hostpool"
EPSILON_GREEDY = "epsilon-greedy"
ALL = "all"
MODES = (ROUND_ROBIN, HOSTPOOL, EPSILON_GREEDY, ALL)

FIRST_REST = 30.0
"""Seconds that an address is left alone after its first failure."""
LONGEST_REST = 900.0
"""Seconds that it is left alone at most."""

FIRST_EPSILON = 0.3
"""How often ``epsilon-greedy`` explores at first: this share of the picks."""
LAST_EPSILON = 0.01
"""How often it explores in the end."""
EPSILON_DECAY = 0.9
"""What each exploration leaves of the share."""
BUCKETS = 120
BUCKET = 2.5
"""Seconds of a bucket; all together are the five minutes that a speed is measured over."""
SHORTEST = 1e-6
"""Seconds that a request counts as having taken at least."""

Now = Callable[[], float]
"""Seconds on a clock that never goes back."""


class Picker(Protocol):
    """Chooses addresses, and is told how they did."""

    def pick(self) -> str:
        """The address for the next message."""

    def succeeded(self, address: str, seconds: float) -> None:
        """It took a message, in that time."""

    def failed(self, address: str) -> None:
        """It did not take one."""


def check_mode(mode: str, modes: Sequence[str] = MODES) -> None:
    """Raises ConfigError unless it is one of ``modes``."""
    if mode not in modes:
        raise ConfigError(f"--mode is {mode or 'empty'}, want {', '.join(modes[:-1])} or {modes[-1]}")


def picker(mode: str, addresses: Sequence[str], *, now: Now, chance: Chance) -> Picker:
    """The picker of a mode other than ``all``, for one address or more; an address given twice counts once.

    ``chance`` draws numbers in [0, 1). Raises ConfigError for any other mode.
    """
    distinct = list(dict.fromkeys(addresses))
    if mode == ROUND_ROBIN:
        return RoundRobin(distinct)
    if mode == HOSTPOOL:
        return HostPool(distinct, now)
    if mode == EPSILON_GREEDY:
        return EpsilonGreedy(distinct, now, chance)
    check_mode(mode, (ROUND_ROBIN, HOSTPOOL, EPSILON_GREEDY))
    raise AssertionError(mode)


class RoundRobin:
    """Each in turn."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = tuple(addresses)
        self._next = 0

    def pick(self) -> str:
        """The one after the last."""
        address = self._addresses[self._next]
        self._next = (self._next + 1) % len(self._addresses)
        return address

    def succeeded(self, address: str, seconds: float) -> None:
        """No matter."""

    def failed(self, address: str) -> None:
        """No matter."""


class Host:
    """An address and how it does."""

    __slots__ = ("address", "again_at", "failing", "rest", "speed")

    def __init__(self, address: str) -> None:
        self.address: str = address
        self.failing: bool = False
        self.again_at: float = 0.0
        """When it may be tried again while it is failing."""
        self.rest: float = FIRST_REST
        """How long it is left alone after that."""
        self.speed: Speed = Speed()

    def usable(self, now: float) -> bool:
        """Whether it may get a message."""
        return not self.failing or self.again_at <= now

    def tried(self, now: float) -> None:
        """It gets a message, its only one for a while if it has been failing."""
        if self.failing:
            self.again_at = now + self.rest
            self.rest = min(self.rest * 2, LONGEST_REST)

    def failed(self, now: float) -> None:
        """Its first failure makes it rest; later ones of messages sent before that change nothing."""
        if not self.failing:
            self.failing = True
            self.again_at = now + FIRST_REST
            self.rest = FIRST_REST * 2

    def works(self) -> None:
        """It is as if it had never failed."""
        self.failing = False


class HostPool:
    """Each in turn of those that work."""

    def __init__(self, addresses: Sequence[str], now: Now) -> None:
        self._hosts = [Host(address) for address in addresses]
        self._by_address = {host.address: host for host in self._hosts}
        self._now = now
        self._next = 0

    def pick(self) -> str:
        """The next that works, or whose rest is over; the first when there is none, and then all count as working."""
        return self._in_turn(self._now()).address

    def succeeded(self, address: str, seconds: float) -> None:
        """It works."""
        self._by_address[address].works()

    def failed(self, address: str) -> None:
        """It is to rest."""
        self._by_address[address].failed(self._now())

    def _in_turn(self, now: float) -> Host:
        hosts, count = self._hosts, len(self._hosts)
        for step in range(count):
            host = hosts[(self._next + step) % count]
            if host.usable(now):
                self._next = (self._next + step + 1) % count
                host.tried(now)
                return host
        for host in hosts:
            host.works()
        self._next = 1 % count
        return hosts[0]


class EpsilonGreedy(HostPool):
    """Mostly the fast ones of those that work."""

    def __init__(self, addresses: Sequence[str], now: Now, chance: Chance) -> None:
        super().__init__(addresses, now)
        self._chance = chance
        self.epsilon: float = FIRST_EPSILON
        """The share of picks that explore, at present."""

    def pick(self) -> str:
        """One drawn by speed; or the next in turn, to explore or while no speed is known."""
        now = self._now()
        if self._chance() < self.epsilon:
            self.epsilon = max(self.epsilon * EPSILON_DECAY, LAST_EPSILON)
            return self._in_turn(now).address
        host = self._drawn(now) or self._in_turn(now)
        return host.address

    def succeeded(self, address: str, seconds: float) -> None:
        """It works, and this is how fast."""
        host = self._by_address[address]
        host.works()
        host.speed.add(self._now(), seconds)

    def _drawn(self, now: float) -> Host | None:
        known = [(host, speed) for host in self._hosts if host.usable(now) and (speed := host.speed.at(now))]
        left = self._chance() * sum(speed for _, speed in known)
        for host, speed in known:
            left -= speed
            if left < 0:
                host.tried(now)
                return host
        return None


class Speed:
    """Requests per second that an address would do one after the other, of the last five minutes.

    The average time of each bucket counts the more the younger it is. The sum over past buckets is made once a
    bucket, so asking costs a division.
    """

    __slots__ = ("_count", "_past", "_past_time", "_past_weight", "_slot", "_total")

    def __init__(self) -> None:
        self._slot = 0
        self._count = 0
        self._total = 0.0
        self._past: dict[int, float] = {}  # average seconds by slot, oldest first
        self._past_time = 0.0
        self._past_weight = 0.0

    def add(self, now: float, seconds: float) -> None:
        """A request took that long."""
        self._turn(now)
        self._count += 1
        self._total += max(seconds, SHORTEST)

    def at(self, now: float) -> float:
        """The speed; 0 when none is known."""
        self._turn(now)
        time, weight = self._past_time, self._past_weight
        if self._count:
            time, weight = time + self._total / self._count, weight + 1.0
        return weight / time if weight else 0.0

    def _turn(self, now: float) -> None:
        slot = int(now / BUCKET)
        if slot == self._slot:
            return
        if self._count:
            self._past[self._slot] = self._total / self._count
        self._slot, self._count, self._total = slot, 0, 0.0
        self._past = {past: time for past, time in self._past.items() if slot - past < BUCKETS}
        weights = [1.0 - (slot - past) / BUCKETS for past in self._past]
        self._past_weight = sum(weights)
        self._past_time = sum(
            weight * time for weight, time in zip(weights, self._past.values(), strict=True)
        )
