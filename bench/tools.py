"""``make bench-tools``: messages per second and CPU time per message of the command-line tools, as a table.

The CPU time is that of the tool's process alone, start and end included. The first row is nsqd itself, taking the
same messages: machines differ, but the ratio of a row to it hardly does.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.__main__ import KEPT, Daemon, daemon
from bench.load import Connection, bodies, publish_command

SIZE = 200
BATCH = 200
TIMEOUT_S = 300


@dataclass
class Row:
    """One measurement."""

    name: str
    per_second: float
    cpu_us: float
    rss_mb: float


def publish(d: Daemon, topic: str, count: int, *, varied: bool = False) -> None:
    """Puts so many messages there."""
    connection = Connection(d.tcp)
    command = publish_command(topic, SIZE, BATCH, http=False, varied=varied)
    for _ in range(count // BATCH):
        connection.sendall(command)
        connection.expect_ok()


def depth(d: Daemon, topic: str) -> int:
    """Messages of the topic's channels that are not finished; of the topic itself without one."""
    with urllib.request.urlopen(f"http://{d.http}/stats?format=json&topic={topic}", timeout=30) as answer:
        (told,) = json.load(answer)["topics"]
    queues = told["channels"] or [told]
    return sum(q["depth"] + q.get("in_flight_count", 0) for q in queues)


def command(module: str, *flags: str) -> list[str]:
    """The command line of a tool."""
    return [sys.executable, "-m", f"nsqclient.tools.{module}", "--log-level=warn", *flags]


def measured(name: str, process: subprocess.Popen[bytes], count: int, began: float, ended: float) -> Row:
    """A row of a process that ends now."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"bench: {name} ended with status {process.returncode}")
    seconds = (ended or time.perf_counter()) - began
    return Row(name, count / seconds, _cpu(usage) / count * 1e6, usage.ru_maxrss / 1024)


def _cpu(usage: resource.struct_rusage) -> float:
    return usage.ru_utime + usage.ru_stime


def archive(name: str, d: Daemon, count: int, *flags: str) -> Row:
    """nsq_to_file with a backlog of so many messages."""
    topic = f"archive{time.monotonic_ns()}"
    d.topic(topic, "nsq_to_file")
    publish(d, topic, count, varied="--gzip" in flags)
    with tempfile.TemporaryDirectory(prefix="nsq-bench-files-") as folder:
        argv = command(
            "to_file",
            f"--nsqd-tcp-address={d.tcp}",
            f"--topic={topic}",
            f"--output-dir={folder}",
            "--max-in-flight=2500",
            "--sync-interval=100ms",  # or the last messages, too few for a sync, would wait for 30 s
            *flags,
        )
        began = time.perf_counter()
        process = subprocess.Popen(argv)
        while depth(d, topic):
            if process.poll() is not None or time.perf_counter() - began > TIMEOUT_S:
                raise SystemExit(f"bench: {name} did not get to the end")
            time.sleep(0.05)
        ended = time.perf_counter()
        process.terminate()
        row = measured(name, process, count, began, ended)
        if "--gzip" not in flags:
            written = sum(path.stat().st_size for path in Path(folder).iterdir())
            if written != count * (SIZE + 1):
                raise SystemExit(f"bench: {name} wrote {written} bytes")
    return row


def pipe(name: str, d: Daemon, count: int, *flags: str) -> Row:
    """to_nsq with so many lines."""
    topic = f"pipe{time.monotonic_ns()}"
    d.topic(topic)
    with tempfile.TemporaryFile() as lines:
        line = next(bodies(SIZE, 1, varied=False)) + b"\n"
        for _ in range(count // BATCH):
            lines.write(line * BATCH)
        lines.seek(0)
        began = time.perf_counter()
        argv = command("from_stdin", f"--nsqd-tcp-address={d.tcp}", f"--topic={topic}", *flags)
        row = measured(name, subprocess.Popen(argv, stdin=lines), count, began, 0.0)
    if depth(d, topic) != count:
        raise SystemExit(f"bench: {name} published {depth(d, topic)} of {count}")
    return row


def watch(name: str, d: Daemon, count: int, *flags: str) -> Row:
    """nsq_tail with a backlog of so many messages, read by a program in a pipe."""
    topic = f"watch{time.monotonic_ns()}"
    d.topic(topic, "ch")
    publish(d, topic, count)
    argv = command("tail", f"--nsqd-tcp-address={d.tcp}", topic, "--channel=ch", "-n", str(count), *flags)
    began = time.perf_counter()
    with subprocess.Popen(["wc", "-c"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as reader:
        assert reader.stdin is not None
        assert reader.stdout is not None
        with reader.stdin:
            process = subprocess.Popen(argv, stdout=reader.stdin)
        row = measured(name, process, count, began, 0.0)
        printed = int(reader.stdout.read())
    if printed != count * (SIZE + 1):
        raise SystemExit(f"bench: {name} printed {printed} bytes")
    return row


def once(count: int) -> Iterator[Row]:
    """Every row; nsqd begins anew for each tool."""
    with daemon(f"{sys.executable} -m nsqd", KEPT) as d:
        d.topic("bench", "ch")
        nsqd = d.load("nsqd: mpub, 200 x 200 B", "pub", batch=BATCH, seconds=2)
        yield Row(nsqd.name, nsqd.per_second, nsqd.cpu_us, 0.0)
    rows = (
        (archive, "nsq_to_file: plain", ()),
        (archive, "nsq_to_file: gzip", ("--gzip",)),
        (watch, "nsq_tail", ()),
        (pipe, "to_nsq", ()),
    )
    for run, name, flags in rows:
        with daemon(f"{sys.executable} -m nsqd", KEPT) as d:
            yield run(name, d, count, *flags)


def table(runs: dict[str, list[Row]]) -> None:
    """Medians, and the ratio to the first row."""
    yardstick = 0.0
    sys.stdout.write(f"{'':26} {'messages/s':>12} {'CPU us/message':>15} {'ratio':>6} {'MB':>6}\n")
    for name, rows in runs.items():
        rate, cpu, rss = _medians(rows)
        yardstick = yardstick or cpu
        memory = f"{rss:6.0f}" if rss else ""
        sys.stdout.write(f"{name:26} {rate:12,.0f} {cpu:15.2f} {cpu / yardstick:6.1f} {memory}\n")


def _medians(rows: Sequence[Row]) -> tuple[float, float, float]:
    return (
        statistics.median(row.per_second for row in rows),
        statistics.median(row.cpu_us for row in rows),
        statistics.median(row.rss_mb for row in rows),
    )


def main() -> None:
    """Runs all, and prints the table."""
    parser = argparse.ArgumentParser(prog="bench.tools", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--messages", type=int, default=1_000_000)
    args = parser.parse_args()
    runs: dict[str, list[Row]] = {}
    for _ in range(args.rounds):
        for row in once(args.messages // BATCH * BATCH):
            runs.setdefault(row.name, []).append(row)
    table(runs)


if __name__ == "__main__":
    main()
