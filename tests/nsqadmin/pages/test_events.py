from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from nsqadmin.pages import events
from nsqcore.durations import Duration
from tests.nsqadmin.world import World

QUICK = {"sample_interval": Duration.parse("100ms")}
PATIENCE_S = 20.0


async def lines_until(answer: aiohttp.ClientResponse, start: str) -> list[str]:
    """What comes, up to a line that begins so."""
    lines: list[str] = []
    async with asyncio.timeout(PATIENCE_S):
        while True:
            line = (await answer.content.readline()).decode()
            assert line, lines
            lines.append(line.rstrip("\n"))
            if line.startswith(start):
                return lines


def data_of(line: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(line.removeprefix("data: "))
    return found


async def test_each_sample_is_an_event_with_its_number_and_time(world: World) -> None:
    admin = await world.admin(await world.lookupd(), **QUICK)
    async with world.http.get(f"{admin.base}/events") as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        assert answer.headers["Cache-Control"] == "no-store"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        first = await lines_until(answer, "data:")
        assert first[0] == "retry: 2000"
        assert "event: sample" in first
        second = await lines_until(answer, "data:")
    one, two = data_of(first[-1]), data_of(second[-1])
    assert two["number"] == one["number"] + 1
    assert two["at"] > one["at"]


async def test_too_many_streams_are_refused_in_words_and_a_closed_one_makes_room(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MOST", 1)
    admin = await world.admin(await world.lookupd(), **QUICK)
    async with world.http.get(f"{admin.base}/events") as answer:
        await lines_until(answer, "data:")
        refused = await admin.get("/events")
        assert (refused.status, refused.json) == (
            503,
            {"message": "TOO_MANY_STREAMS: 1 pages are kept current already"},
        )
    async with asyncio.timeout(PATIENCE_S):
        while True:
            async with world.http.get(f"{admin.base}/events") as again:
                if again.status == 200:
                    break


async def test_a_comment_keeps_a_quiet_stream_open(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "QUIET_S", 0.05)
    admin = await world.admin(await world.lookupd(), sample_interval=Duration.parse("1h"))
    async with world.http.get(f"{admin.base}/events") as answer:
        assert ": nothing new" in await lines_until(answer, ": ")


async def test_the_end_of_nsqadmin_ends_streams_at_once(world: World) -> None:
    admin = await world.admin(await world.lookupd(), **QUICK)
    async with world.http.get(f"{admin.base}/events") as answer:
        await lines_until(answer, "data:")
        async with asyncio.timeout(0.9):  # the listener's patience with open requests is a second
            await world.stack.aclose()
        async with asyncio.timeout(PATIENCE_S):
            await answer.content.read()


async def test_streams_are_below_the_base_path(world: World) -> None:
    admin = await world.admin(await world.lookupd(), base_path="/nsq", **QUICK)
    assert 'data-events="/nsq/events"' in (await admin.get("/nsq")).text
    async with world.http.get(f"{admin.base}/nsq/events") as answer:
        assert answer.status == 200
