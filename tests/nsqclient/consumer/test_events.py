from __future__ import annotations

import asyncio
import gc

from nsqclient import NodeUp, RdyChanged
from nsqclient.consumer.events import LINE, Events, EventStream


async def test_a_listener_gets_what_happens_from_then_on_until_the_end() -> None:
    events = Events()
    events.emit(NodeUp("before"))
    stream = events.listen()
    events.emit(NodeUp("a"))
    reading = asyncio.create_task(collect(stream))
    await asyncio.sleep(0)
    events.emit(NodeUp("b"))
    events.end()
    assert await reading == [NodeUp("a"), NodeUp("b")]
    assert await collect(events.listen()) == []


async def test_a_listener_that_does_not_keep_up_loses_the_oldest() -> None:
    events = Events()
    stream, other = events.listen(), events.listen()
    for count in range(LINE + 3):
        events.emit(RdyChanged("a", count))
    events.end()
    seen = await collect(stream)
    assert (len(seen), seen[0], stream.dropped) == (LINE, RdyChanged("a", 3), 3)
    assert other.dropped == 3


async def test_a_listener_that_is_dropped_is_forgotten() -> None:
    events = Events()
    events.listen()
    gc.collect()
    events.emit(NodeUp("a"))
    assert len(events._listeners) == 0


async def collect(stream: EventStream) -> list[object]:
    return [event async for event in stream]
