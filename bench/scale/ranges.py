"""What grows: a range of points, how one is measured, and what its plots show."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Values = Mapping[str, float]
"""Figures of one point by the name of their series."""

BOUND = 1.5
"""How many times its smallest a cost may be over a range."""


@dataclass(frozen=True)
class Plot:
    """One picture: series of a range over what grows, and the bound that they shall keep."""

    name: str
    """The picture is ``docs/img/scale-NAME.png``."""
    title: str
    across: str
    up: str
    series: Mapping[str, str]
    """Names of values, and what the legend calls them."""
    since: float = 0.0
    until: float = float("inf")
    """The part of the range that is shown, both ends included."""
    relative: bool = True
    """The cost shall stay within BOUND of its smallest."""
    limit: float | None = None
    """What no value shall exceed, in the unit of the values."""


@dataclass(frozen=True)
class Range:
    """One thing that grows while everything else stays as it is."""

    name: str
    points: tuple[int, ...]
    quick: tuple[int, ...]
    measure: Callable[[int, int], Values]
    """Of a point, and of how many messages it shall move."""
    plots: tuple[Plot, ...]


@dataclass(frozen=True)
class Point:
    """What was measured at one place of a range."""

    x: int
    values: Values


@dataclass(frozen=True)
class Verdict:
    """How one series of a plot keeps its bound."""

    plot: str
    series: str
    smallest: float
    largest: float
    kept: bool


def middle(rounds: Sequence[Values]) -> dict[str, float]:
    """The median of each value over the rounds of one point."""
    return {name: statistics.median(values[name] for values in rounds) for name in rounds[0]}


def curve(plot: Plot, series: str, points: Sequence[Point]) -> list[tuple[int, float]]:
    """The places and values of a series that its plot shows."""
    return [
        (point.x, point.values[series])
        for point in points
        if series in point.values and plot.since <= point.x <= plot.until
    ]


def verdicts(plot: Plot, points: Sequence[Point]) -> list[Verdict]:
    """How each series of a plot keeps the bound; one without a bound keeps it always."""
    found = []
    for series in plot.series:
        values = [value for _, value in curve(plot, series, points)]
        if not values:
            continue
        smallest, largest = min(values), max(values)
        kept = not plot.relative or largest <= BOUND * smallest
        kept = kept and (plot.limit is None or largest <= plot.limit)
        found.append(Verdict(plot.name, series, smallest, largest, kept))
    return found
