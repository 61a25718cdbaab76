"""Registers handlers: which function takes the messages of which channel."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, Protocol, TypeVar

from nsqclient.app.handler import Handler, to_handler
from nsqclient.app.route import Route
from nsqclient.app.signature import describe, read_signature
from nsqclient.checks import check_name
from nsqclient.consumer.failures import Failures
from nsqclient.consumer.options import Backoff, FlowControl
from nsqclient.durations import within
from nsqclient.errors import ConfigError

P = ParamSpec("P")
R = TypeVar("R")


class Registrar(Protocol):
    """A decorator that makes handlers."""

    def __call__(self, function: Callable[P, R]) -> Handler[P, R]:
        """Makes a handler of ``function``, or adds to the one that it is; raises ConfigError."""


class Router:
    """Handlers of one subject, for an app to include.

    ::

        orders = Router(topic_prefix="shop.")

        @orders.on("orders", channel="billing", concurrency=32)
        async def bill(order: Order, msg: Message) -> None: ...

    ``topic_prefix`` is put before every topic that the router's decorators name: those received from,
    those published to and those of dead letters.
    """

    def __init__(self, *, topic_prefix: str = "") -> None:
        self.topic_prefix = topic_prefix
        self._own: dict[tuple[str, str], Route] = {}

    def on(
        self,
        topic: str,
        *,
        channel: str,
        concurrency: int = 1,
        max_in_flight: int | None = None,
        attempts: int = 5,
        backoff: Backoff | None = Backoff(),  # noqa: B008 - frozen
    ) -> Registrar:
        """Has a function handle the messages that ``channel`` gets of ``topic``."""
        topic = self._topic(topic)
        check_name("channel", channel)
        within("concurrency", concurrency, 1)
        within("max_in_flight", max_in_flight or 0, 0)
        names = _names_at_call()
        settings: dict[str, Any] = {
            "failures": Failures(attempts=attempts),
            "flow": FlowControl(backoff=backoff),
        }
        in_flight = 2 * concurrency if max_in_flight is None else max_in_flight

        def register(function: Callable[P, R]) -> Handler[P, R]:
            handler = to_handler(function)
            route = Route(
                topic=topic,
                channel=channel,
                handler=handler,
                signature=read_signature(handler.__wrapped__, batch=False, names=names),
                concurrency=concurrency,
                max_in_flight=in_flight,
                settings=settings,
            )
            self._check_new(route)
            self._own[topic, channel] = route
            return handler

        return register

    def publishes(self, topic: str) -> Registrar:
        """Publishes to ``topic`` what the handler returns, and only then finishes the message.

        None publishes nothing. If publishing fails, the message does. It may stand above or below ``on``,
        and more than once.
        """
        topic = self._topic(topic)

        def register(function: Callable[P, R]) -> Handler[P, R]:
            handler = to_handler(function)
            if topic in handler.publishes:
                raise ConfigError(f"handler {describe(handler.__wrapped__)} publishes to {topic!r} already")
            handler.publishes.append(topic)
            return handler

        return register

    @property
    def routes(self) -> tuple[Route, ...]:
        """What is registered, in this order."""
        return tuple(self._own.values())

    def _topic(self, topic: str) -> str:
        if not isinstance(topic, str):
            raise ConfigError(
                f'a topic\'s name is a str, not {topic!r}; write @router.on("topic", channel=...)'
            )
        topic = self.topic_prefix + topic
        check_name("topic", topic)
        return topic

    def _check_new(self, route: Route) -> None:
        """Raises ConfigError when there is a handler for its channel."""
        check_different(route, self.routes)


def check_different(route: Route, others: tuple[Route, ...]) -> None:
    """Raises ConfigError when one of ``others`` has the topic and channel of ``route``."""
    for other in others:
        if (other.topic, other.channel) == (route.topic, route.channel):
            raise ConfigError(
                f"{route.name} has a handler already, {describe(other.handler.__wrapped__)}; "
                f"{describe(route.handler.__wrapped__)} needs a channel of its own to see all messages, too"
            )


def _names_at_call() -> Mapping[str, object]:
    """The names where the decorator is written, for the annotations of handlers inside functions."""
    frame = inspect.currentframe()
    for _ in range(2):
        frame = frame.f_back if frame is not None else None
    return {} if frame is None else dict(frame.f_locals)
