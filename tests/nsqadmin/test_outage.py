"""nsqadmin in front of a cluster that is ill: a nsqlookupd is down, a nsqd hangs, another one talks nonsense."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import pytest

from nsqcore.durations import Duration
from tests.nsqadmin.world import Answer, Visitor, World
from tests.support.fake_cluster import FakeLookupd, FakeNsqd, channel, client, topic

TIMEOUT_S = 4.0
SLACK_S = 3.0
"""For a machine that does other things besides; less than a second time-out."""
PAGES = (
    "/",
    "/topics",
    "/topics/t",
    "/topics/t/c",
    "/nodes",
    "/nodes/{well}",
    "/nodes/{hanging}",
    "/nodes/{lying}",
    "/lookup",
    "/counter",
    "/map",
    "/publish",
    "/audit",
    "/actions/delete?topic=t",
    "/actions/empty?topic=t&channel=c",
    "/api/topics",
    "/api/topics/t",
    "/api/topics/t/c",
    "/api/nodes",
    "/api/counter",
)


@dataclass
class Ill:
    """The cluster."""

    admin: Visitor
    down: FakeLookupd
    hanging: FakeNsqd
    lying: FakeNsqd
    well: FakeNsqd

    def path(self, pattern: str) -> str:
        return pattern.format(well=self.well.name, hanging=self.hanging.name, lying=self.lying.name)


@pytest.fixture
async def ill(world: World) -> Ill:
    busy = topic("t", channel("c", depth=7, clients=[client("w")]), depth=5)
    well, hanging, lying = [await world.nsqd(busy) for _ in range(3)]
    up, down = [await world.lookupd(well, hanging, lying) for _ in range(2)]
    timeout = Duration.parse(f"{TIMEOUT_S:g}s")
    admin = await world.admin(up, down, http_client_request_timeout=timeout)
    await down.stop()
    hanging.hanging = True
    lying.lies = {"/stats": b"<html>it works!</html>", "/info": b"<html>it works!</html>"}
    return Ill(admin, down, hanging, lying, well)


async def test_every_page_answers_within_the_time_out_and_says_what_is_missing(ill: Ill) -> None:
    async def visit(pattern: str) -> tuple[float, Answer]:
        began = time.monotonic()
        answer = await ill.admin.get(ill.path(pattern))
        return time.monotonic() - began, answer

    everybody = (ill.down, ill.hanging, ill.lying)
    knows_less = {
        **dict.fromkeys(("/audit", "/publish"), ()),  # they show nothing of the daemons
        **dict.fromkeys(("/lookup", "/nodes/{well}", "/api/topics", "/api/nodes"), (ill.down,)),
        "/nodes/{hanging}": (ill.hanging,),
        "/nodes/{lying}": (ill.lying,),
    }
    visits = await asyncio.gather(*map(visit, PAGES))
    for pattern, (took, answer) in zip(PAGES, visits, strict=True):
        assert took < TIMEOUT_S + SLACK_S, pattern
        assert answer.status == 200, (pattern, answer.text)
        for daemon in knows_less.get(pattern, everybody):
            assert daemon.address in answer.text, (pattern, daemon)


async def test_a_daemon_that_hangs_delays_pages_once(ill: Ill) -> None:
    await ill.admin.until("/nodes", "timed out")
    for pattern in PAGES:
        if "hanging" in pattern:
            continue
        began = time.monotonic()
        await ill.admin.get(ill.path(pattern))
        assert time.monotonic() - began < TIMEOUT_S * 0.75, pattern


async def test_a_daemon_that_answers_again_is_asked_again(ill: Ill) -> None:
    await ill.admin.until("/nodes", "timed out")
    ill.hanging.hanging = False
    found = await ill.admin.until("/topics/t", "10 in memory")
    assert ill.hanging.address not in found.page.words.partition("Channels")[0]


async def test_a_nsqlookupd_that_hangs_is_waited_for_once_though_topics_have_no_producer(
    world: World,
) -> None:
    # Which channels an inactive topic has is asked of each nsqlookupd in a second round.
    up, hanging = [await world.lookupd(registered={f"ghost{n}": ["c"] for n in range(40)}) for _ in range(2)]
    hanging.hanging = True
    timeout = Duration.parse("1s")
    admin = await world.admin(up, hanging, http_client_request_timeout=timeout)
    began = time.monotonic()
    visits = await asyncio.gather(
        *(admin.get(path) for path in ("/lookup", "/topics", "/api/topics?inactive=true"))
    )
    assert time.monotonic() - began < 1.9  # the sampler's first look is the other page's wait
    for answer in visits:
        assert hanging.address in answer.text
        assert "ghost39" in answer.text
    assert sum("/channels" in question for question in hanging.questions) == 0


async def test_with_every_daemon_dead_no_page_says_that_there_is_nothing(world: World) -> None:
    nsqd = await world.nsqd()
    admin = await world.admin(nsqd)
    assert "No topics yet" in (await admin.get("/topics")).page.words
    await nsqd.stop()
    for path in ("/topics", "/", "/map"):
        answer = await admin.until(path, "No topic is known")
        assert f"curl http://{nsqd.address}/ping" in answer.page.words
        assert "No topics yet" not in answer.page.words
