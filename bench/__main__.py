"""``make bench``: throughput and CPU time per message of nsqd on this machine, as a table.

The generator and the daemon want a core each. CPU per message is the figure to compare: it moves less with
the machine than messages per second do.
"""

from __future__ import annotations

import argparse
import json
import shlex
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import trustme

from bench.load import LAYERS

KEPT: dict[str, object] = {"mem-queue-size": 20_000_000}
SCHEDULED = 2
"""CPUCLOCK_SCHED of Linux: with a process id it makes that process's clock."""
LARGE = {"mem-queue-size": 20_000_000, "max-body-size": 50_000_000}


@dataclass
class Row:
    name: str
    per_second: float
    cpu_us: float
    p99_ms: float


class Daemon:
    """A nsqd of its own on free ports."""

    def __init__(self, command: str, folder: str, flags: Mapping[str, object]) -> None:
        self.tcp, self.http = _free_address(), _free_address()
        argv = [
            *shlex.split(command),
            f"--tcp-address={self.tcp}",
            f"--http-address={self.http}",
            f"--data-path={folder}",
        ]
        argv += [f"--{name}={value}" for name, value in flags.items()]
        self.process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self._await_start(argv)
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise

    def _await_start(self, argv: list[str]) -> None:
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
        """Seconds of CPU time so far, to the nanosecond: of all threads, those that ended too."""
        return time.clock_gettime(~self.process.pid << 3 | SCHEDULED)

    def generator(self, mode: str, options: Mapping[str, object]) -> list[str]:
        """The command of a load generator."""
        address = self.http if mode == "http" else self.tcp
        argv = [sys.executable, "-m", "bench.load", mode, f"--address={address}"]
        return argv + [f"--{key}={value}" for key, value in options.items()]

    @contextmanager
    def loaded(self, mode: str, **options: object) -> Iterator[None]:
        """Meanwhile there is this load, too."""
        process = subprocess.Popen(self.generator(mode, options), stdout=subprocess.DEVNULL)
        try:
            yield
        finally:
            process.wait(60)

    def load(self, name: str, mode: str, **options: object) -> Row:
        argv = self.generator(mode, options)
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
def daemon(command: str, flags: Mapping[str, object]) -> Iterator[Daemon]:
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
    with daemon(command, {}) as d:
        d.topic("bench", "ch")
        with d.loaded("pub", batch=20, conns=2, seconds=seconds + 1):
            yield d.load("in by 20, out by RDY 200", "sub", conns=4, rdy=200, seconds=seconds)
    with daemon(command, {"mem-queue-size": 0}) as d:
        d.topic("bench", "ch")
        yield d.load("mpub to disk", "pub", batch=200, seconds=seconds)
        yield d.load("sub from disk", "sub", seconds=30)
    with daemon(command, LARGE) as d:
        d.topic("bench", "ch")
        yield d.load("mpub: 8 x 64 KiB", "pub", size=65536, batch=8, seconds=min(seconds, 2))
        yield d.load("sub: 64 KiB", "sub", size=65536, rdy=200, seconds=30)


def layered(command: str, seconds: float) -> Iterator[Row]:
    """The rows of TLS and compression."""
    with tempfile.TemporaryDirectory(prefix="nsq-bench-tls-") as folder:
        flags = KEPT | certificate(folder)
        for layers in LAYERS:
            with daemon(command, flags) as d:
                d.topic("bench", "ch")
                yield d.load(f"{layers}: mpub 200 x 200 B", "pub", batch=200, layers=layers, seconds=seconds)
                yield d.load(f"{layers}: sub RDY 2500", "sub", layers=layers, seconds=30)
            with daemon(command, flags) as d:
                d.topic("bench", "ch")
                yield d.load(f"{layers}: pub one at a time", "pub", conns=4, layers=layers, seconds=seconds)
                yield d.load(
                    f"{layers}: sub 16 x RDY 1", "sub", conns=16, rdy=1, layers=layers, seconds=seconds
                )


def certificate(folder: str) -> dict[str, str]:
    """The flags of a certificate made for this run."""
    made = trustme.CA().issue_cert("localhost")
    cert, key = f"{folder}/cert.pem", f"{folder}/key.pem"
    made.cert_chain_pems[0].write_to_path(cert)
    made.private_key_pem.write_to_path(key)
    return {"tls-cert": cert, "tls-key": key, "https-address": "127.0.0.1:0"}


def table(runs: dict[str, list[Row]]) -> None:
    print(f"{'':26} {'messages/s':>12} {'CPU us/message':>15} {'p99 ms':>8}")
    for name, rows in runs.items():
        rate, cpu, p99 = (
            statistics.median(getattr(r, key) for r in rows) for key in ("per_second", "cpu_us", "p99_ms")
        )
        print(f"{name:26} {rate:12,.0f} {cpu:15.2f} {p99:8.2f}")


def comparison(ours: dict[str, list[Row]], peer: dict[str, list[Row]]) -> None:
    """CPU per message of both, and how many times less is ours."""
    print(f"{'CPU us/message':26} {'ours':>8} {'peer':>8} {'peer/ours':>10}")
    for name, rows in ours.items():
        a, b = (statistics.median(r.cpu_us for r in each) for each in (rows, peer[name]))
        print(f"{name:26} {a:8.2f} {b:8.2f} {b / a:10.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument(
        "--nsqd", default=f"{sys.executable} -m nsqd", help="command of the daemon to measure"
    )
    parser.add_argument("--peer", help="command of another daemon, measured in turn with the first")
    parser.add_argument("--layers", action="store_true", help="only the rows of TLS and compression")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    args = parser.parse_args()
    commands = [args.nsqd, args.peer] if args.peer else [args.nsqd]
    groups = [layered] if args.layers else [once, layered]
    runs: list[dict[str, list[Row]]] = [{} for _ in commands]
    for _ in range(args.rounds):
        for group in groups:
            for command, rows in zip(commands, runs, strict=True):
                for row in group(command, args.seconds):
                    rows.setdefault(row.name, []).append(row)
    table(runs[0])
    if args.peer:
        comparison(runs[0], runs[1])


if __name__ == "__main__":
    main()
