from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqclient.tools.to_nsq.filters import JsonFilter, NotAnObject, go_number, read_object, write_json


def test_without_conditions_no_body_is_looked_at() -> None:
    assert not JsonFilter(value="1").needed
    assert JsonFilter(value="1")(b"no json") == b"no json"


@pytest.mark.parametrize(
    ("body", "passes"),
    [
        (b'{"a": 1}', True),
        (b'{"a": null}', True),
        (b'{"b": {"a": 1}}', False),
        (b"{}", False),
        (b"null", False),
    ],
)
def test_a_required_field_must_be_there(body: bytes, passes: bool) -> None:
    assert JsonFilter("a")(body) == (body if passes else None)


@pytest.mark.parametrize(
    ("wanted", "value", "passes"),
    [
        ("x", '"x"', True),
        ("x", '"X"', False),
        ("1", "1", True),
        ("1", "1.0", True),
        ("1", '"1"', True),
        ("1.0", "1", True),
        ("1.0", '"1"', False),
        ("1e2", "100", True),
        ("+7", "7", True),
        ("007", "7", True),
        ("-0", "0", True),
        ("-7", "7", False),
        (".5", "0.5", True),
        ("x", "1", False),
        ("0x10", "16", False),
        ("1_0", "10", False),
        (" 1", "1", False),
        ("nan", "1", False),
        ("12345678901234567890", "12345678901234567890", True),
        ("12345678901234567891", "12345678901234567890", False),
        ("true", "true", False),
        ("null", "null", False),
        ("{}", "{}", False),
    ],
)
def test_a_required_value_matches_strings_and_numbers(wanted: str, value: str, passes: bool) -> None:
    body = b'{"a": %b}' % value.encode()
    assert JsonFilter("a", wanted)(body) == (body if passes else None)


def test_a_message_without_the_field_of_a_required_value_does_not_match() -> None:
    assert JsonFilter("a", "1")(b'{"b": 1}') is None


@pytest.mark.parametrize("body", [b'{"b" : 1.0,"a":"<"}', b'{ "a": 12345678901234567890 }', b"{}", b"null"])
def test_a_body_of_which_all_passes_keeps_its_bytes(body: bytes) -> None:
    assert JsonFilter(kept=["a", "b", "c"])(body) == body


@pytest.mark.parametrize(
    ("body", "rebuilt"),
    [
        ('{"x":1, "b": 2, "a": [1, {"d": 0, "c": null}, true, false]}', '{"a":[1,{"c":null,"d":0},true,false],"b":2}'),
        ('{"x":1, "a": "<b> & \\u2028 \\b\\f\\n é \\/"}', '{"a":"\\u003cb\\u003e \\u0026 \\u2028 \\u0008\\u000c\\n é /"}'),
        ('{"x":1, "a": 12345678901234567890}', '{"a":12345678901234567890}'),
        ('{"x":1, "a": {}, "b": []}', '{"a":{},"b":[]}'),
        ('{"x":1, "a": 1, "a": 2}', '{"a":2}'),
        ('{"x":1, "a": "\\ud83d\\ude00 \\ud800"}', '{"a":"😀 \\ud800"}'),
        ('{"x":1}', "{}"),
    ],
)  # fmt: skip
def test_a_body_that_loses_fields_is_written_as_go_writes(body: str, rebuilt: str) -> None:
    assert JsonFilter(kept=["a", "b"])(body.encode()) == rebuilt.encode()


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("1", "1"),
        ("1.0", "1"),
        ("1e3", "1000"),
        ("1.50", "1.5"),
        ("-2.25E-1", "-0.225"),
        ("0.1", "0.1"),
        ("0.0", "0"),
        ("-0.0", "-0"),
        ("1e20", "100000000000000000000"),
        ("1e21", "1e+21"),
        ("1.5e300", "1.5e+300"),
        ("0.000001", "0.000001"),
        ("1e-7", "1e-7"),
        ("1.25e-10", "1.25e-10"),
        ("9007199254740993", "9007199254740993"),
        ("9007199254740993.0", "9007199254740993.0"),
        ("0.12345678901234567890", "0.12345678901234567890"),
        ("1e400", "1e400"),
        ("1e-400", "1e-400"),
        ("1e99999999999999999999", "1e99999999999999999999"),
        ("0e99999999999999999999", "0e99999999999999999999"),
    ],
)
def test_numbers_are_written_as_go_writes_them_where_nothing_is_lost(text: str, written: str) -> None:
    assert go_number(text) == written


@pytest.mark.parametrize(
    "body",
    [b"", b"no json", b"[1]", b"1", b'"a"', b'{"a": NaN}', b'{"a": 1} x', b"[" * 100_000, b'{"a":' * 100_000],
)  # fmt: skip
def test_what_is_no_object_is_told(body: bytes) -> None:
    with pytest.raises(NotAnObject):
        JsonFilter("a")(body)


def test_a_number_of_any_length_passes() -> None:
    body = b'{"x":0,"a":%b}' % (b"9" * 10_000)
    assert JsonFilter(kept=["a"])(body) == b'{"a":%b}' % (b"9" * 10_000)


def test_bytes_that_are_no_text_are_replaced_where_a_body_is_rebuilt() -> None:
    body = b'{"x":1,"a":"\xff"}'
    assert JsonFilter(kept=["a"])(body) == '{"a":"\ufffd"}'.encode()
    assert JsonFilter(kept=["a", "x"])(body) == body


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), JSON))
def test_what_is_rebuilt_means_the_same(fields: dict[str, object]) -> None:
    text = json.dumps(fields)
    written = write_json(read_object(text.encode()))
    assert json.loads(written, parse_int=Decimal, parse_float=Decimal) == json.loads(
        text, parse_int=Decimal, parse_float=Decimal
    )


@given(st.binary())
def test_any_body_passes_or_is_told_to_be_no_object(body: bytes) -> None:
    try:
        passed = JsonFilter("a", "1", ["a"])(body)
    except NotAnObject:
        return
    assert passed is None or read_object(passed)
