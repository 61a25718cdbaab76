"""Messages of one topic for the browsers of this bridge: to all of them, to a user's, or to one at a time.

A broadcast or a user topic is received through an ephemeral channel of this bridge alone, so that every bridge
sees every message and passes on what its own browsers want. Work is received through a channel that all
bridges share, so that each message goes to one browser of one bridge.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, Protocol

from nsqclient.connection.endpoint import Endpoint, resolve
from nsqclient.consumer.consumer import Consumer
from nsqclient.consumer.failures import Failures
from nsqclient.consumer.options import FlowControl
from nsqclient.content.envelope import unwrap
from nsqclient.discovery.targets import Lookup
from nsqclient.durations import to_seconds
from nsqclient.errors import ConfigError, EnvelopeError, NsqError
from nsqclient.push.answerable import Answerable
from nsqclient.push.counters import Counters
from nsqclient.push.desk import Desk
from nsqclient.push.protocol import message_tail
from nsqclient.push.session import Delivery, Session, Verdict
from nsqclient.push.settings import Settings

if TYPE_CHECKING:
    from nsqclient.connection.options import ConnectionOptions
    from nsqclient.consumer.message import Message
    from nsqclient.discovery.targets import Target

log = logging.getLogger(__name__)

SHORTEST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds between attempts to receive a topic that can't be received."""
SPARE = 15.0
"""Seconds that nsqd waits for an answer longer than browsers may take."""
NO_ROOM_DELAY = 1.0
"""Seconds until work comes again for which no browser had room."""

Kind = Literal["user", "topic", "work"]
Opened = Callable[[Exception | None], None]
Audience = Callable[[bytes, Mapping[str, str]], Iterable[Session] | None]
"""Who is to get a payload with these headers; None when it does not say."""


class Source(Protocol):
    """Makes the consumers of a bridge."""

    def consumer(self, topic: str, channel: str, max_in_flight: int, *, everywhere: bool) -> Consumer:
        """One that is not open yet, does not back off, and gives nothing up by itself.

        ``everywhere`` is on all nsqds there are, not only those that have the topic already.
        """


class NsqSource:
    """Consumers of the nsqds that ``target`` names."""

    def __init__(
        self, target: Target | Endpoint, options: ConnectionOptions | None, settings: Settings
    ) -> None:
        """Raises ConfigError when nsqd would take messages back before browsers have to answer."""
        self._target, self._options = resolve(target, options)
        self._everywhere = self._target
        if isinstance(self._target, Lookup):
            self._everywhere = copy(self._target)
            self._everywhere.lookup_urls = self._target.nodes_urls
        ack_timeout = to_seconds(settings.ack_timeout)
        given = self._options.msg_timeout
        if given is None:
            # whatever nsqd's own is: it may be shorter than browsers are given
            self._options = replace(self._options, msg_timeout=ack_timeout + SPARE)
        elif to_seconds(given) <= ack_timeout:
            raise ConfigError("msg_timeout must be longer than ack_timeout")

    def consumer(self, topic: str, channel: str, max_in_flight: int, *, everywhere: bool) -> Consumer:
        """See :class:`Source`."""
        return Consumer(
            topic,
            channel,
            self._everywhere if everywhere else self._target,
            options=self._options,
            max_in_flight=max_in_flight,
            flow=FlowControl(backoff=None),
            failures=Failures(attempts=0),
            drain=0,
        )


