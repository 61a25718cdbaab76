"""Apps are tested in memory."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from nsqclient import App, Closed, CodecError, ConfigError, Message, codecs
from nsqclient.content.codecs import Codec
from nsqclient.testing import FakeCluster


@dataclass
class Order:
    name: str
    amount: int = 1


@dataclass
class Invoice:
    text: str


app = App("127.0.0.1:1")


@app.on("orders", channel="billing", concurrency=2)
@app.publishes("invoices")
async def bill(order: Order) -> Invoice | None:
    if order.amount < 0:
        raise ArithmeticError(f"{order.amount} {order.name}s")
    return Invoice(f"{order.amount} x {order.name}")


@app.on("invoices", channel="archive")
async def archive(invoice: Invoice, msg: Message) -> None:
    assert msg.topic == "invoices"


@app.on("orders", channel="watch")
async def watch(msg: Message) -> None: ...


async def test_handlers_have_run_when_publish_returns() -> None:
    async with app.test() as t:
        await t.publish("orders", Order("book", 2))
        await t.publish("orders", {"name": "pen"})
        assert bill.calls == [Order("book", 2), Order("pen")]
        assert archive.calls == [Invoice("2 x book"), Invoice("1 x pen")]
        assert watch.calls == [b'{"name":"book","amount":2}', b'{"name":"pen"}']
        assert t.published("invoices", Invoice) == archive.calls
        assert t.published("orders")[1] == b'{"name":"pen"}'


@pytest.mark.parametrize("codec", [codecs.json, codecs.msgpack, codecs.auto])
async def test_what_was_published_is_there_as_it_is_and_as_what_it_means(codec: Codec) -> None:
    own = App("127.0.0.1:1", codec=codec, headers="auto")

    @own.on("orders", channel="billing")
    @own.publishes("invoices")
    async def bill(order: Order) -> Invoice:
        return Invoice(order.name)

    async with own.test() as t:
        await t.publish("orders", Order("book"))
        assert t.published("invoices") == [codec.encode(Invoice("book"))]
        assert t.published("invoices", Invoice) == [Invoice("book")]


async def test_each_test_begins_without_calls() -> None:
    async with app.test():
        assert bill.calls == []


async def test_what_a_handler_raises_is_raised_in_the_test() -> None:
    async with app.test() as t:
        with pytest.raises(ArithmeticError, match="-1 books"):
            await t.publish("orders", Order("book", -1))
        assert t.cluster.deferred("orders", "billing") == 1
        await t.publish("orders", Order("book"))


async def test_what_several_handlers_raise_is_raised_together() -> None:
    async with app.test() as t:
        for name in ("a", "b"):
            await app.producer.publish("orders", b'{"name": "%b", "amount": -1}' % name.encode())
        with pytest.raises(ExceptionGroup, match="2 calls") as raised:
            await t.settle()
        assert {str(error) for error in raised.value.exceptions} == {"-1 as", "-1 bs"}


async def test_a_body_that_can_not_be_read_is_raised_too() -> None:
    async with app.test() as t:
        with pytest.raises(CodecError):
            await t.publish("orders", b"no json")


async def fail_unnoticed(error: Exception | None = None) -> None:
    async with app.test() as t:
        await app.producer.publish("orders", b'{"name": "book", "amount": -2}')
        await t.cluster.wait_until_idle()
        if error is not None:
            raise error


async def test_what_was_not_raised_yet_is_raised_at_the_end() -> None:
    with pytest.raises(ArithmeticError, match="-2 books"):
        await fail_unnoticed()


async def test_what_the_test_raises_is_not_replaced() -> None:
    with pytest.raises(LookupError):
        await fail_unnoticed(LookupError())


async def test_time_can_be_moved_to_the_next_attempt() -> None:
    own = App("127.0.0.1:1")

    @own.on("t", channel="c")
    async def second_time_lucky(body: bytes, msg: Message) -> None:
        if msg.attempts == 1:
            raise ValueError("not yet")

    async with own.test() as t:
        with pytest.raises(ValueError, match="not yet"):
            await t.publish("t", b"x")
        await t.clock.advance(90)
        await t.settle()
        assert second_time_lucky.calls == [b"x", b"x"]
        await t.publish("t", b"later", delay=10)
        assert len(second_time_lucky.calls) == 2


async def test_hooks_run_and_the_app_is_open() -> None:
    own, seen = App("127.0.0.1:1"), []
    own.on("t", channel="c")(bill.__wrapped__)
    own.on_startup(lambda: seen.append("on_startup"))
    own.after_shutdown(lambda: seen.append("after_shutdown"))
    async with own.test():
        assert own.health().ready
        with pytest.raises(Closed, match="open already"):
            await own.__aenter__()
    assert seen == ["on_startup", "after_shutdown"]
    assert own.health().phase == "new"


async def test_a_cluster_of_ones_own_may_be_used() -> None:
    async with FakeCluster(nodes=3) as cluster:
        async with app.test(cluster) as t:
            for _ in range(3):
                await t.publish("orders", Order("book"))
        assert len(bill.calls) == 3
        assert [len(node.published("orders")) for node in cluster.nodes] == [1, 1, 1]


async def test_a_handler_that_hangs_fails_the_test_in_time() -> None:
    own = App("127.0.0.1:1")
    cancelled = asyncio.Event()

    @own.on("t", channel="c")
    async def hang(body: bytes) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with pytest.raises(AssertionError):
        async with own.test() as t:
            await t.publish("t", b"x", timeout=0.05)
    assert cancelled.is_set()


async def test_a_test_is_used_once_and_within_its_block() -> None:
    t = app.test()
    with pytest.raises(Closed, match="not open"):
        await t.publish("orders", b"x")
    async with t:
        pass
    with pytest.raises(ConfigError, match="used once"):
        await t.__aenter__()
