"""How RDY is shared among the connections of a consumer. Pure: the clock is passed in, nothing is sent.

RDY is a ceiling: nsqd sends while fewer than RDY messages of a connection are unanswered. Two rules hold:

* The sum over all connections of max(RDY, messages held) never grows past ``max_in_flight``. So a raise
  may have to wait until messages of a lowered connection are answered; decreases never wait.
* All of the cap is used, the remainder of a division included.

With no more connections than the cap, each gets an even share. With more, each holder has RDY 1 and
connections take turns:

* A holder that has brought a message passes its turn on at once; a silent one does after ``HOLD``.
* After a silent turn a connection rests, longer each time. Otherwise the turns of idle nodes would be
  taken from busy ones: with one busy node among idle ones that would mean one message per round.
* Turns are only passed to connections that are not resting; those waiting longest come first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

HOLD = 0.05
"""Seconds that a silent connection keeps its turn; a nsqd that has messages sends one within a round trip."""
LONGEST_REST = 2.0
"""Seconds between the turns of a connection that stays silent, when others are busy; the most that a new
message on it waits for its turn to begin."""


@dataclass(slots=True)
class Share:
    """One connection's part."""

    limit: int
    """The highest RDY that its nsqd accepts."""
    rdy: int = 0
    """What was sent last."""
    held: int = 0
    """Messages received and not answered."""
    since: float = 0.0
    """When its turn began or last brought a message."""
    brought: bool = False
    """Whether this turn brought a message."""
    silent_turns: int = 0
    rests_until: float = 0.0
    released_at: float = 0.0
    """When its last turn ended. Start with a negative random number, so that the consumers of one
    channel begin at different nodes."""

    def message(self, now: float) -> None:
        """A message came."""
        self.brought = True
        self.silent_turns = 0
        self.since = now

    def set(self, rdy: int, now: float) -> None:
        """RDY was sent. Losing all of it ends a turn, which was silent or not."""
        if self.rdy == 0 and rdy > 0:
            self.since = now
            self.brought = False
        elif self.rdy > 0 and rdy == 0:
            self.released_at = now
            if not self.brought and not self.held and now - self.since >= HOLD:
                self.silent_turns = min(self.silent_turns + 1, 32)
                self.rests_until = now + min(LONGEST_REST, HOLD * 2**self.silent_turns)
        self.rdy = rdy


class Plan(NamedTuple):
    """What to send, and when to ask again."""

    changes: list[tuple[int, int]]
    """Index of a connection and its new RDY, decreases first."""
    short: bool
    """Some connection got less than its share, until messages held from others are answered."""
    again_at: float | None
    """When turns may have to be passed on, if nothing happens before; None when they can't."""


def plan(shares: Sequence[Share], cap: int, max_in_flight: int, now: float) -> Plan:
    """Divides ``cap`` among the connections.

    ``max_in_flight`` bounds what may be held in all. It differs from ``cap`` while a consumer backs off:
    then one message is tried although older ones may still be held.
    """
    again_at = None
    if cap < len(shares) and cap > 0:
        wanted, again_at = _turns(shares, cap, max_in_flight, now)
    else:
        wanted = even_shares(shares, cap)
    changes = [(i, want) for i, want in enumerate(wanted) if want < shares[i].rdy]
    used = sum(max(min(share.rdy, want), share.held) for share, want in zip(shares, wanted, strict=True))
    room = max(0, max_in_flight - used)
    short = False
    for i, want in enumerate(wanted):
        share = shares[i]
        if want > share.rdy:
            # up to what it already holds, RDY brings nothing new; beyond, it takes room
            now_used = max(share.rdy, share.held)
            got = min(want, now_used + room)
            room -= max(0, got - now_used)
            short = short or got < want
            if got > share.rdy:
                changes.append((i, got))
    return Plan(changes, short, again_at)


def even_shares(shares: Sequence[Share], cap: int) -> list[int]:
    """Equal shares, the remainder and what limits cut off given to others.

    Who has more already is the first to get a remainder, so that shares do not move about for nothing.
    """
    wanted = [0] * len(shares)
    order = sorted(range(len(shares)), key=lambda i: (shares[i].limit, shares[i].rdy, -i))
    left = max(0, cap)
    for place, i in enumerate(order):
        wanted[i] = min(shares[i].limit, left // (len(order) - place))
        left -= wanted[i]
    return wanted


def _turns(
    shares: Sequence[Share], cap: int, max_in_flight: int, now: float
) -> tuple[list[int], float | None]:
    # the longest silent are the last to keep theirs when there are too many, as after a cut of the cap
    holders = sorted((i for i, s in enumerate(shares) if s.rdy), key=lambda i: shares[i].since, reverse=True)
    waiting = sorted((i for i, s in enumerate(shares) if not s.rdy), key=lambda i: shares[i].released_at)
    rested = [i for i in waiting if _may_begin(shares[i]) <= now]
    later = sorted((i for i in waiting if i not in rested), key=lambda i: _may_begin(shares[i]))
    keeping = holders[:cap]
    # messages held from connections whose turn is over take places, too
    free = max(0, min(cap, max_in_flight - sum(shares[i].held for i in waiting)) - len(keeping))
    taking = (rested + later)[:free]  # a resting one is better than nobody
    rested = rested[free:]
    for i in [i for i in keeping if _may_end(shares[i]) <= now]:
        if not rested:
            break
        keeping.remove(i)
        taking.append(rested.pop(0))
    wanted = [0] * len(shares)
    for i in keeping + taking:
        wanted[i] = 1
    ends = [_may_end(shares[i]) for i in keeping] + [now + HOLD for _ in taking]
    begins = [_may_begin(share) for share, want in zip(shares, wanted, strict=True) if not want]
    again_at = max(now, min(ends, default=inf), min(begins))
    return wanted, None if again_at == inf else again_at


def _may_end(share: Share) -> float:
    """When a holder has had its turn."""
    return share.since if share.brought or share.held else share.since + HOLD


def _may_begin(share: Share) -> float:
    """When a waiting connection is worth a turn: not before its messages are answered."""
    return inf if share.held else share.rests_until
