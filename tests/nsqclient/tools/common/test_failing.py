from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from nsqclient import ConfigError, Consumer, Failures, FlowControl, LinearRequeue
from nsqclient.producer.producer import Producer
from nsqclient.tools.common.failing import DeadLettering, GivingUp, check_dead_lettering, giving_up
from tests.nsqclient.consumers import QUICK
from tests.support.fake_nsqd import FakeNsqd, refuse, silence

OPENING = ("IDENTIFY", "SUB orders relay")


def producer_of(timeout: float = 5.0) -> Callable[[str], Producer]:
    return lambda node: Producer(node, timeout=timeout)


def consumer_of(nsqd: FakeNsqd, hook: GivingUp, attempts: int = 1) -> Consumer:
    failures = giving_up(Failures(attempts=attempts, requeue=LinearRequeue(step=0.01)), hook)
    return Consumer(
        "orders", "relay", nsqd.address, failures=failures, reconnect=QUICK, flow=FlowControl(backoff=None)
    )


async def test_a_letter_is_confirmed_before_its_message_is_finished(caplog: pytest.LogCaptureFixture) -> None:
    hook = GivingUp("dead", producer_of())
    async with FakeNsqd() as nsqd, consumer_of(nsqd, hook) as consumer:
        nsqd.script("PUB", silence)
        await nsqd.expect(*OPENING, "RDY 1")
        message_id = nsqd.message(b"poison")
        (await consumer.get(timeout=5)).settle(ValueError("no such customer"))
        await nsqd.expect("IDENTIFY", "PUB dead poison")
        assert consumer.stats.in_flight == 1
        next(link for link in nsqd.links if "PUB dead poison" in link.commands).ok()
        await nsqd.expect(f"FIN {message_id}")
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    text = record.getMessage()
    assert text == (
        f"message {message_id} of 6 bytes is now in topic dead, given up after 1 attempts - no such customer"
    )
    assert (record.__dict__["topic"], record.__dict__["channel"]) == ("orders", "relay")
    assert hook.count == 1


async def test_without_a_topic_a_message_is_finished_with_an_error_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with FakeNsqd() as nsqd, consumer_of(nsqd, GivingUp("", producer_of())) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        message_id = nsqd.message(b"poison")
        (await consumer.get(timeout=5)).requeue()
        await nsqd.expect(f"FIN {message_id}")
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.getMessage() == (
        f"giving up message {message_id} of 6 bytes after 1 attempts, it is lost - it was not handled"
    )


async def test_a_message_whose_letter_is_refused_is_requeued(caplog: pytest.LogCaptureFixture) -> None:
    hook = GivingUp("dead", producer_of())
    async with FakeNsqd() as nsqd, consumer_of(nsqd, hook) as consumer:
        nsqd.script("PUB", refuse("E_BAD_TOPIC no letters here"))
        await nsqd.expect(*OPENING, "RDY 1")
        message_id = nsqd.message(b"poison")
        (await consumer.get(timeout=5)).requeue()
        await nsqd.expect("IDENTIFY", "PUB dead poison", f"REQ {message_id} 10")
    assert hook.count == 0
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "it is requeued - " in record.getMessage()
    assert "no letters here" in record.getMessage()
    assert record.exc_info is None


async def test_letters_share_a_connection_that_ends_with_the_last() -> None:
    hook = GivingUp("dead", producer_of())
    async with FakeNsqd() as nsqd, consumer_of(nsqd, hook) as consumer:
        consumer.set_max_in_flight(2)
        await nsqd.until(lambda: "RDY 2" in nsqd.commands)
        for body in (b"one", b"two"):
            nsqd.message(body)
        for message in [await consumer.get(timeout=5), await consumer.get(timeout=5)]:
            message.requeue()
        await nsqd.until(lambda: sum(command.startswith("FIN") for command in nsqd.commands) == 2)
        assert nsqd.commands.count("IDENTIFY") == 2
        assert hook._offices == {}


@pytest.mark.parametrize(("attempts", "answer"), [(0, "REQ {} 600000"), (60_000, "FIN {}")])
async def test_attempts_are_unlimited_unless_there_is_a_limit(attempts: int, answer: str) -> None:
    async with FakeNsqd() as nsqd, consumer_of(nsqd, GivingUp("", producer_of()), attempts) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        message_id = nsqd.message(b"poison", attempts=60_000)
        (await consumer.get(timeout=5)).requeue()
        await nsqd.expect(answer.format(message_id))


@pytest.mark.parametrize(
    ("topic", "text"),
    [("no/slash", "--dead-letter-topic is invalid"), ("orders", "orders is a topic that is read")],
)
def test_a_topic_that_can_hold_no_letters_is_refused(topic: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        check_dead_lettering(DeadLettering(topic), ["orders"])


def test_any_other_topic_may_hold_letters_and_none_need() -> None:
    check_dead_lettering(DeadLettering("orders.dead#ephemeral"), ["orders"])
    check_dead_lettering(DeadLettering(), ["orders"])
