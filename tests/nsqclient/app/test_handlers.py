"""All kinds of handlers: plain functions, batches, with middleware, failing and deciding."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from nsqclient import (
    App,
    BatchOf,
    CodecError,
    ConnectionOptions,
    DeadLetter,
    Dedup,
    Drop,
    Failures,
    MemoryStore,
    Message,
    Outgoing,
    Receipt,
    Retry,
    Router,
    Tls,
    codecs,
    propagate,
    scope,
)
from nsqclient.app.trial import Trial
from nsqclient.testing import FakeCluster

Next = Callable[[Message], Awaitable[object]]


@dataclass
class Order:
    name: str
    amount: int = 1


def bodies(*names: str) -> list[bytes]:
    return [b'{"name":"%b"}' % name.encode() for name in names]


async def publish_all(t: Trial, topic: str, bodies: list[bytes]) -> None:
    app_producer = t.producer
    await app_producer.publish_many(topic, bodies)
    await t.settle()


# ---- plain functions


async def test_a_plain_function_runs_in_a_thread_and_its_result_is_published() -> None:
    app = App("n:4150")
    threads: set[int] = set()

    @app.on("orders", channel="c", concurrency=2)
    @app.publishes("invoices")
    def bill(order: Order, msg: Message) -> str:
        threads.add(threading.get_ident())
        assert msg.topic == "orders"
        return f"{order.amount} x {order.name}"

    async with app.test() as t:
        await t.publish("orders", Order("book"))
        assert bill.calls == [Order("book")]
        assert t.published("invoices", str) == ["1 x book"]
    assert threading.get_ident() not in threads


async def test_a_plain_function_that_raises_fails_its_message() -> None:
    app = App("n:4150")

    @app.on("t", channel="c")
    @app.publishes("never")
    def fail(body: bytes) -> bytes:
        raise ArithmeticError("no")

    async with app.test() as t:
        with pytest.raises(ArithmeticError):
            await t.publish("t", b"x")
        assert t.cluster.deferred("t", "c") == 1
        assert t.published("never") == []


async def test_a_plain_function_for_batches_runs_in_a_thread_too() -> None:
    app = App("n:4150", failures=Failures(dead_letter="dead"))

    @app.on("t", channel="c", batch=BatchOf(3, linger=0.01))
    @app.publishes("out")
    def index(batch: list[Order], messages: list[Message]) -> list[str]:
        assert len(batch) == len(messages)
        return [order.name for order in batch]

    async with app.test() as t:
        await publish_all(t, "t", [*bodies("a", "b"), b"no json"])
        assert t.published("out", str) == ["a", "b"]
        assert t.published("dead") == [b"no json"]


# ---- batches


async def test_a_handler_of_batches_gets_several_payloads_at_a_time() -> None:
    app = App("n:4150")

    @app.on("t", channel="c", batch=BatchOf(3, linger=0.01))
    async def index(batch: list[Order]) -> None: ...

    async with app.test() as t:
        await publish_all(t, "t", bodies("a", "b", "c", "d"))
        assert sorted(len(batch) for batch in index.calls if isinstance(batch, list)) == [1, 3]
        assert t.cluster.depth("t", "c") == 0


async def test_a_handler_of_batches_may_answer_messages_by_itself() -> None:
    app = App("n:4150")

    @app.on("t", channel="c", batch=BatchOf(2, linger=0.01))
    async def index(batch: list[Message]) -> None:
        batch[0].requeue(60, backoff=False)

    async with app.test() as t:
        await publish_all(t, "t", [b"1", b"2"])
        assert index.calls == [[b"1", b"2"]]
        assert t.cluster.deferred("t", "c") == 1


async def test_what_can_not_be_read_does_not_spoil_its_batch() -> None:
    app = App("n:4150")

    @app.on("t", channel="c", batch=BatchOf(3, linger=0.01))
    async def index(batch: list[Order]) -> None: ...

    async with app.test() as t:
        with pytest.raises(CodecError, match="not what the handler takes"):
            await publish_all(t, "t", [*bodies("a", "b"), b"no json"])
        assert index.calls == [[Order("a"), Order("b")]]
        assert (t.cluster.deferred("t", "c"), t.cluster.in_flight("t", "c")) == (1, 0)


async def test_a_batch_of_which_nothing_can_be_read_makes_no_call() -> None:
    app = App("n:4150", failures=Failures(dead_letter="dead"))

    @app.on("t", channel="c", batch=BatchOf(2, linger=0.01))
    async def index(batch: list[Order]) -> None: ...

    async with app.test() as t:
        await publish_all(t, "t", [b"1", b"2"])
        assert index.calls == []
        assert sorted(t.published("dead")) == [b"1", b"2"]


async def test_a_batch_that_fails_comes_again_as_a_whole() -> None:
    app = App("n:4150")

    @app.on("t", channel="c", batch=BatchOf(2, linger=0.01))
    async def index(batch: list[bytes]) -> None:
        raise ArithmeticError

    async with app.test() as t:
        with pytest.raises(ArithmeticError):
            await publish_all(t, "t", [b"1", b"2"])
        assert t.cluster.deferred("t", "c") == 2


# ---- what fails


async def test_a_body_that_can_not_be_read_becomes_a_dead_letter_at_once() -> None:
    app = App("n:4150", headers="auto")

    @app.on("t", channel="c", dead_letter="dead")
    async def handle(order: Order) -> None: ...

    @app.on("dead", channel="c")
    async def bury(msg: Message) -> None:
        assert msg.headers["nsq-topic"] == "t"
        assert "not what the handler takes (Order)" in msg.headers["nsq-error"]

    async with app.test() as t:
        await t.publish("t", b"no json")
        assert (handle.calls, bury.calls) == ([], [b"no json"])


async def test_a_handler_decides_by_raising() -> None:
    app = App("n:4150")

    @app.on("t", channel="c", dead_letter="dead")
    async def handle(body: bytes) -> None:
        raise {b"drop": Drop("no use"), b"dead": DeadLetter("no such"), b"retry": Retry(after=30)}[body]

    async with app.test() as t:
        for body in (b"drop", b"dead", b"retry"):
            await t.publish("t", body)
        assert t.published("dead") == [b"dead"]
        assert t.cluster.deferred("t", "c") == 1
        await t.clock.advance(30)
        await t.settle()
        assert handle.calls == [b"drop", b"dead", b"retry", b"retry"]


async def test_a_message_that_fails_too_often_is_published_by_the_apps_producer() -> None:
    app = App("n:4150", failures=Failures(attempts=1, dead_letter="dead"))

    @app.on("t", channel="c")
    async def handle(body: bytes) -> None:
        raise ArithmeticError

    async with app.test() as t:
        with pytest.raises(ArithmeticError):
            await t.publish("t", b"x")
        assert t.published("dead") == [b"x"]
        assert t.producer.stats.stored == 2


async def test_a_handler_that_takes_too_long_is_cancelled_and_fails() -> None:
    app = App("n:4150")

    @app.on("t", channel="c", timeout=5)
    async def handle(body: bytes) -> None:
        await asyncio.Event().wait()

    async with FakeCluster(nodes=1, frozen=True) as cluster, app.test(cluster) as t:
        await t.producer.publish("t", b"x")
        await t.clock.advance(5)
        await t.settle()
        assert t.cluster.deferred("t", "c") == 1


async def test_a_duplicate_is_not_handled() -> None:
    app = App("n:4150", headers="auto")

    @app.on("t", channel="c", dedup=Dedup(MemoryStore()))
    async def handle(body: bytes) -> None: ...

    async with app.test() as t:
        for _ in range(2):
            await t.publish("t", b"x", key="one")
        await t.publish("t", b"x", key="two")
        assert handle.calls == [b"x", b"x"]


# ---- around


async def test_middleware_of_app_router_and_handler_are_within_each_other() -> None:
    seen: list[str] = []

    def note(name: str) -> Callable[[Next, Message], Awaitable[object]]:
        async def around(call_next: Next, message: Message) -> object:
            seen.append(name)
            result = await call_next(message)
            seen.append(f"{name} got {result!r}")
            return result

        return around

    app = App("n:4150", around=[note("app")])
    router = Router(around=[note("router")])

    @router.on("t", channel="c", around=[note("handler")])
    @router.publishes("out")
    async def handle(body: bytes) -> str:
        return "done"

    @app.on("own", channel="c")
    async def own(body: bytes) -> None: ...

    app.include(router)
    async with app.test() as t:
        await t.publish("t", b"x")
        assert seen == [
            "app",
            "router",
            "handler",
            "handler got 'done'",
            "router got 'done'",
            "app got 'done'",
        ]
        seen.clear()
        await t.publish("own", b"x")
        assert seen == ["app", "app got None"]


async def test_middleware_of_publishing_sees_what_handlers_return() -> None:
    seen: list[object] = []

    async def around(call_next: Callable[[Outgoing], Awaitable[Receipt]], outgoing: Outgoing) -> Receipt:
        seen.append((outgoing.topic, outgoing.value))
        return await call_next(outgoing)

    app = App("n:4150", around_publish=[around])

    @app.on("t", channel="c")
    @app.publishes("out")
    async def handle(body: bytes) -> Order:
        return Order("book")

    async with app.test() as t:
        await t.publish("t", b"x")
    assert seen == [("t", b"x"), ("out", Order("book"))]


async def test_declared_values_travel_through_handlers() -> None:
    propagate("tenant")
    app = App("n:4150", headers="auto")
    seen: list[object] = []

    @app.on("t", channel="c")
    @app.publishes("out")
    async def first(body: bytes) -> bytes:
        return body

    @app.on("out", channel="c")
    async def second(body: bytes) -> None:
        seen.append(scope.get("tenant"))

    async with app.test() as t, scope(tenant="acme"):
        await t.publish("t", b"x")
    assert seen == ["acme"]


# ---- settings


async def test_a_codec_may_be_the_apps_or_the_handlers() -> None:
    app = App("n:4150", codec=codecs.msgpack)

    @app.on("t", channel="c")
    async def packed(order: Order) -> None: ...

    @app.on("u", channel="c", codec=codecs.json)
    async def spelled(order: Order) -> None: ...

    async with app.test() as t:
        await t.publish("t", Order("book"))
        await t.publish("u", b'{"name": "pen"}')
        assert packed.calls == [Order("book")]
        assert spelled.calls == [Order("pen")]
        assert t.published("t", Order) == [Order("book")]


async def test_a_test_needs_no_certificates_and_secrets_but_keeps_other_options() -> None:
    options = ConnectionOptions(tls=Tls(), auth="secret", compress="snappy", msg_timeout=7)
    app = App("n:4150", options=options)

    @app.on("t", channel="c")
    async def handle(msg: Message) -> None:
        assert 6 < msg.time_left() <= 7

    @app.on("t", channel="slow", options=ConnectionOptions(msg_timeout=70, tls=Tls()))
    async def handle_slowly(msg: Message) -> None:
        assert 69 < msg.time_left() <= 70

    async with app.test() as t:
        await t.publish("t", b"x")
        assert len(handle.calls + handle_slowly.calls) == 2
