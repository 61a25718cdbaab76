from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqcore.errors import HttpError
from nsqcore.names import valid_name
from nsqcore.query import parse_query


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", {}),
        ("topic=a", {"topic": "a"}),
        ("topic", {"topic": ""}),
        ("=x", {"": "x"}),
        ("a=1&a=2", {"a": "1"}),
        ("a=b=c", {"a": "b=c"}),
        ("a+b=c+d", {"a b": "c d"}),
        ("%61=%41%2f", {"a": "A/"}),
        ("&&a=1&", {"a": "1"}),
        ("topic=t%23ephemeral", {"topic": "t#ephemeral"}),
        ("topic=t#ephemeral", {"topic": "t#ephemeral"}),
        ("a=%C3%A9", {"a": "é"}),
        ("a=%2B", {"a": "+"}),
    ],
)
def test_a_query_is_read_as_go_reads_it(query: str, found: dict[str, str]) -> None:
    assert parse_query(query) == found


@pytest.mark.parametrize(
    "query", ["a=%zz", "a=%", "a=%2", "%g0=1", "b=1&a=%2x", "a=1;b=2", "a=%\u0663\u0663"]
)
def test_a_broken_query_is_an_invalid_request(query: str) -> None:
    with pytest.raises(HttpError) as refused:
        parse_query(query)
    assert (refused.value.status, refused.value.code) == (400, "INVALID_REQUEST")


@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    try:
        found = parse_query(raw.decode("utf-8", "surrogateescape"))
    except HttpError:
        assert b"%" in raw or b";" in raw
    else:
        assert len(found) <= raw.count(b"&") + 1


@pytest.mark.parametrize("query", ["t=%ff", "t=caf%e9", "t=%ed%b3%bf", "t=\udcff"])
def test_bytes_that_are_not_utf_8_never_make_a_valid_name(query: str) -> None:
    assert not valid_name(parse_query(query)["t"])
