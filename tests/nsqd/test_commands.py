"""The commands in dialogues: every refusal with its exact text, what is allowed when, and the framing."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from nsqcore.wire.commands import encode_batch, encode_mpub, encode_pub
from nsqd.commands import decimal
from nsqd.connection import Connection
from tests.support.nsqd import UNKNOWN_ID, Node, eventually

FLAGS = ("--max-msg-size=100", "--max-body-size=1000", "--max-rdy-count=50", "--max-req-timeout=10s")
SUB = b"SUB t c\n"
CLS = SUB + b"CLS\n"
ID = UNKNOWN_ID


def i32(number: int) -> bytes:
    return struct.pack(">i", number)


@pytest_asyncio.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    """Limits low enough to go beyond."""
    async with Node(tmp_path, *FLAGS) as running:
        yield running


# (what is sent, what is answered before the error, the error)
FATAL: dict[str, tuple[bytes, list[bytes], str]] = {
    "an unknown command": (b"BOGUS a b\n", [], "E_INVALID invalid command BOGUS"),
    "a lower-case command": (b"nop\n", [], "E_INVALID invalid command nop"),
    "an empty line": (b"\n", [], "E_INVALID invalid command "),
    "a line of one blank": (b" \n", [], "E_INVALID invalid command "),
    "a command behind a blank": (b" NOP\n", [], "E_INVALID invalid command "),
    "only the carriage return before the end of line is no part of it": (
        b"NOP\r\r\n",
        [],
        "E_INVALID invalid command NOP\r",
    ),
    "AUTH while auth is off": (b"AUTH\n" + i32(1) + b"s", [], "E_AUTH_DISABLED AUTH disabled"),
    "AUTH with a parameter": (b"AUTH x\n", [], "E_INVALID AUTH invalid number of parameters"),
    "AUTH behind SUB": (SUB + b"AUTH\n", [b"OK"], "E_INVALID cannot AUTH in current state"),
    "AUTH of too many bytes": (b"AUTH\n" + i32(1001), [], "E_BAD_BODY AUTH body too big 1001 > 1000"),
    "AUTH of no bytes": (b"AUTH\n" + i32(0), [], "E_BAD_BODY AUTH invalid body size 0"),
    "IDENTIFY behind SUB": (SUB + b"IDENTIFY\n", [b"OK"], "E_INVALID cannot IDENTIFY in current state"),
    "IDENTIFY behind CLS": (
        CLS + b"IDENTIFY\n",
        [b"OK", b"CLOSE_WAIT"],
        "E_INVALID cannot IDENTIFY in current state",
    ),
    "IDENTIFY of too many bytes": (
        b"IDENTIFY\n" + i32(1001),
        [],
        "E_BAD_BODY IDENTIFY body too big 1001 > 1000",
    ),
    "IDENTIFY of no bytes": (b"IDENTIFY\n" + i32(0), [], "E_BAD_BODY IDENTIFY invalid body size 0"),
    "IDENTIFY of fewer bytes than none": (
        b"IDENTIFY\n" + i32(-7),
        [],
        "E_BAD_BODY IDENTIFY invalid body size -7",
    ),
    "IDENTIFY with what is no JSON": (
        b"IDENTIFY\n" + i32(3) + b"{a}",
        [],
        "E_BAD_BODY IDENTIFY failed to decode JSON body",
    ),
    "IDENTIFY with a bad heartbeat interval": (
        b"IDENTIFY\n" + i32(26) + b'{"heartbeat_interval":999}',
        [],
        "E_BAD_BODY IDENTIFY heartbeat interval (999) is invalid",
    ),
    "SUB behind SUB": (SUB + SUB, [b"OK"], "E_INVALID cannot SUB in current state"),
    "SUB behind CLS": (CLS + SUB, [b"OK", b"CLOSE_WAIT"], "E_INVALID cannot SUB in current state"),
    "SUB without heartbeats": (
        b"IDENTIFY\n" + i32(25) + b'{"heartbeat_interval":-1}' + SUB,
        [b"OK"],
        "E_INVALID cannot SUB with heartbeats disabled",
    ),
    "SUB without a channel": (b"SUB t\n", [], "E_INVALID SUB insufficient number of parameters"),
    "SUB to a bad topic": (b"SUB t@ c\n", [], 'E_BAD_TOPIC SUB topic name "t@" is not valid'),
    "SUB to a topic without a name": (b"SUB  c\n", [], 'E_BAD_TOPIC SUB topic name "" is not valid'),
    "SUB to a bad channel": (
        b"SUB t c\xff\n",
        [],
        'E_BAD_CHANNEL SUB channel name "c\\xff" is not valid',
    ),
    "a bad topic comes before a bad channel": (
        b"SUB $ $\n",
        [],
        'E_BAD_TOPIC SUB topic name "$" is not valid',
    ),
    "RDY before SUB": (b"RDY 1\n", [], "E_INVALID cannot RDY in current state"),
    "RDY with a letter": (SUB + b"RDY 1x\n", [b"OK"], "E_INVALID RDY could not parse count 1x"),
    "RDY with a sign": (SUB + b"RDY -1\n", [b"OK"], "E_INVALID RDY could not parse count -1"),
    "RDY over the limit": (SUB + b"RDY 51\n", [b"OK"], "E_INVALID RDY count 51 out of range 0-50"),
    "RDY that wraps to a negative number": (
        SUB + b"RDY 18446744073709551615\n",
        [b"OK"],
        "E_INVALID RDY count -1 out of range 0-50",
    ),
    "FIN before SUB": (b"FIN " + ID + b"\n", [], "E_INVALID cannot FIN in current state"),
    "FIN without an id": (SUB + b"FIN\n", [b"OK"], "E_INVALID FIN insufficient number of params"),
    "FIN with a short id": (SUB + b"FIN 123\n", [b"OK"], "E_INVALID invalid message ID"),
    "FIN with a long id": (SUB + b"FIN " + ID + b"0\n", [b"OK"], "E_INVALID invalid message ID"),
    "REQ before SUB": (b"REQ " + ID + b" 0\n", [], "E_INVALID cannot REQ in current state"),
    "REQ without a delay": (
        SUB + b"REQ " + ID + b"\n",
        [b"OK"],
        "E_INVALID REQ insufficient number of params",
    ),
    "REQ with a short id": (SUB + b"REQ 1 x\n", [b"OK"], "E_INVALID invalid message ID"),
    "REQ with a bad delay": (
        SUB + b"REQ " + ID + b" 1s\n",
        [b"OK"],
        "E_INVALID REQ could not parse timeout 1s",
    ),
    "TOUCH before SUB": (b"TOUCH " + ID + b"\n", [], "E_INVALID cannot TOUCH in current state"),
    "TOUCH without an id": (SUB + b"TOUCH\n", [b"OK"], "E_INVALID TOUCH insufficient number of params"),
    "TOUCH with a short id": (SUB + b"TOUCH 1\n", [b"OK"], "E_INVALID invalid message ID"),
    "CLS before SUB": (b"CLS\n", [], "E_INVALID cannot CLS in current state"),
    "CLS behind CLS": (CLS + b"CLS\n", [b"OK", b"CLOSE_WAIT"], "E_INVALID cannot CLS in current state"),
    "PUB without a topic": (b"PUB\n", [], "E_INVALID PUB insufficient number of parameters"),
    "PUB to a bad topic": (b"PUB t$\n", [], 'E_BAD_TOPIC PUB topic name "t$" is not valid'),
    "PUB to a topic with a long name": (
        b"PUB " + b"t" * 65 + b"\n",
        [],
        f'E_BAD_TOPIC PUB topic name "{"t" * 65}" is not valid',
    ),
    "PUB of nothing": (b"PUB t\n" + i32(0), [], "E_BAD_MESSAGE PUB invalid message body size 0"),
    "PUB of less than nothing": (b"PUB t\n" + i32(-1), [], "E_BAD_MESSAGE PUB invalid message body size -1"),
    "PUB of a message that is too long": (
        b"PUB t\n" + i32(101),
        [],
        "E_BAD_MESSAGE PUB message too big 101 > 100",
    ),
    "MPUB without a topic": (b"MPUB\n", [], "E_INVALID MPUB insufficient number of parameters"),
    "MPUB to a bad topic": (
        b"MPUB #\n",
        [],
        'E_BAD_TOPIC E_BAD_TOPIC MPUB topic name "#" is not valid',
    ),
    "MPUB of no bytes": (b"MPUB t\n" + i32(0), [], "E_BAD_BODY MPUB invalid body size 0"),
    "MPUB of fewer bytes than none": (b"MPUB t\n" + i32(-5), [], "E_BAD_BODY MPUB invalid body size -5"),
    "MPUB of too many bytes": (b"MPUB t\n" + i32(1001), [], "E_BAD_BODY MPUB body too big 1001 > 1000"),
    "MPUB of no messages": (
        b"MPUB t\n" + i32(4) + i32(0),
        [],
        "E_BAD_BODY MPUB invalid message count 0",
    ),
    "MPUB of more messages than a body has room for": (
        b"MPUB t\n" + i32(4) + i32(200),
        [],
        "E_BAD_BODY MPUB invalid message count 200",
    ),
    "MPUB of an empty message": (
        encode_mpub("t", [b"a", b"", b"c"]),
        [],
        "E_BAD_MESSAGE MPUB invalid message(1) body size 0",
    ),
    "MPUB of a message of negative length": (
        b"MPUB t\n" + i32(8) + i32(1) + i32(-2),
        [],
        "E_BAD_MESSAGE MPUB invalid message(0) body size -2",
    ),
    "MPUB of a message that is too long": (
        encode_mpub("t", [b"a", b"b" * 101]),
        [],
        "E_BAD_MESSAGE MPUB message too big 101 > 100",
    ),
    "MPUB of more bytes than its messages have": (
        b"MPUB t\n" + i32(12) + encode_batch([b"a"]) + b"xyz",
        [],
        "E_BAD_BODY MPUB 3 bytes left behind the last message",
    ),
    "MPUB that ends inside a length": (
        b"MPUB t\n" + i32(11) + encode_batch([b"a"])[:9] + b"\0\0",
        [],
        "E_BAD_BODY MPUB 2 bytes left behind the last message",
    ),
    "MPUB whose last message goes over its end": (
        b"MPUB t\n" + i32(10) + i32(1) + i32(3) + b"ab",
        [],
        "E_BAD_MESSAGE MPUB failed to read message body",
    ),
    "MPUB of fewer messages than announced": (
        b"MPUB t\n" + i32(11) + i32(2) + i32(1) + b"a" + b"\0\0",
        [],
        "E_BAD_MESSAGE MPUB failed to read message(1) body size",
    ),
    "DPUB without a delay": (b"DPUB t\n", [], "E_INVALID DPUB insufficient number of parameters"),
    "DPUB to a bad topic": (b"DPUB \x7f 0\n", [], 'E_BAD_TOPIC DPUB topic name "\\x7f" is not valid'),
    "DPUB with a bad delay": (b"DPUB t 5.5\n", [], "E_INVALID DPUB could not parse timeout 5.5"),
    "DPUB over the limit": (b"DPUB t 10001\n", [], "E_INVALID DPUB timeout 10001 out of range 0-10000"),
    "DPUB with a delay that wraps": (
        b"DPUB t 18446744073709551615\n",
        [],
        "E_INVALID DPUB timeout 18446744073709551615 out of range 0-10000",
    ),
    "DPUB of nothing": (b"DPUB t 1\n" + i32(0), [], "E_BAD_MESSAGE DPUB invalid message body size 0"),
    "DPUB of a message that is too long": (
        b"DPUB t 1\n" + i32(200),
        [],
        "E_BAD_MESSAGE DPUB message too big 200 > 100",
    ),
}


@pytest.mark.parametrize(("sent", "before", "error"), FATAL.values(), ids=FATAL.keys())
async def test_a_fatal_error_is_told_and_ends_the_connection(
    node: Node, sent: bytes, before: list[bytes], error: str
) -> None:
    client = await node.connect()
    client.send(sent)
    for data in before:
        await client.expect(data)
    await client.refused(error)


@pytest.mark.parametrize(("sent", "before", "error"), FATAL.values(), ids=FATAL.keys())
async def test_a_fatal_error_is_the_same_when_the_bytes_come_one_by_one(
    node: Node, sent: bytes, before: list[bytes], error: str
) -> None:
    client = await node.connect(magic=b"")
    [connection] = await connections_of(node, 1)
    for byte in b"  V2" + sent:
        connection.data_received(bytes([byte]))
    for data in before:
        await client.expect(data)
    await client.refused(error)


async def connections_of(node: Node, count: int) -> list[Connection]:
    """nsqd's ends of its clients' connections."""
    there = node.nsqd._connections._open
    await eventually(lambda: len(there) == count)
    return list(there)


# -- errors that are survived ----------------------------------------------------------------------


@pytest.mark.parametrize("command", ["FIN", "REQ", "TOUCH"])
async def test_a_message_that_nobody_holds_is_an_error_that_the_connection_survives(
    node: Node, command: str
) -> None:
    client = await node.subscribe("t", "c")
    delay = " 0" if command == "REQ" else ""
    for message_id in ("0" * 16, "\xe9" * 8, "g" * 16):
        client.send(f"{command} {message_id}{delay}\n".encode())
        await client.expect_error(f"E_{command}_FAILED {command} {message_id} failed ID not in flight")
    await client.alive()


@pytest.mark.parametrize("command", ["FIN", "REQ", "TOUCH"])
async def test_only_the_owner_may_answer_a_message(node: Node, command: str) -> None:
    owner, other = await node.subscribe("t", "c", rdy=1), await node.subscribe("t", "c")
    await other.pub("t", b"x")
    message_id = (await owner.message()).id.decode()
    delay = " 0" if command == "REQ" else ""
    other.send(f"{command} {message_id}{delay}\n".encode())
    await other.expect_error(f"E_{command}_FAILED {command} {message_id} failed client does not own message")
    await other.alive()
    owner.fin(message_id.encode())
    await owner.settled()


async def test_a_fin_of_a_foreign_message_among_good_ones_fails_alone(node: Node) -> None:
    owner, other = await node.subscribe("t", "c", rdy=3), await node.subscribe("t", "c")
    await other.mpub("t", b"1", b"2", b"3")
    foreign = await owner.message()
    first, second, third = [m.id for m in [foreign, *await owner.messages(2)]]
    other.rdy(3)
    owner.req(second)
    owner.req(third)
    owner.rdy(0)
    await owner.settled()
    mine = {m.id for m in await other.messages(2)}
    assert mine == {second, third}
    other.fin(second, first, third)
    await other.expect_error(f"E_FIN_FAILED FIN {first.decode()} failed client does not own message")
    await other.settled()
    stats = (await node.stats())["topics"][0]["channels"][0]
    assert (stats["depth"], stats["in_flight_count"]) == (0, 1)
    assert sorted(c["finish_count"] for c in stats["clients"]) == [0, 2]


# -- states ----------------------------------------------------------------------------------------

ANYWHERE: dict[str, list[bytes]] = {
    "NOP\n": [],
    "PUB t\n\0\0\0\1x": [b"OK"],
    "DPUB t 0\n\0\0\0\1x": [b"OK"],
    "MPUB t\n\0\0\0\x09\0\0\0\1\0\0\0\1x": [b"OK"],
}


@pytest.mark.parametrize("before", [b"", SUB, CLS], ids=["init", "subscribed", "closing"])
@pytest.mark.parametrize("sent", ANYWHERE)
async def test_publishing_and_nop_are_fine_in_every_state(node: Node, before: bytes, sent: str) -> None:
    client = await node.connect()
    client.send(before)
    for data in {b"": [], SUB: [b"OK"], CLS: [b"OK", b"CLOSE_WAIT"]}[before]:
        await client.expect(data)
    client.send(sent.encode())
    for data in ANYWHERE[sent]:
        await client.expect(data)
    await client.alive()


async def test_identify_may_be_repeated_before_sub(node: Node) -> None:
    client = await node.connect()
    assert (await client.identify(msg_timeout=2000))["msg_timeout"] == 2000
    assert (await client.identify())["msg_timeout"] == 60000
    await client.sub("t", "c")


async def test_behind_cls_answers_to_messages_count_and_rdy_does_not(node: Node) -> None:
    client = await node.subscribe("t", "c", rdy=3)
    await client.mpub("t", b"1", b"2", b"3", b"4")
    finished, requeued, touched = await client.messages(3)
    await client.cls()
    client.fin(finished.id)
    client.req(requeued.id)
    client.touch(touched.id)
    client.rdy(2500)
    client.send(b"RDY nonsense\n")
    await client.settled()
    stats = (await node.stats())["topics"][0]["channels"][0]
    assert (stats["depth"], stats["in_flight_count"], stats["requeue_count"]) == (2, 1, 1)
    [consumer] = stats["clients"]
    assert (consumer["state"], consumer["ready_count"], consumer["finish_count"]) == (4, 0, 1)


async def test_the_state_is_shown_by_its_number(node: Node) -> None:
    client = await node.connect()
    await client.pub("t", b"x")
    assert [p["state"] for p in (await node.stats())["producers"]] == [0]
    await client.sub("t", "c")
    assert [p["state"] for p in (await node.stats())["producers"]] == [3]


# -- truncated at the end of the stream ------------------------------------------------------------

TRUNCATED: dict[str, tuple[bytes, str]] = {
    "PUB without a length": (b"PUB t\n", "E_BAD_MESSAGE PUB failed to read message body size"),
    "PUB inside the length": (b"PUB t\n\0\0\0", "E_BAD_MESSAGE PUB failed to read message body size"),
    "PUB without its body": (b"PUB t\n\0\0\0\2", "E_BAD_MESSAGE PUB failed to read message body"),
    "PUB inside the body": (b"PUB t\r\n\0\0\0\2x", "E_BAD_MESSAGE PUB failed to read message body"),
    "DPUB without a length": (b"DPUB t 5\n", "E_BAD_MESSAGE DPUB failed to read message body size"),
    "DPUB inside the body": (b"DPUB t 5\n\0\0\0\2x", "E_BAD_MESSAGE DPUB failed to read message body"),
    "MPUB without a length": (b"MPUB t\n\0", "E_BAD_BODY MPUB failed to read body size"),
    "MPUB without a count": (b"MPUB t\n\0\0\0\x20\0", "E_BAD_BODY MPUB failed to read message count"),
    "MPUB inside a length": (
        b"MPUB t\n\0\0\0\x20" + encode_batch([b"a", b"b"])[:11],
        "E_BAD_MESSAGE MPUB failed to read message(1) body size",
    ),
    "MPUB inside a message": (
        b"MPUB t\n\0\0\0\x20" + encode_batch([b"a", b"bcd"])[:-1],
        "E_BAD_MESSAGE MPUB failed to read message body",
    ),
    "IDENTIFY without a length": (b"IDENTIFY\n\0", "E_BAD_BODY IDENTIFY failed to read body size"),
    "IDENTIFY inside the body": (b"IDENTIFY\n\0\0\0\2{", "E_BAD_BODY IDENTIFY failed to read body"),
    "AUTH without a length": (b"AUTH\n", "E_BAD_BODY AUTH failed to read body size"),
    "AUTH inside the body": (b"AUTH\n\0\0\0\2s", "E_BAD_BODY AUTH failed to read body"),
}


@pytest.mark.parametrize(("sent", "error"), TRUNCATED.values(), ids=TRUNCATED.keys())
async def test_a_command_that_ends_with_the_stream_is_refused(node: Node, sent: bytes, error: str) -> None:
    client = await node.connect()
    client.send(sent)
    client.send_eof()
    await client.refused(error)


@pytest.mark.parametrize("sent", [b"", b"NOP\n", b"NO", b"PUB", b"FIN 0123"])
async def test_a_stream_that_ends_at_or_inside_a_line_is_closed_without_a_word(
    node: Node, sent: bytes
) -> None:
    client = await node.connect()
    client.send(sent)
    client.send_eof()
    await client.closed()


async def test_what_was_sent_before_the_end_of_the_stream_is_obeyed_and_answered(node: Node) -> None:
    client = await node.connect()
    count = 3000  # more than is obeyed in one go
    client.send(b"".join(encode_pub(f"t{n % 2}", b"x") for n in range(count)))
    client.send_eof()
    await client.expect_ok(count)
    await client.closed()
    assert [node.topic(name).depth for name in ("t0", "t1")] == [count // 2] * 2


async def test_publishes_that_go_to_disk_are_answered_behind_the_end_of_the_stream(tmp_path: Path) -> None:
    async with Node(tmp_path, "--mem-queue-size=0") as node:
        client = await node.connect()
        client.send(encode_pub("t", b"a") + encode_mpub("t", [b"b", b"c"]))
        client.send_eof()
        await client.expect_ok(2)
        await client.closed()
        assert node.topic("t").depth == 3


async def test_answers_of_memory_and_of_disk_all_come_before_the_last_words(tmp_path: Path) -> None:
    async with Node(tmp_path, "--mem-queue-size=1") as node:
        client = await node.connect()
        await client.pub("full", b"0")
        client.send(encode_pub("t", b"1") + encode_pub("full", b"2") + encode_pub("u", b"3") + b"BOGUS\n")
        await client.expect_ok(3)
        await client.refused("E_INVALID invalid command BOGUS")
        assert [node.topic(name).depth for name in ("t", "full", "u")] == [1, 2, 1]


async def test_a_long_batch_is_published_and_answered_behind_the_end_of_the_stream(tmp_path: Path) -> None:
    async with Node(tmp_path, "--mem-queue-size=100000") as node:
        client = await node.connect()
        client.send(encode_mpub("t", [b"x"] * 50_000) + encode_pub("t", b"y"))
        client.send_eof()
        await client.expect_ok(2)
        await client.closed()
        assert node.topic("t").depth == 50_001


# -- lines -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("padding", [16384 - len(b"NOP \n"), 16384 - len(b"NOP \r\n")])
async def test_a_line_of_16384_bytes_is_the_longest(node: Node, padding: int) -> None:
    client = await node.connect()
    client.send(b"NOP " + b"x" * padding + b"\n")
    await client.alive()


@pytest.mark.parametrize("tail", [b"\n", b""])
async def test_a_longer_line_closes_the_connection_without_an_error_frame(node: Node, tail: bytes) -> None:
    client = await node.connect()
    client.send(b"NOP " + b"x" * (16385 - len(b"NOP \n")) + tail if tail else b"x" * 16384)
    await client.closed()


async def test_what_came_before_a_line_that_is_too_long_is_answered(node: Node) -> None:
    client = await node.connect()
    client.send(encode_pub("t", b"x") + b"y" * 100_000)
    await client.expect_ok()
    await client.closed()


async def test_surplus_words_and_a_carriage_return_are_ignored(node: Node) -> None:
    client = await node.connect()
    client.send(b"NOP more words\r\nPUB t more\r\n\0\0\0\1xSUB t c more\r\nRDY 1 more\r\n")
    await client.expect_ok(2)
    message = await client.message()
    client.send(b"TOUCH %b more\r\nFIN %b more\n" % (message.id, message.id))
    await client.settled()
    assert node.channel("t", "c").in_flight_count == 0


@pytest.mark.parametrize(
    ("line", "ready"),
    [
        (b"RDY", 1),
        (b"RDY ", 0),
        (b"RDY 007", 7),
        (b"RDY 18446744073709551619", 3),
        (b"RDY " + b"0" * 100 + b"5", 5),
    ],
)
async def test_the_count_of_rdy_is_read_as_the_original_does(node: Node, line: bytes, ready: int) -> None:
    client = await node.subscribe("t", "c", rdy=2)
    client.send(line + b"\n")
    await client.settled()
    assert node.channel("t", "c").clients[0].ready == ready


@pytest.mark.parametrize(
    ("word", "value"),
    [
        (b"", 0),
        (b"0", 0),
        (b"12", 12),
        (b"9223372036854775807", 2**63 - 1),
        (b"9223372036854775808", -(2**63)),
        (b"18446744073709551615", -1),
        (b"18446744073709551616", 0),
        (b"1" + b"0" * 40, 10**40 % 2**64),
        (b"+1", None),
        (b"-1", None),
        (b"1_0", None),
        (b"\xb2", None),
        ("\u0663".encode(), None),
    ],
)
def test_decimals_wrap_at_64_bits_and_have_no_sign(word: bytes, value: int | None) -> None:
    wrapped = value - 2**64 if value is not None and value >= 2**63 else value
    assert decimal(word) == wrapped


# -- many commands at once -------------------------------------------------------------------------


async def test_commands_in_one_write_are_obeyed_in_order(node: Node) -> None:
    client = await node.connect()
    client.send(
        b"IDENTIFY\n\0\0\0\2{}" + encode_pub("t", b"1") + encode_pub("t", b"2") + SUB + b"RDY 5\n"
        + b"NOP\n" + encode_mpub("t", [b"3", b"4"]) + encode_pub("u", b"-") + b"CLS\n"
    )  # fmt: skip
    await client.expect_ok(4)
    frames = [await client.frame() for _ in range(3)]
    assert [data for kind, data in frames if kind == 0] == [b"OK", b"OK", b"CLOSE_WAIT"]
    assert (node.topic("t").message_count, node.topic("u").message_count) == (4, 1)
    assert node.channel("t", "c").depth == 4


async def test_runs_of_publishes_are_published_one_by_one(node: Node) -> None:
    client = await node.connect()
    bodies = [b"%d" % n for n in range(2500)]
    run = b"".join(encode_pub("t", body) for body in bodies)
    client.send(run[:-1])
    await client.expect_ok(2499)
    client.send(run[-1:] + encode_pub("t", b"") + encode_pub("t", b"never"))
    await client.expect_ok()
    await client.refused("E_BAD_MESSAGE PUB invalid message body size 0")
    consumer = await node.subscribe("t", "c", rdy=50)
    received: list[bytes] = []
    while len(received) < len(bodies):
        message = await consumer.message()
        received.append(message.body)
        consumer.fin(message.id)
    assert received == bodies
    await consumer.settled()


async def test_a_message_that_is_too_long_ends_a_run_of_publishes(node: Node) -> None:
    client = await node.connect()
    client.send(b"".join(encode_pub("t", body) for body in (b"1", b"2", b"3" * 101, b"4")))
    await client.expect_ok(2)
    await client.refused("E_BAD_MESSAGE PUB message too big 101 > 100")
    assert node.topic("t").depth == 2


async def test_a_batch_that_is_refused_publishes_nothing(node: Node) -> None:
    client = await node.connect()
    client.send(encode_pub("t", b"before") + encode_mpub("t", [b"1", b"2", b""]) + encode_pub("t", b"after"))
    await client.expect_ok()
    await client.refused("E_BAD_MESSAGE MPUB invalid message(2) body size 0")
    assert node.topic("t").message_count == 1


async def test_a_long_batch_keeps_the_order_of_what_comes_behind_it(tmp_path: Path) -> None:
    async with Node(tmp_path, "--mem-queue-size=100000") as node:
        client = await node.connect()
        long = [b"%d" % n for n in range(20_000)]
        client.send(encode_mpub("t", long) + encode_pub("t", b"last") + b"BOGUS\n")
        await client.expect_ok(2)
        await client.refused("E_INVALID invalid command BOGUS")
        assert [frame[34:] for frame in node.topic("t").queue.memory] == [*long, b"last"]


async def test_a_long_batch_with_an_error_at_its_end_publishes_nothing(tmp_path: Path) -> None:
    async with Node(tmp_path) as node:
        client = await node.connect()
        client.send(encode_mpub("t", [*[b"x"] * 20_000, b""]))
        await client.refused("E_BAD_MESSAGE MPUB invalid message(20000) body size 0")
        assert b"t" not in node.broker.topics or node.topic("t").message_count == 0


@pytest.mark.parametrize("size", [1, 2, 3, 7, 21, 22])
async def test_a_dialogue_is_the_same_however_its_bytes_are_cut(node: Node, size: int) -> None:
    consumer = await node.subscribe("t", "c", rdy=50)
    client = await node.connect()
    sent = encode_pub("t", b"one") + encode_mpub("t", [b"two", b"three"]) + b"NOP\r\n" + encode_pub("t", b"4")
    await client.identify()
    connections = await connections_of(node, 2)
    [publisher] = [c for c in connections if c.client.remote_address == client.name]
    for at in range(0, len(sent), size):
        publisher.data_received(sent[at : at + size])
    await client.expect_ok(3)
    messages = await consumer.messages(4)
    assert [m.body for m in messages] == [b"one", b"two", b"three", b"4"]
    [subscriber] = [c for c in connections if c.client.remote_address == consumer.name]
    answers = b"".join(b"FIN %b\n" % m.id for m in messages) + b"FIN %b\n" % ID
    for at in range(0, len(answers), size):
        subscriber.data_received(answers[at : at + size])
    await consumer.expect_error(f"E_FIN_FAILED FIN {ID.decode()} failed ID not in flight")
    assert node.channel("t", "c").in_flight_count == 0


async def test_fins_in_bulk_with_misses_among_them_are_each_answered_right(node: Node) -> None:
    client = await node.subscribe("t", "c", rdy=50)
    await client.mpub("t", *[b"x"] * 20)
    ids = [m.id for m in await client.messages(20)]
    missing = [b"f" * 16, b"e" * 16]
    client.fin(*ids[:7], missing[0], *ids[7:12], ids[0], *ids[12:], missing[1])
    for message_id in (missing[0], ids[0], missing[1]):
        await client.expect_error(f"E_FIN_FAILED FIN {message_id.decode()} failed ID not in flight")
    await client.settled()
    [stats] = (await node.stats())["topics"][0]["channels"]
    assert (stats["in_flight_count"], stats["clients"][0]["finish_count"]) == (0, 20)


@pytest.mark.parametrize(
    ("head", "error"),
    [
        (b"BOGUS\n", "E_INVALID invalid command BOGUS"),
        (b"PUB t\n\x7f\xff\xff\xff", "E_BAD_MESSAGE PUB message too big 2147483647 > 100"),
    ],
)
async def test_the_last_words_arrive_although_much_is_unread(node: Node, head: bytes, error: str) -> None:
    client = await node.connect()
    client.send(head + b"x" * 8_000_000)
    await client.refused(error)
