from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from nsqclient import (
    ConfigError,
    ConnectionOptions,
    Consumer,
    DeadLetter,
    Failures,
    GaveUp,
    Limits,
    Message,
    Producer,
    scope,
)
from nsqclient.consumer.dead_letter import letter_headers
from nsqclient.content.envelope import unwrap, wrap
from tests.nsqclient.consumers import OPENING, QUICK, make
from tests.nsqclient.producers import until
from tests.support.fake_nsqd import FakeNsqd, drop, refuse, silence


def lettering(nsqd: FakeNsqd, **settings: Any) -> Consumer:
    return make(
        nsqd.address,
        **{"dead_letter": "dead", "attempts": 1, "backoff": None, "reconnect": QUICK, **settings},
    )


async def fails(message: Message) -> None:
    raise LookupError("no such customer")


async def test_a_message_that_is_given_up_is_published_before_it_is_finished() -> None:
    async with FakeNsqd() as nsqd, lettering(nsqd) as consumer:
        events = consumer.events()
        await nsqd.expect(*OPENING, "RDY 1")
        message_id = nsqd.message(b"poison")
        (await consumer.get(timeout=5)).requeue()
        await nsqd.expect("IDENTIFY", "PUB dead poison", f"FIN {message_id}")
        assert (consumer.stats.dead_letters, consumer.stats.given_up) == (1, 1)
    told = [event async for event in events if isinstance(event, GaveUp)]
    assert told == [GaveUp(nsqd.address, message_id, 1, None)]


@pytest.mark.parametrize("sends", [True, False])
async def test_a_letter_without_room_for_new_headers_has_one_envelope(sends: bool) -> None:
    body = wrap({"content-type": "text/plain", "message-key": "k", "sent-at": "now"}, b"poison")
    options = ConnectionOptions(limits=Limits(max_msg_size=len(body)))
    async with (
        FakeNsqd() as nsqd,
        Producer(nsqd.address, headers="auto" if sends else "never", options=options) as producer,
        lettering(nsqd, headers="auto", dead_letter_producer=producer) as consumer,
    ):
        await nsqd.until(lambda: "RDY 1" in nsqd.commands)
        nsqd.message(body)
        (await consumer.get(timeout=5)).requeue()
        await until(lambda: consumer.stats.dead_letters == 1)
        (letter,) = nsqd.bodies
        assert unwrap(letter) == unwrap(body)


async def test_nothing_is_finished_before_the_letter_is_confirmed() -> None:
    async with FakeNsqd() as nsqd, lettering(nsqd) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        nsqd.script("PUB", silence)
        message_id = nsqd.message(b"poison")
        (await consumer.get(timeout=5)).requeue()
        await nsqd.expect("IDENTIFY", "PUB dead poison")
        await asyncio.sleep(0.02)
        nsqd.nothing_more()
        next(link for link in nsqd.links if "PUB dead poison" in link.commands).ok()
        await nsqd.expect(f"FIN {message_id}")


async def test_a_message_that_may_have_killed_a_process_is_a_letter_too() -> None:
    async with FakeNsqd() as nsqd, lettering(nsqd, max_in_flight=2, attempts=3) as consumer:
        await nsqd.expect(*OPENING, "RDY 2")
        killer = nsqd.message(b"killer", attempts=4)
        nsqd.message(b"good", attempts=3)
        assert (await consumer.get(timeout=5)).body == b"good"
        await nsqd.expect("IDENTIFY", "PUB dead killer", f"FIN {killer}")


async def test_a_handler_may_declare_a_message_dead() -> None:
    async def handler(message: Message) -> None:
        raise DeadLetter("no such customer")

    async with FakeNsqd() as nsqd, lettering(nsqd, attempts=5) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        task = asyncio.create_task(consumer.run(handler))
        message_id = nsqd.message(b"hopeless")
        await nsqd.expect("IDENTIFY", "PUB dead hopeless", f"FIN {message_id}")
        consumer.stop()
        await task


