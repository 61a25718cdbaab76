"""What bodies say, and what is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqadmin.api.bodies import read_texts_of
from nsqcore.errors import HttpError

JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["topic", "Topic"]), inner),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("body", "topic"),
    [
        (b'{"topic":"t"}', "t"),
        (b' \r\n\t{"topic":"t"}', "t"),
        (b'{"topic":"t"} and more', "t"),
        (b'{"TOPIC":"t"}', "t"),
        (b'{"topic":"a","Topic":"b","topic":"t"}', "t"),
        (b'{"topic":"t","topic":null}', "t"),
        (b'{"topic":"t","more":{"topic":5}}', "t"),
        (b'{"topic":null}', ""),
        (b"{}", ""),
        (b"null", ""),
        (b'{"topic":"\xff"}', "\ufffd"),
        (b'{"topic":"t","n":' + b"9" * 10_000 + b"}", "t"),
    ],
)
def test_a_body_is_read_as_generously_as_by_the_original(body: bytes, topic: str) -> None:
    assert read_texts_of(body, "topic", "channel") == {"topic": topic, "channel": ""}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "EOF"),
        (b" \n", "EOF"),
        (b"{", "unexpected EOF"),
        (b'{"topic"', "unexpected EOF"),
        (b'{"topic":', "unexpected EOF"),
        (b'{"topic":"t', "unexpected EOF"),
        (b'{"topic":"t"', "unexpected EOF"),
        (b'{"topic":"t",', "unexpected EOF"),
        (b"[1", "unexpected EOF"),
        (b"nul", "unexpected EOF"),
        (b"-", "unexpected EOF"),
        (b'{"topic":1.5}', "json: cannot unmarshal number into Go struct field .topic of type string"),
        (b'{"topic":true}', "json: cannot unmarshal bool into Go struct field .topic of type string"),
        (b'{"topic":[1]}', "json: cannot unmarshal array into Go struct field .topic of type string"),
        (b'{"topic":{}}', "json: cannot unmarshal object into Go struct field .topic of type string"),
        (b"[]", "json: cannot unmarshal array into an object"),
        (b'"t"', "json: cannot unmarshal string into an object"),
        (b"topic=t", "invalid JSON: Expecting value: line 1 column 1 (char 0)"),
        (b'{"topic":NaN}', "invalid JSON: NaN is no number"),
        (b"\xef\xbb\xbf{}", "invalid JSON: Expecting value: line 1 column 1 (char 0)"),
    ],
)
def test_what_is_wrong_with_a_body_is_told(body: bytes, text: str) -> None:
    with pytest.raises(HttpError) as refused:
        read_texts_of(body, "topic", "channel")
    assert (refused.value.status, refused.value.code) == (400, text)


def test_a_body_that_is_nested_without_end_is_refused() -> None:
    with pytest.raises(HttpError, match="invalid JSON") as refused:
        read_texts_of(b"[" * 200_000, "topic")
    assert refused.value.status == 400


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_read_or_refused(body: bytes) -> None:
    found = _outcome(body)
    if isinstance(found, HttpError):
        assert found.status == 400
        assert found.code
    else:
        assert isinstance(found["topic"], str)


def _outcome(body: bytes) -> Mapping[str, str] | HttpError:
    try:
        return read_texts_of(body, "topic")
    except HttpError as e:
        return e
