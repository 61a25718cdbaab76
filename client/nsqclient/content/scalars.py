"""Single values: made of plain ones, each checked for what it is. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

Convert = Callable[[Any], Any]
"""Makes a value of the type it is for; raises Mismatch."""


class Mismatch(Exception):
    """Something else was expected; ``path`` grows from the inside as it is raised through containers."""

    def __init__(self, expected: str, found: object) -> None:
        super().__init__()
        self.expected = expected
        self.found = found
        self.path: str = ""

    def inside(self, step: str) -> Mismatch:
        """The same, seen from one container further out."""
        self.path = step + self.path
        return self

    def __str__(self) -> str:
        where = f" at {self.path}" if self.path else ""
        return f"expected {self.expected}{where}, found {_short(self.found)}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def none(value: object) -> None:
    """``None`` and nothing else."""
    if value is not None:
        raise Mismatch("null", value)


def _bool(value: object) -> bool:
    if not isinstance(value, bool):
        raise Mismatch("true or false", value)
    return value


def _int(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise Mismatch("a whole number", value)
    return value


def _float(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise Mismatch("a number", value)
    try:
        return float(value)
    except OverflowError:
        raise Mismatch("a number", value) from None


def _str(value: object) -> str:
    if not isinstance(value, str):
        raise Mismatch("text", value)
    return value


def _bytes(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        return base64.b64decode(_str(value), validate=True)
    except (binascii.Error, ValueError):
        raise Mismatch("bytes in base64", value) from None


def _decimal(value: object) -> Decimal:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            return Decimal(str(value) if isinstance(value, float) else value)
        except InvalidOperation:
            pass
    raise Mismatch("a decimal number", value)


def _uuid(value: object) -> UUID:
    try:
        return UUID(bytes=value) if isinstance(value, bytes) else UUID(_str(value))
    except ValueError:
        raise Mismatch("a UUID", value) from None


def _timedelta(value: object) -> timedelta:
    try:
        return timedelta(seconds=_float(value))
    except (OverflowError, ValueError):
        raise Mismatch("a number of seconds", value) from None


def _from_iso(kind: Any, expected: str) -> Convert:
    def parse(value: object) -> object:
        if type(value) is kind:
            return value
        try:
            return kind.fromisoformat(_str(value))
        except (ValueError, Mismatch):
            raise Mismatch(expected, value) from None

    return parse


SCALARS: dict[Any, Convert] = {
    bool: _bool,
    int: _int,
    float: _float,
    str: _str,
    bytes: _bytes,
    bytearray: lambda value: bytearray(_bytes(value)),
    Decimal: _decimal,
    UUID: _uuid,
    timedelta: _timedelta,
    datetime: _from_iso(datetime, "a date and time in ISO 8601"),
    date: _from_iso(date, "a date in ISO 8601"),
    time: _from_iso(time, "a time in ISO 8601"),
}
"""What makes a value of each type that holds no others."""
