"""What goes along with a message: encoded values, headers, keys, the scope around."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

import nsqclient
from nsqclient import Batch, CodecError, ConfigError, InvalidName, Producer, PublishTimeout, RetryPolicy
from nsqclient.content import codecs
from nsqclient.content.envelope import unwrap
from nsqclient.content.propagation import propagate
from tests.nsqclient.producers import QUICK, start, until
from tests.support.fake_nsqd import FakeNsqd, drop, refuse, silence


@dataclass
class Order:
    number: int


async def test_values_are_encoded_and_bytes_are_not_touched() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address) as producer:
        for value in (b"\xff", bytearray(b"b"), "text", Order(7), [1]):
            await producer.publish("t", value)
        await producer.publish_many("t", [Order(1), b"raw"])
        assert nsqd.bodies == [b"\xff", b"b", b"text", b'{"number":7}', b"[1]", b'{"number":1}', b"raw"]


async def test_a_codec_of_ones_own_is_not_asked_about_bytes() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address, codec=codecs.json) as producer:
        await producer.publish("t", "text")
        await producer.publish("t", b"raw")
        assert nsqd.bodies == [b'"text"', b"raw"]


async def test_what_can_not_be_encoded_is_refused_before_a_byte_is_sent() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address, codec=codecs.text) as producer:
        with pytest.raises(CodecError):
            await producer.submit("t", 5)
        assert producer.stats.pending == 0


async def test_headers_and_a_key_travel_in_an_envelope() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address, headers="auto") as producer:
        receipt = await producer.publish("t", "text", headers={"tenant": "a"}, key="k")
        headers, payload = unwrap(nsqd.bodies[0])
        assert payload == b"text"
        assert (headers["tenant"], headers["message-key"]) == ("a", "k")
        assert headers["content-type"].startswith("text/plain")
        assert receipt.message_key == "k"


async def test_without_anything_to_send_along_there_is_no_envelope_unless_always() -> None:
    async with FakeNsqd() as nsqd:
        async with Producer(nsqd.address, headers="auto") as producer:
            await producer.publish("t", b"plain")
        async with Producer(nsqd.address, headers="always") as producer:
            await producer.publish("t", b"wrapped")
            await producer.publish_many("t", [b"1", b"2"], headers={"a": "b"})
        assert nsqd.bodies[0] == b"plain"
        assert [unwrap(body)[1] for body in nsqd.bodies] == [b"plain", b"wrapped", b"1", b"2"]
        assert unwrap(nsqd.bodies[3])[0]["a"] == "b"


@pytest.mark.parametrize("more", [{"headers": {"a": "b"}}, {"key": "k"}])
async def test_headers_that_are_switched_off_are_an_error_that_names_the_switch(
    more: dict[str, Any],
) -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address) as producer:
        for call in (producer.publish, producer.submit):
            with pytest.raises(ConfigError, match='headers="auto"'):
                await call("t", b"x", **more)
        with pytest.raises(ConfigError, match='headers="auto"'):
            producer.submit_nowait("t", b"x", **more)
        assert producer.stats.pending == 0


async def test_names_and_delays_are_checked_with_headers_too() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address, headers="always") as producer:
        with pytest.raises(InvalidName):
            await producer.publish("bad name", b"x")
        with pytest.raises(InvalidName):
            await producer.publish_many("bad name", [b"x"])
        with pytest.raises(nsqclient.DelayOutOfRange):
            await producer.publish("t", b"x", delay=-1)
        with pytest.raises(TypeError):
            await producer.publish_many("t", "text")
        await producer.publish("t", b"x", delay=1.5, headers={"a": "b"})
        assert nsqd.commands[-1].startswith("DPUB t 1500 ")


async def test_the_key_makes_a_lost_answer_harmless() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address, headers="auto", retry=QUICK) as producer:
        nsqd.script("PUB", drop)
        receipt = await producer.publish("t", b"x", key="k")
        assert receipt.attempts == 2
        assert nsqd.bodies[0] == nsqd.bodies[1]


async def test_values_of_the_scope_travel_when_declared() -> None:
    propagate("tenant")
    async with FakeNsqd() as nsqd, Producer(nsqd.address, headers="auto") as producer:
        async with nsqclient.scope(tenant="acme", secret="s"):
            await producer.publish("t", b"x")
        headers = unwrap(nsqd.bodies[0])[0]
        assert headers["value-tenant"] == "acme"
        assert "value-secret" not in headers


async def test_the_wait_is_limited_by_the_scope() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address, close_timeout=0) as producer:
        nsqd.always("PUB", silence)
        async with nsqclient.scope(timeout=0.05):
            delivery = await producer.submit("t", b"x", timeout=60)
        with pytest.raises(PublishTimeout):
            await delivery
        loop = asyncio.get_running_loop()
        begun = loop.time()
        with pytest.raises(nsqclient.DeadlineExceeded):
            async with nsqclient.scope(timeout=0.05):
                await producer.publish("t", b"x", timeout=60)
        assert loop.time() - begun < 5


async def test_nothing_is_sent_when_the_scope_is_over() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address) as producer:
        await until(lambda: producer.stats.connections == 1)

        async def work() -> None:
            async with nsqclient.scope(timeout=0):
                with pytest.raises(PublishTimeout, match="time is over") as caught:
                    producer.submit_nowait("t", b"x")
                assert caught.value.outcome == "not_sent"
                await asyncio.sleep(1)

        with pytest.raises(nsqclient.DeadlineExceeded):
            await work()
        assert "PUB" not in nsqd.verbs


@pytest.mark.parametrize("batched", [False, True])
async def test_a_deadline_that_travels_is_stamped_anew_for_each_attempt(batched: bool) -> None:
    batch = Batch(linger=0.001) if batched else None
    retry = RetryPolicy(on_unknown="retry", backoff=QUICK.backoff)
    async with FakeNsqd() as nsqd:
        async with Producer(nsqd.address, headers="auto", batch=batch, retry=retry) as producer:
            verb = "MPUB" if batched else "PUB"
            nsqd.script(verb, silence)
            async with nsqclient.scope(timeout=60, propagate_deadline=True):
                tasks = start(producer, b"1", b"2") if batched else start(producer, b"1")
                await nsqd.until(lambda: verb in nsqd.verbs)
                await asyncio.sleep(0.02)
                nsqd.link.drop()
                await asyncio.gather(*tasks)
        count = len(tasks)
        first, second = (
            [int(unwrap(b)[0]["deadline-ms"]) for b in nsqd.bodies[i : i + count]] for i in (0, count)
        )
        for before, after in zip(first, second, strict=True):
            assert 0 < after <= before - 20 <= 60_000


async def test_a_refused_batch_falls_into_messages_with_their_deadlines() -> None:
    async with FakeNsqd() as nsqd:
        async with Producer(nsqd.address, headers="auto", batch=Batch(), retry=QUICK) as producer:
            nsqd.script("MPUB", refuse("E_BAD_MESSAGE MPUB no"))
            async with nsqclient.scope(timeout=60, propagate_deadline=True):
                await asyncio.gather(*start(producer, b"1", b"2"))
        assert [unwrap(body)[1] for body in nsqd.bodies] == [b"1", b"2", b"1", b"2"]
        assert all("deadline-ms" in unwrap(body)[0] for body in nsqd.bodies)


async def test_headers_and_batches_go_together() -> None:
    async with FakeNsqd() as nsqd:
        async with Producer(nsqd.address, headers="auto", batch=Batch(linger=0.002)) as producer:
            await asyncio.gather(*(producer.publish("t", b"%d" % n, key=str(n)) for n in range(3)))
        assert nsqd.verbs[-1] == "MPUB"
        assert [unwrap(body)[0]["message-key"] for body in nsqd.bodies] == ["0", "1", "2"]


async def test_many_topics_are_forgotten_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nsqclient.producer.composing.KNOWN_TOPICS", 3)
    async with FakeNsqd() as nsqd, Producer(nsqd.address) as producer:
        for n in range(10):
            await producer.publish(f"t{n}", b"x")
        assert len(producer._composed._prefixes) <= 3
        assert nsqd.commands[-1] == "PUB t9 x"


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="headers"):
        Producer("127.0.0.1:1", headers="sometimes")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="reports"):
        Producer("127.0.0.1:1", reports="some")  # type: ignore[arg-type]
