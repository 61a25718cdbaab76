"""The queues of a fake nsqd: topics that copy to channels, channels that lend messages to consumers.

As nsqd has it, with two simplifications: nothing goes to disk, and what is due is due at once instead of
at the next scan.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

from nsqclient.testing.agreement import NodeOptions
from nsqclient.testing.clock import RESOLUTION
from nsqcore.names import is_ephemeral


class NotYours(Exception):
    """FIN, REQ or TOUCH of a message that is not lent to whom asks; the text is nsqd's."""


class Entry:
    """One channel's copy of a message."""

    __slots__ = ("attempts", "body", "delay", "id", "timestamp")

    def __init__(self, message_id: str, body: bytes, timestamp: int, delay: float) -> None:
        self.id: str = message_id
        self.body: bytes = body
        self.timestamp: int = timestamp
        """Unix nanoseconds of the publish."""
        self.delay: float = delay
        """Seconds that it is kept back, from when it reaches a channel."""
        self.attempts: int = 0

    def copy(self) -> Entry:
        """For another channel."""
        return Entry(self.id, self.body, self.timestamp, self.delay)


class Borrower(Protocol):
    """A consumer's connection, as its channel sees it."""

    in_flight: int

    @property
    def lease(self) -> float:
        """Seconds that it may keep a message without an answer."""

    @property
    def ready(self) -> bool:
        """Whether it takes a message now."""

    @property
    def sampled_out(self) -> bool:
        """Whether it passes over the next message; asked once per message."""

    def deliver(self, entry: Entry) -> None:
        """Sends the message."""

    def evict(self) -> None:
        """Its channel is gone."""


class _Loan:
    __slots__ = ("borrower", "deadline", "entry", "limit")

    def __init__(self, entry: Entry, borrower: Borrower, deadline: float, limit: float) -> None:
        self.entry = entry
        self.borrower = borrower
        self.deadline = deadline
        self.limit = limit


