"""The work behind a consumer: its parts, how they begin, and their end in order."""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from nsqclient.connection.options import ConnectionOptions
from nsqclient.consumer.admission import Admission
from nsqclient.consumer.create import create_everywhere
from nsqclient.consumer.dedup import Dedup
from nsqclient.consumer.events import Events
from nsqclient.consumer.failures import Failures
from nsqclient.consumer.flow import Flow
from nsqclient.consumer.handout import HandOut
from nsqclient.consumer.health import Health
from nsqclient.consumer.intake import Intake
from nsqclient.consumer.members import CLOSE_WAIT_TIMEOUT, Members
from nsqclient.consumer.news import News
from nsqclient.consumer.options import FlowControl, Leases
from nsqclient.consumer.subscription import Subscription
from nsqclient.consumer.workers import Workers
from nsqclient.content.codecs import Codec
from nsqclient.discovery.targets import Lookup, Nsqd
from nsqclient.durations import to_seconds
from nsqclient.lifecycle import Lifecycle
from nsqclient.pauses import Chance, FullJitter
from nsqclient.tasks import Tasks

log = logging.getLogger(__name__)

AHEAD = 2
"""Messages under way for each that is handled, unless ``max_in_flight`` is given: so none waits for its next."""


class Reception:
    """The parts of one consumer."""

    def __init__(
        self,
        topic: str,
        channel: str,
        target: Nsqd | Lookup,
        *,
        options: ConnectionOptions,
        max_in_flight: int | None,
        flow: FlowControl,
        failures: Failures,
        leases: Leases,
        codec: Codec,
        dedup: Dedup | None,
        headers: bool,
        create: bool,
        pace: FullJitter,
        chance: Chance,
    ) -> None:
        options.check_for_consumer()
        self._topic = topic
        self._channel = channel
        self._target = target
        self._create = create
        self._chance = chance
        self._max_in_flight = max_in_flight
        self._news = News()
        self._tasks = Tasks(self.fail)
        self._hurried = False
        self._close_wait: asyncio.TimerHandle | None = None
        self.life: Lifecycle = Lifecycle("consumer")
        self.events: Events = Events()
        self.intake: Intake = Intake()
        self.flow: Flow = Flow(
            1 if max_in_flight is None else max_in_flight,
            flow,
            self.events,
            chance,
            self.fail,
            self.intake.buffered,
            {"topic": topic, "channel": channel},
        )
        self.admission: Admission = Admission(
            failures,
            dedup,
            topic=topic,
            target=target,
            options=options,
            headers=headers,
            events=self.events,
            failed=self.fail,
            chance=chance,
        )
        self.members: Members = Members(
            partial(
                Subscription,
                topic=topic,
                channel=channel,
                options=options,
                requeue=failures.requeue,
                margin=to_seconds(leases.margin),
                codec=codec,
                headers=headers,
                pace=pace,
                chance=chance,
                tasks=self._tasks,
                dial=target.dial,
            ),
            target,
            topic=topic,
            channel=channel,
            events=self.events,
            flow=self.flow,
            intake=self.intake,
            give_up=self.admission.give_up,
            leases=leases,
            news=self._news,
            tasks=self._tasks,
            failed=self.fail,
            chance=chance,
        )
        self.handout: HandOut = HandOut(
            self.life, self.intake, self.flow, self.admission, self.members.starving
        )
        self.workers: Workers = Workers(self.life, self._handlers_changed)

    def set_max_in_flight(self, count: int) -> None:
        """Changes the cap, for good."""
        self._max_in_flight = count
        self.flow.set_max_in_flight(count)

    def _handlers_changed(self, places: int) -> None:
        self._news.tell()
        if self._max_in_flight is None and places and not self.intake.ended:
            self.flow.set_max_in_flight(AHEAD * places)

    def health(self) -> Health:
        """How it stands."""
        members = self.members.by_node.values()
        reasons = [str(m.failure) for m in members if m.failure is not None]
        if not members and self.life.phase == "open":
            reasons.append("no nsqd is known to have the topic")
        usable = self.life.is_open
        if not usable:
            reasons.insert(0, str(self.life.closed()))
        live = self.life.phase in ("new", "open", "closing") and not self.life.failed
        return Health(live, usable and any(m.connected for m in members), tuple(reasons))

    # ---- its beginning

    async def open(self) -> None:
        """Returns once a nsqd accepted the subscription, or none can at present.

        Raises the first of ``REFUSALS`` when every nsqd there is refuses.
        """
        self.life.open()
        self.flow.start()
        self.members.start()
        try:
            if self._create and isinstance(self._target, Lookup):
                made = await create_everywhere(self._target, self._topic, self._channel, self._chance)
                self.members.found(made, False)  # nsqlookupds may not have heard of it yet
            await self._first_attempts()
        except BaseException:
            await self.close(0)
            raise

    async def _first_attempts(self) -> None:
        """Until it is known how the consumer stands."""
        members = self.members
        await self._news.until(
            lambda: members.any_joined or members.decided or self.life.failed or self.intake.ended
        )
        if self.life.failed:
            raise self.life.closed()
        refusal = members.refusal
        if refusal is not None:
            raise refusal

    # ---- its end

    def stop(self) -> None:
        """Begins the end: deliveries stop, and what was not handed out goes back."""
        if self.life.phase == "new" or self.intake.ended:
            return
        self.flow.stop()
        self._tasks.cancel()
        self.members.begin_close()
        for message in self.intake.end():
            message.source.hand_back(message)
        self._news.tell()
        loop = asyncio.get_running_loop()
        self._close_wait = loop.call_later(CLOSE_WAIT_TIMEOUT, self.members.close_unconfirmed)

    async def close(self, drain: float) -> None:
        """Ends in order; a second call waits for the first."""
        if self.life.phase == "new":
            self.intake.end()
            self.events.end()
        await self.life.close(lambda: self._close(drain), self._hurry)

    async def _close(self, drain: float) -> None:
        self.stop()
        await self._tasks.stop()
        members = self.members
        try:
            async with asyncio.timeout(drain):
                await self._news.until(lambda: self._hurried or (members.done and self.workers.idle))
        except TimeoutError:
            pass
        await self.workers.cancel()
        await self.admission.close()
        # what is still on its way here must come before the connections end, to be handed back
        await self._news.until(lambda: members.quiet)
        await members.end()
        if self._close_wait is not None:
            self._close_wait.cancel()
        self.handout.stop()
        self.events.end()

    def _hurry(self) -> None:
        self._hurried = True
        self._news.tell()

    def fail(self, error: BaseException) -> None:
        """A part of the consumer died: whoever waits must know."""
        where = {"topic": self._topic, "channel": self._channel}
        log.error("the consumer failed", exc_info=error, extra=where)
        self.life.fail(error)
        self.stop()
        self._news.tell()
