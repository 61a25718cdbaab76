from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from nsqclient import Backoff, ConnectionOptions, Consumer, Failures, FlowControl, FullJitter, LinearRequeue
from nsqclient.limits import Limits
from nsqclient.producer.options import RetryPolicy
from nsqclient.producer.producer import Producer
from nsqclient.tools.common.failing import GivingUp, giving_up
from nsqclient.tools.common.outage import Outage
from nsqclient.tools.common.picking import picker
from nsqclient.tools.to_nsq.confirmed import Confirmed
from nsqclient.tools.to_nsq.destinations import MPUB_BYTES, Destination, Load, is_hopeless, parts
from nsqclient.tools.to_nsq.filters import JsonFilter
from nsqclient.tools.to_nsq.relay import Relay
from nsqclient.tools.to_nsq.tally import Seldom, Tally
from tests.nsqclient.producers import until
from tests.support.fake_nsqd import FakeNsqd, drop, refuse, silence

SOURCE = ("IDENTIFY", "SUB in relay")
LARGE = ConnectionOptions(limits=Limits(max_msg_size=64 << 20, max_body_size=64 << 20))
QUICK = RetryPolicy(backoff=FullJitter(0.001, cap=0.01))


@dataclass
class Run:
    source: FakeNsqd
    consumer: Consumer
    tally: Tally
    stored: list[tuple[str, int]]

    async def settled(self, count: int) -> None:
        """So many messages are answered."""
        await self.source.until(lambda: len(self.answers) >= count)

    @property
    def answers(self) -> list[str]:
        return [command for command in self.source.commands if command.startswith(("FIN", "REQ"))]


def producer_for(address: str) -> Callable[[], Producer]:
    return lambda: Producer(address, options=LARGE, retry=QUICK)


@asynccontextmanager
async def relaying(
    source: FakeNsqd,
    *addresses: str,
    mode: str = "round-robin",
    json: Sequence[Any] = (),
    letters: str = "",
    attempts: int = 0,
    backoff: Backoff | None = None,
    outage: Outage | None = None,
) -> AsyncIterator[Run]:
    """A relay from ``source`` to the nsqds at these addresses; messages that fail come back after 10 ms."""
    async with AsyncExitStack() as stack:
        destinations = {address: Destination(address, producer_for(address)) for address in addresses}
        for destination in destinations.values():
            stack.push_async_callback(destination.close)
        tally = Tally()
        stored: list[tuple[str, int]] = []
        relay = Relay(
            "out",
            destinations,
            None
            if mode == "all"
            else picker(mode, addresses, now=asyncio.get_running_loop().time, chance=lambda: 0.9),
            JsonFilter(*json),
            tally,
            letters=bool(letters),
            outage=outage,
            timed=lambda address, count, seconds: stored.append((address, count)),
        )
        failures = Failures(attempts=attempts, requeue=LinearRequeue(step=0.01))
        consumer = await stack.enter_async_context(
            Consumer(
                "in",
                "relay",
                source.address,
                max_in_flight=100,
                flow=FlowControl(backoff=backoff, backoff_on=(lambda error: not is_hopeless(error),)),
                failures=giving_up(failures, GivingUp(letters, lambda node: Producer(node, options=LARGE))),
                drain=1,
            )
        )
        await source.until(lambda: "RDY 100" in source.commands)
        handling = asyncio.create_task(
            consumer.run_batches(relay, max_messages=50, linger=0, concurrency=relay.concurrency)
        )
        try:
            yield Run(source, consumer, tally, stored)
        finally:
            consumer.stop()
            await consumer.close()
            await handling


def send(source: FakeNsqd, *bodies: bytes, attempts: int = 1) -> list[str]:
    return [source.message(body, attempts=attempts) for body in bodies]


async def test_messages_that_come_together_leave_in_one_command_and_are_finished() -> None:
    async with FakeNsqd() as source, FakeNsqd() as there, relaying(source, there.address) as run:
        ids = send(source, b"one", b"two", b"three")
        await run.settled(3)
        assert run.answers == [f"FIN {message_id}" for message_id in ids]
        assert there.bodies == [b"one", b"two", b"three"]
        assert there.verbs.count("MPUB") == 1
        assert run.stored == [(there.address, 3)]
        assert run.tally.relayed == 3


async def test_nothing_is_dialled_before_there_is_a_message() -> None:
    async with FakeNsqd() as source, FakeNsqd() as there, relaying(source, there.address) as run:
        assert there.links == []
        send(source, b"one")
        await run.settled(1)
        await there.expect("IDENTIFY", "PUB out one")


