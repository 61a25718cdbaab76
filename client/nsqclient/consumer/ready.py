"""How RDY is shared among the connections of a consumer. Pure: the clock is passed in, nothing is sent.

RDY is a ceiling: nsqd sends while fewer than RDY messages of a connection are unanswered. Two rules hold:

* The sum over all connections of max(RDY, messages held) never grows past ``max_in_flight``. So a raise
  may have to wait until messages of a lowered connection are answered; decreases never wait. What was lowered
  counts as before until nsqd must have heard of it: until then it may have sent messages.
* All of the cap is used, the remainder of a division included.

With no more connections than the cap, each gets an even share. With more, each holder has RDY 1 and
connections take turns:

* A holder that has brought a message passes its turn on at once; a silent one does after ``HOLD``.
* After a silent turn a connection rests, longer each time. Otherwise the turns of idle nodes would be
  taken from busy ones: with one busy node among idle ones that would mean one message per round.
* Turns are only passed to connections that are not resting; those waiting longest come first.

The eager way of sharing lets each connection that brings messages have its part of the cap, or all of it if it
is the only one, and all others one message each. That can exceed the cap by one less than there are connections.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

HOLD = 0.05
"""Seconds that a silent connection keeps its turn, unless the settings say otherwise; a nsqd that has messages
sends one within a round trip."""
ACTIVE = 1.0
"""Seconds that a connection counts as one that brings messages after the last one came."""
UNBOUNDED = 1 << 31
LONGEST_REST = 2.0
"""Seconds between the turns of a connection that stays silent, when others are busy; the most that a new
message on it waits for its turn to begin."""


@dataclass(slots=True)
class Share:
    """One connection's part."""

    limit: int
    """The highest RDY that its nsqd accepts."""
    settle: float = 0.0
    """Seconds after which nsqd has heard of a new RDY, and what it sent before is here."""
    hold: float = HOLD
    ceiling: int = UNBOUNDED
    """The most it may have at present, as its messages fail."""
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
    loose: int = 0
    """The RDY that nsqd may still act on, until ``loose_until``."""
    loose_until: float = 0.0

    @property
    def most(self) -> int:
        """The highest RDY it may have."""
        return min(self.limit, self.ceiling)

    def claim(self, rdy: int, now: float) -> int:
        """How many messages must be reckoned with if it gets this RDY."""
        claimed = max(rdy, self.held)
        if self.settle and rdy < self.rdy:
            claimed = max(claimed, self.rdy)
        return max(claimed, self.loose) if now < self.loose_until else claimed

    def message(self, now: float) -> None:
        """A message came."""
        self.brought = True
        self.silent_turns = 0
        self.since = now

    def set(self, rdy: int, now: float) -> None:
        """RDY was sent. Losing all of it ends a turn, which was silent or not."""
        if rdy < self.rdy and self.held < self.rdy:
            self.loose = self.claim(self.rdy, now)
            self.loose_until = now + self.settle
        if self.rdy == 0 and rdy > 0:
            self.since = now
            self.brought = False
        elif self.rdy > 0 and rdy == 0:
            self.released_at = now
            if not self.brought and not self.held and now - self.since >= self.hold:
                self.silent_turns = min(self.silent_turns + 1, 32)
                self.rests_until = now + min(max(LONGEST_REST, self.hold), self.hold * 2**self.silent_turns)
        self.rdy = rdy


class Plan(NamedTuple):
    """What to send, and when to ask again."""

    changes: list[tuple[int, int]]
    """Index of a connection and its new RDY, decreases first."""
    short: bool
    """Some connection got less than its share, until messages held from others are answered."""
    again_at: float | None
    """When turns may have to be passed on, if nothing happens before; None when they can't."""


