"""Flow control of a consumer: when which connection is sent which RDY.

Decides nothing itself: :mod:`nsqclient.consumer.ready` shares, :mod:`nsqclient.consumer.backoff` counts failures. This
keeps their state, runs their timers and sends.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sized
from typing import Protocol

from nsqclient.consumer import ready
from nsqclient.consumer.backoff import BackoffLevel, Signal, Step
from nsqclient.consumer.events import BackoffEntered, BackoffLeft, Events, RdyChanged
from nsqclient.consumer.options import FlowControl
from nsqclient.consumer.rate import Rate
from nsqclient.durations import to_seconds
from nsqclient.pauses import Chance

log = logging.getLogger(__name__)

SOONEST = 0.001
"""Seconds between two rounds of turns at least."""


RATE_PERIOD = 0.25
"""Seconds between two looks at how many messages a limited rate leaves room for."""


class Lane(Protocol):
    """A connection that takes RDY."""

    node: str
    share: ready.Share

    @property
    def held(self) -> Sized:
        """The messages received from it and not answered."""

    def send_rdy(self, count: int) -> None:
        """Sends it."""


class Flow:
    """For all connections of a consumer. ``failed`` is told if it breaks, as nothing would flow then.

    ``buffered`` tells how many messages wait to be handed out.
    """

    def __init__(
        self,
        max_in_flight: int,
        control: FlowControl,
        events: Events,
        chance: Chance,
        failed: Callable[[Exception], None],
        buffered: Callable[[], int],
        where: Mapping[str, str],
    ) -> None:
        """``where`` is what log records say of the consumer."""
        self.alert: bool = False
        """Whether :meth:`answered` must hear of every answer. Mostly it need not, and a call per message
        is saved."""
        self.max_in_flight: int = max_in_flight
        self.paused: bool = False
        self.rate: Rate | None = None
        self._rules = control.rules
        self._by_node = self._rules is not None and self._rules.scope == "node"
        self._levels: dict[str | None, BackoffLevel] = {}
        """By node, or all under None."""
        self._pauses: dict[str | None, asyncio.TimerHandle] = {}
        self._eager = control.spread == "eager"
        self._full = False
        """Whether no more is taken as the cap was reached, with the eager way of sharing."""
        self._hold = to_seconds(control.low_rdy_idle)
        self._causes = [cause for cause in control.backoff_on if isinstance(cause, str)]
        self._asked = [cause for cause in control.backoff_on if not isinstance(cause, str)]
        self._first_rate = control.rate
        self._events = events
        self._chance = chance
        self._failed = failed
        self._buffered = buffered
        self._where = where
        self._lanes: list[Lane] = []
        self._stopped = False
        self._short = False
        self._due = False
        self._turns_timer: asyncio.TimerHandle | None = None
        self._rate_timer: asyncio.TimerHandle | None = None

    @property
    def level(self) -> int:
        """The back-off level, the highest of connected nodes if each has its own; 0 while all is well."""
        if not self._by_node:
            return 0 if None not in self._levels else self._levels[None].level
        return max(
            (self._levels[lane.node].level for lane in self._lanes if lane.node in self._levels), default=0
        )

    @property
    def _trying(self) -> bool:
        """Whether a single message is tried, after a pause of the whole consumer."""
        level = self._levels.get(None)
        return level is not None and level.testing

    @property
    def cap(self) -> int:
        """How many messages may be under way at present."""
        if self.paused or self._stopped:
            return 0
        level = self._levels.get(None)
        if level is not None and level.level:
            return min(1, self.max_in_flight) if level.testing else 0
        return self.max_in_flight

    # ---- what happens

    def start(self) -> None:
        """The consumer opens."""
        if self._first_rate is not None:
            self.set_rate(self._first_rate)

    def join(self, lane: Lane) -> None:
        """A connection is subscribed."""
        lane.share.released_at = -self._chance()
        lane.share.hold = self._hold
        self._lanes.append(lane)
        self.distribute()

    def leave(self, lane: Lane) -> None:
        """A connection is gone, its messages with it."""
        if lane in self._lanes:
            self._lanes.remove(lane)
            self.distribute()

    def arrived(self, lane: Lane) -> None:
        """Messages came from it."""
        if self._eager or self._taking_turns:
            lane.share.message(asyncio.get_running_loop().time())
            self._distribute_soon()

    def handed_out(self) -> None:
        """A message was handed out; called while the rate is limited."""
        if self.rate is not None:
            self.rate.spend(asyncio.get_running_loop().time())
            self._distribute_soon()

    def answered(self, lane: Lane, signal: Signal | None) -> None:
        """A message is about to be answered; what this changes is sent before the answer."""
        if self._stopped:
            return
        if self._rules is not None and signal is not None:
            key = lane.node if self._by_node else None
            try:
                step = self._level(key).signal(signal, self._chance())
            except Exception as e:  # noqa: BLE001 - not swallowed: the whole consumer fails with it
                self._failed(e)  # a strategy that does not work
                return
            if step is not None:
                self._take(key, step)
                return
        if self.rate is not None and self.rate.ahead(asyncio.get_running_loop().time()) < 1:
            self.distribute()  # or the answer would bring a message that has to wait too long
        elif self._short or self._taking_turns or self._eager:
            self._distribute_soon()

    def lease_lost(self, lane: Lane) -> None:
        """nsqd took a message back while it was worked on."""
        if "lease_lost" in self._causes:
            self.answered(lane, Signal.BACKOFF)

    def verdict(self, error: BaseException | None) -> Signal:
        """What a message's failure counts as: with an exception, or with None a requeue by hand.

        An exception of a function that is asked is logged, and counts as a failure.
        """
        if error is None:
            counts = "requeue" in self._causes
        else:
            try:
                counts = "exception" in self._causes or any(asked(error) for asked in self._asked)
            except Exception:  # the function is the user's: its faults must not cost the message its answer
                log.exception("a function of backoff_on failed")
                counts = True
        return Signal.BACKOFF if counts else Signal.CONTINUE

    # ---- what is asked for

    def set_max_in_flight(self, count: int) -> None:
        """Changes the cap."""
        self.max_in_flight = count
        if self._lanes:
            self.distribute()

    def set_paused(self, paused: bool) -> None:
        """Stops or resumes everything."""
        self.paused = paused
        if self._lanes:
            self.distribute()

    def set_rate(self, per_second: float | None) -> None:
        """Limits the messages handed out per second, from now on."""
        if self._rate_timer is not None:
            self._rate_timer.cancel()
            self._rate_timer = None
        if per_second is None:
            self.rate = None
        else:
            self.rate = Rate(per_second, asyncio.get_running_loop().time())
            self._look_at_rate()
        if self._lanes:
            self.distribute()

    def stop(self) -> None:
        """Sends nothing any more."""
        self._stopped = True
        for timer in (self._turns_timer, self._rate_timer, *self._pauses.values()):
            if timer is not None:
                timer.cancel()

    # ---- inner workings

    def distribute(self) -> None:
        """Shares the cap anew, and sends what changes."""
        if self._stopped:
            return
        now = asyncio.get_running_loop().time()
        held = 0
        for lane in self._lanes:
            lane.share.held = len(lane.held)
            held += lane.share.held
            lane.share.ceiling = self._ceiling(lane)
        cap, bound = self._room(held, now)
        shares = [lane.share for lane in self._lanes]
        plan = ready.plan(shares, cap, bound, now, eager=self._eager, trying=self._trying)
        for index, count in plan.changes:
            lane = self._lanes[index]
            lane.send_rdy(count)
            lane.share.set(count, now)
            if self._events.wanted:
                self._events.emit(RdyChanged(lane.node, count))
        self._short = plan.short
        self.alert = (
            self._short or self._taking_turns or self._eager or self.rate is not None or self.level > 0
        )
        if self._turns_timer is not None:
            self._turns_timer.cancel()
            self._turns_timer = None
        if plan.again_at is not None:
            when = max(plan.again_at, now + SOONEST)
            self._turns_timer = asyncio.get_running_loop().call_at(when, self._guarded, self.distribute)

    def _room(self, held: int, now: float) -> tuple[int, int]:
        """What may be under way at present, and what may be held in all."""
        cap, bound = self.cap, self.max_in_flight
        if self.rate is not None:
            bound = min(bound, held - self._buffered() + self.rate.ahead(now))
            cap = min(cap, bound)
        if self._eager and not self._trying:
            # all are stopped at the cap, and asked again at half of it: so each gets its chance
            self._full = held >= cap if not self._full else held > cap // 2
            if self._full:
                cap = 0
        return cap, bound

    @property
    def _taking_turns(self) -> bool:
        return not self._eager and 0 < self.cap < len(self._lanes)

    def _level(self, key: str | None) -> BackoffLevel:
        assert self._rules is not None
        if key not in self._levels:
            self._levels[key] = BackoffLevel(self._rules)
        return self._levels[key]

    def _ceiling(self, lane: Lane) -> int:
        level = self._levels.get(lane.node) if self._by_node else None
        if level is None or not level.level:
            return ready.UNBOUNDED
        return 1 if level.testing else 0

    def _take(self, key: str | None, step: Step) -> None:
        level = self._levels[key]
        of_node = "" if key is None else f" of {key}"
        where = self._where if key is None else {**self._where, "node": key}
        if step.pause is None:
            del self._levels[key]
            log.info("handlers do well again, back-off%s ends", of_node, extra=where)
            if self._events.wanted:
                self._events.emit(BackoffLeft(key))
        else:
            log.info(
                "handlers fail, back-off level %d%s: pausing %.3f s",
                level.level,
                of_node,
                step.pause,
                extra=where,
            )
            self._pauses[key] = asyncio.get_running_loop().call_later(
                step.pause, self._guarded, lambda: self._pause_ended(key)
            )
            if self._events.wanted:
                self._events.emit(BackoffEntered(level.level, step.pause, key))
        self.distribute()

    def _pause_ended(self, key: str | None) -> None:
        del self._pauses[key]
        self._levels[key].pause_ended()
        self.distribute()

    def _look_at_rate(self) -> None:
        self.distribute()
        self._rate_timer = asyncio.get_running_loop().call_later(
            RATE_PERIOD, self._guarded, self._look_at_rate
        )

    def _distribute_soon(self) -> None:
        """Once for all that happens in this turn of the loop."""
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_soon(self._guarded, self._distribute_due)

    def _distribute_due(self) -> None:
        self._due = False
        self.distribute()

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as e:  # noqa: BLE001 - not swallowed: the whole consumer fails with it
            self._failed(e)
