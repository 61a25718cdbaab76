"""Client to nsqd: one encoder per command (nsqd protocol, section 2.2)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from struct import Struct

from nsqcore.wire.frames import ID_SIZE

_U32 = Struct(">I")
NOP = b"NOP\n"
CLS = b"CLS\n"


def encode_identify(settings: Mapping[str, object]) -> bytes:
    """IDENTIFY with its JSON body."""
    body = json.dumps(settings, separators=(",", ":")).encode()
    return b"".join((b"IDENTIFY\n", _U32.pack(len(body)), body))


def encode_auth(secret: bytes) -> bytes:
    """AUTH with the secret."""
    return b"".join((b"AUTH\n", _U32.pack(len(secret)), secret))


def encode_sub(topic: str, channel: str) -> bytes:
    """SUB; its answer is OK or an error that closes."""
    return f"SUB {topic} {channel}\n".encode()


def encode_pub(topic: str, body: bytes) -> bytes:
    """PUB of one message."""
    return b"".join((b"PUB ", topic.encode(), b"\n", _U32.pack(len(body)), body))


def encode_dpub(topic: str, delay_ms: int, body: bytes) -> bytes:
    """DPUB: a message that is delivered ``delay_ms`` milliseconds later."""
    return b"".join((b"DPUB %b %d\n" % (topic.encode(), delay_ms), _U32.pack(len(body)), body))


def encode_mpub(topic: str, bodies: Sequence[bytes]) -> bytes:
    """MPUB: all of ``bodies`` or none of them."""
    size = 4 + 4 * len(bodies) + sum(map(len, bodies))
    return b"".join((b"MPUB ", topic.encode(), b"\n", _U32.pack(size), *_batch(bodies)))


def encode_batch(bodies: Sequence[bytes]) -> bytes:
    """The count and the messages of an MPUB; also the body of ``POST /mpub?binary=true``."""
    return b"".join(_batch(bodies))


def _batch(bodies: Sequence[bytes]) -> list[bytes]:
    parts = [_U32.pack(len(bodies))] * (1 + 2 * len(bodies))
    parts[1::2] = map(_U32.pack, map(len, bodies))
    parts[2::2] = bodies
    return parts


def encode_rdy(count: int) -> bytes:
    """RDY: how many messages this connection may hold unfinished."""
    return b"RDY %d\n" % count


def encode_fin(message_id: bytes) -> bytes:
    """FIN: the message is done."""
    return b"FIN %b\n" % _id(message_id)


def encode_req(message_id: bytes, delay_ms: int) -> bytes:
    """REQ: deliver the message again, after ``delay_ms`` milliseconds."""
    return b"REQ %b %d\n" % (_id(message_id), delay_ms)


def encode_touch(message_id: bytes) -> bytes:
    """TOUCH: the message's time starts again."""
    return b"TOUCH %b\n" % _id(message_id)


def _id(message_id: bytes) -> bytes:
    if len(message_id) != ID_SIZE:
        raise ValueError(f"a message id has {ID_SIZE} bytes, not {len(message_id)}")
    return message_id
