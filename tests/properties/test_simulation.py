"""The ground that the properties stand on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.properties.simulation import Event, FakeTransport, SimulatedLoop


@pytest.fixture
def loop() -> Iterator[SimulatedLoop]:
    made = SimulatedLoop()
    yield made
    made.stall(False)
    made.close()


def test_time_passes_only_when_told_and_timers_are_on_time(loop: SimulatedLoop) -> None:
    start, rang = loop.now, list[float]()
    for delay in (5.0, 0.5, 2.0):
        loop.call_later(delay, lambda: rang.append(loop.now - start))
    loop.advance(0)
    assert rang == []
    loop.advance(2.0)
    assert rang == pytest.approx([0.5, 2.0])
    assert loop.now == start + 2.0
    loop.advance(100.0)
    assert rang == pytest.approx([0.5, 2.0, 5.0])


def test_what_follows_from_an_action_happens_before_it_returns(loop: SimulatedLoop) -> None:
    done: list[int] = []

    def act(left: int) -> str:
        done.append(left)
        if left:
            asyncio.get_running_loop().call_soon(act, left - 1)
        return "over"

    assert loop.perform(lambda: act(3)) == "over"
    assert done == [3, 2, 1, 0]


def test_a_failure_in_a_callback_is_a_failure_of_the_test(loop: SimulatedLoop) -> None:
    loop.call_soon(lambda: [][0])
    with pytest.raises(AssertionError, match="Exception in callback"):
        loop.advance(0)
    loop.advance(0)


def test_an_endless_loop_is_noticed(loop: SimulatedLoop) -> None:
    def again() -> None:
        if not loop.is_closed():
            loop.call_soon(again)

    loop.call_soon(again)
    with pytest.raises(AssertionError, match="no rest"):
        loop.advance(0)


def test_threads_do_their_jobs_in_order_and_none_while_stalled(loop: SimulatedLoop) -> None:
    done: list[str] = []

    async def work() -> None:
        loop.stall(True)
        first = loop.run_in_executor("disk", done.append, "one")
        second = loop.run_in_executor("disk", done.append, "two")
        other = loop.run_in_executor("other", int, "x")
        for _ in range(5):
            await asyncio.sleep(0)
        assert done == []
        loop.stall(False)
        await second
        assert first.done()
        assert done == ["one", "two"]
        with pytest.raises(ValueError, match="invalid literal"):
            await other

    loop.complete(work())


def test_a_coroutine_that_would_take_time_is_a_failure(loop: SimulatedLoop) -> None:
    with pytest.raises(AssertionError, match="still waits"):
        loop.complete(asyncio.sleep(1.0))
    loop.advance(1.0)


class Recorder(asyncio.Protocol):
    def __init__(self) -> None:
        self.lost = 0

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost += 1


def test_a_transport_tells_its_protocol_of_its_end_once_and_later(loop: SimulatedLoop) -> None:
    log: list[Event] = []
    transport, protocol = FakeTransport(loop, log), Recorder()

    def use() -> None:
        transport.connect(protocol)
        transport.write(b"last words")
        transport.close()
        transport.abort()
        assert protocol.lost == 0

    loop.perform(use)
    assert protocol.lost == 1
    assert [event.data for event in log] == [b"last words", None]
