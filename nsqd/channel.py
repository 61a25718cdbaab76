"""One channel: its queue, what came back, what is deferred, and how its consumers share the messages."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from random import shuffle
from typing import Any

from nsqcore import logs
from nsqd.client import Client
from nsqd.debug_lines import show_messages
from nsqd.deferred import Deferred
from nsqd.errors import EXITING, Refused
from nsqd.frames import Batch, next_delivery, records_of_past, undelivered
from nsqd.latency import Latency
from nsqd.locality import Distance, Locality
from nsqd.message_queue import FLUSH_RUN, Budget, MessageQueue
from nsqd.pressure import Pressure
from nsqd.sampling import Sampling
from nsqd.storage.backend import Backend, Stored

MAX_RUN = 1000
"""Messages for one client in one go: with 200 byte messages a write of some 230 KB."""
MAX_RUN_BYTES = 1 << 20
LONG_RUN = 64
"""Messages that are worth a write of their own while the loop is busy."""
JUDGED = 4
"""Consumers with room, the next ones, by which that is judged."""
PATIENCE = 3
"""Turns of a busy loop that shorter runs may wait for more, as long as each brings some: some hundred microseconds.
Where two publish batches of 20 and four consume them, that saves a third of nsqd's CPU: writes are what costs."""
LARGE = 8192
"""A run that begins with so long a frame is not joined: copying it would cost more than telling where its parts are.
64 KiB messages take a quarter less CPU to send."""
DUE_RUN = 5000
"""Deferred messages taken up in one go when very many are due at once."""


