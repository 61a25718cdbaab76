"""Makes typed values of what a decoder returns, and plain values of what an encoder takes.

Plain are ``None``, booleans, numbers, text, bytes, lists, and dicts with text for keys. A converter is made
once for each type, and says where in the data something else was found than the type wants.
"""

from __future__ import annotations

import base64
import dataclasses
import sys
import types
import typing
from collections import abc
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Literal, Union, get_args, get_origin
from uuid import UUID

from nsqclient.content.scalars import SCALARS, Convert, Mismatch, none
from nsqclient.errors import CodecError

KNOWN_TYPES = 1000
"""Types whose converters are kept."""

_made: dict[object, Convert] = {}

# ---- from plain to typed


def convert(value: object, as_type: Any) -> Any:
    """The plain ``value`` as ``as_type``; raises CodecError, also for a type it knows no way to make."""
    try:
        return converter(as_type)(value)
    except Mismatch as e:
        raise CodecError(str(e)) from e.__cause__
    except RecursionError:
        raise CodecError(f"the data is nested too deeply for {name_of(as_type)}") from None


def converter(as_type: Any) -> Convert:
    """Made once for each type; raises CodecError for one that it can't make."""
    try:
        shape = _shape(as_type)
        made = _made.get(shape)
    except TypeError:  # annotated with something that has no hash
        return _make(as_type)
    if made is None:
        if len(_made) >= KNOWN_TYPES:
            _made.clear()
        made = _made[shape] = _make(as_type)
    return made


def _shape(as_type: Any) -> object:
    """Tells types apart that are equal to Python, such as ``date | str`` and ``str | date``."""
    arguments = get_args(as_type)
    if not arguments or get_origin(as_type) is Literal:
        return as_type
    return (get_origin(as_type), *map(_shape, arguments))


def _make(as_type: Any) -> Convert:
    origin = get_origin(as_type)
    if as_type is Any or as_type is object:
        return lambda value: value
    if origin is typing.Annotated:
        return converter(get_args(as_type)[0])
    if origin in (typing.Required, typing.NotRequired):
        return converter(get_args(as_type)[0])
    if isinstance(as_type, typing.NewType):
        return converter(as_type.__supertype__)
    if origin is Literal:
        return _literal(get_args(as_type))
    if origin is Union or origin is types.UnionType:
        return _union(as_type)
    if as_type is None or as_type is type(None):
        return none
    if origin is None and as_type in SCALARS:
        return SCALARS[as_type]
    container = _CONTAINERS.get(origin or as_type)
    if container is not None:
        return container(get_args(as_type))
    if isinstance(as_type, type):
        return _for_class(as_type)
    raise CodecError(f"no way is known to decode into {name_of(as_type)}")


def _for_class(as_type: Any) -> Convert:
    if issubclass(as_type, Enum):
        return _enum(as_type)
    foreign = _foreign(as_type)
    if foreign is not None:
        return foreign
    if typing.is_typeddict(as_type):
        return _fields(as_type, dict, as_type.__required_keys__)
    if issubclass(as_type, tuple) and hasattr(as_type, "_fields"):
        required = [name for name in as_type._fields if name not in as_type._field_defaults]
        return _named_tuple(as_type, _fields(as_type, as_type, required))
    if hasattr(as_type, "__dataclass_fields__"):
        given = [field for field in dataclasses.fields(as_type) if field.init]
        absent = dataclasses.MISSING
        required = [f.name for f in given if f.default is absent and f.default_factory is absent]
        return _fields(as_type, as_type, required, {field.name for field in given})
    raise CodecError(f"no way is known to decode into {name_of(as_type)}")


def _foreign(as_type: Any) -> Convert | None:
    """For models of libraries that can only be meant if they were imported already."""
    pydantic, msgspec = sys.modules.get("pydantic"), sys.modules.get("msgspec")
    if pydantic is not None and issubclass(as_type, pydantic.BaseModel):
        return _checked(as_type, as_type.model_validate, pydantic.ValidationError)
    if msgspec is not None and issubclass(as_type, msgspec.Struct):
        return _checked(as_type, lambda value: msgspec.convert(value, as_type), msgspec.ValidationError)
    return None


def _checked(as_type: Any, validate: Convert, refused: type[Exception]) -> Convert:
    def check(value: object) -> object:
        try:
            return validate(value)
        except refused as e:
            raise Mismatch(f"{name_of(as_type)} ({e})", value) from e

    return check


def _fields(
    as_type: Any, make: Callable[..., Any], required: Iterable[str], known: set[str] | None = None
) -> Convert:
    """For types with named fields; names that the type does not have are passed over."""
    needed = list(required)
    fields: dict[str, Convert] = {}

    def resolve() -> None:  # at the first use, as a type may contain itself
        try:
            hints = typing.get_type_hints(as_type, include_extras=True)
        except NameError as e:
            raise CodecError(f"an annotation of {name_of(as_type)} can't be resolved: {e}") from e
        for name, hint in hints.items():  # with annotations as text, a TypedDict itself does not see these
            if get_origin(hint) is typing.NotRequired and name in needed:
                needed.remove(name)
            elif get_origin(hint) is typing.Required and name not in needed:
                needed.append(name)
        made = {
            name: converter(hint)
            for name, hint in hints.items()
            if (known is None or name in known) and get_origin(hint) is not typing.ClassVar
        }
        fields.update(made)

    def from_dict(value: object) -> object:
        if not isinstance(value, dict):
            raise Mismatch(name_of(as_type), value)
        if not fields:
            resolve()
        found = {}
        for name, item in value.items():
            field = fields.get(name)
            if field is not None:
                try:
                    found[name] = field(item)
                except Mismatch as e:
                    raise e.inside(f".{name}") from e.__cause__
        for name in needed:
            if name not in found:
                raise Mismatch(f"{name_of(as_type)} with {name!r}", value)
        try:
            return make(**found)
        except (ValueError, TypeError) as e:  # its own checks, as in a dataclass's __post_init__
            raise Mismatch(f"{name_of(as_type)} ({e})", value) from e

    return from_dict


