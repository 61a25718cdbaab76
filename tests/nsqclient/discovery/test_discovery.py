from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from nsqclient import Lookup
from nsqclient.discovery import discovery as discovery_module
from nsqclient.discovery.discovery import Discovery
from tests.support.fake_lookupd import FakeLookupd


class Polling:
    """A discovery that runs, and all it found."""

    def __init__(self, topic: str | None, *urls: str, **settings: Any) -> None:
        self.found: list[tuple[list[str], bool]] = []
        self.news = asyncio.Condition()
        self.discovery = Discovery(
            Lookup(*urls, **settings),
            topic,
            lambda named, complete: self.note(sorted(named), complete),
            lambda: 0.0,
        )

    def note(self, named: list[str], complete: bool) -> None:
        self.found.append((named, complete))
        asyncio.get_running_loop().create_task(self.tell())

    async def tell(self) -> None:
        async with self.news:
            self.news.notify_all()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5), self.news:
            await self.news.wait_for(condition)

    async def polled(self) -> None:
        async with asyncio.timeout(5):
            await self.discovery.polled.wait()


@asynccontextmanager
async def polling(topic: str | None, *urls: str, **settings: Any) -> AsyncIterator[Polling]:
    it = Polling(topic, *urls, **settings)
    task = asyncio.create_task(it.discovery.run())
    try:
        yield it
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_all_are_asked_and_their_answers_merged() -> None:
    async with FakeLookupd() as one, FakeLookupd() as two:
        one.topics = {"t": ["a:1", "b:2"], "other": ["x:1"]}
        two.topics = {"t": ["b:2", "c:3"]}
        async with polling("t", one.url, two.url) as it:
            await it.polled()
        assert it.found[-1] == (["a:1", "b:2", "c:3"], True)
        assert it.found[0][1] is False
        assert one.requests == two.requests == ["/lookup?topic=t"]


async def test_without_a_topic_all_nsqds_are_asked_for() -> None:
    async with FakeLookupd() as lookupd:
        lookupd.nodes = ["a:1", "::1:2"]
        async with polling(None, lookupd.url + "/lookup?x=1") as it:
            await it.polled()
        assert it.found == [(["[::1]:2", "a:1"], True)]
        assert lookupd.requests == ["/nodes?x=1"]


async def test_a_query_in_the_url_is_kept() -> None:
    async with FakeLookupd() as lookupd:
        lookupd.topics = {"t": []}
        async with polling("t", lookupd.url + "/x?key=v") as it:
            await it.polled()
        assert lookupd.requests == ["/x?key=v&topic=t"]


async def test_an_unknown_topic_is_an_answer_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="nsqclient")
    async with FakeLookupd() as lookupd:
        async with polling("t", lookupd.url, poll_interval=0.01) as it:
            await lookupd.asked(3)
        assert it.found[:2] == [([], True), ([], True)]
    assert [(r.levelname, r.getMessage()) for r in caplog.records if r.name.startswith("nsqclient")] == [
        ("INFO", f"nsqlookupd {lookupd.url}/lookup does not know topic t yet")
    ]


@pytest.mark.parametrize("wrapped", [True, False])
async def test_old_and_new_answers_are_read(wrapped: bool) -> None:
    async with FakeLookupd() as lookupd:
        lookupd.wrapped = wrapped
        lookupd.topics = {"t": ["a:1"]}
        async with polling("t", lookupd.url) as it:
            await it.polled()
        assert it.found == [(["a:1"], True)]


@pytest.mark.parametrize("broken", ["status", "text", "json", "nobody"])
async def test_one_that_fails_makes_the_answer_incomplete(
    broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with FakeLookupd() as good, FakeLookupd() as bad:
        good.topics = {"t": ["a:1"]}
        url = bad.url
        if broken == "status":
            bad.status = 500
        elif broken == "text":
            bad.text = "not json"
        elif broken == "json":
            bad.text = '{"producers": [{"hostname": "x"}]}'
        else:
            await bad._runner.cleanup()
        async with polling("t", good.url, url, poll_interval=0.01) as it:
            await good.asked(3)
        assert {found == (["a:1"], False) for found in it.found} == {True}
    warnings = [r for r in caplog.records if r.levelname == "WARNING" and "does not answer" in r.getMessage()]
    assert len(warnings) == 1, "said once, not at every poll"


async def test_a_slow_one_does_not_delay_the_answers_of_others() -> None:
    async with FakeLookupd() as quick, FakeLookupd() as slow:
        quick.topics = {"t": ["a:1"]}
        slow.topics = {"t": ["b:1"]}
        slow.let_through.clear()
        async with polling("t", quick.url, slow.url) as it:
            await it.until(lambda: it.found == [(["a:1"], False)])
            assert not it.discovery.polled.is_set()
            slow.let_through.set()
            await it.until(lambda: it.found[-1] == (["a:1", "b:1"], True))


async def test_when_nobody_answers_nothing_is_found() -> None:
    async with FakeLookupd() as lookupd:
        lookupd.status = 500
        async with polling("t", lookupd.url) as it:
            await it.polled()
        assert it.found == []


async def test_recovery_is_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="nsqclient")
    async with FakeLookupd() as lookupd:
        lookupd.topics = {"t": ["a:1"]}
        lookupd.status = 500
        async with polling("t", lookupd.url, poll_interval=0.01) as it:
            await it.polled()
            lookupd.status = 200
            await it.until(lambda: bool(it.found))
    assert "answers again" in caplog.text


async def test_polls_repeat_and_can_be_hastened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery_module, "SHORTEST_INTERVAL", 0.01)
    async with FakeLookupd() as lookupd, polling("t", lookupd.url, poll_interval=3600) as it:
        await it.polled()
        it.discovery.poll_soon()
        await lookupd.asked(2)


async def test_hastened_polls_keep_a_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery_module, "SHORTEST_INTERVAL", 0.2)
    async with FakeLookupd() as lookupd, polling("t", lookupd.url, poll_interval=3600) as it:
        await it.polled()
        before = asyncio.get_running_loop().time()
        for _ in range(5):
            it.discovery.poll_soon()
        await lookupd.asked(2)
        assert asyncio.get_running_loop().time() - before > 0.15
        assert len(lookupd.requests) == 2
