from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest

from nsqclient import (
    AuthRequired,
    Backoff,
    Closed,
    ConfigError,
    ConnectionOptions,
    Consumer,
    ConsumerStats,
    Failures,
    FlowControl,
    FullJitter,
    IdentifyRejected,
    InvalidName,
    Leases,
    LinearRequeue,
    Lookup,
    Message,
    SubscribeRefused,
)
from tests.nsqclient.consumers import OPENING, QUICK, make
from tests.support.fake_lookupd import FakeLookupd
from tests.support.fake_nsqd import FakeNsqd, drop, refuse, silence


async def test_messages_are_received_and_answered() -> None:
    async with FakeNsqd() as nsqd, make(nsqd.address, max_in_flight=5) as consumer:
        await nsqd.expect(*OPENING, "RDY 5")
        first, second = nsqd.message(b"one"), nsqd.message(b"two", attempts=3)
        message = await consumer.get(timeout=5)
        assert (message.id, message.body, message.attempts) == (first, b"one", 1)
        assert (message.topic, message.channel, message.node) == ("t", "c", nsqd.address)
        message.finish()
        message = await consumer.get(timeout=5)
        message.touch()
        message.requeue(1.5, backoff=False)
        await nsqd.expect(f"FIN {first}", f"TOUCH {second}", f"REQ {second} 1500")


async def test_iterating_goes_on_until_it_is_left() -> None:
    async with FakeNsqd() as nsqd, make(nsqd.address, max_in_flight=5) as consumer:
        await nsqd.expect(*OPENING, "RDY 5")
        ids = [nsqd.message(b"%d" % n) for n in range(5)]
        bodies = []
        async for message in consumer:
            async with message:
                bodies.append(message.body)
            if len(bodies) == 5:
                break
        assert bodies == [b"0", b"1", b"2", b"3", b"4"]
        await nsqd.expect(*[f"FIN {i}" for i in ids])


async def test_a_block_that_raises_requeues_and_ends_the_iteration() -> None:
    async with FakeNsqd() as nsqd, make(nsqd.address, backoff=None) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        first = nsqd.message(attempts=2)

        async def work() -> None:
            async for message in consumer:
                async with message:
                    raise LookupError

        with pytest.raises(LookupError):
            await work()
        await nsqd.expect(f"REQ {first} 180000")
        nsqd.message(b"next")
        assert (await consumer.get(timeout=5)).body == b"next", "the consumer goes on"


async def test_requeue_delays_follow_the_policy_and_stay_below_the_limit() -> None:
    async with (
        FakeNsqd() as nsqd,
        make(nsqd.address, backoff=None, requeue=LinearRequeue(3000, cap=9000)) as consumer,
    ):
        await nsqd.expect(*OPENING, "RDY 1")
        for attempts, delay in ((1, 3000), (2, 3600)):
            message_id = nsqd.message(attempts=attempts)
            (await consumer.get(timeout=5)).requeue()
            await nsqd.expect(f"REQ {message_id} {delay}000")


async def test_nothing_is_received_before_it_is_asked_for() -> None:
    consumer = make("127.0.0.1:1")
    with pytest.raises(Closed, match="async with"):
        await consumer.get()
    with pytest.raises(Closed, match="async with"):
        await anext(consumer)


@pytest.mark.parametrize(
    ("group", "settings"),
    [
        (Failures, {"attempts": -1}),
        (FlowControl, {"spread": "even"}),
        (FlowControl, {"backoff": "topic"}),
        (FlowControl, {"backoff_on": ("failure",)}),
        (FlowControl, {"rate": 0}),
        (FlowControl, {"low_rdy_idle": 0}),
        (Leases, {"margin": -1}),
        (Leases, {"limit": -1}),
        (Backoff, {"scope": "topic"}),
        (Backoff, {"strategy": object()}),
    ],
)
def test_wrong_settings_are_refused(group: Callable[..., object], settings: dict[str, object]) -> None:
    (name,) = settings
    with pytest.raises(ConfigError, match=name):
        group(**settings)


@pytest.mark.parametrize(
    ("arguments", "settings", "error"),
    [
        (("bad topic", "c"), {}, InvalidName),
        (("t", "bad channel"), {}, InvalidName),
        (("t", "c"), {"max_in_flight": -1}, ConfigError),
    ],
)
def test_wrong_arguments_are_refused(
    arguments: tuple[str, str], settings: dict[str, int], error: type[Exception]
) -> None:
    with pytest.raises(error):
        Consumer(*arguments, "127.0.0.1:1", **settings)  # type: ignore[arg-type]