async def test_without_a_topic_a_message_that_is_declared_dead_is_given_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with FakeNsqd() as nsqd, make(nsqd.address) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        message_id = nsqd.message()
        async with await consumer.get(timeout=5):
            raise DeadLetter("hopeless")
        await nsqd.expect(f"FIN {message_id}")
        assert consumer.stats.given_up == 1
    assert "there is no topic for dead letters" in caplog.text


@pytest.mark.parametrize(
    "reaction", [refuse("E_BAD_TOPIC no"), refuse("E_PUB_FAILED full"), drop], ids=["bad", "full", "drop"]
)
async def test_a_letter_that_cannot_be_published_brings_its_message_back(
    reaction: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with FakeNsqd() as nsqd, lettering(nsqd) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        nsqd.script("PUB", *[reaction] * 4)
        message_id = nsqd.message(b"poison")
        (await consumer.get(timeout=5)).requeue()
        await nsqd.until(lambda: f"REQ {message_id} 90000" in nsqd.commands)
        assert f"FIN {message_id}" not in nsqd.commands
        # it comes once more, and is not handed out
        nsqd.always("PUB", lambda link: link.ok())
        nsqd._scripts.clear()
        link = next(link for link in nsqd.links if "SUB t c" in link.commands)
        link.message(b"poison", message_id=message_id, attempts=2)
        with pytest.raises(TimeoutError):
            await consumer.get(timeout=0.1)
        await nsqd.until(lambda: f"FIN {message_id}" in nsqd.commands)
    assert "giving up a message failed, it is requeued" in caplog.text


async def test_a_nsqd_that_does_not_answer_brings_the_message_back() -> None:
    async with FakeNsqd() as nsqd, FakeNsqd() as letters:
        letters.always("PUB", silence)
        async with (
            Producer(letters.address, timeout=0.05) as producer,
            lettering(nsqd, dead_letter_producer=producer) as consumer,
        ):
            await nsqd.expect(*OPENING, "RDY 1")
            message_id = nsqd.message(b"poison")
            (await consumer.get(timeout=5)).requeue()
            await nsqd.expect(f"REQ {message_id} 90000")


async def test_letters_may_go_through_a_producer_of_yours_which_stays_open() -> None:
    async with FakeNsqd() as nsqd, FakeNsqd() as letters, Producer(letters.address) as producer:
        async with lettering(nsqd, dead_letter_producer=producer) as consumer:
            await nsqd.expect(*OPENING, "RDY 1")
            message_id = nsqd.message(b"poison")
            (await consumer.get(timeout=5)).requeue()
            await letters.expect("IDENTIFY", "PUB dead poison")
            await nsqd.expect(f"FIN {message_id}")
        await producer.publish("t", b"still open")


async def test_a_producer_of_yours_that_is_closed_brings_the_message_back() -> None:
    never_opened = Producer("127.0.0.1:1")
    async with FakeNsqd() as nsqd, lettering(nsqd, dead_letter_producer=never_opened) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        message_id = nsqd.message(b"poison")
        (await consumer.get(timeout=5)).requeue()
        await nsqd.expect(f"REQ {message_id} 90000")


async def test_leaving_the_consumer_waits_for_a_letter_under_way() -> None:
    async with FakeNsqd() as nsqd:
        async with lettering(nsqd, drain=5) as consumer:
            await nsqd.expect(*OPENING, "RDY 1")
            message_id = nsqd.message(b"poison")
            (await consumer.get(timeout=5)).requeue()
        await nsqd.until(lambda: f"FIN {message_id}" in nsqd.commands)
        assert "PUB dead poison" in nsqd.commands
        await until(lambda: all(link.gone.is_set() for link in nsqd.links))


async def test_a_letter_that_outlasts_the_drain_brings_its_message_back() -> None:
    async with FakeNsqd() as nsqd:
        nsqd.always("PUB", silence)
        async with lettering(nsqd, drain=0.02) as consumer:
            await nsqd.expect(*OPENING, "RDY 1")
            message_id = nsqd.message(b"poison")
            (await consumer.get(timeout=5)).requeue()
            await nsqd.until(lambda: "PUB dead poison" in nsqd.commands)
        assert f"REQ {message_id} 0" in nsqd.commands


async def test_many_letters_share_one_producer() -> None:
    async with FakeNsqd() as nsqd, lettering(nsqd, max_in_flight=20) as consumer:
        await nsqd.expect(*OPENING, "RDY 20")
        task = asyncio.create_task(consumer.run(fails, concurrency=20))
        for n in range(20):
            nsqd.message(b"%d" % n)
        await nsqd.until(lambda: nsqd.verbs.count("FIN") == 20)
        assert nsqd.verbs.count("IDENTIFY") == 2
        assert nsqd.verbs.count("PUB") == 20
        consumer.stop()
        await task


async def test_the_scope_around_a_failure_does_not_hold_up_its_letter() -> None:
    async with FakeNsqd() as nsqd, lettering(nsqd) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        message_id = nsqd.message(b"poison")
        message = await consumer.get(timeout=5)
        nsqd.script("PUB", silence)

        async def work() -> None:
            async with scope(timeout=0.02):
                message.requeue()
                await asyncio.Event().wait()

        with pytest.raises(TimeoutError):
            await work()
        await nsqd.until(lambda: "PUB dead poison" in nsqd.commands)
        next(link for link in nsqd.links if "PUB dead poison" in link.commands).ok()
        await nsqd.until(lambda: nsqd.commands[-1] == f"FIN {message_id}")


async def test_a_letter_is_logged_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    async with FakeNsqd() as nsqd, lettering(nsqd) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        task = asyncio.create_task(consumer.run(fails))
        message_id = nsqd.message(b"poison")
        await nsqd.until(lambda: nsqd.commands[-1] == f"FIN {message_id}")
        consumer.stop()
        await task
    assert f"message {message_id} of topic t is a dead letter in topic dead" in caplog.text
    assert "no such customer" in caplog.text


async def test_a_letter_tells_what_it_was() -> None:
    async with FakeNsqd() as nsqd, make(nsqd.address) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        message_id = nsqd.message(attempts=3)
        message = await consumer.get(timeout=5)
        headers = letter_headers(message, LookupError("x" * 5000), "attempts")
        assert headers.pop("nsq-error") == f"LookupError: {'x' * 987}"
        assert headers == {
            "nsq-reason": "attempts",
            "nsq-topic": "t",
            "nsq-channel": "c",
            "nsq-node": nsqd.address,
            "nsq-message-id": message_id,
            "nsq-attempts": "3",
            "nsq-timestamp": "1",
        }
        assert "nsq-error" not in letter_headers(message, None, "expired")


@pytest.mark.parametrize("plain", [True, False])
async def test_a_function_may_give_up_instead(plain: bool) -> None:
    seen: list[tuple[bytes, BaseException | None]] = []

    def hook(message: Message, error: BaseException | None) -> None:
        seen.append((message.body, error))

    async def slow_hook(message: Message, error: BaseException | None) -> None:
        await asyncio.sleep(0)
        hook(message, error)

    async with FakeNsqd() as nsqd, lettering(nsqd, give_up=hook if plain else slow_hook) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        message_id = nsqd.message(b"poison")
        (await consumer.get(timeout=5)).requeue()
        await nsqd.expect(f"FIN {message_id}")
        assert seen == [(b"poison", None)]
        dead = nsqd.message(b"dead")
        async with await consumer.get(timeout=5):
            raise DeadLetter("what is declared dead is a letter all the same")
        await nsqd.expect("IDENTIFY", "PUB dead dead", f"FIN {dead}")


@pytest.mark.parametrize(
    "settings",
    [
        {"give_up": "shred"},
        {"give_up": "dead_letter"},
        {"on_expired": "dead_letter"},
        {"on_expired": "never"},
        {"dead_letter": "not a name"},
        {"dead_letter_producer": Producer("127.0.0.1:1")},
        {"attempts": -1},
        {"attempts": 65536},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Failures(**settings)


def test_a_topic_is_not_its_own_letter_box() -> None:
    with pytest.raises(ConfigError, match="that same topic"):
        make("127.0.0.1:1", dead_letter="t")
