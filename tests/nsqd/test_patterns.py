"""Patterns mean what they mean to Go, and none can keep the daemon busy."""

from __future__ import annotations

import time

import pytest

from nsqd.patterns import MOST_CHARACTERS, Pattern, PatternError, compiled


@pytest.mark.parametrize(
    ("text", "name", "found"),
    [
        ("", "", True),
        (".*", "", True),
        ("^c$", "", False),
        ("^t", "topic", True),
        ("^t", "a-topic", False),
        ("op", "topic", True),
        ("(?i)TOPIC", "topic", True),
        (r"^\Qa.b\E$", "a.b", True),
        (r"^\Qa.b\E$", "axb", False),
        ("^[[:alpha:]]+$", "abc", True),
        (r"^\w+#ephemeral\z", "t#ephemeral", True),
        ("(?U)a+", "aa", True),
    ],
)
def test_a_pattern_is_found_anywhere_in_a_name(text: str, name: str, found: bool) -> None:
    assert Pattern(text).found_in(name) is found


@pytest.mark.parametrize(
    "text", ["(", "[", "a**", "(?=a)", r"(a)\1", r"\Z", "a{1001}", "\ud800", "a" * (MOST_CHARACTERS + 1)]
)
def test_what_go_would_not_compile_is_refused_with_a_reason(
    text: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(PatternError, match=r"\w"):
        Pattern(text)
    assert capfd.readouterr().err == ""  # the reason is not told past the log


def test_no_pattern_is_slow() -> None:
    began = time.process_time()
    assert not Pattern("(a+)+$").found_in("a" * 63 + "!")
    assert time.process_time() - began < 1


def test_equal_texts_share_one_pattern() -> None:
    assert compiled("^shared$") is compiled("^shared$")
