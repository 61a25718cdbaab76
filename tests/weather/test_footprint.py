"""What nsqd costs where nothing happens, and how soon it serves: bounds that hold on a slow machine, too."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path

import pytest

from nsqcore.wire.commands import encode_sub
from nsqcore.wire.frames import MAGIC_V2
from tests.support.history import get, nsqd, stats
from tests.support.nsqd import eventually
from tests.support.processes import DaemonProcess
from tests.support.statsd import Server
from tests.support.tls import Authority
from tests.weather.test_many_clients import crowd

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what it costs is read from /proc")

TOPICS, CONSUMERS = 1000, 500


def cpu(daemon: DaemonProcess) -> float:
    """Seconds of work so far, which other load does not stretch."""
    fields = Path(f"/proc/{daemon.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(daemon: DaemonProcess) -> float:
    """Megabytes that are resident."""
    pages = int(Path(f"/proc/{daemon.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.fixture
def full_folder(tmp_path: Path) -> Path:
    """A data folder of many topics with two channels each."""
    channels = [{"name": name, "paused": False} for name in ("c0", "c1")]
    topics = [{"name": f"t{n}", "paused": False, "channels": channels} for n in range(TOPICS)]
    (tmp_path / "nsqd.dat").write_text(json.dumps({"topics": topics, "version": "1.3.0"}))
    return tmp_path


async def test_a_thousand_topics_are_served_soon_and_cost_next_to_nothing(full_folder: Path) -> None:
    with nsqd(full_folder) as daemon:
        assert cpu(daemon) < 3.0, "seconds of work until it serves"
        assert len(stats(daemon)) == TOPICS
        said = MAGIC_V2 + encode_sub("t1", "c0") + b"RDY 1\n"
        with crowd(daemon.tcp, CONSUMERS, said):
            await eventually(lambda: len(stats(daemon)["t1"]["channels"]["c0"]["clients"]) == CONSUMERS)
            before = cpu(daemon)
            await asyncio.sleep(2)  # what is measured is that nothing happens
            assert cpu(daemon) - before < 0.2
            assert memory_mb(daemon) < 250
        started = time.monotonic()
        assert await asyncio.to_thread(daemon.stop) == 0
        assert time.monotonic() - started < 10


@pytest.mark.parametrize("what", ["nothing", "TLS", "AUTH", "statsd", "all"])
def test_it_serves_after_less_than_a_second_of_work(tmp_path: Path, what: str) -> None:
    server = Server()
    flags = {
        "TLS": [*Authority(tmp_path).flags, "--https-address=127.0.0.1:0"],
        "AUTH": ["--auth-http-address=127.0.0.1:9"],
        "statsd": [server.flag],
    }
    flags |= {"nothing": [], "all": [flag for some in flags.values() for flag in some]}
    data = tmp_path / "data"
    data.mkdir()
    with nsqd(data, *flags[what]) as daemon:
        assert get(daemon, "/ping") == (200, b"OK")
        assert cpu(daemon) < 1.0
    server.close()
