"""Topics are found at once, then again and again, at the nsqlookupds that answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress

import pytest

from nsqclient.discovery.targets import Lookup
from nsqclient.tools.to_file.discovering import discover
from tests.support.fake_lookupd import FakeLookupd


class Told:
    """What was found, one set per refresh."""

    def __init__(self) -> None:
        self.sets: list[set[str]] = []
        self._news = asyncio.Condition()
        self._telling: set[asyncio.Task[None]] = set()

    def __call__(self, topics: Iterable[str]) -> None:
        self.sets.append(set(topics))
        task = asyncio.create_task(self._tell())
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def times(self, count: int) -> list[set[str]]:
        """Waits until so many refreshes are over."""
        async with asyncio.timeout(5), self._news:
            await self._news.wait_for(lambda: len(self.sets) >= count)
        return self.sets


@asynccontextmanager
async def discovering(lookup: Lookup, *, refresh: float = 3600, timeout: float = 5) -> AsyncIterator[Told]:
    told = Told()
    task = asyncio.create_task(
        discover(lookup, told, refresh=refresh, connect_timeout=timeout, request_timeout=timeout)
    )
    try:
        yield told
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_topics_are_told_at_once_and_again_after_each_period() -> None:
    async with FakeLookupd() as lookupd:
        lookupd.topics = {"a": []}
        async with discovering(Lookup(lookupd.url), refresh=0.01) as told:
            assert (await told.times(1))[0] == {"a"}
            lookupd.topics["b"] = []
            count = len(told.sets)
            assert (await told.times(count + 2))[-1] == {"a", "b"}


async def test_without_a_period_they_are_asked_for_once() -> None:
    async with FakeLookupd() as lookupd:
        lookupd.topics = {"a": []}
        async with discovering(Lookup(lookupd.url), refresh=0) as told:
            await told.times(1)
            await asyncio.sleep(0.02)
        assert told.sets == [{"a"}]
        assert lookupd.requests == ["/topics"]


async def test_all_nsqlookupds_are_asked_and_their_topics_merged() -> None:
    async with FakeLookupd() as one, FakeLookupd() as two:
        one.topics, two.topics = {"a": [], "b": []}, {"b": [], "c": []}
        async with discovering(Lookup(one.url, two.url)) as told:
            assert await told.times(1) == [{"a", "b", "c"}]


@pytest.mark.parametrize("trouble", ["status", "text", "gone", "hangs", "other JSON"])
async def test_one_that_does_not_answer_hides_nothing_of_the_others(
    trouble: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with FakeLookupd() as one, FakeLookupd() as two:
        one.topics = {"a": []}
        match trouble:
            case "status":
                two.status = 500
            case "text":
                two.text = "what?"
            case "hangs":
                two.let_through.clear()
            case "other JSON":
                two.text = '{"topics": [1]}'
            case _:
                pass
        other = "http://127.0.0.1:1" if trouble == "gone" else two.url
        async with discovering(Lookup(other, one.url), timeout=0.3) as told:
            assert await told.times(1) == [{"a"}]
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage().startswith(f"could not retrieve topic list: {other}/topics: ")


async def test_it_goes_on_when_none_answers_and_finds_them_when_one_does() -> None:
    async with FakeLookupd() as lookupd:
        lookupd.status = 500
        async with discovering(Lookup(lookupd.url), refresh=0.01) as told:
            assert (await told.times(2))[:2] == [set(), set()]
            lookupd.topics, lookupd.status = {"a": []}, 200
            count = len(told.sets)
            assert (await told.times(count + 2))[-1] == {"a"}


async def test_the_path_of_an_address_and_the_secret_are_used() -> None:
    async with FakeLookupd() as lookupd:
        lookup = Lookup(f"{lookupd.url}/nsq/lookup", auth="s3cret")
        async with discovering(lookup) as told:
            await told.times(1)
        assert lookupd.requests == ["/nsq/topics"]
        assert lookupd.headers[0]["authorization"] == "Bearer s3cret"


async def test_a_secret_that_can_t_be_read_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    calls = 0

    def secret() -> str:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise OSError("no such file")
        return "s3cret"

    async with FakeLookupd() as lookupd:
        lookupd.topics = {"a": []}
        async with discovering(Lookup(lookupd.url, auth=secret), refresh=0.01) as told:
            assert (await told.times(1))[0] == {"a"}
    assert "could not read the secret: no such file" in caplog.text
