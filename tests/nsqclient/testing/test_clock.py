import asyncio
import time

import pytest

from nsqclient.testing import Clock, LoopNeverRests
from nsqclient.testing.clock import News, real_limit


async def test_an_hour_passes_at_once() -> None:
    async with Clock() as clock:
        waiting = asyncio.create_task(asyncio.sleep(3600))
        began = time.monotonic()
        await clock.advance(3599.9)
        assert not waiting.done()
        await clock.advance(0.1)
        assert waiting.done()
        assert time.monotonic() - began < 1


async def test_time_stands_still_between_advances() -> None:
    async with Clock() as clock:
        now = asyncio.get_running_loop().time()
        await asyncio.to_thread(time.sleep, 0.01)
        assert asyncio.get_running_loop().time() == now
        await clock.advance(2.5)
        assert asyncio.get_running_loop().time() == pytest.approx(now + 2.5)


async def test_timers_that_set_timers_run_at_their_own_times() -> None:
    async with Clock() as clock:
        loop = asyncio.get_running_loop()
        began, ticks = loop.time(), []

        async def tick() -> None:
            while True:
                await asyncio.sleep(30)
                ticks.append(round(loop.time() - began, 6))

        task = asyncio.create_task(tick())
        await clock.advance(90)
        task.cancel()
        assert ticks == [30, 60, 90]


async def test_a_timer_due_now_has_run_when_the_loop_is_at_rest() -> None:
    async with Clock() as clock:
        seen: list[int] = []
        asyncio.get_running_loop().call_later(0, seen.append, 1)
        await clock.settle()
        assert seen == [1]


async def test_a_flowing_clock_flows_and_can_be_moved_ahead() -> None:
    async with Clock(frozen=False) as clock:
        loop = asyncio.get_running_loop()
        now = loop.time()
        await asyncio.sleep(0.01)
        assert 0.009 < loop.time() - now < 5
        await clock.advance(60)
        assert 60 < loop.time() - now < 65
        assert not clock.frozen


async def test_freeze_and_flow_change_it_without_a_jump() -> None:
    async with Clock(frozen=False) as clock:
        clock.freeze()
        now = clock.time()
        assert clock.time() == now
        assert clock.frozen
        clock.flow()
        assert now <= clock.time() < now + 1


async def test_time_never_goes_back_when_the_block_ends() -> None:
    loop = asyncio.get_running_loop()
    async with Clock() as clock:
        await clock.advance(1000)
        now = loop.time()
    assert now <= loop.time() < now + 1
    async with Clock() as clock:
        assert now <= loop.time() < now + 1
        await clock.advance(1)
        assert loop.time() >= now + 1


async def test_a_second_clock_of_a_loop_is_the_first_one() -> None:
    async with Clock() as outer:
        async with Clock(frozen=False) as inner:
            assert inner.frozen
            now = outer.time()
            await inner.advance(5)
            assert outer.time() == inner.time() == now + 5
        assert outer.frozen


async def test_bytes_on_a_socket_of_this_process_are_waited_for() -> None:
    seen = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.read(100) == b"hello"
        seen.set()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server, Clock() as clock:
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        await clock.settle()
        writer.write(b"hello")
        await clock.settle()
        assert seen.is_set()
        writer.close()
        await clock.settle()


async def test_a_loop_that_is_never_at_rest_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nsqclient.testing.clock.BUSY_TURNS", 1000)

    async def spin() -> None:
        for _ in range(100_000):
            await asyncio.sleep(0)

    async with Clock() as clock:
        task = asyncio.create_task(spin())
        with pytest.raises(LoopNeverRests, match="1000 turns"):
            await clock.settle()
        task.cancel()


def test_uvloop_is_refused_in_words() -> None:
    import uvloop

    async def use() -> None:
        async with Clock():
            pass

    with (
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        pytest.raises(RuntimeError, match=r"the clock of .* can't be moved; run tests on asyncio's loop"),
    ):
        runner.run(use())


async def test_a_clock_that_does_not_run_says_so() -> None:
    with pytest.raises(RuntimeError, match="use it with 'async with'"):
        await Clock().advance(1)


async def test_a_limit_in_real_time_holds_while_time_stands_still() -> None:
    async with Clock():
        rung = asyncio.Event()
        with real_limit(0.01, rung.set):
            await rung.wait()


async def test_a_limit_that_was_kept_never_rings() -> None:
    rung: list[int] = []
    with real_limit(0.01, lambda: rung.append(1)):
        pass
    await asyncio.sleep(0.03)
    assert not rung


async def test_a_condition_that_comes_true_ends_the_waiting_and_one_that_does_not_is_named() -> None:
    async with Clock():
        news, state = News(), {"there": False}
        waiting = asyncio.create_task(news.until(lambda: state["there"], 5, lambda: "nothing there"))
        await asyncio.sleep(0)
        news.tell()
        await asyncio.sleep(0)
        assert not waiting.done()
        state["there"] = True
        news.tell()
        await waiting
        with pytest.raises(AssertionError, match=r"nothing there \(waited 0.01 s\)"):
            await news.until(lambda: False, 0.01, lambda: "nothing there")
