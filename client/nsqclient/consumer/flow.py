"""Flow control of a consumer: when which connection is sent which RDY.

Decides nothing itself: :mod:`nsqclient.consumer.ready` shares, :mod:`nsqclient.consumer.backoff` counts failures. This
keeps their state, runs their timers and sends.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sized
from typing import Protocol

from nsqclient.consumer import ready
from nsqclient.consumer.backoff import BackoffLevel, Signal, Step
from nsqclient.consumer.events import Events
from nsqclient.consumer.options import FlowControl
from nsqclient.pauses import Chance

log = logging.getLogger(__name__)

SOONEST = 0.001
"""Seconds between two rounds of turns at least."""


class Lane(Protocol):
    """A connection that takes RDY."""

    share: ready.Share

    @property
    def held(self) -> Sized:
        """The messages received from it and not answered."""

    def send_rdy(self, count: int) -> None:
        """Sends it."""


class Flow:
    """For all connections of a consumer. ``failed`` is told if it breaks, as nothing would flow then."""

    def __init__(
        self,
        max_in_flight: int,
        control: FlowControl,
        events: Events,
        chance: Chance,
        failed: Callable[[Exception], None],
    ) -> None:
        self.alert = False
        """Whether :meth:`answered` must hear of every answer. Mostly it need not, and a call per message
        is saved."""
        self.max_in_flight = max_in_flight
        self.paused = False
        rules = control.rules
        self._backoff = BackoffLevel(rules) if rules is not None else None
        self._causes = [cause for cause in control.backoff_on if isinstance(cause, str)]
        self._asked = [cause for cause in control.backoff_on if not isinstance(cause, str)]
        self._events = events
        self._chance = chance
        self._failed = failed
        self._lanes: list[Lane] = []
        self._stopped = False
        self._short = False
        self._due = False
        self._turns_timer: asyncio.TimerHandle | None = None
        self._pause_timer: asyncio.TimerHandle | None = None

    @property
    def level(self) -> int:
        """The back-off level; 0 while all is well."""
        return 0 if self._backoff is None else self._backoff.level

    @property
    def cap(self) -> int:
        """How many messages may be under way at present."""
        if self.paused or self._stopped:
            return 0
        if self._backoff is not None and self._backoff.level:
            return min(1, self.max_in_flight) if self._backoff.testing else 0
        return self.max_in_flight

    def join(self, lane: Lane) -> None:
        """A connection is subscribed."""
        lane.share.released_at = -self._chance()
        self._lanes.append(lane)
        self.distribute()

    def leave(self, lane: Lane) -> None:
        """A connection is gone, its messages with it."""
        if lane in self._lanes:
            self._lanes.remove(lane)
            self.distribute()

    def arrived(self, lane: Lane) -> None:
        """Messages came from it."""
        if self._taking_turns:
            lane.share.message(asyncio.get_running_loop().time())
            self._distribute_soon()

    def answered(self, signal: Signal | None) -> None:
        """A message is about to be answered; what this changes is sent before the answer."""
        if self._stopped:
            return
        if self._backoff is not None and signal is not None:
            step = self._backoff.signal(signal, self._chance())
            if step is not None:
                self._take(step)
                return
        if self._short or self._taking_turns:
            self._distribute_soon()

    def verdict(self, error: BaseException | None) -> Signal:
        """What a message's failure counts as: with an exception, or with None a requeue by hand."""
        if error is None:
            counts = "requeue" in self._causes
        else:
            counts = "exception" in self._causes or any(asked(error) for asked in self._asked)
        return Signal.BACKOFF if counts else Signal.CONTINUE

    def lease_lost(self, lane: Lane) -> None:
        """nsqd took a message back while it was worked on."""
        if "lease_lost" in self._causes:
            self.answered(Signal.BACKOFF)

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

    def stop(self) -> None:
        """Sends nothing any more."""
        self._stopped = True
        for timer in (self._turns_timer, self._pause_timer):
            if timer is not None:
                timer.cancel()

    def distribute(self) -> None:
        """Shares the cap anew, and sends what changes."""
        if self._stopped:
            return
        now = asyncio.get_running_loop().time()
        for lane in self._lanes:
            lane.share.held = len(lane.held)
        plan = ready.plan([lane.share for lane in self._lanes], self.cap, self.max_in_flight, now)
        for index, count in plan.changes:
            self._lanes[index].send_rdy(count)
            self._lanes[index].share.set(count, now)
        self._short = plan.short
        self.alert = self._short or self._taking_turns or self.level > 0
        if self._turns_timer is not None:
            self._turns_timer.cancel()
            self._turns_timer = None
        if plan.again_at is not None:
            when = max(plan.again_at, now + SOONEST)
            self._turns_timer = asyncio.get_running_loop().call_at(when, self._guarded, self.distribute)

    @property
    def _taking_turns(self) -> bool:
        return 0 < self.cap < len(self._lanes)

    def _take(self, step: Step) -> None:
        if step.pause is None:
            log.info("handlers do well again, back-off ends")
        else:
            log.info("handlers fail, back-off level %d: pausing %.3f s", self.level, step.pause)
            self._pause_timer = asyncio.get_running_loop().call_later(
                step.pause, self._guarded, self._pause_ended
            )
        self.distribute()

    def _pause_ended(self) -> None:
        assert self._backoff is not None
        self._backoff.pause_ended()
        self.distribute()

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
