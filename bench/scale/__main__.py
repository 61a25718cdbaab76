"""``make bench-scale``: grows one thing at a time, measures what it costs nsqd, and draws docs/img/scale-*.png.

The generator is this process; it and the daemon want a core each. CPU time is the daemon's, all threads.
"""

from __future__ import annotations

import argparse
import time
from importlib.util import find_spec
from pathlib import Path

from bench.others import Others
from bench.scale.backlog import BACKLOG
from bench.scale.clients import CONSUMERS, PRODUCERS
from bench.scale.drawing import IMAGES, draw
from bench.scale.names import CHANNELS, REST, TOPICS
from bench.scale.node import raise_file_limit, time_limit
from bench.scale.pending import DEFERRED, IN_FLIGHT, TIMEOUTS
from bench.scale.ranges import Point, Range, Values, middle, verdicts
from bench.scale.results import RESULTS, Points, load, save
from bench.scale.sizes import SIZE

RANGES = [SIZE, PRODUCERS, CONSUMERS, TOPICS, CHANNELS, REST, BACKLOG, IN_FLIGHT, DEFERRED, TIMEOUTS]
MESSAGES, QUICK_MESSAGES = 200_000, 2000
SLOW_S = 8.0
"""A point that takes longer is measured once: it lasts long enough to be steady."""
BUDGET_S = 100.0
"""Seconds after which no further round of a range begins."""


def measured(grown: Range, rounds: int, *, quick: bool) -> list[Point]:
    """Every point of a range: medians of the rounds, in each of which the whole range is gone through."""
    found: dict[int, list[Values]] = {}
    began, slow = time.monotonic(), set[int]()
    for turn in range(rounds):
        if turn and time.monotonic() - began > BUDGET_S * turn / (turn + 1):
            break
        for x in grown.quick if quick else grown.points:
            if x in slow:
                continue
            start = time.monotonic()
            with time_limit():
                found.setdefault(x, []).append(grown.measure(x, QUICK_MESSAGES if quick else MESSAGES))
            if time.monotonic() - start > SLOW_S:
                slow.add(x)
    return [Point(x, middle(values)) for x, values in found.items()]


def report(ranges: list[Range], points: Points) -> None:
    """A table of how each series keeps its bound."""
    print(f"{'plot':16} {'series':16} {'smallest':>10} {'largest':>10} {'ratio':>7}")
    for grown in ranges:
        for plot in grown.plots:
            for each in verdicts(plot, points.get(grown.name, [])):
                ratio = each.largest / each.smallest if each.smallest else float("inf")
                print(
                    f"{each.plot:16} {each.series:16} {each.smallest:10.4g} {each.largest:10.4g} {ratio:7.2f}"
                    f"{'' if each.kept else '  beyond its bound'}"
                )


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.scale", description=__doc__)
    parser.add_argument("--only", action="append", choices=[each.name for each in RANGES], default=[])
    parser.add_argument("--quick", action="store_true", help="few points and messages: that it works at all")
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--plot-only", action="store_true", help="draw what was measured before")
    part.add_argument(
        "--measure-only", action="store_true", help="draw nothing; matplotlib is not needed then"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--results", type=Path, default=RESULTS, help="file of what was measured")
    parser.add_argument("--images", type=Path, default=IMAGES, help="folder of the plots")
    args = parser.parse_args()
    ranges = [each for each in RANGES if not args.only or each.name in args.only]
    if not args.measure_only and find_spec("matplotlib") is None:
        raise SystemExit("bench: matplotlib is missing: pip install -e '.[bench]', or --measure-only")
    points = load(args.results)
    if not args.plot_only:
        raise_file_limit()
        others = Others()
        for grown in ranges:
            start = time.monotonic()
            points[grown.name] = measured(grown, 1 if args.quick else args.rounds, quick=args.quick)
            save(points, args.results)
            print(f"{grown.name}: {time.monotonic() - start:.0f} s", flush=True)
        others.warn()
    report(ranges, points)
    if not args.measure_only:
        for grown in ranges:
            for plot in grown.plots:
                draw(plot, points[grown.name], args.images)


if __name__ == "__main__":
    main()
