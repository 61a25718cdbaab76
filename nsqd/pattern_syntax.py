"""Go's syntax of regular expressions (RE2), as a tree; for names, which are ASCII.

A set of characters is a number with a bit for each of the 128; what lies beyond ASCII is understood but
matches nothing.
"""

from __future__ import annotations

import re
import string
import unicodedata
from dataclasses import dataclass
from typing import Final

MOST_NESTED: Final = 100
"""Levels of groups; more are refused."""
_MOST_REPEATS = 1000
ALL = (1 << 128) - 1


class PatternError(ValueError):
    """It does not compile; the text says why, much as Go does."""


def _mask(characters: str) -> int:
    mask = 0
    for character in characters:
        if character.isascii():
            mask |= 1 << ord(character)
    return mask


def _between(low: int, high: int) -> int:
    return ((1 << (min(high, 127) + 1)) - 1) & ~((1 << low) - 1) if low < 128 else 0


WORD = _mask(string.ascii_letters + string.digits + "_")
_PERL = {"d": _mask(string.digits), "s": _mask("\t\n\f\r "), "w": WORD}
_POSIX = {
    "alnum": _mask(string.ascii_letters + string.digits),
    "alpha": _mask(string.ascii_letters),
    "ascii": ALL,
    "blank": _mask("\t "),
    "cntrl": _between(0, 31) | 1 << 127,
    "digit": _mask(string.digits),
    "graph": _between(33, 126),
    "lower": _mask(string.ascii_lowercase),
    "print": _between(32, 126),
    "punct": _mask(string.punctuation),
    "space": _mask("\t\n\v\f\r "),
    "upper": _mask(string.ascii_uppercase),
    "word": WORD,
    "xdigit": _mask(string.hexdigits),
}
_CONTROLS = {"a": 7, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11}
_CATEGORIES = re.compile("C[cfos]?|L[lmotu]?|M[cen]?|N[dlo]?|P[cdefios]?|S[ckmo]?|Z[lps]?")


def _unicode_class(name: str) -> int:
    """The ASCII part of ``\\p{name}``; raises PatternError for scripts without any, and what Unicode does not know."""
    if name == "Any":
        return ALL
    if _CATEGORIES.fullmatch(name):
        return _mask("".join(chr(n) for n in range(128) if unicodedata.category(chr(n)).startswith(name)))
    if name == "Latin":
        return _POSIX["alpha"]
    if name == "Common":
        return ALL & ~_POSIX["alpha"]
    raise PatternError(f"invalid character class range: `\\p{{{name}}}`")


def _folded(mask: int) -> int:
    """With the other case of every letter."""
    lower, upper = _POSIX["lower"], _POSIX["upper"]
    return mask | (mask & lower) >> 32 | (mask & upper) << 32


def _beyond(low: int, high: int) -> int:
    """The ASCII letters that a range beyond ASCII means too when case does not matter: long s and Kelvin sign."""
    return (_mask("sS") if low <= 0x17F <= high else 0) | (_mask("kK") if low <= 0x212A <= high else 0)


# -- the pattern as a tree -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Set:
    """One character of a set."""

    mask: int


@dataclass(frozen=True, slots=True)
class Place:
    """A place between characters: ``begin``, ``end``, ``b`` (a word boundary) or ``B`` (none)."""

    kind: str


