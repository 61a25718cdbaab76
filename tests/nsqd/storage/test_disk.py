"""The disk's turn, thread, timers and health."""

from __future__ import annotations

import asyncio
import errno
import logging
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from nsqd.storage import disk as module
from nsqd.storage.disk import Disk
from nsqd.storage.diskqueue import DiskQueue
from tests.support.disk import body_of, record
from tests.support.nsqd import DEADLINE_S, eventually

FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest_asyncio.fixture
async def disk() -> AsyncIterator[Disk]:
    """Syncs after 20 ms."""
    made = Disk(sync_timeout=0.02)
    yield made
    await made.close()


async def test_writes_happen_once_at_the_end_of_the_turn(disk: Disk) -> None:
    done: list[str] = []
    disk.write_soon(lambda: done.append("a"))
    disk.write_soon(lambda: done.append("b"))
    assert done == []
    await asyncio.sleep(0)
    assert done == ["a", "b"]
    disk.write_now()
    await asyncio.sleep(0)
    assert done == ["a", "b"]


async def test_a_write_asked_for_by_a_write_is_done_in_the_next_turn(disk: Disk) -> None:
    done: list[str] = []

    def first() -> None:
        done.append("first")
        disk.write_soon(lambda: done.append("second"))

    disk.write_soon(first)
    await asyncio.sleep(0)
    assert done == ["first"]
    await asyncio.sleep(0)
    assert done == ["first", "second"]


