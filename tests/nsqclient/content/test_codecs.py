from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal, NamedTuple, NewType, NotRequired, TypedDict
from uuid import UUID

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqclient import CodecError, codecs

CustomerId = NewType("CustomerId", int)


class Color(Enum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Point(NamedTuple):
    x: int
    y: int = 0


class Address(TypedDict):
    city: str
    zip: NotRequired[str]


@dataclass
class Item:
    name: str
    price: Decimal
    parts: list[Item] = field(default_factory=list)


@dataclass
class Order:
    id: UUID
    customer: CustomerId
    placed: datetime
    items: list[Item]
    address: Address
    color: Color = Color.RED
    level: Level = Level.HIGH
    note: str | None = None
    tags: frozenset[str] = frozenset()
    by_number: dict[int, str] = field(default_factory=dict)
    where: Point = field(default=Point(0))
    pair: tuple[int, str] = (1, "a")
    blob: bytes = b""
    wait: timedelta = timedelta(0)
    day: date = date(2026, 1, 2)
    at: time = time(3, 4)
    how: Literal["fast", "slow"] = "fast"
    amount: Annotated[float, "euros"] = 1.0


class Model(pydantic.BaseModel):
    id: int
    placed: datetime


class Record(msgspec.Struct):
    id: int
    placed: datetime
    key: UUID


NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
KEY = UUID(int=7)
ORDER = Order(
    KEY,
    CustomerId(5),
    NOW,
    [Item("box", Decimal("1.10"), [Item("lid", Decimal(2))])],
    {"city": "Oslo"},
    note="åäö",
    tags=frozenset({"a", "b"}),
    by_number={1: "one"},
    where=Point(3, 4),
    blob=b"\0\xff",
    wait=timedelta(seconds=1.5),
)


@pytest.mark.parametrize("codec", [codecs.json, codecs.msgpack, codecs.auto])
@pytest.mark.parametrize(
    ("value", "as_type"),
    [
        (ORDER, Order),
        ([ORDER, ORDER], list[Order]),
        ({"a": Item("x", Decimal(1))}, dict[str, Item]),
        (Model(id=1, placed=NOW), Model),
        ([Model(id=1, placed=NOW)], list[Model]),
        (Record(1, NOW, KEY), Record),
        ({"r": Record(1, NOW, KEY)}, dict[str, Record]),
        ({"any": [1, 2.5, None, True, "x"]}, object),
        ([1, 2], Sequence[int]),
        ({"a": 1}, Mapping[str, int]),
        (None, type(None)),
        (7, int),
    ],
)
def test_a_value_comes_back_as_it_was(codec: codecs.Codec, value: object, as_type: type[object]) -> None:
    assert codec.decode(codec.encode(value), as_type) == value


@pytest.mark.parametrize(
    ("body", "as_type", "says"),
    [
        (
            '{"name": "x", "price": 1, "parts": [{"name": 5}]}',
            Item,
            r"expected text at .parts\[0\].name, found 5",
        ),
        ('{"name": "x"}', Item, "expected Item with 'price', found"),
        ("[1, 2]", Item, r"expected Item, found \[1, 2\]"),
        ('["a", "b", 3]', list[str], r"expected text at \[2\], found 3"),
        ('{"a": true}', dict[str, int], r"expected a whole number at \['a'\], found True"),
        ("1.5", int, "expected a whole number, found 1.5"),
        ('"1"', int, "expected a whole number"),
        ("true", float, "expected a number"),
        ('"yesterday"', datetime, "expected a date and time in ISO 8601, found 'yesterday'"),
        ('"blue"', Color, "expected a value of Color"),
        ('"medium"', Literal["fast", "slow"], "expected one of 'fast', 'slow'"),
        ('"x"', UUID, "expected a UUID"),
        ('"x"', Decimal, "expected a decimal number"),
        ("[1]", tuple[int, int], "expected a list of 2"),
        ('{"zip": "1"}', Address, "expected Address with 'city'"),
        ("[]", Address, "expected Address"),
        ('{"id": "x", "placed": "2026-01-01T00:00:00Z"}', Model, "expected Model"),
        ('{"id": "x"}', Record, "expected Record"),
        ("{", dict, "expected JSON, found b'{'"),
        ("NaN", float, "NaN"),
        ("[" * 100_000, list, "nested too deeply"),
        ('"x"', complex, "no way is known to decode into complex"),
    ],
)
def test_what_was_expected_and_where_is_said(body: str, as_type: type[object], says: str) -> None:
    with pytest.raises(CodecError, match=says):
        codecs.json.decode(body.encode(), as_type)


def test_fields_that_the_type_does_not_have_are_passed_over() -> None:
    assert codecs.json.decode(b'{"x": 1, "z": 2}', Point) == Point(1)


def test_the_checks_of_a_dataclass_refuse_as_codec_errors() -> None:
    @dataclass
    class Percent:
        value: int

        def __post_init__(self) -> None:
            if self.value > 100:
                raise ValueError("too much")

    Percent.__annotations__ = {"value": int}
    with pytest.raises(CodecError, match="too much"):
        codecs.json.decode(b'{"value": 101}', Percent)


def test_an_annotation_that_can_not_be_resolved_is_told() -> None:
    @dataclass
    class Lost:
        value: Missing  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(CodecError, match="Lost can't be resolved"):
        codecs.json.decode(b'{"value": 1}', Lost)


def test_the_members_of_a_union_are_tried_in_order() -> None:
    decode: Any = codecs.json.decode
    assert decode(b'"2026-01-02"', date | str) == date(2026, 1, 2)
    assert decode(b'"tomorrow"', date | str) == "tomorrow"
    assert decode(b"1", float | int | None) == 1
    assert decode(b"null", int | None) is None
    with pytest.raises(CodecError, match="int"):
        decode(b'"x"', int | None)


def test_unions_that_only_differ_in_order_are_told_apart() -> None:
    decode: Any = codecs.json.decode
    assert decode(b'["2026-01-02"]', list[date | str]) == [date(2026, 1, 2)]
    assert decode(b'["2026-01-02"]', list[str | date]) == ["2026-01-02"]


def test_an_annotation_without_a_hash_is_no_matter() -> None:
    decode: Any = codecs.json.decode
    assert decode(b"[1]", list[Annotated[int, ["no hash"]]]) == [1]


def test_what_has_no_hash_is_in_no_set_and_no_key() -> None:
    decode: Any = codecs.json.decode
    for body, as_type in ((b"[{}]", set[object]), (b'{"a": 1}', dict[list[int], int])):
        with pytest.raises(CodecError):
            decode(body, as_type)
    with pytest.raises(CodecError):
        codecs.msgpack.decode(b"\x81\x90\x01", dict)


@pytest.mark.parametrize(
    ("body", "number"),
    [
        (b'"1.10"', "1.10"),
        (b"1.1", "1.1"),
        (b"0", "0"),
        (b"0.0", "0.0"),
        (b"12345678901234567890", "12345678901234567890"),
    ],
)
def test_decimals_are_exact(body: bytes, number: str) -> None:
    assert str(codecs.json.decode(body, Decimal)) == number


@pytest.mark.parametrize("body", [b"true", b"[0, [1], 0]", b"null"])
def test_other_things_are_no_decimals(body: bytes) -> None:
    with pytest.raises(CodecError, match="a decimal number"):
        codecs.json.decode(body, Decimal)


@pytest.mark.parametrize("value", [object(), float("nan"), {"a": {1j}}, {(1, 2): 3}, "\ud800"])
def test_what_json_can_not_say_is_refused(value: object) -> None:
    with pytest.raises(CodecError):
        codecs.json.encode(value)


@pytest.mark.parametrize("value", [object(), 1 << 64, "\ud800"])
def test_what_msgpack_can_not_say_is_refused(value: object) -> None:
    with pytest.raises(CodecError):
        codecs.msgpack.encode(value)


def test_a_value_inside_itself_is_refused() -> None:
    endless: list[object] = []
    endless.append(endless)
    for codec in (codecs.json, codecs.msgpack):
        with pytest.raises(CodecError):
            codec.encode(endless)


@given(st.binary(max_size=100))
def test_any_bytes_decode_or_are_refused(data: bytes) -> None:
    for codec in (codecs.json, codecs.msgpack, codecs.text):
        for as_type in (object, str, Order, dict[str, int]):
            try:
                codec.decode(data, as_type)
            except CodecError:
                pass


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=20,
)  # fmt: skip


