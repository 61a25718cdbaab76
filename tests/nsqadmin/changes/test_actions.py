"""What a change asks of which daemon, and what is reported when some fail."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from nsqadmin.changes.actions import Change, Outcome, Verb, apply
from nsqadmin.cluster.cluster import Cluster, Unknown, Unreachable
from nsqcore.errors import HttpError
from nsqcore.http_client import JsonClient
from tests.nsqadmin.world import World
from tests.support.fake_cluster import FakeLookupd, FakeNsqd, channel, topic


@pytest.fixture
async def client_() -> AsyncIterator[JsonClient]:
    async with JsonClient(connect_timeout=0.5, request_timeout=0.5) as json_client:
        yield json_client


def _cluster(client_: JsonClient, *asked: FakeLookupd | FakeNsqd) -> Cluster:
    return Cluster(
        client_,
        lookupds=[daemon.address for daemon in asked if isinstance(daemon, FakeLookupd)],
        nsqds=[daemon.address for daemon in asked if isinstance(daemon, FakeNsqd)],
    )


def _results(outcome: Outcome) -> list[str]:
    return [step.problem.reason if step.problem else step.did for step in outcome.steps]


@pytest.mark.parametrize("verb", [Verb.PAUSE, Verb.UNPAUSE, Verb.EMPTY])
@pytest.mark.parametrize("name", ["", "c"])
async def test_pause_unpause_and_empty_go_to_every_producer(
    world: World, client_: JsonClient, verb: Verb, name: str
) -> None:
    nsqds = [await world.nsqd(topic("t", channel("c"))), await world.nsqd(topic("t", channel("c")))]
    other = await world.nsqd(topic("u"))
    lookupd = await world.lookupd(*nsqds, other)
    outcome = await apply(_cluster(client_, lookupd), Change(verb, "t", name))
    expected = f"/channel/{verb.value}?topic=t&channel=c" if name else f"/topic/{verb.value}?topic=t"
    assert [nsqd.calls for nsqd in nsqds] == [[expected], [expected]]
    assert (other.calls, lookupd.calls) == ([], [])
    assert len(outcome.done) == 2
    assert outcome.failures == []


async def test_a_topic_is_created_on_the_nsqlookupds(world: World, client_: JsonClient) -> None:
    nsqd = await world.nsqd()
    lookupds = [await world.lookupd(nsqd), await world.lookupd(nsqd)]
    outcome = await apply(_cluster(client_, *lookupds), Change(Verb.CREATE, "t"))
    assert [lookupd.calls for lookupd in lookupds] == [["/topic/create?topic=t"]] * 2
    assert nsqd.calls == []
    assert _results(outcome) == ["topic created", "topic created"]


async def test_a_channel_is_created_on_the_nsqlookupds_and_the_producers(
    world: World, client_: JsonClient
) -> None:
    producer, other = await world.nsqd(topic("t")), await world.nsqd()
    lookupd = await world.lookupd(producer, other)
    await apply(_cluster(client_, lookupd), Change(Verb.CREATE, "t", "c"))
    assert lookupd.calls == ["/topic/create?topic=t", "/channel/create?topic=t&channel=c"]
    assert producer.calls == ["/channel/create?topic=t&channel=c"]
    assert other.calls == []


async def test_without_nsqlookupds_a_topic_is_created_on_every_nsqd(
    world: World, client_: JsonClient
) -> None:
    nsqds = [await world.nsqd(), await world.nsqd()]
    outcome = await apply(_cluster(client_, *nsqds), Change(Verb.CREATE, "t", "c"))
    assert len(outcome.done) == 4
    for nsqd in nsqds:
        found = nsqd.find("t")
        assert found is not None
        assert [c["channel_name"] for c in found["channels"]] == ["c"]


async def test_without_nsqlookupds_a_channel_is_created_where_its_topic_is(
    world: World, client_: JsonClient
) -> None:
    holder, other = await world.nsqd(topic("t")), await world.nsqd()
    outcome = await apply(_cluster(client_, holder, other), Change(Verb.CREATE, "t", "c"))
    assert [len(t["channels"]) for t in holder.topics] == [1]
    assert other.topics == []
    assert len(outcome.done) == 1
    assert outcome.failures == []


async def test_a_deleted_topic_goes_from_nsqlookupds_and_nodes(world: World, client_: JsonClient) -> None:
    nsqd = await world.nsqd(topic("t"), topic("u"))
    lookupd = await world.lookupd(nsqd, registered={"t": ["c"]})
    outcome = await apply(_cluster(client_, lookupd), Change(Verb.DELETE, "t"))
    assert list(lookupd.known()) == ["u"]
    assert _results(outcome) == ["topic deleted", "topic deleted"]


async def test_a_channel_that_a_nsqlookupd_does_not_know_is_deleted_elsewhere(
    world: World, client_: JsonClient
) -> None:
    nsqd = await world.nsqd(topic("t", channel("c")))
    knows, does_not = await world.lookupd(nsqd), await world.lookupd(registered={"t": []})
    outcome = await apply(_cluster(client_, knows, does_not), Change(Verb.DELETE, "t", "c"))
    assert [t["channels"] for t in nsqd.topics] == [[]]
    assert outcome.failures == []
    outcome.must_have_worked()


async def test_a_tombstone_hides_the_node_and_then_deletes_its_topic(
    world: World, client_: JsonClient
) -> None:
    one, two = await world.nsqd(topic("t")), await world.nsqd(topic("t"))
    lookupd = await world.lookupd(one, two)
    outcome = await apply(_cluster(client_, lookupd), Change(Verb.TOMBSTONE, "t", node=one.name))
    assert lookupd.tombstones == {("t", one.name)}
    assert (one.topics, len(two.topics)) == ([], 1)
    assert _results(outcome) == ["topic hidden from consumers", "topic deleted"]


async def test_a_tombstone_for_a_dead_node_reports_both_halves(world: World, client_: JsonClient) -> None:
    nsqd = await world.nsqd(topic("t"))
    lookupd = await world.lookupd(nsqd)
    await nsqd.stop()
    outcome = await apply(_cluster(client_, lookupd), Change(Verb.TOMBSTONE, "t", node=nsqd.name))
    assert _results(outcome) == ["topic hidden from consumers", "connection refused"]
    outcome.must_have_worked()


@pytest.mark.parametrize(
    ("node", "name", "code"), [("127.0.0.1:1", "t", "NODE_NOT_FOUND"), ("", "nope", "TOPIC_NOT_FOUND")]
)
async def test_a_tombstone_for_nobody_changes_nothing(
    world: World, client_: JsonClient, node: str, name: str, code: str
) -> None:
    nsqd = await world.nsqd(topic("t"))
    lookupd = await world.lookupd(nsqd)
    with pytest.raises(Unknown, match=code):
        await apply(_cluster(client_, lookupd), Change(Verb.TOMBSTONE, name, node=node or nsqd.name))
    assert (lookupd.calls, nsqd.calls) == ([], [])


async def test_one_node_that_fails_keeps_nobody_else_from_it(world: World, client_: JsonClient) -> None:
    good, dead, hangs = [await world.nsqd(topic("t")) for _ in range(3)]
    lookupd = await world.lookupd(good, dead, hangs)
    await dead.stop()
    hangs.hanging = True
    outcome = await apply(_cluster(client_, lookupd), Change(Verb.PAUSE, "t"))
    assert sorted(_results(outcome)) == ["connection refused", "timed out", "topic paused"]
    assert len(outcome.failures) == 2
    outcome.must_have_worked()


async def test_what_failed_everywhere_has_not_worked(world: World, client_: JsonClient) -> None:
    nsqd = await world.nsqd(topic("t"))
    lookupd = await world.lookupd(nsqd)
    nsqd.lies["/topic/pause"] = HttpError(500, "INTERNAL_ERROR")
    outcome = await apply(_cluster(client_, lookupd), Change(Verb.PAUSE, "t"))
    with pytest.raises(HttpError) as refused:
        outcome.must_have_worked()
    assert refused.value.status == 502
    assert f"nsqd {nsqd.address}: got response 500" in refused.value.code


async def test_what_nobody_has_is_not_found(world: World, client_: JsonClient) -> None:
    nsqd = await world.nsqd(topic("t"))
    lookupd = await world.lookupd(nsqd)
    outcome = await apply(_cluster(client_, lookupd), Change(Verb.PAUSE, "t", "nope"))
    with pytest.raises(Unknown, match="CHANNEL_NOT_FOUND"):
        outcome.must_have_worked()
    with pytest.raises(Unknown, match="TOPIC_NOT_FOUND"):
        await apply(_cluster(client_, lookupd), Change(Verb.PAUSE, "nope"))
    outcome = await apply(_cluster(client_, nsqd), Change(Verb.DELETE, "nope"))
    with pytest.raises(Unknown, match="TOPIC_NOT_FOUND"):
        outcome.must_have_worked()


async def test_nothing_is_changed_when_nobody_can_say_where_the_topic_is(
    world: World, client_: JsonClient
) -> None:
    nsqd = await world.nsqd(topic("t"))
    lookupd = await world.lookupd(nsqd)
    lookupd.lies["/lookup"] = HttpError(500, "INTERNAL_ERROR")
    with pytest.raises(Unreachable):
        await apply(_cluster(client_, lookupd), Change(Verb.DELETE, "t"))
    assert (lookupd.calls, nsqd.calls) == ([], [])


async def test_a_half_known_cluster_is_told_with_the_outcome(world: World, client_: JsonClient) -> None:
    nsqd = await world.nsqd(topic("t"))
    live, dead = await world.lookupd(nsqd), await world.lookupd(nsqd)
    await dead.stop()
    outcome = await apply(_cluster(client_, live, dead), Change(Verb.PAUSE, "t"))
    assert [problem.address for problem in outcome.failures] == [dead.address]
