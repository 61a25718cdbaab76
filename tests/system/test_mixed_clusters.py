"""Daemons of ours and the original's in one cluster: who asks and who answers makes no difference."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import nsqclient
from tests.support.fetch import fetch, fetch_json
from tests.support.history import post
from tests.support.needs import original
from tests.support.processes import DaemonProcess
from tests.system.cluster import (
    Kind,
    channel_names,
    nsqadmin,
    nsqd,
    nsqlookupd,
    run_tool,
    topic_stats,
)
from tests.system.waiting import until

pytestmark = pytest.mark.usefixtures("_originals")
KINDS = pytest.mark.parametrize("kind", Kind, ids=lambda kind: kind.value)


@pytest.fixture(scope="module")
def _originals() -> None:
    for program in ("nsqd", "nsqlookupd", "nsqadmin", "nsq_tail"):
        original(program)


def producers(lookupd: DaemonProcess, topic: str) -> set[tuple[str, int]]:
    """The nodes that a nsqlookupd names for a topic; none when it does not know the topic."""
    status, body = fetch(lookupd.http, f"/lookup?topic={topic}")
    found = json.loads(body).get("producers", []) if status == 200 else []
    return {(node["broadcast_address"], node["tcp_port"]) for node in found}


def ports(*nodes: DaemonProcess) -> set[tuple[str, int]]:
    """These nodes as a nsqlookupd names them."""
    return {("127.0.0.1", int(node.tcp.rpartition(":")[2])) for node in nodes}


@KINDS
async def test_consumers_find_both_nodes_behind_either_nsqlookupd(
    kind: Kind, tmp_path: Path, topic: str
) -> None:
    bodies = {node: [b"%s %d" % (node.value.encode(), n) for n in range(50)] for node in Kind}
    every = Counter(body for some in bodies.values() for body in some)
    with (
        nsqlookupd(kind) as lookupd,
        nsqd(Kind.OURS, tmp_path / "ours", [lookupd]) as ours,
        nsqd(Kind.ORIGINAL, tmp_path / "original", [lookupd]) as theirs,
    ):
        for node, source in ((ours, Kind.OURS), (theirs, Kind.ORIGINAL)):
            assert post(node, f"/topic/create?topic={topic}")[0] == 200
            for channel in ("tail", "client"):
                assert post(node, f"/channel/create?topic={topic}&channel={channel}")[0] == 200
            assert post(node, f"/mpub?topic={topic}", b"\n".join(bodies[source]))[0] == 200
        until(lambda: producers(lookupd, topic) == ports(ours, theirs))
        ask = (f"--lookupd-http-address={lookupd.http}", f"--topic={topic}", "--channel=tail", "-n=100")
        assert Counter(run_tool("nsq_tail", *ask)) == every
        lookup = nsqclient.Lookup(f"http://{lookupd.http}")
        got: Counter[bytes] = Counter()
        async with nsqclient.Consumer(topic, "client", lookup) as consumer:
            async for message in consumer:
                async with message:
                    got[message.body] += 1
                if got.total() == every.total():
                    break
        assert got == every
        assert theirs.stop() == 0
        until(lambda: producers(lookupd, topic) == ports(ours))


@KINDS
def test_a_nsqlookupd_tells_the_same_of_either_node(kind: Kind, tmp_path: Path, topic: str) -> None:
    zone = ("--topology-region=r", "--topology-zone=z")
    with (
        nsqlookupd(kind) as lookupd,
        nsqd(Kind.OURS, tmp_path / "ours", [lookupd], *zone) as ours,
        nsqd(Kind.ORIGINAL, tmp_path / "original", [lookupd], *zone) as theirs,
    ):
        for node in (ours, theirs):
            assert post(node, f"/topic/create?topic={topic}")[0] == 200
        until(lambda: producers(lookupd, topic) == ports(ours, theirs))
        one, two = fetch_json(lookupd.http, "/nodes")["producers"]
        own = {"remote_address", "tcp_port", "http_port"}
        assert {k: v for k, v in one.items() if k not in own} == {
            k: v for k, v in two.items() if k not in own
        }
        assert own <= one.keys()


@KINDS
@pytest.mark.parametrize("first", Kind, ids=lambda first: f"{first.value} has it")
def test_a_new_topic_gets_the_channels_that_it_has_elsewhere(
    kind: Kind, first: Kind, tmp_path: Path, topic: str
) -> None:
    with (
        nsqlookupd(kind) as lookupd,
        nsqd(first, tmp_path / "a", [lookupd]) as has,
        nsqd(first.other, tmp_path / "b", [lookupd]) as gets,
    ):
        assert post(has, f"/topic/create?topic={topic}")[0] == 200
        for channel in ("one", "two", "passing#ephemeral"):
            name = channel.replace("#", "%23")
            assert post(has, f"/channel/create?topic={topic}&channel={name}")[0] == 200
        known = {"one", "two", "passing#ephemeral"}
        until(lambda: set(fetch_json(lookupd.http, f"/channels?topic={topic}")["channels"]) == known)
        assert post(gets, f"/pub?topic={topic}", b"hello")[0] == 200
        until(lambda: channel_names(gets, topic) == {"one", "two"})
        until(lambda: [c["depth"] for c in topic_stats(gets, topic)["channels"]] == [1, 1])


class Cluster:
    """Two nodes of either kind, both known to a nsqlookupd of either kind, and a nsqadmin of either kind."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self.lookupds = [stack.enter_context(nsqlookupd(kind)) for kind in Kind]
        self.nodes = {
            kind: stack.enter_context(nsqd(kind, folder / kind.value, self.lookupds)) for kind in Kind
        }
        self.admins = {kind: stack.enter_context(nsqadmin(kind, self.lookupds)) for kind in Kind}

    def publish(self, topic: str, count: int) -> None:
        """So many messages into each node; the nsqlookupds know it."""
        for node in self.nodes.values():
            assert post(node, f"/mpub?topic={topic}", b"\n".join([b"x"] * count))[0] == 200
        both = ports(*self.nodes.values())
        until(lambda: all(producers(lookupd, topic) == both for lookupd in self.lookupds))

    def each(self, topic: str) -> list[dict[str, Any]]:
        """What each node tells of a topic."""
        return [topic_stats(node, topic) for node in self.nodes.values()]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, _originals: None) -> Iterator[Cluster]:
    with ExitStack() as stack:
        yield Cluster(stack, tmp_path_factory.mktemp("cluster"))