@given(json_values)
def test_plain_values_survive_any_codec(value: object) -> None:
    for codec in (codecs.json, codecs.msgpack):
        assert codec.decode(codec.encode(value), object) == value


@given(json_values)
def test_a_wrong_shape_is_a_codec_error_and_nothing_else(value: object) -> None:
    try:
        codecs.json.decode(json.dumps(value).encode(), Order)
    except CodecError:
        pass


def test_json_has_no_blanks_and_no_escapes() -> None:
    assert codecs.json.encode({"a": ["å", 1]}) == '{"a":["å",1]}'.encode()


def test_raw_takes_and_gives_bytes_only() -> None:
    assert codecs.raw.encode(memoryview(b"x")) == b"x"
    assert codecs.raw.decode(b"x", bytearray) == bytearray(b"x")
    with pytest.raises(CodecError, match="not str"):
        codecs.raw.encode("x")
    with pytest.raises(CodecError, match="not dict"):
        codecs.raw.decode(b"x", dict)


def test_text_takes_and_gives_utf8() -> None:
    assert codecs.text.decode(codecs.text.encode("å"), str) == "å"
    assert codecs.text.decode(b"red", Color) is Color.RED
    with pytest.raises(CodecError, match="UTF-8"):
        codecs.text.decode(b"\xff", str)
    with pytest.raises(CodecError, match="not int"):
        codecs.text.encode(1)