# ---- waiting for messages


async def test_get_times_out_and_takes_nothing() -> None:
    async with FakeNsqd() as nsqd, make(nsqd.address) as consumer:
        with pytest.raises(TimeoutError):
            await consumer.get(timeout=0.01)
        nsqd.message(b"x")
        assert (await consumer.get(timeout=5)).body == b"x"


async def test_a_cancelled_get_loses_nothing() -> None:
    async with FakeNsqd() as nsqd, make(nsqd.address, max_in_flight=2) as consumer:
        await nsqd.expect(*OPENING, "RDY 2")
        for round_ in range(20):
            getting = asyncio.create_task(consumer.get())
            await asyncio.sleep(0)
            body = b"%d" % round_
            nsqd.message(body)
            # cancel at a different moment in each round
            for _ in range(round_):
                await asyncio.sleep(0)
            getting.cancel()
            await asyncio.wait([getting])
            if getting.cancelled():
                message = await consumer.get(timeout=5)
            else:
                message = getting.result()
            assert message.body == body
            message.finish()


async def test_a_cancelled_anext_leaves_the_iterator_usable() -> None:
    async with FakeNsqd() as nsqd, make(nsqd.address) as consumer:
        waiting = asyncio.ensure_future(anext(consumer))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        nsqd.message(b"x")
        assert (await anext(consumer)).body == b"x"


async def test_several_tasks_may_wait() -> None:
    async with FakeNsqd() as nsqd, make(nsqd.address, max_in_flight=3) as consumer:
        await nsqd.expect(*OPENING, "RDY 3")
        tasks = [asyncio.create_task(consumer.get(timeout=5)) for _ in range(3)]
        await asyncio.sleep(0)
        for n in range(3):
            nsqd.message(b"%d" % n)
        assert [(await task).body for task in tasks] == [b"0", b"1", b"2"]


async def test_a_body_that_never_waits_lets_the_loop_turn() -> None:
    async with FakeNsqd() as nsqd, make(nsqd.address, max_in_flight=100) as consumer:
        await nsqd.expect(*OPENING, "RDY 100")
        for _ in range(100):
            nsqd.message()
        first = await consumer.get(timeout=5)
        first.finish()
        clock = asyncio.get_running_loop().time
        seen = 1
        async for message in consumer:
            message.finish()
            until = clock() + 0.002
            while clock() < until:
                pass
            seen += 1
            if seen == 50:
                break
        assert "FIN" in nsqd.verbs, "answers left while messages were handed out"


# ---- connections


async def test_all_nsqds_are_subscribed_to() -> None:
    async with (
        FakeNsqd() as one,
        FakeNsqd() as two,
        make([one.address, two.address], max_in_flight=5) as consumer,
    ):
        await one.until(lambda: "SUB t c" in one.commands)
        await two.until(lambda: "SUB t c" in two.commands)
        await one.until(lambda: "RDY" in one.verbs)
        one.message(b"1")
        (await consumer.get(timeout=5)).finish()
        await two.until(lambda: "RDY" in two.verbs)
        two.message(b"2")
        message = await consumer.get(timeout=5)
        assert message.node == two.address
        message.finish()
        await two.until(lambda: "FIN" in two.verbs)
        assert one.verbs.count("FIN") == 1


async def test_nsqds_are_found_by_nsqlookupds() -> None:
    async with FakeNsqd() as one, FakeNsqd() as two, FakeLookupd() as a, FakeLookupd() as b:
        a.topics, b.topics = {"t": [one.address]}, {"t": [one.address, two.address]}
        async with make(Lookup(a.url, b.url)):
            await one.expect(*OPENING)
            await two.expect(*OPENING)


async def test_a_topic_that_appears_later_is_found() -> None:
    async with (
        FakeNsqd() as nsqd,
        FakeLookupd() as lookupd,
        make(Lookup(lookupd.url, poll_interval=0.01)) as consumer,
    ):
        assert consumer.stats.connections == 0
        lookupd.topics = {"t": [nsqd.address]}
        await nsqd.expect(*OPENING, "RDY 1")


