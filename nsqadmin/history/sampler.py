"""Looks at the whole cluster every few seconds and remembers what it saw.

One request per daemon and sample. A daemon that was silent the last time is asked beside the others' samples, not
in them: what hangs delays one sample by its time-out, once, and is asked again as soon as that has passed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from nsqadmin.cluster import merge
from nsqadmin.cluster.answers import BadAnswer
from nsqadmin.cluster.cluster import NSQD, NSQLOOKUPD, Cluster, Registry, Unreachable
from nsqadmin.cluster.model import Node, Problem
from nsqadmin.history.asking import Questions
from nsqadmin.history.folding import Counters, Folding
from nsqadmin.history.keeping import Keeper
from nsqadmin.history.reading import NodeReading, read
from nsqadmin.history.ring import Grain, Past, Values
from nsqadmin.history.series import CLUSTER, Key, Metric, Series
from nsqadmin.history.snapshot import Figures, LookupdNow, NodeNow, Snapshot, TopicNow

log = logging.getLogger(__name__)

_AT_ONCE = 16
"""Answers of nodes that may be on their way at a time: each may be megabytes."""
_GONE_S = 600.0
"""How long a node that nobody names any more is still shown."""
_SHARE = 0.12
"""Of one core, that sampling may take; beyond it samples come less often."""
_MOMENT_S = 1.0
"""How long a page waits for a sample that shows a change."""
_FINE_S = 1200.0
_COARSE_STEP_S = 60.0
_MEMORY = 160 << 20
"""Bytes that the past may take."""
_TIDY_S = 60.0
_IN_ONE_GO = 200
"""Series."""


@dataclass(slots=True)
class _Read:
    reading: NodeReading
    at: float


class Sampler:
    """The past and the present of one cluster; :meth:`start` it, :meth:`stop` it."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        interval: float = 5.0,
        history: float = 43200.0,
        folder: Path | None = None,
    ) -> None:
        """``interval`` and ``history`` are seconds; the past is kept over restarts in ``folder``, if any."""
        self.cluster = cluster
        self.interval = self._asked_interval = interval
        self._past = Past(
            Grain(interval, max(1, int(_FINE_S / interval))),
            Grain(_COARSE_STEP_S, max(1, int(history / _COARSE_STEP_S))),
            memory=_MEMORY,
        )
        self._keeper = Keeper(self._past, folder) if folder is not None else None
        self._tidied_at = 0.0
        self._told_full = False
        self._snapshot: Snapshot | None = None
        self._sampled_at = 0.0
        self._sampled_from = 0.0
        self._failure: Unreachable | None = None
        self._begun = self._ended = 0
        """Samples begun and ended, good or not."""
        self._wanted = 0
        """The sample that a change has called for."""
        self._changed = asyncio.Event()
        self._hurry = asyncio.Event()
        self._counters: dict[str, tuple[Counters | None, Counters]] = {}
        """Of each node by its name, the last two that were not close together."""
        self._known: dict[str, tuple[Node, float]] = {}
        """Nodes by name, and when they were named last."""
        self._nodes = Questions[_Read](_AT_ONCE)
        """By the node's name."""
        self._turn = asyncio.Lock()
        """One answer is worked on, then it is the pages' turn, however many came at once."""
        self._names = Questions[Node]()
        """To nsqds that were given to us, who they are; by address."""
        self._lookupds = Questions[Registry]()
        """By address."""
        self._task: asyncio.Task[None] | None = None

    # ---- what pages ask --------------------------------------------------------------------------

    @property
    def newest(self) -> Snapshot | None:
        """The newest sample if there is one, without waiting."""
        return self._snapshot

    def renew(self) -> None:
        """Takes a sample at once, for something has been changed; :meth:`latest` waits a moment for it."""
        self._wanted = self._begun + 1
        self._hurry.set()

    async def latest(self) -> Snapshot:
        """The newest sample; see :class:`nsqadmin.history.series.History`."""
        if self._ended < self._wanted:
            try:
                async with asyncio.timeout(_MOMENT_S):
                    while self._ended < self._wanted:
                        await self._wait()
            except TimeoutError:
                pass  # a large cluster, or one that hangs: older figures are better than none
        while self._snapshot is None:
            if self._failure is not None:
                raise self._failure
            await self._wait()
        return self._snapshot

    async def next(self, after: int) -> Snapshot:
        """The first sample whose number is above ``after``."""
        while self._snapshot is None or self._snapshot.number <= after:
            await self._wait()
        return self._snapshot

    def series(self, key: Key, metric: Metric, seconds: float, points: int = 120) -> Series:
        """The last ``seconds`` of one figure in at most ``points`` values."""
        now = time.time()
        if self._snapshot is not None and now - self._snapshot.at < 2 * self.interval:
            now = self._sampled_at  # else the newest point would be one that is not measured yet
        return self._past.series(key, metric, now, seconds, points)

    async def _wait(self) -> None:
        await self._changed.wait()

    # ---- its life --------------------------------------------------------------------------------

    def start(self) -> None:
        """Takes the first sample soon, and goes on."""
        self._task = asyncio.create_task(self._run(), name="sampler")

    async def stop(self) -> None:
        """Ends it at once; twice is fine."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        for questions in (self._nodes, self._names, self._lookupds):
            await questions.stop()
        if self._keeper is not None:
            await self._keeper.stop()

    async def _run(self) -> None:
        if self._keeper is not None:
            await self._keeper.load()
            self._keeper.start()
        while True:
            began = time.monotonic()
            self._hurry.clear()
            self._begun += 1
            busy = time.process_time()
            try:
                self._snapshot = await self._sample()
                self._failure = None
            except Unreachable as e:
                self._failure = e
            except Exception:  # a cluster may always say something new; the next sample is taken all the same
                log.exception("HISTORY: a sample failed")
            self.cluster.silent = {
                (problem.daemon, problem.address): problem
                for questions in (self._nodes, self._names, self._lookupds)
                for problem in questions.waited_for()
            }
            self._ended = self._begun
            self._pace(time.process_time() - busy)
            self._changed.set()
            self._changed.clear()
            try:
                # Not wait_for: before Python 3.12 it loses a cancellation that comes together with the event.
                async with asyncio.timeout(self._rest(time.monotonic() - began)):
                    await self._hurry.wait()
            except TimeoutError:
                pass

    def _pace(self, cpu_s: float) -> None:
        """Samples come as often as asked, or as a fair share of the core allows."""
        wanted = max(self._asked_interval, cpu_s / _SHARE)
        if wanted > self._asked_interval and self.interval == self._asked_interval:
            log.info("HISTORY: a sample takes %.2f s of work, so one is taken every %.1f s", cpu_s, wanted)
        self.interval = wanted

    def _rest(self, took_s: float) -> float:
        """Seconds until the next sample. They keep to the middle of the points that they fill."""
        if self.interval > self._asked_interval:
            return max(0.0, self.interval - took_s)
        to_middle = self.interval - (time.time() - self.interval / 2) % self.interval
        return to_middle if took_s < self.interval else 0.0

    # ---- one sample ------------------------------------------------------------------------------

    async def _sample(self) -> Snapshot:
        began, at = time.monotonic(), time.time()
        registries = await self._ask_lookupds()
        nodes, registered, problems = await self._find_nodes(registries)
        folding = Folding()
        shown = await asyncio.gather(*(self._node_now(node, folding) for node in nodes))
        problems += [node.problem for node in shown if node.problem is not None]
        for name in self._counters.keys() - {node.name for node in nodes}:
            del self._counters[name]
        now = time.time()
        snapshot = Snapshot(
            at=now,
            took_s=time.monotonic() - began,
            topics=folding.topics(registered),
            nodes=[*shown, *self._gone(nodes, now)],
            lookupds=self._lookupds_now(registries),
            total=folding.total(),
            problems=_once(problems),
            number=(self._snapshot.number if self._snapshot else 0) + 1,
        )
        seconds = began - self._sampled_from if self._snapshot else self.interval
        self._sampled_at, self._sampled_from = at, began
        await self._keep(snapshot, at, seconds)
        return snapshot

    async def _keep(self, snapshot: Snapshot, at: float, seconds: float) -> None:
        """Puts the figures into the past, a few at a time: pages are served in between."""
        figures = iter(_figures(snapshot))
        left_out = 0
        while some := dict(islice(figures, _IN_ONE_GO)):
            left_out += self._past.add(at, some, self.interval, seconds)
            await asyncio.sleep(0)
        if left_out and not self._told_full:
            log.warning(
                "HISTORY: there is room for %d series of this length, %d have none: those that are idle longest "
                "go without; a shorter --history has room for more",
                self._past.most,
                left_out,
            )
            self._told_full = True
        if not 0 <= at - self._tidied_at < _TIDY_S:
            self._past.forget(at)
            self._tidied_at = at

    async def _ask_lookupds(self) -> list[Registry]:
        if not self.cluster.by_lookupd:
            return []
        return await asyncio.gather(*(self._ask_lookupd(address) for address in self.cluster.lookupds))

    async def _ask_lookupd(self, address: str) -> Registry:
        async def ask() -> Registry | Problem:
            registry = await self.cluster.registry(address)
            return registry.problem or registry

        answer = await self._lookupds.ask(address, ask)
        return Registry(address, problem=answer) if isinstance(answer, Problem) else answer

    async def _find_nodes(self, registries: Sequence[Registry]) -> tuple[list[Node], set[str], list[Problem]]:
        """The nodes, the topics that nsqlookupds know, and who did not say."""
        registered: set[str] = set()
        if self.cluster.by_lookupd:
            problems = [registry.problem for registry in registries if registry.problem is not None]
            answered = [registry for registry in registries if registry.problem is None]
            if answered:
                # Every node names all its topics, so that these are many.
                pairs = [(registry.address, registry.nodes) for registry in answered]
                nodes = await asyncio.to_thread(merge.merge_nodes, pairs)
                registered = {topic for registry in answered for topic in registry.topics}
            elif self._known:
                # The nsqlookupds are away, not the nodes: those known go on being watched.
                nodes = [node for node, _ in self._known.values()]
            else:
                raise Unreachable(NSQLOOKUPD, problems)
        else:
            found = await asyncio.gather(*(self._name(address) for address in self.cluster.nsqds))
            problems = [answer for answer in found if isinstance(answer, Problem)]
            seen = {answer.name: answer for answer in found if isinstance(answer, Node)}
            if not seen and not self._known:
                raise Unreachable(NSQD, problems)
            nodes = merge.mark_out_of_date([*({n: k for n, (k, _) in self._known.items()} | seen).values()])
        now = time.time()
        for node in nodes:
            self._known[node.name] = node, now
        return nodes, registered, problems

    async def _name(self, address: str) -> Node | Problem:
        return await self._names.ask(address, lambda: self.cluster.describe(address))

    async def _node_now(self, node: Node, folding: Folding) -> NodeNow:
        name = node.name
        answer = await self._nodes.ask(name, lambda: self._ask_now(node))
        if isinstance(answer, Problem):
            return NodeNow(node=node, problem=answer, silent_since=self._nodes.silences[name].since)
        async with self._turn:
            await asyncio.sleep(0)
            older, newer = self._counters.get(name) or (None, None)
            # A sample that a change has called for may follow the last one at once: over so short a time a rate
            # says nothing, so it is measured from the one before.
            close = newer is not None and answer.at - newer.at < self._asked_interval / 2
            now, counters = folding.add(node, answer.reading, older if close else newer, answer.at)
            if not close:
                self._counters[name] = newer, counters
        return now

    async def _ask_now(self, node: Node) -> _Read | Problem:
        answer = await self.cluster.raw_stats(node.http_address, include_clients="false")
        if isinstance(answer, Problem):
            return answer
        at = time.monotonic()
        try:
            async with self._turn:
                await asyncio.sleep(0)
                return _Read(read(answer), at)
        except BadAnswer as e:
            return Problem(NSQD, node.http_address, f"its answer to /stats makes no sense: {e}")

    def _gone(self, nodes: Iterable[Node], now: float) -> list[NodeNow]:
        """Nodes that were there and that nobody names any more."""
        named = {node.name for node in nodes}
        gone = []
        for name, (node, last) in list(self._known.items()):
            if name in named:
                continue
            if now - last > _GONE_S:
                del self._known[name]
                self._nodes.forget([name])
            else:
                gone.append(NodeNow(node=replace(node, topics=[]), gone=True, silent_since=last))
        return gone

    def _lookupds_now(self, registries: Sequence[Registry]) -> list[LookupdNow]:
        """Each nsqlookupd, and what it misses that another one knows."""
        nodes = {node.name for registry in registries for node in registry.nodes}
        topics = {topic for registry in registries for topic in registry.topics}
        return [
            LookupdNow(
                registry.address,
                len(registry.nodes),
                len(registry.topics),
                missing_nodes=sorted(nodes.difference(node.name for node in registry.nodes)),
                missing_topics=sorted(topics.difference(registry.topics)),
            )
            if registry.problem is None
            else LookupdNow(
                registry.address,
                problem=registry.problem,
                silent_since=self._lookupds.silences[registry.address].since,
            )
            for registry in registries
        ]


def _figures(snapshot: Snapshot) -> Iterable[tuple[Key, Values]]:
    yield CLUSTER, _values(snapshot.total, snapshot.total.depth)
    for node in snapshot.nodes:
        if node.problem is None and not node.gone:
            yield Key("node", node.node.name), _values(node, node.depth + node.channel_depth)
    for topic in snapshot.topics.values():
        yield Key("topic", topic.topic_name), _values(topic, topic.depth + topic.channel_depth)
        yield from _channels(topic)


def _channels(topic: TopicNow) -> Iterable[tuple[Key, Values]]:
    for channel in topic.channels:
        yield Key("channel", topic.topic_name, channel.channel_name), _values(channel, channel.depth)


def _values(figures: Figures, depth: int) -> Values:
    percentiles = sorted(figures.latency.percentiles, key=lambda p: p.quantile)
    return {
        Metric.PUBLISHED: figures.rates.published,
        Metric.FINISHED: figures.rates.finished,
        Metric.REQUEUED: figures.rates.requeued,
        Metric.TIMED_OUT: figures.rates.timed_out,
        Metric.DEPTH: depth,
        Metric.IN_FLIGHT: figures.in_flight_count,
        Metric.DEFERRED: figures.deferred_count,
        Metric.CLIENTS: figures.client_count,
        Metric.LATENCY_HIGH: percentiles[-1].highest if percentiles else None,
        Metric.LATENCY_LOW: percentiles[0].average if percentiles else None,
    }


def _once(problems: Iterable[Problem]) -> list[Problem]:
    """One problem per daemon."""
    return list({(problem.daemon, problem.address): problem for problem in problems}.values())