async def test_what_goes_wrong_in_one_write_costs_the_others_nothing(
    disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    done: list[str] = []

    def broken() -> None:
        raise ZeroDivisionError

    disk.write_soon(broken)
    disk.write_soon(lambda: done.append("second"))
    await asyncio.sleep(0)
    assert done == ["second"]
    assert "ZeroDivisionError" in caplog.text


async def test_an_answer_that_fails_costs_the_others_nothing(
    disk: Disk, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    queue = DiskQueue(
        tmp_path, "t", disk=disk, grown=lambda: None, max_bytes_per_file=1000, sync_every=10_000
    )
    answers: list[OSError | None] = []

    def broken(_: OSError | None) -> None:
        raise ZeroDivisionError

    queue.append([record(b"1")], broken)
    queue.append([record(b"2")], answers.append)
    await asyncio.sleep(0)
    assert (answers, queue.depth) == ([None], 2)
    assert "ZeroDivisionError" in caplog.text
    queue.close()


async def test_one_timer_syncs_all_that_changed_each_once(disk: Disk) -> None:
    synced: list[str] = []
    a, b = (lambda: synced.append("a")), (lambda: synced.append("b"))
    for sync in (a, b, a, a):
        disk.sync_within_timeout(sync)
    assert synced == []
    await eventually(lambda: bool(synced))
    assert synced == ["a", "b"]
    disk.sync_within_timeout(b)
    await eventually(lambda: synced == ["a", "b", "b"])


async def test_jobs_run_in_order_on_one_thread_that_is_not_the_loop_s(disk: Disk) -> None:
    threads: list[tuple[int, str]] = []
    told: list[OSError | None] = []
    for n in range(20):
        disk.run(lambda n=n: threads.append((n, threading.current_thread().name)), told.append)  # type: ignore[misc]
    await disk.drain()
    assert threads == [(n, threads[0][1]) for n in range(20)]
    assert threads[0][1] != threading.current_thread().name
    await eventually(lambda: told == [None] * 20)


async def test_who_asked_is_told_of_an_error_in_the_loop(disk: Disk) -> None:
    told: list[tuple[OSError | None, threading.Thread]] = []

    def job() -> None:
        raise FULL

    disk.run(job, lambda error: told.append((error, threading.current_thread())))
    await eventually(lambda: bool(told))
    assert told == [(FULL, threading.current_thread())]


async def test_an_error_that_nobody_waits_for_is_logged(disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
    def job() -> None:
        raise FULL

    disk.run(job)
    await eventually(lambda: bool(caplog.records))
    assert [(r.levelno, r.getMessage()) for r in caplog.records] == [(logging.ERROR, f"DISK: {FULL}")]


async def test_a_fault_of_ours_is_not_taken_for_an_error_of_the_disk(disk: Disk) -> None:
    faults: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: faults.append(what.get("exception")))
    told: list[OSError | None] = []
    disk.run(lambda: 1 // 0, told.append)
    await eventually(lambda: bool(faults))
    assert isinstance(faults[0], ZeroDivisionError)
    assert told == []


async def test_reading_is_tried_again_after_a_pause(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    again = asyncio.Event()
    disk.later(again.set)
    assert not again.is_set()
    async with asyncio.timeout(DEADLINE_S):
        await again.wait()


async def test_health_is_that_of_the_last_write_or_sync(disk: Disk) -> None:
    other = OSError(errno.EIO, "Input/output error")
    health: list[OSError | None] = []
    reports: list[Callable[[], None]] = [
        lambda: disk.unhealthy(FULL),
        lambda: disk.mended(other),
        lambda: disk.mended(FULL),
        lambda: disk.unhealthy(other),
        disk.healthy,
    ]
    for report in reports:
        health.append(disk.error)
        report()
    assert [*health, disk.error] == [None, FULL, FULL, None, other, None]


async def test_a_queue_is_known_to_be_going_until_it_is_gone(
    disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    hold = threading.Event()
    disk.run(hold.wait)
    disk.remove_queue("t", 4, lambda: None)
    disk.remove_queue("t", 7, lambda: None)
    assert disk.removals == {"t": 7}
    hold.set()
    await eventually(lambda: not disk.removals)

    def job() -> None:
        raise FULL

    disk.remove_queue("t", 9, job)
    await eventually(lambda: not disk.removals)
    assert caplog.messages == [f"DISK: {FULL}"]


async def test_draining_waits_for_the_jobs_and_lets_no_sync_follow(disk: Disk) -> None:
    """A sync that followed would store its positions over those of the closed queue."""
    done: list[str] = []
    hold = threading.Event()
    disk.run(hold.wait)
    disk.run(lambda: done.append("job"))
    disk.sync_within_timeout(lambda: done.append("sync"))
    asyncio.get_running_loop().call_later(0.05, hold.set)
    await disk.drain()
    assert done == ["job"]


async def test_closing_ends_the_thread() -> None:
    before = set(threading.enumerate())
    made = Disk(sync_timeout=1)
    made.run(int)
    assert set(threading.enumerate()) - before
    await made.close()
    assert not {t for t in set(threading.enumerate()) - before if t.name.startswith("disk")}


async def test_a_queue_on_a_real_disk_answers_in_its_turn_and_syncs_in_its_time(
    disk: Disk, tmp_path: Path
) -> None:
    grown: list[None] = []
    queue = DiskQueue(
        tmp_path,
        "t",
        disk=disk,
        grown=lambda: grown.append(None),
        max_bytes_per_file=1000,
        sync_every=10_000,
    )
    answers: list[OSError | None] = []
    for n in range(100):
        queue.append([record(b"%d" % n)], answers.append)
    await asyncio.sleep(0)
    assert answers == [None] * 100
    assert grown
    await eventually(lambda: (tmp_path / "t.diskqueue.meta.dat").exists())
    assert [body_of(frame) for frame in queue.take(1000, 1 << 20).frames] == [b"%d" % n for n in range(100)]
    await disk.drain()
    queue.close()
    assert [path.name for path in tmp_path.iterdir()] == ["t.diskqueue.meta.dat"]


async def test_settled_when_all_that_was_asked_for_is_done(disk: Disk) -> None:
    done: list[str] = []
    go_on = threading.Event()
    disk.run(go_on.wait)
    disk.run(lambda: done.append("a"))
    asyncio.get_running_loop().call_soon(go_on.set)
    await disk.settled()
    assert done == ["a"]
