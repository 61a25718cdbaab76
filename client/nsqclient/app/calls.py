"""From a message to a call of the function that handles it, and from what that returns to a publish."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from nsqclient.app.handler import Handler
from nsqclient.app.route import Route
from nsqclient.consumer.message import Message
from nsqclient.content.codecs import Codec

Handle = Callable[[Message], Awaitable[object]]
Publish = Callable[[str, object], Awaitable[object]]


class Watch(Protocol):
    """Who is told of calls, in tests."""

    def called(self, handler: Handler[..., Any], payload: object) -> None:
        """A handler is about to be called."""

    def failed(self, error: Exception) -> None:
        """A call, what came before it, or the publish of its result raised."""


def make_call(route: Route, codec: Codec, publish: Publish, watch: Watch | None) -> Handle:
    """What a consumer runs for the route's handler."""
    handler, signature = route.handler, route.signature

    async def call(message: Message) -> object:
        payload = None if signature.payload is None else codec.decode(message.body, signature.payload)
        args, named = signature.arguments(payload, message)
        if watch is not None:
            watch.called(handler, message.body if signature.payload is None else payload)
        value = await handler.__wrapped__(*args, **named)
        if value is not None:
            for topic in handler.publishes:
                await publish(topic, value)
        return value

    return call if watch is None else _watched(call, watch)


def _watched(call: Handle, watch: Watch) -> Handle:
    async def watched(message: Message) -> object:
        try:
            return await call(message)
        except Exception as e:
            watch.failed(e)
            raise

    return watched
