"""Messages as text: an object of JSON for programs, one line for people. Pure."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping

from nsqclient.consumer.message import Message


def as_json(message: Message, headers: Mapping[str, str], body: bytes) -> bytes:
    """An object with all there is to know, on a line; a body that is no text in UTF-8 is told in base64.

    ``headers`` and ``body`` are those of the envelope, where the message has one.
    """
    facts: dict[str, object] = {
        "id": message.id,
        "timestamp": message.timestamp.isoformat(),
        "attempts": message.attempts,
        "node": message.node,
        "topic": message.topic,
    }
    if headers:
        facts["headers"] = dict(headers)
    try:
        facts["body"] = body.decode()
    except UnicodeDecodeError:
        facts["body_base64"] = b64encode(body).decode()
    return json.dumps(facts, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"


def readable(body: bytes) -> str:
    """A body on one line, for people: what would move the cursor or is no text is escaped."""
    text = body.decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
