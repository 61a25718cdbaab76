r"""Headers for a protocol that has none: an envelope around the body. Pure.

::

    [c1 4e 53 51 0d 0a 1a 0a] [01] [ 4 bytes, big endian ] [ headers ] [ payload ... ]
     magic: "\xc1NSQ\r\n\x1a\n" version  bytes of headers    a msgpack map of text to text

No text in UTF-8 and no msgpack begins with the byte c1, and whatever translates newlines breaks the magic,
which is then noticed, rather than delivered as a payload.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from types import MappingProxyType

from nsqclient.errors import EnvelopeError

MAGIC = b"\xc1NSQ\r\n\x1a\n"
VERSION = 1
MAX_HEADERS = 64 << 10
"""Bytes of all headers of a message together."""

_PREFIX = MAGIC[:4]
_HEAD = struct.Struct(">8sBI")
NO_HEADERS: Mapping[str, str] = MappingProxyType({})


def wrap(headers: Mapping[str, object], payload: bytes) -> bytes:
    """The body that carries both. Raises EnvelopeError for headers that are not text, or too many."""
    import msgpack  # late: only those who use headers pay for it

    for name, value in headers.items():
        if not isinstance(value, str):
            raise EnvelopeError(f"headers are text: {name!r} is {value!r}")
    try:
        packed: bytes = msgpack.packb(dict(headers))
    except UnicodeEncodeError as e:
        raise EnvelopeError(f"a header is not proper text: {e}") from None
    if len(packed) > MAX_HEADERS:
        raise EnvelopeError(f"the headers take {len(packed)} bytes, the limit is {MAX_HEADERS}")
    return b"".join((_HEAD.pack(MAGIC, VERSION, len(packed)), packed, payload))


def unwrap(body: bytes) -> tuple[Mapping[str, str], bytes]:
    """The headers and the payload of a body; no headers, and the body itself, when it has no envelope.

    Raises EnvelopeError for an envelope that is broken, or of a version that is not known.
    """
    if not body.startswith(_PREFIX):
        return NO_HEADERS, body
    if not body.startswith(MAGIC):
        raise EnvelopeError("an envelope's first bytes are damaged, as by a translation of newlines")
    if len(body) < _HEAD.size:
        raise EnvelopeError(f"an envelope ends within its head, after {len(body)} bytes")
    _, version, size = _HEAD.unpack_from(body)
    if version != VERSION:
        raise EnvelopeError(f"an envelope has version {version}, only {VERSION} is known")
    if size > MAX_HEADERS:
        raise EnvelopeError(f"an envelope's headers take {size} bytes, the limit is {MAX_HEADERS}")
    end = _HEAD.size + size
    if len(body) < end:
        raise EnvelopeError(
            f"an envelope announces {size} bytes of headers, and has {len(body) - _HEAD.size}"
        )
    return _unpack(body[_HEAD.size : end]), body[end:]


def looks_wrapped(payload: bytes) -> bool:
    """Whether a reader would take this payload for an envelope, so that it needs one of its own."""
    return payload.startswith(_PREFIX)


def _unpack(packed: bytes) -> Mapping[str, str]:
    import msgpack

    try:
        headers = msgpack.unpackb(packed)
    except (ValueError, msgpack.UnpackException) as e:  # what hostile bytes can make it raise
        raise EnvelopeError(f"an envelope's headers are not msgpack: {e}") from None
    if not isinstance(headers, dict):
        raise EnvelopeError("an envelope's headers are not a map")
    for name, value in headers.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise EnvelopeError("an envelope's headers are not a map of text to text")
    return headers
