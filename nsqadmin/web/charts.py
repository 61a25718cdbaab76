"""Pictures of figures over time: a sparkline for a table's cell, a chart for a page. Pure.

Plots are SVG that stretches to its place; words and numbers beside them are HTML, so that they stay readable at
any width. A value that was not measured is a gap. Nothing is styled here (static/charts.css), nothing needs a
script: static/chart.js only adds exact values under the pointer.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from markupsafe import Markup

WIDTH, HEIGHT = 600, 100
"""Of a plot, in its own units; on the page it is as large as its place."""
SPARK_WIDTH, SPARK_HEIGHT = 120, 24


class Points(Protocol):
    """Evenly spaced values, the newest last and measured at ``end`` (Unix seconds), ``step`` seconds apart."""

    @property
    def end(self) -> float:
        """When the newest was measured."""
        ...

    @property
    def step(self) -> float:
        """Seconds between them."""
        ...

    @property
    def values(self) -> Sequence[float | None]:
        """None where nothing was measured."""
        ...


@dataclass(frozen=True, slots=True)
class Line:
    """One series of a chart."""

    label: str
    look: str
    """A class of static/charts.css: ``published``, ``finished``, ``depth``, ``in-flight``, ``trouble``, ``other``."""
    points: Points


@dataclass(frozen=True, slots=True)
class Unit:
    """How values read."""

    short: Callable[[float], str]
    """On an axis."""
    exact: Callable[[float], str]
    """In words."""
    name: str


def compact(value: float) -> str:
    """``950``, ``1.2k``, ``35M``: three digits at most."""
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size * 0.9995:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def rate(value: float) -> str:
    """Messages per second: ``0.25/s``, ``12/s``, ``1,234/s``."""
    if value >= 100:
        return f"{value:,.0f}/s"
    return f"{value:.3g}/s"


def duration(nanoseconds: float) -> str:
    """``237 ms``, ``1.5 s``, ``0``."""
    for size, unit in ((1e9, "s"), (1e6, "ms"), (1e3, "µs")):
        if nanoseconds >= size:
            return f"{nanoseconds / size:.3g} {unit}"
    return f"{nanoseconds:.0f} ns" if nanoseconds else "0"


UNITS = {
    "count": Unit(compact, lambda value: f"{value:,.0f}", "count"),
    "rate": Unit(lambda value: f"{compact(value)}/s", rate, "rate"),
    "ns": Unit(duration, duration, "ns"),
}


def sparkline(points: Points, label: str, look: str = "depth", unit: str = "count") -> Markup:
    """A tiny picture for a table's cell; ``label`` says what it is: ``depth, last hour``."""
    words = UNITS[unit]
    known = [value for value in points.values if value is not None]
    if not known:
        return Markup('<span class="spark nothing" title="{}: not known yet">&ndash;</span>').format(label)
    text = (
        f"{label}: {words.exact(min(known))} to {words.exact(max(known))}, now {words.exact(known[-1])}"
        if max(known) > min(known)
        else f"{label}: {words.exact(known[-1])} all the time"
    )
    top = max(known) or 1.0
    return Markup(
        '<svg class="spark {look}" viewBox="0 0 {w} {h}" preserveAspectRatio="none" role="img" aria-label="{text}">'
        "<title>{text}</title>{paths}</svg>"
    ).format(
        look=look,
        w=SPARK_WIDTH,
        h=SPARK_HEIGHT,
        text=text,
        paths=_paths(points.values, top, SPARK_WIDTH, SPARK_HEIGHT, area=True),
    )


def chart(title: str, lines: Sequence[Line], unit: str = "count", *, note: str = "") -> Markup:
    """A chart with its axes, its legend and, in words, what it shows.

    All lines have the same times. ``note`` stands below the title, if only to say what a term means.
    """
    words = UNITS[unit]
    known = [value for line in lines for value in line.points.values if value is not None]
    head = Markup("<figcaption><span>{}</span>{}</figcaption>").format(
        title, Markup("<small>{}</small>").format(note) if note else ""
    )
    if not known:
        return Markup('<figure class="chart">{}<p class="nothing">Nothing measured yet.</p></figure>').format(
            head
        )
    top = ceiling(max(known), whole=unit == "count")
    points = lines[0].points
    return Markup(
        '<figure class="chart" data-chart="" data-end="{end}" data-step="{step}" data-unit="{unit}">{head}'
        '<div class="plot"><div class="y" aria-hidden="true"><span>{high}</span><span>{middle}</span><span>0</span></div>'
        '<svg viewBox="0 0 {w} {h}" preserveAspectRatio="none" aria-hidden="true">{grid}{paths}</svg>'
        '<div class="x" aria-hidden="true">{times}</div></div>{legend}</figure>'
    ).format(
        end=f"{points.end:.3f}",
        step=f"{points.step:g}",
        unit=words.name,
        head=head,
        high=words.short(top),
        middle=words.short(top / 2),
        w=WIDTH,
        h=HEIGHT,
        grid=_grid(),
        paths=Markup("").join(_line(line, top, area=len(lines) == 1) for line in lines),
        times=_times(points),
        legend=_legend(lines, words),
    )


