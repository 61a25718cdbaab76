"""Messages for tests that need no connection."""

from __future__ import annotations

from collections.abc import Mapping

from nsqclient.consumer.enveloped import EnvelopedMessage
from nsqclient.content.envelope import wrap
from nsqcore.wire.frames import MESSAGE_HEAD
from tests.nsqclient.sources import RecordingSource


def message(headers: Mapping[str, str], body: bytes = b"body", attempts: int = 2) -> EnvelopedMessage:
    """Of topic t and channel c."""
    head = MESSAGE_HEAD.pack(1_000_000_000, attempts, b"0123456789abcdef")
    return EnvelopedMessage(RecordingSource(), head + wrap(headers, body), 0.0)
