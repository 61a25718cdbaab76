"""From a message, or a batch, to a call of the function that handles it, and to a publish of what it returns.

What a consumer runs is a coroutine function for a handler that is one, and a plain function for a plain one,
which the consumer then calls in a thread: decoding is done there, too.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from typing import Any, Protocol

from nsqclient.app.handler import Handler
from nsqclient.app.route import Route
from nsqclient.app.signature import spell
from nsqclient.consumer.message import Message
from nsqclient.consumer.threads import is_plain
from nsqclient.errors import CodecError, DeadLetter

log = logging.getLogger(__name__)

Publish = Callable[[str, Sequence[object]], Awaitable[object]]
"""Publishes values to a topic; returns when all of them are stored."""


class Watch(Protocol):
    """Who is told of calls, in tests."""

    def called(self, handler: Handler[..., Any], payload: object) -> None:
        """A handler is about to be called."""

    def failed(self, error: Exception) -> None:
        """A call, what came before it, or the publish of its result raised."""


class Calls:
    """The calls of one route's function."""

    def __init__(self, route: Route, publish: Publish, watch: Watch | None, *, dead_letters: bool) -> None:
        """``dead_letters`` says whether there is a topic for what can't be read."""
        self._route = route
        self._function = route.handler.__wrapped__
        self._signature = route.signature
        self._publish = publish
        self._watch = watch
        self._dead_letters = dead_letters

    @property
    def handler(self) -> Callable[[Any], object]:
        """What the consumer is to run."""
        call = self._single if self._route.batch is None else self._batch
        if is_plain(self._function):
            return call
        if self._watch is None and self._route.batch is None and inspect.iscoroutinefunction(self._function):
            return self._straight

        async def awaited(item: Any) -> object:
            result = call(item)
            return await result if inspect.isawaitable(result) else result

        return awaited

    async def _straight(self, message: Message) -> object:
        """What :meth:`_single` comes to in the common case, at half its cost."""
        payload = message.body if self._signature.payload is None else self._read(message)
        args, named = self._signature.arguments(payload, message)
        value = await self._function(*args, **named)
        if value is not None and self._route.handler.publishes:
            await self._publish_result(value)
        return value

    def _single(self, message: Message) -> object:
        return self._guarded(lambda: self._call_single(message))

    def _batch(self, batch: Sequence[Message]) -> object:
        return self._guarded(lambda: self._call_batch(batch))

    def _call_single(self, message: Message) -> object:
        payload = message.body if self._signature.payload is None else self._read(message)
        return self._call(payload, message)

    def _call_batch(self, batch: Sequence[Message]) -> object:
        """What can't be read is answered by itself and does not spoil the rest."""
        if self._signature.payload is None:
            return self._call([message.body for message in batch], list(batch))
        payloads, messages = [], []
        for message in batch:
            try:
                payloads.append(self._read(message))
                messages.append(message)
            except (CodecError, DeadLetter) as e:
                log.error("message %s of %s can't be read: %s", message.id, self._route.name, e)
                if self._watch is not None:
                    self._watch.failed(e)
                message.settle(e)
        return self._call(payloads, messages) if messages else None

    def _read(self, message: Message) -> object:
        """The body as the handler wants it; raises DeadLetter or CodecError, as another attempt can't help."""
        wanted = self._signature.payload
        try:
            return message.decode(wanted)
        except Exception as e:
            text = f"the body is not what the handler takes ({spell(wanted)}): {e}"
            if self._dead_letters:
                raise DeadLetter(text) from e
            raise CodecError(text) from e

    def _call(self, payload: object, message: object) -> object:
        if self._watch is not None:
            self._watch.called(self._route.handler, payload)
        args, named = self._signature.arguments(payload, message)
        value = self._function(*args, **named)
        if inspect.isawaitable(value) or (value is not None and self._route.handler.publishes):
            return _Later(lambda: self._after(value))
        return value

    async def _after(self, value: object) -> object:
        """The rest, in the event loop."""
        if inspect.isawaitable(value):
            value = await value
        if value is not None:
            await self._publish_result(value)
        return value

    async def _publish_result(self, value: object) -> None:
        values = value if self._route.batch is not None and isinstance(value, list) else [value]
        for topic in self._route.handler.publishes:
            await self._publish(topic, values)

    def _guarded(self, call: Callable[[], object]) -> object:
        """Tells the watch what goes wrong, now and in what is to be awaited."""
        watch = self._watch
        if watch is None:
            return call()
        try:
            result = call()
        except Exception as e:
            watch.failed(e)
            raise
        return _Later(lambda: _watched(result, watch)) if inspect.isawaitable(result) else result


async def _watched(result: Awaitable[object], watch: Watch) -> object:
    try:
        return await result
    except Exception as e:
        watch.failed(e)
        raise


class _Later:
    """To be awaited, or dropped without a warning: the result of a thread that nobody waits for any more."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[[], Coroutine[Any, Any, object]]) -> None:
        self._make = make

    def __await__(self) -> Generator[Any, Any, object]:
        return self._make().__await__()