def ceiling(value: float, *, whole: bool = False) -> float:
    """The number at the top of an axis: no lower than ``value``, and round, as is its half."""
    if not 1e-9 < value < 1e300:
        return 2.0 if whole else 1.0
    size = 10.0 ** math.floor(math.log10(value))
    top = next(size * step for step in (1, 2, 4, 6, 8, 10, 20) if size * step >= value * (1 - 1e-9))
    return max(top, 2.0) if whole else top


def _line(line: Line, top: float, *, area: bool) -> Markup:
    paths = _paths(line.points.values, top, WIDTH, HEIGHT, area=area)
    values = json.dumps([None if value is None else float(f"{value:.4g}") for value in line.points.values])
    return Markup('<g class="{}" data-label="{}" data-values="{}">{}</g>').format(
        line.look, line.label, values.replace(" ", ""), paths
    )


def _paths(values: Sequence[float | None], top: float, width: int, height: int, *, area: bool) -> Markup:
    """The line through the values and, if wanted, the area below it."""
    across = width / max(1, len(values) - 1)
    line, below = [], []
    for start, run in _runs(values):
        spots = [
            f"{(start + i) * across:.1f} {height - 1 - value / top * (height - 2):.1f}"
            for i, value in enumerate(run)
        ]
        # A value on its own would be a line without length, which nobody sees.
        line.append("M" + "L".join(spots if len(spots) > 1 else [spots[0], _beside(spots[0], across)]))
        if area and len(run) > 1:
            last = (start + len(run) - 1) * across
            below.append(f"M{start * across:.1f} {height}L{'L'.join(spots)}L{last:.1f} {height}Z")
    filled = Markup('<path class="area" d="{}"/>').format("".join(below)) if below else Markup("")
    return filled + Markup('<path class="line" vector-effect="non-scaling-stroke" d="{}"/>').format(
        "".join(line)
    )


def _beside(spot: str, across: float) -> str:
    x, y = spot.split()
    return f"{abs(float(x) - across / 2):.1f} {y}"


def _runs(values: Sequence[float | None]) -> Iterator[tuple[int, list[float]]]:
    """Where each unbroken run of values starts, and the run."""
    run: list[float] = []
    for i, value in enumerate(values):
        if value is not None:
            run.append(max(0.0, value))
        elif run:
            yield i - len(run), run
            run = []
    if run:
        yield len(values) - len(run), run


def _grid() -> Markup:
    levels = (1.0, HEIGHT / 2, HEIGHT - 1.0)
    path = "".join(f"M0 {level:g}H{WIDTH}" for level in levels)
    return Markup('<path class="grid" vector-effect="non-scaling-stroke" d="{}"/>').format(path)


def _times(points: Points) -> Markup:
    """Five moments, evenly spaced, the last one the newest value's; a script turns them to local time."""
    span = points.step * max(1, len(points.values) - 1)
    moments = [points.end - span * (4 - i) / 4 for i in range(5)]
    return Markup("").join(
        Markup('<time datetime="{}" data-clock="">{}</time>').format(
            f"{at:%Y-%m-%dT%H:%M:%SZ}", f"{at:%H:%M}"
        )
        for at in (datetime.fromtimestamp(moment, UTC) for moment in moments)
    )


def _range(known: Sequence[float], words: Unit) -> str:
    """Lowest and highest; nothing where the newest value says it all."""
    if not known:
        return "nothing measured"
    return f"{words.exact(min(known))} to {words.exact(max(known))}" if min(known) < max(known) else ""


def _legend(lines: Sequence[Line], words: Unit) -> Markup:
    items = []
    for line in lines:
        known = [value for value in line.points.values if value is not None]
        newest = line.points.values[-1]
        now = "not known" if newest is None else words.exact(newest)
        rest = _range(known, words)
        items.append(
            Markup(
                '<div class="{}"><dt>{}</dt><dd><span data-now="">{}</span> <small>{}</small></dd></div>'
            ).format(line.look, line.label, now, rest)
        )
    return Markup('<dl class="legend">{}</dl>').format(Markup("").join(items))
