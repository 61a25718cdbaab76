"""An application of handlers: subscribes them, runs them, publishes for them, and ends in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self

from nsqclient.app.calls import Calls, Watch
from nsqclient.app.health import AppHealth
from nsqclient.app.hooks import Hooks
from nsqclient.app.route import Route
from nsqclient.app.router import Router, check_different
from nsqclient.app.serve import serve
from nsqclient.app.session import Run, Session
from nsqclient.connection.endpoint import resolve
from nsqclient.connection.options import ConnectionOptions
from nsqclient.consumer.consumer import AroundHandle, Consumer
from nsqclient.consumer.failures import Failures
from nsqclient.consumer.options import FlowControl, Leases
from nsqclient.content import codecs
from nsqclient.content.codecs import Codec
from nsqclient.content.sealing import HeadersMode
from nsqclient.discovery.targets import Standin, Target, to_target
from nsqclient.durations import Seconds, to_seconds, within
from nsqclient.errors import Closed, ConfigError
from nsqclient.producer.options import Batch, RetryPolicy, Routing
from nsqclient.producer.producer import Producer
from nsqclient.producer.relay import AroundPublish

if TYPE_CHECKING:
    from nsqclient.app.trial import Trial
    from nsqclient.testing import FakeCluster

DRAIN_ON_ERROR = 5.0
"""Seconds for handlers under way when the block of an app is left by an exception."""


class App(Router):
    """Handlers, and what they run on; it is a :class:`Router` itself.

    ::

        app = App(Lookup("http://lookup:4161"))

        @app.on("orders", channel="billing", concurrency=32)
        @app.publishes("invoices")
        async def bill(order: Order) -> Invoice: ...

        if __name__ == "__main__":
            app.run(grace=25)

    :meth:`run` is for a process of its own; ``async with app:`` lives in a program with other things to do.
    Either way all handlers' subscriptions are made at the start, and one producer is there for all of them.
    An app may be run again after it has ended.
    """

    def __init__(
        self,
        target: Target,
        *,
        options: ConnectionOptions | None = None,
        codec: Codec = codecs.auto,
        headers: HeadersMode = "never",
        flow: FlowControl | None = None,
        failures: Failures | None = None,
        leases: Leases | None = None,
        around: Sequence[AroundHandle] = (),
        around_publish: Sequence[AroundPublish] = (),
        routing: Routing | None = None,
        retry: RetryPolicy | None = None,
        batch: Batch | None = None,
        publish_timeout: Seconds = 5.0,
        grace: Seconds = 25.0,
    ) -> None:
        """Nothing connects here.

        ``codec`` reads what handlers take and writes what they return. ``headers`` is what the producer may
        send; unless it is ``never``, those of messages are read, too. ``flow``, ``failures`` and ``leases``
        hold for all handlers that do not say otherwise. ``around`` is middleware for messages,
        ``around_publish`` for what is published.

        ``routing``, ``retry``, ``batch`` and ``publish_timeout`` are the producer's, which publishes what
        handlers return, dead letters included. ``grace`` is how many seconds handlers may go on at the end.
        Raises ConfigError.
        """
        super().__init__(around=around)
        self._target = target if isinstance(target, Standin) else to_target(target)
        self._options = options
        self._codec = codec
        self._headers: HeadersMode = headers
        self._defaults = (flow or FlowControl(), failures or Failures(), leases or Leases())
        self._grace = within("grace", grace, 0)
        self._make_producer = partial(
            Producer,
            codec=codec,
            headers=headers,
            around=tuple(around_publish),
            routing=routing,
            retry=retry,
            batch=batch,
            timeout=publish_timeout,
        )
        self._make_producer("127.0.0.1:4150")  # finds what can't be right before anything runs
        self._included: list[Router] = []
        self._session: Session | None = None
        self.on_startup: Hooks = Hooks("on_startup")
        """Decorator: called before anything connects. An error ends the start."""
        self.after_startup: Hooks = Hooks("after_startup")
        """Decorator: called when all is subscribed; the producer can be used. An error ends the start."""
        self.on_shutdown: Hooks = Hooks("on_shutdown")
        """Decorator: called at the end while handlers still run and the producer can be used."""
        self.after_shutdown: Hooks = Hooks("after_shutdown")
        """Decorator: called when all is closed, also after a start that failed."""

    # ---- registering

    def include(self, router: Router) -> None:
        """Adds the handlers of ``router``, those that it gets later too; raises ConfigError."""
        if isinstance(router, App):
            raise ConfigError("an app can't include an app; put the handlers on a Router")
        if router in self._included:
            raise ConfigError(f"{router!r} is included already")
        for route in router.routes:
            check_different(route, self.routes)
        self._included.append(router)

    @property
    def routes(self) -> tuple[Route, ...]:
        """Those of the app and of all routers it includes."""
        return sum((router.routes for router in self._included), super().routes)

    # ---- while it is open

    @property
    def producer(self) -> Producer:
        """The producer of the app, for handlers and others; raises Closed unless the app is open."""
        if self._session is None:
            raise Closed("the app is not open; use it with 'async with', or call run()")
        return self._session.producer

    @property
    def consumers(self) -> Mapping[tuple[str, str], Consumer]:
        """By topic and channel, to pause, watch or steer them; empty unless the app is open."""
        runs = () if self._session is None else self._session.runs
        return {(run.route.topic, run.route.channel): run.consumer for run in runs}

    def health(self) -> AppHealth:
        """How it is doing, as of now."""
        if self._session is None:
            return AppHealth(phase="new", live=True, ready=False, subscriptions=())
        return self._session.health

    async def wait(self) -> None:
        """Until :meth:`stop` is called; raises what a subscription died of, with a note which it was."""
        if self._session is None:
            raise Closed("the app is not open; use it with 'async with', or call run()")
        await self._session.wait()

    def stop(self) -> None:
        """Ends :meth:`wait` and :meth:`run`; the rest of the end follows there. For handlers and signals."""
        if self._session is not None:
            self._session.stop()

    # ---- its life

    async def __aenter__(self) -> Self:
        """Returns when every handler's channel is subscribed to, or no nsqd can be reached at present.

        Raises ConfigError without handlers, what a hook raises, and what :class:`Consumer` raises when all
        nsqds refuse a subscription. Then everything that was opened is closed again.
        """
        await self._open(self._target, None)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            await self.close()
            return
        try:
            await self.close(min(self._grace, DRAIN_ON_ERROR))
        except Exception as e:  # noqa: BLE001 - logged where it arose; what the block raised matters more
            error.add_note(f"and the app's end failed: {e!r}")

    async def close(self, grace: Seconds | None = None) -> None:
        """Ends in order; a second call waits for the first.

        The hooks of ``on_shutdown``; then deliveries stop, messages that no handler has begun are requeued
        at once, and handlers have ``grace`` seconds to end before they are cancelled and their messages
        requeued; then the producer; then the hooks of ``after_shutdown``. Hooks have ``grace`` seconds as
        well. Raises the first error of a hook, at the end. Being cancelled cuts all waiting short.
        """
        session = self._session
        if session is None:
            return
        try:
            await session.close(self._grace if grace is None else to_seconds(grace))
        finally:
            if session.life.phase == "closed" and self._session is session:
                self._session = None

    def run(self, *, grace: Seconds | None = None) -> None:
        """Runs until SIGINT or SIGTERM, or :meth:`stop`; with uvloop where that is installed.

        The first signal ends it in order, within ``grace`` seconds (the app's) for handlers under way. A
        second one cancels the handlers, whose messages are requeued, and the process exits with 128 plus
        the signal's number. Raises what the start raised or what a subscription died of, once everything
        else has ended in order. Signals are only heeded in the main thread.
        """
        serve(self, self._grace if grace is None else to_seconds(grace))

    def test(self, cluster: FakeCluster | None = None) -> Trial:
        """Runs the app's handlers on nsqds in memory; see :class:`Trial`, which it returns.

        ``cluster`` is for tests that need more than one plain node.
        """
        from nsqclient.app.trial import Trial  # nobody but tests pays for it

        return Trial(self._open, self.close, self._codec, cluster)

    async def _open(self, target: Target, watch: Watch | None) -> Session:
        if self._session is not None:
            raise Closed("the app is open already")
        session = self._session = self._make_session(target, watch)
        try:
            await session.open()
        except BaseException:
            self._session = None
            raise
        return session

    def _make_session(self, target: Target, watch: Watch | None) -> Session:
        routes = self.routes
        if not routes:
            raise ConfigError("the app has no handlers; register some with @app.on, or include a Router")
        for number, route in enumerate(routes):
            check_different(route, routes[:number])
            route.handler.calls.clear()
        place, options = resolve(target, self._options)
        if watch is not None:
            options = _plain(options)
        producer = self._make_producer(place, options=options)

        async def publish(topic: str, values: Sequence[object]) -> None:
            deliveries = [await producer.submit(topic, value) for value in values]
            for delivery in deliveries:
                await delivery

        def make_run(route: Route) -> Run:
            flow, failures, leases = route.policies.over(*self._defaults)
            if failures.dead_letter is not None and failures.dead_letter_producer is None:
                failures = replace(failures, dead_letter_producer=producer)
            if watch is not None:
                flow = replace(flow, backoff=None)
            own = route.options if route.options is None or watch is None else _plain(route.options)
            consumer = Consumer(
                route.topic,
                route.channel,
                place,
                options=own or options,
                max_in_flight=route.max_in_flight,
                flow=flow,
                failures=failures,
                leases=leases,
                codec=route.codec or self._codec,
                headers="never" if self._headers == "never" else "auto",
                dedup=route.dedup,
                create=route.create and watch is None,  # nsqds in memory have no HTTP API
                around=self._around_of(route),
            )
            calls = Calls(route, publish, watch, dead_letters=failures.dead_letter is not None)
            return Run(route, consumer, calls)

        hooks = (self.on_startup, self.after_startup, self.on_shutdown, self.after_shutdown)
        return Session(producer, [make_run(route) for route in routes], {each.name: each for each in hooks})

    def _around_of(self, route: Route) -> tuple[AroundHandle, ...]:
        """The app's middleware is outermost; its own routes have it already."""
        return route.around if route in self._own.values() else (*self._around, *route.around)


def _plain(options: ConnectionOptions) -> ConnectionOptions:
    """For nsqds in memory, which have neither certificates nor secrets."""
    return replace(options, tls=None, compress=None, auth=None)
