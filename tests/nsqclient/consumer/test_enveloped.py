from __future__ import annotations

import logging
from dataclasses import dataclass

import pytest

from nsqclient import CodecError, ConfigError, Consumer, Failures, Producer, codecs
from nsqclient.content.envelope import MAGIC, wrap
from nsqclient.testing import FakeCluster


@dataclass
class Order:
    id: int


async def test_headers_are_taken_off_and_told() -> None:
    async with FakeCluster(1) as cluster, Producer(cluster) as producer:
        await producer.publish("t", wrap({"message-key": "k", "a": "b"}, b"[1]"))
        async with Consumer("t", "c", cluster, headers="auto") as consumer, await consumer.get(5) as message:
            assert message.body == b"[1]"
            assert message.headers == {"message-key": "k", "a": "b"}
            assert message.key == "k"
            assert message.decode(list[int]) == message.json() == [1]


async def test_a_body_without_an_envelope_is_as_it_came() -> None:
    async with FakeCluster(1) as cluster, Producer(cluster) as producer:
        await producer.publish("t", b"plain")
        async with Consumer("t", "c", cluster, headers="auto") as consumer, await consumer.get(5) as message:
            assert (message.body, dict(message.headers), message.key) == (b"plain", {}, None)


async def test_without_the_switch_the_envelope_is_the_body() -> None:
    body = wrap({"a": "b"}, b"x")
    async with FakeCluster(1) as cluster, Producer(cluster) as producer:
        await producer.publish("t", body)
        async with Consumer("t", "c", cluster) as consumer, await consumer.get(5) as message:
            assert (message.body, dict(message.headers), message.key) == (body, {}, None)


async def test_the_codec_decodes_and_the_header_tells_auto() -> None:
    packed = codecs.msgpack.encode(Order(1))
    async with FakeCluster(1) as cluster, Producer(cluster) as producer:
        await producer.publish("t", wrap({"content-type": "application/msgpack"}, packed))
        async with Consumer("t", "c", cluster, headers="auto") as consumer, await consumer.get(5) as message:
            assert message.decode(Order) == Order(1)
        await producer.publish("u", packed)
        async with (
            Consumer("u", "c", cluster, codec=codecs.msgpack) as consumer,
            await consumer.get(5) as message,
        ):
            assert message.decode(Order) == Order(1)
            with pytest.raises(CodecError, match="expected JSON"):
                message.json()


async def test_a_broken_envelope_fails_and_is_not_handed_out(caplog: pytest.LogCaptureFixture) -> None:
    errors: list[BaseException | None] = []

    async def give_up(message: object, error: BaseException | None) -> None:
        errors.append(error)

    failures = Failures(attempts=1, give_up=give_up)
    async with FakeCluster(1) as cluster, Producer(cluster) as producer:
        await producer.publish("t", MAGIC + b"\x07")
        await producer.publish("t", b"good")
        async with Consumer("t", "c", cluster, headers="auto", failures=failures, flow=None) as consumer:
            with caplog.at_level(logging.CRITICAL):
                async with await consumer.get(5) as message:
                    assert message.body == b"good"
            assert (consumer.stats.given_up, consumer.stats.broken) == (1, 1)
    assert [type(error).__name__ for error in errors] == ["EnvelopeError"]


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ConfigError, match="always"):
        Consumer("t", "c", "127.0.0.1:1", headers="always")  # type: ignore[arg-type]
