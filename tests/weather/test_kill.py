"""SIGKILL at any moment: with --mem-queue-size=0, what nsqd said OK to is delivered after the next start.

Duplicates are allowed; a few rounds run always, more with NSQ_KILL_ROUNDS=100.
"""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest

from tests.support.history import Publisher, drain, nsqd, post, stats, take

ROUNDS = int(os.environ.get("NSQ_KILL_ROUNDS", "4"))
SETTINGS = {
    "small segments, syncs often": ("--max-bytes-per-file=3000", "--sync-every=50"),
    "small segments, syncs seldom": (
        "--max-bytes-per-file=3000",
        "--sync-timeout=1h",
        "--sync-every=1000000",
    ),
    "one segment": ("--sync-timeout=10ms",),
}


@pytest.mark.parametrize("flags", SETTINGS.values(), ids=SETTINGS.keys())
async def test_what_was_confirmed_survives_kills(tmp_path: Path, flags: tuple[str, ...]) -> None:
    """Each life publishes from two connections, and takes some of what the lives before left."""
    confirmed: set[bytes] = set()
    delivered: set[bytes] = set()
    flags = ("--mem-queue-size=0", *flags)
    chance = random.Random(ROUNDS)
    for life in range(ROUNDS):
        with nsqd(tmp_path, *flags) as d:
            assert post(d, "/topic/create?topic=t")[0] == 200
            assert post(d, "/channel/create?topic=t&channel=c")[0] == 200
            assert post(d, "/channel/create?topic=t&channel=untouched")[0] == 200
            left = stats(d)["t"]["channels"]["c"]["depth"]
            assert left >= len(confirmed - delivered)
            if left:
                delivered.update(await take(d.tcp, "t", "c", chance.randrange(1, min(left, 300) + 1)))
            publishers = [await Publisher.start(d.tcp, "t", f"life{life}.{n}") for n in range(2)]
            for publisher in publishers:
                await publisher.reached(chance.randrange(1, 1500))
            d.kill()
            await asyncio.gather(*(publisher.ended for publisher in publishers))
            assert not any(publisher.refused for publisher in publishers)
        for publisher in publishers:
            confirmed |= publisher.confirmed
    with nsqd(tmp_path, *flags) as d:
        await drain(d.tcp, "t", "c", confirmed - delivered)
        await drain(d.tcp, "t", "untouched", confirmed)
        assert ".bad" not in d.log
    assert not list(tmp_path.glob("*.bad"))
    assert not list(tmp_path.glob("*.tmp"))


async def test_a_kill_keeps_topics_channels_and_pauses_that_were_answered(tmp_path: Path) -> None:
    with nsqd(tmp_path) as d:
        for target in (
            "/topic/create?topic=t",
            "/channel/create?topic=t&channel=c",
            "/channel/create?topic=t&channel=gone",
            "/channel/delete?topic=t&channel=gone",
            "/topic/create?topic=gone",
            "/topic/delete?topic=gone",
            "/topic/pause?topic=t",
            "/channel/pause?topic=t&channel=c",
        ):
            assert post(d, target)[0] == 200
        d.kill()
    with nsqd(tmp_path) as d:
        found = stats(d)
        assert set(found) == {"t"}
        assert found["t"]["paused"]
        assert {name: channel["paused"] for name, channel in found["t"]["channels"].items()} == {"c": True}


async def test_a_kill_in_the_midst_of_creating_topics_keeps_the_metadata_readable(tmp_path: Path) -> None:
    for life in range(3):
        with nsqd(tmp_path) as d:
            before = set(stats(d))
            for n in range(30):
                post(d, f"/topic/create?topic=life{life}.{n}")
                post(d, f"/channel/create?topic=life{life}.{n}&channel=c")
            d.kill()
        with nsqd(tmp_path) as d:
            assert before <= set(stats(d))
