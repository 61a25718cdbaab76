"""What consumers may rely on: RDY, FIN, REQ, TOUCH, time-outs, CLS, and what happens when one leaves."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from nsqd.in_flight import SHORTEST_SPAN
from tests.support.clock import Clock
from tests.support.nsqd import Node, RawClient

pytestmark = pytest.mark.usefixtures("quick_disk")


def counts(node: Node) -> dict[str, int]:
    """What the channel t:c counts."""
    channel = node.channel("t", "c")
    return {
        "depth": channel.depth,
        "in flight": channel.in_flight_count,
        "deferred": len(channel.deferred),
        "requeued": channel.requeue_count,
        "timed out": channel.timeout_count,
    }


async def timed_consumer(node: Node, rdy: int, **settings: int) -> tuple[RawClient, Clock]:
    """A consumer of t:c, and the clock that this channel goes by."""
    consumer = await node.subscribe("t", "c", 0, **settings)
    clock = Clock()
    node.channel("t", "c")._loop = clock.loop
    consumer.rdy(rdy)
    return consumer, clock


# -- a message -------------------------------------------------------------------------------------


async def test_a_message_tells_when_it_was_published_and_that_this_is_its_first_delivery(node: Node) -> None:
    consumer = await node.subscribe("t", "c", rdy=1)
    before = time.time_ns()
    await consumer.pub("t", b"\0\xff body\n")
    message = await consumer.message()
    assert before <= message.timestamp <= time.time_ns()
    assert (message.attempts, message.body) == (1, b"\0\xff body\n")
    assert len(message.id) == 16
    assert set(message.id) <= set(b"0123456789abcdef")


async def test_every_delivery_counts_as_an_attempt_and_the_rest_stays_the_same(node: Node) -> None:
    consumer = await node.subscribe("t", "c", rdy=1)
    await consumer.pub("t", b"x")
    first = await consumer.message()
    for attempts in range(2, 6):
        consumer.req(first.id)
        assert await consumer.message() == first._replace(attempts=attempts)


async def test_attempts_are_counted_per_channel(node: Node) -> None:
    one, two = await node.subscribe("t", "one", rdy=1), await node.subscribe("t", "two", rdy=1)
    await one.pub("t", b"x")
    message = await one.message()
    one.req(message.id)
    assert (await one.message()).attempts == 2
    assert await two.message() == message


async def test_a_message_too_long_for_one_run_is_delivered_whole(tmp_path: Path) -> None:
    async with Node(tmp_path, "--max-msg-size=4000000") as node:
        consumer = await node.subscribe("t", "c", rdy=3)
        bodies = [bytes([n]) * 4_000_000 for n in range(3)]
        await node.publish("t", *bodies)
        assert await consumer.bodies(3) == bodies


# -- RDY -------------------------------------------------------------------------------------------


async def test_nothing_is_delivered_before_rdy(node: Node) -> None:
    consumer = await node.subscribe("t", "c")
    await consumer.pub("t", b"x")
    await consumer.settled()
    assert counts(node)["depth"] == 1


async def test_rdy_is_a_ceiling_on_unfinished_messages_and_does_not_count_down(node: Node) -> None:
    consumer = await node.subscribe("t", "c", rdy=2)
    await consumer.mpub("t", *[b"%d" % n for n in range(6)])
    first, second = await consumer.messages(2)
    await consumer.settled()
    consumer.fin(first.id)
    third = await consumer.message()
    await consumer.settled()
    consumer.req(second.id, 5000)
    fourth = await consumer.message()
    consumer.fin(third.id, fourth.id)
    assert await consumer.bodies(2) == [b"4", b"5"]
    await consumer.settled()


async def test_a_higher_rdy_delivers_at_once_and_a_lower_one_takes_nothing_back(node: Node) -> None:
    consumer = await node.subscribe("t", "c", rdy=1)
    await consumer.mpub("t", *[b"%d" % n for n in range(5)])
    assert await consumer.bodies(1) == [b"0"]
    consumer.rdy(3)
    rest = await consumer.messages(2)
    consumer.rdy(1)
    consumer.fin(*[m.id for m in rest])
    await consumer.settled()
    consumer.rdy(0)
    await consumer.settled()
    assert (counts(node)["in flight"], counts(node)["depth"]) == (1, 2)


async def test_rdy_0_stops_delivery(node: Node) -> None:
    consumer = await node.subscribe("t", "c", rdy=5)
    consumer.rdy(0)
    await consumer.pub("t", b"x")
    await consumer.settled()
    consumer.rdy(1)
    assert await consumer.bodies(1) == [b"x"]


@pytest.mark.parametrize("milliseconds", [30_000, -1])
async def test_a_lone_message_never_waits_for_the_output_buffer(node: Node, milliseconds: int) -> None:
    consumer = await node.subscribe(
        "t", "c", 10, output_buffer_size=65536, output_buffer_timeout=milliseconds
    )
    await node.publish("t", b"x")
    assert (await consumer.message()).body == b"x"


async def test_messages_are_delivered_in_the_order_of_their_publishing(node: Node) -> None:
    consumer = await node.subscribe("t", "c", rdy=2500)
    await consumer.mpub("t", *[b"%d" % n for n in range(1000)])
    await node.publish("t", b"1000", b"1001")
    assert await consumer.bodies(1002) == [b"%d" % n for n in range(1002)]


# -- REQ -------------------------------------------------------------------------------------------


async def test_a_requeued_message_goes_to_whoever_is_ready(node: Node) -> None:
    first, second = await node.subscribe("t", "c", rdy=1), await node.subscribe("t", "c")
    await first.pub("t", b"x")
    message = await first.message()
    first.rdy(0)
    second.rdy(1)
    first.req(message.id)
    assert await second.message() == message._replace(attempts=2)
    assert counts(node) == {"depth": 0, "in flight": 1, "deferred": 0, "requeued": 1, "timed out": 0}


async def test_a_requeued_message_is_not_owned_any_more(node: Node) -> None:
    consumer = await node.subscribe("t", "c", rdy=1)
    await consumer.pub("t", b"x")
    message_id = (await consumer.message()).id
    consumer.req(message_id, 60_000)
    consumer.fin(message_id)
    await consumer.expect_error(f"E_FIN_FAILED FIN {message_id.decode()} failed ID not in flight")
    consumer.req(message_id)
    await consumer.expect_error(f"E_REQ_FAILED REQ {message_id.decode()} failed ID not in flight")
    assert counts(node)["deferred"] == 1


async def test_a_message_requeued_with_a_delay_comes_after_it_and_not_before(node: Node) -> None:
    consumer, clock = await timed_consumer(node, rdy=1)
    await consumer.pub("t", b"x")
    consumer.req((await consumer.message()).id, 1500)
    await consumer.settled()
    clock.advance(1.49)
    await consumer.settled()
    assert counts(node)["deferred"] == 1
    clock.advance(0.01)
    assert (await consumer.message()).attempts == 2
    assert counts(node) == {"depth": 0, "in flight": 1, "deferred": 0, "requeued": 1, "timed out": 0}


async def test_a_delay_passes_in_real_time(node: Node) -> None:
    consumer = await node.subscribe("t", "c", rdy=1)
    await consumer.pub("t", b"x")
    message = await consumer.message()
    consumer.req(message.id, 50)
    started = time.monotonic()
    await consumer.message()
    assert time.monotonic() - started > 0.045


async def test_delays_are_independent_of_each_other(node: Node) -> None:
    consumer, clock = await timed_consumer(node, rdy=3)
    await consumer.mpub("t", b"600", b"2000", b"1300")
    for message in await consumer.messages(3):
        consumer.req(message.id, int(message.body))
    await consumer.settled()
    for due in (b"600", b"1300", b"2000"):
        clock.advance(0.7)
        assert await consumer.bodies(1) == [due]
        await consumer.settled()


@pytest.mark.parametrize("delay_ms", [5001, 3_600_000, 2**63 - 1])
async def test_a_delay_beyond_the_limit_is_cut_to_it(tmp_path: Path, delay_ms: int) -> None:
    async with Node(tmp_path, "--max-req-timeout=5s") as node:
        consumer, clock = await timed_consumer(node, rdy=1)
        await consumer.pub("t", b"x")
        consumer.req((await consumer.message()).id, delay_ms)
        await consumer.settled()
        clock.advance(4.99)
        await consumer.settled()
        clock.advance(0.01)
        assert (await consumer.message()).attempts == 2


async def test_a_message_requeued_again_and_again_does_not_hold_up_the_others(node: Node) -> None:
    consumer = await node.subscribe("t", "c", rdy=1)
    await consumer.mpub("t", b"bad", *[b"%d" % n for n in range(20)])
    finished: list[bytes] = []
    while len(finished) < 20:
        message = await consumer.message()
        if message.body == b"bad":
            consumer.req(message.id)
        else:
            finished.append(message.body)
            consumer.fin(message.id)
    assert finished == [b"%d" % n for n in range(20)]


# -- time-outs and TOUCH ---------------------------------------------------------------------------


async def test_a_message_that_is_not_answered_in_time_is_delivered_again(tmp_path: Path) -> None:
    async with Node(tmp_path, "--msg-timeout=100ms") as node:
        consumer = await node.subscribe("t", "c", rdy=1)
        await consumer.pub("t", b"x")
        message = await consumer.message()
        started = time.monotonic()
        assert await consumer.message() == message._replace(attempts=2)
        assert time.monotonic() - started > 0.095


async def test_a_message_times_out_after_its_time_and_not_before(node: Node) -> None:
    consumer, clock = await timed_consumer(node, rdy=1, msg_timeout=2000)
    await consumer.pub("t", b"x")
    message = await consumer.message()
    clock.advance(1.99)
    await consumer.settled()
    clock.advance(0.01 + SHORTEST_SPAN)
    assert await consumer.message() == message._replace(attempts=2)
    consumer.fin(message.id)
    await consumer.settled()
    assert counts(node) == {"depth": 0, "in flight": 0, "deferred": 0, "requeued": 0, "timed out": 1}


async def test_a_message_that_timed_out_can_not_be_finished_any_more(node: Node) -> None:
    consumer, clock = await timed_consumer(node, rdy=1, msg_timeout=2000)
    await consumer.pub("t", b"x")
    message_id = (await consumer.message()).id
    consumer.rdy(0)
    await consumer.settled()
    clock.advance(3)
    assert counts(node)["timed out"] == 1
    consumer.fin(message_id)
    await consumer.expect_error(f"E_FIN_FAILED FIN {message_id.decode()} failed ID not in flight")
    assert counts(node)["depth"] == 1


async def test_clients_have_the_time_out_that_they_asked_for(node: Node) -> None:
    patient, clock = await timed_consumer(node, rdy=1, msg_timeout=60_000)
    hasty = await node.subscribe("t", "c", msg_timeout=1000)
    await patient.mpub("t", b"x", b"y")
    kept = await patient.message()
    hasty.rdy(1)
    for attempts in (1, 2, 3):
        assert (await hasty.message()).attempts == attempts
        clock.advance(1 + SHORTEST_SPAN)
    patient.fin(kept.id)
    await patient.settled()


async def test_a_client_that_asks_for_nothing_has_the_daemons_time_out(tmp_path: Path) -> None:
    async with Node(tmp_path, "--msg-timeout=3s") as node:
        consumer, clock = await timed_consumer(node, rdy=1)
        await consumer.pub("t", b"x")
        await consumer.message()
        clock.advance(2.99)
        await consumer.settled()
        clock.advance(0.01 + SHORTEST_SPAN)
        assert (await consumer.message()).attempts == 2


async def test_only_what_was_delivered_long_enough_ago_times_out(node: Node) -> None:
    consumer, clock = await timed_consumer(node, rdy=10, msg_timeout=2000)
    await consumer.pub("t", b"old")
    assert await consumer.bodies(1) == [b"old"]
    clock.advance(1)
    await consumer.pub("t", b"new")
    assert await consumer.bodies(1) == [b"new"]
    clock.advance(1 + SHORTEST_SPAN)
    assert [(m.body, m.attempts) for m in await consumer.messages(1)] == [(b"old", 2)]
    await consumer.settled()
    clock.advance(1)
    assert [(m.body, m.attempts) for m in await consumer.messages(1)] == [(b"new", 2)]


async def test_touch_gives_a_message_its_time_again(node: Node) -> None:
    consumer, clock = await timed_consumer(node, rdy=2, msg_timeout=2000)
    await consumer.mpub("t", b"touched", b"not")
    touched, _ = await consumer.messages(2)
    clock.advance(1.5)
    consumer.touch(touched.id)
    await consumer.settled()
    clock.advance(1.5)
    assert [(m.body, m.attempts) for m in await consumer.messages(1)] == [(b"not", 2)]
    await consumer.settled()
    clock.advance(0.5 + SHORTEST_SPAN)
    assert [(m.body, m.attempts) for m in await consumer.messages(1)] == [(b"touched", 2)]
    assert counts(node)["timed out"] == 2


async def test_touch_never_goes_beyond_the_longest_time_since_delivery(tmp_path: Path) -> None:
    async with Node(tmp_path, "--max-msg-timeout=5s") as node:
        consumer, clock = await timed_consumer(node, rdy=1, msg_timeout=2000)
        await consumer.pub("t", b"x")
        message = await consumer.message()
        for attempts in (2, 3):  # a redelivery starts a fresh allowance
            for _ in range(4):
                clock.advance(1.2)
                consumer.touch(message.id)
                await consumer.settled()
            clock.advance(0.2 + SHORTEST_SPAN)
            assert (await consumer.message()).attempts == attempts
        assert counts(node)["timed out"] == 2


async def test_touch_at_the_limit_still_succeeds(tmp_path: Path) -> None:
    async with Node(tmp_path, "--max-msg-timeout=2s") as node:
        consumer, clock = await timed_consumer(node, rdy=1, msg_timeout=2000)
        await consumer.pub("t", b"x")
        message = await consumer.message()
        clock.advance(1.99)
        consumer.touch(message.id)
        consumer.fin(message.id)
        await consumer.settled()
        assert counts(node)["in flight"] == 0


async def test_what_is_finished_does_not_time_out(node: Node) -> None:
    consumer, clock = await timed_consumer(node, rdy=1, msg_timeout=1000)
    for n in range(5):
        await consumer.pub("t", b"%d" % n)
        consumer.fin((await consumer.message()).id)
        await consumer.settled()
        clock.advance(0.3)
    clock.advance(5)
    await consumer.settled()
    assert counts(node)["timed out"] == 0


# -- leaving ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("crash", [False, True], ids=["in order", "by a crash"])
async def test_a_consumer_that_leaves_gives_its_messages_back_at_once(node: Node, crash: bool) -> None:
    leaving, staying = await node.subscribe("t", "c", rdy=3), await node.subscribe("t", "c")
    await staying.mpub("t", b"1", b"2", b"3", b"4")
    messages = await leaving.messages(3)
    leaving.rdy(0)
    leaving.fin(messages[0].id)
    await leaving.settled()
    leaving.drop() if crash else leaving.close()
    staying.rdy(10)
    got = {m.body: m.attempts for m in await staying.messages(3)}
    assert got == {b"2": 2, b"3": 2, b"4": 1}
    assert counts(node) == {"depth": 0, "in flight": 3, "deferred": 0, "requeued": 0, "timed out": 0}


async def test_a_message_that_was_requeued_later_survives_its_consumer(node: Node) -> None:
    leaving, clock = await timed_consumer(node, rdy=1)
    await leaving.pub("t", b"x")
    leaving.req((await leaving.message()).id, 1000)
    await leaving.settled()
    leaving.close()
    staying = await node.subscribe("t", "c", rdy=1)
    await staying.settled()
    clock.advance(1)
    assert (await staying.message()).attempts == 2


async def test_cls_stops_delivery_and_the_connection_stays(node: Node) -> None:
    consumer = await node.subscribe("t", "c", rdy=2)
    await consumer.mpub("t", b"1", b"2", b"3")
    first, second = await consumer.messages(2)
    await consumer.cls()
    consumer.fin(first.id)
    consumer.req(second.id)
    await consumer.settled()
    await consumer.pub("t", b"4")
    await consumer.settled()
    assert counts(node) == {"depth": 3, "in flight": 0, "deferred": 0, "requeued": 1, "timed out": 0}


async def test_a_message_held_by_a_closing_consumer_still_times_out(node: Node) -> None:
    closing, clock = await timed_consumer(node, rdy=1, msg_timeout=1000)
    other = await node.subscribe("t", "c")
    await other.pub("t", b"x")
    await closing.message()
    await closing.cls()
    other.rdy(1)
    await other.settled()
    clock.advance(1 + SHORTEST_SPAN)
    assert (await other.message()).attempts == 2


async def test_a_consumer_may_publish_to_its_own_topic(node: Node) -> None:
    consumer = await node.subscribe("t", "c", rdy=1)
    await consumer.pub("t", b"x")
    assert await consumer.bodies(1) == [b"x"]


async def test_attempts_survive_a_restart(node: Node) -> None:
    consumer = await node.subscribe("t", "c", rdy=1)
    await consumer.pub("t", b"x")
    message = await consumer.message()
    consumer.req(message.id)
    await consumer.message()
    await node.restart()
    again = await node.subscribe("t", "c", rdy=1)
    assert await again.message() == message._replace(attempts=3)
