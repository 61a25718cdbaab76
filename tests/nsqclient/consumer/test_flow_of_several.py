"""RDY and back-off of a consumer of several nsqds; rates and starvation."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from nsqclient import (
    Backoff,
    BackoffEntered,
    BackoffLeft,
    Closed,
    ConfigError,
    RdyChanged,
)
from tests.nsqclient.consumers import OPENING, QUICK, make
from tests.support.fake_nsqd import FakeNsqd, Link

BACKOFF = Backoff(multiplier=0.01)


class Cluster:
    """Fake nsqds, and the RDY that each was sent last."""

    def __init__(self, nsqds: list[FakeNsqd]) -> None:
        self.nsqds = nsqds
        self.addresses = [nsqd.address for nsqd in nsqds]

    def rdy(self) -> list[int]:
        found = []
        for nsqd in self.nsqds:
            sent = [c for c in nsqd.commands if c.startswith(("RDY", "SUB"))]
            found.append(int(sent[-1][4:]) if sent and sent[-1].startswith("RDY") else 0)
        return found

    async def until(self, condition: Callable[[list[int]], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition(self.rdy()):  # noqa: ASYNC110 - several nsqds are watched
                await asyncio.sleep(0.001)


@asynccontextmanager
async def cluster(size: int) -> AsyncIterator[Cluster]:
    async with AsyncExitStack() as stack:
        yield Cluster([await stack.enter_async_context(FakeNsqd()) for _ in range(size)])


async def test_all_of_the_cap_is_shared() -> None:
    async with cluster(4) as nodes, make(nodes.addresses, max_in_flight=10):
        await nodes.until(lambda rdy: sorted(rdy) == [2, 2, 3, 3])


async def test_lowering_and_raising_the_cap_reaches_all() -> None:
    async with cluster(2) as nodes, make(nodes.addresses, max_in_flight=10) as consumer:
        await nodes.until(lambda rdy: rdy == [5, 5])
        consumer.set_max_in_flight(2)
        await nodes.until(lambda rdy: rdy == [1, 1])
        consumer.set_max_in_flight(9)
        await nodes.until(lambda rdy: sorted(rdy) == [4, 5])


async def test_the_share_of_a_lost_node_goes_to_the_others() -> None:
    async with cluster(2) as nodes, make(nodes.addresses, max_in_flight=10, reconnect=QUICK):
        await nodes.until(lambda rdy: rdy == [5, 5])
        await nodes.nsqds[0].stop()
        await nodes.until(lambda rdy: rdy[1] == 10)
        await nodes.nsqds[0].start()
        await nodes.until(lambda rdy: rdy == [5, 5])


async def test_a_new_node_gets_its_share_as_messages_of_others_are_answered() -> None:
    async with cluster(2) as nodes:
        one, two = nodes.nsqds
        await two.stop()
        async with make(nodes.addresses, max_in_flight=4, reconnect=QUICK) as consumer:
            await nodes.until(lambda rdy: rdy[0] == 4)
            for _ in range(4):
                one.message()
            messages = [await consumer.get(timeout=5) for _ in range(4)]
            await two.start()
            await nodes.until(lambda rdy: rdy[0] == 2)
            assert "RDY" not in two.verbs, "four messages are held, which is all that is allowed"
            messages[0].finish()
            await nodes.until(lambda rdy: rdy == [2, 1])
            messages[1].finish()
            await nodes.until(lambda rdy: rdy == [2, 2])


async def test_failures_stop_all_nodes_and_one_message_is_tried() -> None:
    async with cluster(3) as nodes, make(nodes.addresses, max_in_flight=9, backoff=BACKOFF) as consumer:
        await nodes.until(lambda rdy: rdy == [3, 3, 3])
        nodes.nsqds[0].message()
        (await consumer.get(timeout=5)).requeue(0)
        await nodes.until(lambda rdy: sum(rdy) <= 1)
        await nodes.until(lambda rdy: sum(rdy) == 1)
        assert consumer.stats.backoff_level == 1
        seen = set()
        for _ in range(3):  # silent nodes pass the test message on
            now = nodes.rdy()
            seen.add(tuple(now))
            await nodes.until(lambda rdy, now=now: sum(rdy) == 1 and rdy != now)  # type: ignore[misc]
        assert len(seen) == 3
        holder = nodes.nsqds[nodes.rdy().index(1)]
        holder.message()
        message = await consumer.get(timeout=5)
        sent = [len(nsqd.commands) for nsqd in nodes.nsqds]
        for nsqd in nodes.nsqds:
            nsqd.link.heartbeat()
            await nsqd.until(lambda: nsqd.link.nops == 1)  # noqa: B023 - awaited in the same turn
        assert [len(nsqd.commands) for nsqd in nodes.nsqds] == sent  # no other is tried meanwhile
        message.finish()
        await nodes.until(lambda rdy: rdy == [3, 3, 3])


class Store:
    """Messages of one nsqd, sent as a real one would: as long as fewer than RDY are unanswered."""

    def __init__(self, nsqd: FakeNsqd, count: int) -> None:
        self.waiting = deque(b"%d" % n for n in range(count))
        self.unanswered = 0
        self.most = 0
        self._nsqd = nsqd
        nsqd.always("RDY", self.send)
        nsqd.always("FIN", self.answered)

    def send(self, link: Link) -> None:
        rdy = int([c for c in link.commands if c.startswith("RDY")][-1][4:])
        while self.waiting and self.unanswered < rdy:
            self.unanswered += 1
            self._nsqd.message(self.waiting.popleft())

    def answered(self, link: Link) -> None:
        self.unanswered -= 1
        self.send(link)


async def test_more_nodes_than_the_cap_hand_over_quickly_and_never_exceed_it() -> None:
    async with cluster(4) as nodes:
        stores = [Store(nsqd, count) for nsqd, count in zip(nodes.nsqds, (40, 40, 0, 1), strict=True)]
        async with make(nodes.addresses, max_in_flight=1) as consumer:
            total = sum(len(store.waiting) for store in stores)
            async with asyncio.timeout(10):
                for _ in range(total):
                    message = await consumer.get()
                    await asyncio.sleep(0)
                    assert sum(store.unanswered for store in stores) == consumer.stats.in_flight == 1
                    message.finish()
            assert all(not store.waiting for store in stores)


async def test_with_more_nodes_than_the_cap_a_late_message_comes_soon() -> None:
    async with cluster(3) as nodes:
        stores = [Store(nsqd, 0) for nsqd in nodes.nsqds]
        async with make(nodes.addresses, max_in_flight=1) as consumer:
            await nodes.until(lambda rdy: sum(rdy) == 1)
            for store in stores:
                store.waiting.append(b"late")
            async with asyncio.timeout(8):
                for _ in range(3):
                    (await consumer.get()).finish()


# ---- back-off of one node, causes, strategies


async def test_with_the_scope_of_a_node_the_others_go_on() -> None:
    backoff = Backoff(multiplier=0.01, scope="node")
    async with cluster(2) as nodes, make(nodes.addresses, max_in_flight=8, backoff=backoff) as consumer:
        events = consumer.events()
        one, two = nodes.nsqds
        await nodes.until(lambda rdy: rdy == [4, 4])
        one.message()
        (await consumer.get(timeout=5)).requeue(0)
        await nodes.until(lambda rdy: rdy == [0, 8])
        assert consumer.stats.backoff_level == 1
        two.message()
        (await consumer.get(timeout=5)).finish()  # says nothing about the other
        await nodes.until(lambda rdy: rdy == [1, 7])
        one.message()
        (await consumer.get(timeout=5)).finish()
        await nodes.until(lambda rdy: rdy == [4, 4])
    seen = [event async for event in events]
    assert [e for e in seen if isinstance(e, BackoffEntered | BackoffLeft)] == [
        BackoffEntered(1, 0.02, one.address),
        BackoffLeft(one.address),
    ]
    assert RdyChanged(two.address, 8) in seen


async def test_a_node_that_comes_back_is_as_far_as_it_was() -> None:
    backoff = Backoff(multiplier=100, scope="node")
    async with FakeNsqd() as nsqd, make(nsqd.address, backoff=backoff, reconnect=QUICK) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        message_id = nsqd.message()
        (await consumer.get(timeout=5)).requeue(0)
        await nsqd.expect("RDY 0", f"REQ {message_id} 0")
        nsqd.link.drop()
        await nsqd.expect(*OPENING)
        nsqd.link.heartbeat()
        await nsqd.until(lambda: nsqd.links[-1].nops == 1)
        nsqd.nothing_more()
        assert consumer.stats.backoff_level == 1


async def test_the_level_of_a_node_that_is_gone_counts_no_more() -> None:
    backoff = Backoff(multiplier=100, scope="node")
    async with cluster(2) as nodes, make(nodes.addresses, max_in_flight=2, backoff=backoff) as consumer:
        await nodes.until(lambda rdy: rdy == [1, 1])
        nodes.nsqds[0].message()
        (await consumer.get(timeout=5)).requeue(0)
        await nodes.until(lambda rdy: rdy[0] == 0)
        assert consumer.stats.backoff_level == 1
        await consumer.disconnect(nodes.addresses[0])
        assert consumer.stats.backoff_level == 0
        assert not consumer._reception.flow.alert


async def test_what_counts_as_a_failure_can_be_chosen() -> None:
    backoff = Backoff(multiplier=100)
    causes = (lambda error: isinstance(error, KeyError),)
    async with FakeNsqd() as nsqd, make(nsqd.address, backoff=backoff, backoff_on=causes) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        for error in (None, ValueError(), KeyError()):
            nsqd.message()
            message = await consumer.get(timeout=5)
            if error is None:
                message.requeue(0)
            else:
                message.settle(error)
            assert consumer.stats.backoff_level == isinstance(error, KeyError)


async def test_a_strategy_that_breaks_fails_the_consumer() -> None:
    class Broken:
        def calculate(self, level: int) -> float:
            raise LookupError

    async with FakeNsqd() as nsqd, make(nsqd.address, backoff=Backoff(strategy=Broken())) as consumer:
        nsqd.message()
        (await consumer.get(timeout=5)).requeue(0)
        with pytest.raises(Closed) as caught:
            await consumer.get(timeout=5)
        assert isinstance(caught.value.__cause__, LookupError)


# ---- eager sharing, rates, starvation


async def test_eagerly_one_node_may_fill_the_cap_and_then_all_stop() -> None:
    async with cluster(3) as nodes, make(nodes.addresses, max_in_flight=6, spread="eager") as consumer:
        await nodes.until(lambda rdy: rdy == [2, 2, 2])
        nodes.nsqds[0].message()
        messages = [await consumer.get(timeout=5)]
        await nodes.until(lambda rdy: rdy == [6, 1, 1])
        for _ in range(5):
            nodes.nsqds[0].message()
        await nodes.until(lambda rdy: rdy == [0, 0, 0])
        messages += [await consumer.get(timeout=5) for _ in range(5)]
        for message in messages[:3]:
            message.finish()
        await nodes.until(lambda rdy: rdy == [6, 1, 1])


async def test_eagerly_many_nodes_all_have_a_chance_and_the_excess_is_bounded() -> None:
    async with cluster(4) as nodes:
        stores = [Store(nsqd, 10) for nsqd in nodes.nsqds]
        async with make(nodes.addresses, max_in_flight=2, spread="eager") as consumer:
            async with asyncio.timeout(10):
                for _ in range(40):
                    message = await consumer.get()
                    assert consumer.stats.in_flight <= 2 + 4 - 1
                    await asyncio.sleep(0)
                    message.finish()
            assert all(not store.waiting for store in stores)


async def test_a_rate_limits_what_is_handed_out() -> None:
    async with FakeNsqd() as nsqd:
        Store(nsqd, 100)
        async with make(nsqd.address, max_in_flight=50, rate=100) as consumer:
            began = asyncio.get_running_loop().time()
            for _ in range(35):  # 5 of them at once
                (await consumer.get(timeout=5)).finish()
            took = asyncio.get_running_loop().time() - began
            assert 0.28 < took < 2
            consumer.rate_limit(None)
            for _ in range(65):
                (await consumer.get(timeout=5)).finish()
            with pytest.raises(ConfigError):
                consumer.rate_limit(0)


async def test_a_slow_rate_receives_nothing_that_would_wait_for_long() -> None:
    async with FakeNsqd() as nsqd:
        store = Store(nsqd, 5)
        async with make(nsqd.address, max_in_flight=50, rate=0.01) as consumer:
            message = await consumer.get(timeout=5)
            message.finish()
            await nsqd.until(lambda: "FIN" in nsqd.verbs)
            at = nsqd.verbs.index("FIN")
            assert nsqd.commands[at - 1] == "RDY 0"
            with pytest.raises(TimeoutError):
                await consumer.get(timeout=0.3)
            assert len(store.waiting) == 4
            waiting = asyncio.create_task(consumer.get())
            await asyncio.sleep(0)
            consumer.stop()  # does not wait for the rate
            with pytest.raises(Closed):
                await waiting


async def test_a_new_rate_holds_at_once_for_those_who_wait() -> None:
    async with FakeNsqd() as nsqd, make(nsqd.address, max_in_flight=50, rate=0.01) as consumer:
        waiting = [asyncio.create_task(consumer.get()) for _ in range(10)]
        for _ in range(10):
            nsqd.message()
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        consumer.rate_limit(100)  # of which five come at once
        async with asyncio.timeout(5):
            await asyncio.gather(*waiting)


async def test_those_who_wait_for_a_rate_all_get_their_turn() -> None:
    async with FakeNsqd() as nsqd:
        Store(nsqd, 20)
        async with make(nsqd.address, max_in_flight=50, rate=200) as consumer, asyncio.timeout(5):
            messages = await asyncio.gather(*(consumer.get() for _ in range(20)))
            assert len({message.id for message in messages}) == 20
            for message in messages:
                message.finish()


async def test_it_is_starved_when_its_share_is_used_up() -> None:
    async with FakeNsqd() as nsqd, make(nsqd.address, max_in_flight=2) as consumer:
        await nsqd.expect(*OPENING, "RDY 2")
        states = [consumer.is_starved]
        for _ in range(2):
            nsqd.message()
        first, _ = await consumer.get(timeout=5), await consumer.get(timeout=5)
        states.append(consumer.is_starved)
        first.finish()
        states.append(consumer.is_starved)  # as the original reckons: 85 % of 2 is 1
        assert states == [False, True, True]
