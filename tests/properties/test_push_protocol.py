"""Whatever a browser sends, a token offers, an auth service answers or a record says is read or refused."""

from __future__ import annotations

import base64
import contextlib
import json

from hypothesis import given
from hypothesis import strategies as st

from nsqclient.push.addressing import users_in_record
from nsqclient.push.grants import BadGrant, read_answer
from nsqclient.push.protocol import (
    BadRequest,
    encode,
    message_frame,
    message_tail,
    parse,
    token_of_protocols,
)

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
names = st.sampled_from(
    [
        "op",
        "seq",
        "topic",
        "channel",
        "max",
        "ref",
        "delay",
        "token",
        "ttl",
        "identity",
        "authorizations",
        "to",
    ]
)
ops = st.sampled_from(["ack", "nack", "touch", "auth", "subscribe", "unsubscribe", "ping"])
values = st.recursive(
    scalars | ops, lambda i: st.lists(i, max_size=4) | st.dictionaries(names, i, max_size=8), max_leaves=15
)


@given(st.text() | values.map(json.dumps) | st.dictionaries(names, values | ops, max_size=8).map(json.dumps))
def test_a_command_is_parsed_or_refused(text: str) -> None:
    with contextlib.suppress(BadRequest):
        parse(text)


@given(st.text())
def test_a_token_is_found_or_not_in_any_offer(offered: str) -> None:
    token_of_protocols(offered)
    token_of_protocols(f"nsq.v1, nsq.token.{offered}")


@given(st.text(min_size=1))
def test_a_token_comes_back_from_its_subprotocol(token: str) -> None:
    coded = base64.urlsafe_b64encode(token.encode("utf-8", "surrogatepass")).decode().rstrip("=")
    with contextlib.suppress(UnicodeEncodeError):
        token.encode()
        assert token_of_protocols(f"nsq.v1, nsq.token.{coded}") == token


@given(values)
def test_an_answer_is_a_grant_or_refused(answer: object) -> None:
    with contextlib.suppress(BadGrant):
        assert read_answer(answer).user


@given(st.binary() | values.map(lambda v: json.dumps(v).encode()), st.text(max_size=8))
def test_a_record_names_users_or_nobody(body: bytes, path: str) -> None:
    assert all(users_in_record(body, path or "to"))


@given(st.binary(), st.integers(1), st.integers(0, 65535), st.integers(0, 2**63 - 1))
def test_a_message_is_json_and_its_body_is_whole(body: bytes, seq: int, attempts: int, time: int) -> None:
    frame = json.loads(message_frame(seq, message_tail("topic", "0" * 16, "t", "", attempts, time, body)))
    got = frame["body"].encode() if "body" in frame else base64.b64decode(frame["body64"])
    assert (frame["type"], frame["seq"], got) == ("message", seq, body)
    assert json.loads(encode("x", empty="", given="é")) == {"type": "x", "given": "é"}
