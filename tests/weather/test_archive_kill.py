"""nsq_to_file killed at random moments, and started again each time: no message is missing, no file is torn.

The lives are forked from a process that has imported all: each is a process of its own, under way at once.
"""

from __future__ import annotations

import gzip
import multiprocessing
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from struct import pack

import pytest

from nsqcore.addresses import parse_host_port
from nsqcore.wire.frames import MAGIC_V2
from tests.support.history import nsqd, post, stats
from tests.support.processes import DaemonProcess

SEED = int(os.environ.get("NSQ_KILL_SEED", "0")) or random.randrange(1, 1 << 30)
BATCH = 1000
"""Messages of one MPUB."""
LONGEST_LIFE_S = 0.15
"""Of one that is killed, from its fork on; it writes after some hundredth of a second."""
END_S = 30.0
"""Within so long the last life archives what is left."""

# Name: flags, lives, messages.
MODES: dict[str, tuple[tuple[str, ...], int, int]] = {
    "gzip, work folder, rotation": (
        ("--gzip", "--rotate-size=200000", "--rotate-interval=1s", "--work-dir={work}"),
        50,
        200_000,
    ),
    "one plain file": (("--filename-format=<TOPIC>.log",), 15, 40_000),
    "one gzip file after the other": (("--gzip",), 10, 20_000),
    "plain, rotation": (("--rotate-size=30000",), 10, 20_000),
    "plain, work folder": (("--work-dir={work}",), 10, 20_000),
}


def live(flags: Sequence[str], log: Path) -> None:
    """One life of nsq_to_file, in a process of its own."""
    from nsqclient.tools.common.tool import run_tool
    from nsqclient.tools.to_file.tool import TOOL

    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 2)
    sys.exit(run_tool(TOOL, flags))


def born(flags: Sequence[str], log: Path) -> BaseProcess:
    """A process that has begun such a life."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", "nsqclient.tools.to_file.tool", __name__])
    process = context.Process(target=live, args=(flags, log), daemon=True)
    process.start()
    return process


def body(number: int) -> bytes:
    """Of every length, and told from all others."""
    return b"%d " % number + b"x" * (number % 200)


def publish(daemon: DaemonProcess, numbers: range) -> None:
    """Returns once nsqd has them all."""
    with socket.create_connection(parse_host_port(daemon.tcp), 10) as connection:
        connection.sendall(MAGIC_V2)
        for start in range(numbers.start, numbers.stop, BATCH):
            bodies = [body(n) for n in range(start, min(start + BATCH, numbers.stop))]
            batch = pack(">I", len(bodies)) + b"".join(pack(">I", len(b)) + b for b in bodies)
            connection.sendall(b"MPUB t\n" + pack(">I", len(batch)) + batch)
            answer = connection.recv(10, socket.MSG_WAITALL)
            assert answer.endswith(b"OK"), answer


def left(daemon: DaemonProcess) -> int:
    """Messages that are not finished."""
    channel = stats(daemon)["t"]["channels"]["nsq_to_file"]
    return int(channel["depth"] + channel["in_flight_count"] + channel["deferred_count"])


def lines(folders: Sequence[Path]) -> Iterator[bytes]:
    """Of all files, each of which must be whole."""
    for folder in folders:
        for path in folder.rglob("*"):
            if path.suffix == ".gz":
                subprocess.run(["gzip", "-t", path], check=True, capture_output=True, timeout=60)
                data = gzip.decompress(path.read_bytes())
            else:
                data = path.read_bytes()
            if data:
                assert data.endswith(b"\n"), f"{path} ends with a part of a line: {data[-100:]!r}"
                yield from data[:-1].split(b"\n")


@pytest.mark.parametrize(("flags", "lives", "count"), MODES.values(), ids=MODES.keys())
def test_no_message_is_missing_and_no_file_torn(
    tmp_path: Path, flags: tuple[str, ...], lives: int, count: int
) -> None:
    """Each life is given its share of the messages, and most leave some of it to the next."""
    sys.stdout.write(f"NSQ_KILL_SEED={SEED}\n")  # which pytest shows when it fails
    chance = random.Random(SEED)
    output, work, log = tmp_path / "output", tmp_path / "work", tmp_path / "log"
    with nsqd(tmp_path, "--mem-queue-size=1000000") as daemon:
        argv = [
            f"--nsqd-tcp-address={daemon.tcp}",
            "--topic=t",
            f"--output-dir={output}",
            "--max-in-flight=500",
            "--sync-interval=50ms",
            *(flag.format(work=work) for flag in flags),
        ]
        assert post(daemon, "/topic/create?topic=t")[0] == 200
        assert post(daemon, "/channel/create?topic=t&channel=nsq_to_file")[0] == 200
        share = -(-count // (lives + 1))
        for life in range(lives):
            publish(daemon, range(life * share, (life + 1) * share))
            process = born(argv, log)
            process.join(chance.uniform(0, LONGEST_LIFE_S))
            assert process.exitcode is None, log.read_text()
            process.kill()
            process.join()
        publish(daemon, range(lives * share, (lives + 1) * share))
        process = born(argv, log)
        deadline = time.monotonic() + END_S
        while left(daemon):
            assert process.exitcode is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()[-2000:]
            process.join(0.05)
        process.terminate()
        process.join(END_S)
        assert process.exitcode == 0, log.read_text()[-2000:]
    folders = [folder for folder in (output, work) if folder.exists()]
    found = set(lines(folders))
    expected = {body(n) for n in range((lives + 1) * share)}
    assert not expected - found, f"{len(expected - found)} are missing, such as {min(expected - found)!r}"
    assert not found - expected, f"lines that nobody published, such as {min(found - expected)!r}"
    assert "Traceback" not in log.read_text()
