"""What surrounds a piece of work: a deadline and values, as Go's ``context`` carries them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar, Token
from dataclasses import dataclass, field, replace
from types import MappingProxyType, TracebackType
from typing import Protocol, Self

from nsqclient.durations import Seconds, to_seconds
from nsqclient.errors import ConfigError, DeadlineExceeded


class Limit(Protocol):
    """What cancels a task at its deadline; ``asyncio.Timeout`` is one."""

    def when(self) -> float | None:
        """The deadline, on the event loop's clock; None while it stands still."""

    def expired(self) -> bool:
        """Whether it can't be stopped any more."""

    def reschedule(self, when: float | None) -> None:
        """Moves it; raises RuntimeError once it is over."""


class Elsewhere:
    """A limit of somebody else: it can't be moved from here."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline

    def when(self) -> float:
        """The deadline."""
        return self._deadline

    def expired(self) -> bool:
        """It can't be stopped."""
        return True

    def reschedule(self, when: float | None) -> None:
        """Never asked for."""
        raise RuntimeError("this limit is not ours")


Enforced = tuple[asyncio.Task[object] | None, Limit]
"""A running limit, and the task that it cancels."""
Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the scopes around some code amount to."""

    deadline: float | None = None
    """On the event loop's clock."""
    clock: Clock | None = None
    """Of that event loop, as handlers may run in threads; there with a deadline."""
    values: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    propagate_deadline: bool = False
    """Whether publishes tell the receiver about the deadline."""
    insists: frozenset[str] = frozenset()
    """Names of values, and ``DEADLINE``, that were asked to travel here, in this process. What a message
    brought along travels on where that is possible, and nobody is told where it is not."""
    enforced: tuple[Enforced, ...] = ()
    """The limits that enforce it, outermost first."""


DEADLINE = ""
"""Stands for the deadline among names of values."""
NOWHERE = Surroundings()
"""Outside of all scopes."""
surroundings: ContextVar[Surroundings] = ContextVar("nsqclient.scope", default=NOWHERE)


class scope:  # noqa: N801 - used as a function: ``async with nsqclient.scope(timeout=2): ...``
    """A deadline and values for everything inside, tasks that are started there included.

    ::

        async with nsqclient.scope(timeout=2.0, tenant="acme"):
            await producer.publish("orders", order)

    Scopes nest: the earlier deadline counts, and inner values win. After ``timeout`` seconds the body is
    cancelled, and leaving the block raises DeadlineExceeded, which is a TimeoutError. Of the values, only those
    declared with :func:`nsqclient.propagate` travel with what is published; the deadline travels with
    ``propagate_deadline=True`` (None: as the scope around says). Other names are values.
    """

    __slots__ = ("_given", "_limit", "_timeout", "_token")

    def __init__(
        self, *, timeout: Seconds | None = None, propagate_deadline: bool | None = None, **values: object
    ) -> None:
        self._timeout = None if timeout is None else to_seconds(timeout)
        self._given = (propagate_deadline, values)
        self._limit: asyncio.Timeout | None = None
        self._token: Token[Surroundings] | None = None

    async def __aenter__(self) -> Self:
        if self._token is not None:
            raise ConfigError("a scope is entered once; make a new one")
        around = surroundings.get()
        propagate, values = self._given
        insists, deadline, clock = around.insists, around.deadline, around.clock
        if values:
            insists |= values.keys()
        if propagate is not None:
            insists = insists | {DEADLINE} if propagate else insists - {DEADLINE}
        if self._timeout is not None:
            clock = asyncio.get_running_loop().time
            own = clock() + self._timeout
            deadline = own if deadline is None else min(own, deadline)
        inner = Surroundings(
            deadline,
            clock,
            MappingProxyType({**around.values, **values}) if values else around.values,
            around.propagate_deadline if propagate is None else propagate,
            insists,
            around.enforced,
        )
        await self._enter(inner)
        return self

    async def _enter(self, inner: Surroundings) -> None:
        if inner.deadline is not None:
            task = asyncio.current_task()
            if not _is_enforced(inner, task):
                self._limit = asyncio.timeout_at(inner.deadline)
                await self._limit.__aenter__()
                inner = replace(inner, enforced=(*inner.enforced, (task, self._limit)))
        self._token = surroundings.set(inner)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._token is not None
        surroundings.reset(self._token)
        if self._limit is not None:
            try:
                await self._limit.__aexit__(kind, error, trace)
            except TimeoutError as e:
                own = "" if self._timeout is None else f" (this one had {self._timeout:g} s)"
                exceeded = DeadlineExceeded(f"the deadline of the scope passed{own}")
                for note in getattr(error, "__notes__", ()):  # a publish tells its outcome there
                    exceeded.add_note(note)
                raise exceeded from e.__cause__

    # ---- what surrounds the caller

    @staticmethod
    def deadline() -> float | None:
        """When the time is over, on the event loop's clock; None when nothing limits it."""
        return surroundings.get().deadline

    @staticmethod
    def remaining() -> float | None:
        """The seconds left, negative once they are over; None when nothing limits it."""
        state = surroundings.get()
        return None if state.deadline is None or state.clock is None else state.deadline - state.clock()

    @staticmethod
    def get(name: str, default: object = None) -> object:
        """A value, or ``default``."""
        return surroundings.get().values.get(name, default)

    @staticmethod
    @asynccontextmanager
    async def detached(*, values: bool = True) -> AsyncIterator[None]:
        """Without the deadline of the scopes around, which don't cancel the body either: for cleaning up.

        Their timers stand still meanwhile; those that became due fire afterwards. Cancellations from
        elsewhere are not held up. ``values=False`` leaves their values behind, too.
        """
        around = surroundings.get()
        held = _hold(around)
        kept = Surroundings(values=around.values, insists=around.insists - {DEADLINE})
        token = surroundings.set(kept if values else NOWHERE)
        try:
            yield
        finally:
            surroundings.reset(token)
            for limit, when in held:
                limit.reschedule(when)


class received_scope(scope):  # noqa: N801 - as its base
    """The scope that a message brings along: nothing from around, everything from its sender."""

    __slots__ = ("_inner",)

    def __init__(self, deadline: float | None, values: Mapping[str, object]) -> None:
        """``deadline`` is on the event loop's clock; what is published inside carries it on."""
        super().__init__()
        self._inner = within(deadline, values)

    async def __aenter__(self) -> Self:
        await self._enter(self._inner)
        return self


def within(deadline: float | None, values: Mapping[str, object]) -> Surroundings:
    """What a message brought along; made in the event loop whose clock ``deadline`` is on."""
    if deadline is None:
        return Surroundings(values=values) if values else NOWHERE
    return Surroundings(deadline, asyncio.get_running_loop().time, values, propagate_deadline=True)


def _is_enforced(state: Surroundings, task: asyncio.Task[object] | None) -> bool:
    """Whether the task is cancelled at that very deadline anyway, by a scope around."""
    return any(of is task and limit.when() == state.deadline for of, limit in state.enforced)


def _hold(state: Surroundings) -> list[tuple[Limit, float]]:
    task = asyncio.current_task()
    held = []
    for of, limit in state.enforced:
        when = limit.when()
        if of is task and when is not None and not limit.expired():
            try:
                limit.reschedule(None)
            except RuntimeError:
                continue  # its block was left already: a context that outlived it
            held.append((limit, when))
    return held
