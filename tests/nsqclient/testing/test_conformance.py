"""The fake nsqd does not lie: the same dialogues with it, with our nsqd and with the original.

What cannot be seen from outside in the same way is left out: when buffered messages are sent (the fake
sends them at once) and how long after its time something is due (the original looks every few seconds).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest
import pytest_asyncio

from nsqclient.testing import NsqdProcess
from nsqcore.wire import commands
from nsqcore.wire.frames import CLOSE_WAIT, ERROR, MAGIC_V2, MESSAGE, RESPONSE, decode_message
from tests.nsqclient.testing.servers import OPTIONS, Fake, Real, Server, fresh, process
from tests.nsqd.command_table import ACCEPTED, REFUSED
from tests.nsqd.test_framing import TRUNCATED
from tests.support.raw import RawClient


@pytest.fixture(scope="module", params=["fake", "ours", "original"])
def which(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def running(which: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NsqdProcess | None]:
    with process(which, tmp_path_factory.mktemp("nsqd")) as there:
        yield there


@pytest_asyncio.fixture
async def server(running: NsqdProcess | None) -> AsyncIterator[Server]:
    server = Fake() if running is None else Real(running)
    yield server
    server.close_clients()


# ---- every command and every error, from the tables that nsqd itself is tested with


OURS_ALONE = {
    "MPUB of a smaller total, longer than any may be": "the original adds up no lengths",
}
"""Rows of the table in which our nsqd is stricter than the original, and why the fake is not."""


@pytest.mark.parametrize(("sent", "answers"), ACCEPTED.values(), ids=ACCEPTED.keys())
async def test_what_is_good_or_merely_missed_is_answered_and_survived(
    server: Server, sent: bytes, answers: list[bytes]
) -> None:
    client = await server.connect()
    client.send(sent)
    for data in answers:
        assert await client.frame() == (ERROR if data.startswith(b"E_") else RESPONSE, data)
    await client.alive()


@pytest.mark.parametrize("row", sorted(REFUSED.keys() - OURS_ALONE.keys()))
async def test_a_fatal_error_is_told_and_ends_the_connection(server: Server, row: str) -> None:
    sent, before, error = REFUSED[row]
    client = await server.connect()
    client.send(sent)
    for data in before:
        await client.expect(data)
    await client.refused(error)


@pytest.mark.parametrize(("sent", "error"), TRUNCATED.values(), ids=TRUNCATED.keys())
async def test_a_command_that_ends_with_the_stream_is_refused(
    server: Server, sent: bytes, error: str
) -> None:
    client = await server.connect()
    client.send(sent)
    client.send_eof()
    await client.refused(error)


async def test_bytes_may_come_one_by_one(server: Server) -> None:
    client = await server.connect(magic=b"")
    for byte in (
        MAGIC_V2 + commands.encode_pub(fresh("t"), b"x") + commands.encode_mpub(fresh("t"), [b"a", b"b"])
    ):
        client.send(bytes([byte]))
    await client.expect_ok(2)


async def test_another_protocol_is_refused(server: Server) -> None:
    client = await server.connect(magic=b"GET ")
    await client.refused("E_BAD_PROTOCOL")


async def test_a_line_that_is_too_long_ends_the_connection_without_a_word(server: Server) -> None:
    client = await server.connect()
    client.send(b"P" * 20_000)
    await client.closed()


# ---- messages


async def subscribe(
    server: Server, topic: str, channel: str = "c", rdy: int = 1, **settings: object
) -> RawClient:
    client = await server.connect()
    if settings:
        await client.identify(**settings)
    await client.sub(topic, channel)
    if rdy:
        client.rdy(rdy)
    return client


async def test_a_message_is_delivered_once_to_each_channel(server: Server) -> None:
    topic = fresh("t")
    first, second = await subscribe(server, topic, "a"), await subscribe(server, topic, "b")
    producer = await server.connect()
    await producer.pub(topic, b"x")
    messages = [await first.message(), await second.message()]
    assert [(message.body, message.attempts) for message in messages] == [(b"x", 1)] * 2
    assert messages[0].id == messages[1].id
    assert messages[0].timestamp == messages[1].timestamp
    for client, message in zip((first, second), messages, strict=True):
        client.fin(message.id)
        await client.settled()


async def test_the_first_channel_gets_what_waited_and_later_ones_do_not(server: Server) -> None:
    topic = fresh("t")
    producer = await server.connect()
    await producer.pub(topic, b"old")
    first, second = await subscribe(server, topic, "a"), await subscribe(server, topic, "b")
    assert (await first.message()).body == b"old"
    await producer.pub(topic, b"new")
    assert (await second.message()).body == b"new"


async def test_rdy_is_a_ceiling_and_no_credit(server: Server) -> None:
    topic = fresh("t")
    consumer = await subscribe(server, topic, rdy=2)
    producer = await server.connect()
    await producer.mpub(topic, b"1", b"2", b"3", b"4")
    held = await consumer.messages(2)
    await consumer.settled()  # no third one
    consumer.fin(held[0].id)
    third = await consumer.message()
    consumer.rdy(0)
    consumer.fin(held[1].id)
    consumer.fin(third.id)
    await consumer.settled()
    consumer.send(b"RDY\n")  # means 1
    last = await consumer.message()
    assert {m.body for m in (*held, third, last)} == {b"1", b"2", b"3", b"4"}


async def test_a_requeued_message_comes_again_with_its_attempts_counted(server: Server) -> None:
    topic = fresh("t")
    consumer = await subscribe(server, topic)
    producer = await server.connect()
    await producer.pub(topic, b"x")
    for attempt in (1, 2, 3):
        message = await consumer.message()
        assert message.attempts == attempt
        consumer.req(message.id, 0)


async def test_a_second_answer_finds_nothing_in_flight(server: Server) -> None:
    topic = fresh("t")
    consumer = await subscribe(server, topic)
    producer = await server.connect()
    await producer.pub(topic, b"x")
    message = await consumer.message()
    text = message.id.decode()
    consumer.touch(message.id)
    consumer.fin(message.id)
    await consumer.settled()
    consumer.fin(message.id)
    await consumer.expect_error(f"E_FIN_FAILED FIN {text} failed ID not in flight")
    consumer.req(message.id, 0)
    await consumer.expect_error(f"E_REQ_FAILED REQ {text} failed ID not in flight")
    consumer.touch(message.id)
    await consumer.expect_error(f"E_TOUCH_FAILED TOUCH {text} failed ID not in flight")


async def test_only_who_got_a_message_may_answer_it(server: Server) -> None:
    topic = fresh("t")
    owner, other = await subscribe(server, topic), await subscribe(server, topic, rdy=0)
    producer = await server.connect()
    await producer.pub(topic, b"x")
    message = await owner.message()
    text = message.id.decode()
    other.fin(message.id)
    await other.expect_error(f"E_FIN_FAILED FIN {text} failed client does not own message")
    other.req(message.id, 0)
    await other.expect_error(f"E_REQ_FAILED REQ {text} failed client does not own message")
    other.touch(message.id)
    await other.expect_error(f"E_TOUCH_FAILED TOUCH {text} failed client does not own message")


async def test_what_a_lost_connection_held_stays_in_flight(server: Server, which: str) -> None:
    if which == "ours":
        pytest.skip("hands it back at once; the next test is for that")
    topic, message = await lose_a_message(server)
    heir = await subscribe(server, topic)
    await heir.settled()  # nothing was delivered to it
    heir.fin(message)
    await heir.expect_error(f"E_FIN_FAILED FIN {message.decode()} failed client does not own message")


async def test_what_a_lost_connection_held_is_handed_back_where_that_is_so(
    server: Server, which: str
) -> None:
    if which == "original":
        pytest.skip("waits for the time-out")
    if which == "fake":
        server = Fake(replace(OPTIONS, hand_back=True))
    topic, message = await lose_a_message(server)
    heir = await subscribe(server, topic, rdy=0)
    heir.fin(message)
    await heir.expect_error(f"E_FIN_FAILED FIN {message.decode()} failed ID not in flight")
    heir.rdy(1)
    again = await heir.message()
    assert (again.id, again.attempts) == (message, 2)
    server.close_clients()


async def lose_a_message(server: Server) -> tuple[str, bytes]:
    """A topic, and the ID of the message that its consumer had when its connection was lost."""
    topic = fresh("t")
    lost = await subscribe(server, topic)
    producer = await server.connect()
    await producer.pub(topic, b"x")
    message = await lost.message()
    lost.close()
    await lost.gone()
    await producer.alive()
    return topic, message.id


async def test_behind_cls_nothing_is_delivered_and_what_is_held_may_be_answered(server: Server) -> None:
    topic = fresh("t")
    consumer = await subscribe(server, topic)
    producer = await server.connect()
    await producer.pub(topic, b"1", b"2")
    message = await consumer.message()
    consumer.send(b"CLS\n")
    await consumer.expect(CLOSE_WAIT)
    consumer.rdy(5)
    consumer.fin(message.id)
    await consumer.settled()
    consumer.send(b"CLS\n")
    await consumer.refused("E_INVALID cannot CLS in current state")


async def test_only_so_many_consumers_may_share_a_channel(server: Server) -> None:
    topic = fresh("t")
    for _ in range(3):
        await subscribe(server, topic)
    late = await server.connect()
    late.send(commands.encode_sub(topic, "c"))
    await late.refused(f"E_SUB_FAILED SUB failed consumers for {topic}:c exceeds limit of 3")


async def test_an_ephemeral_channel_goes_with_its_consumer(server: Server) -> None:
    topic = fresh("t")
    consumer = await subscribe(server, topic, "c#ephemeral")
    producer = await server.connect()
    await producer.pub(topic, b"1")
    assert (await consumer.message()).body == b"1"
    consumer.close()
    await consumer.gone()
    again = await subscribe(server, topic, "d#ephemeral")
    await producer.pub(topic, b"2")
    assert (await again.message()).body == b"2"


async def test_one_connection_may_publish_and_consume(server: Server) -> None:
    topic = fresh("t")
    client = await subscribe(server, topic, rdy=0)
    await client.pub(topic, b"x")
    client.rdy(1)
    assert (await client.message()).body == b"x"


async def test_nothing_behind_a_fatal_error_is_done(server: Server) -> None:
    topic = fresh("t")
    client = await server.connect()
    client.send(b"PUB bad!name\n" + commands.encode_pub(topic, b"behind"))
    await client.refused('E_BAD_TOPIC PUB topic name "bad!name" is not valid')
    consumer = await subscribe(server, topic)
    producer = await server.connect()
    await producer.pub(topic, b"later")
    assert (await consumer.message()).body == b"later"


# ---- time: one test each, as the original looks for what is due only every five seconds at first


async def test_heartbeats_come_and_who_answers_none_is_closed(server: Server) -> None:
    silent, faithful = await server.connect(), await server.connect()
    for client in (silent, faithful):
        await client.identify(heartbeat_interval=1000)
    for _ in range(3):
        await faithful.expect_heartbeat()
        faithful.send(commands.NOP)
    await faithful.alive()
    await silent.expect_heartbeat()
    await silent.until(lambda: silent.ended)
    assert len(silent.buffer) in (0, 19)  # the second heartbeat may come before the end


async def test_a_message_without_an_answer_and_one_kept_back_come_in_time(server: Server) -> None:
    topic = fresh("t")
    consumer = await subscribe(server, topic, rdy=2, msg_timeout=1000)
    producer = await server.connect()
    await producer.pub(topic, b"x")
    await producer.dpub(topic, 500, b"y")
    await producer.alive()
    first = await consumer.message()
    assert (first.body, first.attempts) == (b"x", 1)
    seen = {}
    while (b"x", 2) not in seen or (b"y", 1) not in seen:
        kind, data = await consumer.frame()
        assert kind == MESSAGE
        message = decode_message(data)
        seen[message.body, message.attempts] = message
        if message.attempts == 2 or message.body == b"y":
            consumer.fin(message.id)