class Channel:
    """Shares its messages among its consumers.

    Messages wait in ``queue`` (fresh ones, in order) or in ``returned`` (past frames: requeued, timed out,
    due after deferral, given back by a consumer that left). While both hold some they are served in turn,
    so that neither a message requeued over and over nor a long backlog can starve the other.
    """

    def __init__(
        self,
        topic_name: str,
        name: str,
        *,
        limit: int,
        budget: Budget,
        make_backend: Callable[[Callable[[], None]], Backend],
        emptied: Callable[[Channel], None],
        discard: Callable[[deque[Any]], None],
        latency: Latency | None = None,
        locality: Locality | None = None,
        pressure: Pressure | None = None,
    ) -> None:
        """``make_backend`` gets the callback for "more can be read"; ``emptied`` is told when the last
        consumer left; ``discard`` lets go of many messages in slices. ``latency`` gets what is finished;
        with ``locality`` near consumers are served first. ``pressure`` is that of the loop."""
        self.topic_name = topic_name
        self.name = name
        self.clients: list[Client] = []
        self.returned: deque[bytes] = deque()
        self.deferred = Deferred()
        self.paused = False
        self.exiting = False
        self.held = False
        """Nothing more is delivered: the daemon is about to stop."""
        self.message_count = self.requeue_count = self.timeout_count = 0
        self.memory_count = 0
        """Messages taken for consumers that had not been on disk."""
        self.zone_count = self.region_count = 0
        """How many of these went to near consumers."""
        self.latency = latency
        self._loop = asyncio.get_running_loop()
        self.backend = make_backend(self.wake)
        self.queue = MessageQueue(self.backend, limit=limit, budget=budget)
        # Consumers that may have room, who is to be served first in front.
        self._hungry: dict[Client, None] = {}
        self._woken = False
        self._news = False  # since the last turn there are more messages, or more room
        self._turns = 0
        self._pressure = pressure or Pressure()
        self._returned_next = False
        self._locality = locality
        self._sampling: Sampling | None = None  # only while some consumer samples, or something was declined
        self._asking = False  # a consumer that samples has room
        self._plain = locality is None  # neither of these matters
        self._timer: asyncio.TimerHandle | None = None
        self._emptied = emptied
        self._discard = discard
        restored = self.backend.restored(self._loop.time())
        self._restored = bool(restored)  # some of the deferred messages are kept by the backend, too
        for due, past in restored:
            self._defer(past, due)

    def __repr__(self) -> str:
        return f"<Channel {self.topic_name}:{self.name} depth={self.depth} consumers={len(self.clients)}>"

    @property
    def depth(self) -> int:
        """Messages that wait to be sent; neither in flight nor deferred."""
        return self.queue.depth + len(self.returned) + self._declined

    @property
    def _declined(self) -> int:
        return len(self._sampling.declined) if self._sampling is not None else 0

    @property
    def in_flight_count(self) -> int:
        """Messages that consumers hold."""
        return sum(len(client.in_flight) for client in self.clients)

    # -- in ----------------------------------------------------------------------------------------

    def put(self, batch: Batch) -> list[bytes] | None:
        """Takes fresh messages from the topic; returns those that :meth:`MessageQueue.spill` must take to disk."""
        if self.exiting:
            raise Refused(EXITING)
        self.message_count += len(batch.frames)
        spilled = self.queue.put(batch)
        self._news = True
        if self._hungry and not self._woken:
            self.wake()
        return spilled

    def put_unwatched(self, batch: Batch) -> None:
        """As :meth:`put`, for messages whose publisher has its answer: what the disk fails stays in memory."""
        spilled = self.put(batch)
        if spilled:
            self.queue.spill(spilled, lambda error: self._keep(spilled) if error else None)

    def _keep(self, frames: list[bytes]) -> None:
        self.queue.keep(frames)
        self.wake()

    def put_deferred(self, past: bytes, due: float) -> None:
        """Takes a message that is to be delivered at ``due``, loop time."""
        if self.exiting:
            raise Refused(EXITING)
        self.message_count += 1
        self._defer(past, due)

    def _defer(self, past: bytes, due: float) -> None:
        if self.deferred.add(due, past):
            self._await_deferred(due)

    def _await_deferred(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._take_due)

    def _take_due(self) -> None:
        self._timer = None
        # The loop's timers tick in milliseconds: what is due within this one is taken with it.
        until = self._loop.time() + 0.001
        self.returned.extend(self.deferred.due(until, DUE_RUN))
        due = self.deferred.next_due()
        if due is not None:
            self._await_deferred(due)
        if self._restored:
            self._restored = self.backend.handed_on(until if due is None else min(until, due))
        self.wake()

    # -- out ---------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Has messages delivered soon, once per turn of the loop however many publishes asked for it."""
        if (
            not self._woken
            and self._hungry
            and (self.queue.memory or self.returned or self.backend.depth or self._sampling is not None)
        ):
            self._woken = True
            self._loop.call_soon(self._pump)

    def hungry(self, client: Client) -> None:
        """This consumer has room, or may have."""
        self._hungry[client] = None
        self._news = True
        if not self._woken:
            self.wake()

    def _pump(self) -> None:
        """Gives every consumer with room one run, in turns; goes on in the next turn of the loop."""
        now, pressure = self._loop.time(), self._pressure
        if now >= pressure.until:
            pressure.look(now)
        if pressure.high and self._news and self._turns < PATIENCE and self._gathers():
            self._turns += 1
            self._news = False
            self._loop.call_soon(self._pump)
            return
        self._turns = 0
        self._news = self._woken = False
        if self.paused or self.held:
            return
        if self._plain:
            progress = self._share(self._hungry, now)
        else:
            hungry, self._hungry = self._hungry, {}
            progress = False
            for group in self._groups(hungry, now):
                progress = self._share(group, now) or progress
                self._hungry |= group
        if progress and self._hungry:
            self.wake()  # without progress the disk can't be read for the moment, and wakes us when it can

    def _share(self, hungry: dict[Client, None], now: float) -> bool:
        """Gives consumers a run each until nothing waits; leaves who may have room, who is to be served next in front.

        Nobody is looked at who can't be served, however many wait. Returns whether there was anything.
        """
        queue, plain = self.queue, self._plain
        waiting, left = len(queue.memory) + len(self.returned) + self.backend.depth, len(hungry)
        if self._sampling is not None:
            # As long as one that samples has room, it is shown everything before the others get it.
            waiting = self._declined + (0 if self._asking else waiting)
        still: list[Client] = []
        progress = False
        while left and waiting > 0:
            if waiting >= left:
                served = list(hungry)
                hungry.clear()
            else:
                served = list(islice(hungry, waiting))
                for client in served:
                    del hungry[client]
            for client in served:
                in_flight = client.in_flight
                room = client.ready + in_flight.marks - len(in_flight.messages)
                if room > 0 and not client.blocked:
                    count = min(room, -(-waiting // left), MAX_RUN) if room > 1 else 1  # RDY 1 is frequent
                    if plain and queue.memory and not self.returned:  # mostly; spares a call per run
                        if count == 1:
                            run = [queue.memory.popleft()]
                        else:
                            run = queue.take(min(count, len(queue.memory)), MAX_RUN_BYTES)
                        self.memory_count += len(run)
                        from_memory = True
                    else:
                        run, from_memory = self._take(client, count)
                    if run:
                        self._send(client, run, now, from_memory)
                        waiting -= len(run)
                        progress = True
                    if len(run) < room:
                        still.append(client)
                left -= 1
        for client in still:
            hungry[client] = None
        return progress

    def _gathers(self) -> bool:
        """Whether it pays to wait for more messages, or for more room: what there is would make short runs."""
        enough = room = 0
        for client in islice(self._hungry, JUDGED):
            enough += min(client.ready, LONG_RUN)
            room += client.ready + client.in_flight.marks - len(client.in_flight.messages)
        return room < enough or len(self.queue.memory) + len(self.returned) + self.backend.depth < enough

    def _take(self, client: Client, count: int) -> tuple[list[bytes], bool]:
        """Takes up to ``count`` messages as they are to be sent to a client.

        True when they were in memory: then the caller tells ``queue.released`` their size.
        """
        if self._sampling is not None:
            run, _ = self._sampling.declined.take(client, count)
            if run:
                self._tidy()
                return run, False
        memory = self.queue.memory
        if self.returned and (self._returned_next or not (memory or self.backend.depth)):
            self._returned_next = False
            run = []
            size = 0
            while self.returned and len(run) < count and size < MAX_RUN_BYTES:
                run.append(next_delivery(self.returned.popleft()))
                size += len(run[-1])
            self._count(client, len(run))
            return run, False
        from_memory = bool(memory)
        if from_memory:
            run = self.queue.take(min(count, len(memory)), MAX_RUN_BYTES)
            self._count(client, len(run))
        else:
            run = self.backend.take(count, MAX_RUN_BYTES).frames
        if self.returned:
            self._returned_next = True
            if not run:  # the disk can't be read for the moment
                return self._take(client, count)
        return run, from_memory

    def _send(self, client: Client, run: list[bytes], now: float, from_memory: bool) -> None:
        if len(run) == 1:
            data = run[0]
            size = len(data)
        elif len(run[0]) < LARGE:
            data = b"".join(run)
            size = len(data)
        else:
            data, size = b"", sum(map(len, run))
        if from_memory:
            self.queue.released(size)
        client.in_flight.add(run, now)
        client.message_count += len(run)
        if client.timer is None:
            self._await_timeout(client)
        if logs.debugging:
            show_messages(client.remote_address, run)
        if data:
            client.write(data)
        else:
            client.write_all(run)

    def _count(self, client: Client, messages: int) -> None:
        self.memory_count += messages
        if self._locality is not None:
            distance = self._locality.distance(client.settings)
            if distance is Distance.ZONE:
                self.zone_count += messages
            elif distance is Distance.REGION:
                self.region_count += messages

    # -- out, where consumers are not alike --------------------------------------------------------

    def _groups(self, hungry: Iterable[Client], now: float) -> list[dict[Client, None]]:
        """Makes the consumers that sample their offers; returns the others, in the order of their turns."""
        sampling: list[Client] = []
        groups: list[dict[Client, None]] = [{}, {}, {}]
        for client in hungry:
            if client.settings.sample_rate:
                sampling.append(client)
            else:
                rank = self._locality.rank(client.settings) if self._locality is not None else 0
                groups[rank][client] = None
        if self._sampling is not None:
            shuffle(sampling)  # who is asked first gets the more
            for client in sampling:
                self._offer(self._sampling, client, now)
        self._asking = bool(self._hungry)
        return [group for group in groups if group]

    def _offer(self, sampling: Sampling, client: Client, now: float) -> None:
        """Shows messages to a consumer that samples, if it has room."""

        def fresh(count: int) -> list[bytes]:
            run, from_memory = self._take(client, count)
            if from_memory:
                self.queue.released(sum(map(len, run)))
            return run

        room = client.ready + client.in_flight.marks - len(client.in_flight.messages)
        if room <= 0 or client.blocked:
            return
        accepted, shown = sampling.offer(
            client, self.clients, fresh, room=room, most=MAX_RUN, most_bytes=MAX_RUN_BYTES
        )
        if accepted:
            self._send(client, accepted, now, from_memory=False)
        if len(accepted) < room:
            self._hungry[client] = None
        if shown:
            self.wake()

    def _tidy(self) -> None:
        if self._sampling is not None and self._sampling.over:
            self._sampling = None
            self._plain = self._locality is None

    # -- what consumers do -------------------------------------------------------------------------

    def add_client(self, client: Client) -> None:
        """A consumer subscribed."""
        self.clients.append(client)
        if client.settings.sample_rate:
            self._sampling = self._sampling or Sampling()
            self._sampling.consumers += 1
            self._plain = False

    def remove_client(self, client: Client) -> None:
        """A consumer left: what it held goes to the others at once (the original lets the time-out pass)."""
        if client not in self.clients:
            return
        self.clients.remove(client)
        self._hungry.pop(client, None)
        if self._sampling is not None:
            self._sampling.consumers -= bool(client.settings.sample_rate)
            if not (self.held or self.exiting):  # at the end everything is kept
                self._sampling.discard(self.clients)
            self._tidy()
        if client.timer is not None:
            client.timer.cancel()
            client.timer = None
        self.returned.extend(client.in_flight.clear())
        self.wake()
        if not self.clients:
            self._emptied(self)

    def finish(self, client: Client, message_id: bytes) -> bool:
        """One message is done; False when the client does not hold it."""
        frame = client.in_flight.pop(message_id)
        if frame is None:
            return False
        client.finish_count += 1
        if self.latency is not None:
            self.latency.finished((frame,))
        self.hungry(client)
        return True

    def requeue(self, client: Client, message_id: bytes, delay: float) -> bool:
        """One message comes back, to be delivered after ``delay`` seconds; False when the client does not hold it."""
        past = client.in_flight.pop(message_id)
        if past is None:
            return False
        client.requeue_count += 1
        self.requeue_count += 1
        if delay > 0:
            self._defer(past, self._loop.time() + delay)
        else:
            self.returned.append(past)
        self.hungry(client)
        return True

    def touch(self, client: Client, message_id: bytes) -> bool:
        """One message gets its time again; False when the client does not hold it."""
        deadline = client.in_flight.touch(message_id, self._loop.time())
        if deadline is None:
            return False
        if client.timer is not None and deadline < client.timer.when():
            client.timer.cancel()
            self._await_timeout(client)
        return True

    def owned_by_other(self, client: Client, message_id: bytes) -> bool:
        """Whether another consumer holds the message: only asked to word an error."""
        return any(message_id in other.in_flight.messages for other in self.clients if other is not client)

    def _await_timeout(self, client: Client) -> None:
        deadline = client.in_flight.next_deadline()
        client.timer = None if deadline is None else self._loop.call_at(deadline, self._time_out, client)

    def _time_out(self, client: Client) -> None:
        past = client.in_flight.expired(self._loop.time())
        self._await_timeout(client)
        if past:
            self.timeout_count += len(past)
            self.returned.extend(past)
            self.hungry(client)

    # -- what operators do -------------------------------------------------------------------------

    def pause(self, paused: bool) -> None:
        """Stops or resumes delivery; time-outs and deferrals go on."""
        self.paused = paused
        self.wake()

    def empty(self) -> None:
        """Drops everything: waiting, in flight and deferred."""
        self._discard(self.queue.drop())
        returned, self.returned = self.returned, deque()
        self._discard(returned)
        if self._sampling is not None:
            self._sampling.declined.clear()
            self._tidy()
        self._discard(self.deferred.drop())
        self._restored = False
        for client in self.clients:
            client.in_flight.clear()
            self._hungry[client] = None

    def delete(self) -> None:
        """Drops everything, its files too, and closes its consumers' connections."""
        self._leave()
        self.empty()
        self.backend.delete()

    def flush(self, stored: Stored) -> tuple[int, int, int]:
        """Ends its consumers' connections and moves what it holds to disk; ``stored`` is told of every part.

        Order: memory, declined, returned, in flight, deferred. Returns how many of memory (the next two counted in),
        in flight, deferred.
        """
        in_flight = [frame for client in self.clients for frame in client.in_flight.clear()]
        self._leave()
        deferred = self.deferred.take_all()
        declined = [undelivered(frame) for frame in self._sampling.declined] if self._sampling else []
        waiting = len(self.queue.memory) + len(declined) + len(self.returned)
        counts = (waiting, len(in_flight), len(deferred))
        self.queue.flush(stored)
        past = iter([*declined, *self.returned, *in_flight])
        self.returned.clear()
        self._sampling = None
        while run := list(islice(past, FLUSH_RUN)):
            self.backend.append(records_of_past(run), stored)
        if deferred:
            self.backend.defer(deferred, self._loop.time(), stored)
        return counts

    def _leave(self) -> None:
        self.exiting = True
        if self._timer is not None:
            self._timer.cancel()
        for client in list(self.clients):  # who is closed leaves the channel
            if client.timer is not None:
                client.timer.cancel()
                client.timer = None
            client.close()
        self._hungry.clear()