class Channel:
    """One channel."""

    def __init__(self, name: str, options: NodeOptions) -> None:
        self.name = name
        self.paused = False
        self.ready: deque[Entry] = deque()
        self.in_flight: dict[str, _Loan] = {}
        self.deferred: dict[str, tuple[Entry, float]] = {}
        """With the times at which they are due."""
        self.consumers: list[Borrower] = []
        self.requeued: int = 0
        """Messages that came back by REQ."""
        self.timed_out: int = 0
        """Messages that came back because their time ran out."""
        self._options = options
        self._loop = asyncio.get_running_loop()
        self._due: list[tuple[float, int, str]] = []
        self._number = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._turn = 0

    @property
    def depth(self) -> int:
        """Messages that wait for a consumer; neither in flight nor deferred."""
        return len(self.ready)

    @property
    def idle(self) -> bool:
        """Whether nothing is in flight, nor waits for a consumer that is there."""
        return not self.in_flight and not (self.ready and self.consumers and not self.paused)

    def put(self, entry: Entry) -> None:
        """Takes a message in."""
        if entry.delay > 0:
            self._defer(entry, entry.delay)
        elif not is_ephemeral(self.name) or len(self.ready) < self._options.mem_queue_size:
            self.ready.append(entry)
        self.pump()

    def pump(self) -> None:
        """Lends what is there to whom is ready, in turns."""
        while self.ready and not self.paused:
            count = len(self.consumers)
            turns = (self.consumers[(self._turn + n) % count] for n in range(count))
            borrower = next((consumer for consumer in turns if consumer.ready), None)
            if borrower is None:
                return
            self._turn = (self.consumers.index(borrower) + 1) % count
            entry = self.ready.popleft()
            if not borrower.sampled_out:
                self._lend(entry, borrower)

    def _lend(self, entry: Entry, borrower: Borrower) -> None:
        now = self._loop.time()
        entry.attempts += 1
        borrower.in_flight += 1
        self.in_flight[entry.id] = _Loan(
            entry, borrower, now + borrower.lease, now + self._options.max_msg_timeout
        )
        self._wake(now + borrower.lease, entry.id)
        borrower.deliver(entry)

    # ---- what consumers say

    def finish(self, borrower: Borrower, message_id: str) -> None:
        """The message is done; raises NotYours."""
        self._take_back(borrower, message_id)
        self.pump()

    def requeue(self, borrower: Borrower, message_id: str, delay: float) -> None:
        """The message is to come again after ``delay`` seconds; raises NotYours."""
        entry = self._take_back(borrower, message_id)
        self.requeued += 1
        if delay > 0:
            self._defer(entry, delay)
        else:
            self.ready.append(entry)
        self.pump()

    def touch(self, borrower: Borrower, message_id: str) -> None:
        """The message's time begins anew; raises NotYours."""
        loan = self._loan(borrower, message_id)
        loan.deadline = min(self._loop.time() + borrower.lease, loan.limit)
        self._wake(loan.deadline, message_id)

    def _loan(self, borrower: Borrower, message_id: str) -> _Loan:
        loan = self.in_flight.get(message_id)
        if loan is None:
            raise NotYours("ID not in flight")
        if loan.borrower is not borrower:
            raise NotYours("client does not own message")
        return loan

    def _take_back(self, borrower: Borrower, message_id: str) -> Entry:
        loan = self._loan(borrower, message_id)
        del self.in_flight[message_id]
        borrower.in_flight -= 1
        return loan.entry

    # ---- time

    def _defer(self, entry: Entry, delay: float) -> None:
        due = self._loop.time() + delay
        self.deferred[entry.id] = (entry, due)
        self._wake(due, entry.id)

    def _wake(self, when: float, message_id: str) -> None:
        heapq.heappush(self._due, (when, next(self._number), message_id))
        self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            if self._due and self._timer.when() <= self._due[0][0]:
                return
            self._timer.cancel()
            self._timer = None
        if self._due:
            self._timer = self._loop.call_at(self._due[0][0], self._look)

    def _look(self) -> None:
        """Something may be due: a lease that was not answered, or a message that was kept back."""
        self._timer = None
        now = self._loop.time() + RESOLUTION
        while self._due and self._due[0][0] <= now:
            _, _, message_id = heapq.heappop(self._due)
            loan = self.in_flight.get(message_id)
            if loan is not None and loan.deadline <= now:
                del self.in_flight[message_id]
                loan.borrower.in_flight -= 1
                self.timed_out += 1
                self.ready.append(loan.entry)
                continue
            entry, due = self.deferred.get(message_id, (None, 0.0))
            if entry is not None and due <= now:
                del self.deferred[message_id]
                self.ready.append(entry)
        self._set_timer()
        self.pump()

    # ---- its life

    def leave(self, borrower: Borrower) -> None:
        """A consumer is gone. What it has in flight stays so until its time runs out, or goes back at once."""
        if borrower in self.consumers:
            self.consumers.remove(borrower)
        if self._options.hand_back:
            for message_id, loan in list(self.in_flight.items()):
                if loan.borrower is borrower:
                    del self.in_flight[message_id]
                    self.ready.append(loan.entry)
            self.pump()

    def empty(self) -> None:
        """Forgets all messages."""
        for loan in self.in_flight.values():
            loan.borrower.in_flight -= 1
        for messages in (self.ready, self.in_flight, self.deferred, self._due):
            messages.clear()
        self._set_timer()

    def rest(self, keep: bool) -> None:
        """The daemon ends; ``keep`` the messages, all of them to be delivered at once later, or lose them."""
        kept: list[Entry] = []
        if keep:
            kept += self.ready
            kept += (loan.entry for loan in self.in_flight.values())
            kept += (entry for entry, _ in self.deferred.values())
        self.consumers.clear()
        self.empty()
        self.ready.extend(kept)


