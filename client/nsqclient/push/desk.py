"""Messages that browsers have not answered yet, oldest deadline first; and what becomes of each.

One timer serves all of them, however many there are.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import OrderedDict

from nsqclient.durations import to_seconds
from nsqclient.push.counters import Counters
from nsqclient.push.session import Delivery, Session, Verdict
from nsqclient.push.settings import RETRY_CEILING, Settings

log = logging.getLogger(__name__)

QUICK_ATTEMPTS = 5
"""Deliveries after which the next ones are further and further apart, whatever the browsers wish."""
MOST_REMEMBERED = 10_000
"""Messages that come again of which it is known who had them already."""


class Desk:
    """The messages of one topic, or of one channel, under way to browsers."""

    def __init__(self, settings: Settings, counters: Counters, *, shared: bool = False) -> None:
        """What is ``shared`` with other bridges nobody else has seen: only a browser's answer ends it."""
        self._shared = shared
        self.held: OrderedDict[Delivery, None] = OrderedDict()
        """Unanswered by somebody, in the order of deadlines."""
        self.unfinished: OrderedDict[Delivery, None] = OrderedDict()
        """Of these, the ones that nsqd still counts as in flight, oldest first."""
        self.had: OrderedDict[tuple[str, str], frozenset[int]] = OrderedDict()
        """Of messages that come again: the sessions that have acknowledged them."""
        self._settings = settings
        self._counters = counters
        self._ack_timeout = to_seconds(settings.ack_timeout)
        self._timer: asyncio.TimerHandle | None = None

    def take_in(self, delivery: Delivery) -> None:
        """It was sent to those in ``delivery.waiting``."""
        loop = asyncio.get_running_loop()
        delivery.deadline = min(loop.time() + self._ack_timeout, delivery.latest)
        self.held[delivery] = None
        self.unfinished[delivery] = None
        if self._timer is None:
            self._timer = loop.call_at(delivery.deadline, self._look)
        while not self._shared and len(self.unfinished) > self._settings.max_in_flight // 2:
            oldest, _ = self.unfinished.popitem(last=False)
            oldest.finished = True
            oldest.raw.finish()
            self._counters.finished_early_total += 1

    def answered(self, delivery: Delivery, session: Session, verdict: Verdict, delay: float | None) -> None:
        """Takes one browser's answer; when it was the last, the message gets its own."""
        delivery.waiting.pop(session, None)
        if verdict == "ack":
            self._counters.acked_total += 1
            delivery.acked.append(session.number)
        elif verdict == "gone":
            delivery.gone = True
        else:
            delivery.failed = True
            if verdict == "nack":
                self._counters.nacked_total += 1
                if delay is not None:
                    delivery.delay = max(delivery.delay or 0.0, delay)
            else:
                self._counters.timed_out_total += 1
        if not delivery.waiting and delivery in self.held:
            del self.held[delivery]
            self.unfinished.pop(delivery, None)
            if not delivery.finished:
                self.settle(delivery)

    def touched(self, delivery: Delivery) -> None:
        """Somebody needs more time for it; there is an end to that, too."""
        if delivery not in self.held:
            return
        now = asyncio.get_running_loop().time()
        deadline = min(now + self._ack_timeout, delivery.latest)
        if deadline > delivery.deadline + self._ack_timeout / 20:  # nsqd need not hear of each of many
            delivery.deadline = deadline
            self.held.move_to_end(delivery)
            if not delivery.finished:
                delivery.raw.touch()

    def close(self) -> None:
        """What is held goes back."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for delivery in list(self.unfinished):
            self._return(delivery, 0.0)
        for delivery in list(self.held):
            for session, seq in delivery.waiting.items():
                session.take(seq)
        self.held.clear()
        self.unfinished.clear()

    def settle(self, delivery: Delivery) -> None:
        """Gives nsqd the answer that follows from those of the browsers."""
        if delivery.failed or (delivery.gone and not delivery.acked):
            attempts = self._settings.attempts
            lost = self._shared and not delivery.failed  # with its browser, which is no verdict on it
            if attempts and delivery.raw.attempts >= attempts and not lost:
                self._counters.given_up_total += 1
                log.info("message %s is given up after %d deliveries", delivery.raw.id, delivery.raw.attempts)
                self.had.pop(delivery.key, None)
                delivery.raw.finish()
                return
            if delivery.acked or delivery.key in self.had:
                self.had[delivery.key] = self.had.get(delivery.key, frozenset()) | set(delivery.acked)
                self.had.move_to_end(delivery.key)
                if len(self.had) > MOST_REMEMBERED:
                    self.had.popitem(last=False)
            self._return(delivery, self._retry_delay(delivery))
        else:
            self.had.pop(delivery.key, None)
            delivery.raw.finish()

    def _retry_delay(self, delivery: Delivery) -> float:
        usual = to_seconds(self._settings.retry_delay)
        # what a browser left behind comes back in a trickle, lest it be too much for it a second time
        wanted = usual * random.uniform(1, 2) if delivery.delay is None else delivery.delay
        further = delivery.raw.attempts - QUICK_ATTEMPTS
        return wanted if further < 0 else max(wanted, min(usual * 2 ** min(further, 16), RETRY_CEILING))

    def _return(self, delivery: Delivery, delay: float) -> None:
        self._counters.returned_total += 1
        delivery.raw.requeue(delay, backoff=False)

    def _look(self) -> None:
        """The timer: whose time is over?"""
        loop = asyncio.get_running_loop()
        # a timer may be early by the resolution of its clock
        now = loop.time() if self._timer is None else max(loop.time(), self._timer.when())
        self._timer = None
        while self.held:
            delivery = next(iter(self.held))
            if delivery.deadline > now:
                self._timer = loop.call_at(delivery.deadline, self._look)
                return
            for session, seq in list(delivery.waiting.items()):
                session.take(seq)
                session.timed_out()
                delivery.feed.answered(delivery, session, "late", None)
            self.held.pop(delivery, None)
