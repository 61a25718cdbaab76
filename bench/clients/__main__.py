"""``python -m bench.clients``: nsqclient beside the other Python clients, in turn, against one nsqd.

Wall time and CPU time per message of the client process. Compare ratios of one run: machines differ and vary.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from dataclasses import dataclass

from bench.__main__ import KEPT, Daemon, daemon

LIBRARIES = ["nsqclient", "pynsq", "gnsq", "ansq", "asyncnsq"]
FILL = 500
"""Messages in each MPUB that fills a topic."""


@dataclass(frozen=True)
class Task:
    """A row: COUNT messages, WIDTH of them at a time."""

    name: str
    mode: str
    count: int
    width: int


TASKS = [
    Task("publish, one at a time", "publish", 4_000, 1),
    Task("publish, 500 under way", "publish", 20_000, 500),
    Task("publish, 100 per MPUB", "batch", 100_000, 100),
    Task("consume, max_in_flight 1", "consume", 4_000, 1),
    Task("consume, max_in_flight 200", "consume", 20_000, 200),
    Task("consume, max_in_flight 2,500", "consume", 50_000, 2_500),
]


def measure(d: Daemon, library: str, task: Task, topic: str, patience: float) -> tuple[float, float] | None:
    """Microseconds and CPU microseconds per message; None when the library can't do it."""
    d.topic(topic, "ch")
    if task.mode == "consume":
        fill = Task("", "batch", task.count, min(FILL, task.count))
        if run(d, "nsqclient", fill, topic, 60) is None:
            raise SystemExit("bench: the topic could not be filled")
    figures = run(d, library, task, topic, patience)
    d.post(f"/topic/delete?topic={topic}")
    return figures


def run(d: Daemon, library: str, task: Task, topic: str, patience: float) -> tuple[float, float] | None:
    argv = [sys.executable, "-m", f"bench.clients.{library}_program"]
    argv += [task.mode, d.tcp, topic, str(task.count), str(task.width)]
    try:
        done = subprocess.run(argv, check=True, capture_output=True, timeout=patience, text=True)
        figures = json.loads(done.stdout.splitlines()[0])
    except subprocess.TimeoutExpired as e:
        if not e.stdout:  # some libraries report and then hang at their exit
            return None
        figures = json.loads(e.stdout.splitlines()[0])
    except (subprocess.CalledProcessError, IndexError):
        return None
    return figures["seconds"] / task.count * 1e6, figures["cpu"] / task.count * 1e6


def table(title: str, results: dict[tuple[str, str], list[float]]) -> None:
    """Medians; the last column is the best of the others divided by ours."""
    print(f"| {title} | {' | '.join(LIBRARIES)} | best other / nsqclient |")
    print("| --- |" + " ---: |" * (len(LIBRARIES) + 1))
    for task in TASKS:
        cells: dict[str, float] = {}
        for library in LIBRARIES:
            if runs := results.get((task.name, library)):
                cells[library] = statistics.median(runs)
        texts = [f"{cells[library]:.1f}" if library in cells else "-" for library in LIBRARIES]
        others = [cells[library] for library in LIBRARIES[1:] if library in cells]
        ratio = f"{min(others) / cells['nsqclient']:.1f}" if others and "nsqclient" in cells else "-"
        print(f"| {task.name} | {' | '.join(texts)} | {ratio} |")


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.clients", description=__doc__)
    parser.add_argument(
        "--nsqd", default=f"{sys.executable} -m nsqd", help="command of the daemon to work with"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", help="a part of the names of the rows to run")
    parser.add_argument(
        "--patience", type=float, default=60.0, help="seconds after which a program is stopped"
    )
    args = parser.parse_args()
    wall: dict[tuple[str, str], list[float]] = {}
    cpu: dict[tuple[str, str], list[float]] = {}
    with daemon(args.nsqd, KEPT) as d:
        for number in range(args.rounds):
            for task in TASKS:
                if args.only and args.only not in task.name:
                    continue
                for library in LIBRARIES:
                    figures = measure(d, library, task, f"{library}_{number}", args.patience)
                    if figures is not None:
                        wall.setdefault((task.name, library), []).append(figures[0])
                        cpu.setdefault((task.name, library), []).append(figures[1])
    table("us per message", wall)
    print()
    table("CPU us per message", cpu)


if __name__ == "__main__":
    main()
