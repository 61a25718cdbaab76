"""Reads ``docs/compatibility.md``: its rows, and the tests that each of them names as its proof."""

from __future__ import annotations

import re
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
    """All rows of the page, in its order."""
    found: list[Row] = []
    section = ""
    for line in PAGE.read_text("utf-8").splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ")
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        item = _CODE.match(cells[0]) if cells else None
        if item is not None:
            proofs = tuple((m["file"], m["test"]) for m in _PROOF.finditer(cells[-1]))
            found.append(Row(section, item.group(1), proofs))
    return tuple(found)


def items(section: str) -> list[str]:
    """The items of one section, in its order."""
    return [row.item for row in rows() if row.section == section]
