"""Consumers for tests: they do not wait, at their end, for messages that the test left unanswered."""

from __future__ import annotations

import asyncio
from dataclasses import fields
from typing import Any

from nsqclient import Consumer, Failures, FlowControl, FullJitter, Leases
from nsqclient.discovery.targets import Target

QUICK = FullJitter(0.001, cap=0.01)
OPENING = ("IDENTIFY", "SUB t c")


GROUPS = {"flow": FlowControl, "failures": Failures, "leases": Leases}


def make(target: Target, **settings: Any) -> Consumer:
    """Of topic t and channel c; settings of a group may be given as they are."""
    for name, group in GROUPS.items():
        chosen = {field.name: settings.pop(field.name) for field in fields(group) if field.name in settings}
        if chosen:
            settings[name] = group(**chosen)
    return Consumer("t", "c", target, **{"drain": 0, "max_in_flight": 1, **settings})


async def ended(consumer: Consumer, *tasks: asyncio.Task[None]) -> None:
    """Stops the consumer, and waits for the tasks that receive from it; raises what they do."""
    consumer.stop()
    async with asyncio.timeout(5):
        await asyncio.gather(*tasks)
