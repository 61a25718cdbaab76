"""Which rows a page lists, and in which order: search and sort as the address says. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Column(Generic[Row]):
    """A column that a table can be sorted by."""

    key: str
    """Its name in addresses."""
    label: str
    value: Callable[[Row], str | float]
    hint: str = ""
    numeric: bool = True
    """Whether it holds numbers, which sort highest first."""


@dataclass(frozen=True, slots=True)
class Listing(Generic[Row]):
    """A search and an order; by the first of the columns if nothing else is wanted."""

    columns: Sequence[Column[Row]]
    search: str
    column: Column[Row]
    descending: bool

    @classmethod
    def parse(cls, query: Mapping[str, str], columns: Sequence[Column[Row]]) -> Listing[Row]:
        """Reads ``q``, ``sort`` and ``order``; what makes no sense is as if it were not there."""
        wanted = query.get("sort", "")
        column = next((column for column in columns if column.key == wanted), columns[0])
        order = query.get("order", "")
        descending = order == "desc" if order in ("asc", "desc") else column.numeric
        return cls(columns, query.get("q", "").strip(), column, descending)

    def query(self, column: Column[Row] | None = None) -> dict[str, str]:
        """The parameters of this listing, or of the one that a click on ``column`` leads to."""
        descending = self.descending
        if column is not None:
            descending = not self.descending if column is self.column else column.numeric
        column = column or self.column
        query = {"q": self.search} if self.search else {}
        if column is not self.columns[0] or descending != column.numeric:
            query["sort"] = column.key
        if descending != column.numeric:
            query["order"] = "desc" if descending else "asc"
        return query

    def arrange(self, rows: Iterable[Row], name: Callable[[Row], str]) -> list[Row]:
        """The rows in whose ``name`` the search is, in order; equal ones by name, whichever way the others go."""
        wanted = self.search.lower()
        found = sorted((row for row in rows if wanted in name(row).lower()), key=name)
        found.sort(key=self.column.value, reverse=self.descending)
        return found
