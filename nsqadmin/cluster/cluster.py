"""Asks the daemons of a cluster, all at once and each for a bounded time, and merges what they say.

A daemon that fails is a :class:`~nsqadmin.cluster.model.Problem` beside the answer. Only when every daemon asked
fails is there no answer: :class:`Unreachable`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from nsqadmin.cluster import answers, merge
from nsqadmin.cluster.model import Channel, Node, NodeStats, NodeTopic, Problem, Topic
from nsqcore.errors import HttpError
from nsqcore.http_client import HttpFailure, JsonClient

log = logging.getLogger(__name__)
T = TypeVar("T")

NSQD, NSQLOOKUPD = "nsqd", "nsqlookupd"
_AT_ONCE = 32
"""How many questions one nsqlookupd gets at a time where there is one per topic."""
_LEAN = {"include_clients": "false", "include_mem": "false"}
_EVERYTHING: Mapping[str, str] = {}
_NO_CLIENTS = {"include_clients": "false"}


class Unreachable(HttpError):
    """Every daemon of a kind that had to be asked failed: 502, with each one's reason."""

    def __init__(self, daemon: str, problems: Sequence[Problem]) -> None:
        reasons = "\n".join(map(str, problems))
        super().__init__(502, f"UPSTREAM_ERROR: failed to query any {daemon}: {reasons}")
        self.daemon = daemon
        self.problems = list(problems)