def test_auto_leaves_bytes_and_text_as_they_are() -> None:
    assert codecs.auto.encode(b"\xff") == b"\xff"
    assert codecs.auto.encode("å") == "å".encode()
    assert codecs.auto.encode({"a": 1}) == b'{"a":1}'
    assert codecs.auto.decode(b"\xff", bytes) == b"\xff"
    assert codecs.auto.decode(b"text", str) == "text"
    assert codecs.auto.decode(b"[1]", list[int]) == [1]


def test_the_header_says_what_the_value_was() -> None:
    assert codecs.content_type(codecs.auto, b"x") == "application/octet-stream"
    assert codecs.content_type(codecs.auto, "x") == "text/plain; charset=utf-8"
    assert codecs.content_type(codecs.auto, 1) == "application/json"
    assert codecs.content_type(codecs.msgpack, 1) == "application/msgpack"


def test_auto_heeds_the_header() -> None:
    body = codecs.msgpack.encode({"a": 1})
    assert codecs.decode(codecs.auto, body, dict[str, int], "application/msgpack") == {"a": 1}
    assert codecs.decode(codecs.auto, b'"x"', str, "Application/JSON; charset=utf-8") == "x"
    assert codecs.decode(codecs.auto, b'"x"', str, "application/unheard-of") == '"x"'
    assert codecs.decode(codecs.auto, body, bytes, "application/msgpack") == body


class Reversed:
    content_type = "text/x-reversed"

    def encode(self, value: object) -> bytes:
        return str(value).encode()[::-1]

    def decode(self, data: bytes, as_type: type[codecs.T]) -> codecs.T:
        return codecs.text.decode(data[::-1], as_type)


def test_a_codec_of_ones_own_will_do() -> None:
    codec: codecs.Codec = Reversed()
    assert codecs.decode(codec, codec.encode("abc"), str, codecs.content_type(codec, "abc")) == "abc"


def test_what_was_passed_on_as_bytes_is_read_as_what_the_reader_wants() -> None:
    assert codecs.decode(codecs.auto, b'{"a": 1}', dict, "application/octet-stream") == {"a": 1}
    assert codecs.decode(codecs.auto, b"x", bytes, "application/octet-stream") == b"x"
