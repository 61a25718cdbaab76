from __future__ import annotations

import logging
from struct import pack

import hypothesis.strategies as st
import pytest
from hypothesis import given

from nsqcore.wire.commands import encode_batch, encode_pub
from nsqd.debug_lines import LONGEST_BODY, command_end, show_command, show_messages
from nsqd.frames import FrameBuilder
from nsqd.guid import Ids
from tests.properties.fuzzing import examples

COMMANDS = [
    b"NOP\n",
    b"RDY 5\r\n",
    b"\n",
    encode_pub("t", b"body\nwith lines"),
    b"DPUB t 5\n" + pack(">i", 3) + b"abc",
    b"MPUB t\n" + pack(">i", 14) + encode_batch([b"a", b"b"]),
    b"IDENTIFY\n" + pack(">i", 2) + b"{}",
    b"AUTH\n" + pack(">i", 1) + b"x",
    b"PUB t\n" + pack(">i", -1),
    b"PUBLISH t\n",
]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("before", [b"", b"FIN 0123456789abcdef\n"])
def test_the_end_of_a_command_is_found_when_all_of_it_is_there(command: bytes, before: bytes) -> None:
    whole = before + command
    for stop in range(len(before), len(whole)):
        assert command_end(whole[:stop], len(before)) == -1
    assert command_end(whole, len(before)) == len(whole)
    assert command_end(whole + b"NOP\n", len(before)) == len(whole)


@examples(200)
@given(buf=st.binary(max_size=60) | st.lists(st.sampled_from(COMMANDS)).map(b"".join), at=st.integers(0, 70))
def test_whatever_is_sent_has_an_end_within_it_or_none(buf: bytes, at: int) -> None:
    end = command_end(buf, at)
    assert end == -1 or at < end <= len(buf)


def test_a_command_is_shown_by_its_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    show_command("1.2.3.4:5", b"NOP\nPUB t\xff\r\n....", 4)
    assert caplog.messages == ["PROTOCOL(V2): [1.2.3.4:5] [PUB t\\xff]"]


def test_a_message_is_shown_by_its_id_and_body_as_far_as_it_is_short(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    frames = FrameBuilder(Ids(1)).many([b"short\xff", b"x" * (LONGEST_BODY + 1)]).frames
    show_messages("@", frames)
    ids = [frame[18:34].decode() for frame in frames]
    assert caplog.messages == [
        f"PROTOCOL(V2): writing msg({ids[0]}) to client(@) - short\\xff",
        f"PROTOCOL(V2): writing msg({ids[1]}) to client(@) - {'x' * LONGEST_BODY}... ({LONGEST_BODY + 1} bytes)",
    ]