async def test_a_message_is_not_finished_before_it_is_confirmed() -> None:
    async with FakeNsqd() as source, FakeNsqd() as there, relaying(source, there.address) as run:
        there.script("PUB", silence)
        send(source, b"one")
        await there.expect("IDENTIFY", "PUB out one")
        assert run.answers == []
        there.link.ok()
        await run.settled(1)


async def test_what_failed_before_goes_alone() -> None:
    async with FakeNsqd() as source, FakeNsqd() as there, relaying(source, there.address) as run:
        send(source, b"one", b"two", attempts=2)
        await run.settled(2)
        await there.expect("IDENTIFY", "PUB out one", "PUB out two")


async def test_messages_for_a_destination_that_is_down_are_requeued_at_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with FakeNsqd() as source, FakeNsqd() as there, relaying(source, there.address) as run:
        await there.stop()
        ids = send(source, b"one", b"two")
        async with asyncio.timeout(2):
            await run.settled(2)
        assert run.answers == [f"REQ {message_id} 10" for message_id in ids]
        (record,) = [r for r in caplog.records if "not confirmed" in r.getMessage()]
        assert record.levelno == logging.WARNING
        assert "2 messages for out are not confirmed - " in record.getMessage()
        assert "refused" in record.getMessage()
        await there.start()
        count = 2
        async with asyncio.timeout(5):
            while not there.bodies:
                send(source, b"one", attempts=2)
                count += 1
                await run.settled(count)
        assert run.answers[-1].startswith("FIN")


async def test_messages_that_nobody_takes_come_again_after_as_long_as_that_has_lasted() -> None:
    clock = [100.0]
    async with (
        FakeNsqd() as source,
        FakeNsqd() as there,
        relaying(source, there.address, outage=Outage(lambda: clock[0])) as run,
    ):
        await there.stop()
        count = 0
        for clock[0], delay in [(100.0, 1000), (110.0, 10_000), (1000.0, 90_000)]:
            count += 1
            (message_id,) = send(source, b"one")
            await run.settled(count)
            assert run.answers[-1] == f"REQ {message_id} {delay}"
        await there.start()
        while run.answers[-1].startswith("REQ"):
            count += 1
            send(source, b"one")
            await run.settled(count)
        there.script("PUB", drop)  # another outage begins
        (message_id,) = send(source, b"two")
        await run.settled(count + 1)
        assert run.answers[-1] == f"REQ {message_id} 1000"


async def test_a_message_that_a_destination_refuses_waits_as_the_consumer_says() -> None:
    async with (
        FakeNsqd() as source,
        FakeNsqd() as there,
        relaying(source, there.address, outage=Outage()) as run,
    ):
        there.script("PUB", refuse("E_BAD_TOPIC no"))
        (message_id,) = send(source, b"one", attempts=3)
        await run.settled(1)
        assert run.answers == [f"REQ {message_id} 30"]


@pytest.mark.parametrize("mode", ["round-robin", "hostpool", "epsilon-greedy"])
async def test_what_one_destination_did_not_get_goes_to_another(mode: str) -> None:
    async with (
        FakeNsqd() as source,
        FakeNsqd() as away,
        FakeNsqd() as there,
        relaying(source, away.address, there.address, mode=mode) as run,
    ):
        await away.stop()
        for count in range(1, 5):
            send(source, b"one")
            await run.settled(count)
        assert [answer[:3] for answer in run.answers] == ["FIN"] * 4
        assert there.bodies == [b"one"] * 4


async def test_what_a_destination_may_have_is_not_given_to_another() -> None:
    async with (
        FakeNsqd() as source,
        FakeNsqd() as breaking,
        FakeNsqd() as there,
        relaying(source, breaking.address, there.address) as run,
    ):
        breaking.script("PUB", drop)
        send(source, b"one")
        await run.settled(1)
        assert run.answers[0].startswith("REQ")
        assert there.bodies == []


async def test_destinations_take_turns() -> None:
    async with (
        FakeNsqd() as source,
        FakeNsqd() as one,
        FakeNsqd() as two,
        relaying(source, one.address, two.address) as run,
    ):
        for count in range(1, 5):
            send(source, b"%d" % count)
            await run.settled(count)
        assert (one.bodies, two.bodies) == ([b"1", b"3"], [b"2", b"4"])


