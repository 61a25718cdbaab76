"""How a tool hears that it has to end, and what hangs on that."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from nsqclient.tools.common.running import Running, run_until_done
from tests.nsqclient.tools.common.tiny_tool import NAME
from tests.support.tools import start_tool


@pytest.fixture(autouse=True)
def signals_as_they_were() -> Iterator[None]:
    """Undoes what a run does to the handlers of this process."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


async def test_what_hangs_on_the_end_is_called_once_and_only_within_its_block() -> None:
    running, called = Running(), list[str]()

    def note(name: str) -> Callable[[], None]:
        return lambda: called.append(name)

    with running.stopping(note("past")):
        pass
    with running.stopping(note("a")), running.stopping(note("b")):
        running.end()
        running.end()
    assert running.stop.is_set()
    assert called == ["a", "b"]
    with running.stopping(note("late")):
        assert called == ["a", "b", "late"]


async def test_a_sleep_ends_with_its_time_or_with_the_tool() -> None:
    running = Running()
    assert not await running.sleep(0.001)
    asyncio.get_running_loop().call_soon(running.end)
    assert await running.sleep(60)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_begins_the_end(number: signal.Signals) -> None:
    async def work(running: Running) -> int:
        signal.raise_signal(number)
        signal.raise_signal(number)
        await running.stop.wait()
        return 7

    assert run_until_done(work) == 7
    assert signal.getsignal(number) is signal.SIG_IGN


def test_what_the_work_raises_comes_out() -> None:
    async def work(running: Running) -> int:
        raise ValueError("it failed")

    with pytest.raises(ValueError, match="it failed"):
        run_until_done(work)


def test_a_reload_is_called_inside_the_loop() -> None:
    async def work(running: Running) -> int:
        reloaded = asyncio.Event()
        running.on_reload(reloaded.set)
        signal.raise_signal(signal.SIGHUP)
        await reloaded.wait()
        return 0

    assert run_until_done(work) == 0
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_a_nsqd_that_says_nothing_does_not_keep_a_tool_from_ending() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with start_tool(NAME, "t", f"--nsqd-tcp-address={address}") as tool:
            server.settimeout(30)
            connection, _ = server.accept()
            with connection:
                began = time.monotonic()
                assert tool.stop() == 0
                assert time.monotonic() - began < 8, "it waited for the answer"
