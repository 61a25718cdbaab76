"""``python -m bench.nodes``: what several nsqd on one machine do together, one core each, as a table.

A process of load has to run somewhere, too. So each nsqd is measured twice: with a core to itself and its
generator on another (what a core is good for), and sharing one core with its generator (a pair). Pairs need
nothing of each other's, so N pairs beside one tell how much N nodes of a machine are in each other's way.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import NamedTuple

from bench.__main__ import KEPT, Daemon, daemon
from bench.others import Others

SUB_SHARE = 0.4
"""Of the time of publishing: consuming is up to twice as fast, and must not come to the end of the messages."""


@dataclass(frozen=True)
class Work:
    """What the generators do, and the options of ``bench.load`` for it."""

    name: str
    mode: str
    options: tuple[str, ...]
    share: float = 1.0
    """Of ``--seconds``."""


WORK = (
    # Enough under way that a nsqd has always something to do, and what the load waits for is never an answer.
    Work("mpub: 200 x 200 B", "pub", ("--batch=200", "--conns=4", "--window=4")),
    Work("sub: RDY 2500", "sub", ("--conns=4",), SUB_SHARE),
    Work("pub: 64 in flight", "pub", ("--conns=8", "--window=64")),
)


@dataclass(frozen=True)
class Place:
    """The cores of one nsqd and of its generator."""

    nsqd: int
    generator: int


class Row(NamedTuple):
    """Figures of one kind of work, all nodes together."""

    per_second: float
    cpu_us: float
    """Of the nsqds, per message."""
    generator_us: float
    busy: float
    """Share of a core that a nsqd took, 1 for all of it."""


def together(places: Sequence[Place], seconds: float) -> Iterator[tuple[str, Row]]:
    """All work with a nsqd and a generator for each place, all generators of a kind at the same time."""
    with ExitStack() as running:
        nodes = [running.enter_context(daemon(f"{sys.executable} -m nsqd", KEPT)) for _ in places]
        for node, place in zip(nodes, places, strict=True):
            _pin(node.process.pid, place.nsqd)
            node.topic("bench", "ch")
        for work in WORK:
            yield work.name, _measured(work, nodes, places, seconds)


def _measured(work: Work, nodes: Sequence[Daemon], places: Sequence[Place], seconds: float) -> Row:
    before = [node.cpu() for node in nodes]
    argv = [sys.executable, "-m", "bench.load", work.mode, *work.options, f"--seconds={work.share * seconds}"]
    generators = []
    for node, place in zip(nodes, places, strict=True):
        process = subprocess.Popen([*argv, f"--address={node.tcp}"], stdout=subprocess.PIPE)
        _pin(process.pid, place.generator)
        generators.append(process)
    messages, rate, took, generator_cpu = 0, 0.0, 0.0, 0.0
    for process in generators:
        assert process.stdout is not None
        with process.stdout:
            told = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"bench: a generator ended with status {process.returncode}")
        figures = json.loads(told)
        messages += figures["messages"]
        rate += figures["messages"] / figures["seconds"]
        took += figures["seconds"]
        generator_cpu += usage.ru_utime + usage.ru_stime
    cpu = sum(node.cpu() for node in nodes) - sum(before)
    return Row(rate, cpu / messages * 1e6, generator_cpu / messages * 1e6, cpu / took)


def _pin(pid: int, core: int) -> None:
    os.sched_setaffinity(pid, {core})


def table(rows_of: dict[str, dict[str, list[Row]]]) -> None:
    """Medians; the last column is what the row's nodes would do if they had their cores for themselves alone."""
    print(
        f"{'':20} {'nsqds':20} {'messages/s':>12} {'CPU us':>7} {'generator':>10} {'core':>5} {'cores full':>12}"
    )
    for work in WORK:
        name = work.name
        for places, rows in rows_of.items():
            rate, cpu, generator, busy = map(statistics.median, zip(*rows[work.name], strict=True))
            full = int(places.split(",")[0]) / cpu * 1e6
            print(
                f"{name:20} {places:20} {rate:12,.0f} {cpu:7.2f} {generator:10.2f} {busy:5.0%} {full:12,.0f}"
            )
            name = ""


def main() -> None:
    """Runs all, and prints the table, and how far the machine was ours."""
    parser = argparse.ArgumentParser(prog="bench.nodes", description=__doc__)
    parser.add_argument("--nsqd", type=int, default=2, metavar="N", help="up to so many nodes (default 2)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of publishing, for each kind of work")
    args = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < max(2, args.nsqd):
        raise SystemExit(f"bench: {max(2, args.nsqd)} cores are needed, and there are {len(cores)}")
    settings = {"1, apart from load": [Place(cores[0], cores[1])]}
    settings |= {
        f"{count}, beside the load": [Place(core, core) for core in cores[:count]]
        for count in range(1, args.nsqd + 1)
    }
    rows_of: dict[str, dict[str, list[Row]]] = {name: {} for name in settings}
    others = Others()
    for _ in range(args.rounds):
        for name, places in settings.items():
            for work, row in together(places, args.seconds):
                rows_of[name].setdefault(work, []).append(row)
    table(rows_of)
    print(f"Other programs had {others.share():.0%} of the machine's time.")


if __name__ == "__main__":
    main()
