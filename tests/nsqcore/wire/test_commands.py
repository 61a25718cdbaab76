from __future__ import annotations

import json
from struct import unpack_from

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqcore.wire import commands

ID = b"0123456789abcdef"


@pytest.mark.parametrize(
    ("encoded", "data"),
    [
        (commands.NOP, b"NOP\n"),
        (commands.CLS, b"CLS\n"),
        (commands.encode_auth(b"secret"), b"AUTH\n\x00\x00\x00\x06secret"),
        (commands.encode_sub("t", "c#ephemeral"), b"SUB t c#ephemeral\n"),
        (commands.encode_pub("t", b"a\nb"), b"PUB t\n\x00\x00\x00\x03a\nb"),
        (commands.encode_pub("t", b""), b"PUB t\n\x00\x00\x00\x00"),
        (commands.encode_dpub("t", 1500, b"x"), b"DPUB t 1500\n\x00\x00\x00\x01x"),
        (
            commands.encode_mpub("t", [b"a", b"bc"]),
            b"MPUB t\n\x00\x00\x00\x0f\x00\x00\x00\x02\x00\x00\x00\x01a\x00\x00\x00\x02bc",
        ),
        (commands.encode_rdy(2500), b"RDY 2500\n"),
        (commands.encode_fin(ID), b"FIN 0123456789abcdef\n"),
        (commands.encode_req(ID, 90), b"REQ 0123456789abcdef 90\n"),
        (commands.encode_touch(ID), b"TOUCH 0123456789abcdef\n"),
        (commands.encode_identify({"a": 1}), b'IDENTIFY\n\x00\x00\x00\x07{"a":1}'),
    ],
)
def test_a_command_has_the_protocols_bytes(encoded: bytes, data: bytes) -> None:
    assert encoded == data


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.booleans()))
def test_identify_carries_its_settings(settings: dict[str, object]) -> None:
    line, _, rest = commands.encode_identify(settings).partition(b"\n")
    assert line == b"IDENTIFY"
    assert unpack_from(">I", rest) == (len(rest) - 4,)
    assert json.loads(rest[4:]) == settings


@given(st.lists(st.binary(max_size=30)))
def test_a_batch_carries_its_messages(bodies: list[bytes]) -> None:
    data = commands.encode_batch(bodies)
    (count,) = unpack_from(">I", data)
    at, found = 4, []
    for _ in range(count):
        (size,) = unpack_from(">I", data, at)
        found.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    assert at == len(data)
    assert found == bodies


@pytest.mark.parametrize("message_id", [b"", b"short", b"x" * 17])
def test_an_id_of_another_length_is_refused_before_it_is_sent(message_id: bytes) -> None:
    for encode in (commands.encode_fin, commands.encode_touch):
        with pytest.raises(ValueError, match="a message id has 16 bytes"):
            encode(message_id)
    with pytest.raises(ValueError, match=f"not {len(message_id)}"):
        commands.encode_req(message_id, 0)
