"""The expected bytes and texts were made with Go 1.19's encoding/json and fmt."""

from __future__ import annotations

import asyncio
import errno
import json
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqcore.golang import go_json, go_quote, go_reason

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def test_json_has_no_blanks_and_keeps_the_order_of_keys() -> None:
    assert go_json({"b": [1, 2], "a": None, "c": {"x": True}}) == b'{"b":[1,2],"a":null,"c":{"x":true}}'


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("\b\f\n\r\t\x00\x1f\x7f", b'"\\u0008\\u000c\\n\\r\\t\\u0000\\u001f\x7f"'),
        ('"\\/', b'"\\"\\\\/"'),
        ("\\b\\f", b'"\\\\b\\\\f"'),
        ("<a>&b", b'"\\u003ca\\u003e\\u0026b"'),
        ("\u2028\u2029", b'"\\u2028\\u2029"'),
        ("é😀", '"é😀"'.encode()),
    ],
)
def test_json_text_is_escaped_as_go_escapes_it(text: str, written: bytes) -> None:
    assert go_json(text) == written


def test_json_shows_bytes_that_are_not_utf_8_as_replacement_characters() -> None:
    assert go_json(b"a\xffb".decode("utf-8", "surrogateescape")) == b'"a\\ufffdb"'


@given(JSON_VALUES)
def test_json_says_what_it_was_given(value: object) -> None:
    assert json.loads(go_json(value)) == value


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        (b"", '""'),
        (b"plain name", '"plain name"'),
        (b"\a\b\f\n\r\t\v\\\"'", '"\\a\\b\\f\\n\\r\\t\\v\\\\\\"\'"'),
        (b"\x00\x1f\x7f", '"\\x00\\x1f\\x7f"'),
        (b"\xff", '"\\xff"'),
        (b"\xed\xa0\x80", '"\\xed\\xa0\\x80"'),
        ("é😀".encode(), '"é😀"'),
        ("\x80\xa0\u200b\ufeff\u3000".encode(), '"\\u0080\\u00a0\\u200b\\ufeff\\u3000"'),
        ("\U000e0001".encode(), '"\\U000e0001"'),
    ],
)
def test_quoted_text_is_what_go_prints(text: bytes, quoted: str) -> None:
    assert go_quote(text) == quoted


@given(st.binary())
def test_any_bytes_can_be_quoted_in_one_printable_line(text: bytes) -> None:
    assert go_quote(text).isprintable()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (FileNotFoundError(errno.ENOENT, "No such file", "/x"), "open /x: no such file or directory"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('127.0.0.1', 1)"), "connection refused"),
        (ConnectionResetError(errno.ECONNRESET, "x"), "connection reset by peer"),
        (TimeoutError(), "i/o timeout"),
        (TimeoutError(errno.ETIMEDOUT, "x"), "connection timed out"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "no such host"),
        (asyncio.IncompleteReadError(b"", 4), "EOF"),
        (asyncio.IncompleteReadError(b"a", 4), "unexpected EOF"),
        (ValueError("want less"), "want less"),
        (EOFError(), "EOFError"),
    ],
)  # fmt: skip
def test_a_failure_has_gos_words(error: BaseException, reason: str) -> None:
    assert go_reason(error) == reason
