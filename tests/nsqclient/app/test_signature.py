"""What handlers are called with, read from their annotations."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from nsqclient import ConfigError, Message
from nsqclient.app.signature import Signature, describe, read_signature


class Order:
    pass


async def payload_only(order: Order) -> None: ...
async def payload_and_message(order: Order, msg: Message) -> None: ...
async def payload_and_named_message(order: Order, *, msg: Message, retries: int = 3) -> None: ...
async def only_named(*, msg: Message) -> None: ...
async def message_only(msg: Message) -> None: ...
async def message_behind_a_default(
    order: Order, verbose: bool = False, msg: Message | None = None
) -> None: ...
async def a_list(orders: list[Order]) -> None: ...
async def orders_and_messages(orders: list[Order], msgs: list[Message]) -> None: ...
async def messages(msgs: list[Message]) -> None: ...
async def anything(payload: Any, *rest: object, **more: object) -> None: ...


@pytest.mark.parametrize(
    ("function", "batch", "expected"),
    [
        (payload_only, False, Signature(Order, None)),
        (payload_and_message, False, Signature(Order, "msg")),
        (payload_and_named_message, False, Signature(Order, "msg")),
        (message_only, False, Signature(None, 0)),
        (message_behind_a_default, False, Signature(Order, None)),
        (a_list, False, Signature(list[Order], None)),
        (a_list, True, Signature(Order, None)),
        (orders_and_messages, True, Signature(Order, "msgs")),
        (messages, True, Signature(None, 0)),
        (only_named, False, Signature(None, "msg")),
        (anything, False, Signature(Any, None)),
    ],
)
def test_annotations_say_what_a_handler_takes(
    function: Callable[..., object], batch: bool, expected: Signature
) -> None:
    assert read_signature(function, batch=batch) == expected


def test_methods_and_callable_objects_are_handlers() -> None:
    class Billing:
        async def bill(self, order: Order) -> None: ...

        async def __call__(self, order: Order, msg: Message) -> None: ...

    assert read_signature(Billing().bill, batch=False) == Signature(Order, None)
    assert read_signature(Billing(), batch=False) == Signature(Order, "msg")


def test_a_class_inside_a_function_is_found_among_the_names_given() -> None:
    class Local:
        pass

    async def handler(value: Local) -> None: ...

    assert read_signature(handler, batch=False, names={"Local": Local}) == Signature(Local, None)


async def nothing() -> None: ...
async def unannotated(order) -> None: ...  # type: ignore[no-untyped-def]
async def two_payloads(order: Order, invoice: Order) -> None: ...
async def message_first(msg: Message, order: Order) -> None: ...
async def unknown(order: Missing) -> None: ...  # type: ignore[name-defined]  # noqa: F821
async def none(order: None) -> None: ...
async def hidden(order: Order, flag: int = 0, msg: Message = None, /) -> None: ...  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("function", "batch", "text"),
    [
        (nothing, False, "takes nothing"),
        (unannotated, False, "annotate 'order'"),
        (two_payloads, False, "nothing is known for its parameter 'invoice'"),
        (message_first, False, "nothing is known for its parameter 'order'"),
        (unknown, False, "name 'Missing' is not defined"),
        (none, False, "annotated None"),
        (hidden, False, "'msg' is positional only"),
        (payload_only, True, "list[T], not Order"),
        (messages, False, "no batch=BatchOf"),
        (print, False, "print"),
    ],
)
def test_what_can_not_be_called_is_refused_with_the_name_of_the_handler(
    function: Callable[..., object], batch: bool, text: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(text)) as refused:
        read_signature(function, batch=batch)
    assert describe(function) in str(refused.value)


def test_arguments_are_laid_out_as_the_signature_says() -> None:
    assert Signature(Order, None).arguments("payload", "message") == (("payload",), {})
    assert Signature(Order, "msg").arguments("payload", "message") == (("payload",), {"msg": "message"})
    assert Signature(None, "msg").arguments(None, "message") == ((), {"msg": "message"})
    assert Signature(None, 0).arguments(None, "message") == (("message",), {})
