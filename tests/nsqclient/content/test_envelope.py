from __future__ import annotations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqclient import EnvelopeError
from nsqclient.content.envelope import MAGIC, MAX_HEADERS, looks_wrapped, unwrap, wrap

HEADERS = {"message-key": "k-1", "tenant": "åcme"}
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(st.dictionaries(text, text, max_size=8), st.binary(max_size=200))
def test_what_is_wrapped_comes_out_again(headers: dict[str, str], payload: bytes) -> None:
    assert unwrap(wrap(headers, payload)) == (headers, payload)


@given(st.binary(max_size=60))
def test_a_body_without_the_magic_is_the_payload(body: bytes) -> None:
    if not looks_wrapped(body):
        headers, payload = unwrap(body)
        assert (dict(headers), payload) == ({}, body)
        assert payload is body


@given(st.binary(max_size=80))
def test_whatever_follows_the_magic_is_read_or_refused(rest: bytes) -> None:
    for head in (MAGIC, MAGIC + b"\1", MAGIC + b"\1\0\0\0" + bytes([len(rest)])):
        try:
            headers, payload = unwrap(head + rest)
        except EnvelopeError:
            continue
        assert all(isinstance(part, str) for pair in headers.items() for part in pair)
        assert rest.endswith(payload)


@given(st.data())
def test_a_changed_byte_is_read_or_refused(data: st.DataObject) -> None:
    body = bytearray(wrap(HEADERS, b"payload"))
    place = data.draw(st.integers(0, len(body) - 1))
    body[place] = data.draw(st.integers(0, 255))
    try:
        unwrap(bytes(body))
    except EnvelopeError:
        pass


@pytest.mark.parametrize("cut", range(4, len(wrap(HEADERS, b""))))
def test_an_envelope_that_ends_early_is_refused(cut: int) -> None:
    with pytest.raises(EnvelopeError):
        unwrap(wrap(HEADERS, b"")[:cut])


def test_the_magic_is_no_text_and_no_msgpack() -> None:
    with pytest.raises(UnicodeDecodeError):
        MAGIC.decode()
    with pytest.raises(msgpack.FormatError):
        msgpack.unpackb(MAGIC)


@pytest.mark.parametrize(("old", "new"), [(b"\r\n", b"\n"), (b"\n", b"\r\n"), (b"\r", b"\n")])
def test_translated_newlines_are_noticed(old: bytes, new: bytes) -> None:
    with pytest.raises(EnvelopeError, match="newlines"):
        unwrap(wrap({}, b"payload").replace(old, new))


def test_an_unknown_version_is_refused() -> None:
    body = wrap(HEADERS, b"x").replace(MAGIC + b"\1", MAGIC + b"\2")
    with pytest.raises(EnvelopeError, match="version 2"):
        unwrap(body)


def test_too_many_headers_are_refused_on_both_sides() -> None:
    with pytest.raises(EnvelopeError, match=f"limit is {MAX_HEADERS}"):
        wrap({"h": "x" * MAX_HEADERS}, b"")
    with pytest.raises(EnvelopeError, match=f"limit is {MAX_HEADERS}"):
        unwrap(MAGIC + b"\1" + (MAX_HEADERS + 1).to_bytes(4) + bytes(MAX_HEADERS + 1))


@pytest.mark.parametrize("packed", [{"a": 1}, {b"a": "b"}, ["a"], "a", {"a": None}])
def test_headers_that_are_not_texts_are_refused(packed: object) -> None:
    data = msgpack.packb(packed)
    with pytest.raises(EnvelopeError, match="map"):
        unwrap(MAGIC + b"\1" + len(data).to_bytes(4) + data)


@pytest.mark.parametrize("headers", [{"a": 1}, {"a": "\ud800"}])
def test_headers_that_can_not_be_sent_are_refused(headers: dict[str, object]) -> None:
    with pytest.raises(EnvelopeError):
        wrap(headers, b"")


def test_an_empty_payload_can_be_wrapped() -> None:
    assert unwrap(wrap({}, b"")) == ({}, b"")


def test_a_payload_that_is_itself_an_envelope_survives() -> None:
    inner = wrap(HEADERS, b"x")
    assert looks_wrapped(inner)
    assert unwrap(wrap({}, inner)) == ({}, inner)
