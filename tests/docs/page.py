"""Reads pages of tables, ``docs/compatibility.md`` above all: rows, and the tests that are named as their proofs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "compatibility.md"
_CODE = re.compile(r"`([^`]+)`")
_PROOF = re.compile(r"(?P<file>[\w/]+\.py)::(?P<test>\w+)")


@dataclass(frozen=True)
class Row:
    """One line of a table."""

    section: str
    item: str
    """What the first cell has between backquotes."""
    proofs: tuple[tuple[str, str], ...]
    """(File below ``tests``, name of the test)."""


@cache
def rows() -> tuple[Row, ...]:
    """All rows of the page that name a piece of code, in its order."""
    found: list[Row] = []
    for section, cells in tables(PAGE):
        item = _CODE.match(cells[0])
        if item is not None:
            found.append(Row(section, item.group(1), proofs_in(cells[-1])))
    return tuple(found)


def tables(page: Path) -> Iterator[tuple[str, list[str]]]:
    """Each line of a page's tables that is no head, as its section and its cells."""
    section, below_head = "", False
    for line in page.read_text("utf-8").splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ")
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if not cells:
            below_head = False
        elif set("".join(cells)) <= set("-: "):
            below_head = True
        elif below_head:
            yield section, cells


def proofs_in(text: str) -> tuple[tuple[str, str], ...]:
    """The tests that a cell names, as (file below ``tests``, name)."""
    return tuple((m["file"], m["test"]) for m in _PROOF.finditer(text))


def items(section: str) -> list[str]:
    """The items of one section, in its order."""
    return [row.item for row in rows() if row.section == section]
