"""What happens to one message: sampled or not, sent to the address that is its turn, or to all of them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence

from nsqclient.consumer.message import Message, message_facts
from nsqclient.errors import Retry
from nsqclient.pauses import Chance
from nsqclient.tools.common.outage import Outage
from nsqclient.tools.common.picking import Picker
from nsqclient.tools.common.timings import Timings
from nsqclient.tools.to_http.connection import Answer, RequestFailed
from nsqclient.tools.to_http.requests import Maker, Request, TooLong

REMEMBERED = 10_000
"""Messages of which it is known which addresses have got them, in the mode ``all``."""

log = logging.getLogger(__name__)

Send = Callable[[Request], Awaitable[Answer]]
"""Sends a request; raises RequestFailed."""
Sent = Callable[[int, int], object]
"""Told how many messages were sent, and their bytes."""


class NotSent(Exception):
    """An address did not take a message."""


class Addresses:
    """Sends messages to single addresses, and times it."""

    def __init__(self, makers: Sequence[Maker], send: Send, timings: Timings) -> None:
        self.names: list[str] = [maker.address for maker in makers]
        self._makers = {maker.address: maker for maker in makers}
        self._send = send
        self._timings = timings
        self.now: Callable[[], float] = time.perf_counter

    async def send(self, address: str, message: Message) -> float:
        """How many seconds it took; raises TooLong, RequestFailed and NotSent."""
        request = self._makers[address].request(message)
        started = self.now()
        status = (await self._send(request)).status
        if not 200 <= status < 300:
            why = f"got status code {status}"
            if status == 414:
                why += f", its URL has {len(request.url.path)} bytes"
            raise NotSent(why)
        seconds = self.now() - started
        self._timings.add(address, seconds)
        return seconds


class OneOf:
    """Each message goes to one address."""

    def __init__(self, addresses: Addresses, picker: Picker, outage: Outage | None = None) -> None:
        """``outage`` says when messages come again that no answer came for; without it the consumer does."""
        self._addresses = addresses
        self._picker = picker
        self._outage = outage

    async def __call__(self, message: Message) -> None:
        """Raises Retry when it is not sent."""
        address = self._picker.pick()
        try:
            seconds = await self._addresses.send(address, message)
        except (RequestFailed, NotSent) as e:
            self._picker.failed(address)
            outage = self._outage if isinstance(e, RequestFailed) else None
            raise _failed(message, f"{address}: {e}", outage) from None
        except TooLong as e:
            raise _failed(message, str(e)) from None
        self._picker.succeeded(address, seconds)
        if self._outage is not None:
            self._outage.over()


class AllOf:
    """Each message goes to every address; when it comes again, only to those that have not got it."""

    def __init__(
        self, addresses: Addresses, remembered: int = REMEMBERED, outage: Outage | None = None
    ) -> None:
        """Of so many messages that failed in part it is ``remembered`` who has them; the oldest are forgotten.

        ``outage`` is as for :class:`OneOf`.
        """
        self._addresses = addresses
        self._outage = outage
        self._most = remembered
        self._have: OrderedDict[tuple[str, bytes], set[str]] = OrderedDict()

    async def __call__(self, message: Message) -> None:
        """Raises Retry unless all have got it."""
        key = (message.node, message.id_bytes)
        have = self._have.pop(key, set())
        missing = [address for address in self._addresses.names if address not in have]
        try:
            errors = await asyncio.gather(*(self._send(address, message, have) for address in missing))
        finally:
            if 0 < len(have) < len(self._addresses.names):
                self._remember(key, have)
        failures = [(address, error) for address, error in zip(missing, errors, strict=True) if error]
        if failures:
            unanswered = all(isinstance(error, RequestFailed) for _, error in failures)
            why = "; ".join(f"{address}: {error}" for address, error in failures)
            raise _failed(message, why, self._outage if unanswered else None)
        if self._outage is not None:
            self._outage.over()

    async def _send(self, address: str, message: Message, have: set[str]) -> Exception | None:
        try:
            await self._addresses.send(address, message)
        except (RequestFailed, NotSent, TooLong) as e:
            return e
        have.add(address)
        return None

    def _remember(self, key: tuple[str, bytes], have: set[str]) -> None:
        self._have[key] = have
        while len(self._have) > self._most:
            self._have.popitem(last=False)


class Delivery:
    """The handler of messages."""

    def __init__(
        self, send: Callable[[Message], Awaitable[None]], *, sample: float, chance: Chance, sent: Sent
    ) -> None:
        """``sample`` is the share of messages that are sent; ``chance`` draws numbers in [0, 1)."""
        self._send = send
        self._sample = sample
        self._chance = chance
        self._sent = sent

    async def handle(self, message: Message) -> None:
        """Returns when it may be finished; raises Retry when it must come again."""
        if self._sample < 1.0 and self._chance() >= self._sample:
            return
        await self._send(message)
        self._sent(1, len(message.body))


def _failed(message: Message, why: str, outage: Outage | None = None) -> Retry:
    log.error(
        "message %s of %d bytes was not sent at attempt %d - %s",
        message.id,
        len(message.body),
        message.attempts,
        why,
        extra=message_facts(message),
    )
    return Retry(why, after=None if outage is None else outage.delay(message.attempts))
