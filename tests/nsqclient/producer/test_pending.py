from __future__ import annotations

import asyncio

from nsqclient.producer.pending import Pending


async def make() -> Pending:
    return Pending("t", b"PUB t", 2, asyncio.get_running_loop().create_future(), 1.5)


async def test_what_never_left_was_not_sent() -> None:
    assert (await make()).outcome == "not_sent"


async def test_what_is_written_or_lost_its_answer_before_is_unknown() -> None:
    pending = await make()
    pending.on_wire = True
    assert pending.outcome == "unknown"
    pending.on_wire = False
    pending.maybe_stored = True
    assert pending.outcome == "unknown"


async def test_the_receipt_tells_the_whole_way() -> None:
    pending = await make()
    pending.node, pending.attempts = "a:1", 3
    receipt = pending.receipt(2.5)
    assert (receipt.topic, receipt.nodes, receipt.count, receipt.attempts) == ("t", ("a:1",), 2, 3)
    assert (receipt.queued_at, receipt.acked_at) == (1.5, 2.5)
