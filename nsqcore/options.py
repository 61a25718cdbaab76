"""Command lines and config files: an options dataclass in, an options object or a clear refusal out.

A daemon states each option once, as a dataclass field made by :func:`option`. From that come the flag
(Go's syntax: one dash or two, ``-name value`` or ``-name=value``), the TOML key, the value check and
the ``--help`` text. A flag given on the command line wins over the config file, the file over the default.
"""

from __future__ import annotations

import dataclasses
import logging
import re
import sys
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from nsqcore import logs
from nsqcore.durations import Duration
from nsqcore.errors import StartError
from nsqcore.version import banner

log = logging.getLogger(__name__)
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


class UsageError(Exception):
    """The command line is wrong. The text is the first line on stderr, in the words of the originals,
    which scripts compare; the usage follows, then ``hint``, which says what is allowed."""

    def __init__(self, text: str, hint: str = "") -> None:
        super().__init__(text)
        self.hint = hint


def option(
    default: T,
    help: str,  # noqa: A002 - it is the help text of --help
    *,
    key: str | None = None,
    flag: str | None = None,
    parse: Callable[[str], T] | None = None,
    check: Callable[[T], str | None] | None = None,
) -> T:
    """A field of an options dataclass.

    ``key`` is the TOML key where it is not the field's name; ``flag`` the flag where it is not the field's
    name with dashes. ``parse`` reads a text and raises ValueError saying what is allowed. ``check`` returns
    why a value can't be taken, or None. A list default makes the flag repeatable: each use adds what
    ``parse`` makes of it, which is a list too.
    """
    metadata = {"help": help, "key": key, "flag": flag, "parse": parse, "check": check}
    if isinstance(default, list):
        return cast(T, dataclasses.field(default_factory=lambda: list(default), metadata=metadata))
    return dataclasses.field(default=default, metadata=metadata)


def at_least(lowest: int) -> Callable[[int], str | None]:
    """A check for :func:`option`: the number must not be lower."""
    return lambda value: None if value >= lowest else f"want {lowest} or more"


def between(lowest: int, highest: int) -> Callable[[int], str | None]:
    """A check for :func:`option`: the number must lie in ``[lowest, highest]``."""
    return lambda value: None if lowest <= value <= highest else f"want {lowest} to {highest}"