async def test_a_lost_connection_is_asked_about_and_comes_back() -> None:
    async with FakeNsqd() as nsqd, FakeLookupd() as lookupd:
        lookupd.topics = {"t": [nsqd.address]}
        async with make(Lookup(lookupd.url, poll_interval=3600), reconnect=QUICK) as consumer:
            await nsqd.expect(*OPENING, "RDY 1")
            nsqd.link.drop()
            await nsqd.expect(*OPENING, "RDY 1")
            await lookupd.asked(2)
            nsqd.message(b"x")
            assert (await consumer.get(timeout=5)).body == b"x"


async def test_iterating_survives_a_reconnect() -> None:
    async with FakeNsqd() as nsqd, make(nsqd.address, reconnect=QUICK) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        waiting = asyncio.ensure_future(anext(consumer))
        await nsqd.stop()
        await nsqd.start()
        await nsqd.expect(*OPENING, "RDY 1")
        nsqd.message(b"x")
        assert (await waiting).body == b"x"


async def test_messages_of_a_lost_connection_are_lost() -> None:
    async with FakeNsqd() as nsqd, make(nsqd.address, max_in_flight=3, reconnect=QUICK) as consumer:
        await nsqd.expect(*OPENING, "RDY 3")
        for n in range(3):
            nsqd.message(b"%d" % n)
        held = await consumer.get(timeout=5)
        nsqd.link.drop()
        await nsqd.expect(*OPENING, "RDY 3")
        assert held.state == "lost"
        held.finish()
        held.requeue()
        nsqd.message(b"new")
        assert (await consumer.get(timeout=5)).body == b"new", "those not handed out are gone"
        assert consumer.stats.lost == 3
        nsqd.nothing_more()


async def test_a_nsqd_that_is_named_again_is_connected_to_at_once() -> None:
    async with FakeNsqd() as nsqd, FakeLookupd() as lookupd:
        lookupd.topics = {"t": [nsqd.address]}
        await nsqd.stop()
        target = Lookup(lookupd.url, poll_interval=0.01)
        async with make(target, reconnect=FullJitter(1000, cap=1000), chance=lambda: 1.0):
            lookupd.topics = {"t": []}
            await lookupd.asked(len(lookupd.requests) + 2)
            await nsqd.start()
            lookupd.topics = {"t": [nsqd.address]}
            await nsqd.expect(*OPENING, "RDY 1")


async def test_a_nsqd_that_is_gone_for_good_is_forgotten() -> None:
    async with FakeNsqd() as nsqd, FakeLookupd() as lookupd:
        lookupd.topics = {"t": [nsqd.address]}
        target = Lookup(lookupd.url, poll_interval=0.01, drop_missing_after=0)
        async with make(target, reconnect=QUICK) as consumer:
            await nsqd.expect(*OPENING, "RDY 1")
            lookupd.topics = {"t": []}
            await lookupd.asked(len(lookupd.requests) + 2)
            assert consumer.stats.connections == 1, "one that is connected stays"
            await nsqd.stop()
            await lookupd.asked(len(lookupd.requests) + 2)
            await nsqd.start()
            await lookupd.asked(len(lookupd.requests) + 2)
            nsqd.nothing_more()


async def test_it_starts_while_some_nsqds_are_down() -> None:
    async with FakeNsqd() as gone:
        pass
    async with FakeNsqd() as nsqd, make([gone.address, nsqd.address]) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        assert consumer.stats.connections == 1


async def test_it_starts_while_all_nsqds_are_down() -> None:
    async with FakeNsqd() as nsqd:
        await nsqd.stop()
        async with make(nsqd.address, reconnect=QUICK):
            await nsqd.start()
            await nsqd.expect(*OPENING, "RDY 1")


async def test_it_starts_while_all_nsqlookupds_are_down() -> None:
    async with FakeLookupd() as lookupd:
        lookupd.status = 500
        async with make(Lookup(lookupd.url)) as consumer:
            assert consumer.stats.connections == 0


@pytest.mark.parametrize(
    ("verb", "text", "error"),
    [
        ("SUB", "E_SUB_FAILED SUB failed consumers for t:c exceeds limit of 1", SubscribeRefused),
        ("IDENTIFY", "E_BAD_BODY IDENTIFY msg timeout (1) is invalid", IdentifyRejected),
    ],
)
async def test_a_refusal_by_every_nsqd_is_raised(verb: str, text: str, error: type[Exception]) -> None:
    async with FakeNsqd() as one, FakeNsqd() as two:
        for nsqd in (one, two):
            nsqd.script(verb, refuse(text))
        consumer = make([one.address, two.address])
        with pytest.raises(error, match=text.split()[-1]):
            await consumer.__aenter__()
        with pytest.raises(Closed):
            await consumer.get()


