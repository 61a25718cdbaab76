"""An app subscribes, calls, publishes, and ends in order."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from nsqclient import App, Closed, ConfigError, Message, Router, SubscribeRefused
from tests.nsqclient.app.links import Subscribed
from tests.support.fake_nsqd import FakeNsqd, drop, refuse, silence


@dataclass
class Order:
    name: str
    amount: int = 1


@pytest.fixture
async def server() -> AsyncIterator[FakeNsqd]:
    async with FakeNsqd() as server:
        yield server


def published(server: FakeNsqd) -> list[str]:
    return [command for command in server.commands if command.startswith("PUB")]


# ---- handling


async def test_a_handler_gets_the_payload_as_the_type_it_asks_for(server: FakeNsqd) -> None:
    app = App(server.address)
    got: list[object] = []

    @app.on("t", channel="c")
    async def handle(order: Order, msg: Message) -> None:
        got.append((order, msg.attempts))

    async with app:
        there = Subscribed(server)
        number = there.send(b'{"name": "book", "amount": 2}', attempts=3)
        await there.answered(f"FIN {number}")
    assert got == [(Order("book", 2), 3)]


async def test_handlers_may_take_the_body_as_it_is_or_the_message_alone(server: FakeNsqd) -> None:
    app = App(server.address)
    got: list[bytes] = []

    @app.on("t", channel="raw")
    async def raw(body: bytes) -> None:
        got.append(body)

    @app.on("t", channel="message")
    async def message(msg: Message) -> None:
        got.append(msg.body)

    async with app:
        for channel in ("raw", "message"):
            there = Subscribed(server, channel=channel)
            await there.answered(f"FIN {there.send(b'not json')}")
    assert got == [b"not json", b"not json"]


async def test_what_a_handler_returns_is_published_before_its_message_is_finished(server: FakeNsqd) -> None:
    app = App(server.address)

    @app.on("t", channel="c")
    @app.publishes("invoices")
    async def invoice(order: Order) -> Order | None:
        return Order(order.name, 2 * order.amount) if order.amount else None

    async with app:
        there = Subscribed(server)
        server.script("PUB", silence)
        number = there.send(b'{"name": "a", "amount": 2}')
        await server.until(lambda: bool(published(server)))
        assert f"FIN {number}" not in there.commands
        [producing] = [link for link in server.links if published(server)[0] in link.commands]
        producing.ok()
        await there.answered(f"FIN {number}")
        nothing = there.send(b'{"name": "b", "amount": 0}')
        await there.answered(f"FIN {nothing}")
    assert published(server) == ['PUB invoices {"name":"a","amount":4}']


async def test_a_message_fails_when_its_result_can_not_be_published(server: FakeNsqd) -> None:
    app = App(server.address, publish_timeout=5)
    server.always("PUB", refuse("E_BAD_TOPIC no"))

    @app.on("t", channel="c", backoff=None)
    @app.publishes("invoices")
    async def invoice(body: bytes) -> bytes:
        return body

    async with app:
        there = Subscribed(server)
        number = there.send(b"x")
        await there.answered(f"REQ {number} 90000")


async def test_a_body_of_another_shape_fails_without_a_call(server: FakeNsqd) -> None:
    app = App(server.address)

    @app.on("t", channel="c", backoff=None)
    async def handle(order: Order) -> None:
        raise AssertionError("called")

    async with app:
        there = Subscribed(server)
        first, second = there.send(b"no json"), there.send(b'{"amount": 2}')
        await there.answered(f"REQ {first} 90000", f"REQ {second} 90000")


async def test_as_many_handlers_run_at_a_time_as_are_asked_for(server: FakeNsqd) -> None:
    app = App(server.address)
    go, running = asyncio.Event(), 0

    @app.on("t", channel="c", concurrency=3)
    async def handle(body: bytes) -> None:
        nonlocal running
        running += 1
        await go.wait()

    async with app:
        there = Subscribed(server)
        await there.answered("RDY 6")
        numbers = [there.send(b"x") for _ in range(6)]
        while app.consumers["t", "c"].stats.received < 6:  # noqa: ASYNC110 - a snapshot has no event
            await asyncio.sleep(0.001)
        assert running == 3
        go.set()
        await there.answered(*(f"FIN {number}" for number in numbers))


async def test_the_producer_can_be_used_in_handlers_and_outside(server: FakeNsqd) -> None:
    app = App(server.address)

    @app.on("t", channel="c")
    async def handle(body: bytes) -> None:
        await app.producer.publish("copies", body)

    with pytest.raises(Closed, match="not open"):
        _ = app.producer
    async with app:
        await app.producer.publish("t", b"y")
        there = Subscribed(server)
        await there.answered(f"FIN {there.send(b'x')}")
    assert published(server) == ["PUB t y", "PUB copies x"]
    with pytest.raises(Closed, match="not open"):
        _ = app.producer


# ---- start and end


async def test_hooks_are_called_around_the_start_and_the_end(server: FakeNsqd) -> None:
    app = App(server.address)
    seen: list[str] = []
    app.on("t", channel="c")(_nothing)

    @app.on_startup
    def prepare() -> None:
        seen.append(f"on_startup links={len(server.links)}")

    @app.after_startup
    async def greet() -> None:
        await app.producer.publish("hello", b"x")
        seen.append(f"after_startup subscribed={'SUB t c' in server.commands}")

    @app.on_shutdown
    async def say_goodbye() -> None:
        await app.producer.publish("goodbye", b"x")
        seen.append(f"on_shutdown closing={'CLS' in server.commands}")

    @app.after_shutdown
    async def clean() -> None:
        seen.append(f"after_shutdown closing={'CLS' in server.commands}")

    async with app:
        seen.append("open")
    assert seen == [
        "on_startup links=0",
        "after_startup subscribed=True",
        "open",
        "on_shutdown closing=False",
        "after_shutdown closing=True",
    ]
    assert prepare.__name__ == "prepare"


async def test_a_start_that_fails_undoes_itself(server: FakeNsqd) -> None:
    app = App(server.address)
    seen: list[str] = []
    app.on("t", channel="c")(_nothing)
    app.on("t", channel="other")(_nothing)
    app.on_shutdown(lambda: seen.append("on_shutdown"))
    app.after_shutdown(lambda: seen.append("after_shutdown"))

    @app.after_startup
    async def fail() -> None:
        raise LookupError("no table")

    with pytest.raises(LookupError, match="no table"):
        await app.__aenter__()
    assert seen == ["on_shutdown", "after_shutdown"]
    await server.until(lambda: all(link.gone.is_set() for link in server.links))
    assert server.verbs.count("CLS") == 2


async def test_a_subscription_that_is_refused_fails_the_start_and_is_named(server: FakeNsqd) -> None:
    server.always("SUB", refuse("E_SUB_FAILED too many channel consumers"))
    app = App(server.address)
    app.on("t", channel="c")(_nothing)
    with pytest.raises(SubscribeRefused) as refused:
        await app.__aenter__()
    assert any("subscription t/c" in note for note in refused.value.__notes__)
    await server.until(lambda: all(link.gone.is_set() for link in server.links))


async def test_cancelling_the_start_undoes_it(server: FakeNsqd) -> None:
    server.always("SUB", silence)
    app = App(server.address)
    app.on("t", channel="c")(_nothing)
    starting = asyncio.create_task(app.__aenter__())
    await server.until(lambda: "SUB t c" in server.commands)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await server.until(lambda: all(link.gone.is_set() for link in server.links))


async def test_an_app_without_handlers_does_not_start() -> None:
    with pytest.raises(ConfigError, match="no handlers"):
        await App("n:4150").__aenter__()


async def test_an_app_is_opened_once_at_a_time_and_again_later(server: FakeNsqd) -> None:
    app = App(server.address)
    app.on("t", channel="c")(_nothing)
    async with app:
        with pytest.raises(Closed, match="open already"):
            await app.__aenter__()
    async with app:
        there = Subscribed(server)
        await there.answered(f"FIN {there.send(b'x')}")
    await app.close()


async def test_the_end_waits_for_handlers_and_hands_the_rest_back(server: FakeNsqd) -> None:
    app = App(server.address)
    begun, go = asyncio.Event(), asyncio.Event()

    @app.on("t", channel="c", max_in_flight=2)
    async def handle(body: bytes) -> None:
        begun.set()
        await go.wait()
        await app.producer.publish("done", body)

    async with app:
        there = Subscribed(server)
        first, second = there.send(b"1"), there.send(b"2")
        await begun.wait()
        closing = asyncio.create_task(app.close())
        await there.answered(f"REQ {second} 0")
        assert f"FIN {first}" not in there.commands
        go.set()
        await closing
    assert f"FIN {first}" in there.commands
    assert published(server) == ["PUB done 1"]


async def test_handlers_that_outlast_the_grace_are_cancelled(server: FakeNsqd) -> None:
    app = App(server.address, grace=0)
    begun, ends = asyncio.Event(), []

    @app.on("t", channel="c")
    async def handle(body: bytes) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ends.append("cancelled")

    async with app:
        there = Subscribed(server)
        number = there.send(b"1")
        await begun.wait()
    assert ends == ["cancelled"]
    assert f"REQ {number} 0" in there.commands


async def test_cancelling_the_end_cuts_it_short(server: FakeNsqd) -> None:
    app = App(server.address, grace=1000)
    begun = asyncio.Event()
    ended: list[str] = []

    @app.on("t", channel="c")
    async def handle(body: bytes) -> None:
        begun.set()
        await asyncio.Event().wait()

    app.after_shutdown(lambda: ended.append("after_shutdown"))
    await app.__aenter__()
    there = Subscribed(server)
    number = there.send(b"1")
    await begun.wait()
    closing = asyncio.create_task(app.close())
    await server.until(lambda: "CLS" in server.commands)
    closing.cancel()
    async with asyncio.timeout(10):
        with pytest.raises(asyncio.CancelledError):
            await closing
    assert f"REQ {number} 0" in there.commands
    assert ended == ["after_shutdown"]


@pytest.mark.parametrize("turns", range(6))
async def test_an_end_that_is_cancelled_early_closes_everything_too(server: FakeNsqd, turns: int) -> None:
    app = App(server.address, grace=1000)
    begun = asyncio.Event()

    @app.on("t", channel="c")
    async def handle(body: bytes) -> None:
        begun.set()
        await asyncio.Event().wait()

    await app.__aenter__()
    there = Subscribed(server)
    number = there.send(b"1")
    await begun.wait()
    closing = asyncio.create_task(app.close())
    for _ in range(turns + 1):
        await asyncio.sleep(0)
    closing.cancel()
    async with asyncio.timeout(10):
        with pytest.raises(asyncio.CancelledError):
            await closing
        await there.answered(f"REQ {number} 0")
        await server.until(lambda: all(link.gone.is_set() for link in server.links))


async def test_a_hook_that_hangs_at_the_end_is_cancelled(
    server: FakeNsqd, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nsqclient.app.session.HURRIED", 0.01)
    app = App(server.address, grace=0)
    app.on("t", channel="c")(_nothing)

    @app.on_shutdown
    async def hang() -> None:
        await asyncio.Event().wait()

    async with asyncio.timeout(10), app:
        pass
    assert "the hooks of on_shutdown" in caplog.text


async def test_an_error_of_a_hook_at_the_end_is_raised_when_all_is_closed(server: FakeNsqd) -> None:
    app = App(server.address)
    app.on("t", channel="c")(_nothing)
    seen: list[str] = []
    app.on_shutdown(lambda: 1 / 0)
    app.on_shutdown(lambda: seen.append("second hook"))
    app.after_shutdown(lambda: seen.append("after_shutdown"))
    with pytest.raises(ZeroDivisionError):
        async with app:
            pass
    assert seen == ["second hook", "after_shutdown"]
    await server.until(lambda: all(link.gone.is_set() for link in server.links))


async def test_what_the_block_raises_is_never_replaced(server: FakeNsqd) -> None:
    app = App(server.address)
    app.on("t", channel="c")(_nothing)
    app.on_shutdown(lambda: 1 / 0)
    with pytest.raises(LookupError) as raised:
        async with app:
            raise LookupError("mine")
    assert "ZeroDivisionError" in raised.value.__notes__[0]


# ---- watching


async def test_health_tells_of_every_subscription(server: FakeNsqd) -> None:
    app = App(server.address)
    app.on("t", channel="c")(_nothing)
    assert (app.health().live, app.health().ready, app.health().phase) == (True, False, "new")
    async with app:
        health = app.health()
        assert (health.live, health.ready, health.phase) == (True, True, "open")
        [subscription] = health.subscriptions
        assert (subscription.topic, subscription.channel, subscription.state) == ("t", "c", "running")
        told = json.loads(json.dumps(dataclasses.asdict(health)))
        assert told["subscriptions"][0]["stats"]["connections"] == 1
        server.always("SUB", drop)
        Subscribed(server).link.drop()
        async with asyncio.timeout(10):
            while app.health().ready:  # noqa: ASYNC110 - a snapshot has no event
                await asyncio.sleep(0.001)
        assert app.health().live
        assert any(server.address in reason for reason in app.health().subscriptions[0].reasons)
    assert not app.health().ready


async def test_a_subscription_that_dies_is_reported_and_the_others_go_on(
    server: FakeNsqd, caplog: pytest.LogCaptureFixture
) -> None:
    app = App(server.address)
    app.on("t", channel="c")(_nothing)
    app.on("t", channel="other")(_nothing)
    async with app:
        waiting = asyncio.create_task(app.wait())
        app.consumers["t", "c"]._reception.fail(MemoryError("a part died"))
        with pytest.raises(Closed, match="a part died") as died:
            await waiting
        assert died.value.__notes__ == [f"subscription {app.routes[0]}"]
        health = app.health()
        assert (health.live, health.ready) == (False, False)
        assert [subscription.state for subscription in health.subscriptions] == ["failed", "running"]
        assert "a part died" in health.subscriptions[0].error
        other = Subscribed(server, channel="other")
        await other.answered(f"FIN {other.send(b'x')}")
    assert any("died" in r.message for r in caplog.records if r.levelno == logging.ERROR)


async def test_waiting_ends_when_told_or_when_all_subscriptions_were_stopped(server: FakeNsqd) -> None:
    app = App(server.address)
    app.on("t", channel="c")(_nothing)
    with pytest.raises(Closed, match="not open"):
        await app.wait()
    app.stop()
    async with asyncio.timeout(10), app:
        app.stop()
        await app.wait()
    async with asyncio.timeout(10), app:
        app.consumers["t", "c"].stop()
        await app.wait()


async def test_handlers_of_included_routers_are_subscribed_too(server: FakeNsqd) -> None:
    app, router = App(server.address), Router(topic_prefix="shop.")
    app.include(router)
    router.on("t", channel="c")(_nothing)
    async with app:
        there = Subscribed(server, topic="shop.t")
        await there.answered(f"FIN {there.send(b'x')}")


async def _nothing(body: bytes) -> None: ...