def _parse_int(text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise ValueError("parse error")
    number = int(_OCTAL.sub(r"\g<1>0o", text), 0)
    if not -(1 << 63) <= number < 1 << 63:
        raise ValueError("value out of range")
    return number


class _Flag:
    """One flag: how its text becomes a value, and how it presents itself in the usage."""

    def __init__(self, field: dataclasses.Field[Any], default: object) -> None:
        self.field = field.name
        self.name: str = field.metadata["flag"] or field.name.replace("_", "-")
        self.key: str = field.metadata["key"] or field.name
        self.help: str = field.metadata["help"]
        self.default = default
        self.check: Callable[[Any], str | None] | None = field.metadata["check"]
        self.repeatable = isinstance(default, list)
        self.boolean = isinstance(default, bool)
        custom: Parser | None = field.metadata["parse"]
        self.custom = custom is not None
        if custom is not None:
            self.parser, self.word, self.allowed = custom, "value", ""
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
            self.parser, self.word, self.allowed = _parse_int, "int", "a whole number"
        else:
            self.parser, self.word, self.allowed = str, "string", "text"

    def parse(self, text: str) -> object:
        """The value of ``text``; raises UsageError."""
        hint = f"-{self.name}: want {self.allowed}" if self.allowed else ""
        try:
            value = self.parser(text)
        except (ValueError, KeyError) as e:
            if self.boolean:
                raise UsageError(
                    f'invalid boolean value "{text}" for -{self.name}: parse error', hint
                ) from None
            why = "parse error" if isinstance(self.default, Duration) else e
            raise UsageError(f'invalid value "{text}" for flag -{self.name}: {why}', hint) from None
        refusal = self.check(value) if self.check else None
        if refusal:
            raise UsageError(f'invalid value "{text}" for flag -{self.name}: {refusal}')
        return value

    def coerce(self, value: object) -> object:
        """A TOML value as this option's type; raises ValueError that says what is allowed.

        Integers stand for milliseconds where a duration is meant.
        """
        if not self.repeatable:
            return self._coerce_one(value)
        items = value if isinstance(value, list) else value.split(",") if isinstance(value, str) else [value]
        found: list[object] = []
        for item in items:
            if item != "":
                found += cast(list[object], self._coerce_one(item))
        return found

    def _coerce_one(self, value: object) -> object:
        if self.boolean and isinstance(value, int):
            return bool(value)
        text = self._text_of(value)
        if text is None:
            raise ValueError(f"want {self.allowed or 'text'}")
        try:
            return self.parse(text)
        except UsageError as e:
            raise ValueError(e.hint.partition(": ")[2] or str(e)) from None

    def _text_of(self, value: object) -> str | None:
        """What the flag would have to be given for a TOML value; None when its type is wrong."""
        if isinstance(value, str):
            return value
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        if self.repeatable:
            return str(value) if self.custom else None
        if isinstance(self.default, int) and isinstance(value, int):
            return f"{value}ms" if isinstance(self.default, Duration) else str(value)
        return None

    def usage(self) -> str:
        """Two lines, as Go prints them."""
        default = ""
        if isinstance(self.default, bool):
            default = " (default true)" if self.default else ""
        elif isinstance(self.default, list):
            default = " (may be given several times)"
        elif self.default not in ("", 0):
            shown = f'"{self.default}"' if isinstance(self.default, str) else str(self.default)
            default = f" (default {shown})"
        return f"  --{self.name}{' ' + self.word if self.word else ''}\n    \t{self.help}{default}"


def _shown(value: object) -> str:
    """A TOML value as Go's ``%v`` prints it, as far as it is simple."""
    return str(value).lower() if isinstance(value, bool) else str(value)


class CommandLine:
    """The command line of one program: ``options`` is a dataclass made of :func:`option` fields."""

    def __init__(
        self, program: str, options: type[Any], *, about: str, ignored: Sequence[str] = ("verbose",)
    ) -> None:
        """``about`` opens the usage; ``ignored`` are booleans that old scripts give and nothing reads."""
        self.program, self.options, self.about = program, options, about
        defaults = options()
        self.flags = {
            flag.name: flag
            for flag in (
                _Flag(f, getattr(defaults, f.name)) for f in dataclasses.fields(options) if f.metadata
            )
        }
        self.ignored = set(ignored)

    def usage(self) -> str:
        """The text below ``Usage of <program>:``."""
        own = {name: flag.usage() for name, flag in self.flags.items()}
        own["config"] = (
            "  --config string\n    \tpath of a TOML file; its keys are the flag names with _ for -"
        )
        own["version"] = "  --version\n    \tprint the version and exit"
        own |= {name: f"  --{name}\n    \taccepted for old scripts; has no effect" for name in self.ignored}
        lines = [f"Usage of {self.program}:", *(own[name] for name in sorted(own))]
        return "\n".join(lines) + f"\n\n{self.about.strip()}\n"

    def parse(self, argv: Sequence[str]) -> tuple[dict[str, object], str | None]:
        """Options given in ``argv`` by field name, and the config file's path.

        Raises UsageError, and SystemExit 0 after ``--help`` or ``--version``.
        """
        given: dict[str, object] = {}
        config, words, version = None, list(argv), False
        while words and words[0].startswith("-") and words[0] not in ("-", "--"):
            word = words.pop(0)
            name, equals, text = word.removeprefix("-").removeprefix("-").partition("=")
            if not name or name.startswith("-"):
                raise UsageError(f"bad flag syntax: {word}")
            if name in ("h", "help"):
                sys.stderr.write(self.usage())
                raise SystemExit(0)
            if name in self.ignored or name == "version":
                if equals and text not in BOOLEANS:
                    raise UsageError(
                        f'invalid boolean value "{text}" for -{name}: parse error',
                        f"-{name}: want true or false",
                    )
                if name == "version":
                    version = BOOLEANS.get(text, True)
                continue
            flag = self.flags.get(name)
            if flag is None and name != "config":
                raise UsageError(f"flag provided but not defined: -{name}")
            if flag is not None and flag.boolean and not equals:
                text = "true"
            elif not equals:
                if not words:
                    raise UsageError(f"flag needs an argument: -{name}")
                text = words.pop(0)
            if flag is None:
                config = text
            elif flag.repeatable:
                cast(list[object], given.setdefault(flag.field, [])).extend(
                    cast(list[object], flag.parse(text))
                )
            else:
                given[flag.field] = flag.parse(text)
        if version:
            sys.stdout.write(banner(self.program) + "\n")
            raise SystemExit(0)
        return given, config

    def read_config(self, path: str) -> tuple[dict[str, object], list[str]]:
        """Options of a TOML file by field name, and the keys in it that mean nothing.

        Raises StartError: the original's line, and below it what is allowed.
        """
        try:
            table = tomllib.loads(Path(path).read_text("utf-8"))
        except (OSError, ValueError) as e:
            raise StartError(f"failed to load config file {path} - {e}") from None
        found: dict[str, object] = {}
        by_key = {flag.key: flag for flag in self.flags.values()}
        for key, value in table.items():
            flag = by_key.get(key)
            if flag is not None:
                try:
                    found[flag.field] = flag.coerce(value)
                except ValueError as e:
                    raise StartError(f"failed parsing {key} {_shown(value)}\n{key}: {e}") from None
        return found, [key for key in table if key not in by_key]

    def load(self, argv: Sequence[str]) -> Any:
        """The options object, logging configured by its ``log_level`` and ``log_prefix``.

        Ends the process: status 0 after ``--help`` and ``--version``, 2 for a bad command line (its reason
        and the usage on stderr), 1 for a bad config file.
        """
        try:
            given, config = self.parse(argv)
        except UsageError as e:
            sys.stderr.write(f"{e}\n{self.usage()}" + (f"\n{e.hint}\n" if e.hint else ""))
            raise SystemExit(2) from None
        unknown: list[str] = []
        try:
            if config:
                from_file, unknown = self.read_config(config)
                given = from_file | given
        except StartError as e:
            for line in str(e).splitlines():
                logs.fatal(self.program, line)
            raise SystemExit(1) from None
        options = self.options(**given)
        logs.configure(options.log_prefix, options.log_level)
        for key in unknown:
            log.warning("%s: key %s means nothing to %s and is ignored", config, key, self.program)
        return options
