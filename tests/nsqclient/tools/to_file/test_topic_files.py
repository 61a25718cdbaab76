from __future__ import annotations

import asyncio
import errno
import gzip
import logging
import os
import threading
from pathlib import Path

import pytest

from nsqclient import Closed, ConfigError
from nsqclient.tools.to_file import segment as segment_module
from nsqclient.tools.to_file.failures import ArchiveFailed
from nsqclient.tools.to_file.settings import Settings
from nsqclient.tools.to_file.topic_files import TopicArchive
from tests.nsqclient.consumers import OPENING, make
from tests.nsqclient.producers import until
from tests.nsqclient.tools.to_file.archives import archiving
from tests.support.fake_nsqd import FakeNsqd


def read(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


class Gate:
    """A sync that waits until the test lets it pass."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.arrived = threading.Semaphore(0)
        self.open = threading.Semaphore(0)
        self.count = 0
        self._sync = segment_module.fdatasync
        monkeypatch.setattr(segment_module, "fdatasync", self)

    def __call__(self, fd: int) -> None:
        self.arrived.release()
        assert self.open.acquire(timeout=10)
        self._sync(fd)
        self.count += 1

    async def reached(self) -> None:
        assert await asyncio.to_thread(self.arrived.acquire, True, 10)


async def test_half_of_what_may_be_in_flight_is_synced_and_then_finished(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with FakeNsqd() as nsqd, archiving(nsqd, tmp_path):
        ids = [nsqd.message(b"one"), nsqd.message(b"two")]
        await nsqd.expect(*[f"FIN {i}" for i in ids])
        assert (tmp_path / "t.log").read_bytes() == b"one\ntwo\n"
    assert "[t/c] syncing 2 records to disk" in caplog.messages


async def test_nothing_is_finished_before_its_sync_returns_and_more_is_received_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    async with FakeNsqd() as nsqd, archiving(nsqd, tmp_path) as (consumer, _, running):
        first = [nsqd.message(b"1"), nsqd.message(b"2")]
        await gate.reached()
        second = [nsqd.message(b"3"), nsqd.message(b"4")]
        await until(lambda: consumer.stats.received == 4 and not consumer.stats.buffered)
        assert consumer.stats.finished == 0
        assert read(tmp_path / "t.log") == b"1\n2\n"
        gate.open.release()
        await nsqd.expect(*[f"FIN {i}" for i in first])
        await gate.reached()
        assert (gate.count, consumer.stats.finished) == (1, 2)
        gate.open.release()
        await nsqd.expect(*[f"FIN {i}" for i in second])
        gate.open.release()
        consumer.stop()
        await running


async def test_a_single_message_in_flight_is_synced_at_once(tmp_path: Path) -> None:
    async with FakeNsqd() as nsqd, archiving(nsqd, tmp_path, max_in_flight=1):
        for body in (b"one", b"two"):
            await nsqd.expect(f"FIN {nsqd.message(body)}")
        assert read(tmp_path / "t.log") == b"one\ntwo\n"


async def test_what_is_less_is_written_at_once_and_synced_by_the_tick(tmp_path: Path) -> None:
    async with (
        FakeNsqd() as nsqd,
        archiving(nsqd, tmp_path, max_in_flight=100, sync_interval=0.3) as (
            consumer,
            _,
            running,
        ),
    ):
        only = nsqd.message(b"only")
        await until(lambda: read(tmp_path / "t.log") == b"only\n")
        assert consumer.stats.finished == 0
        await nsqd.expect(f"FIN {only}")
        assert not running.done()


async def test_messages_are_synced_before_their_time_runs_out_however_long_the_interval(
    tmp_path: Path,
) -> None:
    async with (
        FakeNsqd(msg_timeout=1000) as nsqd,
        archiving(nsqd, tmp_path, max_in_flight=100, sync_interval=3600.0),
    ):
        await nsqd.expect(f"FIN {nsqd.message(b'only')}")


async def test_a_tick_opens_a_file_without_any_message(tmp_path: Path) -> None:
    async with (
        FakeNsqd() as nsqd,
        archiving(nsqd, tmp_path, gzip=True, sync_interval=0.05) as (
            consumer,
            _,
            running,
        ),
    ):
        await until((tmp_path / "t-000000.log.gz").exists)
        consumer.stop()
        await running
        assert gzip.decompress(read(tmp_path / "t-000000.log.gz")) == b""


async def test_a_reload_syncs_finishes_and_closes_and_the_next_message_opens_again(tmp_path: Path) -> None:
    out, work = tmp_path / "out", tmp_path / "work"
    async with (
        FakeNsqd() as nsqd,
        archiving(nsqd, out, work_dir=str(work), max_in_flight=100) as (
            consumer,
            archive,
            running,
        ),
    ):
        first = nsqd.message(b"one")
        await until(lambda: read(work / "t-000000.log") == b"one\n")
        archive.reload()
        await nsqd.expect(f"FIN {first}")
        assert read(out / "t-000000.log") == b"one\n"
        second = nsqd.message(b"two")
        await until(lambda: read(work / "t-000001.log") == b"two\n")
        consumer.stop()
        await running
        await nsqd.expect("CLS", f"FIN {second}")
        assert read(out / "t-000001.log") == b"two\n"


async def test_stopping_finishes_what_came_and_tells_how_much(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    async with FakeNsqd() as nsqd, make(nsqd.address, max_in_flight=100) as consumer:
        settings = Settings(output_dir=str(tmp_path), filename_format="<TOPIC>.log", max_in_flight=100)
        archive = TopicArchive(consumer, settings, archived=lambda *facts: told.append(facts))
        running = asyncio.create_task(archive.run())
        await nsqd.expect(*OPENING, "RDY 100")
        only = nsqd.message(b"only")
        await until(lambda: read(tmp_path / "t.log") == b"only\n")
        consumer.stop()
        await running
        await nsqd.expect("CLS", f"FIN {only}")
    assert told == [(1, 5)]


async def test_files_of_a_crash_are_completed_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "t-000000.log").write_bytes(b"one\nto")
    async with FakeNsqd() as nsqd, archiving(nsqd, tmp_path, rotate_interval=60.0, max_in_flight=1):
        await nsqd.expect(f"FIN {nsqd.message(b'two')}")
        assert read(tmp_path / "t-000000.log") == b"one\n"
        assert read(tmp_path / "t-000001.log") == b"two\n"


async def test_after_a_failed_sync_everything_goes_back_and_nothing_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(segment_module, "fdatasync", refuse)
    async with FakeNsqd() as nsqd, archiving(nsqd, tmp_path) as (_, _, running):
        ids = [nsqd.message(b"one"), nsqd.message(b"two")]
        with pytest.raises(ArchiveFailed, match=r"failed to fsync output file: .*: input/output error"):
            await running
        await nsqd.expect(*[f"REQ {i} 0" for i in ids])


async def test_a_cancelled_archive_hands_back_what_is_not_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    async with FakeNsqd() as nsqd, archiving(nsqd, tmp_path) as (_, _, running):
        ids = [nsqd.message(b"one"), nsqd.message(b"two")]
        await gate.reached()
        running.cancel()
        await asyncio.wait([running])
        await nsqd.expect(*[f"REQ {i} 0" for i in ids])
        gate.open.release()


async def test_a_consumer_that_fails_ends_the_archive_with_what_it_has_written(tmp_path: Path) -> None:
    async with FakeNsqd() as nsqd, archiving(nsqd, tmp_path, max_in_flight=100) as (consumer, _, running):
        nsqd.message(b"only")
        await until(lambda: read(tmp_path / "t.log") == b"only\n")
        consumer._reception.fail(RuntimeError("broken"))
        with pytest.raises(Closed):
            await running


async def test_messages_lost_with_their_connection_stay_in_the_file_and_are_not_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    async with FakeNsqd() as nsqd, archiving(nsqd, tmp_path) as (consumer, _, running):
        nsqd.message(b"one")
        nsqd.message(b"two")
        await gate.reached()
        nsqd.links[-1].drop()
        await until(lambda: consumer.stats.lost == 2)
        for _ in range(3):
            gate.open.release()
        consumer.stop()
        await running
        assert consumer.stats.finished == 0
        assert read(tmp_path / "t.log") == b"one\ntwo\n"


def test_a_missing_revision_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="missing <REV>"):
        TopicArchive(make("127.0.0.1:1"), Settings(filename_format="x", gzip=True))
