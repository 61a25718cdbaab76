"""Receives the messages of a channel from all nsqds that have its topic."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

from nsqclient.checks import check_kind, check_name
from nsqclient.connection.endpoint import resolve
from nsqclient.connection.options import ConnectionOptions
from nsqclient.consumer.batches import BatchIterator, MessageBatch
from nsqclient.consumer.dedup import Dedup
from nsqclient.consumer.events import EventStream
from nsqclient.consumer.failures import Failures
from nsqclient.consumer.hands import Hands
from nsqclient.consumer.health import Health
from nsqclient.consumer.message import Message
from nsqclient.consumer.options import FlowControl, Leases, check_rate
from nsqclient.consumer.parallel import Pool
from nsqclient.consumer.reception import Reception
from nsqclient.consumer.worker import Around, Handler
from nsqclient.content import codecs
from nsqclient.content.codecs import Codec
from nsqclient.discovery.targets import Lookup, Nsqd, Target
from nsqclient.durations import Seconds, to_seconds
from nsqclient.errors import ConfigError
from nsqclient.pauses import Chance, FullJitter

AroundHandle = Around[Message]
"""Called around each handler with ``call_next`` and the message; awaits ``call_next(message)``, mostly, and
returns what that returns. It sees what handlers raise, and may raise itself."""


@dataclass(frozen=True, slots=True)
class ConsumerStats:
    """Counts since the consumer was made; and what is so now."""

    received: int
    """Deliveries, several of one message included."""
    finished: int
    """Messages answered with FIN, without those given up."""
    requeued: int
    """Messages answered with REQ."""
    given_up: int
    """Messages that had their last attempt, or were declared dead."""
    lost: int
    """Messages that nsqd took back: their connection ended, or their time ran out."""
    broken: int
    """Messages whose envelope could not be read; they failed without being handed out."""
    in_flight: int
    """Received and not answered."""
    buffered: int
    """Of these, not handed out yet."""
    connections: int
    """Nsqds that are subscribed to."""
    backoff_level: int
    """0 while all is well; of several nsqds, the highest."""
    expired: int = 0
    """Messages that came after their senders' deadlines, or were worked on beyond them."""
    dead_letters: int = 0
    """Published to the dead-letter topic."""
    duplicates: int = 0
    """Finished without being handed out, as their keys had been worked on."""
    rdy: int = 0
    """How many messages the nsqds may have under way here, as they were told last; all together."""


