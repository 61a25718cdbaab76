"""The data folder fails a running nsqd: it goes, the disk fills up, descriptors run out. It says so, and recovers."""

from __future__ import annotations

import asyncio
import json
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nsqcore.wire.commands import encode_mpub, encode_pub
from nsqcore.wire.frames import ERROR, OK
from tests.support.history import connect, drain, get, nsqd, part, post, stats
from tests.support.processes import DaemonProcess

DISK = ("--mem-queue-size=0", "--sync-timeout=20ms")


@contextmanager
def limited(daemon: DaemonProcess, what: int, limit: int) -> Iterator[None]:
    """A running process with less of something; afterwards it has what it had."""
    soft, hard = resource.prlimit(daemon.pid, what)
    resource.prlimit(daemon.pid, what, (limit, hard))
    try:
        yield
    finally:
        if daemon.status is None:
            resource.prlimit(daemon.pid, what, (soft, hard))


def remove(folder: Path) -> None:
    """At once, whatever is made in it meanwhile."""
    gone = folder.rename(folder.with_name("gone"))
    shutil.rmtree(gone)


async def publish(daemon: DaemonProcess, topic: str, *bodies: bytes) -> bytes:
    """One PUB or MPUB: what was answered."""
    client = await connect(daemon.tcp)
    client.send(encode_pub(topic, bodies[0]) if len(bodies) == 1 else encode_mpub(topic, bodies))
    kind, data = await client.frame()
    assert (data == OK) == (kind != ERROR)
    await part(client)
    return data


# -- no folder -------------------------------------------------------------------------------------


