"""How messages are printed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from nsqclient.consumer.message import Message
from nsqclient.content.envelope import wrap
from nsqclient.tools.common.showing import readable
from nsqclient.tools.tail.lines import as_object, for_people, plain, with_topic

WHEN = datetime(2025, 1, 31, 12, 0, 0, 7, tzinfo=UTC)


def message(body: bytes, topic: str = "t") -> Message:
    facts = SimpleNamespace(
        id="0123456789abcdef", timestamp=WHEN, attempts=2, node="127.0.0.1:4150", topic=topic, body=body
    )
    return cast(Message, facts)


def test_a_program_gets_the_bytes_and_a_topic_where_it_wants_one() -> None:
    enveloped = wrap({"a": "b"}, b"payload")
    assert plain(message(enveloped)) == enveloped + b"\n"
    assert with_topic(message(b"\xff\n")) == b"t | \xff\n\n"


def test_an_object_tells_headers_and_the_body_of_an_envelope() -> None:
    facts = json.loads(as_object(message(wrap({"a": "b"}, b"payload"))))
    assert (facts["headers"], facts["body"]) == ({"a": "b"}, "payload")
    assert facts["timestamp"] == "2025-01-31T12:00:00.000007+00:00"
    assert list(facts) == ["id", "timestamp", "attempts", "node", "topic", "headers", "body"]


def test_a_broken_envelope_is_a_body_like_any_other() -> None:
    broken = wrap({"a": "b"}, b"")[:-3]
    facts = json.loads(as_object(message(broken)))
    assert "headers" not in facts
    assert "body_base64" in facts


@given(st.binary())
def test_whatever_is_in_a_body_an_object_is_one_line(body: bytes) -> None:
    line = as_object(message(body))
    assert line.count(b"\n") == 1
    assert {"body", "body_base64"} & set(json.loads(line))


@given(st.binary())
def test_whatever_is_in_a_body_a_terminal_gets_one_line_of_printable_text(body: bytes) -> None:
    assert readable(body).isprintable()
    form = for_people(["t"], print_topic=False, colour=False)
    assert form(message(body)).count(b"\n") == 1


def test_each_topic_has_its_colour_and_there_may_be_more_topics_than_colours() -> None:
    topics = [f"t{n}" for n in range(8)]
    form = for_people(topics, print_topic=True, colour=True)
    starts = [form(message(b"x", topic))[:5] for topic in topics]
    assert len(set(starts[:6])) == 6
    assert starts[6:] == starts[:2]
    assert form(message(b"x", "t0")).endswith(b" t0 |\x1b[0m x\n")
