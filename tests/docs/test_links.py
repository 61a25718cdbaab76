"""Every page can be reached and every link leads somewhere: to a file, and to the heading in it that is meant."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from tests.docs.page import ROOT

PAGES = [*sorted((ROOT / "docs").rglob("*.md")), *ROOT.glob("*.md"), *sorted((ROOT / "client").rglob("*.md"))]
CLIENT = ROOT / "docs" / "client"
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@cache
def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return _FENCE.sub("", page.read_text("utf-8"))


def links(page: Path) -> list[str]:
    """Where a page leads to within the repository."""
    return [found["target"] for found in _LINK.finditer(prose(page)) if ":" not in found["target"]]


def links_in(line: str) -> list[str]:
    """The pages that a line of a list leads to."""
    return [found["target"] for found in _LINK.finditer(line)]


@cache
def anchors(page: Path) -> frozenset[str]:
    """What its headings are called in addresses."""
    names = (
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in _HEADING.findall(prose(page))
    )
    return frozenset(names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"there is no {path}"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{target.name} has no heading {anchor}"


def test_the_clients_index_names_every_page_once() -> None:
    listed = [
        link
        for line in prose(CLIENT / "README.md").splitlines()
        if line.startswith("* ")
        for link in links_in(line)
    ]
    assert sorted(listed) == sorted(page.name for page in CLIENT.glob("*.md") if page.name != "README.md")
