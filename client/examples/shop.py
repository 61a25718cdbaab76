"""A small shop: orders are billed, invoices are archived, what can't be billed is put aside.

export NSQ_URL=nsqd://127.0.0.1:4150
cd client/examples && nsq run shop:make
nsq pub shop.orders '{"customer": "ann", "item": "book", "cents": 1200}'
nsq dlq list shop.orders.dead
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from nsqclient import App, DeadLetter, Failures, LinearRequeue, Message, Retry, Router, from_env

log = logging.getLogger("shop")


@dataclass
class Order:
    """What customers send."""

    customer: str
    item: str
    cents: int


@dataclass
class Invoice:
    """What they get back."""

    customer: str
    text: str


async def tell(call_next: Callable[[Message], Awaitable[object]], message: Message) -> object:
    """Middleware: one line for each message, whatever becomes of it."""
    try:
        return await call_next(message)
    finally:
        log.info("%s attempt %d of message %s is over", message.topic, message.attempts, message.id)


shop = Router(topic_prefix="shop.", around=[tell])
frozen: set[str] = set()
"""Customers whose orders have to wait."""
archive: list[Invoice] = []


@shop.on("orders", channel="billing", concurrency=8, attempts=3, dead_letter="orders.dead")
@shop.publishes("invoices")
async def bill(order: Order) -> Invoice | None:
    """An invoice for each order that costs something."""
    if order.customer in frozen:
        raise Retry(after=30, backoff=False)
    if order.cents < 0:
        raise DeadLetter(f"an order of {order.cents} cents")
    if not order.cents:
        return None
    return Invoice(order.customer, f"{order.item}: {order.cents / 100:.2f}")


@shop.on("invoices", channel="archive")
def file(invoice: Invoice) -> None:
    """A plain function, which runs in a thread."""
    archive.append(invoice)


def make() -> App:
    """The app, with what the environment says about where to connect."""
    app = App(from_env(), headers="auto", failures=Failures(requeue=LinearRequeue(step=10, cap=60)), grace=10)
    app.include(shop)
    return app