async def test_a_silent_destination_keeps_no_more_than_its_batches_from_the_others() -> None:
    async with (
        FakeNsqd() as source,
        FakeNsqd() as mute,
        FakeNsqd() as there,
        relaying(source, mute.address, there.address) as run,
    ):
        mute.always("PUB", silence)
        for number in range(30):
            send(source, b"%d" % number)
            await until(lambda number=number: len(mute.bodies) + len(there.bodies) == number + 1)  # type: ignore[misc]
        await run.settled(26)
        assert len(mute.bodies) == 4


async def test_at_the_end_what_no_destination_answers_goes_back_at_once() -> None:
    async with FakeNsqd() as source, FakeNsqd() as mute:
        mute.always("PUB", silence)
        async with relaying(source, mute.address) as run:
            (message_id,) = send(source, b"one")
            await mute.until(lambda: mute.bodies == [b"one"])
            run.consumer.stop()
            assert run.answers == []
        assert run.answers == [f"REQ {message_id} 0"]


async def test_a_command_that_failed_half_way_is_not_repeated() -> None:
    async with FakeNsqd() as source, FakeNsqd() as there, relaying(source, there.address) as run:
        there.script("MPUB", refuse("E_MPUB_FAILED disk full"))
        ids = send(source, b"one", b"two")
        await run.settled(2)
        assert run.answers == [f"REQ {message_id} 10" for message_id in ids]
        send(source, b"one", b"two", attempts=2)
        await run.settled(4)
        assert there.verbs.count("MPUB") == 1
        assert there.verbs.count("PUB") == 2


async def test_what_the_destination_refuses_for_other_reasons_slows_the_consumer_down() -> None:
    async with (
        FakeNsqd() as source,
        FakeNsqd() as there,
        relaying(source, there.address, backoff=Backoff(multiplier=60)) as run,
    ):
        there.script("PUB", refuse("E_BAD_TOPIC no"))
        send(source, b"one")
        await run.settled(1)
        assert run.consumer.stats.backoff_level == 1


async def test_a_message_that_is_too_large_is_requeued_and_the_others_are_not_held_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with (
        FakeNsqd() as source,
        FakeNsqd() as there,
        relaying(source, there.address, backoff=Backoff(multiplier=60)) as run,
    ):
        there.script("MPUB", refuse("E_BAD_MESSAGE MPUB message too big 9 > 8"))
        there.script("PUB", lambda link: link.ok(), refuse("E_BAD_MESSAGE PUB message too big 9 > 8"))
        first, large, last = send(source, b"first", b"too large", b"last")
        await run.settled(3)
        assert sorted(run.answers) == sorted([f"FIN {first}", f"REQ {large} 10", f"FIN {last}"])
        assert "too big" in caplog.text
        assert large in caplog.text
        assert run.consumer.stats.backoff_level == 0


async def test_a_message_that_is_too_large_becomes_a_dead_letter() -> None:
    async with (
        FakeNsqd() as source,
        FakeNsqd() as there,
        relaying(source, there.address, letters="dead") as run,
    ):
        there.script("PUB", refuse("E_BAD_MESSAGE PUB message too big 9 > 8"))
        (large,) = send(source, b"too large")
        await run.settled(1)
        assert run.answers == [f"FIN {large}"]
        assert "PUB dead too large" in source.commands


async def test_messages_are_given_up_after_as_many_attempts_as_are_asked_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with FakeNsqd() as source, FakeNsqd() as there, relaying(source, there.address, attempts=3) as run:
        await there.stop()
        (last,) = send(source, b"poison", attempts=3)
        await run.settled(1)
        assert run.answers == [f"FIN {last}"]
    assert f"giving up message {last} of 6 bytes after 3 attempts" in caplog.text


