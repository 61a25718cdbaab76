"""Registers handlers: which function takes the messages of which channel."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal, ParamSpec, Protocol, TypeVar

from nsqclient.app.handler import Handler, to_handler
from nsqclient.app.options import DEFAULT, BatchOf, Default, Policies
from nsqclient.app.route import Route
from nsqclient.app.signature import describe, read_signature
from nsqclient.checks import check_name, check_timeout
from nsqclient.connection.options import ConnectionOptions
from nsqclient.consumer.consumer import AroundHandle
from nsqclient.consumer.dedup import Dedup
from nsqclient.consumer.failures import Failures
from nsqclient.consumer.options import Backoff, FlowControl, Leases
from nsqclient.content.codecs import Codec
from nsqclient.durations import Seconds, within
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

        @orders.on("orders", channel="billing", concurrency=32, attempts=3, dead_letter="orders.dead")
        async def bill(order: Order, msg: Message) -> None: ...

    ``topic_prefix`` is put before every topic that the router's decorators name: those received from,
    those published to and those of dead letters. ``around`` is middleware for all its handlers.
    """

    def __init__(self, *, topic_prefix: str = "", around: Sequence[AroundHandle] = ()) -> None:
        self.topic_prefix = topic_prefix
        self._around = tuple(around)
        self._own: dict[tuple[str, str], Route] = {}

    def on(
        self,
        topic: str,
        *,
        channel: str,
        concurrency: int = 1,
        max_in_flight: int | None = None,
        timeout: Seconds | None = None,
        batch: BatchOf | None = None,
        attempts: int | Default = DEFAULT,
        dead_letter: str | Default | None = DEFAULT,
        backoff: Backoff | Literal["consumer", "node"] | Default | None = DEFAULT,
        auto_touch: bool | Default = DEFAULT,
        flow: FlowControl | None = None,
        failures: Failures | None = None,
        leases: Leases | None = None,
        dedup: Dedup | None = None,
        codec: Codec | None = None,
        options: ConnectionOptions | None = None,
        create: bool = False,
        around: Sequence[AroundHandle] = (),
    ) -> Registrar:
        """Decorator: the function handles the messages that ``channel`` gets of ``topic``.

        Its annotations say what it is called with. The first parameter takes the payload, decoded into the
        type it is annotated with (``bytes``: as it is); a parameter annotated ``Message`` takes the message,
        and may be the only one. With ``batch`` these are ``list[T]`` and ``list[Message]``. A plain function
        runs in a thread.

        Up to ``concurrency`` calls run at a time, each for ``timeout`` seconds at most; ``max_in_flight``
        messages are received ahead of that and not answered, by default twice as many as are handled.

        ``attempts`` and ``dead_letter`` are fields of ``failures``, ``backoff`` is one of ``flow`` and
        ``auto_touch`` of ``leases``; give fields or the whole group. What is not given is as the app says,
        and so are ``codec`` and ``options``. A body that can't be decoded becomes a dead letter, or fails if
        there is no topic for these. With ``create`` topic and channel are made first on all nsqds that are
        known, so that nothing published later is missed. ``around`` is middleware within that of the router and of the app; it is
        not asked about batches.

        Raises ConfigError, the decorator too: for bad names, values and annotations, and for a topic and
        channel that have a handler already.
        """
        topic = self._topic(topic)
        check_name("channel", channel)
        within("concurrency", concurrency, 1)
        within("max_in_flight", max_in_flight or 0, 0)
        if timeout is not None:
            check_timeout(timeout)
        if batch is not None and around:
            raise ConfigError("around= is for single messages, and does nothing with batch=")
        if dead_letter is not None and not isinstance(dead_letter, Default):
            dead_letter = self._topic(dead_letter)
        if failures is not None and failures.dead_letter is not None:
            failures = replace(failures, dead_letter=self._topic(failures.dead_letter))
        policies = Policies(
            flow=flow,
            failures=failures,
            leases=leases,
            flow_fields=_given(backoff=backoff),
            failures_fields=_given(attempts=attempts, dead_letter=dead_letter),
            leases_fields=_given(auto_touch=auto_touch),
        )
        names = _names_at_call()

        def register(function: Callable[P, R]) -> Handler[P, R]:
            handler = to_handler(function)
            route = Route(
                topic=topic,
                channel=channel,
                handler=handler,
                signature=read_signature(handler.__wrapped__, batch=batch is not None, names=names),
                concurrency=concurrency,
                max_in_flight=max_in_flight,
                timeout=timeout,
                batch=batch,
                policies=policies,
                dedup=dedup,
                codec=codec,
                options=options,
                create=create,
                around=(*self._around, *around),
            )
            check_different(route, self.routes)
            self._own[topic, channel] = route
            return handler

        return register

    def publishes(self, topic: str) -> Registrar:
        """Decorator: what the handler returns is published to ``topic``, and only then its message finished.

        None publishes nothing; any other value is one message, whatever it is. Only a list that a handler of
        batches returns is a message for each of its values. If publishing fails, the message does. It may
        stand above or below ``on``, and more than once. Raises ConfigError.
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


def check_different(route: Route, others: tuple[Route, ...]) -> None:
    """Raises ConfigError when one of ``others`` has the topic and channel of ``route``."""
    for other in others:
        if (other.topic, other.channel) == (route.topic, route.channel):
            raise ConfigError(
                f"{route.name} has a handler already, {describe(other.handler.__wrapped__)}; "
                f"{describe(route.handler.__wrapped__)} needs a channel of its own to see all messages, too"
            )


def _given(**fields: object) -> dict[str, object]:
    return {name: value for name, value in fields.items() if not isinstance(value, Default)}


def _names_at_call() -> Mapping[str, object]:
    """The names where the decorator is written, for the annotations of handlers inside functions."""
    frame = inspect.currentframe()
    for _ in range(2):
        frame = frame.f_back if frame is not None else None
    return {} if frame is None else dict(frame.f_locals)
