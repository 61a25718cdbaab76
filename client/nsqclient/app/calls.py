"""From a message to a call of the function that handles it, and from what that returns to a publish."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from nsqclient.app.route import Route
from nsqclient.consumer.message import Message
from nsqclient.content.codecs import Codec

Handle = Callable[[Message], Awaitable[object]]
Publish = Callable[[str, object], Awaitable[object]]


def make_call(route: Route, codec: Codec, publish: Publish) -> Handle:
    """What a consumer runs for the route's handler."""
    function, signature = route.handler.__wrapped__, route.signature
    topics = route.handler.publishes

    async def call(message: Message) -> object:
        payload = None if signature.payload is None else codec.decode(message.body, signature.payload)
        args, named = signature.arguments(payload, message)
        value = await function(*args, **named)
        if value is not None:
            for topic in topics:
                await publish(topic, value)
        return value

    return call
