"""An app under test: its handlers at work on a cluster in memory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from nsqclient.app.calls import Watch
from nsqclient.app.handler import Handler
from nsqclient.app.session import Session
from nsqclient.content import codecs
from nsqclient.content.codecs import Codec
from nsqclient.content.envelope import unwrap
from nsqclient.durations import Seconds
from nsqclient.errors import Closed, ConfigError, Control
from nsqclient.producer.delivery import Receipt
from nsqclient.producer.producer import Producer
from nsqclient.testing import Clock, FakeCluster

GRACE = 5.0
"""Seconds for handlers under way at the end of a test."""
T = TypeVar("T")


class Trial:
    """What ``app.test()`` gives; use it with ``async with``.

    ::

        async with app.test() as t:
            await t.publish("orders", Order("book"))
            assert bill.calls == [Order("book")]
            assert t.published("invoices", Invoice) == [Invoice("book")]

    Everything is real but the nsqds, which are in memory: hooks run, bodies are encoded and decoded, messages
    are finished and requeued. Only the slowing down after failures is off, as tests do not want to wait.
    """

    def __init__(
        self,
        open_app: Callable[[FakeCluster, Watch], Awaitable[Session]],
        close_app: Callable[[Seconds], Awaitable[None]],
        codec: Codec,
        cluster: FakeCluster | None,
    ) -> None:
        """Without a ``cluster`` there is one of a single node, for this test alone."""
        self.cluster: FakeCluster = FakeCluster(nodes=1) if cluster is None else cluster
        """The nsqds, to look into and to break."""
        self._own_cluster = cluster is None
        self._open_app = open_app
        self._close_app = close_app
        self._codec = codec
        self._calls = Calls()
        self._session: Session | None = None

    @property
    def clock(self) -> Clock:
        """Moves the time of everything in this loop; call :meth:`settle` after it."""
        return self.cluster.clock

    @property
    def producer(self) -> Producer:
        """The app's, for what :meth:`publish` does not do."""
        if self._session is None:
            raise Closed("the test of the app is not open; use it with 'async with'")
        return self._session.producer

    async def publish(
        self,
        topic: str,
        value: object,
        *,
        delay: Seconds | None = None,
        headers: Mapping[str, str] | None = None,
        key: str | None = None,
        timeout: Seconds = 5.0,
    ) -> Receipt:
        """Publishes with the app's producer, and waits as :meth:`settle` does."""
        receipt = await self.producer.publish(topic, value, delay=delay, headers=headers, key=key)
        await self.settle(timeout)
        return receipt

    async def settle(self, timeout: Seconds = 5.0) -> None:
        """Waits until handlers have answered all there is to handle, what they published included.

        Raises what handlers raised since the last time; an ExceptionGroup when that is more than one. What
        is deferred is not waited for, nor channels that no handler has. Raises AssertionError after
        ``timeout`` seconds.
        """
        await self.cluster.wait_until_idle(timeout)
        self._calls.raise_errors()

    @overload
    def published(self, topic: str) -> list[bytes]: ...
    @overload
    def published(self, topic: str, as_type: type[T]) -> list[T]: ...
    def published(self, topic: str, as_type: type[Any] | None = None) -> list[Any]:
        """What was published to ``topic`` since the cluster began; node by node, oldest first.

        Decoded by the app's codec into ``as_type``; without one the payloads as they are. Raises CodecError.
        """
        bodies = [unwrap(body) for body in self.cluster.published(topic)]
        if as_type is None:
            return [payload for _, payload in bodies]
        return [
            codecs.decode(self._codec, payload, as_type, headers.get("content-type", ""))
            for headers, payload in bodies
        ]

    async def __aenter__(self) -> Self:
        if self._session is not None:
            raise ConfigError("a test of an app is used once; call app.test() again")
        if self._own_cluster:
            await self.cluster.__aenter__()
        try:
            self._session = await self._open_app(self.cluster, self._calls)
        except BaseException:
            await self._leave_cluster(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the app; raises what handlers raised and no call of :meth:`settle` did."""
        assert self._session is not None
        try:
            await self._close_app(0 if error is not None else GRACE)
        finally:
            await self._leave_cluster(kind, error, trace)
        if error is None:
            self._calls.raise_errors()

    async def _leave_cluster(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._own_cluster:
            await self.cluster.__aexit__(kind, error, trace)


class Calls:
    """Notes calls of handlers with the handlers, and keeps what they raised."""

    def __init__(self) -> None:
        self._errors: list[Exception] = []

    def called(self, handler: Handler[..., Any], payload: object) -> None:
        """Notes it."""
        handler.calls.append(payload)

    def failed(self, error: Exception) -> None:
        """Keeps it, unless it is an answer to the message."""
        if not isinstance(error, Control):
            self._errors.append(error)

    def raise_errors(self) -> None:
        """Raises what was kept, once."""
        errors, self._errors = self._errors, []
        if len(errors) == 1:
            raise errors[0]
        if errors:
            raise ExceptionGroup(f"{len(errors)} calls of handlers failed", errors)
