"""Handlers are registered, and mistakes told where they are made."""

from __future__ import annotations

import pytest

from nsqclient import App, ConfigError, InvalidName, Message, Router


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


def test_twice_as_many_messages_as_handlers_are_in_flight_unless_told_otherwise() -> None:
    router = Router()
    router.on("a", channel="c", concurrency=8)(nothing)
    router.on("b", channel="c", concurrency=8, max_in_flight=3)(nothing)
    assert [route.max_in_flight for route in router.routes] == [16, 3]


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
    assert router.routes == ()


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
