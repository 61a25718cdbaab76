"""Handlers are registered, and mistakes told where they are made."""

from __future__ import annotations

import pytest

from nsqclient import (
    App,
    BatchOf,
    ConfigError,
    Failures,
    FlowControl,
    InvalidName,
    Leases,
    Message,
    Router,
)


async def nothing(body: bytes) -> None: ...


def test_a_handler_is_still_the_function() -> None:
    router = Router()

    @router.on("orders", channel="billing")
    def double(number: int) -> int:
        """Twice."""
        return 2 * number

    assert double(4) == 8
    assert (double.__wrapped__.__name__, double.__doc__) == ("double", "Twice.")
    assert "double" in repr(double)


def test_the_prefix_goes_before_every_topic() -> None:
    router = Router(topic_prefix="shop.")
    handler = router.on("orders", channel="c")(router.publishes("invoices")(nothing))
    assert [route.topic for route in router.routes] == ["shop.orders"]
    assert handler.publishes == ["shop.invoices"]


def test_on_and_publishes_stand_in_either_order_and_more_than_once() -> None:
    router = Router()

    @router.publishes("a")
    @router.on("one", channel="c")
    @router.publishes("b")
    @router.on("two", channel="c")
    async def handler(body: bytes) -> bytes:
        return body

    assert sorted(handler.publishes) == ["a", "b"]
    assert {route.topic for route in router.routes} == {"one", "two"}
    assert all(route.handler is handler for route in router.routes)


def test_a_channel_has_one_handler() -> None:
    router = Router()
    router.on("t", channel="c")(nothing)
    router.on("t", channel="other")(nothing)
    with pytest.raises(ConfigError, match=r"t/c has a handler already, .*nothing.*channel of its own"):
        router.on("t", channel="c")(nothing)


def test_a_channel_has_one_handler_over_all_routers() -> None:
    app, first, second = App("n:4150"), Router(topic_prefix="a."), Router()
    app.include(first)
    app.include(second)
    first.on("t", channel="c")(nothing)
    with pytest.raises(ConfigError, match=r"a\.t/c has a handler already"):
        app.on("a.t", channel="c")(nothing)
    third = Router(topic_prefix="a.")
    third.on("t", channel="c")(nothing)
    with pytest.raises(ConfigError, match=r"a\.t/c has a handler already"):
        app.include(third)
    assert len(app.routes) == 1


async def test_what_a_router_gets_after_it_was_included_is_checked_at_the_start() -> None:
    app, router = App("n:4150"), Router()
    app.on("t", channel="c")(nothing)
    app.include(router)
    router.on("t", channel="c")(nothing)
    with pytest.raises(ConfigError, match="has a handler already"):
        await app.__aenter__()


def test_a_router_is_included_once_and_an_app_never() -> None:
    app, router = App("n:4150"), Router()
    app.include(router)
    with pytest.raises(ConfigError, match="included already"):
        app.include(router)
    with pytest.raises(ConfigError, match="can't include an app"):
        app.include(App("n:4150"))


@pytest.mark.parametrize("topic", ["", "a b", "x" * 65, 3])
def test_bad_topics_are_refused_at_once(topic: str) -> None:
    for decorate in (Router().publishes, lambda name: Router().on(name, channel="c")):
        with pytest.raises(ConfigError, match="topic"):
            decorate(topic)


def test_on_without_its_arguments_says_how_it_is_written() -> None:
    with pytest.raises(ConfigError, match='on\\("topic", channel'):
        Router().on(nothing, channel="c")  # type: ignore[arg-type]


def test_bad_settings_are_refused_at_once() -> None:
    router = Router()
    with pytest.raises(InvalidName, match="channel"):
        router.on("t", channel="a b")
    with pytest.raises(ConfigError, match="concurrency"):
        router.on("t", channel="c", concurrency=0)
    with pytest.raises(ConfigError, match="max_in_flight"):
        router.on("t", channel="c", max_in_flight=-1)
    with pytest.raises(ConfigError, match="attempts"):
        router.on("t", channel="c", attempts=-1)
    with pytest.raises(ConfigError, match="timeout"):
        router.on("t", channel="c", timeout=0)
    with pytest.raises(ConfigError, match="backoff"):
        router.on("t", channel="c", backoff="never")  # type: ignore[arg-type]
    with pytest.raises(InvalidName, match="topic"):
        router.on("t", channel="c", dead_letter="a b")
    assert router.routes == ()


def test_a_group_of_settings_is_given_whole_or_by_single_fields() -> None:
    router = Router()
    for settings in (
        {"failures": Failures(), "attempts": 3},
        {"flow": FlowControl(), "backoff": None},
        {"leases": Leases(), "auto_touch": True},
    ):
        with pytest.raises(ConfigError, match="is a field of"):
            router.on("t", channel="c", **settings)


def test_settings_of_a_handler_come_before_those_of_the_app() -> None:
    defaults = FlowControl(rate=5), Failures(attempts=9, dead_letter="dead"), Leases(margin=3)
    router = Router(topic_prefix="shop.")
    router.on("a", channel="c")(nothing)
    router.on("b", channel="c", attempts=2, backoff="node", auto_touch=True)(nothing)
    router.on("c", channel="c", dead_letter="gone", failures=None)(nothing)
    router.on("d", channel="c", failures=Failures(dead_letter="gone"))(nothing)
    router.on("e", channel="c", dead_letter=None)(nothing)
    a, b, c, d, e = [route.policies.over(*defaults) for route in router.routes]
    assert a == defaults
    flow, failures, leases = b
    assert flow == FlowControl(rate=5, backoff="node")
    assert failures == Failures(attempts=2, dead_letter="dead")
    assert leases == Leases(margin=3, auto_touch=True)
    assert c[1] == Failures(attempts=9, dead_letter="shop.gone")
    assert d[1] == Failures(dead_letter="shop.gone")
    assert e[1] == Failures(attempts=9)


def test_middleware_is_not_for_batches() -> None:
    async def around(call_next: object, message: object) -> None: ...

    with pytest.raises(ConfigError, match="single messages"):
        Router().on("t", channel="c", batch=BatchOf(2), around=[around])


@pytest.mark.parametrize(
    "wrong",
    [{"max_messages": 0}, {"max_messages": 1, "linger": -1}, {"max_messages": 1, "linger": float("nan")}],
)
def test_a_batch_has_a_message_and_waits_some_time(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        BatchOf(**wrong)  # type: ignore[arg-type]


def test_a_handler_publishes_to_a_topic_once() -> None:
    router = Router()
    with pytest.raises(ConfigError, match="publishes to 'a' already"):
        router.publishes("a")(router.publishes("a")(nothing))


def test_a_handler_inside_a_function_may_use_a_class_defined_there() -> None:
    class Local:
        pass

    router = Router()

    @router.on("t", channel="c")
    async def handler(value: Local, msg: Message) -> None: ...

    assert router.routes[0].signature.payload is Local
