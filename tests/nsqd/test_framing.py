"""From bytes to commands: lines, ends of streams, many commands at once, pieces of one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from nsqcore.wire.commands import encode_batch, encode_mpub, encode_pub
from nsqd.protocol.parameters import decimal
from tests.support.nsqd import UNKNOWN_ID, Node, eventually

pytestmark = pytest.mark.usefixtures("quick_disk")

FLAGS = ("--max-msg-size=100", "--max-body-size=1000", "--max-rdy-count=50", "--max-req-timeout=10s")
SUB = b"SUB t c\n"
ID = UNKNOWN_ID


@pytest_asyncio.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    """Limits low enough to go beyond."""
    async with Node(tmp_path, *FLAGS) as running:
        yield running


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


def miscounted(bodies: list[bytes], total: int) -> bytes:
    """An MPUB whose total is what somebody thinks it is."""
    return b"MPUB t\n" + total.to_bytes(4, "big") + encode_batch(bodies)


NUMBERS = [b"%d" % n for n in range(20_000)]


@pytest.mark.parametrize("bodies", [NUMBERS[:3], NUMBERS[:2000], NUMBERS, [b"x" * 100_000] * 3])
@pytest.mark.parametrize("wrong_by", [-1_000_000, -50, -3, -1, 1, 4, 1_000_000])
async def test_count_and_lengths_tell_where_a_batch_ends_whatever_its_total_says(
    tmp_path: Path, bodies: list[bytes], wrong_by: int
) -> None:
    total = max(1, len(encode_batch(bodies)) + wrong_by)
    async with Node(tmp_path, "--mem-queue-size=100000") as node:
        client = await node.connect()
        client.send(miscounted(bodies, total))
        await client.expect_ok()
        client.send(miscounted(bodies, total) + encode_pub("t", b"last"))
        await client.expect_ok(2)
        client.send(miscounted(bodies, total))
        client.transport.write_eof()
        await client.expect_ok()
        await client.closed()
        assert [frame[34:] for frame in node.topic("t").queue.memory] == [*bodies * 2, b"last", *bodies]


async def test_a_batch_with_a_wrong_total_that_is_cut_short_is_told_when_its_client_ends(
    tmp_path: Path,
) -> None:
    async with Node(tmp_path) as node:
        for total in (5, 1_000_000):
            client = await node.connect()
            client.send(miscounted(NUMBERS[:2000], total)[:-1])
            client.transport.write_eof()
            await client.refused("E_BAD_MESSAGE MPUB failed to read message body")
        assert b"t" not in node.broker.topics


async def test_a_batch_that_is_longer_than_its_total_is_held_to_the_limit(node: Node) -> None:
    client = await node.connect()
    client.send(b"MPUB t\n\0\0\0\1" + encode_batch([b"x" * 100] * 9) + encode_pub("t", b"y"))
    await client.expect_ok(2)
    client.send(b"MPUB t\n\0\0\0\1" + (199).to_bytes(4, "big") + b"\0\0\0\x64")
    await client.refused("E_BAD_BODY MPUB body too big 1098 > 1000")
    assert node.topic("t").message_count == 10


@pytest.mark.parametrize("size", [1, 2, 3, 7, 21, 22])
async def test_a_dialogue_is_the_same_however_its_bytes_are_cut(node: Node, size: int) -> None:
    consumer = await node.subscribe("t", "c", rdy=50)
    client = await node.connect()
    sent = encode_pub("t", b"one") + encode_mpub("t", [b"two", b"three"]) + b"NOP\r\n" + encode_pub("t", b"4")
    await client.identify()
    publisher, subscriber = await node.end_of(client), await node.end_of(consumer)
    for at in range(0, len(sent), size):
        publisher.data_received(sent[at : at + size])
    await client.expect_ok(3)
    messages = await consumer.messages(4)
    assert [m.body for m in messages] == [b"one", b"two", b"three", b"4"]
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
    await eventually(lambda: client.transport.get_write_buffer_size() == 0)
    assert (
        client.lost is None
    )  # all of it was taken: a client that first sends and then reads gets the answer too
