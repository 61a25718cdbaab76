"""The sampler before fake daemons on real sockets."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from nsqadmin.cluster.cluster import Cluster
from nsqadmin.history.sampler import Sampler
from nsqadmin.history.series import CLUSTER, Key, Metric
from nsqadmin.history.snapshot import Snapshot
from nsqcore.durations import Duration
from nsqcore.http_client import JsonClient
from tests.nsqadmin.world import World
from tests.support.fake_cluster import FakeLookupd, FakeNsqd, channel, topic

PATIENCE_S = 20.0


@pytest.fixture
async def client() -> AsyncIterator[JsonClient]:
    async with JsonClient(request_timeout=1.0) as client:
        yield client


async def fresh(sampler: Sampler) -> Snapshot:
    """A sample that was begun after the call."""
    sampler.renew()
    async with asyncio.timeout(PATIENCE_S):
        while sampler._ended < sampler._wanted:
            await sampler._wait()
    return await sampler.latest()


class Watching:
    """Samplers that end with the test."""

    def __init__(self, client: JsonClient) -> None:
        self.client = client
        self.samplers: list[Sampler] = []

    def __call__(self, *asked: FakeLookupd | FakeNsqd, interval: float = 0.05) -> Sampler:
        cluster = Cluster(
            self.client,
            lookupds=[d.address for d in asked if isinstance(d, FakeLookupd)],
            nsqds=[d.address for d in asked if isinstance(d, FakeNsqd)],
        )
        sampler = Sampler(cluster, interval=interval)
        sampler.start()
        self.samplers.append(sampler)
        return sampler


@pytest.fixture
async def watch(client: JsonClient) -> AsyncIterator[Watching]:
    watching = Watching(client)
    yield watching
    for sampler in watching.samplers:
        await sampler.stop()
        await sampler.stop()


async def test_totals_are_those_of_all_nodes(world: World, watch: Watching) -> None:
    first = await world.nsqd(topic("t", channel("c", depth=3, in_flight_count=1), depth=2, paused=True))
    second = await world.nsqd(topic("t", channel("c", depth=4), channel("d"), depth=5, message_count=9))
    lookupd = await world.lookupd(first, second, registered={"idle": []})
    found = await watch(lookupd).latest()
    t = found.topics["t"]
    assert (t.depth, t.channel_depth, t.in_flight_count, t.nodes, t.paused_nodes) == (7, 7, 1, 2, 1)
    assert [(c.channel_name, c.nodes, c.depth) for c in t.channels] == [("c", 2, 7), ("d", 1, 0)]
    assert list(found.topics) == ["idle", "t"]
    assert found.topics["idle"].nodes == 0
    assert (found.total.depth, found.total.message_count) == (14, 9)
    assert sorted(node.depth for node in found.nodes) == [2, 5]
    assert [(one.node_count, one.topic_count, one.problem) for one in found.lookupds] == [(2, 2, None)]


async def test_rates_are_known_from_the_second_sample_and_are_never_negative(
    world: World, watch: Watching
) -> None:
    nsqd = await world.nsqd(topic("t", channel("c", message_count=100), message_count=100))
    sampler = watch(await world.lookupd(nsqd))
    first = await sampler.latest()
    assert first.topics["t"].rates.published is None
    second = await sampler.next(first.number)
    assert second.topics["t"].rates.published == 0
    nsqd.topics[0] = topic("t", channel("c", message_count=150, depth=20), message_count=150)
    third = await fresh(sampler)
    rates = third.topics["t"].channels[0].rates
    assert rates.published is not None
    assert rates.finished is not None
    assert rates.published > 0
    assert rates.finished == pytest.approx(rates.published * 0.6)
    nsqd.topics[0] = topic("t", channel("c", message_count=3), message_count=3)
    nsqd.start_time += 100
    again = await fresh(sampler)
    assert again.topics["t"].rates.published is None
    known = [value for value in sampler.series(Key("topic", "t"), Metric.PUBLISHED, 60).values if value]
    assert known
    assert min(known) > 0
    async with asyncio.timeout(PATIENCE_S):
        while sampler.series(CLUSTER, Metric.DEPTH, 60).values[-1] != 0:
            again = await sampler.next(again.number)


async def test_a_sample_right_after_another_tells_no_wild_rate(world: World, watch: Watching) -> None:
    nsqd = await world.nsqd(topic("t", message_count=0))
    sampler = watch(await world.lookupd(nsqd), interval=1.0)
    first = await sampler.next((await sampler.latest()).number)
    nsqd.topics[0] = topic("t", message_count=1000)
    hurried = await fresh(sampler)
    assert hurried.at - first.at < 0.5
    published = hurried.topics["t"].rates.published
    assert published is None or published <= 2000


async def test_a_node_that_hangs_delays_one_sample_and_is_told_until_it_answers(
    world: World, watch: Watching
) -> None:
    good, bad = await world.nsqd(topic("t", depth=1)), await world.nsqd(topic("t", depth=10))
    sampler = watch(await world.lookupd(good, bad))
    await sampler.latest()
    bad.hanging = True
    found = await fresh(sampler)
    silent = next(node for node in found.nodes if node.node.name == bad.name)
    assert found.topics["t"].depth == 1
    assert silent.problem is not None
    assert silent.problem.reason == "timed out"
    assert silent.silent_since <= found.at
    async with asyncio.timeout(PATIENCE_S):
        later = await fresh(sampler)
        assert later.took_s < 0.9
        bad.hanging = False
        while any(node.problem for node in (await fresh(sampler)).nodes):
            pass


async def test_a_nsqlookupd_that_hangs_or_dies_leaves_the_figures_of_the_nodes(
    world: World, watch: Watching
) -> None:
    nsqd = await world.nsqd(topic("t", depth=1))
    lookupd = await world.lookupd(nsqd)
    sampler = watch(lookupd)
    await sampler.latest()
    await lookupd.stop()
    found = await fresh(sampler)
    assert found.topics["t"].depth == 1
    assert found.lookupds[0].problem is not None
    assert [problem.daemon for problem in found.problems] == ["nsqlookupd"]


async def test_a_node_that_nobody_names_any_more_is_shown_as_gone(world: World, watch: Watching) -> None:
    stays, goes = await world.nsqd(topic("t")), await world.nsqd(topic("t"))
    lookupd = await world.lookupd(stays, goes)
    sampler = watch(lookupd)
    await sampler.latest()
    lookupd.nodes.remove(goes)
    found = await fresh(sampler)
    assert [(node.node.name, node.gone) for node in found.nodes] == [(stays.name, False), (goes.name, True)]


async def test_what_answers_garbage_is_a_problem_of_that_node_alone(world: World, watch: Watching) -> None:
    good, bad = await world.nsqd(topic("t", depth=1)), await world.nsqd(topic("t", depth=10))
    bad.lies["/stats"] = {"topics": [{"topic_name": "t", "depth": "many"}]}
    found = await watch(good, bad).latest()
    assert found.topics["t"].depth == 1
    assert [problem.address for problem in found.problems] == [bad.address]
    assert "makes no sense" in found.problems[0].reason


async def test_who_hung_at_the_last_sample_is_not_waited_for_by_pages_but_changes_are_tried(
    world: World, watch: Watching
) -> None:
    good, bad = await world.nsqd(topic("t", depth=1)), await world.nsqd(topic("t", depth=10))
    sampler = watch(await world.lookupd(good, bad))
    await sampler.latest()
    bad.hanging = True
    await fresh(sampler)
    began = time.monotonic()
    found = await sampler.cluster.topic("t")
    assert time.monotonic() - began < 0.5
    assert found.value.depth == 1
    assert re.fullmatch(r"timed out; no answer since \d\d:\d\d:\d\d UTC", found.problems[0].reason)
    assert await sampler.cluster.tell("nsqd", bad.address, "/topic/pause", {"topic": "t"}) is not None
    assert bad.calls == ["/topic/pause?topic=t"]
    bad.hanging = False
    async with asyncio.timeout(PATIENCE_S):
        while (await sampler.cluster.topic("t")).value.depth != 11:
            await fresh(sampler)


@pytest.mark.parametrize("hangs", ["nsqd", "nsqlookupd"])
async def test_a_daemon_that_hangs_has_one_question_at_a_time(
    world: World, watch: Watching, hangs: str
) -> None:
    good, bad = await world.nsqd(), await world.nsqd()
    lookupds = [await world.lookupd(good, bad), await world.lookupd(good, bad)]
    hanging = lookupds[1] if hangs == "nsqlookupd" else bad
    hanging.hanging = True
    sampler = watch(*lookupds)
    found = await sampler.latest()
    hanging.questions.clear()
    number = found.number
    while found.number < number + 3:
        found = await sampler.next(found.number)
    asked = {question.partition("?")[0] for question in hanging.questions}
    assert len(hanging.questions) <= 2 * len(asked)  # of three samples, the third may follow a time-out
    assert len(found.problems) == 1


async def test_a_nsqd_that_was_named_and_hangs_delays_the_others_once(world: World, watch: Watching) -> None:
    good, bad = await world.nsqd(topic("t", depth=1)), await world.nsqd()
    bad.hanging = True
    sampler = watch(good, bad)
    assert (await sampler.latest()).took_s > 0.9
    found = await fresh(sampler)
    assert found.took_s < 0.9
    assert found.total.depth == 1
    assert [problem.address for problem in found.problems] == [bad.address]
    bad.hanging = False
    async with asyncio.timeout(PATIENCE_S):
        while len(found.nodes) < 2:
            found = await fresh(sampler)


async def test_nothing_is_left_when_it_stops_while_daemons_hang(world: World, watch: Watching) -> None:
    bad = await world.nsqd(topic("t"))
    lookupds = [await world.lookupd(bad), await world.lookupd(bad)]
    sampler = watch(*lookupds)
    await sampler.latest()
    bad.hanging = lookupds[0].hanging = True
    await fresh(sampler)
    before = asyncio.all_tasks()
    await sampler.stop()
    await sampler.stop()
    assert not [task for task in asyncio.all_tasks() & before if "Questions" in repr(task)]


async def test_the_past_is_there_again_after_a_restart_of_nsqadmin(world: World, tmp_path: Path) -> None:
    lookupd = await world.lookupd(await world.nsqd(topic("t", depth=5)))
    admin = await world.admin(lookupd, data_path=str(tmp_path), sample_interval=Duration.parse("1s"))
    await admin.until("/topics", "t")
    await world.admins[0].stop()
    before = time.time()
    await world.admin(lookupd, data_path=str(tmp_path), sample_interval=Duration.parse("1s"))
    sampler = world.admins[1]._sampler
    assert sampler is not None
    await sampler.latest()
    assert sampler._past.series(Key("topic", "t"), Metric.DEPTH, before, 30, 30).values.count(5.0) >= 1
