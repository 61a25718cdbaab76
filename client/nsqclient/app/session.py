"""An app while it runs: its producer and its consumers, from the start to an orderly end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from nsqclient.app.calls import Calls
from nsqclient.app.health import AppHealth, State, SubscriptionHealth
from nsqclient.app.hooks import Hooks, Moment
from nsqclient.app.route import Route
from nsqclient.consumer.consumer import Consumer
from nsqclient.lifecycle import Lifecycle
from nsqclient.producer.producer import Producer

log = logging.getLogger(__name__)

HURRIED = 1.0
"""Seconds that each step of a hurried end may take."""
T = TypeVar("T")


class Run:
    """One subscription at work."""

    def __init__(self, route: Route, consumer: Consumer, calls: Calls) -> None:
        self.route = route
        self.consumer = consumer
        self._calls = calls
        self.error: BaseException | None = None
        """What it died of."""
        self.task: asyncio.Task[None] | None = None

    async def work(self) -> None:
        """Handles what comes until the consumer ends; raises Closed if it fails."""
        route, handler = self.route, self._calls.handler
        if route.batch is None:
            await self.consumer.run(handler, concurrency=route.concurrency, timeout=route.timeout)
            return
        await self.consumer.run_batches(
            handler,
            max_messages=route.batch.max_messages,
            linger=route.batch.linger,
            concurrency=route.concurrency,
            timeout=route.timeout,
        )

    @property
    def state(self) -> State:
        """How it stands."""
        if self.error is not None:
            return "failed"
        return "running" if self.task is not None and not self.task.done() else "stopped"

    @property
    def health(self) -> SubscriptionHealth:
        """The same with numbers, as of now."""
        consumer = self.consumer.health()
        return SubscriptionHealth(
            topic=self.route.topic,
            channel=self.route.channel,
            state=self.state,
            error="" if self.error is None else f"{type(self.error).__name__}: {self.error}",
            ready=self.state == "running" and consumer.ready,
            reasons=consumer.reasons,
            stats=self.consumer.stats,
        )


class Session:
    """Opens once and closes once."""

    def __init__(
        self,
        producer: Producer,
        runs: Sequence[Run],
        hooks: Mapping[Moment, Hooks],
    ) -> None:
        self.producer = producer
        self.runs: tuple[Run, ...] = tuple(runs)
        self.life: Lifecycle = Lifecycle("app")
        self._hooks = hooks
        self._news = asyncio.Event()
        """Set when something happened that :meth:`wait` may be waiting for."""
        self._subscribed = self._stopped = self._hurried = False
        self._ending: set[asyncio.Task[Any]] = set()
        """What the end waits for at present."""

    # ---- start

    async def open(self) -> None:
        """Raises what a hook or a subscription raises, after closing what was opened."""
        self.life.open()
        try:
            await self._hooks["on_startup"].run()
            await self.producer.__aenter__()
            await self._subscribe()
            await self._hooks["after_startup"].run()
        except BaseException:
            await self.close(0)
            raise

    async def _subscribe(self) -> None:
        """All at a time, so that a nsqd which is slow to answer costs its time once."""
        opening = [asyncio.ensure_future(run.consumer.__aenter__()) for run in self.runs]
        try:
            await asyncio.wait(opening)
        except asyncio.CancelledError:
            for task in opening:
                task.cancel()
            await asyncio.wait(opening)
            raise
        refused = [
            (run, error) for run, task in zip(self.runs, opening, strict=True) if (error := task.exception())
        ]
        for run, error in refused:
            error.add_note(f"subscription {run.route}")
            log.error("can't subscribe to %s: %s", run.route.name, error)
        if refused:
            raise refused[0][1]
        self._subscribed = True
        for run in self.runs:
            run.task = asyncio.create_task(run.work(), name=f"nsqclient app {run.route.name}")
            run.task.add_done_callback(partial(self._run_ended, run))

    def _run_ended(self, run: Run, task: asyncio.Task[None]) -> None:
        self._news.set()
        if task.cancelled():
            return
        run.error = task.exception()
        if run.error is not None:
            run.error.add_note(f"subscription {run.route}")
            log.error("subscription %s died", run.route, exc_info=run.error)
        elif self.life.phase == "open" and not self._stopped:
            log.info("subscription %s was stopped", run.route)

    # ---- while it runs

    async def wait(self) -> None:
        """Until it is stopped, or all subscriptions are; raises what a subscription died of."""
        while True:
            for run in self.runs:
                if run.error is not None:
                    raise run.error
            if self._stopped or all(run.state == "stopped" for run in self.runs):
                return
            self._news.clear()
            await self._news.wait()

    def stop(self) -> None:
        """Ends every :meth:`wait`."""
        self._stopped = True
        self._news.set()

    @property
    def health(self) -> AppHealth:
        """As of now."""
        subscriptions = tuple(run.health for run in self.runs)
        live = not any(subscription.state == "failed" for subscription in subscriptions)
        return AppHealth(
            phase=self.life.phase,
            live=live,
            ready=live and self.life.phase == "open" and all(s.ready for s in subscriptions),
            subscriptions=subscriptions,
        )

    # ---- end

    async def close(self, grace: float) -> None:
        """Ends in order, as ``App.close`` tells; raises the first error of its hooks."""
        await self.life.close(lambda: self._close(grace), self.hurry)

    def hurry(self) -> None:
        """Cuts short what the end waits for: handlers are cancelled now."""
        self._hurried = True
        for task in self._ending:
            task.cancel()

    async def _close(self, grace: float) -> None:
        self.stop()
        errors = [await self._hook("on_shutdown", grace)] if self._subscribed else []
        await self._end([run.consumer.close(0 if self._hurried else grace) for run in self.runs])
        # a close that was hurried before it had begun has done nothing
        while unclosed := [run.consumer for run in self.runs if not run.consumer.closed]:
            await self._end([consumer.close(0) for consumer in unclosed])
        await self._await_runs()
        await self._end([self.producer.close(HURRIED if self._hurried else None)])
        while self.producer.closed_summary is None:
            await self._end([self.producer.close(0)])
        errors.append(await self._hook("after_shutdown", grace))
        for error in filter(None, errors):
            raise error

    async def _hook(self, moment: Moment, grace: float) -> Exception | None:
        limit = HURRIED if self._hurried else max(grace, HURRIED)
        [task] = await self._end([self._hooks[moment].run_all()], limit)
        if task.cancelled():
            log.error(
                "the hooks of %s took more than %g s, or were hurried, and are cancelled", moment, limit
            )
            return None
        return task.result()

    async def _end(
        self, works: Sequence[Coroutine[Any, Any, T]], limit: float | None = None
    ) -> list[asyncio.Task[T]]:
        """Has all of ``works`` done; after ``limit`` seconds, or when hurried, they are cancelled."""
        tasks = [asyncio.create_task(work) for work in works]
        if not tasks:
            return []
        self._ending.update(tasks)
        _, late = await asyncio.wait(tasks, timeout=limit)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)
        self._ending.difference_update(tasks)
        for task in tasks:
            error = None if task.cancelled() else task.exception()
            if error is not None:
                log.error("a part of the app failed while it ended", exc_info=error)
        return tasks

    async def _await_runs(self) -> None:
        """They end with their consumers."""
        running = {run.task for run in self.runs if run.task is not None and not run.task.done()}
        if running:
            _, stubborn = await asyncio.wait(running, timeout=HURRIED)
            for task in stubborn:
                log.error("%s does not end", task.get_name())
                task.cancel()