async def test_a_nsqd_that_wants_a_secret_refuses_as_well() -> None:
    async with FakeNsqd(auth_required=True) as nsqd:
        with pytest.raises(AuthRequired):
            await make(nsqd.address).__aenter__()


async def test_a_refusal_by_some_is_logged_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    async with FakeNsqd() as bad, FakeNsqd() as good:
        bad.script("SUB", refuse("E_SUB_FAILED SUB failed exiting"))
        async with make([bad.address, good.address], max_in_flight=2, reconnect=QUICK):
            await bad.expect(*OPENING, *OPENING, "RDY 1")
    assert "E_SUB_FAILED SUB failed exiting" in caplog.text


async def test_a_cancelled_start_leaves_nothing_behind() -> None:
    async with FakeNsqd() as nsqd:
        nsqd.always("SUB", silence)
        consumer = make(nsqd.address)
        starting = asyncio.create_task(consumer.__aenter__())
        await nsqd.expect(*OPENING)
        starting.cancel()
        await asyncio.wait([starting])
        assert starting.cancelled()
        async with asyncio.timeout(5):
            await nsqd.links[0].gone.wait()


async def test_options_reach_nsqd() -> None:
    options = ConnectionOptions(msg_timeout=10, client_id="me")
    async with FakeNsqd() as nsqd, make(nsqd.address, options=options):
        assert nsqd.link.identify["msg_timeout"] == 10000
        assert nsqd.link.identify["client_id"] == "me"


# ---- the rest


async def test_stats_and_repr_tell_how_it_stands() -> None:
    async with FakeNsqd() as nsqd, make(nsqd.address, max_in_flight=5, backoff=Backoff()) as consumer:
        await nsqd.expect(*OPENING, "RDY 5")
        for _ in range(4):
            nsqd.message()
        (await consumer.get(timeout=5)).finish()
        (await consumer.get(timeout=5)).requeue(0)
        await consumer.get(timeout=5)
        assert consumer.stats == ConsumerStats(4, 1, 1, 0, 0, 0, 2, 1, 1, 1)
        assert repr(consumer) == f"<Consumer t/c Nsqd('{nsqd.address}') open>"


async def test_a_part_that_dies_fails_the_consumer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cause = LookupError("a bug")
    async with FakeNsqd() as nsqd, make(nsqd.address) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        waiting = asyncio.create_task(consumer.get())
        iterating = asyncio.ensure_future(anext(consumer))

        async def handler(message: Message) -> None:
            raise AssertionError

        running = asyncio.create_task(consumer.run(handler))
        await asyncio.sleep(0)
        consumer._reception.fail(cause)
        for task in (waiting, iterating, running):
            with pytest.raises(Closed, match="consumer failed") as caught:
                await task
            assert caught.value.__cause__ is cause
    assert "the consumer failed" in caplog.text


async def test_a_start_that_fails_says_why(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(self: object) -> None:
        raise LookupError("a bug")

    monkeypatch.setattr("nsqclient.connection.reconnect.Reconnect.run", broken)
    with pytest.raises(Closed, match="a bug"):
        await make("127.0.0.1:1").__aenter__()


async def test_a_dropped_connection_while_subscribing_is_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="nsqclient")
    async with FakeNsqd() as nsqd:
        nsqd.script("SUB", drop)
        async with make(nsqd.address, reconnect=QUICK):
            await nsqd.expect(*OPENING, *OPENING, "RDY 1")
    assert "can't receive t/c" in caplog.text


@pytest.mark.parametrize("lookup", [False, True])
async def test_stopping_a_consumer_that_is_still_opening_ends_it(lookup: bool) -> None:
    writers: list[asyncio.StreamWriter] = []

    def keep(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)  # accepted, and never answered

    async with await asyncio.start_server(keep, "127.0.0.1", 0) as silent:
        address = f"127.0.0.1:{silent.sockets[0].getsockname()[1]}"
        consumer = Consumer("t", "c", Lookup(f"http://{address}") if lookup else address)
        asyncio.get_running_loop().call_later(0.05, consumer.stop)
        async with asyncio.timeout(5), consumer:
            assert [message async for message in consumer] == []
        for writer in writers:
            writer.close()
