from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from nsqclient.tools.common.failures import Refused
from nsqclient.tools.stat.forms import Report
from nsqclient.tools.stat.nodes import Nodes
from nsqclient.tools.stat.watching import Watch, next_due
from tests.nsqclient.tools.stat.clusters import change, nobody, nodes_of, nsqd, running
from tests.support.fake_cluster import FakeLookupd, FakeNsqd, channel, topic

INTERVAL_S = 0.03


class Kept:
    """Keeps reports and notes."""

    def __init__(self) -> None:
        self.begun = 0
        self.waits = 0
        self.reports: list[Report] = []
        self.notes: list[str] = []
        self._news = asyncio.Condition()

    async def begin(self) -> None:
        self.begun += 1

    async def show(self, report: Report) -> None:
        async with self._news:
            self.reports.append(report)
            self._news.notify_all()

    async def wait(self) -> None:
        self.waits += 1

    def note(self, text: str) -> None:
        self.notes.append(text)

    async def next(self) -> Report:
        """The next report of which the poll began after this call."""
        async with asyncio.timeout(10), self._news:
            wanted = len(self.reports) + 2
            await self._news.wait_for(lambda: len(self.reports) >= wanted)
            return self.reports[wanted - 1]

    async def noted(self, text: str) -> None:
        """Waits for a note that holds this."""
        async with asyncio.timeout(10):
            while not any(text in note for note in self.notes):  # noqa: ASYNC110 - notes come from no coroutine
                await asyncio.sleep(0.005)


@pytest.fixture
def kept() -> Kept:
    return Kept()


def watch(nodes: Nodes, kept: Kept, *channels: str, interval: float = INTERVAL_S) -> Watch:
    return Watch("t", channels, nodes, kept, interval)


@asynccontextmanager
async def watching(nodes: Nodes, kept: Kept, *channels: str) -> AsyncIterator[asyncio.Task[None]]:
    """Watches for ever while the block runs."""
    task = asyncio.ensure_future(watch(nodes, kept, *channels).run(None))
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_it_begins_at_once_and_makes_as_many_reports_as_asked_for(kept: Kept) -> None:
    a = nsqd(message_count=7)
    async with running(a), nodes_of(nsqds=[a.address]) as nodes:
        await watch(nodes, kept, "c").run(3)
    assert (kept.begun, len(kept.reports), len(a.questions)) == (1, 3, 4)
    assert [r.rows[0].message_count for r in kept.reports] == [7, 7, 7]
    assert [r.rows[0].ingress for r in kept.reports] == [0, 0, 0]


async def test_it_does_not_wait_after_the_last_report(kept: Kept) -> None:
    a = nsqd()
    async with running(a), nodes_of(nsqds=[a.address]) as nodes, asyncio.timeout(8):
        begun = asyncio.get_running_loop().time()
        await watch(nodes, kept, "c", interval=1.5).run(1)
        assert asyncio.get_running_loop().time() - begun < 2.9


@pytest.mark.parametrize("by_lookupd", [False, True], ids=["directly", "by nsqlookupd"])
async def test_nobody_that_answers_in_the_beginning_is_an_error(kept: Kept, by_lookupd: bool) -> None:
    silent = [nobody()]
    what = "nsqlookupd" if by_lookupd else "nsqd"
    async with nodes_of(lookupds=silent) if by_lookupd else nodes_of(nsqds=silent) as nodes:
        with pytest.raises(
            Refused, match=f"^ERROR: failed to get topic producers - failed to query any {what}: "
        ):
            await watch(nodes, kept, "c").run(None)
    assert kept.begun == 0


async def test_a_channel_that_nobody_has_in_the_beginning_is_an_error(kept: Kept) -> None:
    a = nsqd()
    async with running(a), nodes_of(nsqds=[a.address], only="") as nodes:
        text = r"^ERROR: failed to find channel\(d\) in stats metadata for topic\(t\)$"
        with pytest.raises(Refused, match=text):
            await watch(nodes, kept, "c", "d").run(None)


async def test_a_nsqd_that_dies_and_comes_back_changes_the_totals_and_makes_no_false_rates(
    kept: Kept,
) -> None:
    a, b = nsqd(message_count=10**9), nsqd(message_count=5)
    async with running(a, b), nodes_of(nsqds=[a.address, b.address]) as nodes, watching(nodes, kept, "c"):
        assert (await kept.next()).rows[0].message_count == 10**9 + 5
        a.hanging = False
        await a.stop()
        report = await kept.next()
        assert (report.rows[0].message_count, report.missing, report.nodes) == (5, [a.address], 2)
        change(b, message_count=6)
        await kept.next()
    assert all(0 <= (r.rows[0].ingress or 0) < 1000 for r in kept.reports)


async def test_it_goes_on_when_nobody_answers_any_more_and_says_so(kept: Kept) -> None:
    a = nsqd()
    lookupd = FakeLookupd(a)
    async with (
        running(a, lookupd),
        nodes_of(lookupds=[lookupd.address], tell=kept.note) as nodes,
        watching(nodes, kept, "c") as task,
    ):
        await kept.next()
        lookupd.nodes.clear()
        lookupd.registered["t"] = ["c"]
        await kept.noted("no nsqd is registered with topic t; there are no rows until this is over")
        assert not task.done()
        lookupd.nodes.append(a)
        await kept.next()
    assert sum("there are no rows" in note for note in kept.notes) == 1
    assert kept.waits


async def test_a_channel_that_goes_is_told_and_has_rows_again_when_it_is_back(kept: Kept) -> None:
    a = nsqd()
    async with running(a), nodes_of(nsqds=[a.address]) as nodes, watching(nodes, kept, "c"):
        await kept.next()
        channels, a.topics[0]["channels"] = a.topics[0]["channels"], []
        await kept.noted("no nsqd has channel(c) of topic(t) any more; it has no rows")
        a.topics[0]["channels"] = channels
        await kept.next()
    assert len(kept.notes) == 1


async def test_pauses_are_told(kept: Kept) -> None:
    a = nsqd(paused=True)
    async with running(a), nodes_of(nsqds=[a.address]) as nodes, watching(nodes, kept, "c"):
        report = await kept.next()
        assert report.rows[0].paused
        change(a, paused=False)
        await kept.noted("channel(c) of topic(t) is not paused any more")
    assert kept.notes[0] == "channel(c) of topic(t) is paused"


async def test_every_channel_is_watched_when_none_is_named_those_too_that_come_later(kept: Kept) -> None:
    a, b = FakeNsqd(topic("t", channel("y"))), FakeNsqd(topic("t", channel("x")))
    async with (
        running(a, b),
        nodes_of(nsqds=[a.address, b.address], only="") as nodes,
        watching(nodes, kept),
    ):
        assert [row.channel for row in (await kept.next()).rows] == ["x", "y"]
        a.topics[0]["channels"].append(channel("new"))
        assert [row.channel for row in (await kept.next()).rows] == ["new", "x", "y"]


@pytest.mark.parametrize(
    ("now", "due"),
    [(10.0, 12.0), (10.5, 12.0), (11.99, 12.0), (12.0, 14.0), (13.0, 14.0), (17.5, 18.0), (9.9, 12.0)],
)
def test_a_poll_that_takes_longer_than_the_interval_does_not_shift_those_that_follow(
    now: float, due: float
) -> None:
    assert next_due(10.0, now, 2.0) == due
