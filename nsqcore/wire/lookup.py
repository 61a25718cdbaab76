"""nsqd to nsqlookupd: the V1 protocol's commands and answers (nsqlookupd protocol, section 4).

Commands are lines; IDENTIFY carries a length and JSON. An answer is a length and that many bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from struct import Struct

MAGIC_V1 = b"  V1"
SIZE = Struct(">i")
PING = b"PING\n"


def encode_identify(info: Mapping[str, object]) -> bytes:
    """IDENTIFY with its JSON body."""
    body = json.dumps(info, separators=(",", ":"), sort_keys=True).encode()
    return b"".join((b"IDENTIFY\n", SIZE.pack(len(body)), body))


def encode_register(topic: str, channel: str = "") -> bytes:
    """REGISTER of a topic, or of a channel and its topic."""
    return f"REGISTER {topic} {channel}".rstrip().encode() + b"\n"


def encode_unregister(topic: str, channel: str = "") -> bytes:
    """UNREGISTER of a channel, or of a topic with all its channels."""
    return f"UNREGISTER {topic} {channel}".rstrip().encode() + b"\n"


def encode_answer(data: bytes) -> bytes:
    """What nsqlookupd sends back."""
    return SIZE.pack(len(data)) + data
