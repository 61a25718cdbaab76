"""Changes to a cluster: each is sent to every daemon concerned, and what became of it there is reported."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from nsqadmin.cluster.cluster import NSQD, NSQLOOKUPD, Cluster, Found, Unknown, Unreachable
from nsqadmin.cluster.model import Node, Problem
from nsqcore.errors import HttpError


class Verb(Enum):
    """What can be done to a topic or a channel."""

    CREATE = "create"
    PAUSE = "pause"
    UNPAUSE = "unpause"
    EMPTY = "empty"
    DELETE = "delete"
    TOMBSTONE = "tombstone"


@dataclass(frozen=True, slots=True)
class Change:
    """A verb and what it is done to: a topic or one of its channels, everywhere or on one node."""

    verb: Verb
    topic: str
    channel: str = ""
    node: str = ""

    @property
    def kind(self) -> str:
        """``topic`` or ``channel``: the first part of the daemons' paths."""
        return "channel" if self.channel else "topic"

    @property
    def target(self) -> str:
        """``topic``, ``topic/channel`` or either ``on node``, for people."""
        name = f"{self.topic}/{self.channel}" if self.channel else self.topic
        return f"{name} on {self.node}" if self.node else name

    @property
    def query(self) -> dict[str, str]:
        """The parameters that daemons want."""
        return {"topic": self.topic, "channel": self.channel} if self.channel else {"topic": self.topic}


@dataclass(slots=True)
class Step:
    """One request of a change; ``problem`` is None when it was done."""

    daemon: str
    address: str
    did: str
    """What was done, or would have been: ``paused``, ``hidden from consumers``."""
    problem: Problem | None = None


@dataclass(slots=True)
class Outcome:
    """What became of a change; ``problems`` are daemons that could not say who else is concerned."""

    change: Change
    steps: list[Step] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @property
    def done(self) -> list[Step]:
        """The steps that succeeded."""
        return [step for step in self.steps if step.problem is None]

    @property
    def failures(self) -> list[Problem]:
        """Every failure; a daemon that does not have what was to change is none."""
        return self.problems + [
            step.problem for step in self.steps if step.problem and not step.problem.absent
        ]

    def must_have_worked(self) -> None:
        """Raises HttpError: 404 when no daemon has the thing, 502 when nothing was done and some failed."""
        if self.done or not self.steps:
            return
        failed = self.failures
        if failed:
            raise HttpError(502, "UPSTREAM_ERROR: nothing was changed: " + "\n".join(map(str, failed)))
        codes = {step.problem.absent for step in self.steps if step.problem}
        raise Unknown("CHANNEL_NOT_FOUND" if "CHANNEL_NOT_FOUND" in codes else "TOPIC_NOT_FOUND")


_DID = {
    Verb.CREATE: "created",
    Verb.PAUSE: "paused",
    Verb.UNPAUSE: "unpaused",
    Verb.EMPTY: "emptied",
    Verb.DELETE: "deleted",
    Verb.TOMBSTONE: "hidden from consumers",
}


async def apply(cluster: Cluster, change: Change) -> Outcome:
    """Makes the change; raises Unknown or Unreachable when there is nothing to make it on.

    Daemons of one kind are told at the same time; those that fail do not keep the others from it. When
    this is cancelled, requests on their way may or may not take effect.
    """
    match change.verb:
        case Verb.CREATE:
            return await _create(cluster, change)
        case Verb.DELETE if not change.node:
            return await _delete(cluster, change)
        case Verb.TOMBSTONE:
            return await _tombstone(cluster, change)
        case _ if change.node:
            nodes = await cluster.nodes()
            outcome = Outcome(change)
            outcome.steps += await _tell_nodes(cluster, [_find(nodes, change.node)], change)
            return outcome
        case _:
            known = await cluster.registration(change.topic)
            outcome = Outcome(change, problems=known.problems)
            outcome.steps += await _tell_nodes(cluster, known.value.nodes, change)
            return outcome


async def _create(cluster: Cluster, change: Change) -> Outcome:
    outcome = Outcome(change)
    topic = Change(Verb.CREATE, change.topic)
    if not cluster.by_lookupd:
        return await _create_on_nodes(cluster, change, topic)
    outcome.steps += await _tell_lookupds(cluster, topic)
    if not change.channel:
        return outcome
    outcome.steps += await _tell_lookupds(cluster, change)
    try:
        known = await cluster.registration(change.topic)
    except (Unknown, Unreachable) as e:
        outcome.problems += e.problems
        return outcome
    outcome.problems += known.problems
    outcome.steps += await _tell_nodes(cluster, known.value.nodes, change)
    return outcome


async def _create_on_nodes(cluster: Cluster, change: Change, topic: Change) -> Outcome:
    """Without nsqlookupds: a channel where its topic is; a topic, new or for its first channel, everywhere."""
    known = await cluster.registration(change.topic)
    outcome = Outcome(change, problems=known.problems)
    if change.channel:
        steps = await _tell_nodes(cluster, known.value.nodes, change)
        if any(step.problem is None or not step.problem.absent for step in steps):
            outcome.steps = steps
            return outcome
    outcome.steps += await _tell_nodes(cluster, known.value.nodes, topic)
    if change.channel:
        outcome.steps += await _tell_nodes(cluster, known.value.nodes, change)
    return outcome


async def _delete(cluster: Cluster, change: Change) -> Outcome:
    # Who holds it is asked first: the nsqlookupds forget it with the very first step.
    known = await cluster.registration(change.topic)
    outcome = Outcome(change, problems=known.problems)
    outcome.steps += await _tell_lookupds(cluster, change)
    outcome.steps += await _tell_nodes(cluster, known.value.nodes, change)
    return outcome


async def _tombstone(cluster: Cluster, change: Change) -> Outcome:
    nodes = await cluster.nodes()
    node = _find(nodes, change.node)
    if all(topic.name != change.topic for topic in node.topics):
        raise Unknown("TOPIC_NOT_FOUND", nodes.problems)
    outcome = Outcome(change, problems=nodes.problems)
    path = "/topic/tombstone"
    outcome.steps += await _tell(
        cluster,
        NSQLOOKUPD,
        cluster.lookupds,
        path,
        {"topic": change.topic, "node": node.name},
        Verb.TOMBSTONE,
    )
    outcome.steps += await _tell_nodes(cluster, [node], Change(Verb.DELETE, change.topic))
    return outcome


def _find(nodes: Found[list[Node]], name: str) -> Node:
    for node in nodes.value:
        if node.name == name:
            return node
    raise Unknown("NODE_NOT_FOUND", nodes.problems)


async def _tell_lookupds(cluster: Cluster, change: Change) -> list[Step]:
    path = f"/{change.kind}/{change.verb.value}"
    return await _tell(cluster, NSQLOOKUPD, cluster.lookupds, path, change.query, change.verb)


async def _tell_nodes(cluster: Cluster, nodes: Iterable[Node], change: Change) -> list[Step]:
    path = f"/{change.kind}/{change.verb.value}"
    return await _tell(cluster, NSQD, [n.http_address for n in nodes], path, change.query, change.verb)


async def _tell(
    cluster: Cluster, daemon: str, addresses: Sequence[str], path: str, query: dict[str, str], verb: Verb
) -> list[Step]:
    problems = await asyncio.gather(*(cluster.tell(daemon, address, path, query) for address in addresses))
    did = f"{path.split('/')[1]} {_DID[verb]}"
    return [Step(daemon, address, did, problem) for address, problem in zip(addresses, problems, strict=True)]
