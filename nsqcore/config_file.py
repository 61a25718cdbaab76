"""Config files: TOML in, option values out, and the original's words for what is wrong with them."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Sequence
from typing import cast

from nsqcore.durations import NS_PER_MS, Duration
from nsqcore.golang import go_quote
from nsqcore.options import BOOLEANS, BadConfig, Flag

_WHERE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_DECIMAL = re.compile(r"[+-]?[0-9]+", re.ASCII)
_GO_TYPES = {bool: "bool", int: "int64", float: "float64", str: "string", list: "[]interface {}"}


def read_table(path: str) -> dict[str, object]:
    """The keys and values of the TOML file at ``path``; raises BadConfig."""
    doing = "open"
    try:
        with open(path, "rb") as file:
            doing = "read"
            raw = file.read()
        return tomllib.loads(_decode(raw))
    except OSError as e:
        doing = "read" if isinstance(e, IsADirectoryError) else doing
        why = f"{doing} {path}: {os.strerror(e.errno or 0).lower()}"
    except ValueError as e:
        why = _go_toml_error(str(e), raw.count(b"\n") + (not raw.endswith(b"\n")))
    raise BadConfig(f"failed to load config file {path} - {why}")


def _decode(raw: bytes) -> str:
    try:
        return raw.decode().replace("\r\n", "\n")
    except UnicodeDecodeError as e:
        line = raw.count(b"\n", 0, e.start) + 1
        raise ValueError(f"invalid UTF-8 byte: 0x{raw[e.start]:02x} (at line {line}, column 1)") from None


def _go_toml_error(text: str, last_line: int) -> str:
    """``toml: line 2: reason``, the form of the original's parser."""
    where = _WHERE.search(text)
    return f"toml: line {where[1] or last_line}: {text[: where.start()]}" if where else f"toml: {text}"


def read_options(table: dict[str, object], flags: Iterable[Flag], first: Sequence[str]) -> dict[str, object]:
    """The values of a file's keys by field name; keys that mean nothing are skipped.

    The fields of ``first`` are looked at first, in that order. Raises BadConfig for the first value that
    can't be taken.
    """
    ordered = sorted(flags, key=lambda flag: first.index(flag.field) if flag.field in first else len(first))
    return {flag.field: coerce(flag, table[flag.key]) for flag in ordered if flag.key in table}


def coerce(flag: Flag, value: object) -> object:
    """A TOML value as the type of ``flag``; raises BadConfig.

    Integers stand for milliseconds where a duration is meant, and for true or false as in C. Lists may be
    written as one text with commas.
    """
    try:
        if flag.repeatable:
            return _coerce_list(flag, value)
        if flag.custom is not None:
            return flag.custom(_text(value))
        if flag.boolean:
            return _coerce_bool(value)
        if isinstance(flag.default, Duration):
            return _coerce_duration(value)
        if isinstance(flag.default, int):
            return _coerce_int(value)
        return _text(value)
    except ValueError as e:
        if flag.custom is not None and not flag.repeatable:
            raise BadConfig(f"failed parsing {flag.key} {_shown(value)}", f"{flag.key}: {e}") from None
        raise BadConfig(
            f"ERROR: Resolve failed to coerce value {_shown(value)} ({_shown(flag.default)}) for field "
            f"{flag.go_name} - {e}",
            f"{flag.key}: want {flag.allowed or 'numbers'}",
            plain=True,
        ) from None


def _coerce_bool(value: object) -> bool:
    if isinstance(value, int):
        return bool(value)
    if not isinstance(value, str):
        raise _wrong_type("bool", value)
    if value not in BOOLEANS:
        raise ValueError(f"strconv.ParseBool: parsing {go_quote(value.encode())}: invalid syntax")
    return BOOLEANS[value]


def _coerce_int(value: object) -> int:
    if isinstance(value, str):
        quoted = go_quote(value.encode())
        if not _DECIMAL.fullmatch(value):
            raise ValueError(f"strconv.ParseInt: parsing {quoted}: invalid syntax")
        if len(value) > 40 or not _fits(int(value)):
            raise ValueError(f"strconv.ParseInt: parsing {quoted}: value out of range")
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong_type("int64", value)
    if not _fits(value):
        raise ValueError(f"{value} is out of range for int64")
    return value


def _coerce_duration(value: object) -> Duration:
    if isinstance(value, str):
        try:
            return Duration.parse(value)
        except ValueError:
            missing = _DECIMAL.fullmatch(value) is not None
            why = "missing unit in duration" if missing else "invalid duration"
            raise ValueError(f"time: {why} {go_quote(value.encode())}") from None
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong_type("time.Duration", value)
    if not _fits(value * NS_PER_MS):
        raise ValueError(f"{value} is out of range for milliseconds")
    return Duration.of_ms(value)


def _coerce_list(flag: Flag, value: object) -> list[object]:
    items = value if isinstance(value, list) else value.split(",") if isinstance(value, str) else [value]
    if flag.custom is None:
        if not all(isinstance(item, str) for item in items):
            raise _wrong_type("[]string", value)
        return [item for item in items if item]
    found: list[object] = []
    for item in items:
        if isinstance(item, bool) or not isinstance(item, str | int | float):
            raise _wrong_type("[]float64", value)
        if item != "":
            try:
                found += cast(list[object], flag.custom(str(item).strip()))
            except BadConfig:
                quoted = go_quote(str(item).strip().encode())
                raise ValueError(f"strconv.ParseFloat: parsing {quoted}: invalid syntax") from None
    return found


def _fits(number: int) -> bool:
    return -(1 << 63) <= number < 1 << 63


def _wrong_type(wanted: str, value: object) -> ValueError:
    return ValueError(f"invalid {wanted} value type {_GO_TYPES.get(type(value), type(value).__name__)}")


def _text(value: object) -> str:
    if isinstance(value, list | dict):
        raise ValueError("want text")
    return _shown(value)


def _shown(value: object) -> str:
    """A value as Go's ``%v`` prints it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    if isinstance(value, list):
        return f"[{' '.join(map(_shown, value))}]"
    return str(value)


def suggestion(key: str, flags: Iterable[Flag]) -> str:
    """The key that was probably meant by one that means nothing; empty when none is near."""
    flags = list(flags)
    wanted = key.lower().replace("-", "_")
    for flag in flags:
        if wanted in (flag.key, flag.field, flag.name.replace("-", "_"), flag.go_name.lower()):
            return flag.key
    from difflib import get_close_matches  # needed for a mistake only

    return next(iter(get_close_matches(wanted, [flag.key for flag in flags], n=1, cutoff=0.75)), "")
