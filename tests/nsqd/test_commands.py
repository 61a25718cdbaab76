"""The commands in dialogues: every refusal with its exact text, what is allowed when, and the framing."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from nsqcore.wire.commands import encode_batch, encode_mpub
from tests.support.nsqd import UNKNOWN_ID, Node

pytestmark = pytest.mark.usefixtures("quick_disk")

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
    "AUTH behind CLS": (CLS + b"AUTH\n", [b"OK", b"CLOSE_WAIT"], "E_INVALID cannot AUTH in current state"),
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
    connection = await node.end_of(client)
    for byte in b"  V2" + sent:
        connection.data_received(bytes([byte]))
    for data in before:
        await client.expect(data)
    await client.refused(error)


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
