"""Passes the messages of one topic on: what of them, to which destination, and what becomes of those that fail."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from time import perf_counter

from nsqclient.consumer.batches import MessageBatch
from nsqclient.consumer.message import Message, message_facts
from nsqclient.errors import ConnectError, DeadLetter, NsqError, PublishRejected, Retry
from nsqclient.tools.common.lines import PLAIN
from nsqclient.tools.common.outage import Outage
from nsqclient.tools.common.picking import Picker
from nsqclient.tools.to_nsq.confirmed import Confirmed
from nsqclient.tools.to_nsq.destinations import Destination, Failures, Load, is_hopeless, is_movable
from nsqclient.tools.to_nsq.filters import JsonFilter, NotAnObject
from nsqclient.tools.to_nsq.tally import Tally

LOADS = 4
"""Batches under way to one destination: the next is on its way while one is confirmed, and a destination that does
not answer keeps no more from the others."""
LONGEST_PUBLISH = 30.0
"""Seconds that a destination has for a batch."""
LEAST_PUBLISH = 0.5
"""Seconds that it has in any case: less is of no use."""
SHARE_OF_LEASE = 0.8
"""Of the time that nsqd leaves a message; the rest is for its answer."""
EXCERPT = 200
"""Bytes of a body that a log line shows."""


class Relay:
    """Handles batches; for ``Consumer.run_batches``."""

    def __init__(
        self,
        topic: str,
        destinations: Mapping[str, Destination],
        picker: Picker | None,
        filter: JsonFilter,  # noqa: A002 - it is one
        tally: Tally,
        *,
        letters: bool,
        outage: Outage | None = None,
        timed: Callable[[str, int, float], None] = lambda address, count, seconds: None,
        relayed: Callable[[int, int], None] = lambda count, size: None,
    ) -> None:
        """``topic`` is where messages go; without ``picker`` to all destinations.

        ``letters`` tells whether there is a topic for messages that can't be passed on. ``outage`` says when those
        come again that nobody took; without it the consumer does. ``timed`` is told how many messages a destination
        has confirmed, and in how many seconds; ``relayed`` how many are done, and their bytes.
        """
        self._topic = topic
        self._destinations = destinations
        self._picker = picker
        self._filter = filter
        self._tally = tally
        self._letters = letters
        self._outage = outage
        self._timed = timed
        self._relayed = relayed
        self._confirmed = Confirmed()

    @property
    def concurrency(self) -> int:
        """How many batches to handle at a time."""
        return LOADS * (len(self._destinations) if self._picker is not None else 1)

    async def __call__(self, batch: MessageBatch) -> None:
        """Returns when each is confirmed, and so to be finished, or answered otherwise."""
        load = self._load(batch)
        if not load:
            return
        failures = await (self._to_all(load) if self._picker is None else self._to_one(load, self._picker))
        self._tally.relayed += len(load) - len(failures)
        self._tally.failed += len(failures)
        if len(failures) < len(load):
            sizes = [len(body) for message, body in load if message not in failures]
            self._relayed(len(sizes), sum(sizes))
            if self._outage is not None:
                self._outage.over()
        for message, error in failures.items():
            message.settle(self._verdict(message, error))

    def _verdict(self, message: Message, error: NsqError) -> Exception:
        """What is to become of it, as it failed with ``error``."""
        if self._letters and is_hopeless(error):
            return DeadLetter(str(error))
        if self._outage is None or isinstance(error, PublishRejected):
            return error
        return Retry(str(error), after=self._outage.delay(message.attempts))

    def _load(self, batch: MessageBatch) -> Load:
        """What passes the filter, and what of it."""
        if not self._filter.needed:
            return [(message, message.body) for message in batch.messages]
        load: Load = []
        for message in batch.messages:
            try:
                body = self._filter(message.body)
            except NotAnObject as e:
                self._unreadable(message, e)
                continue
            if body is None:
                self._tally.filtered += 1
            else:
                load.append((message, body))
        return load

    def _unreadable(self, message: Message, error: NotAnObject) -> None:
        self._tally.unreadable += 1
        if self._letters:
            message.settle(DeadLetter(f"unable to decode json: {error}"))
            return
        excerpt = message.body[:EXCERPT].decode("utf-8", "replace")
        text = f"ERROR: Unable to decode json: {excerpt!r} - {error}, dropped"
        self._tally.seldom.say(logging.ERROR, "json", text, PLAIN)

    # ---- to one of the destinations

    async def _to_one(self, load: Load, picker: Picker) -> Failures:
        """A destination that certainly got nothing of it leaves it to the next."""
        tried: set[str] = set()
        lost: Failures = {}
        while True:
            destination = self._pick(picker, tried)
            tried.add(destination.address)
            failures, seconds = await self._publish(destination, load)
            if len(failures) < len(load):
                picker.succeeded(destination.address, seconds)
            if not all(is_hopeless(error) for error in failures.values()):
                picker.failed(destination.address)
            movable = [item for item in load if item[0] in failures and is_movable(failures[item[0]])]
            lost |= failures
            if not movable or len(tried) == len(self._destinations) or _time_left(movable) <= LEAST_PUBLISH:
                return lost
            for message, _ in movable:
                del lost[message]
            load = movable

    def _pick(self, picker: Picker, tried: Collection[str]) -> Destination:
        """As the mode says, though not one that was tried, nor, if it can be, one that is busy."""
        for _ in self._destinations:
            destination = self._destinations[picker.pick()]
            if destination.busy < LOADS and destination.address not in tried:
                return destination
        left = [d for address, d in self._destinations.items() if address not in tried]
        return min(left, key=lambda destination: destination.busy)

    # ---- to all of them

    async def _to_all(self, load: Load) -> Failures:
        """A message fails that some destination has not confirmed; the others are remembered."""
        places = {message: self._confirmed.places(message) for message, _ in load}
        loads = [
            (destination, [item for item in load if address not in places[item[0]]])
            for address, destination in self._destinations.items()
        ]
        loads = [(destination, part) for destination, part in loads if part]
        outcomes = await asyncio.gather(*(self._publish(destination, part) for destination, part in loads))
        lost: Failures = {}
        for failures, _ in outcomes:
            lost |= failures
        if lost:
            got: dict[Message, set[str]] = {message: set() for message in lost}
            for (destination, part), (failures, _) in zip(loads, outcomes, strict=True):
                for message, _ in part:
                    if message in got and message not in failures:
                        got[message].add(destination.address)
            for message, addresses in got.items():
                self._confirmed.note(message, addresses)
        for message in places:
            if message not in lost:
                self._confirmed.forget(message)
        return lost

    # ---- to a certain one

    async def _publish(self, destination: Destination, load: Load) -> tuple[Failures, float]:
        began = perf_counter()  # the loop's clock may count whole milliseconds
        timeout = min(max(_time_left(load), LEAST_PUBLISH), LONGEST_PUBLISH)
        failures = await destination.publish(self._topic, load, timeout)
        seconds = perf_counter() - began
        if failures:
            self._tell(destination, failures)
        if len(failures) < len(load):
            self._timed(destination.address, len(load) - len(failures), seconds)
        return failures, seconds

    def _tell(self, destination: Destination, failures: Failures) -> None:
        seldom, address = self._tally.seldom, destination.address
        others: Failures = {}
        for message, error in failures.items():
            if not is_hopeless(error):
                others[message] = error
            elif not self._letters:  # else there is a line with the letter
                seldom.say(
                    logging.ERROR,
                    f"refused {address}",
                    f"message {message.id} of {len(message.body)} bytes is refused at its attempt "
                    f"{message.attempts} and requeued - {error}",
                    {**message_facts(message), "node": address},
                )
        if others:
            message, error = next(iter(others.items()))
            cause = error.__cause__ or error
            reason = cause.reason if isinstance(cause, ConnectError) else cause
            seldom.say(
                logging.WARNING,
                f"failed {address}",
                f"{len(others)} messages for {self._topic} are not confirmed - {reason}",
                {**message_facts(message), "node": address},
            )


def _time_left(load: Load) -> float:
    """Seconds for publishing it, as far as its first message has them: the others came later, mostly."""
    return SHARE_OF_LEASE * load[0][0].time_left()
