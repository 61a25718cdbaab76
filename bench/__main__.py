"""``make bench``: throughput and CPU time per message of nsqd on this machine, as a table.

The generator and the daemon want a core each. CPU per message is the figure to compare: it moves less with
the machine than messages per second do.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

KEPT = {"mem-queue-size": 20_000_000}
LARGE = {"mem-queue-size": 20_000_000, "max-body-size": 50_000_000}


@dataclass
class Row:
    name: str
    per_second: float
    cpu_us: float
    p99_ms: float


class Daemon:
    """A nsqd of its own on free ports."""

    def __init__(self, command: str, folder: str, flags: dict[str, int]) -> None:
        self.tcp, self.http = _free_address(), _free_address()
        argv = [
            *shlex.split(command),
            f"--tcp-address={self.tcp}",
            f"--http-address={self.http}",
            f"--data-path={folder}",
        ]
        argv += [f"--{name}={value}" for name, value in flags.items()]
        self.process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while True:
            try:
                self.post("/ping", method="GET")
                break
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"bench: it did not start: {shlex.join(argv)}") from None
                time.sleep(0.02)

    def post(self, path: str, method: str = "POST") -> None:
        request = urllib.request.Request(
            f"http://{self.http}{path}", data=b"" if method == "POST" else None, method=method
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            answer.read()

    def topic(self, name: str, *channels: str) -> None:
        self.post(f"/topic/create?topic={name}")
        for channel in channels:
            self.post(f"/channel/create?topic={name}&channel={channel}")

    def cpu(self) -> float:
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def load(self, name: str, mode: str, **options: object) -> Row:
        address = self.http if mode == "http" else self.tcp
        argv = [sys.executable, "-m", "bench.load", mode, f"--address={address}"]
        argv += [f"--{key}={value}" for key, value in options.items()]
        before = self.cpu()
        figures = json.loads(subprocess.run(argv, check=True, capture_output=True, timeout=120).stdout)
        messages = figures["messages"] or 1
        return Row(
            name, messages / figures["seconds"], (self.cpu() - before) / messages * 1e6, figures["p99"] * 1000
        )


def _free_address() -> str:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{s.getsockname()[1]}"


@contextmanager
def daemon(command: str, flags: dict[str, int]) -> Iterator[Daemon]:
    with tempfile.TemporaryDirectory(prefix="nsq-bench-") as folder:
        d = Daemon(command, folder, flags)
        try:
            yield d
        finally:
            d.process.terminate()
            d.process.wait(60)


def once(command: str, seconds: float) -> Iterator[Row]:
    """Every row, each group on a daemon of its own."""
    with daemon(command, KEPT) as d:
        d.topic("bench", "ch")
        yield d.load("mpub: 200 x 200 B", "pub", batch=200, seconds=seconds)
        yield d.load("sub: RDY 2500", "sub", seconds=30)
    with daemon(command, KEPT) as d:
        d.topic("bench", "ch")
        yield d.load("pub: one at a time", "pub", conns=4, seconds=seconds)
        yield d.load("pub: 64 in flight", "pub", conns=4, window=64, seconds=seconds)
        yield d.load("sub: 16 x RDY 1", "sub", conns=16, rdy=1, seconds=seconds)
    with daemon(command, KEPT) as d:
        d.topic("bench", "ch")
        yield d.load("POST /pub", "http", conns=16, seconds=seconds)
        yield d.load("POST /mpub: 100 x 200 B", "http", conns=4, batch=100, seconds=seconds)
    with daemon(command, KEPT) as d:
        d.topic("bench", *"vwxyz")
        yield d.load("mpub to 5 channels", "pub", batch=200, seconds=seconds)
    with daemon(command, {"mem-queue-size": 0}) as d:
        d.topic("bench", "ch")
        yield d.load("mpub to disk", "pub", batch=200, seconds=seconds)
        yield d.load("sub from disk", "sub", seconds=30)
    for compression in ("snappy", "deflate"):
        with daemon(command, KEPT) as d:
            d.topic("bench", "ch")
            yield d.load(
                f"{compression}: mpub 200 x 200 B", "pub", batch=200, compression=compression, seconds=seconds
            )
            yield d.load(f"{compression}: sub RDY 2500", "sub", compression=compression, seconds=30)
            yield d.load(
                f"{compression}: pub one at a time", "pub", conns=4, compression=compression, seconds=seconds
            )
    with daemon(command, LARGE) as d:
        d.topic("bench", "ch")
        yield d.load("mpub: 8 x 64 KiB", "pub", size=65536, batch=8, seconds=min(seconds, 2))
        yield d.load("sub: 64 KiB", "sub", size=65536, rdy=200, seconds=30)


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument(
        "--nsqd", default=f"{sys.executable} -m nsqd", help="command of the daemon to measure"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    args = parser.parse_args()
    runs: dict[str, list[Row]] = {}
    for _ in range(args.rounds):
        for row in once(args.nsqd, args.seconds):
            runs.setdefault(row.name, []).append(row)
    print(f"{'':26} {'messages/s':>12} {'CPU us/message':>15} {'p99 ms':>8}")
    for name, rows in runs.items():
        rate, cpu, p99 = (
            statistics.median(getattr(r, key) for r in rows) for key in ("per_second", "cpu_us", "p99_ms")
        )
        print(f"{name:26} {rate:12,.0f} {cpu:15.2f} {p99:8.2f}")


if __name__ == "__main__":
    main()