class Feed:
    """Receives one topic from one channel until it is closed, again and again if need be."""

    kind: Kind

    def __init__(
        self, topic: str, channel: str, source: Source, settings: Settings, counters: Counters
    ) -> None:
        self.topic = topic
        self.channel = channel
        self.desk: Desk = Desk(settings, counters)
        self.sessions: dict[Session, int] = {}
        """Who listens, and how many messages at a time each takes (work only)."""
        self.consumer: Consumer | None = None
        self.settings = settings
        self.counters = counters
        self._source = source
        self._waiting: list[Opened] = []
        self._task: asyncio.Task[None] | None = None

    @property
    def connected(self) -> bool:
        """Whether a nsqd sends to it at present."""
        return self.consumer is not None and self.consumer.stats.connections > 0

    def start(self) -> None:
        """Begins to receive."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"push {self.topic}")

    def when_open(self, opened: Opened) -> None:
        """Calls ``opened`` once the subscription is accepted, or with the error of the first attempt."""
        if self.consumer is not None:
            opened(None)
        else:
            self._waiting.append(opened)

    async def close(self) -> None:
        """Receives no more; what is held goes back. A few seconds at most."""
        self.desk.close()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        pause = SHORTEST_PAUSE
        while True:
            try:
                async with self._source.consumer(
                    self.topic,
                    self.channel,
                    self.in_flight(),
                    # else a bridge is not well until somebody has published to its user topics, and misses that
                    everywhere=self.kind == "user",
                ) as consumer:
                    self.consumer = consumer
                    consumer.set_max_in_flight(self.in_flight())
                    self._tell_opened(None)
                    pause = SHORTEST_PAUSE
                    async for message in consumer:
                        self._take(message)
            except NsqError as e:
                log.warning("can't receive %s/%s - %s", self.topic, self.channel, e)
                self._tell_opened(e)
            finally:
                self.consumer = None
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _take(self, message: Message) -> None:
        try:
            self.take(message)
        except Exception:  # what is wrong with one message must not end the topic for everybody
            log.exception("message %s of %s could not be passed on", message.id, self.topic)
            if message.state == "held":
                message.requeue(backoff=False)

    def _tell_opened(self, error: Exception | None) -> None:
        waiting, self._waiting = self._waiting, []
        for opened in waiting:
            opened(error)

    # ---- what each kind decides

    def in_flight(self) -> int:
        """How many messages may be received and not answered."""
        return self.settings.max_in_flight

    def take(self, message: Answerable) -> None:
        """A message came."""
        raise NotImplementedError

    def join(self, session: Session, count: int) -> None:
        """A browser listens from now on."""
        self.sessions[session] = count

    def leave(self, session: Session) -> None:
        """It does not listen any more; what it holds it may still answer."""
        self.sessions.pop(session, None)

    def answered(self, delivery: Delivery, session: Session, verdict: Verdict, delay: float | None) -> None:
        """A browser has answered, or will not any more."""
        self.desk.answered(delivery, session, verdict, delay)

    def touched(self, delivery: Delivery) -> None:
        """A browser needs more time."""
        self.desk.touched(delivery)

    def _delivery(self, message: Answerable, payload: bytes, channel: str = "") -> Delivery:
        tail = message_tail(
            self.kind, message.id, self.topic, channel, message.attempts, message.timestamp_ns, payload
        )
        now = asyncio.get_running_loop().time()
        return Delivery(self, message, tail, now, to_seconds(self.settings.max_hold))

    def _open(self, message: Answerable) -> tuple[Mapping[str, str], bytes] | None:
        """Headers and payload; None for an envelope that is broken, which nobody could read later either."""
        self.counters.received_total += 1
        try:
            return unwrap(message.body)
        except EnvelopeError as e:
            log.warning("message %s of %s can't be read - %s", message.id, self.topic, e)
            message.finish()
            return None


class Fanout(Feed):
    """All messages of a topic, each to all whom ``audience`` names."""

    def __init__(
        self,
        topic: str,
        channel: str,
        source: Source,
        settings: Settings,
        counters: Counters,
        audience: Audience | None = None,
    ) -> None:
        """Without an ``audience`` those who have joined are meant."""
        super().__init__(topic, channel, source, settings, counters)
        self.kind: Kind = "topic" if audience is None else "user"
        self._audience: Audience = audience or (lambda payload, headers: self.sessions)

    def take(self, message: Answerable) -> None:
        """Sends it to everybody it is for, and has it finished when all of them have answered."""
        opened = self._open(message)
        if opened is None:
            return
        headers, payload = opened
        audience = self._audience(payload, headers)
        if audience is None:
            self.counters.unaddressed_total += 1
            message.finish()
            return
        delivery: Delivery | None = None
        had = self.desk.had.get((message.node, message.id), frozenset())
        for session in list(audience):
            if session.number not in had:
                delivery = delivery or self._delivery(message, payload)
                session.offer(delivery)
                delivery.gone = delivery.gone or not session.alive  # it will be back, on a new connection
        if delivery is not None and delivery.waiting:
            self.desk.take_in(delivery)
            return
        if delivery is not None and delivery.gone:
            self.desk.settle(delivery)
            return
        if delivery is None and not had:
            self.counters.absent_total += 1
        self.desk.had.pop((message.node, message.id), None)
        message.finish()


class Work(Feed):
    """Messages of a channel that all bridges share, each to one browser that has room."""

    kind: Kind = "work"

    def __init__(
        self, topic: str, channel: str, source: Source, settings: Settings, counters: Counters
    ) -> None:
        super().__init__(topic, channel, source, settings, counters)
        self.desk: Desk = Desk(settings, counters, shared=True)
        self._busy: dict[Session, int] = {}

    def in_flight(self) -> int:
        """What the browsers can take together: no more is kept from other bridges."""
        return min(sum(self.sessions.values()), self.settings.max_in_flight // 2)

    def join(self, session: Session, count: int) -> None:
        """It takes up to ``count`` messages at a time."""
        super().join(session, min(count, self.settings.max_outstanding))
        self._busy.setdefault(session, 0)
        self._resize()

    def leave(self, session: Session) -> None:
        """What it holds it may still answer."""
        super().leave(session)
        if not self._busy.get(session):
            self._busy.pop(session, None)
        self._resize()

    def take(self, message: Answerable) -> None:
        """Gives it to the browser with the most room."""
        opened = self._open(message)
        if opened is None:
            return
        delivery = self._delivery(message, opened[1], self.channel)
        size = delivery.size
        free = [
            session
            for session, count in self.sessions.items()
            if session.alive and self._busy[session] < count and session.has_room(size)
        ]
        if not free:
            self.counters.returned_total += 1
            message.requeue(NO_ROOM_DELAY, backoff=False)
            return
        chosen = min(free, key=lambda session: self._busy[session] / self.sessions[session])
        self._busy[chosen] += 1
        chosen.offer(delivery)
        self.desk.take_in(delivery)

    def answered(self, delivery: Delivery, session: Session, verdict: Verdict, delay: float | None) -> None:
        """It has room again."""
        if session in self._busy:
            self._busy[session] -= 1
            if not self._busy[session] and session not in self.sessions:
                del self._busy[session]
        if verdict in ("gone", "late"):
            delivery.delay = 0.0  # another can have it at once
        super().answered(delivery, session, verdict, delay)

    def _resize(self) -> None:
        if self.consumer is not None:
            self.consumer.set_max_in_flight(self.in_flight())