def plan(
    shares: Sequence[Share],
    cap: int,
    max_in_flight: int,
    now: float,
    *,
    eager: bool = False,
    trying: bool = False,
) -> Plan:
    """Divides ``cap`` among the connections.

    ``max_in_flight`` bounds what may be held in all. It differs from ``cap`` while a consumer backs off:
    then one message is tried although older ones may still be held. ``trying`` says that it is so: who
    brought that message keeps its turn until the message is answered.
    """
    again_at = None
    places = sum(share.most > 0 for share in shares)
    if eager and cap > 0 and cap == max_in_flight:
        wanted = eager_shares(shares, cap, now)
        max_in_flight += max(0, places - 1)
    elif 0 < cap < places:
        wanted, again_at = _turns(shares, cap, max_in_flight, now, trying=trying)
    else:
        wanted = even_shares(shares, cap)
    changes = [(i, want) for i, want in enumerate(wanted) if want < shares[i].rdy]
    used = sum(share.claim(min(share.rdy, want), now) for share, want in zip(shares, wanted, strict=True))
    room = max(0, max_in_flight - used)
    short = False
    for i, want in sorted(enumerate(wanted), key=lambda each: each[1]):
        share = shares[i]
        if want > share.rdy:
            # up to what it already holds, RDY brings nothing new; beyond, it takes room
            now_used = share.claim(share.rdy, now)
            got = min(want, now_used + room)
            room -= max(0, got - now_used)
            short = short or got < want
            if got > share.rdy:
                changes.append((i, got))
    if short:
        settled = [share.loose_until for share in shares if share.loose_until > now]
        settled += [
            now + shares[i].settle for i, want in changes if want < shares[i].rdy and shares[i].settle
        ]
        again_at = min([*settled, inf if again_at is None else again_at])
    return Plan(changes, short, None if again_at == inf else again_at)


def eager_shares(shares: Sequence[Share], cap: int, now: float) -> list[int]:
    """Those that bring messages share the cap, the others have one each; without any, all share it."""
    active = [
        i for i, s in enumerate(shares) if s.most and (s.held or (s.brought and now - s.since < ACTIVE))
    ]
    sharing = active or [i for i, share in enumerate(shares) if share.most]
    wanted = [min(1, share.most) for share in shares]
    for i, count in zip(sharing, even_shares([shares[i] for i in sharing], cap), strict=True):
        wanted[i] = max(count, wanted[i])
    return wanted


def even_shares(shares: Sequence[Share], cap: int) -> list[int]:
    """Equal shares, the remainder and what limits cut off given to others.

    Who has more already is the first to get a remainder, so that shares do not move about for nothing.
    """
    wanted = [0] * len(shares)
    order = sorted(range(len(shares)), key=lambda i: (shares[i].most, shares[i].rdy, -i))
    left = max(0, cap)
    for place, i in enumerate(order):
        wanted[i] = min(shares[i].most, left // (len(order) - place))
        left -= wanted[i]
    return wanted


def _turns(
    shares: Sequence[Share], cap: int, max_in_flight: int, now: float, *, trying: bool
) -> tuple[list[int], float | None]:
    # the longest silent are the last to keep theirs when there are too many, as after a cut of the cap
    taking_part = [i for i, share in enumerate(shares) if share.most]
    holders = sorted((i for i in taking_part if shares[i].rdy), key=lambda i: shares[i].since, reverse=True)
    waiting = sorted((i for i in taking_part if not shares[i].rdy), key=lambda i: shares[i].released_at)
    rested = [i for i in waiting if _may_begin(shares[i]) <= now]
    later = sorted((i for i in waiting if i not in rested), key=lambda i: _may_begin(shares[i]))
    keeping = holders[:cap]
    held_elsewhere = sum(share.held for i, share in enumerate(shares) if not (share.rdy and share.most))
    # messages held from connections whose turn is over take places, too
    free = max(0, min(cap, max_in_flight - held_elsewhere) - len(keeping))
    taking = (rested + later)[:free]  # a resting one is better than nobody
    rested = rested[free:]
    for i in [i for i in keeping if _may_end(shares[i], trying=trying) <= now]:
        if not rested:
            break
        keeping.remove(i)
        taking.append(rested.pop(0))
    wanted = [0] * len(shares)
    for i in keeping + taking:
        wanted[i] = 1
    ends = [_may_end(shares[i], trying=trying) for i in keeping] + [now + shares[i].hold for i in taking]
    begins = [_may_begin(shares[i]) for i in taking_part if not wanted[i]]
    again_at = max(now, min(ends, default=inf), min(begins))
    return wanted, None if again_at == inf else again_at


def _may_end(share: Share, *, trying: bool) -> float:
    """When a holder has had its turn."""
    if trying and share.brought and share.held:
        return inf
    return share.since if share.brought or share.held else share.since + share.hold


def _may_begin(share: Share) -> float:
    """When a waiting connection is worth a turn: not before its messages are answered."""
    return inf if share.held else share.rests_until
