from __future__ import annotations

import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqclient.consumer.message import Message
from nsqclient.tools.to_http.requests import (
    LONGEST_URL,
    Fields,
    Get,
    Post,
    TooLong,
    parse_headers,
    split_template,
)
from nsqclient.tools.to_http.urls import parse_url
from tests.nsqclient.sources import RecordingSource

ID = b"0123456789abcdef"
NONE = Fields({}, "t", "c", about_message=False)


def message(body: bytes = b"hello", attempts: int = 3) -> Message:
    data = (1_700_000_000_123_456_789).to_bytes(8, "big") + attempts.to_bytes(2, "big") + ID + body
    return Message(RecordingSource(), data, 0.0)


def test_a_post_has_the_message_as_its_body() -> None:
    fields = Fields({"User-Agent": "u", "Content-Type": "text/plain"}, "t", "c", about_message=False)
    assert Post("http://a:8000/x?y=%s", fields).request(message()).encode() == (
        b"POST /x?y=%25s HTTP/1.1\r\nHost: a:8000\r\nUser-Agent: u\r\nContent-Type: text/plain\r\n"
        b"Content-Length: 5\r\n\r\nhello"
    )


def test_a_get_has_the_message_in_its_url() -> None:
    request = Get("http://a/x%20y?q=%s&r=100%&s=%d#end", NONE).request(message(b"a b&c/%s\xff\n~-_."))
    assert request.encode() == (
        b"GET /x%20y?q=a+b%26c%2F%25s%FF%0A~-_.&r=100%25&s=%25d HTTP/1.1\r\nHost: a\r\n\r\n"
    )


def test_a_get_may_have_the_message_in_its_path() -> None:
    assert Get("http://a/message/%s/x", NONE).request(message()).url.path == b"/message/hello/x"


def test_headers_tell_of_the_message() -> None:
    fields = Fields({"A": "b"}, "t", "c", about_message=True)
    assert fields.of(message()) == (
        b"A: b\r\nX-NSQ-Topic: t\r\nX-NSQ-Channel: c\r\nX-NSQ-Message-ID: 0123456789abcdef\r\n"
        b"X-NSQ-Attempts: 3\r\nX-NSQ-Timestamp: 1700000000123456789\r\n"
    )


def test_a_header_that_was_given_replaces_one_that_tells_of_the_message() -> None:
    fields = Fields({"x-nsq-topic": "100%"}, "t", "c", about_message=True)
    lines = fields.of(message()).split(b"\r\n")
    assert lines[0] == b"x-nsq-topic: 100%"
    assert not any(line.startswith(b"X-NSQ-Topic") for line in lines)


def test_a_message_too_long_for_a_url_is_refused_with_its_size() -> None:
    get = Get("http://a/?q=%s", NONE)
    assert len(get.request(message(b"x" * (LONGEST_URL - 4))).url.path) == LONGEST_URL
    with pytest.raises(
        TooLong, match=f"a message of {LONGEST_URL - 3} bytes makes a URL of {LONGEST_URL + 1}"
    ):
        get.request(message(b"x" * (LONGEST_URL - 3)))
    with pytest.raises(TooLong, match="a message of 400000 bytes makes a URL of 1200004"):
        get.request(message(b"/" * 400_000))
    with pytest.raises(TooLong, match="a message of 9000000 bytes"):
        get.request(message(b"/" * 9_000_000))


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("http://a/%s", ("http://a/", "")),
        ("http://a/%%20?%s&%d", ("http://a/%20?", "&%d")),
        ("http://a/%%%s", ("http://a/%", "")),
        ("http://a/%20%s%", ("http://a/%20", "%")),
    ],
)
def test_the_place_of_the_message_in_a_url(address: str, parts: tuple[str, str]) -> None:
    assert split_template(address) == parts


@pytest.mark.parametrize("address", ["http://a/", "http://a/%%s", "http://a/%s%s"])
def test_a_url_without_a_single_place_for_the_message_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="exactly one %s"):
        split_template(address)


@pytest.mark.parametrize("address", ["http://%s/x", "http://a.%s:80/x", "http://a/x#%s", "http://%s@a/"])
def test_a_message_may_not_say_where_to_connect(address: str) -> None:
    with pytest.raises(ValueError, match=r"in the path or in the query|no name of a host"):
        Get(address, NONE)


@given(st.binary(max_size=300))
def test_an_escaped_message_is_one_value_of_a_query_again(body: bytes) -> None:
    path = Get("http://a/?a=%20&q=%s&z=1", NONE).request(message(body)).url.path.decode("ascii")
    query = urllib.parse.urlsplit(path).query
    found = urllib.parse.parse_qs(query, keep_blank_values=True, encoding="latin-1")
    assert found == {"a": [" "], "q": [body.decode("latin-1")], "z": ["1"]}


def test_headers_are_name_and_value_and_the_last_of_a_name_counts() -> None:
    assert parse_headers(["A:b", " X-Y :  c:d ", "a: e"]) == {"a": "e", "X-Y": "c:d"}


@pytest.mark.parametrize("text", ["", "a", "a:", ":b", " : ", "a=b"])
def test_a_header_without_a_name_or_a_value_is_refused_in_the_originals_words(text: str) -> None:
    with pytest.raises(ValueError, match=r"^--header value format should be 'key=value'$"):
        parse_headers([text])


@given(st.text(), st.text())
def test_no_header_adds_a_line(name: str, value: str) -> None:
    try:
        headers = parse_headers([f"{name}:{value}"])
    except ValueError:
        return
    assert Fields(headers, "t", "c", about_message=False).of(message()).count(b"\n") == 1


def test_secrets_stay_with_their_host() -> None:
    fields = Fields({"Authorization": "x", "Cookie": "y", "A": "b"}, "t", "c", about_message=False)
    request = Post("https://a/x", fields).request(message())
    same = request.redirected(307, parse_url("https://a:444/y"))
    assert (same.method, same.body, same.fields) == (b"POST", b"hello", request.fields)
    other = request.redirected(307, parse_url("https://b/y"))
    assert (other.body, other.fields) == (b"hello", b"A: b\r\n")
    plain = request.redirected(303, parse_url("http://a/y"))
    assert (plain.method, plain.body, plain.fields) == (b"GET", None, b"A: b\r\n")