@dataclass(frozen=True, slots=True)
class Sequence:
    """One part behind the other."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the parts."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """A part again and again; ``most`` is None without a limit."""

    part: Node
    least: int
    most: int | None
    counted: bool  # written with braces


Node = Set | Place | Sequence | Choice | Repeat


def _repeats(node: Node) -> int:
    """How often the most repeated part of it is repeated by counts, which Go limits."""
    if isinstance(node, Repeat):
        times = (node.most or node.least) if node.counted else 1
        return max(times, 1) * _repeats(node.part)
    if isinstance(node, Sequence | Choice):
        return max(map(_repeats, node.parts), default=1)
    return 1


class _Parser:
    """Reads one pattern. Flags hold from where they stand to the end of their group."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0
        self._fold = False
        self._names: set[str] = set()

    def parse(self) -> Node:
        node = self._choice()
        if self._at < len(self._text):
            raise PatternError("unexpected )")
        return node

    def _next(self, what: str) -> bool:
        if self._text.startswith(what, self._at):
            self._at += len(what)
            return True
        return False

    def _take(self, missing: str) -> str:
        if self._at == len(self._text):
            raise PatternError(missing)
        self._at += 1
        return self._text[self._at - 1]

    def _choice(self) -> Node:
        parts = [self._sequence()]
        while self._next("|"):
            parts.append(self._sequence())
        return parts[0] if len(parts) == 1 else Choice(tuple(parts))

    def _sequence(self) -> Node:
        parts: list[Node] = []
        repeated = -1  # where the last repetition ended: another one right behind it is an error
        while self._at < len(self._text) and self._text[self._at] not in "|)":
            repeat = self._repetition()
            if repeat is None:
                parts += self._atom()
                continue
            start, least, most, counted = repeat
            if not parts:
                raise PatternError("missing argument to repetition operator")
            if start == repeated:
                raise PatternError("invalid nested repetition operator")
            parts[-1] = Repeat(parts[-1], least, most, counted)
            if counted and _repeats(parts[-1]) > _MOST_REPEATS:
                raise PatternError("invalid repeat count")
            repeated = self._at
        return Sequence(tuple(parts))

    def _repetition(self) -> tuple[int, int, int | None, bool] | None:
        """Where a repetition began, its least and most, whether it is counted; None if none is here."""
        start = self._at
        character = self._text[start]
        if character in "*+?":
            self._at += 1
            found = (start, int(character == "+"), 1 if character == "?" else None, False)
        elif character == "{" and (counts := self._counts()) is not None:
            found = (start, *counts, True)
        else:
            return None
        self._next("?")  # which of the matches is preferred makes no difference
        return found

    def _counts(self) -> tuple[int, int | None] | None:
        """``{2}``, ``{2,}`` or ``{2,3}``; anything else is plain text, None."""
        inside, brace, _ = self._text[self._at + 1 : self._at + 30].partition("}")
        low, comma, high = inside.partition(",")
        for number in (low, high) if high else (low,):
            if not (number.isascii() and number.isdigit()) or (len(number) > 1 and number[0] == "0"):
                return None
        if not brace:
            return None
        least = int(low)
        most = int(high) if high else None if comma else least
        if least > _MOST_REPEATS or (most is not None and not least <= most <= _MOST_REPEATS):
            raise PatternError(f"invalid repeat count: `{{{inside}}}`")
        self._at += len(inside) + 2
        return least, most

    def _atom(self) -> list[Node]:
        """What a repetition behind it would repeat comes last; flags are no node, quoted text is many."""
        character = self._take("")
        if character == "(":
            return self._group()
        if character == "[":
            return [Set(self._class())]
        if character == "\\":
            return self._escaped()
        if character == ".":
            return [Set(ALL)]  # no name has a line end
        if character in "^$":
            return [Place("begin" if character == "^" else "end")]
        return [self._literal(ord(character))]

    def _literal(self, code: int) -> Set:
        mask = 1 << code if code < 128 else 0
        return Set(_folded(mask) | _beyond(code, code) if self._fold else mask)

    def _group(self) -> list[Node]:
        before = self._fold
        if self._next("?"):
            if self._next("P<") or self._next("<"):
                self._name()
            elif self._flags():
                return []
        self._depth += 1
        if self._depth > MOST_NESTED:
            raise PatternError("expression nests too deeply")
        node = self._choice()
        if not self._next(")"):
            raise PatternError("missing closing )")
        self._depth -= 1
        self._fold = before
        return [node]

    def _name(self) -> None:
        name, end, _ = self._text[self._at :].partition(">")
        if not end or not name or _mask(name) & ~WORD or not name.isascii() or name in self._names:
            raise PatternError("invalid named capture")
        self._names.add(name)
        self._at += len(name) + 1

    def _flags(self) -> bool:
        """Reads ``i``, ``i:``, ``-i`` and the like; True when they stand alone, without a group of their own."""
        on, seen = True, False
        while True:
            character = self._take("missing closing )")
            if character in "imsU":
                seen = True
                if character == "i":
                    self._fold = on
            elif character == "-" and on:
                on, seen = False, False
            elif character in ":)" and (on or seen):
                return character == ")"
            else:
                raise PatternError("invalid or unsupported Perl syntax")

    # -- escapes and sets --------------------------------------------------------------------------

    def _escaped(self) -> list[Node]:
        character = self._text[self._at : self._at + 1]
        places = {"A": "begin", "z": "end", "b": "b", "B": "B"}
        if character in places and character:
            self._at += 1
            return [Place(places[character])]
        if self._next("Q"):
            quoted, end, _ = self._text[self._at :].partition("\\E")
            self._at += len(quoted) + len(end)
            return [self._literal(ord(each)) for each in quoted]
        mask = self._set_escape()
        return [self._literal(self._code()) if mask is None else Set(mask)]

    def _set_escape(self) -> int | None:
        """Behind a backslash: the set of ``\\d``, ``\\pL`` and their kind; None if none of them is here."""
        character = self._text[self._at : self._at + 1]
        if character and character.lower() in _PERL:
            self._at += 1
            mask = _PERL[character.lower()]
            if self._fold and character.lower() == "w":
                mask = _folded(mask)
        elif character and character in "pP":
            self._at += 1
            name = self._take("invalid character class range")
            if name == "{":
                name, end, _ = self._text[self._at :].partition("}")
                if not end:
                    raise PatternError("invalid character class range")
                self._at += len(name) + 1
            inverted = name.startswith("^")
            mask = _unicode_class(name.removeprefix("^"))
            if self._fold:
                mask = _folded(mask)
            if inverted:
                mask = ALL & ~mask
        else:
            return None
        return ALL & ~mask if character.isupper() else mask

    def _code(self) -> int:
        """Behind a backslash: the code of one character."""
        character = self._take("trailing backslash at end of expression")
        if character.isascii() and not character.isalnum():
            return ord(character)
        if character in _CONTROLS:
            return _CONTROLS[character]
        if character == "x":
            if self._next("{"):
                digits, end, _ = self._text[self._at :].partition("}")
                self._at += len(digits) + 1
            else:
                digits, end = self._text[self._at : self._at + 2], "}"
                self._at += 2
                if len(digits) != 2:
                    end = ""
            if end and digits and not _mask(digits) & ~_POSIX["xdigit"] and digits.isascii():
                code = int(digits, 16)
                if code <= 0x10FFFF:
                    return code
        elif character in "01234567":
            more = 0
            while more < 2 and self._text[self._at + more : self._at + more + 1] in tuple("01234567"):
                more += 1
            digits = character + self._text[self._at : self._at + more]
            if character == "0" or more:  # a single other digit would mean a group
                self._at += more
                return int(digits, 8)
        raise PatternError(f"invalid escape sequence: `\\{character}`")

    def _class(self) -> int:
        inverted = self._next("^")
        mask, first = 0, True
        while first or not self._next("]"):
            mask |= self._class_item()
            first = False
        return ALL & ~mask if inverted else mask

    def _class_item(self) -> int:
        if self._text.startswith("[:", self._at) and (end := self._text.find(":]", self._at + 2)) >= 0:
            name = self._text[self._at + 2 : end]
            mask = _POSIX.get(name.removeprefix("^"))
            if mask is None:
                raise PatternError(f"invalid character class range: `[:{name}:]`")
            self._at = end + 2
            if self._fold:
                mask = _folded(mask)
            return ALL & ~mask if name.startswith("^") else mask
        if self._next("\\"):
            mask = self._set_escape()
            if mask is not None:
                return mask
            low = self._code()
        else:
            low = ord(self._take("missing closing ]"))
        high = low
        rest = self._text[self._at : self._at + 2]
        if len(rest) == 2 and rest[0] == "-" and rest[1] != "]":
            self._at += 1
            high = self._code() if self._next("\\") else ord(self._take("missing closing ]"))
            if high < low:
                raise PatternError("invalid character class range")
        mask = _between(low, high)
        return _folded(mask) | _beyond(low, high) if self._fold else mask


def parse(text: str) -> Node:
    """The tree of a pattern; raises PatternError."""
    return _Parser(text).parse()
