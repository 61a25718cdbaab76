"""``python -m bench.clients``: nsqclient beside the other Python clients, in turn, against one nsqd.

Wall time and CPU time per message of the client process, ratios first: machines differ and vary. Each round the
libraries take turns in another order.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
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

OUR_TASKS = [
    Task("submit, 1,000 pending", "submit", 50_000, 1_000),
    Task("Consumer.run, 32 handlers", "handle", 50_000, 32),
    Task("App, 32 handlers", "app", 50_000, 32),
]
"""What only nsqclient has, or what would be another thing with others."""


def measure(d: Daemon, library: str, task: Task, topic: str, patience: float) -> tuple[float, float] | None:
    """Microseconds and CPU microseconds per message; None when the library can't do it."""
    d.topic(topic, "ch")
    if task.mode in ("consume", "handle", "app"):
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


class Results:
    """Figures by row and library, a list with one for each round; None where the library could not do it."""

    def __init__(self, title: str) -> None:
        self.title = title
        self._rounds: dict[tuple[str, str], list[float | None]] = {}

    def add(self, task: Task, library: str, figure: float | None) -> None:
        self._rounds.setdefault((task.name, library), []).append(figure)

    def print(self, tasks: Sequence[Task]) -> None:
        """How many times ours the others' are, then medians of all.

        A ratio is the median of the rounds' ratios: what else the machine was doing then, all had to bear.
        """
        others = LIBRARIES[1:]
        print(f"| {self.title}: times nsqclient's | {' | '.join(others)} | best of them |")
        print("| --- |" + " ---: |" * (len(others) + 1))
        for task in tasks:
            ratios = [self._ratio(task, library) for library in others]
            best = min((ratio for ratio in ratios if ratio is not None), default=None)
            print(f"| {task.name} | {' | '.join(_text(ratio, 2) for ratio in [*ratios, best])} |")
        print()
        print(f"| {self.title} | {' | '.join(LIBRARIES)} |")
        print("| --- |" + " ---: |" * len(LIBRARIES))
        for task in tasks:
            medians = [self.median(task, library) for library in LIBRARIES]
            print(f"| {task.name} | {' | '.join(_text(median, 1) for median in medians)} |")
        print()

    def median(self, task: Task, library: str) -> float | None:
        """Of all rounds."""
        rounds = [figure for figure in self._rounds.get((task.name, library), []) if figure is not None]
        return statistics.median(rounds) if rounds else None

    def _ratio(self, task: Task, library: str) -> float | None:
        pairs = zip(self._rounds[task.name, library], self._rounds[task.name, "nsqclient"], strict=True)
        ratios = [theirs / ours for theirs, ours in pairs if theirs and ours]
        return statistics.median(ratios) if ratios else None


def _text(figure: float | None, digits: int) -> str:
    return "-" if figure is None else f"{figure:.{digits}f}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.clients", description=__doc__)
    parser.add_argument(
        "--nsqd", default=f"{sys.executable} -m nsqd", help="command of the daemon to work with"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="a part of the names of the rows to run")
    parser.add_argument(
        "--patience", type=float, default=60.0, help="seconds after which a program is stopped"
    )
    args = parser.parse_args()
    tasks = [task for task in TASKS if args.only in task.name]
    ours = [task for task in OUR_TASKS if args.only in task.name]
    wall, cpu = Results("Wall time"), Results("CPU time")
    with daemon(args.nsqd, KEPT) as d:
        for number in range(args.rounds):
            for row, task in enumerate(tasks):
                first = (number + row) % len(
                    LIBRARIES
                )  # nobody always comes first, or always behind the same
                for library in LIBRARIES[first:] + LIBRARIES[:first]:
                    figures = measure(d, library, task, f"{library}_{number}", args.patience)
                    wall.add(task, library, figures and figures[0])
                    cpu.add(task, library, figures and figures[1])
            for task in ours:
                if figures := measure(d, "nsqclient", task, f"ours_{number}", args.patience):
                    wall.add(task, "nsqclient", figures[0])
                    cpu.add(task, "nsqclient", figures[1])
    print("Microseconds per message.")
    print()
    wall.print(tasks)
    cpu.print(tasks)
    print("| nsqclient alone | wall time | CPU time |")
    print("| --- | ---: | ---: |")
    for task in ours:
        medians = [results.median(task, "nsqclient") for results in (wall, cpu)]
        print(f"| {task.name} | {' | '.join(_text(median, 1) for median in medians)} |")


if __name__ == "__main__":
    main()
