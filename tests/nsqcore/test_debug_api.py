"""``/debug/*``: what an operator learns of a Python process, and what tools of the originals expect."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator

import pytest

from nsqcore import debug_api
from nsqcore.introspection import CpuSampler
from tests.support.api import serving
from tests.support.nsqd import eventually
from tests.support.raw import Answer, RawHttp

NO_SNIFF = ("X-Content-Type-Options", "nosniff")


@pytest.fixture
async def address() -> AsyncIterator[tuple[str, int]]:
    endpoints = [*debug_api.endpoints("/debug/pprof/"), *debug_api.memory_endpoints()]
    async with serving(endpoints) as address:
        host, _, port = address.rpartition(":")
        yield host, int(port)


async def ask(address: tuple[str, int], method: str, target: str, body: bytes | None = None) -> Answer:
    client = await RawHttp.open(address)
    try:
        return await client.request(method, target, body)
    finally:
        client.close()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("symbol", b"num_symbols: 1\n"),
        ("cmdline", "\0".join(sys.orig_argv).encode()),
    ],
)
async def test_tools_get_the_originals_answer(address: tuple[str, int], name: str, expected: bytes) -> None:
    answer = await ask(address, "GET", f"/debug/pprof/{name}")
    assert (answer.status, answer.body) == (200, expected)
    assert NO_SNIFF in answer.headers.items()
    assert "X-Nsq-Content-Type" not in answer.headers


@pytest.mark.parametrize("name", ["mutex", "trace", "allocs", "nothing"])
async def test_profiles_that_there_are_not_are_not_found(address: tuple[str, int], name: str) -> None:
    answer = await ask(address, "GET", f"/debug/pprof/{name}")
    assert (answer.status, answer.body) == (404, b'{"message":"NOT_FOUND"}')


async def test_the_index_names_every_profile(address: tuple[str, int]) -> None:
    page = await ask(address, "GET", "/debug/pprof/")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    for name in ("profile", "heap", "goroutine", "block", "threadcreate", "gc", "cmdline", "symbol"):
        assert f'href="/debug/pprof/{name}'.encode() in page.body


def spin(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


async def test_the_cpu_profile_shows_where_the_time_went(address: tuple[str, int]) -> None:
    asked = asyncio.create_task(ask(address, "GET", "/debug/pprof/profile?seconds=1"))
    for _ in range(30):
        spin(0.01)
        await asyncio.sleep(0.001)
    answer = await asked
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    lines = answer.body.decode().splitlines()
    spent = {stack: int(us) for stack, _, us in (line.rpartition(" ") for line in lines)}
    ours = sum(us for stack, us in spent.items() if "spin (nsqcore/test_debug_api.py" in stack)
    assert all(stack.startswith(("MainThread;", "asyncio_", "Thread")) for stack in spent)
    assert 150_000 < ours < 450_000, spent


async def test_one_cpu_profile_at_a_time_and_it_ends_with_its_client(address: tuple[str, int]) -> None:
    client = await RawHttp.open(address)
    client.send(b"GET /debug/pprof/profile?seconds=60 HTTP/1.1\r\nHost: h\r\n\r\n")
    await eventually(lambda: signal.getitimer(signal.ITIMER_PROF)[1] > 0)
    refused = await ask(address, "GET", "/debug/pprof/profile?seconds=1")
    assert refused.status == 500
    assert refused.body == b"Could not enable CPU profiling: cpu profiling already in use\n"
    client.close()
    await eventually(lambda: signal.getitimer(signal.ITIMER_PROF)[1] == 0)
    assert (await ask(address, "GET", "/debug/pprof/profile?seconds=1")).status == 200


def test_a_profile_knows_other_threads_by_name() -> None:
    sampler = CpuSampler()
    thread = threading.Thread(target=spin, args=(0.2,), name="the other; one")
    sampler.start()
    thread.start()
    while thread.is_alive():
        thread.join(0.01)
    sampler.stop()
    assert "the other, one;" in sampler.collapsed()


class Marked:
    pass


async def test_memory_is_told_by_type(address: tuple[str, int]) -> None:
    kept = [Marked() for _ in range(12_345)]
    answer = await ask(address, "GET", "/debug/pprof/heap")
    [line] = [line for line in answer.body.decode().splitlines() if "test_debug_api.Marked" in line]
    size, count, _ = line.split()
    assert int(count) == len(kept)
    assert int(size) == len(kept) * sys.getsizeof(kept[0])
    assert re.match(rb"resident bytes +\d{8}", answer.body)


async def test_the_stacks_of_tasks_and_threads_are_told(address: tuple[str, int]) -> None:
    event = asyncio.Event()

    async def inner() -> None:
        await event.wait()

    async def outer() -> None:
        await inner()

    tasks = [asyncio.create_task(outer(), name=f"waiter {n}") for n in range(5)]
    await asyncio.sleep(0)
    text = (await ask(address, "GET", "/debug/pprof/goroutine?debug=1")).body.decode()
    event.set()
    await asyncio.gather(*tasks)
    [group] = [part for part in text.split("\n\n") if "waiter" in part]
    head, *places = group.splitlines()
    assert head.startswith("5 @ waiter ")
    assert head.endswith(" and 2 more")
    assert [place.split()[0].rpartition(".")[2] for place in places] == ["wait", "inner", "outer"]
    assert "MainThread\n" in text


async def test_the_loops_delays_are_measured(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(debug_api, "_LAG_S", 0.2)
    asked = asyncio.create_task(ask(address, "GET", "/debug/pprof/block"))
    await asyncio.sleep(0.05)
    time.sleep(0.1)  # noqa: ASYNC251 - it is what is measured
    [most] = [line for line in (await asked).body.decode().splitlines() if line.startswith("most")]
    assert 50 < float(most.split()[1]) < 1000


async def test_threads_and_the_collector_are_told(address: tuple[str, int]) -> None:
    threads = (await ask(address, "GET", "/debug/pprof/threadcreate")).body.decode()
    assert threads.startswith(f"{threading.active_count()} threads\n")
    state = json.loads((await ask(address, "GET", "/debug/pprof/gc")).body)
    assert len(state["generations"]) == len(state["counts"]) == len(state["thresholds"]) == 3


# -- what changes something ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("", '"": invalid syntax'),
        ("?rate=x", '"x": invalid syntax'),
        ("?rate=1.5", '"1.5": invalid syntax'),
        ("?rate=%2B", '"+": invalid syntax'),
        ("?rate=%D9%A1", '"\u0661": invalid syntax'),
        ("?rate=%ff", '"\\xff": invalid syntax'),
        ("?rate=99999999999999999999", '"99999999999999999999": value out of range'),
    ],
)
async def test_a_bad_block_rate_is_refused_in_gos_words(
    address: tuple[str, int], query: str, why: str
) -> None:
    answer = await ask(address, "PUT", f"/debug/setblockrate{query}", b"")
    assert (answer.status, answer.body.decode()) == (400, f"invalid block rate : strconv.Atoi: parsing {why}")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize("rate", ["0", "5", "-1", "%2B7", "007"])
async def test_a_good_block_rate_is_taken(address: tuple[str, int], rate: str) -> None:
    answer = await ask(address, "PUT", f"/debug/setblockrate?rate={rate}", b"")
    assert (answer.status, answer.body) == (200, b"")


class Cycle:
    alive = 0

    def __init__(self) -> None:
        self.itself = self
        Cycle.alive += 1

    def __del__(self) -> None:
        Cycle.alive -= 1


async def test_freeing_memory_collects_garbage(address: tuple[str, int]) -> None:
    for _ in range(10):
        Cycle()
    answer = await ask(address, "POST", "/debug/freememory", b"")
    assert (answer.status, answer.body, Cycle.alive) == (200, b"", 0)
