from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from nsqadmin.pages.layout import BOX_WIDTH, THICKEST, THINNEST, Layout, lay_out

Links = list[tuple[str, str, float]]


@st.composite
def maps(draw: st.DrawFn) -> tuple[list[list[str]], Links]:
    sizes = draw(st.lists(st.integers(0, 12), max_size=4))
    columns = [[f"{i}.{j}" for j in range(size)] for i, size in enumerate(sizes)]
    links: Links = []
    for left, right in pairwise(columns):
        for a in left:
            for b in right:
                if draw(st.booleans()):
                    links.append((a, b, draw(st.floats(0, 1e9))))
    return columns, links


@given(maps())
def test_boxes_never_overlap_and_everything_is_inside_the_picture(
    drawn: tuple[list[list[str]], Links],
) -> None:
    columns, links = drawn
    layout = lay_out(columns, links)
    for column in columns:
        for above, below in pairwise(column):
            assert layout.places[above].bottom < layout.places[below].y
    for place in layout.places.values():
        assert place.x >= 0
        assert place.y >= 0
        assert place.x + place.width <= layout.width
        assert place.bottom <= layout.height
    assert len(layout.bands) == len(links)


@given(maps())
def test_bands_meet_their_boxes_side_by_side(drawn: tuple[list[list[str]], Links]) -> None:
    layout = lay_out(*drawn)
    for box in layout.places:
        leaving = [(band.start[1], band.thickness) for band in layout.bands if band.source == box]
        reaching = [(band.end[1], band.thickness) for band in layout.bands if band.target == box]
        for ports in (sorted(leaving), sorted(reaching)):
            _inside(layout, box, ports)


def _inside(layout: Layout, box: str, ports: list[tuple[float, float]]) -> None:
    place = layout.places[box]
    for (upper, thick), (lower, other) in pairwise(ports):
        assert lower - upper >= (thick + other) / 2 - 1e-6
    for middle, thick in ports:
        assert place.y <= middle - thick / 2
        assert middle + thick / 2 <= place.bottom


def test_a_band_is_as_thick_as_what_flows() -> None:
    layout = lay_out([["a"], ["b", "c", "d"]], [("a", "b", 100.0), ("a", "c", 50.0), ("a", "d", 0.0)])
    b, c, d = layout.bands
    assert b.thickness == THICKEST
    assert c.thickness == THINNEST + (THICKEST - THINNEST) / 2
    assert d.thickness == THINNEST
    assert b.start[0] == layout.places["a"].x + BOX_WIDTH
    assert b.end[0] == layout.places["b"].x


def test_where_nothing_flows_bands_are_thin() -> None:
    [band] = lay_out([["a"], ["b"]], [("a", "b", 0.0)]).bands
    assert band.thickness == THINNEST


def test_what_belongs_together_stands_side_by_side() -> None:
    layout = lay_out(
        [["t", "u"], ["t1", "t2", "t3", "u1"]],
        [("t", "t1", 1.0), ("t", "t2", 1.0), ("t", "t3", 1.0), ("u", "u1", 1.0)],
    )
    t, t2 = layout.places["t"], layout.places["t2"]
    assert t.y + t.height / 2 == t2.y + t2.height / 2
    assert layout.places["u"].y == layout.places["u1"].y


def test_an_empty_map_has_no_boxes() -> None:
    assert lay_out([], []).places == {}
    assert lay_out([[], []], []).height > 0
