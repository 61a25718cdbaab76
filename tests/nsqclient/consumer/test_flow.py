"""RDY and back-off as they are seen on the wire.

The traces A to D are those of the original client, with one connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from nsqclient import (
    Backoff,
    Closed,
    ConfigError,
    Consumer,
    Message,
)
from tests.nsqclient.consumers import OPENING, QUICK, make
from tests.support.fake_nsqd import FakeNsqd

BACKOFF = Backoff(multiplier=0.01)


async def handle(message: Message) -> None:
    """Does what the body says."""
    if message.body in (b"bad", b"requeue"):
        message.requeue(0)
    elif message.body == b"requeue-without-backoff":
        message.requeue(0, backoff=False)
    else:
        message.finish()


@asynccontextmanager
async def handled(nsqd: FakeNsqd, **settings: object) -> AsyncIterator[Consumer]:
    """A consumer that handles what comes."""
    async with make(nsqd.address, attempts=0, **settings) as consumer:
        running = asyncio.create_task(consumer.run(handle))
        yield consumer
        running.cancel()
        await asyncio.wait([running])


async def test_trace_a_failures_and_recovery() -> None:
    async with FakeNsqd() as nsqd, handled(nsqd, max_in_flight=5, backoff=BACKOFF):
        await nsqd.expect(*OPENING, "RDY 5")
        for _ in range(3):
            await nsqd.expect(f"FIN {nsqd.message(b'good')}")
        bad = nsqd.message(b"bad")
        await nsqd.expect("RDY 0", f"REQ {bad} 0", "RDY 1")
        bad = nsqd.message(b"bad")
        await nsqd.expect("RDY 0", f"REQ {bad} 0", "RDY 1")
        good = nsqd.message(b"good")
        await nsqd.expect("RDY 0", f"FIN {good}", "RDY 1")
        good = nsqd.message(b"good")
        await nsqd.expect("RDY 5", f"FIN {good}")


async def test_trace_b_requeues_with_and_without_backoff() -> None:
    async with FakeNsqd() as nsqd, handled(nsqd, max_in_flight=1, backoff=BACKOFF):
        await nsqd.expect(*OPENING, "RDY 1")
        message_id = nsqd.message(b"requeue")
        await nsqd.expect("RDY 0", f"REQ {message_id} 0", "RDY 1")
        message_id = nsqd.message(b"requeue-without-backoff")
        await nsqd.expect("RDY 0", f"REQ {message_id} 0", "RDY 1")
        message_id = nsqd.message(b"good")
        await nsqd.expect(f"FIN {message_id}")


async def test_trace_c_the_level_survives_a_reconnect() -> None:
    async with FakeNsqd() as nsqd, handled(nsqd, max_in_flight=5, backoff=BACKOFF, reconnect=QUICK) as c:
        await nsqd.expect(*OPENING, "RDY 5")
        await nsqd.expect(f"FIN {nsqd.message(b'good')}")
        for _ in range(2):
            message_id = nsqd.message(b"bad")
            await nsqd.expect("RDY 0", f"REQ {message_id} 0", "RDY 1")
        message_id = nsqd.message(b"good")
        await nsqd.expect("RDY 0", f"FIN {message_id}")
        assert c.stats.backoff_level == 1
        nsqd.link.drop()
        await nsqd.until(lambda: nsqd.commands[-1] == "RDY 1" and nsqd.verbs.count("SUB") == 2)
        # the pause may have ended before the connection did
        at = len(nsqd.commands) - 1 - nsqd.commands[::-1].index("IDENTIFY")
        assert nsqd.commands[at:] == [*OPENING, "RDY 1"]
        nsqd._seen = len(nsqd.commands)
        message_id = nsqd.message(b"good")
        await nsqd.expect("RDY 5", f"FIN {message_id}")
        await nsqd.expect(f"FIN {nsqd.message(b'good')}")


async def test_trace_d_pause_and_resume() -> None:
    async with FakeNsqd() as nsqd, handled(nsqd, max_in_flight=5, backoff=BACKOFF) as consumer:
        await nsqd.expect(*OPENING, "RDY 5")
        await nsqd.expect(f"FIN {nsqd.message(b'good')}")
        consumer.pause()
        consumer.pause()
        await nsqd.expect("RDY 0")
        consumer.resume()
        await nsqd.expect("RDY 5")
        consumer.set_max_in_flight(0)
        await nsqd.expect("RDY 0")
        consumer.set_max_in_flight(3)
        await nsqd.expect("RDY 3")


async def test_without_backoff_failures_change_nothing() -> None:
    async with FakeNsqd() as nsqd, handled(nsqd, max_in_flight=5, backoff=None) as consumer:
        await nsqd.expect(*OPENING, "RDY 5")
        for _ in range(3):
            await nsqd.expect(f"REQ {nsqd.message(b'bad')} 0")
        assert consumer.stats.backoff_level == 0


async def test_what_was_received_before_a_pause_is_handled_and_not_counted() -> None:
    async with (
        FakeNsqd() as nsqd,
        handled(nsqd, max_in_flight=5, backoff=Backoff(multiplier=100)) as consumer,
    ):
        await nsqd.expect(*OPENING, "RDY 5")
        ids = [nsqd.message(b"bad") for _ in range(3)]
        await nsqd.expect("RDY 0", *[f"REQ {i} 0" for i in ids])
        assert consumer.stats.backoff_level == 1


async def test_giving_up_a_failed_message_counts_as_a_failure() -> None:
    async with (
        FakeNsqd() as nsqd,
        make(nsqd.address, attempts=1, backoff=Backoff(multiplier=100)) as consumer,
    ):
        await nsqd.expect(*OPENING, "RDY 1")
        message_id = nsqd.message(b"bad")
        (await consumer.get(timeout=5)).requeue()
        await nsqd.expect("RDY 0", f"FIN {message_id}")
        assert consumer.stats.backoff_level == 1


async def test_pausing_during_backoff_holds_the_test_message_back() -> None:
    async with FakeNsqd() as nsqd, handled(nsqd, max_in_flight=5, backoff=BACKOFF) as consumer:
        await nsqd.expect(*OPENING, "RDY 5")
        message_id = nsqd.message(b"bad")
        await nsqd.expect("RDY 0", f"REQ {message_id} 0", "RDY 1")
        consumer.pause()
        await nsqd.expect("RDY 0")
        consumer.resume()
        await nsqd.expect("RDY 1")


async def test_it_may_be_paused_before_it_starts() -> None:
    async with FakeNsqd() as nsqd:
        consumer = make(nsqd.address, max_in_flight=5)
        consumer.pause()
        async with consumer:
            nsqd.link.heartbeat()
            await nsqd.until(lambda: nsqd.link.nops == 1)
            await nsqd.expect(*OPENING)
            consumer.resume()
            await nsqd.expect("RDY 5")


async def test_rdy_is_cut_to_what_nsqd_allows() -> None:
    async with FakeNsqd(max_rdy_count=20) as nsqd, make(nsqd.address, max_in_flight=50):
        await nsqd.expect(*OPENING, "RDY 20")


async def test_a_consumer_whose_flow_breaks_fails(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cause = LookupError("a bug")

    def broken(*args: object, **settings: object) -> None:
        raise cause

    async with FakeNsqd() as nsqd, make(nsqd.address, backoff=BACKOFF) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        message_id = nsqd.message()
        (await consumer.get(timeout=5)).requeue(0)
        await nsqd.expect("RDY 0", f"REQ {message_id} 0")
        monkeypatch.setattr("nsqclient.consumer.ready.plan", broken)  # when the pause ends
        with pytest.raises(Closed) as caught:
            await consumer.get(timeout=5)
        assert caught.value.__cause__ is cause
    assert "the consumer failed" in caplog.text


def test_a_negative_cap_is_refused() -> None:
    with pytest.raises(ConfigError):
        make("127.0.0.1:1").set_max_in_flight(-1)
