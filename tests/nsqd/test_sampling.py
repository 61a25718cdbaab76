"""What consumers with a ``sample_rate`` get, what is left for the others, and what is discarded."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from nsqd import channel as channel_module
from nsqd import sampling
from nsqd.channel import Channel
from nsqd.client import Client, Settings
from nsqd.frames import FrameBuilder, id_of
from nsqd.guid import Ids
from nsqd.in_flight import InFlight
from nsqd.message_queue import Budget
from nsqd.sampling import MOST_DECLINED, NOBODY, Declined, draw
from nsqd.storage.backend import NullBackend
from tests.support.nsqd import Node, RawClient, eventually, numbers

builder = FrameBuilder(Ids(1))


@pytest.fixture(autouse=True)
def same_draws_each_time() -> Iterator[None]:
    state = random.getstate()
    random.seed(4150)
    yield
    random.setstate(state)


def make_client(rate: int = 0) -> Client:
    return Client(
        settings=Settings("me", "here", sample_rate=rate),
        write=lambda data: None,
        write_all=lambda run: None,
        close=lambda: None,
        remote_address="",
        in_flight=InFlight(60.0, 900.0),
        ready=5,
    )


async def all_of(consumer: RawClient, count: int) -> list[bytes]:
    """The bodies of so many messages, each finished."""
    bodies = []
    for _ in range(count):
        message = await consumer.message()
        consumer.fin(message.id)
        bodies.append(message.body)
    return bodies


# -- drawing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [1, 10, 50, 99])
def test_the_rate_is_the_percentage_not_one_more(rate: int) -> None:
    count = 100_000
    frames = builder.many([b"x"] * count).frames
    wanted, rest = draw(frames, rate)
    assert len(wanted) + len(rest) == count
    deviation = (count * rate / 100 * (1 - rate / 100)) ** 0.5
    assert abs(len(wanted) - count * rate / 100) < 4 * deviation  # one percent more is 10 of them at least


# -- what was declined -----------------------------------------------------------------------------


def test_what_one_declined_is_shown_to_the_others_once_and_in_order() -> None:
    one, two, frames = make_client(10), make_client(20), builder.many(numbers(3)).frames
    declined = Declined()
    declined.put(frames, frozenset([one]))
    assert declined.take(one, 5) == ([], NOBODY)
    assert declined.take(two, 2) == (frames[:2], frozenset([one]))
    assert list(declined) == frames[2:]
    declined.put(frames[:1], frozenset([one, two]))
    declined.discard_declined_by_all([one, two])
    assert list(declined) == frames[2:]
    declined.discard_declined_by_all([one])
    assert len(declined) == 0
    assert not declined.full


def test_too_much_of_what_waits_for_one_that_takes_nothing_is_discarded_oldest_first() -> None:
    one, two = make_client(10), make_client(10)
    frames = builder.many([b"x"] * (MOST_DECLINED + 5)).frames
    declined = Declined()
    declined.put(frames, frozenset([one]))
    assert declined.full
    declined.discard_declined_by_all([one, two])
    assert list(declined) == frames[6:]


def test_many_samplers_cost_no_more_looking_and_lose_nothing() -> None:
    clients = [make_client(10) for _ in range(12)]
    declined = Declined()
    frames = builder.many([b"x"] * 500).frames
    for frame in frames:
        declined.put([frame], frozenset(random.sample(clients, random.randrange(1, 12))))
    assert len(declined._runs) <= sampling.MOST_RUNS
    assert sorted(declined) == sorted(frames)
    assert len(declined) == 500


# -- beside others ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("quick_disk")
async def test_alone_it_gets_its_percentage_and_the_rest_is_discarded(node: Node) -> None:
    tail = await node.subscribe("t", "tail#ephemeral", rdy=2500, sample_rate=10)
    for start in range(0, 5000, 1000):
        await tail_publish(node, numbers(1000, start))
    channel = node.channel("t", "tail#ephemeral")
    await eventually(lambda: channel.depth == 0)
    got = channel.clients[0].message_count
    assert 400 < got < 600
    bodies = await all_of(tail, got)
    assert [int(b) for b in bodies] == sorted({int(b) for b in bodies})
    assert channel._declined == 0
    tail.close()
    await eventually(lambda: channel._sampling is None)


async def tail_publish(node: Node, bodies: list[bytes]) -> None:
    client = await node.connect()
    await client.mpub("t", *bodies)
    client.close()


@pytest.mark.usefixtures("quick_disk")
@pytest.mark.parametrize("memory", [10_000, 50, 0])
async def test_beside_another_consumer_it_gets_its_percentage_and_the_other_all_the_rest(
    tmp_path: Path, memory: int
) -> None:
    async with Node(tmp_path, f"--mem-queue-size={memory}") as node:
        worker = await node.subscribe("t", "c", rdy=100)
        tail = await node.subscribe("t", "c", rdy=2500, sample_rate=20)
        await tail_publish(node, numbers(3000))
        channel = node.channel("t", "c")
        sampled = channel.clients[1]
        working = asyncio.create_task(all_of(worker, 2350))
        await eventually(
            lambda: channel.depth + channel.clients[0].message_count + sampled.message_count == 3000
        )
        await eventually(lambda: sampled.message_count > 500)
        bodies = await all_of(tail, 500)
        rest = await working
        await eventually(lambda: channel.depth == 0)
        got = sampled.message_count
        assert 500 < got < 700  # 600, and five standard deviations to each side
        bodies += await all_of(tail, got - 500)
        rest += await all_of(worker, 3000 - got - 2350)
        assert sorted(bodies + rest) == sorted(numbers(3000))
        assert [int(b) for b in rest] == sorted(int(b) for b in rest)


@pytest.mark.usefixtures("quick_disk")
async def test_a_backlog_is_shown_to_it_before_quick_consumers_take_it_away(node: Node) -> None:
    for _ in range(3):
        await node.subscribe("t", "c", rdy=2500)
    await node.subscribe("t", "c", rdy=2500, sample_rate=20)
    channel = node.channel("t", "c")
    channel.pause(True)
    await tail_publish(node, numbers(2900))
    channel.pause(False)
    tail = channel.clients[-1]
    await eventually(lambda: channel.depth == 0)
    assert 480 < tail.message_count < 680  # 580, and five standard deviations to each side


@pytest.mark.usefixtures("quick_disk")
async def test_it_runs_no_further_ahead_of_a_consumer_that_takes_nothing_than_may_wait(node: Node) -> None:
    idle = await node.subscribe("t", "c")
    await node.subscribe("t", "c", rdy=2500, sample_rate=50)
    await tail_publish(node, numbers(8000))
    channel = node.channel("t", "c")
    await eventually(lambda: channel._sampling is not None and channel._sampling.declined.full)
    await idle.settled()
    got = channel.clients[1].message_count
    assert channel._declined < MOST_DECLINED + channel_module.MAX_RUN
    assert channel.depth == 8000 - got
    idle.rdy(2500)
    await eventually(lambda: channel.clients[0].message_count + channel.clients[1].message_count >= 5000)
    assert channel.depth + channel.in_flight_count == 8000


@pytest.mark.usefixtures("quick_disk")
async def test_what_it_gives_back_is_not_drawn_again(node: Node) -> None:
    tail = await node.subscribe("t", "c", rdy=1, sample_rate=1)
    channel = node.channel("t", "c")
    await tail_publish(node, numbers(2000))
    first = await tail.message()
    for attempts in range(2, 30):
        tail.req(first.id)
        again = await tail.message()
        assert (again.id, again.attempts) in ((first.id, attempts), (again.id, 1))
        if again.id != first.id:
            break
    await tail.settled()
    assert channel.requeue_count == attempts - 1


@pytest.mark.usefixtures("quick_disk")
async def test_deferred_messages_are_drawn_when_they_are_due(node: Node) -> None:
    tail = await node.subscribe("t", "c", rdy=2500, sample_rate=50)
    for _ in range(200):
        tail.send(b"DPUB t 1\n\0\0\0\1x")
    frames = [await tail.frame() for _ in range(200)]
    channel = node.channel("t", "c")
    await eventually(lambda: channel.depth == len(channel.deferred) == 0)
    messages = sum(kind == 2 for kind, _ in frames) + channel.clients[0].message_count
    assert messages > 0
    assert 60 < channel.clients[0].message_count < 140


@pytest.mark.usefixtures("quick_disk")
async def test_what_was_declined_goes_to_who_comes_next_and_over_a_restart(tmp_path: Path) -> None:
    async with Node(tmp_path) as node:
        await node.subscribe("t", "c")
        tail = await node.subscribe("t", "c", rdy=100, sample_rate=10)
        await tail_publish(node, numbers(100))
        channel = node.channel("t", "c")
        await eventually(lambda: channel._declined + channel.clients[1].message_count == 100)
        for _ in range(channel.clients[1].message_count):
            tail.fin((await tail.message()).id)
        await tail.settled()
        waiting = channel.depth
        assert 70 < waiting < 100
        await node.restart()
        assert node.channel("t", "c").depth == waiting
        worker = await node.subscribe("t", "c", rdy=100)
        messages = await worker.messages(waiting)
        assert {m.attempts for m in messages} == {1}
        assert len({m.body for m in messages}) == waiting


@pytest.mark.usefixtures("quick_disk")
async def test_when_the_last_that_does_not_sample_leaves_what_the_others_declined_is_let_go(
    node: Node,
) -> None:
    worker = await node.subscribe("t", "c")
    await node.subscribe("t", "c", rdy=100, sample_rate=10)
    await tail_publish(node, numbers(100))
    channel = node.channel("t", "c")
    await eventually(lambda: channel._declined > 50)
    worker.close()
    await eventually(lambda: channel.depth == 0)


@pytest.mark.usefixtures("quick_disk")
async def test_emptying_a_channel_drops_what_was_declined_too(node: Node) -> None:
    await node.subscribe("t", "c")
    await node.subscribe("t", "c", rdy=100, sample_rate=10)
    await tail_publish(node, numbers(100))
    channel = node.channel("t", "c")
    await eventually(lambda: channel._declined > 50)
    channel.empty()
    assert channel.depth == 0


# -- anything at all -------------------------------------------------------------------------------

STEP = st.one_of(
    st.tuples(st.just("publish"), st.integers(1, 12)),
    st.tuples(st.just("join"), st.sampled_from([0, 1, 30, 50, 99])),
    st.tuples(st.sampled_from(["leave", "finish", "requeue", "block"]), st.integers(0, 5)),
    st.tuples(st.just("ready"), st.integers(0, 6)),
)


@settings(deadline=None)
@given(st.lists(STEP, min_size=4, max_size=40), st.integers(0, 1000))
def test_nothing_is_discarded_but_what_every_consumer_there_is_has_declined(
    steps: list[tuple[str, int]], seed: int
) -> None:
    random.seed(seed)
    with patch.multiple(channel_module, MAX_RUN=4), patch.multiple(sampling, MOST_DECLINED=5, MOST_RUNS=3):
        asyncio.run(_try(steps))


async def _try(steps: list[tuple[str, int]]) -> None:
    channel = Channel(
        "t",
        "c",
        limit=10_000,
        budget=Budget(1 << 30),
        make_backend=lambda grown: NullBackend(),
        emptied=lambda channel: None,
        discard=deque.clear,
    )
    clients: list[Client] = []
    alive: set[bytes] = set()  # published, and neither finished nor rightly discarded
    held_once: set[bytes] = set()

    def there_are() -> list[bytes]:
        held = [key for client in clients for key in client.in_flight.messages if len(key) == 16]
        waiting = [
            *channel.queue.memory,
            *channel.returned,
            *(channel._sampling.declined if channel._sampling else ()),
        ]
        return held + [id_of(frame) for frame in waiting]

    for what, number in steps:
        before = {client: len(client.in_flight) for client in clients}
        sampled_before = bool(clients) and all(client.settings.sample_rate for client in clients)
        if what == "publish":
            batch = builder.many([b"x"] * number)
            channel.put(batch)
            alive |= {id_of(frame) for frame in batch.frames}
        elif what == "join":
            clients.append(make_client(number))
            channel.add_client(clients[-1])
            channel.hungry(clients[-1])
        elif clients:
            client = clients[number % len(clients)]
            held = [key for key in client.in_flight.messages if len(key) == 16]
            if what == "leave":
                clients.remove(client)
                channel.remove_client(client)
            elif what == "ready":
                client.ready = number
                channel.hungry(client)
            elif what == "block":
                client.blocked = not client.blocked
                channel.hungry(client)
            elif what == "finish":
                for key in held:
                    assert channel.finish(client, key)
                    alive.discard(key)
            else:
                for key in held:
                    assert channel.requeue(client, key, 0)
        while channel._woken:
            await asyncio.sleep(0)
            for client in clients:
                assert len(client.in_flight) <= max(client.ready, before.get(client, 0))
        found = there_are()
        assert len(found) == len(set(found)), "a message is in two places"
        assert len(found) == channel.depth + channel.in_flight_count
        held_once |= {key for client in clients for key in client.in_flight.messages if len(key) == 16}
        lost = alive - set(found)
        sampled = bool(clients) and all(client.settings.sample_rate for client in clients)
        assert not lost or sampled or sampled_before, "there is a consumer that wants everything"
        assert not lost & held_once, "somebody had accepted it"
        alive -= lost
        assert set(found) <= alive
        if sampled:
            assert channel._declined <= 5 + 4
        hungry = [c for c in clients if not c.blocked and c.ready > len(c.in_flight)]
        if len(hungry) == len(clients) and clients:
            assert channel.depth == 0, "somebody could take more"
    for client in clients:
        channel.remove_client(client)
