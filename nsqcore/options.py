"""How a daemon states its options: once each, as fields of a dataclass made by :func:`option`.

From a field come the flag, the TOML key, the line in ``--help`` and the limit that the start checks.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

from nsqcore.durations import Duration
from nsqcore.errors import StartError
from nsqcore.golang import go_quote

T = TypeVar("T")

Parser = Callable[[str], object]
_INTEGER = re.compile(
    r"[+-]?(0[xX](_?[0-9a-fA-F])+|0[bB](_?[01])+|0[oO]?(_?[0-7])+|0|[1-9](_?[0-9])*)", re.ASCII
)
_OCTAL = re.compile(r"^([+-]?)0(?=[0-9_])", re.ASCII)  # Go and C write it without an o
BOOLEANS = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}
"""The words that Go reads as a boolean."""
_ACRONYMS = {
    **{word: word.upper() for word in ("acl", "ca", "cidr", "e2e", "http", "https", "id", "tcp", "tls")},
    **{word: word.upper() for word in ("udp", "url", "nsqd")},
    "nsqlookupd": "NSQLookupd",
}
_OTHER_NAMES = {"deflate": "DeflateEnabled", "snappy": "SnappyEnabled"}


class UsageError(Exception):
    """The command line is wrong. The text is the first line on stderr, in the words of the originals,
    which scripts compare; the usage follows, then ``hint``, which says what is allowed."""

    def __init__(self, text: str, hint: str = "") -> None:
        super().__init__(text)
        self.hint = hint


class BadConfig(Exception):
    """The process has to end with status 1 before its logging is set up.

    The text is one line, in the original's words; ``hint`` says below it what is allowed. ``plain`` lines
    carry the date alone, as the original's come that it leaves to Go's own logger.
    """

    def __init__(self, text: str, hint: str = "", *, plain: bool = False) -> None:
        super().__init__(text)
        self.hint = hint
        self.plain = plain


class Limit(Generic[T]):
    """What a value must be, beyond being of its type: a test, and the words that end ``--flag must be ...``."""

    def __init__(self, words: str, allows: Callable[[T], bool]) -> None:
        self.words = words
        self.allows = allows


def at_least(lowest: int) -> Limit[int]:
    """The number must not be lower."""
    return Limit(f"{lowest} or more", lambda value: value >= lowest)


ABOVE_ZERO: Limit[int] = Limit("above 0", lambda value: value > 0)


def option(
    default: T,
    help: str,  # noqa: A002 - it is the help text of --help
    *,
    key: str | None = None,
    flag: str | None = None,
    parse: Callable[[str], T] | None = None,
    limit: Limit[Any] | None = None,
    bare: str | None = None,
    arrange: Callable[[T], T] | None = None,
) -> T:
    """A field of an options dataclass.

    ``key`` is the TOML key where it is not the field's name; ``flag`` the flag where it is not the field's
    name with dashes. ``parse`` reads a text and raises ValueError saying what is allowed, or BadConfig.
    ``limit`` is for :func:`check_limits`. ``bare`` is what the flag means without a value, which it then
    takes after ``=`` only, as a boolean does. A list default makes the flag repeatable: each use adds what
    ``parse`` makes of it, which is a list too, and ``arrange`` puts the whole in order.
    """
    metadata = {
        "help": help,
        "key": key,
        "flag": flag,
        "parse": parse,
        "limit": limit,
        "bare": bare,
        "arrange": arrange,
    }
    if isinstance(default, list):
        return cast(T, dataclasses.field(default_factory=lambda: list(default), metadata=metadata))
    return dataclasses.field(default=default, metadata=metadata)


def parse_int(text: str) -> int:
    """A whole number of 64 bits in any of Go's notations; raises ValueError in Go's words."""
    if not _INTEGER.fullmatch(text):
        raise ValueError("parse error")
    number = int(_OCTAL.sub(r"\g<1>0o", text), 0)
    if not -(1 << 63) <= number < 1 << 63:
        raise ValueError("value out of range")
    return number


class Flag:
    """One option as command lines and config files see it."""

    def __init__(self, field: dataclasses.Field[Any], default: object) -> None:
        self.field = field.name
        self.name: str = field.metadata["flag"] or field.name.replace("_", "-")
        self.key: str = field.metadata["key"] or field.name
        self.help: str = field.metadata["help"]
        self.default = default
        self.limit: Limit[Any] | None = field.metadata["limit"]
        self.arrange: Callable[[Any], Any] | None = field.metadata["arrange"]
        self.custom: Parser | None = field.metadata["parse"]
        self.repeatable = isinstance(default, list)
        self.boolean = isinstance(default, bool)
        self.bare: str | None = "true" if self.boolean else field.metadata["bare"]
        if self.custom is not None:
            self.parser, self.word, self.allowed = self.custom, "value", ""
        elif self.repeatable:
            self.parser, self.word, self.allowed = lambda text: [text], "value", "text"
        elif self.boolean:
            self.parser, self.word, self.allowed = BOOLEANS.__getitem__, "", "true or false"
        elif isinstance(default, Duration):
            self.parser, self.word, self.allowed = (
                Duration.parse,
                "duration",
                "a duration such as 250ms, 60s or 1h30m",
            )
        elif isinstance(default, int):
            self.parser, self.word, self.allowed = parse_int, "int", "a whole number"
        else:
            self.parser, self.word, self.allowed = str, "string", "text"

    def parse(self, text: str) -> object:
        """The value of ``text`` on the command line; raises UsageError or BadConfig."""
        hint = f"-{self.name}: want {self.allowed}" if self.allowed else ""
        try:
            return self.parser(text)
        except (ValueError, KeyError) as e:
            why = (
                e if self.custom or (isinstance(self.default, int) and self.word == "int") else "parse error"
            )
            if self.bare is not None:
                raise UsageError(f'invalid boolean value "{text}" for -{self.name}: {why}', hint) from None
            raise UsageError(f'invalid value "{text}" for flag -{self.name}: {why}', hint) from None

    @property
    def go_name(self) -> str:
        """The original's own name of the setting, which its messages about config files show."""
        words = (_ACRONYMS.get(word, word.capitalize()) for word in self.key.split("_"))
        return _OTHER_NAMES.get(self.key, "".join(words))

    def usage(self) -> str:
        """Two lines, as Go prints them."""
        default = ""
        if isinstance(self.default, bool):
            default = " (default true)" if self.default else ""
        elif isinstance(self.default, list):
            default = " (may be given several times)"
        elif self.custom is not None or self.default not in ("", 0):
            shown = go_quote(str(self.default).encode()) if self.word == "string" else str(self.default)
            default = f" (default {shown})"
        word = f" {self.word}" if self.word and self.bare is None else ""
        return f"  --{self.name}{word}\n    \t{self.help}{default}"


def flags_of(options: type[Any]) -> list[Flag]:
    """The flags of an options dataclass, in its order."""
    defaults = options()
    return [Flag(f, getattr(defaults, f.name)) for f in dataclasses.fields(options) if f.metadata]


def check_limits(options: Any, *fields: str) -> None:
    """Raises StartError for the first of these fields whose value is beyond its limit; of all without ``fields``."""
    flags = {flag.field: flag for flag in flags_of(type(options))}
    for field in fields or flags:
        flag = flags[field]
        if flag.limit is not None and not flag.limit.allows(getattr(options, field)):
            raise StartError(f"--{flag.name} must be {flag.limit.words}")
