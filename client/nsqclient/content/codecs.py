"""How values become bodies, and bodies values: ``nsqclient.codecs``.

A codec of your own is any object with these three members; it may raise whatever it likes, best CodecError.
"""

from __future__ import annotations

import json as _json
from typing import Any, Protocol, TypeVar

from nsqclient.content.typed import convert, name_of, plain
from nsqclient.errors import CodecError

T = TypeVar("T")


def _no_constant(name: str) -> object:
    raise ValueError(f"JSON has no {name}")


# made once: loads and dumps would make new ones for each call with such settings
_decode = _json.JSONDecoder(parse_constant=_no_constant).decode
_encode = _json.JSONEncoder(default=plain, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class Codec(Protocol):
    """Turns values into bodies and back."""

    @property
    def content_type(self) -> str:
        """Goes along as a header, where headers are sent; empty for none."""

    def encode(self, value: object) -> bytes:
        """The body; raises CodecError for a value it can't write."""

    def decode(self, data: bytes, as_type: type[T]) -> T:
        """The body as ``as_type``; raises CodecError when it is something else."""


class Raw:
    """Bytes as they are."""

    content_type = "application/octet-stream"

    def encode(self, value: object) -> bytes:
        """Takes bytes, bytearray and memoryview."""
        if not isinstance(value, bytes | bytearray | memoryview):
            raise CodecError(f"a raw body is bytes, not {name_of(type(value))}")
        return bytes(value)

    def decode(self, data: bytes, as_type: type[T]) -> T:
        """Gives bytes, bytearray or memoryview."""
        if as_type is bytes or as_type is Any or as_type is object:
            return data  # type: ignore[return-value]
        if as_type is bytearray or as_type is memoryview:
            return as_type(data)  # type: ignore[call-arg]
        raise CodecError(f"a raw body is bytes, not {name_of(as_type)}")


class Text:
    """Text in UTF-8."""

    content_type = "text/plain; charset=utf-8"

    def encode(self, value: object) -> bytes:
        """Takes str."""
        if not isinstance(value, str):
            raise CodecError(f"a text body is str, not {name_of(type(value))}")
        try:
            return value.encode()
        except UnicodeEncodeError as e:
            raise CodecError(f"the text is not proper Unicode: {e}") from None

    def decode(self, data: bytes, as_type: type[T]) -> T:
        """Gives what can be made of one text: str, an enum, a UUID, a date."""
        try:
            text = data.decode()
        except UnicodeDecodeError as e:
            raise CodecError(f"the body is not text in UTF-8: {e}") from None
        return convert(text, as_type)  # type: ignore[no-any-return]


class Json:
    """JSON, in UTF-8 and without blanks.

    Beyond what JSON has: dataclasses, TypedDicts, named tuples, enums (by value), datetime, date and time (ISO
    8601), timedelta (seconds), UUID and Decimal (text), sets and tuples (lists), bytes (base64), pydantic
    models and msgspec structs. There is no NaN and no infinity.
    """

    content_type = "application/json"

    def encode(self, value: object) -> bytes:
        """Takes all of these."""
        try:
            return _encode(value).encode()
        except RecursionError:
            raise CodecError("the value is nested too deeply, or in itself, for JSON") from None
        except (TypeError, ValueError) as e:
            raise CodecError(f"the value can't be written as JSON: {e}") from e

    def decode(self, data: bytes, as_type: type[T]) -> T:
        """Gives any of these; fields that the type does not have are passed over."""
        try:
            value = _decode(data.decode())
        except RecursionError:
            raise CodecError("the body is JSON that is nested too deeply") from None
        except ValueError as e:
            raise CodecError(f"expected JSON, found {data[:40]!r}: {e}") from None
        return convert(value, as_type)  # type: ignore[no-any-return]


class Msgpack:
    """msgpack: smaller than JSON, and bytes stay bytes. All else is as with :class:`Json`."""

    content_type = "application/msgpack"

    def encode(self, value: object) -> bytes:
        """Takes what :class:`Json` takes, and whole numbers of up to 64 bits."""
        import msgpack  # late: only those who use it pay for it

        try:
            packed: bytes = msgpack.packb(value, default=plain)
        except (TypeError, ValueError, OverflowError) as e:
            raise CodecError(f"the value can't be written as msgpack: {e}") from e
        return packed

    def decode(self, data: bytes, as_type: type[T]) -> T:
        """Gives what :class:`Json` gives; timestamps of msgpack's own become datetime in UTC."""
        import msgpack

        try:
            value = msgpack.unpackb(data, timestamp=3, strict_map_key=False)
        except (ValueError, TypeError, OverflowError, msgpack.UnpackException) as e:
            raise CodecError(f"expected msgpack, found {data[:40]!r}: {e}") from None
        return convert(value, as_type)  # type: ignore[no-any-return]


class Auto:
    """Bytes as they are, text as UTF-8, all else as JSON; what comes in is read as the type asked for says."""

    content_type = ""

    def encode(self, value: object) -> bytes:
        """Takes what the other three take."""
        return self.of(type(value)).encode(value)

    def decode(self, data: bytes, as_type: type[T]) -> T:
        """Gives bytes as they are, str as UTF-8, all else from JSON."""
        return self.of(as_type).decode(data, as_type)

    @staticmethod
    def of(kind: object) -> Codec:
        """The codec for a type of values."""
        if kind is bytes or kind is bytearray or kind is memoryview:
            return raw
        return text if kind is str else json


raw: Raw = Raw()
text: Text = Text()
json: Json = Json()
msgpack: Msgpack = Msgpack()
auto: Auto = Auto()

_BY_TYPE: dict[str, Codec] = {
    "text/plain": text,
    "application/json": json,
    "application/msgpack": msgpack,
    "application/x-msgpack": msgpack,
}


def content_type(codec: Codec, value: object) -> str:
    """What the header of a message says that is made of ``value``; empty for none."""
    return codec.of(type(value)).content_type if isinstance(codec, Auto) else codec.content_type


def decode(codec: Codec, data: bytes, as_type: type[T], said: str = "") -> T:
    """Decodes as the consumer's ``codec`` does; :data:`auto` heeds what the header ``said``, if it is known.

    That something was published as bytes says nothing about what is in them: they may be JSON that was passed
    on, as a dead letter is.
    """
    if said and isinstance(codec, Auto) and as_type is not bytes:
        codec = _BY_TYPE.get(said.partition(";")[0].strip().lower(), codec)
    return codec.decode(data, as_type)
