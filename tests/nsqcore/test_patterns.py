"""Patterns mean what they mean to Go, and none can keep the daemon busy."""

from __future__ import annotations

import time

import pytest

from nsqcore.patterns import MOST_CHARACTERS, Pattern, PatternError, compiled

# (pattern, names it is found in, names it is not found in)
FOUND: list[tuple[str, list[str], list[str]]] = [
    ("", ["", "t"], []),
    (".*", ["", "t"], []),
    ("^t", ["t", "t1"], ["", "at"]),
    ("opi", ["topic"], ["op", "OPI"]),
    ("^c$", ["c"], ["", "cc", "c#ephemeral"]),
    ("^(?:a|b|)$", ["a", "b", ""], ["ab"]),
    (r"\Aa\z", ["a"], ["ab", "ba"]),
    (r"a\.b", ["a.b"], ["axb"]),
    (r"\Qa.b\E+$", ["a.b", "a.bb"], ["axb", "a.ba.c"]),
    (r"\Qa.b", ["a.b"], ["axb"]),
    ("^[[:alpha:]]+\\z", ["abc"], ["abc1", ""]),
    ("^[[:^digit:]_]+$", ["a-b_"], ["a1"]),
    ("[^a-y]", ["z", "A", "."], ["a", "abc", ""]),
    ("^[]a]$", ["a"], ["b"]),
    (r"^[\w-]+$", ["a_1-"], ["a.b"]),
    (r"^\d+\D$", ["12a"], ["123", "a"]),
    (r"\s|\S{3}", ["abc"], ["ab"]),
    (r"\bfoo\b", ["x.foo-", "foo"], ["foot", "_foo"]),
    (r"\Boo\B", ["foot"], ["foo"]),
    ("^a{2}$", ["aa"], ["a", "aaa"]),
    ("^a{2,}$", ["aa", "aaaa"], ["a"]),
    ("^a{1,2}?$", ["a", "aa"], ["", "aaa"]),
    ("^a{0}b$", ["b"], ["ab"]),
    ("a{,2}", [], ["aa"]),
    ("^(ab){2}$", ["abab"], ["ab"]),
    ("^a{1000}", [], ["a" * 64]),
    ("(?:){1000}x?", [""], []),
    ("^x*$", ["", "xx"], ["y"]),
    ("^x+?y?$", ["x", "xxy"], ["", "y"]),
    ("(?i)TOPIC", ["topic", "Topic"], ["topi"]),
    ("(?i:T)op", ["Top", "top"], ["TOP"]),
    ("a(?i)b|c", ["aB", "C"], ["A"]),
    ("(a(?i)b)c", ["aBc"], ["aBC"]),
    ("(?i)[a-c]x", ["Bx", "bX"], ["dx"]),
    ("(?i)[[:upper:]]1", ["a1"], ["-1"]),
    ("(?i)\u017f", ["s", "S"], ["t"]),
    ("(?i)[\u2100-\u2200]", ["k", "K"], ["s"]),
    ("(?i-s:a)(?sU)b", ["Ab"], ["AB"]),
    ("(?P<name>a)(?<other>b)", ["ab"], ["a"]),
    (r"^\x61\x{62}\143$", ["abc"], ["ab"]),
    (r"\pL\p{Nd}", ["a1"], ["1a"]),
    (r"^\P{L}\p{^L}\PL$", ["1-2"], ["a-2"]),
    (r"^\p{Any}\p{Latin}\p{Common}$", ["1a1"], ["111"]),
    (r"(?i)^\p{Lu}$", ["a"], ["1"]),
    ("é|a", ["a"], ["e"]),
    ("[^é]", ["e"], [""]),
    ("}", [], ["a"]),
    ("^a]?$", ["a"], ["b"]),
    (r"^a\-\_b$", ["a-_b"], ["ab"]),
]


@pytest.mark.parametrize(("pattern", "found", "missing"), FOUND, ids=[row[0] for row in FOUND])
def test_a_pattern_is_found_anywhere_in_a_name(pattern: str, found: list[str], missing: list[str]) -> None:
    compiled = Pattern(pattern)
    assert [name for name in found if not compiled.found_in(name)] == []
    assert [name for name in missing if compiled.found_in(name)] == []


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