class Topic:
    """One topic."""

    def __init__(self, name: str, make_channel: Callable[[str], Channel], capacity: int) -> None:
        self.name = name
        self.paused = False
        self.channels: dict[str, Channel] = {}
        self.backlog: deque[Entry] = deque()
        """What waits for a channel, or for the end of a pause."""
        self._make_channel = make_channel
        self._capacity = capacity

    def put(self, entries: Iterable[Entry]) -> None:
        """Takes messages in."""
        for entry in entries:
            if not is_ephemeral(self.name) or len(self.backlog) < self._capacity:
                self.backlog.append(entry)
        self.pump()

    def pump(self) -> None:
        """Copies what waits to all channels."""
        while self.backlog and self.channels and not self.paused:
            entry = self.backlog.popleft()
            for channel in list(self.channels.values()):
                channel.put(entry.copy())

    def channel(self, name: str) -> Channel:
        """The channel of that name, made when it is not there."""
        channel = self.channels.get(name)
        if channel is None:
            channel = self.channels[name] = self._make_channel(name)
            self.pump()
        return channel


class Queues:
    """All topics of one fake nsqd."""

    def __init__(self, number: int, options: NodeOptions, changed: Callable[[], object]) -> None:
        """``number`` keeps the message IDs of several nsqds apart; ``changed`` is told when topics come and go."""
        self.topics: dict[str, Topic] = {}
        self.chance: Callable[[], float] = random.Random(number).random
        self._first_id = (number + 1) << 48
        self._count = itertools.count(1)
        self._options = options
        self._changed = changed

    def entry(self, body: bytes, delay: float = 0.0) -> Entry:
        """A new message."""
        return Entry(f"{self._first_id + next(self._count):016x}", body, time.time_ns(), delay)

    def topic(self, name: str) -> Topic:
        """The topic of that name, made when it is not there."""
        topic = self.topics.get(name)
        if topic is None:
            topic = self.topics[name] = Topic(name, self._channel, self._options.mem_queue_size)
            self._changed()
        return topic

    def _channel(self, name: str) -> Channel:
        return Channel(name, self._options)

    def leave(self, topic: Topic, channel: Channel, borrower: Borrower) -> None:
        """A consumer is gone, and what is ephemeral may go with it."""
        channel.leave(borrower)
        there = topic.channels.get(channel.name) is channel
        if there and is_ephemeral(channel.name) and not channel.consumers:
            self.delete_channel(topic.name, channel.name)

    def delete_channel(self, topic_name: str, name: str) -> None:
        """The channel goes with its messages, and its consumers' connections; nothing happens without it."""
        topic = self.topics.get(topic_name)
        channel = topic.channels.pop(name, None) if topic is not None else None
        if topic is None or channel is None:
            return
        _dissolve(channel)
        if is_ephemeral(topic.name) and not topic.channels and self.topics.get(topic.name) is topic:
            self.delete_topic(topic.name)

    def delete_topic(self, name: str) -> None:
        """The topic goes with its channels; nothing happens without it."""
        topic = self.topics.pop(name, None)
        if topic is not None:
            for channel in topic.channels.values():
                _dissolve(channel)
            topic.channels.clear()
            self._changed()

    def rest(self, keep: bool) -> None:
        """The daemon ends: names stay, ephemeral ones apart; messages stay if ``keep``."""
        for topic in list(self.topics.values()):
            if is_ephemeral(topic.name):
                self.delete_topic(topic.name)
                continue
            if not keep:
                topic.backlog.clear()
            for channel in list(topic.channels.values()):
                if is_ephemeral(channel.name):
                    self.delete_channel(topic.name, channel.name)
                else:
                    channel.rest(keep)


def _dissolve(channel: Channel) -> None:
    consumers = list(channel.consumers)
    channel.consumers.clear()
    channel.empty()
    for consumer in consumers:
        consumer.evict()
