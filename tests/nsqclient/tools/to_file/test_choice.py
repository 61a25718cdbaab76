"""Topics are chosen by name and by pattern; what is left out is told of once."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqclient.tools.to_file.choice import MOST_REMEMBERED, Choice
from nsqcore.names import valid_name
from nsqcore.patterns import PatternError


def test_a_pattern_is_found_anywhere_in_a_name() -> None:
    choice = Choice("r[de]")
    assert choice.of_discovered(["orders", "cards", "clicks"]) == ["cards", "orders"]
    assert Choice("^c").of_discovered(["orders", "cards", "clicks"]) == ["cards", "clicks"]


def test_without_a_pattern_all_are_wanted() -> None:
    assert Choice("").of_discovered(["b", "a"]) == ["a", "b"]
    assert Choice("").of_named(["b", "a", "b"]) == ["b", "a"]


def test_patterns_have_go_s_syntax() -> None:
    assert Choice(r"^\pL+\z").of_discovered(["orders", "orders2"]) == ["orders"]


@pytest.mark.parametrize("pattern", ["(", "[a", "a**", "(?=a)", r"\1", "x{2000}"])
def test_a_bad_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(PatternError, match=r"\w"):
        Choice(pattern)


def test_a_named_topic_that_does_not_match_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    assert Choice("^o").of_named(["orders", "clicks"]) == ["orders"]
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
        ("WARNING", "skipping topic clicks (doesn't match pattern ^o)")
    ]


def test_a_discovered_one_is_told_of_once_and_in_detail_only(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    choice = Choice("^o")
    for _ in range(3):
        assert choice.of_discovered(["orders", "clicks"]) == ["orders"]
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
        ("DEBUG", "skipping topic clicks (doesn't match pattern ^o)")
    ]


@pytest.mark.parametrize("name", ["", "../up", "a/b", "a b", "x" * 65, "a#b", "ä"])
def test_what_is_no_topic_s_name_never_becomes_one_of_a_file(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    choice = Choice("")
    assert choice.of_discovered([name]) == choice.of_discovered([name]) == []
    assert [r.levelname for r in caplog.records] == ["WARNING"]


def test_names_that_are_told_of_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    choice = Choice("")
    choice.of_discovered([f"no name {n}" for n in range(MOST_REMEMBERED + 10)])
    assert len(caplog.records) == MOST_REMEMBERED


@given(st.text(max_size=20), st.lists(st.text(max_size=70), max_size=5))
def test_any_pattern_and_names_give_valid_names_or_one_refusal(pattern: str, names: list[str]) -> None:
    try:
        choice = Choice(pattern)
    except PatternError:
        return
    assert all(map(valid_name, choice.of_discovered(names)))
