"""Several messages at a time: collected until there are enough, or waiting for more is of no use."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Sequence
from types import TracebackType
from typing import NamedTuple, Protocol, Self, overload

from nsqclient.consumer.message import HELD, Message
from nsqclient.durations import Seconds, within
from nsqclient.errors import ConfigError

GRACE = 0.02
"""Seconds to wait for other nsqds when one can't send more until its messages are answered."""


class MessageBatch(Sequence[Message]):
    """Messages to be handled together: a sequence of them. Each is answered on its own.

    ``async with batch:`` finishes them when the block ends, requeues them when it raises (the exception
    goes on) or is cancelled; those that were answered in the block stay so.
    """

    __slots__ = ("messages",)

    def __init__(self, messages: Sequence[Message]) -> None:
        self.messages: Sequence[Message] = messages

    @property
    def bodies(self) -> list[bytes]:
        """Those of the messages, in their order."""
        return [message.body for message in self.messages]

    def settle(
        self,
        *,
        requeue: Collection[int | Message] | None = None,
        delay: Seconds | None = None,
        backoff: bool = True,
    ) -> None:
        """Requeues the messages in ``requeue``, given as places in the batch or as messages; finishes the rest.

        ``delay`` and ``backoff`` are those of :meth:`Message.requeue`. Messages that were answered before
        are left alone. Raises ConfigError, before anything is answered, for what is not in the batch.
        """
        failed = self._named(requeue or ())
        for message in self.messages:
            if message.state is not HELD:
                continue
            if message in failed:
                message.requeue(delay, backoff=backoff)
            else:
                message.finish()

    def touch(self) -> None:
        """Asks nsqd for the whole message timeout once more, for all that are not answered."""
        for message in self.messages:
            message.touch()

    def end(self, error: BaseException | None) -> None:
        """Gives the answers that follow from how the work on it ended, where none was given."""
        for message in self.messages:
            message.settle(error)

    def _named(self, named: Collection[int | Message]) -> set[Message]:
        if not named:
            return set()
        there = set(self.messages)
        found: set[Message] = set()
        for one in named:
            message = self._at(one) if isinstance(one, int) else one
            if message is None or message not in there:
                raise ConfigError(f"{one!r} is not in this batch of {len(there)} messages")
            found.add(message)
        return found

    def _at(self, place: int) -> Message | None:
        return self.messages[place] if 0 <= place < len(self.messages) else None

    def __len__(self) -> int:
        return len(self.messages)

    @overload
    def __getitem__(self, place: int) -> Message: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Message]: ...
    def __getitem__(self, place: int | slice) -> Message | Sequence[Message]:
        return self.messages[place]

    def __iter__(self) -> Iterator[Message]:
        return iter(self.messages)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end(error)

    def __repr__(self) -> str:
        return f"<MessageBatch of {len(self.messages)}>"


class Starving(NamedTuple):
    """How much of what may be received is here and not answered."""

    some: bool
    """One nsqd, at least, can send no more."""
    every: bool
    """None can."""


class Incoming(Protocol):
    """Where the messages come from."""

    async def take(self, *, wait: bool = True) -> Message | None:
        """The next message; None when nothing comes any more. Cancelling it loses nothing.

        Without ``wait`` it raises TimeoutError when none of those that are here may be had now.
        """

    def take_more(self, most: int) -> list[Message]:
        """Some of those that are here, ``most`` at most; none where something must be thought of first."""

    def buffered(self) -> int:
        """Messages that are here; not all may be worth taking, nor now."""

    def put_back(self, messages: list[Message]) -> None:
        """These were taken and are not handed out: they come first again."""

    def starving(self) -> Starving:
        """Whether more can come while nothing is answered."""


class Collector:
    """Takes messages, ``max_messages`` at most, waiting ``linger`` seconds at most after the first."""

    def __init__(self, incoming: Incoming, max_messages: int, linger: Seconds) -> None:
        """Raises ConfigError."""
        within("max_messages", max_messages, 1)
        self._incoming = incoming
        self._most = max_messages
        self._linger = within("linger", linger, 0)

    async def take(self) -> MessageBatch | None:
        """The next batch, which has a message at least; None when nothing comes any more.

        It is complete when it is full, when ``linger`` has passed, or when the nsqds can't send more
        until something is answered, as with a ``max_in_flight`` below ``max_messages``. When this is
        cancelled, what was collected is put back.
        """
        incoming = self._incoming
        first = await incoming.take()
        if first is None:
            return None
        collected = [first]
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._linger
        try:
            while len(collected) < self._most:
                more = incoming.take_more(self._most - len(collected))
                if more:
                    collected += more
                    continue
                message = await self._take_another(deadline)
                if message is None:
                    incoming.put_back(collected)  # nobody has begun to work on them
                    return None
                collected.append(message)
        except TimeoutError:
            pass
        except BaseException:
            incoming.put_back(collected)
            raise
        # some may have been lost while others were waited for
        held = [message for message in collected if message.state is HELD]
        return MessageBatch(held) if held else await self.take()

    def _wait_until(self, now: float, deadline: float) -> float:
        """When to hand out what there is, if nothing comes before."""
        starving = self._incoming.starving()
        if starving.every:
            return now
        return min(deadline, now + GRACE) if starving.some else deadline

    async def _take_another(self, deadline: float) -> Message | None:
        """Raises TimeoutError; for what is here it does not wait, but for what must be asked about a message."""
        incoming = self._incoming
        if incoming.buffered():
            try:
                return await incoming.take(wait=False)
            except TimeoutError:
                pass  # their time had run out, somebody was quicker, or the rate is limited
        now = asyncio.get_running_loop().time()
        until = self._wait_until(now, deadline)
        if until <= now:
            raise TimeoutError
        async with asyncio.timeout_at(until):
            return await incoming.take()


class BatchIterator:
    """An iterator of batches; it ends when its consumer does."""

    def __init__(self, collector: Collector, failure: Callable[[], Exception | None]) -> None:
        """``failure`` tells, at the end, why the consumer failed if it did."""
        self._collector = collector
        self._failure = failure

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> MessageBatch:
        """Cancelling it loses nothing: what was collected is in the next batch."""
        batch = await self._collector.take()
        if batch is None:
            failure = self._failure()
            raise failure if failure is not None else StopAsyncIteration
        return batch
