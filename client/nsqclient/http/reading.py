"""JSON objects to frozen dataclasses, by the dataclasses' own field names and types.

A daemon of another version may have more fields, which are left out, or fewer, which take their
defaults; a field of the wrong type means that another program has answered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from functools import cache
from types import UnionType
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")


class Unreadable(ValueError):
    """An answer lacks a field, or has one of another type; the text names it."""


def read(kind: type[T], data: object) -> T:
    """The dataclass ``kind`` from a JSON object; raises Unreadable."""
    if not isinstance(data, Mapping):
        raise Unreadable(f"{kind.__name__} is not a JSON object")
    values: dict[str, object] = {}
    for name, expected, required in _shape(cast(Any, kind)):
        if name in data:
            values[name] = _value(expected, data[name], f"{kind.__name__}.{name}")
        elif required:
            raise Unreadable(f"{kind.__name__} lacks {name}")
    return kind(**values)


def read_list(kind: type[T], data: object, name: str) -> tuple[T, ...]:
    """All members of a JSON list called ``name``, null being an empty one; raises Unreadable."""
    values: tuple[T, ...] = _value(tuple[kind, ...], data, name)  # type: ignore[valid-type]
    return values


def member(data: object, name: str) -> object:
    """A member of a JSON object; raises Unreadable."""
    if not isinstance(data, Mapping) or name not in data:
        raise Unreadable(f"the answer has no {name}")
    return data[name]


@cache
def _shape(kind: Any) -> tuple[tuple[str, Any, bool], ...]:
    hints = get_type_hints(kind)
    return tuple(
        (f.name, hints[f.name], f.default is MISSING and f.default_factory is MISSING) for f in fields(kind)
    )


def _value(expected: Any, value: object, where: str) -> Any:
    if get_origin(expected) is tuple:
        if value is None:  # how Go writes a list that was never made
            return ()
        if not isinstance(value, list):
            raise Unreadable(f"{where} is not a list")
        inner = get_args(expected)[0]
        return tuple(_value(inner, item, where) for item in value)
    if get_origin(expected) is UnionType:  # X | None
        return None if value is None else _value(get_args(expected)[0], value, where)
    if hasattr(expected, "__dataclass_fields__"):
        return read(expected, value)
    if expected is float:
        fits = isinstance(value, int | float) and not isinstance(value, bool)
    else:  # a bool is an int in Python, and a mistake in JSON
        fits = type(value) is expected
    if not fits:
        raise Unreadable(f"{where} is {type(value).__name__}, want {expected.__name__}")
    return float(value) if expected is float and isinstance(value, int) else value
