"""Where the boxes and bands of a map stand: columns from left to right, bands between them. Pure.

Lengths are in units of the picture. Boxes of a column do not overlap, everything is inside the picture, and
bands leave and reach a box side by side, in the order of what they lead to, so that few of them cross.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

BOX_WIDTH = 190.0
LEAST_HEIGHT = 40.0
GAP = 12.0
BETWEEN = 100.0
"""From one column to the next."""
MARGIN = 4.0
TOP = 28.0
"""For the columns' headings."""
THINNEST, THICKEST = 1.5, 26.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a box is."""

    x: float
    y: float
    height: float
    width: float = BOX_WIDTH

    @property
    def bottom(self) -> float:
        """Its lower edge."""
        return self.y + self.height


@dataclass(frozen=True, slots=True)
class Band:
    """A band from one box to another, as thick as it carries."""

    source: str
    target: str
    thickness: float
    start: tuple[float, float]
    end: tuple[float, float]

    @property
    def path(self) -> str:
        """As the ``d`` of a SVG path, along its middle."""
        (x0, y0), (x1, y1) = self.start, self.end
        middle = (x0 + x1) / 2
        return f"M{x0:.1f} {y0:.1f}C{middle:.1f} {y0:.1f} {middle:.1f} {y1:.1f} {x1:.1f} {y1:.1f}"


@dataclass(frozen=True, slots=True)
class Layout:
    """A picture of ``width`` by ``height``."""

    width: float
    height: float
    places: Mapping[str, Place]
    bands: Sequence[Band]


def lay_out(columns: Sequence[Sequence[str]], links: Iterable[tuple[str, str, float]]) -> Layout:
    """Places the boxes of ``columns``, each known by its id, and the bands (from, to, how much) between them.

    The order within a column is kept. Every link leads from a box to one of the next column.
    """
    flows = list(links)
    most = max((amount for _, _, amount in flows), default=0.0)
    thickness = {(a, b): _thickness(amount, most) for a, b, amount in flows}
    leaving: dict[str, list[str]] = defaultdict(list)
    reaching: dict[str, list[str]] = defaultdict(list)
    for source, target in thickness:
        leaving[source].append(target)
        reaching[target].append(source)
    heights = {
        box: max(
            LEAST_HEIGHT,
            sum(thickness[box, other] for other in leaving[box]) + 8,
            sum(thickness[other, box] for other in reaching[box]) + 8,
        )
        for column in columns
        for box in column
    }
    tops = _tops(columns, heights, leaving, reaching)
    places = {
        box: Place(MARGIN + i * (BOX_WIDTH + BETWEEN), tops[box], heights[box])
        for i, column in enumerate(columns)
        for box in column
    }
    starts = {
        (box, other): y
        for box, others in leaving.items()
        for other, y in _ports(places[box], [(other, thickness[box, other]) for other in others], places)
    }
    ends = {
        (other, box): y
        for box, others in reaching.items()
        for other, y in _ports(places[box], [(other, thickness[other, box]) for other in others], places)
    }
    bands = [
        Band(a, b, thick, (places[a].x + BOX_WIDTH, starts[a, b]), (places[b].x, ends[a, b]))
        for (a, b), thick in thickness.items()
    ]
    return Layout(
        width=2 * MARGIN + len(columns) * BOX_WIDTH + max(0, len(columns) - 1) * BETWEEN,
        height=MARGIN + max((place.bottom for place in places.values()), default=TOP),
        places=places,
        bands=bands,
    )


def _thickness(amount: float, most: float) -> float:
    return THINNEST + (THICKEST - THINNEST) * (max(0.0, amount) / most if most > 0 else 0.0)


def _tops(
    columns: Sequence[Sequence[str]],
    heights: Mapping[str, float],
    leaving: Mapping[str, Sequence[str]],
    reaching: Mapping[str, Sequence[str]],
) -> dict[str, float]:
    """The tallest column is packed; each of the others goes as near as it can to what it is linked with."""
    tops: dict[str, float] = {}
    if not columns:
        return tops
    totals = [sum(heights[box] + GAP for box in column) for column in columns]
    tallest = totals.index(max(totals))
    bottom = TOP + totals[tallest]
    for i in [tallest, *range(tallest - 1, -1, -1), *range(tallest + 1, len(columns))]:
        beside = leaving if i < tallest else reaching
        wanted = []
        for box in columns[i]:
            middles = [tops[other] + heights[other] / 2 for other in beside.get(box, ()) if other in tops]
            wanted.append(sum(middles) / len(middles) - heights[box] / 2 if middles else None)
        tops.update(_packed(columns[i], heights, wanted, bottom))
    return tops


def _packed(
    column: Sequence[str], heights: Mapping[str, float], wanted: Sequence[float | None], bottom: float
) -> dict[str, float]:
    """Each box where it is wanted, or as near below the one before as it must, and none below ``bottom``."""
    tops: list[float] = []
    free = TOP
    for box, want in zip(column, wanted, strict=True):
        tops.append(max(free, free if want is None else want))
        free = tops[-1] + heights[box] + GAP
    limit = bottom
    for i in range(len(column) - 1, -1, -1):
        tops[i] = min(tops[i], limit - GAP - heights[column[i]])
        limit = tops[i]
    return dict(zip(column, tops, strict=True))


def _ports(
    place: Place, bands: Sequence[tuple[str, float]], places: Mapping[str, Place]
) -> Iterable[tuple[str, float]]:
    """Where the middle of each band meets the box: side by side about its middle, the highest other end first."""
    at = place.y + (place.height - sum(thick for _, thick in bands)) / 2
    for other, thick in sorted(bands, key=lambda band: places[band[0]].y):
        yield other, at + thick / 2
        at += thick
