"""Both stores keep the same promises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from fakeredis import FakeAsyncRedis
from redis.asyncio.client import Pipeline

from nsqclient.dedup.memory import MemoryStore
from nsqclient.dedup.redis import RedisStore
from nsqclient.dedup.store import CLAIMED, CONFIRMED, Store
from nsqclient.errors import DedupStoreFull


@pytest.fixture(params=["memory", "redis", "redis with text"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
        return
    async with FakeAsyncRedis(decode_responses=request.param == "redis with text") as client:
        yield RedisStore(client)


async def test_a_key_is_claimed_once(store: Store) -> None:
    assert await store.claim("k", "a", 60) == CLAIMED
    second = await store.claim("k", "b", 60)
    assert second.state == "running"
    assert 50 < second.remaining <= 60
    assert await store.claim("other", "b", 60) == CLAIMED


async def test_the_owner_of_a_claim_renews_it(store: Store) -> None:
    await store.claim("k", "a", 10)
    assert await store.claim("k", "a", 60) == CLAIMED
    assert (await store.claim("k", "b", 60)).remaining > 50


async def test_a_confirmed_key_is_a_duplicate_for_everyone(store: Store) -> None:
    await store.claim("k", "a", 60)
    await store.confirm("k", "a", 60)
    assert await store.claim("k", "a", 60) == CONFIRMED
    assert await store.claim("k", "b", 60) == CONFIRMED


async def test_a_released_key_is_free(store: Store) -> None:
    await store.claim("k", "a", 60)
    await store.release("k", "a")
    assert await store.claim("k", "b", 60) == CLAIMED


async def test_nobody_releases_what_is_anothers(store: Store) -> None:
    await store.claim("k", "a", 60)
    await store.release("k", "b")
    assert (await store.claim("k", "b", 60)).state == "running"
    await store.confirm("k", "a", 60)
    await store.release("k", "a")
    assert await store.claim("k", "b", 60) == CONFIRMED
    await store.release("unknown", "a")


async def test_a_claim_lapses(store: Store) -> None:
    await store.claim("k", "a", 0.02)
    await asyncio.sleep(0.04)
    assert await store.claim("k", "b", 60) == CLAIMED
    await store.release("k", "a")
    assert (await store.claim("k", "c", 60)).state == "running", "the claim is b's by now"


async def test_a_window_ends(store: Store) -> None:
    await store.claim("k", "a", 60)
    await store.confirm("k", "a", 0.02)
    await asyncio.sleep(0.04)
    assert await store.claim("k", "b", 60) == CLAIMED


async def test_who_finishes_late_confirms_all_the_same(store: Store) -> None:
    await store.claim("k", "a", 0.01)
    await asyncio.sleep(0.03)
    await store.confirm("k", "a", 60)
    assert await store.claim("k", "b", 60) == CONFIRMED


async def test_of_many_at_once_one_has_the_claim(store: Store) -> None:
    claims = await asyncio.gather(*(store.claim("k", f"owner {n}", 60) for n in range(50)))
    assert sorted(claim.state for claim in claims) == ["claimed"] + ["running"] * 49


# ---- in memory


async def test_a_full_store_forgets_what_was_confirmed_first() -> None:
    store = MemoryStore(3)
    for key in ("one", "two", "three"):
        await store.claim(key, "a", 60)
    for key in ("two", "one", "three"):
        await store.confirm(key, "a", 60)
    assert await store.claim("four", "a", 60) == CLAIMED
    assert (len(store), store.forgotten) == (3, 1)
    assert await store.claim("one", "b", 60) == CONFIRMED
    assert await store.claim("three", "b", 60) == CONFIRMED


async def test_what_is_over_makes_room_without_being_missed() -> None:
    store = MemoryStore(2)
    await store.confirm("one", "a", 0.001)
    await store.claim("two", "a", 0.001)
    await asyncio.sleep(0.01)
    assert await store.claim("three", "b", 60) == CLAIMED
    assert await store.claim("four", "b", 60) == CLAIMED
    assert (len(store), store.forgotten) == (2, 0)


async def test_claims_are_not_forgotten() -> None:
    store = MemoryStore(2)
    await store.claim("one", "a", 60)
    await store.claim("two", "a", 60)
    with pytest.raises(DedupStoreFull, match="2 keys"):
        await store.claim("three", "a", 60)
    assert await store.claim("one", "a", 60) == CLAIMED, "a renewal takes no room"
    await store.confirm("one", "a", 60)
    assert await store.claim("three", "a", 60) == CLAIMED


async def test_a_confirmation_that_comes_late_finds_a_full_store() -> None:
    store = MemoryStore(1)
    await store.claim("one", "a", 60)
    with pytest.raises(DedupStoreFull):
        await store.confirm("two", "a", 60)


# ---- in Redis


async def test_keys_in_redis_have_a_prefix_and_end() -> None:
    async with FakeAsyncRedis() as client:
        store = RedisStore(client, prefix="mine:")
        await store.claim("claimed", "a", 5)
        await store.confirm("done", "a", 10)
        assert sorted(await client.keys()) == [b"mine:claimed", b"mine:done"]
        assert 0 < await client.pttl("mine:claimed") <= 5000
        assert 5000 < await client.pttl("mine:done") <= 10000


async def test_processes_share_what_is_in_redis() -> None:
    async with FakeAsyncRedis() as client:
        await RedisStore(client).claim("k", "a", 60)
        assert (await RedisStore(client).claim("k", "b", 60)).state == "running"


async def test_a_claim_that_another_takes_meanwhile_is_not_renewed() -> None:
    async with FakeAsyncRedis() as client:
        store = RedisStore(client)
        await store.claim("k", "a", 60)
        watch = type(client.pipeline()).watch

        async def overtaken(self: Pipeline, *names: str) -> object:
            result = await watch(self, *names)
            await client.set("nsq-dedup:k", "done", px=60_000)
            return result

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(client.pipeline()), "watch", overtaken)
            assert await store.claim("k", "a", 60) == CONFIRMED
            await store.release("k", "a")
        assert await client.get("nsq-dedup:k") == b"done"
