"""Draws the plots. matplotlib comes with the extra ``bench`` and is imported when something is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.scale.ranges import BOUND, Plot, Point, curve

IMAGES = Path(__file__).parents[2] / "docs" / "img"
COLOURS = ["#0b62a4", "#b5500b"]
INK, FAINT = "#333333", "#dddddd"
LINEAR = 8
"""Values that differ by no more than this factor are shown over a linear axis, which begins at 0; so are those with a 0 among them."""


def file_of(plot: Plot, folder: Path = IMAGES) -> Path:
    """Where the plot is."""
    return folder / f"scale-{plot.name}.png"


def draw(plot: Plot, points: Sequence[Point], folder: Path = IMAGES) -> Path:
    """Draws the plot, 800 pixels wide, and returns its file.

    A band reaches from the smallest value of a series to BOUND times that.  ModuleNotFoundError without matplotlib.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    curves = [curve(plot, series, points) for series in plot.series]
    for found, label, colour in zip(curves, plot.series.values(), COLOURS, strict=False):
        if found:
            places, values = zip(*found, strict=True)
            axes.plot(places, values, color=colour, marker="o", markersize=4, label=label)
            if plot.relative:
                axes.axhspan(min(values), BOUND * min(values), color=colour, alpha=0.12, linewidth=0)
    if plot.limit is not None:
        axes.axhline(plot.limit, color=INK, linestyle="--", linewidth=1, label=f"bound: {plot.limit:g}")
    _scales(axes, plot, [pair for found in curves for pair in found])
    axes.set_title(plot.title, loc="left", color=INK, fontsize=13)
    if plot.relative:
        axes.set_title(f"bands: up to {BOUND:g} times the smallest", loc="right", color=INK, fontsize=9)
    axes.set_xlabel(plot.across, color=INK)
    axes.set_ylabel(plot.up, color=INK)
    axes.grid(visible=True, color=FAINT, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(edgecolor="none", framealpha=0.8, fontsize=10)
    path = file_of(plot, folder)
    figure.savefig(path, metadata={"Software": None})
    return path


def _scales(axes: Any, plot: Plot, shown: Sequence[tuple[int, float]]) -> None:
    """Ticks where something was measured; a linear axis from 0 up where values are alike."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    ticks = FuncFormatter(lambda value, _: plain(value))
    axes.set_xscale("log")
    axes.set_xticks(sorted({x for x, _ in shown}))
    axes.xaxis.set_major_formatter(ticks)
    axes.xaxis.set_minor_locator(NullLocator())
    values = [value for _, value in shown]
    if min(values) > 0 and (plot.limit is not None or max(values) > LINEAR * min(values)):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(ticks)
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        axes.set_ylim(bottom=0)


def plain(value: float) -> str:
    """A number on an axis: 1000 as 1k, 10000000 as 10M, 4096 as 4Ki."""
    for size, letter in (1e6, "M"), (1e3, "k"):
        if value >= size and value % 1024:
            return f"{value / size:g}{letter}"
    for size, letter in (1 << 20, "Mi"), (1 << 10, "Ki"):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"
