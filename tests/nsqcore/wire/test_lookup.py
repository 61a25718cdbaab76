from __future__ import annotations

import pytest

from nsqcore.wire import lookup


@pytest.mark.parametrize(
    ("encoded", "data"),
    [
        (lookup.PING, b"PING\n"),
        (lookup.MAGIC_V1, b"  V1"),
        (lookup.encode_identify({"b": "é", "a": 1}), b'IDENTIFY\n\x00\x00\x00\x14{"a":1,"b":"\\u00e9"}'),
        (lookup.encode_register("t"), b"REGISTER t\n"),
        (lookup.encode_register("t", "c"), b"REGISTER t c\n"),
        (lookup.encode_unregister("t"), b"UNREGISTER t\n"),
        (lookup.encode_unregister("t", "c"), b"UNREGISTER t c\n"),
        (lookup.encode_answer(b"OK"), b"\x00\x00\x00\x02OK"),
        (lookup.encode_answer(b""), b"\x00\x00\x00\x00"),
    ],
)
def test_commands_and_answers_have_the_protocols_bytes(encoded: bytes, data: bytes) -> None:
    assert encoded == data
