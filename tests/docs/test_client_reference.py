"""Every public name of the client says what it is, and stands in the reference with that."""

from __future__ import annotations

import importlib

import pytest

from tests.support.client_reference import DOC, SECTIONS, Entry, Section, entries, first_sentence, page

PACKAGES = ("nsqclient", "nsqclient.blocking", "nsqclient.http", "nsqclient.push", "nsqclient.testing")
ENTRIES = [
    pytest.param(entry, id=f"{each.module}: {entry.name}") for each in SECTIONS for entry in entries(each)
]
SHORTEST = len("Ends a pause")


def test_the_reference_is_up_to_date() -> None:
    assert DOC.read_text("utf-8") == page(), "run python -m tests.support.client_reference"


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_stands_in_one_section(package: str) -> None:
    listed = [name for section in SECTIONS if section.module == package for name in section.names.split()]
    assert sorted(listed) == sorted(set(importlib.import_module(package).__all__))


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_name_says_what_it_is(entry: Entry) -> None:
    said = first_sentence(entry.text)
    assert said, "it says nothing"
    assert len(said) >= SHORTEST or not entry.name.endswith("()"), "it says next to nothing"


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.title)
def test_the_page_of_a_section_is_there(section: Section) -> None:
    assert (DOC.parent / section.page.partition("#")[0]).is_file()


def test_a_sentence_ends_where_it_should() -> None:
    assert first_sentence("One, :meth:`x.two` and ``three``. Four.") == "One, `x.two()` and `three`"
    assert first_sentence("For 1.3.0 or\nlater::\n\n    code") == "For 1.3.0 or later"
    assert first_sentence("See :class:`~a.b.C`.\n\nMore.") == "See `C`"