def _named_tuple(as_type: Any, from_dict: Convert) -> Convert:
    def make(value: object) -> object:
        if isinstance(value, list) and len(value) <= len(as_type._fields):
            return from_dict(dict(zip(as_type._fields, value, strict=False)))
        return from_dict(value)

    return make


def _list_of(make: Callable[[list[Any]], Any]) -> Callable[[tuple[Any, ...]], Convert]:
    def of(arguments: tuple[Any, ...]) -> Convert:
        item = converter(arguments[0]) if arguments else converter(Any)

        def from_list(value: object) -> object:
            if not isinstance(value, list):
                raise Mismatch("a list", value)
            made = [_item(item, entry, place) for place, entry in enumerate(value)]
            try:
                return make(made)
            except TypeError as e:  # a set of what has no hash
                raise Mismatch("a list of what a set can hold", value) from e

        return from_list

    return of


def _item(item: Convert, entry: object, place: int) -> object:
    try:
        return item(entry)
    except Mismatch as e:
        raise e.inside(f"[{place}]") from e.__cause__


def _tuple(arguments: tuple[Any, ...]) -> Convert:
    if not arguments or (len(arguments) == 2 and arguments[1] is ...):
        return _list_of(tuple)(arguments[:1])
    items = [converter(argument) for argument in arguments]

    def from_list(value: object) -> object:
        if not isinstance(value, list) or len(value) != len(items):
            raise Mismatch(f"a list of {len(items)}", value)
        pairs = zip(items, value, strict=True)
        return tuple(_item(item, entry, place) for place, (item, entry) in enumerate(pairs))

    return from_list


def _dict(arguments: tuple[Any, ...]) -> Convert:
    of_key, of_item = (converter(argument) for argument in arguments or (Any, Any))
    number_keys = bool(arguments) and arguments[0] in (int, float)

    def from_dict(value: object) -> object:
        if not isinstance(value, dict):
            raise Mismatch("a dict", value)
        made = {}
        for key, entry in value.items():
            try:
                made[of_key(_as_number(key) if number_keys else key)] = of_item(entry)
            except Mismatch as e:
                raise e.inside(f"[{key!r}]") from e.__cause__
            except TypeError as e:  # a key without a hash
                raise Mismatch("a dict with other keys", value) from e
        return made

    return from_dict


def _as_number(key: object) -> object:
    """JSON has only text for keys."""
    if isinstance(key, str):
        for number in (int, float):
            try:
                return number(key)
            except ValueError:
                pass
    return key


def _union(as_type: Any) -> Convert:
    members = [(member, converter(member)) for member in get_args(as_type)]
    exact = {member: made for member, made in members if member in (str, int, float, bool, type(None), bytes)}

    def first_that_fits(value: object) -> object:
        made = exact.get(type(value))
        # text may be meant as a date or an enum: then the order of the members says what is tried first
        if made is not None and not isinstance(value, str):
            return made(value)
        for _, member in members:
            try:
                return member(value)
            except Mismatch:
                pass
        raise Mismatch(name_of(as_type), value)

    return first_that_fits


def _literal(choices: tuple[Any, ...]) -> Convert:
    def one_of(value: object) -> object:
        for choice in choices:
            if value == choice and type(value) is type(choice):
                return choice
        raise Mismatch(f"one of {', '.join(map(repr, choices))}", value)

    return one_of


def _enum(as_type: type[Enum]) -> Convert:
    def member(value: object) -> object:
        try:
            return as_type(value)
        except ValueError:
            raise Mismatch(f"a value of {name_of(as_type)}", value) from None

    return member


_LISTS = (list, abc.Sequence, abc.MutableSequence, abc.Iterable, abc.Collection)
_CONTAINERS: dict[Any, Callable[[tuple[Any, ...]], Convert]] = {
    **dict.fromkeys(_LISTS, _list_of(list)),
    set: _list_of(set),
    abc.Set: _list_of(set),
    abc.MutableSet: _list_of(set),
    frozenset: _list_of(frozenset),
    tuple: _tuple,
    dict: _dict,
    abc.Mapping: _dict,
    abc.MutableMapping: _dict,
}


# ---- from typed to plain


def plain(value: Any) -> Any:
    """One step towards plain values, for what an encoder does not know; raises TypeError."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, UUID | Decimal):
        return str(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    if isinstance(value, abc.Mapping):
        return dict(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode("ascii")
    pydantic, msgspec = sys.modules.get("pydantic"), sys.modules.get("msgspec")
    if pydantic is not None and isinstance(value, pydantic.BaseModel):
        return value.model_dump(mode="json")
    if msgspec is not None and isinstance(value, msgspec.Struct):
        return msgspec.to_builtins(value)
    raise TypeError(f"no way is known to encode {name_of(type(value))}")


def name_of(as_type: Any) -> str:
    """As people write it."""
    return as_type.__name__ if isinstance(as_type, type) and not get_args(as_type) else repr(as_type)
