"""Hands messages out one by one: those that are worth it, when it is time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from nsqclient.consumer.admission import Admission
from nsqclient.consumer.batches import Starving
from nsqclient.consumer.flow import Flow
from nsqclient.consumer.intake import Intake
from nsqclient.consumer.message import HELD, Message
from nsqclient.consumer.rate import Rate
from nsqclient.consumer.ready import UNBOUNDED
from nsqclient.lifecycle import Lifecycle

TURN = 0.01
"""Seconds that messages are handed out without letting the loop turn. A body that never waits would keep
heartbeats and answers back until all that was received is worked on."""


class HandOut:
    """Between the line of what was received and those who take."""

    def __init__(
        self,
        life: Lifecycle,
        intake: Intake,
        flow: Flow,
        admission: Admission,
        starving: Callable[[], Starving],
    ) -> None:
        """``starving`` tells whether more can come while nothing is answered."""
        self.starving: Callable[[], Starving] = starving
        self.buffered: Callable[[], int] = intake.buffered
        """Messages that can be taken without waiting."""
        self._life = life
        self._intake = intake
        self._flow = flow
        self._admission = admission
        self._give_up = admission.give_up
        self._turn_ends = 0.0
        self._rate_timer: asyncio.TimerHandle | None = None

    def take_now(self) -> Message | None:
        """The next message, where that is plain: it is there, and there is nothing to think of. Else None."""
        messages = self._intake.messages
        if not messages or self._flow.rate is not None or self._admission.needed:
            return None
        message, now = messages[0], asyncio.get_running_loop().time()
        if (
            now > self._turn_ends
            or now - message.renewed_at > message.source.lease
            or message.attempts > self._give_up.suspicious
        ):
            return None
        return messages.popleft()

    def take_more(self, most: int) -> list[Message]:
        """Up to ``most`` of those that are first in line, where that is plain for each: as :meth:`take_now`."""
        messages = self._intake.messages
        if not messages or self._flow.rate is not None or self._admission.needed:
            return []
        now, suspicious = asyncio.get_running_loop().time(), self._give_up.suspicious
        if now > self._turn_ends:
            return []
        taken: list[Message] = []
        while messages and len(taken) < most:
            message = messages[0]
            if now - message.renewed_at > message.source.lease or message.attempts > suspicious:
                break
            taken.append(messages.popleft())
        return taken

    async def take(self, *, wait: bool = True) -> Message | None:
        """The next message that is worth handing out; None when nothing comes any more.

        Cancelling it loses nothing. Raises Closed unless the consumer was opened, and TimeoutError without
        ``wait`` when none of those that are here may be handed out now.
        """
        messages = self._intake.messages
        clock = asyncio.get_running_loop().time
        while True:
            if clock() > self._turn_ends:
                await asyncio.sleep(0)
                self._turn_ends = clock() + TURN
            while messages:
                if self._flow.rate is not None and self._must_wait(self._flow.rate):
                    break
                message = messages.popleft()
                if clock() - message.renewed_at > message.source.lease:
                    message.source.expire(message)
                elif self._admission.needed and not await self._admit(message):
                    continue
                elif not self._give_up.overdue(message):
                    if self._flow.rate is not None:
                        self._handed_out(self._flow.rate)
                    return message
            if self._intake.ended:
                return None
            if self._life.phase == "new":
                raise self._life.closed()
            if not wait:
                raise TimeoutError
            await self._intake.wait()
            self._turn_ends = clock() + TURN

    def put_back(self, messages: list[Message]) -> None:
        """These were taken and are not handed out: they come first again."""
        held = [message for message in messages if message.state is HELD]
        if not self._intake.ended:
            self._intake.put_back(held)
            return
        for message in held:
            message.source.hand_back(message)

    def set_rate(self, per_second: float | None) -> None:
        """Limits the messages handed out per second."""
        self._flow.set_rate(per_second)
        self.stop()  # the next message waits as the new rate says
        self._intake.wake(UNBOUNDED)

    def stop(self) -> None:
        """Nothing waits for its turn any more."""
        if self._rate_timer is not None:
            self._rate_timer.cancel()
            self._rate_timer = None

    async def _admit(self, message: Message) -> bool:
        try:
            admitted = await self._admission.admit(message)
        except BaseException:
            self.put_back([message])
            raise
        if admitted and self._intake.ended and message.state is HELD:
            message.source.hand_back(message)
        return admitted and message.state is HELD

    def _must_wait(self, rate: Rate) -> bool:
        loop = asyncio.get_running_loop()
        wait = rate.wait(loop.time())
        if wait and self._rate_timer is None:
            self._rate_timer = loop.call_later(wait, self._may_go_on)
        return wait > 0

    def _handed_out(self, rate: Rate) -> None:
        self._flow.handed_out()
        if self._intake.messages and not self._must_wait(rate):
            self._intake.wake(1)

    def _may_go_on(self) -> None:
        self._rate_timer = None
        self._intake.wake(1)