class Consumer:
    """Receives messages; use it with ``async with``.

    ::

        async with Consumer("orders", "billing", Lookup("http://lookup:4161"), max_in_flight=200) as consumer:
            async for message in consumer:
                async with message:  # finished when the block ends, requeued when it raises
                    await bill(message.body)

    At most ``max_in_flight`` messages are received and not answered at a time, all nsqds together: 1 where
    it is not given, and twice as many as are handled at a time while handlers run.
    :meth:`run` handles messages concurrently instead of one by one, with ``around`` called around each handler.

    ``flow`` says how messages are shared among nsqds and how the consumer slows down while handlers fail,
    ``failures`` what becomes of messages that fail, ``leases`` how long one may be worked on. ``codec`` is what
    :meth:`Message.decode` decodes with. With ``headers="auto"`` envelopes around bodies are taken off. ``dedup``
    has messages of one key handled effectively once.

    With ``create=True`` topic and channel are created first on all nsqds that the nsqlookupds know, so that
    nothing published later is missed; a nsqd that is connected to directly does so by itself.

    Leaving the block stops deliveries, requeues at once what was not handed out, waits up to ``drain``
    seconds (``drain_on_error`` after an exception) for messages under way, cancels the handlers of the
    rest and requeues these. It takes at most two seconds more than that.
    """

    def __init__(
        self,
        topic: str,
        channel: str,
        target: Target,
        *,
        options: ConnectionOptions | None = None,
        max_in_flight: int | None = None,
        flow: FlowControl | None = None,
        failures: Failures | None = None,
        leases: Leases | None = None,
        codec: Codec = codecs.auto,
        headers: Literal["never", "auto"] = "never",
        dedup: Dedup | None = None,
        around: Sequence[AroundHandle] = (),
        create: bool = False,
        reconnect: FullJitter | None = None,
        drain: Seconds = 25.0,
        drain_on_error: Seconds = 5.0,
        chance: Chance = random.random,
    ) -> None:
        """Nothing connects here. Raises ConfigError.

        ``target`` is where to connect: an address or several, :class:`Nsqd`, :class:`Lookup`, an :class:`Endpoint`, or
        a fake of ``nsqclient.testing``; ``options`` say how. ``reconnect`` makes the pauses between the attempts to
        connect to one nsqd, ``chance`` the random numbers of all pauses.
        """
        check_name("topic", topic)
        check_name("channel", channel)
        if headers not in ("never", "auto"):
            raise ConfigError(f"headers is {headers!r}, want 'never' or 'auto'")
        if max_in_flight is not None:
            _check_count("max_in_flight", max_in_flight)
        check_kind("flow", flow, FlowControl)
        check_kind("failures", failures, Failures)
        check_kind("leases", leases, Leases)
        check_kind("dedup", dedup, Dedup)
        self.topic = topic
        self.channel = channel
        self._target, settings = resolve(target, options)
        self._drain = to_seconds(drain)
        self._drain_on_error = min(to_seconds(drain_on_error), self._drain)
        self._reception = Reception(
            topic,
            channel,
            self._target,
            options=settings,
            max_in_flight=max_in_flight,
            flow=flow or FlowControl(),
            failures=failures or Failures(),
            leases=leases or Leases(),
            codec=codec,
            headers=headers == "auto",
            dedup=dedup,
            create=create,
            pace=reconnect or FullJitter(),
            chance=chance,
        )
        self._take_now = self._reception.handout.take_now
        self._take = self._reception.handout.take
        self._hands = Hands(self._reception, tuple(around))

    # ---- receiving

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        message = self._take_now()
        if message is None:
            message = await self._take()
        if message is None:
            if self._reception.life.failed:
                raise self._reception.life.closed()
            raise StopAsyncIteration
        return message

    async def get(self, timeout: Seconds | None = None) -> Message:
        """The next message; raises TimeoutError after ``timeout`` seconds, and Closed.

        The TimeoutError says which nsqds can't be reached, if none can. A call that is cancelled or times out
        takes nothing: the message stays first in line.
        """
        try:
            async with asyncio.timeout(None if timeout is None else to_seconds(timeout)) as limit:
                message = await self._take()
        except TimeoutError:
            if limit.expired():
                raise TimeoutError(self._nothing_came()) from None
            raise
        if message is None:
            raise self._reception.life.closed()
        return message

    def _nothing_came(self) -> str:
        health = self.health()
        why = "" if health.ready else f": {'; '.join(health.reasons)}"
        return f"no message of {self.topic}/{self.channel} came in time{why}"

    # ---- handling

    async def run(
        self, handler: Handler[Message], *, concurrency: int = 1, timeout: Seconds | None = None
    ) -> None:
        """Handles messages with up to ``concurrency`` calls of ``handler`` at a time, until the consumer stops.

        A coroutine function is awaited, a plain function runs in a thread. A message is finished when its
        handler returns, unless the handler answered it. When it raises, the error is logged and the message
        fails; the others are not touched. ``Retry``, ``Drop`` and ``DeadLetter`` decide otherwise.

        A handler is cancelled when it takes longer than ``timeout`` seconds, which is a failure; and when
        the time that nsqd leaves it runs out, or that of the sender's request.

        Each handler has a copy of the context that this was called in. Raises ConfigError, and Closed if
        the consumer itself fails. Cancelling it cancels the handlers, whose messages
        are requeued at once; the consumer goes on.
        """
        self._reception.life.check_open()
        await self._hands.crew(handler, concurrency, timeout).run()

    async def run_batches(
        self,
        handler: Handler[MessageBatch],
        *,
        max_messages: int,
        linger: Seconds,
        concurrency: int = 1,
        timeout: Seconds | None = None,
    ) -> None:
        """As :meth:`run`, with a handler of batches as those of :meth:`batches`."""
        self._reception.life.check_open()
        await self._hands.batch_crew(handler, max_messages, linger, concurrency, timeout).run()

    def batches(self, *, max_messages: int, linger: Seconds) -> BatchIterator:
        """Iterates over batches of up to ``max_messages``, for ``async for``.

        A batch is handed out when it is full, when ``linger`` seconds have passed since its first message
        was taken, or when nothing more can come before something is answered. Raises ConfigError.
        """
        return self._hands.batches(max_messages, linger)

    def parallel(self, concurrency: int) -> Pool[Message]:
        """A pool of handlers, for ``async with``; its ``run(handler)`` is :meth:`run`, and ends with the block."""
        return Pool(concurrency, self._hands.crew)

    def set_concurrency(self, count: int) -> None:
        """Changes at once how many handlers of each :meth:`run` there are; none is cut short.

        Raises ConfigError when nothing runs.
        """
        self._hands.set_concurrency(count)

    # ---- control

    def pause(self) -> None:
        """Stops deliveries; what was received can still be worked on."""
        self._reception.flow.set_paused(True)

    def resume(self) -> None:
        """Ends a :meth:`pause`."""
        self._reception.flow.set_paused(False)

    def set_max_in_flight(self, count: int) -> None:
        """Changes the cap at once; 0 stops deliveries. Raises ConfigError below 0."""
        _check_count("max_in_flight", count)
        self._reception.set_max_in_flight(count)

    def rate_limit(self, per_second: float | None) -> None:
        """Hands out at most so many messages per second from now on; None: as many as come.

        Only about a second's worth of messages is received ahead, so that none waits here until its time runs
        out. Raises ConfigError, and Closed unless it is open; ``FlowControl.rate`` limits it from the start.
        """
        check_rate(per_second)
        self._reception.life.check_open()
        self._reception.handout.set_rate(per_second)

    @property
    def is_starved(self) -> bool:
        """Whether a nsqd is held up by its share: 85 % of it or more is received and not answered.

        More messages in flight, or faster handlers, would help. One who gathers messages should go on with those
        he has.
        """
        return self._reception.members.is_starved

    def connect(self, node: str) -> None:
        """Receives from that nsqd as well (``host:port``), until :meth:`disconnect`.

        Raises ConfigError for what is no address, and Closed.
        """
        Nsqd(node)  # which checks it
        self._reception.life.check_open()
        self._reception.members.connect(node)

    async def disconnect(self, node: str, drain: Seconds | None = None) -> None:
        """Receives no more from that nsqd, whatever nsqlookupds say, until :meth:`connect`.

        As when the consumer ends: what was not handed out goes back at once, what is under way is waited for up
        to ``drain`` seconds, and handed back then. Raises Closed.
        """
        self._reception.life.check_open()
        seconds = self._drain if drain is None else to_seconds(drain)
        await self._reception.members.disconnect(node, seconds)

    def health(self) -> Health:
        """How it stands, for liveness and readiness probes; needs no I/O."""
        return self._reception.health()

    @property
    def target(self) -> Nsqd | Lookup:
        """What it connects to."""
        return self._target

    @property
    def closed(self) -> bool:
        """Whether it has ended."""
        return self._reception.life.phase == "closed"

    @property
    def stats(self) -> ConsumerStats:
        """Counts, as of now."""
        reception, counts = self._reception, self._reception.members.counts
        subscriptions = reception.members.by_node.values()
        return ConsumerStats(
            counts.received,
            counts.finished,
            counts.requeued,
            reception.admission.give_up.count,
            counts.lost,
            counts.broken,
            sum(len(subscription.held) for subscription in subscriptions),
            reception.intake.buffered(),
            sum(subscription.connected for subscription in subscriptions),
            reception.flow.level,
            reception.admission.give_up.expired,
            reception.admission.dead_letters,
            reception.admission.duplicates,
            sum(subscription.share.rdy for subscription in subscriptions if subscription.connected),
        )

    def events(self) -> EventStream:
        """What happens from now on, until the consumer is closed. One who does not keep up loses the oldest."""
        return self._reception.events.listen()

    def __repr__(self) -> str:
        return f"<Consumer {self.topic}/{self.channel} {self._target!r} {self._reception.life.phase}>"

    # ---- its life

    async def __aenter__(self) -> Self:
        """Returns once a nsqd accepted the subscription, or none can at present.

        Raises SubscribeRefused, IdentifyRejected, AuthRequired, AuthRejected, TlsRefused, TlsFailed or
        CompressionRefused when every nsqd there is refuses.
        """
        await self._reception.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close(None if error is None else self._drain_on_error)

    def stop(self) -> None:
        """Begins the end: deliveries stop, iterators and :meth:`run` end once what they have is done.

        For signal handlers and the like; :meth:`close` does the rest.
        """
        self._reception.stop()

    async def close(self, drain: Seconds | None = None) -> None:
        """Ends in order, as leaving the block does; a second call waits for the first.

        Being cancelled cuts the ``drain`` short, not the cleaning up. A handler calls :meth:`stop` instead: this
        would wait for that handler, too, until ``drain`` is over.
        """
        await self._reception.close(self._drain if drain is None else to_seconds(drain))


def _check_count(name: str, value: object) -> None:
    if not isinstance(value, int) or value < 0:
        raise ConfigError(f"{name} is {value!r}, want a whole number, 0 or more")