async def test_more_than_one_command_holds_is_split() -> None:
    async with FakeNsqd() as source, FakeNsqd() as there, relaying(source, there.address) as run:
        bodies = [b"a" * (MPUB_BYTES // 2), b"b" * (MPUB_BYTES // 2), b"c", b"d" * (MPUB_BYTES + 1)]
        send(source, *bodies)
        await run.settled(4)
        assert sorted(there.bodies) == bodies


# ---- all


async def test_all_destinations_get_every_message() -> None:
    async with (
        FakeNsqd() as source,
        FakeNsqd() as one,
        FakeNsqd() as two,
        relaying(source, one.address, two.address, mode="all") as run,
    ):
        send(source, b"x", b"y")
        await run.settled(2)
        assert one.bodies == two.bodies == [b"x", b"y"]
        assert [answer[:3] for answer in run.answers] == ["FIN", "FIN"]


async def test_a_retry_is_for_those_that_have_not_confirmed() -> None:
    async with (
        FakeNsqd() as source,
        FakeNsqd() as one,
        FakeNsqd() as two,
        relaying(source, one.address, two.address, mode="all") as run,
    ):
        two.script("PUB", refuse("E_BAD_TOPIC no"), refuse("E_BAD_TOPIC no"))
        (message_id,) = send(source, b"x")
        for attempts in (2, 3):
            await run.settled(attempts - 1)
            source.message(b"x", message_id=message_id, attempts=attempts)
        await run.settled(3)
        assert [answer[:3] for answer in run.answers] == ["REQ", "REQ", "FIN"]
        assert one.bodies == [b"x"]
        assert two.verbs.count("PUB") == 3


# ---- JSON


async def test_what_does_not_match_is_finished_without_being_passed_on() -> None:
    async with (
        FakeNsqd() as source,
        FakeNsqd() as there,
        relaying(source, there.address, json=("kind", "1", ["kind"])) as run,
    ):
        ids = send(source, b'{"kind": 1, "x": 2}', b'{"kind": 2}', b"{}")
        await run.settled(3)
        assert sorted(run.answers) == [f"FIN {message_id}" for message_id in ids]
        assert there.bodies == [b'{"kind":1}']
        assert (run.tally.relayed, run.tally.filtered) == (1, 2)


async def test_what_is_no_object_is_dropped_and_told_of_now_and_then(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with (
        FakeNsqd() as source,
        FakeNsqd() as there,
        relaying(source, there.address, json=("kind",)) as run,
    ):
        send(source, b"no", b"json", b"at all")
        await run.settled(3)
        assert [answer[:3] for answer in run.answers] == ["FIN"] * 3
        assert run.tally.unreadable == 3
        assert caplog.text.count("ERROR: Unable to decode json: 'no'") == 1
        assert there.links == []


async def test_what_is_no_object_becomes_a_dead_letter_where_there_is_a_topic_for_them() -> None:
    async with (
        FakeNsqd() as source,
        FakeNsqd() as there,
        relaying(source, there.address, json=("kind",), letters="dead") as run,
    ):
        send(source, b"no json")
        await run.settled(1)
        assert "PUB dead no json" in source.commands
        assert run.answers[0].startswith("FIN")


# ---- parts of it


def test_lines_of_one_kind_are_a_second_apart(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    seldom = Seldom(lambda: now)
    for now in (0.0, 0.5, 0.9, 1.0, 1.5):  # noqa: B007 - the clock reads it
        seldom.say(logging.ERROR, "a", "it broke", {})
    seldom.say(logging.ERROR, "b", "something else", {"node": "there"})
    assert [record.getMessage() for record in caplog.records] == [
        "it broke",
        "it broke (and 2 more like this)",
        "something else",
    ]


def test_a_tally_tells_what_there_was() -> None:
    assert str(Tally(relayed=3)) == "3 messages relayed"
    assert str(Tally(1, 2, 3, 4)) == (
        "1 messages relayed, 2 filtered out, 3 were no JSON objects, 4 times one failed and was requeued"
    )


async def test_only_so_many_messages_are_remembered() -> None:
    confirmed = Confirmed(remembered=2)
    async with (
        FakeNsqd() as source,
        Consumer("in", "relay", source.address, max_in_flight=3, drain=0) as consumer,
    ):
        await source.expect(*SOURCE, "RDY 3")
        send(source, b"1", b"2", b"3", attempts=2)
        messages = [await consumer.get(5) for _ in range(3)]
    confirmed.note(messages[0], [])
    assert len(confirmed) == 0
    for message in messages:
        confirmed.note(message, ["a"])
    confirmed.note(messages[2], ["b"])
    assert [set(confirmed.places(message)) for message in messages] == [set(), {"a"}, {"a", "b"}]
    confirmed.forget(messages[2])
    assert len(confirmed) == 1


async def test_parts_keep_to_their_size_and_lose_nothing() -> None:
    async with (
        FakeNsqd() as source,
        Consumer("in", "relay", source.address, max_in_flight=4, drain=0) as consumer,
    ):
        await source.expect(*SOURCE, "RDY 4")
        send(source, b"1", b"2", b"3")
        send(source, b"4", attempts=2)
        messages = [await consumer.get(5) for _ in range(4)]
    sizes = [MPUB_BYTES - 1, 1, 1, 1]
    load: Load = [(message, b"x" * size) for message, size in zip(messages, sizes, strict=True)]
    assert [[item[0].body for item in part] for part in parts(load)] == [[b"1", b"2"], [b"3"], [b"4"]]