def api(admin: DaemonProcess, method: str, path: str, **fields: str) -> Any:
    """The answer of nsqadmin's API, which must be 200 and without a warning."""
    status, answer = fetch(
        admin.http, f"/api{path}", method=method, body=json.dumps(fields).encode() if fields else b""
    )
    assert status == 200, (path, answer)
    told = json.loads(answer) if answer else {}
    assert told.get("message", "") == "", told
    return told


# An empty latency and the host of a sum are told in two ways; which nsqlookupd is asked first is chance.
_VARIES = {"e2e_processing_latency", "hostname", "remote_address"}


def plain(told: Any, *, below: bool = False) -> Any:
    """An answer without its order, without what is told in two ways, and without lists of lists.

    The original counts a channel's second node into its first when it sums up a topic, so that is not compared.
    """
    if isinstance(told, list):
        return sorted((plain(part, below=True) for part in told), key=json.dumps)
    if isinstance(told, dict):
        left_out = _VARIES | ({"nodes", "channels"} if below else set())
        return {k: plain(v, below=below) for k, v in told.items() if k not in left_out}
    return told


def test_both_nsqadmins_show_the_same(cluster: Cluster, topic: str) -> None:
    for node in cluster.nodes.values():
        assert post(node, f"/topic/create?topic={topic}")[0] == 200
        assert post(node, f"/channel/create?topic={topic}&channel=work")[0] == 200
    cluster.publish(topic, 3)
    ours, theirs = cluster.admins[Kind.OURS], cluster.admins[Kind.ORIGINAL]
    paths = ["/topics", f"/topics/{topic}", f"/topics/{topic}/work", "/nodes", "/topics?inactive=true"]
    paths += [f"/nodes/{node.http}" for node in cluster.nodes.values()]
    for path in paths:
        assert plain(api(ours, "GET", path)) == plain(api(theirs, "GET", path)), path


@KINDS
def test_what_a_nsqadmin_does_is_done_on_both_nodes(cluster: Cluster, kind: Kind, topic: str) -> None:
    admin = cluster.admins[kind]
    api(admin, "POST", "/topics", topic=topic, channel="work")
    cluster.publish(topic, 3)
    nodes = cluster.nodes.values()
    until(lambda: all(channel_names(node, topic) == {"work"} for node in nodes))

    def channels() -> list[tuple[int, bool]]:
        return [(c["depth"], c["paused"]) for told in cluster.each(topic) for c in told["channels"]]

    api(admin, "POST", f"/topics/{topic}/work", action="pause")
    assert channels() == [(3, True), (3, True)]
    api(admin, "POST", f"/topics/{topic}/work", action="empty")
    assert channels() == [(0, True), (0, True)]
    api(admin, "POST", f"/topics/{topic}/work", action="unpause")
    api(admin, "POST", f"/topics/{topic}", action="pause")
    assert channels() == [(0, False), (0, False)]
    cluster.publish(topic, 2)
    assert [(told["depth"], told["paused"]) for told in cluster.each(topic)] == [(2, True), (2, True)]
    api(admin, "POST", f"/topics/{topic}", action="empty")
    assert [told["depth"] for told in cluster.each(topic)] == [0, 0]
    api(admin, "POST", f"/topics/{topic}", action="unpause")
    api(admin, "DELETE", f"/topics/{topic}/work")
    assert channels() == []
    api(admin, "DELETE", f"/topics/{topic}")
    assert cluster.each(topic) == [{}, {}]
    for lookupd in cluster.lookupds:
        assert topic not in fetch_json(lookupd.http, "/topics")["topics"]


@KINDS
@pytest.mark.parametrize("gone", Kind, ids=lambda gone: f"node of {gone.value}")
def test_a_node_that_a_nsqadmin_tombstones_is_named_no_more(
    cluster: Cluster, kind: Kind, gone: Kind, topic: str
) -> None:
    cluster.publish(topic, 1)
    admin = cluster.admins[kind]
    until(lambda: len(api(admin, "GET", "/nodes")["nodes"]) == 2)
    api(admin, "DELETE", f"/nodes/{cluster.nodes[gone].http}", topic=topic)
    for lookupd in cluster.lookupds:
        assert producers(lookupd, topic) == ports(cluster.nodes[gone.other])
    assert topic_stats(cluster.nodes[gone], topic) == {}, "it is deleted there"
    assert topic_stats(cluster.nodes[gone.other], topic)["message_count"] == 1
