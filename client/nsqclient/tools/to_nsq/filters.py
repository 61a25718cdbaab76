"""Which messages are passed on, by a field of their JSON, and which of their fields; pure functions of the body.

A body of which everything may pass keeps its bytes. One that loses fields is written anew as Go writes JSON: keys
sorted, no blanks, ``<``, ``>`` and ``&`` as ``\\u003c`` and so on, ``1.0`` as ``1``. Numbers that a float does not
hold, such as whole ones above 2^53, keep their digits.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from decimal import Decimal, InvalidOperation
from json.encoder import encode_basestring
from typing import NoReturn

from nsqcore.golang import go_escapes

_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)
_WHOLE = re.compile(r"([+-]?)0*([0-9]+)", re.ASCII)
_SURROGATE = re.compile("[\ud800-\udfff]")


class NotAnObject(ValueError):
    """The body is no JSON object; the text says why."""


class Number(str):
    """A number of a JSON text, as it was written."""

    __slots__ = ()


class JsonFilter:
    """What of a body is passed on."""

    def __init__(self, field: str = "", value: str = "", kept: Collection[str] = ()) -> None:
        """Only objects that have ``field``, with ``value``; of these the fields ``kept``. Empty is all."""
        self._field = field
        self._value = value
        self._kept = frozenset(kept)
        self.needed: bool = bool(field or kept)
        """Whether it looks at bodies at all."""

    def __call__(self, body: bytes) -> bytes | None:
        """What is passed on of it; None: nothing. Raises NotAnObject."""
        if not self.needed:
            return body
        fields = read_object(body)
        if self._field:
            if self._field not in fields:
                return None
            if self._value and not _matches(fields[self._field], self._value):
                return None
        if not self._kept or fields.keys() <= self._kept:
            return body
        try:
            return write_json({name: value for name, value in fields.items() if name in self._kept})
        except RecursionError:
            raise NotAnObject("it is nested too deeply") from None


def read_object(body: bytes) -> dict[str, object]:
    """The object that a body is, its numbers as :class:`Number`; raises NotAnObject. ``null`` has no fields.

    Bytes that are not UTF-8 are replaced, as by the original.
    """
    try:
        value = json.loads(
            body.decode("utf-8", "replace"), parse_int=Number, parse_float=Number, parse_constant=_no_constant
        )
    except ValueError as e:
        raise NotAnObject(str(e)) from None
    except RecursionError:
        raise NotAnObject("it is nested too deeply") from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise NotAnObject("it is JSON, but no object")
    return value


def write_json(value: object) -> bytes:
    """What :func:`read_object` reads, as Go writes it; raises RecursionError."""
    out: list[str] = []
    _write(value, out)
    text = go_escapes("".join(out))
    try:
        return text.encode()
    except UnicodeEncodeError:  # half of a pair, which came as an escape and leaves as one
        return _SURROGATE.sub(lambda half: f"\\u{ord(half[0]):04x}", text).encode()


def _write(value: object, out: list[str]) -> None:
    if type(value) is str:
        out.append(encode_basestring(value))
    elif isinstance(value, Number):
        out.append(go_number(value))
    elif isinstance(value, dict):
        separator = "{"
        for name in sorted(value):
            out += separator, encode_basestring(name), ":"
            _write(value[name], out)
            separator = ","
        out.append("}" if value else "{}")
    elif isinstance(value, list):
        separator = "["
        for item in value:
            out.append(separator)
            _write(item, out)
            separator = ","
        out.append("]" if value else "[]")
    else:
        out.append("null" if value is None else "true" if value else "false")


def go_number(text: str) -> str:
    """A number as Go writes it that has read it as a float; as it is where that would lose digits."""
    if text.lstrip("-").isdigit():
        return text
    value = float(text)
    try:
        shortest = Decimal(repr(value))
        if Decimal(text) != shortest:
            return text
    except InvalidOperation:  # an exponent beyond all reason
        return text
    if not value:
        return "-0" if text.startswith("-") else "0"
    if 1e-6 <= abs(value) < 1e21:
        plain = f"{shortest:f}"
        return plain.rstrip("0").rstrip(".") if "." in plain else plain
    sign, digits, _ = shortest.as_tuple()
    figures = "".join(map(str, digits)).rstrip("0")
    exponent = shortest.adjusted()
    point = f".{figures[1:]}" if len(figures) > 1 else ""
    return f"{'-' * sign}{figures[0]}{point}e{'-' if exponent < 0 else '+'}{abs(exponent)}"


def _matches(value: object, wanted: str) -> bool:
    """A string must be equal, a number of the same value; whole numbers to the last digit."""
    if type(value) is str:
        return value == wanted
    if type(value) is not Number or not _DECIMAL.fullmatch(wanted):
        return False
    ours, theirs = _WHOLE.fullmatch(value), _WHOLE.fullmatch(wanted)
    if ours and theirs:
        return ours[2] == theirs[2] and ((ours[1] == "-") == (theirs[1] == "-") or ours[2] == "0")
    return float(value) == float(wanted)


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON")
