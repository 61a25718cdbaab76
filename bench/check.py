"""``make bench-check``: fails where a row of ``make bench`` costs more CPU than was recorded for it.

A cost is told as a multiple of ``bench.yardstick``, measured before and after the row: machines and their moods
differ, the ratio hardly does. Medians of several rounds are compared, in each of which every row has its turn; where
one is beyond its bound, as many rounds again must agree.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.__main__ import layered, once
from bench.others import Others
from bench.yardstick import yardstick

RECORDED = Path(__file__).with_name("recorded.json")
TOLERANCE = 1.2


@dataclass(frozen=True)
class Verdict:
    """What became of one row."""

    row: str
    now: float | None
    """Its ratio to the yardstick; None for one that was not measured."""
    recorded: float | None
    """None for one that is new."""

    @property
    def loss(self) -> bool:
        """It costs more than TOLERANCE times what was recorded."""
        return self.now is not None and self.recorded is not None and self.now > self.recorded * TOLERANCE

    @property
    def kept(self) -> bool:
        """It was recorded and measured, and is no loss."""
        return self.now is not None and self.recorded is not None and not self.loss

    def words(self) -> str:
        """The verdict as the table has it."""
        if self.now is None:
            return "GONE: it was not measured"
        if self.recorded is None:
            return "NEW: record it"
        change = (self.now / self.recorded - 1) * 100
        return f"{'TOO MUCH' if self.loss else 'ok'} ({change:+.0f} %)"


def verdicts(now: Mapping[str, float], recorded: Mapping[str, float]) -> list[Verdict]:
    """A verdict on every row of either, the measured first and in their order."""
    return [Verdict(row, now.get(row), recorded.get(row)) for row in {**now, **recorded}]


def measure(ratios: dict[str, list[float]], rounds: int, seconds: float) -> None:
    """Adds the ratios of some more rounds to those of each row."""
    command = f"{sys.executable} -m nsqd"
    for turn in range(rounds):
        print(f"round {turn + 1} of {rounds}", file=sys.stderr)
        before = yardstick()
        for group in once, layered:
            for row in group(command, seconds):
                after = yardstick()
                ratios.setdefault(row.name, []).append(row.cpu_us * 2 / (before + after))
                before = after


def medians(ratios: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """The median ratio of each row."""
    return {row: statistics.median(found) for row, found in ratios.items()}


def table(found: list[Verdict]) -> None:
    """Prints every row."""
    print(f"{'CPU, times the yardstick':36} {'now':>8} {'recorded':>9}  verdict")
    for each in found:
        now, recorded = ("-" if ratio is None else f"{ratio:.4f}" for ratio in (each.now, each.recorded))
        print(f"{each.row:36} {now:>8} {recorded:>9}  {each.words()}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.check", description=__doc__)
    parser.add_argument(
        "--record", action="store_true", help="write what is measured now as what is to be kept"
    )
    parser.add_argument("--recorded", type=Path, default=RECORDED, help="file of what is to be kept")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of a row that publishes")
    args = parser.parse_args()
    ratios: dict[str, list[float]] = {}
    others = Others()
    measure(ratios, args.rounds, args.seconds)
    others.warn()
    if args.record:
        rounded = {row: float(f"{ratio:.4g}") for row, ratio in medians(ratios).items()}
        args.recorded.write_text(json.dumps(rounded, indent=1) + "\n", "utf-8")
        return 0
    recorded = json.loads(args.recorded.read_text("utf-8"))
    found = verdicts(medians(ratios), recorded)
    if any(each.loss for each in found):
        print("a row is beyond what was recorded: as many rounds again", file=sys.stderr)
        measure(ratios, args.rounds, args.seconds)
        found = verdicts(medians(ratios), recorded)
    table(found)
    lost = [each.row for each in found if not each.kept]
    if lost:
        print(f"\nbench: beyond what was recorded: {', '.join(lost)}")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