class Unknown(HttpError):
    """The topic, channel or node is on no daemon that answered: 404."""

    def __init__(self, code: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(404, code)
        self.problems = list(problems)


@dataclass(slots=True)
class Found(Generic[T]):
    """An answer, and who could not contribute to it."""

    value: T
    problems: list[Problem] = field(default_factory=list)


@dataclass(slots=True)
class Registration:
    """Who produces a topic, and which of its channels the nsqlookupds know."""

    nodes: list[Node]
    channels: list[str]


@dataclass(slots=True)
class Registry:
    """What one nsqlookupd knows; ``problem`` when it did not say."""

    address: str
    nodes: list[Node] = field(default_factory=list)
    topics: list[str] = field(default_factory=list)
    problem: Problem | None = None


class Cluster:
    """One cluster, known by its nsqlookupds or, when there are none, by its nsqds (``host:port`` texts)."""

    def __init__(self, client: JsonClient, *, lookupds: Sequence[str], nsqds: Sequence[str]) -> None:
        self.client = client
        self.lookupds = tuple(lookupds)
        self.nsqds = tuple(nsqds)
        self.silent: Mapping[tuple[str, str], Problem] = {}
        """Daemons that let us wait in vain a moment ago, by kind and address: reads do not wait for them again.

        Whoever watches the cluster sets it anew after each look; changes are tried all the same.
        """

    @property
    def by_lookupd(self) -> bool:
        """Whether nodes are found through nsqlookupd."""
        return bool(self.lookupds)

    async def topic_names(self) -> Found[list[str]]:
        """All topics, those that no node holds included; raises Unreachable."""
        if self.by_lookupd:
            found = await self._ask_lookupds("/topics", answers.read_topic_names)
            return Found(merge.merge_names(names for _, names in found.value), found.problems)
        nodes = await self.nodes()
        names = merge.merge_names((topic.name for topic in node.topics) for node in nodes.value)
        return Found(names, nodes.problems)

    async def registry(self, lookupd: str) -> Registry:
        """What one nsqlookupd knows; it is asked even if it is known to be silent."""
        nodes, topics = await asyncio.gather(
            self._ask_anyway(NSQLOOKUPD, lookupd, "/nodes", lambda answer: answer),
            self._ask_anyway(NSQLOOKUPD, lookupd, "/topics", answers.read_topic_names),
        )
        if isinstance(nodes, Problem):
            return Registry(lookupd, problem=nodes)
        if isinstance(topics, Problem):
            return Registry(lookupd, problem=topics)
        try:  # in a thread, for every node names all its topics
            return Registry(lookupd, await asyncio.to_thread(answers.read_producers, nodes), topics)
        except answers.BadAnswer as e:
            problem = Problem(NSQLOOKUPD, lookupd, f"its answer to /nodes makes no sense: {e}")
            return Registry(lookupd, problem=problem)

    async def describe(self, nsqd: str) -> Node | Problem:
        """One nsqd as it describes itself; it is asked even if it is known to be silent."""
        return await self._ask_anyway(NSQD, nsqd, "/info", lambda answer: answers.read_info(answer, nsqd))

    async def raw_stats(self, address: str, **query: str) -> bytes | Problem:
        """The JSON of one node's ``/stats``, not read yet; it is asked even if it is known to be silent."""
        log.debug("CI: querying nsqd http://%s/stats", address)
        try:
            answer = await self.client.fetch("GET", f"http://{address}/stats", {"format": "json", **query})
        except HttpFailure as e:
            return _problem(NSQD, address, e)
        return answer.data

    async def nodes(self) -> Found[list[Node]]:
        """All nodes and the topics they produce; raises Unreachable."""
        if self.by_lookupd:
            found = await self._ask_lookupds("/nodes", answers.read_producers)
            return Found(merge.merge_nodes(found.value), found.problems)
        nodes = await self._ask_nsqds()
        held = await asyncio.gather(*(self.part(node, answers.read_held) for node in nodes.value))
        for node, names in zip(nodes.value, held, strict=True):
            if not isinstance(names, Problem):
                node.topics = [NodeTopic(name) for name in names]
        problems = [answer for answer in held if isinstance(answer, Problem)]
        if len(problems) == len(held):
            raise Unreachable(NSQD, problems)
        return Found(merge.mark_out_of_date(nodes.value), nodes.problems + problems)

    async def part(
        self, node: Node, read: Callable[[bytes], T], query: Mapping[str, str] = _LEAN
    ) -> T | Problem:
        """What ``read`` makes of the JSON of a node's ``/stats``; it may raise BadAnswer."""
        silent = self.silent.get((NSQD, node.http_address))
        if silent is not None:
            return silent
        answer = await self.raw_stats(node.http_address, **query)
        if isinstance(answer, Problem):
            return answer
        try:
            return read(answer)
        except answers.BadAnswer as e:
            return Problem(NSQD, node.http_address, f"its answer to /stats makes no sense: {e}")

    async def registration(self, topic: str) -> Found[Registration]:
        """Where a topic is; raises Unreachable, and Unknown when no nsqlookupd that answers knows it.

        Without nsqlookupds every node is named, for any may hold it.
        """
        if not self.by_lookupd:
            nodes = await self._ask_nsqds()
            return Found(Registration(nodes.value, []), nodes.problems)

        def read(answer: object) -> Registration:
            return Registration(answers.read_producers(answer), answers.read_channel_names(answer))

        found = await self._ask_all(NSQLOOKUPD, self.lookupds, "/lookup", read, topic=topic)
        problems = [problem for problem in found.problems if not problem.absent]
        if not found.value:
            if len(problems) < len(found.problems):
                raise Unknown("TOPIC_NOT_FOUND", problems)
            raise Unreachable(NSQLOOKUPD, problems)
        return Found(
            Registration(
                merge.merge_producers(known.nodes for _, known in found.value),
                merge.merge_names(known.channels for _, known in found.value),
            ),
            problems,
        )

    async def topic(self, name: str) -> Found[Topic]:
        """The total of one topic, without clients; raises Unreachable and Unknown.

        Channels that only a nsqlookupd knows are in it, with no nodes.
        """
        known = await self.registration(name)
        stats = await self.stats(known.value.nodes, {"topic": name, **_LEAN})
        problems = known.problems + stats.problems
        parts = _parts(stats.value, name)
        if not parts and not self.by_lookupd:
            raise Unknown("TOPIC_NOT_FOUND", problems)
        total = merge.merge_topic(name, parts)
        held = {channel.channel_name for channel in total.channels}
        idle = [
            merge.merge_channel(name, channel, []) for channel in known.value.channels if channel not in held
        ]
        total.channels = sorted([*total.channels, *idle], key=lambda channel: channel.channel_name)
        return Found(total, problems)

    async def channel(self, topic: str, name: str) -> Found[Channel]:
        """The total of one channel with its clients; raises Unreachable and Unknown."""
        known = await self.registration(topic)
        query = {"topic": topic, "channel": name, "include_mem": "false"}
        stats = await self.stats(known.value.nodes, query)
        problems = known.problems + stats.problems
        parts = [
            channel
            for part in _parts(stats.value, topic)
            for channel in part.channels
            if channel.channel_name == name
        ]
        if not parts and name not in known.value.channels:
            if not self.by_lookupd:
                await self.topic(topic)  # says so if it is the topic that is unknown
            raise Unknown("CHANNEL_NOT_FOUND", problems)
        return Found(merge.merge_channel(topic, name, parts), problems)

    async def node(self, name: str) -> Found[tuple[Node, NodeStats]]:
        """One node, and what it holds with clients; raises Unreachable and Unknown."""
        nodes = await self.nodes()
        node = next((node for node in nodes.value if node.name == name), None)
        if node is None:
            raise Unknown("NODE_NOT_FOUND", nodes.problems)
        stats = await self.stats([node])
        return Found((node, stats.value[name]), nodes.problems)

    async def idle_topics(self) -> Found[dict[str, list[str]]]:
        """Topics that no node produces, with the channels that the nsqlookupds know; raises Unreachable."""
        if not self.by_lookupd:
            return Found({})
        names, nodes = await asyncio.gather(self.topic_names(), self.nodes())
        produced = {topic.name for node in nodes.value for topic in node.topics if not topic.tombstoned}
        idle = [name for name in names.value if name not in produced]
        # Whoever has kept us waiting already is not asked a second time.
        failed = {problem.address for problem in names.problems + nodes.problems}
        asked = [lookupd for lookupd in self.lookupds if lookupd not in failed]
        found = await asyncio.gather(*(self._channels(lookupd, idle) for lookupd in asked))
        problems = _once(names.problems + nodes.problems + [p for known in found for p in known.problems])
        return Found(
            {name: merge.merge_names(known.value.get(name, []) for known in found) for name in idle}, problems
        )

    async def _channels(self, lookupd: str, topics: Sequence[str]) -> Found[dict[str, list[str]]]:
        """The channels of many topics by one nsqlookupd, which is left alone once it fails."""
        channels: dict[str, list[str]] = {}
        for start in range(0, len(topics), _AT_ONCE):
            chunk = topics[start : start + _AT_ONCE]
            found = await asyncio.gather(
                *(
                    self._ask(NSQLOOKUPD, lookupd, "/channels", answers.read_channel_names, topic=topic)
                    for topic in chunk
                )
            )
            for topic, answer in zip(chunk, found, strict=True):
                if isinstance(answer, Problem):
                    return Found(channels, [answer])
                channels[topic] = answer
        return Found(channels)

    async def stats(
        self, nodes: Sequence[Node], query: Mapping[str, str] = _EVERYTHING, *, at_least_one: bool = True
    ) -> Found[dict[str, NodeStats]]:
        """What each of ``nodes`` holds, by its name; ``query`` narrows ``/stats``.

        Raises Unreachable when none of them answers, unless told that this may be.
        """
        found = await asyncio.gather(
            *(
                self._ask(NSQD, node.http_address, "/stats", _stats_reader(node), format="json", **query)
                for node in nodes
            )
        )
        stats = {
            node.name: answer
            for node, answer in zip(nodes, found, strict=True)
            if isinstance(answer, NodeStats)
        }
        problems = [answer for answer in found if isinstance(answer, Problem)]
        if problems and not stats and at_least_one:
            raise Unreachable(NSQD, problems)
        return Found(stats, problems)

    async def tell(
        self, daemon: str, address: str, path: str, query: Mapping[str, str], body: bytes = b""
    ) -> Problem | None:
        """Makes one change at one daemon; None when it is done."""
        log.debug("CI: posting to %s http://%s%s", daemon, address, path)
        try:
            await self.client.post(f"http://{address}{path}", body, **query)
        except HttpFailure as e:
            return _problem(daemon, address, e)
        return None

    async def _ask_nsqds(self, *, at_least_one: bool = True) -> Found[list[Node]]:
        def read(address: str) -> Callable[[object], Node]:
            return lambda answer: answers.read_info(answer, address)

        found = await asyncio.gather(
            *(self._ask(NSQD, address, "/info", read(address)) for address in self.nsqds)
        )
        nodes = {node.name: node for node in found if isinstance(node, Node)}
        problems = [answer for answer in found if isinstance(answer, Problem)]
        if not nodes and at_least_one:
            raise Unreachable(NSQD, problems)
        return Found(list(nodes.values()), problems)

    async def _ask_lookupds(
        self, path: str, read: Callable[[object], T], **params: str
    ) -> Found[list[tuple[str, T]]]:
        found = await self._ask_all(NSQLOOKUPD, self.lookupds, path, read, **params)
        if not found.value:
            raise Unreachable(NSQLOOKUPD, found.problems)
        return found

    async def _ask_all(
        self, daemon: str, addresses: Sequence[str], path: str, read: Callable[[object], T], **params: str
    ) -> Found[list[tuple[str, T]]]:
        found = await asyncio.gather(
            *(self._ask(daemon, address, path, read, **params) for address in addresses)
        )
        pairs = list(zip(addresses, found, strict=True))
        return Found(
            [(address, answer) for address, answer in pairs if not isinstance(answer, Problem)],
            [answer for _, answer in pairs if isinstance(answer, Problem)],
        )

    async def _ask(
        self, daemon: str, address: str, path: str, read: Callable[[object], T], **params: str
    ) -> T | Problem:
        silent = self.silent.get((daemon, address))
        if silent is not None:
            return silent
        return await self._ask_anyway(daemon, address, path, read, **params)

    async def _ask_anyway(
        self, daemon: str, address: str, path: str, read: Callable[[object], T], **params: str
    ) -> T | Problem:
        log.debug("CI: querying %s http://%s%s", daemon, address, path)
        try:
            return read(await self.client.get(f"http://{address}{path}", **params))
        except HttpFailure as e:
            return _problem(daemon, address, e)
        except answers.BadAnswer as e:
            return Problem(daemon, address, f"its answer to {path} makes no sense: {e}")


def _problem(daemon: str, address: str, failure: HttpFailure) -> Problem:
    absent = failure.status == 404 and failure.code in ("TOPIC_NOT_FOUND", "CHANNEL_NOT_FOUND")
    return Problem(daemon, address, failure.reason, failure.code if absent else "")


def _stats_reader(node: Node) -> Callable[[object], NodeStats]:
    return lambda answer: answers.read_stats(answer, node)


def _parts(stats: dict[str, NodeStats], topic: str) -> list[Topic]:
    return [part for answer in stats.values() for part in answer.topics if part.topic_name == topic]


def _once(problems: Iterable[Problem]) -> list[Problem]:
    """One problem per daemon: the same failure met twice is one fact."""
    return list({(problem.daemon, problem.address): problem for problem in problems}.values())
