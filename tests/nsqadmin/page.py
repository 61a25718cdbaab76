"""Reads a page of nsqadmin as its visitor does: headings, tables by column, links, forms."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"meta", "link", "input", "br", "img", "rect"}


class Page(HTMLParser):
    """One page; fails on tags that do not nest, which is how markup that was not escaped shows."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.title = ""
        self.headings: list[str] = []
        self.tables: list[list[dict[str, str]]] = []
        """Rows of each table, foot included: the text of each cell by its column's heading."""
        self.links: dict[str, str] = {}
        """Addresses by text."""
        self.fields: dict[str, str] = {}
        """Values of the form's fields by name."""
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        """Every attribute of every tag."""
        self._all: list[str] = []
        self._open: list[str] = []
        self._texts: list[list[str]] = []
        self._columns: list[str] = []
        self._cells: list[str] = []
        self._href = ""
        self.feed(text)
        self.close()
        assert not self._open, f"left open: {self._open}"

    def table(self, index: int = 0) -> list[dict[str, str]]:
        """The rows of a table."""
        return self.tables[index]

    @property
    def words(self) -> str:
        """All text between the tags, blanks made one."""
        return " ".join(" ".join(self._all).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        self.attributes += list(values.items())
        if tag == "input" and "name" in values:
            self.fields[values["name"]] = values.get("value", "")
        if tag in VOID:
            return
        self._open.append(tag)
        self._texts.append([])
        if tag == "table":
            self.tables.append([])
            self._columns = []
        if tag == "tr":
            self._cells = []
        if tag == "a":
            self._href = values.get("href", "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self._open[-1:] == [tag], f"</{tag}> closes {self._open}"
        self._open.pop()
        text = " ".join("".join(self._texts.pop()).split())
        if self._texts:
            self._texts[-1].append(text)
        if tag == "title" and "svg" not in self._open:
            self.title = text
        elif tag in ("h1", "h2", "h3"):
            self.headings.append(text)
        elif tag == "a":
            self.links[text] = self._href
        elif tag in ("th", "td"):
            self._cells.append(text)
        elif tag == "tr" and "thead" in self._open:
            self._columns = self._cells
        elif tag == "tr":
            self.tables[-1].append(dict(zip(self._columns, self._cells, strict=True)))

    def handle_data(self, data: str) -> None:
        self._all.append(data)
        if self._texts:
            self._texts[-1].append(data)