async def test_without_its_folder_it_refuses_and_lives_and_with_a_new_one_it_works(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    with nsqd(folder, *DISK) as d:
        assert await publish(d, "old", b"1") == OK
        remove(folder)
        answer = await publish(d, "new", b"refused")
        segment = str(folder / "new.diskqueue.000000.dat").encode()
        assert answer == b"E_PUB_FAILED PUB failed open " + segment + b": no such file or directory"
        assert (await publish(d, "new", b"refused", b"too")).startswith(b"E_MPUB_FAILED MPUB failed ")
        assert post(d, "/pub?topic=new", b"refused") == (503, b'{"message":"EXITING"}')
        assert post(d, "/mpub?topic=new", b"refused") == (503, b'{"message":"EXITING"}')
        status, text = get(d, "/ping")
        assert status == 500
        assert text.startswith(b"NOK - ")
        health = json.loads(get(d, "/stats?format=json")[1])["health"]
        # The latest failure: the segment's, or that of the metadata, which a new topic has written soon.
        assert health.startswith(f"NOK - open {folder}/")
        assert health.endswith(": no such file or directory")
        assert await publish(d, "old", b"2") == OK, "its file is open"
        await drain(d.tcp, "old", "c", [b"1", b"2"])
        folder.mkdir()
        assert await publish(d, "new", b"taken") == OK
        assert get(d, "/ping") == (200, b"OK")
        assert [message.body for message in await drain(d.tcp, "new", "c", [b"taken"])] == [b"taken"]
        d.wait_for_log("failed to persist metadata")
    with nsqd(folder, *DISK) as d:
        assert set(stats(d)) >= {"old", "new"}


async def test_a_stop_without_a_folder_is_bounded_and_not_called_a_success(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    with nsqd(folder) as d:
        assert await publish(d, "t", b"in memory") == OK
        remove(folder)
        assert d.stop() == 1
        assert "failed to persist metadata" in d.log


# -- no room ---------------------------------------------------------------------------------------


async def test_on_a_full_disk_exactly_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    """RLIMIT_FSIZE makes every file end at 40,000 bytes, as a full disk would: short writes, then errors."""
    confirmed: set[bytes] = set()
    refused: set[bytes] = set()
    with nsqd(tmp_path, *DISK) as d:
        post(d, "/topic/create?topic=t")
        post(d, "/channel/create?topic=t&channel=c")
        post(d, "/channel/create?topic=t&channel=d")
        with limited(d, resource.RLIMIT_FSIZE, 40_000):
            n = 0
            while len(refused) < 50:
                bodies = [b"%d-%d" % (n, k) + b"x" * 300 for k in range(1 + n % 7)]
                answer = await publish(d, "t", *bodies)
                (confirmed if answer == OK else refused).update(bodies)
                n += 1
            status, text = get(d, "/ping")
            assert (status, text[:6]) == (500, b"NOK - ")
            assert text.endswith(b"file too large")
            assert post(d, "/pub?topic=t", b"refused" + b"x" * 10_000)[0] == 503
        assert await publish(d, "t", b"fits again") == OK
        assert get(d, "/ping") == (200, b"OK")
        confirmed.add(b"fits again")
        came = await drain(d.tcp, "t", "c", confirmed)
        assert {message.body for message in came} == confirmed, "nothing of what was refused"
        d.kill()
    with nsqd(tmp_path, *DISK) as d:
        came = await drain(d.tcp, "t", "d", confirmed)
        assert {message.body for message in came} == confirmed


async def test_on_a_full_disk_memory_goes_on(tmp_path: Path) -> None:
    with nsqd(tmp_path, "--mem-queue-size=10", "--sync-timeout=20ms") as d:
        post(d, "/topic/create?topic=t")
        post(d, "/channel/create?topic=t&channel=c")
        with limited(d, resource.RLIMIT_FSIZE, 0):
            bodies = [b"%d" % n for n in range(10)]
            for body in bodies:
                assert await publish(d, "t", body) == OK
            assert (await publish(d, "t", b"one too many")).startswith(b"E_PUB_FAILED")
            came = await drain(d.tcp, "t", "c", bodies)
            assert [message.body for message in came] == bodies
            assert await publish(d, "t", b"room again") == OK
        await drain(d.tcp, "t", "c", [b"room again"])


async def test_topics_made_on_a_full_disk_are_in_the_metadata_when_there_is_room(tmp_path: Path) -> None:
    with nsqd(tmp_path) as d:
        with limited(d, resource.RLIMIT_FSIZE, 0):
            assert post(d, "/topic/create?topic=t")[0] == 200
            assert post(d, "/topic/pause?topic=t")[0] == 200
            d.wait_for_log("failed to persist metadata", times=2)
            assert get(d, "/ping")[0] == 500
        await_metadata(tmp_path, b'"name":"t","paused":true')
        d.kill()
    with nsqd(tmp_path) as d:
        assert stats(d)["t"]["paused"]


def await_metadata(folder: Path, text: bytes) -> None:
    import time

    deadline = time.monotonic() + 10
    while text not in (folder / "nsqd.dat").read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.01)


async def test_a_stop_on_a_full_disk_says_so_and_keeps_what_was_stored(tmp_path: Path) -> None:
    with nsqd(tmp_path, "--mem-queue-size=5", "--sync-timeout=20ms") as d:
        stored = [b"%d" % n for n in range(20)]
        for body in stored:
            assert await publish(d, "t", body) == OK
        with limited(d, resource.RLIMIT_FSIZE, 0):
            assert d.stop() == 1
        assert "failed to write to" in d.log
    with nsqd(tmp_path) as d:
        await drain(d.tcp, "t", "c", stored[5:])


# -- no descriptors --------------------------------------------------------------------------------


async def test_without_descriptors_it_goes_on_and_reads_again_when_there_are_some(tmp_path: Path) -> None:
    bodies = [b"%d" % n for n in range(50)]
    with nsqd(tmp_path, *DISK, "--max-bytes-per-file=200") as d:
        assert await publish(d, "t", *bodies) == OK
        consumer = await connect(d.tcp)
        await consumer.sub("t", "c")
        producer = await connect(d.tcp)
        await producer.alive()
        with limited(d, resource.RLIMIT_NOFILE, 5):  # the first five are in use as long as it lives
            consumer.rdy(100)
            await asyncio.to_thread(d.wait_for_log, "DISKQUEUE(t:c) reading at 0 of ")
            producer.send(encode_pub("new", b"x"))
            answer = (await producer.frame())[1]
            assert answer.startswith(b"E_PUB_FAILED PUB failed ")
            assert b"too many open files" in answer.lower()
        assert await consumer.bodies(50) == bodies
        await part(consumer, producer)
        assert not list(tmp_path.glob("*.bad"))
        assert d.log.count("DISKQUEUE(t:c) reading at 0 of ") < 5, (
            "it does not try again and again without a pause"
        )


@pytest.mark.parametrize("name", ["100%", "%d%s%n", "with blank", "ünïcödé"])
async def test_any_name_of_a_folder_will_do(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    with nsqd(folder, *DISK) as d:
        assert await publish(d, "t", b"1", b"2") == OK
    with nsqd(folder, *DISK) as d:
        await drain(d.tcp, "t", "c", [b"1", b"2"])
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert {path.name for path in folder.iterdir()} == {
        "nsqd.dat",
        "t.diskqueue.meta.dat",
        "t:c.diskqueue.meta.dat",
    }
