from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import pytest

from nsqclient import ConfigError, Consumer, Dedup, MemoryStore, Message, by_message_id
from nsqclient.consumer.events import Duplicate
from nsqclient.dedup.store import Claim
from tests.nsqclient.consumers import OPENING, make
from tests.nsqclient.producers import until
from tests.support.fake_nsqd import FakeNsqd


class Store(MemoryStore):
    """Records what it is asked, and fails or hangs on demand."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.broken = False
        self.let_go = asyncio.Event()
        self.let_go.set()

    async def _ask(self, question: str, key: str) -> None:
        self.asked.append(f"{question} {key}")
        await self.let_go.wait()
        if self.broken:
            raise ConnectionError("the store is down")

    async def claim(self, key: str, owner: str, timeout: float) -> Claim:
        await self._ask("claim", key)
        return await super().claim(key, owner, timeout)

    async def confirm(self, key: str, owner: str, window: float) -> None:
        await self._ask("confirm", key)
        await super().confirm(key, owner, window)

    async def release(self, key: str, owner: str) -> None:
        await self._ask("release", key)
        await super().release(key, owner)


def by_body(message: Message) -> str:
    return message.body.decode()


def deduplicating(nsqd: FakeNsqd, store: MemoryStore, **settings: Any) -> Consumer:
    rules = {
        name: settings.pop(name) for name in ("claim_timeout", "store_timeout", "window") if name in settings
    }
    dedup = Dedup(store, key=settings.pop("key", by_body), **rules)
    return make(nsqd.address, **{"dedup": dedup, "max_in_flight": 10, "backoff": None, **settings})


async def test_a_duplicate_of_what_was_finished_is_finished_and_counted() -> None:
    store = Store()
    async with FakeNsqd() as nsqd, deduplicating(nsqd, store) as consumer:
        events = consumer.events()
        await nsqd.expect(*OPENING, "RDY 10")
        first = nsqd.message(b"k")
        (await consumer.get(timeout=5)).finish()
        await nsqd.expect(f"FIN {first}")
        second, other = nsqd.message(b"k"), nsqd.message(b"other")
        assert (await consumer.get(timeout=5)).id == other
        await nsqd.expect(f"FIN {second}")
        assert store.asked == ["claim t/c/k", "confirm t/c/k", "claim t/c/k", "claim t/c/other"]
        assert consumer.stats.duplicates == 1
    told = [event async for event in events if isinstance(event, Duplicate)]
    assert told == [Duplicate(nsqd.address, second, "t/c/k")]


async def test_a_duplicate_of_what_is_being_worked_on_comes_again_shortly() -> None:
    async with FakeNsqd() as nsqd, deduplicating(nsqd, Store()) as consumer:
        await nsqd.expect(*OPENING, "RDY 10")
        first = nsqd.message(b"k")
        message = await consumer.get(timeout=5)
        second = nsqd.message(b"k")
        third = nsqd.message(b"k", attempts=2)
        getting = asyncio.create_task(consumer.get(timeout=5))
        await nsqd.expect(f"REQ {second} 1000")
        await nsqd.until(lambda: f"REQ {third}" in nsqd.commands[-1])
        delay = int(nsqd.commands[-1].split()[2])
        assert 55_000 < delay <= 60_000, "as long as the claim holds at most"
        message.finish()
        await nsqd.until(lambda: nsqd.commands[-1] == f"FIN {first}")
        nsqd.message(b"other")
        assert (await getting).body == b"other"
        assert consumer.stats.backoff_level == 0


@pytest.mark.parametrize(
    "fail",
    [
        lambda message: message.requeue(0),
        lambda message: message.requeue(0, backoff=False),
        lambda message: message.settle(LookupError()),
        lambda message: message.settle(asyncio.CancelledError()),
    ],
)
async def test_what_failed_is_worked_on_again(fail: Callable[[Message], None]) -> None:
    store = Store()
    async with FakeNsqd() as nsqd, deduplicating(nsqd, store) as consumer:
        await nsqd.expect(*OPENING, "RDY 10")
        message_id = nsqd.message(b"k")
        fail(await consumer.get(timeout=5))
        await until(lambda: store.asked[-1] == "release t/c/k")
        nsqd.message(b"k", message_id=message_id, attempts=2)
        assert (await consumer.get(timeout=5)).attempts == 2


async def test_what_was_given_up_is_not_tried_as_a_copy() -> None:
    async with FakeNsqd() as nsqd, deduplicating(nsqd, Store(), attempts=1) as consumer:
        await nsqd.expect(*OPENING, "RDY 10")
        first = nsqd.message(b"k")
        (await consumer.get(timeout=5)).requeue()
        await nsqd.expect(f"FIN {first}")
        second = nsqd.message(b"k")
        with pytest.raises(TimeoutError):
            await consumer.get(timeout=0.02)
        await nsqd.expect(f"FIN {second}")
        assert consumer.stats.duplicates == 1


async def test_handlers_that_run_at_the_same_time_do_the_work_once() -> None:
    calls: list[str] = []

    async def handler(message: Message) -> None:
        calls.append(message.id)
        await asyncio.sleep(0.01)

    async with FakeNsqd() as nsqd, deduplicating(nsqd, Store(), max_in_flight=100) as consumer:
        await nsqd.expect(*OPENING, "RDY 100")
        task = asyncio.create_task(consumer.run(handler, concurrency=50))
        for _ in range(50):
            nsqd.message(b"k")
        await nsqd.until(lambda: nsqd.verbs.count("FIN") + nsqd.verbs.count("REQ") == 50)
        assert len(calls) == 1
        consumer.stop()
        await task


async def test_the_default_key_is_the_header_so_headers_must_be_read() -> None:
    with pytest.raises(ConfigError, match="headers='auto'"):
        make("127.0.0.1:1", dedup=Dedup(MemoryStore()))
    make("127.0.0.1:1", dedup=Dedup(MemoryStore()), headers="auto")


async def test_message_ids_tell_redeliveries_of_one_nsqd() -> None:
    store = Store()
    async with FakeNsqd() as nsqd, deduplicating(nsqd, store, key=by_message_id) as consumer:
        await nsqd.expect(*OPENING, "RDY 10")
        message_id = nsqd.message(b"k")
        (await consumer.get(timeout=5)).finish()
        other = nsqd.message(b"k")
        assert (await consumer.get(timeout=5)).id == other
        assert store.asked[0] == f"claim t/c/{nsqd.address}/{message_id}"


@pytest.mark.parametrize(
    "settings", [{"window": 0}, {"claim_timeout": 0}, {"store_timeout": 0}, {"window": -1}]
)
def test_times_are_positive(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        Dedup(MemoryStore(), **settings)  # type: ignore[arg-type]


# ---- claims that last


async def test_the_claim_of_a_handler_that_runs_long_is_renewed() -> None:
    store = Store()
    async with FakeNsqd() as nsqd, deduplicating(nsqd, store, claim_timeout=0.06) as consumer:
        await nsqd.expect(*OPENING, "RDY 10")
        nsqd.message(b"k")
        message = await consumer.get(timeout=5)
        await asyncio.sleep(0.15)
        second = nsqd.message(b"k")
        with pytest.raises(TimeoutError):
            await consumer.get(timeout=0.02)
        await nsqd.expect(f"REQ {second} 1000")
        message.finish()


async def test_what_is_lost_is_not_claimed_for_ever() -> None:
    store = Store()
    async with FakeNsqd() as nsqd, deduplicating(nsqd, store, claim_timeout=0.06) as consumer:
        await nsqd.expect(*OPENING, "RDY 10")
        nsqd.message(b"k")
        lost = await consumer.get(timeout=5)
        nsqd.link.drop()
        await nsqd.until(lambda: nsqd.verbs.count("RDY") == 2)
        assert lost.state == "lost"
        await asyncio.sleep(0.1)
        nsqd.message(b"k")
        assert (await consumer.get(timeout=5)).body == b"k"


async def test_what_was_done_although_its_message_was_lost_is_not_done_again() -> None:
    async with FakeNsqd() as nsqd, deduplicating(nsqd, Store()) as consumer:
        await nsqd.expect(*OPENING, "RDY 10")
        message_id = nsqd.message(b"k")
        message = await consumer.get(timeout=5)
        nsqd.link.drop()
        await nsqd.until(lambda: nsqd.verbs.count("RDY") == 2)
        message.finish()
        again = nsqd.message(b"k", message_id=message_id, attempts=2)
        with pytest.raises(TimeoutError):
            await consumer.get(timeout=0.02)
        await nsqd.until(lambda: nsqd.commands[-1] == f"FIN {again}")


async def test_what_failed_although_its_message_was_lost_is_done_again() -> None:
    async with FakeNsqd() as nsqd, deduplicating(nsqd, Store()) as consumer:
        await nsqd.expect(*OPENING, "RDY 10")
        message_id = nsqd.message(b"k")
        message = await consumer.get(timeout=5)
        nsqd.link.drop()
        await nsqd.until(lambda: nsqd.verbs.count("RDY") == 2)
        message.requeue()
        nsqd.message(b"k", message_id=message_id, attempts=2)
        assert (await consumer.get(timeout=5)).body == b"k"


async def test_leaving_the_consumer_releases_what_it_claimed() -> None:
    store = Store()
    async with FakeNsqd() as nsqd:
        async with deduplicating(nsqd, store) as consumer:
            await nsqd.expect(*OPENING, "RDY 10")
            nsqd.message(b"k")
            await consumer.get(timeout=5)
        assert store.asked == ["claim t/c/k", "release t/c/k"]
        assert (await store.claim("t/c/k", "other", 60)).state == "claimed"


async def test_a_key_that_cannot_be_told_is_a_failure_of_its_message(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def key(message: Message) -> str:
        return {b"good": "k"}[message.body]

    async with FakeNsqd() as nsqd, deduplicating(nsqd, Store(), key=key) as consumer:
        await nsqd.expect(*OPENING, "RDY 10")
        bad = nsqd.message(b"bad")
        nsqd.message(b"good")
        assert (await consumer.get(timeout=5)).body == b"good"
        await nsqd.expect(f"REQ {bad} 90000")
    assert f"the dedup key of message {bad} can't be told" in caplog.text


# ---- a store that is down


async def test_without_the_store_nothing_is_handed_out(caplog: pytest.LogCaptureFixture) -> None:
    store = Store()
    store.broken = True
    async with FakeNsqd() as nsqd, deduplicating(nsqd, store) as consumer:
        await nsqd.expect(*OPENING, "RDY 10")
        message_id = nsqd.message(b"k")
        with pytest.raises(TimeoutError):
            await consumer.get(timeout=0.02)
        await nsqd.expect(f"REQ {message_id} 90000")
        store.broken = False
        nsqd.message(b"k", message_id=message_id, attempts=2)
        assert (await consumer.get(timeout=5)).body == b"k"
    assert "the store is down" in caplog.text


async def test_the_consumer_backs_off_while_the_store_is_down() -> None:
    store = Store()
    store.broken = True
    async with FakeNsqd() as nsqd, deduplicating(nsqd, store, backoff="consumer") as consumer:
        await nsqd.expect(*OPENING, "RDY 10")
        message_id = nsqd.message(b"k")
        with pytest.raises(TimeoutError):
            await consumer.get(timeout=0.02)
        await nsqd.expect("RDY 0", f"REQ {message_id} 90000")
        assert consumer.stats.backoff_level == 1


async def test_a_store_that_hangs_is_a_store_that_is_down() -> None:
    store = Store()
    store.let_go.clear()
    async with FakeNsqd() as nsqd, deduplicating(nsqd, store, store_timeout=0.02) as consumer:
        await nsqd.expect(*OPENING, "RDY 10")
        message_id = nsqd.message(b"k")
        getting = asyncio.create_task(consumer.get())
        await nsqd.expect(f"REQ {message_id} 90000")
        getting.cancel()
        await asyncio.wait([getting])


async def test_deliveries_that_nobody_could_look_at_are_no_attempts() -> None:
    store = Store()
    store.broken = True
    async with FakeNsqd() as nsqd, deduplicating(nsqd, store, attempts=2) as consumer:
        await nsqd.expect(*OPENING, "RDY 10")
        message_id = nsqd.message(b"k", attempts=1)
        for attempts in (2, 3, 4):
            with pytest.raises(TimeoutError):
                await consumer.get(timeout=0.01)
            await nsqd.until(lambda n=attempts: nsqd.verbs.count("REQ") == n - 1)  # type: ignore[misc]
            nsqd.message(b"k", message_id=message_id, attempts=attempts)
        with pytest.raises(TimeoutError):
            await consumer.get(timeout=0.01)
        store.broken = False
        nsqd.message(b"k", message_id=message_id, attempts=5)
        message = await consumer.get(timeout=5)
        message.requeue(0)
        await nsqd.until(lambda: nsqd.commands[-1] == f"REQ {message_id} 0")
        nsqd.message(b"k", message_id=message_id, attempts=6)
        (await consumer.get(timeout=5)).requeue(0)
        await nsqd.until(lambda: nsqd.commands[-1] == f"FIN {message_id}")
        assert consumer.stats.given_up == 1


async def test_a_confirmation_that_fails_is_told_and_does_no_harm(caplog: pytest.LogCaptureFixture) -> None:
    store = Store()
    async with FakeNsqd() as nsqd, deduplicating(nsqd, store) as consumer:
        await nsqd.expect(*OPENING, "RDY 10")
        message_id = nsqd.message(b"k")
        message = await consumer.get(timeout=5)
        store.broken = True
        message.finish()
        await nsqd.expect(f"FIN {message_id}")
        await until(lambda: "may be worked on twice" in caplog.text)


async def test_renewing_goes_on_after_the_store_failed(caplog: pytest.LogCaptureFixture) -> None:
    store = Store()
    async with FakeNsqd() as nsqd, deduplicating(nsqd, store, claim_timeout=0.03) as consumer:
        await nsqd.expect(*OPENING, "RDY 10")
        nsqd.message(b"k")
        message = await consumer.get(timeout=5)
        store.broken = True
        await until(lambda: "claims are not renewed" in caplog.text)
        store.broken = False
        asked = len(store.asked)
        await until(lambda: len(store.asked) > asked + 1)
        message.finish()


async def test_a_claim_that_another_took_is_told(caplog: pytest.LogCaptureFixture) -> None:
    store = Store()
    async with FakeNsqd() as nsqd, deduplicating(nsqd, store, claim_timeout=0.03) as consumer:
        await nsqd.expect(*OPENING, "RDY 10")
        nsqd.message(b"k")
        message = await consumer.get(timeout=5)
        await store.confirm("t/c/k", "another", 60)
        await until(lambda: "is confirmed elsewhere while it is worked on here" in caplog.text)
        message.finish()


# ---- cancelled, stopped, lost while the store is asked


async def test_a_get_that_is_cancelled_while_the_store_is_asked_loses_nothing() -> None:
    store = Store()
    async with FakeNsqd() as nsqd, deduplicating(nsqd, store) as consumer:
        await nsqd.expect(*OPENING, "RDY 10")
        nsqd.message(b"one")
        nsqd.message(b"two")
        store.let_go.clear()
        getting = asyncio.create_task(consumer.get())
        await until(lambda: store.asked == ["claim t/c/one"])
        getting.cancel()
        await asyncio.wait([getting])
        assert consumer.stats.buffered == 2
        store.let_go.set()
        await until(lambda: store.asked[-1] == "release t/c/one")
        await until(lambda: len(store) == 0)
        assert (await consumer.get(timeout=5)).body == b"one"
        assert (await consumer.get(timeout=5)).body == b"two"


async def test_a_message_that_is_lost_while_the_store_is_asked_is_not_handed_out() -> None:
    store = Store()
    async with FakeNsqd() as nsqd, deduplicating(nsqd, store) as consumer:
        await nsqd.expect(*OPENING, "RDY 10")
        nsqd.message(b"one")
        store.let_go.clear()
        getting = asyncio.create_task(consumer.get(timeout=5))
        await until(lambda: store.asked == ["claim t/c/one"])
        nsqd.link.drop()
        await nsqd.until(lambda: nsqd.verbs.count("RDY") == 2)
        store.let_go.set()
        await until(lambda: store.asked[-1] == "release t/c/one")
        nsqd.message(b"two")
        assert (await getting).body == b"two"


async def test_a_consumer_that_stops_while_the_store_is_asked_hands_the_message_back() -> None:
    store = Store()
    async with FakeNsqd() as nsqd:
        async with deduplicating(nsqd, store, drain=5) as consumer:
            await nsqd.expect(*OPENING, "RDY 10")
            message_id = nsqd.message(b"one")
            store.let_go.clear()
            getting = asyncio.create_task(anext(consumer, None))
            await until(lambda: store.asked == ["claim t/c/one"])
            consumer.stop()
            store.let_go.set()
            async with asyncio.timeout(5):
                assert await getting is None
        await nsqd.expect("CLS", f"REQ {message_id} 0")
        assert store.asked[-1] == "release t/c/one"


async def test_batches_keep_their_claims_when_they_are_put_back() -> None:
    store = Store()
    async with FakeNsqd() as nsqd, deduplicating(nsqd, store) as consumer:
        await nsqd.expect(*OPENING, "RDY 10")
        batches = consumer.batches(max_messages=2, linger=60)
        nsqd.message(b"one")
        task = asyncio.create_task(batches.__anext__())
        await until(lambda: store.asked == ["claim t/c/one"])
        await until(lambda: not consumer.stats.buffered)
        task.cancel()
        await asyncio.wait([task])
        nsqd.message(b"two")
        async with asyncio.timeout(5):
            batch = await batches.__anext__()
        assert batch.bodies == [b"one", b"two"]
        assert store.asked == ["claim t/c/one", "claim t/c/two"]


async def test_claims_of_lost_messages_that_nobody_has_any_more_are_not_kept() -> None:
    async with FakeNsqd() as nsqd, deduplicating(nsqd, MemoryStore()) as consumer:
        await nsqd.expect(*OPENING, "RDY 10")
        nsqd.message(b"key")
        await consumer.get(timeout=5)
        claims = consumer._reception.admission.claims
        assert claims is not None
        assert len(claims._held) == 1
        nsqd.link.drop()
        await until(lambda: consumer.stats.lost == 1)
        gc.collect()
        assert len(claims._held) == 0
