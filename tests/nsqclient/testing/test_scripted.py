import asyncio

import pytest

from nsqclient import ConnectionOptions, Consumer, NoNodes, Producer, PublishRejected, PublishUnknown
from nsqclient.testing import Clock, ScriptedNsqd, drop, ok, refuse, silence
from nsqclient.testing.decoder import LARGEST_BODY, CommandDecoder, NotACommand
from nsqcore.wire import commands
from tests.support.raw import RawClient


async def test_a_consumer_is_led_through_a_script() -> None:
    async with ScriptedNsqd() as nsqd, Consumer("t", "c", nsqd, max_in_flight=5) as consumer:
        await nsqd.expect("IDENTIFY", "SUB t c", "RDY 5")
        first = nsqd.message(b"x", attempts=3)
        message = await consumer.get(timeout=5)
        assert (message.body, message.attempts) == (b"x", 3)
        message.finish()
        await nsqd.expect(f"FIN {first}")
        nsqd.link.heartbeat()
        await nsqd.until(lambda: nsqd.link.nops == 1)
        nsqd.nothing_more()
        assert nsqd.link.identify["feature_negotiation"] is True


async def test_publishes_are_answered_as_the_script_says() -> None:
    async with ScriptedNsqd() as nsqd, Producer(nsqd, timeout=5) as producer:
        nsqd.script("PUB", ok, refuse("E_BAD_TOPIC PUB topic name is not valid"), drop)
        await producer.publish("t", b"1")
        with pytest.raises(PublishRejected):
            await producer.publish("t", b"2")
        with pytest.raises(PublishUnknown):
            await producer.publish("t", b"3")
        await producer.publish_many("t", [b"4", b"5"])
        nsqd.always("DPUB", silence)
        with pytest.raises(TimeoutError):
            await producer.publish("t", b"6", delay=1, timeout=0.05)
        assert nsqd.commands.matching("*PUB*") == [
            "PUB t 1",
            "PUB t 2",
            "PUB t 3",
            "MPUB t 4 5",
            "DPUB t 1000 6",
        ]
        assert nsqd.verbs.count("IDENTIFY") == 3


async def test_a_secret_is_taken_and_published_bodies_are_kept() -> None:
    options = ConnectionOptions(auth="secret")
    async with ScriptedNsqd(auth_required=True) as nsqd, Producer(nsqd, options=options) as producer:
        await producer.publish("t", b"\xff")
        await producer.publish_many("t", [b"a", b"b"])
        assert nsqd.commands[:2] == ["IDENTIFY", "AUTH"]
        assert nsqd.bodies == [b"\xff", b"a", b"b"]


async def test_one_that_is_stopped_refuses_and_comes_back() -> None:
    async with ScriptedNsqd() as nsqd, Producer(nsqd, timeout=5) as producer:
        await producer.publish("t", b"1")
        await nsqd.stop()
        with pytest.raises(NoNodes):
            await producer.publish("t", b"2", timeout=0.05)
        await nsqd.start()
        await producer.publish("t", b"3")


async def test_what_is_not_expected_is_told_at_once() -> None:
    async with Clock(), ScriptedNsqd() as nsqd, Consumer("t", "c", nsqd):
        with pytest.raises(
            AssertionError, match=r"expected \['IDENTIFY', 'SUB t d'\], got \['IDENTIFY', 'SUB t c'\]"
        ):
            await nsqd.expect("IDENTIFY", "SUB t d")
        with pytest.raises(AssertionError, match=r"got \['IDENTIFY', 'SUB t c', 'RDY 1'\]"):
            await nsqd.expect("IDENTIFY", "SUB t c", "RDY 1", "NEVER", timeout=0.01)
        with pytest.raises(AssertionError, match="not expected"):
            nsqd.nothing_more()


async def test_it_listens_over_tcp_and_ends_who_speaks_another_protocol() -> None:
    async with ScriptedNsqd() as nsqd:
        host, _, port = (await nsqd.listen()).rpartition(":")
        client = await RawClient.open((host, int(port)))
        client.send(b"  V2" + commands.encode_pub("t", b"x"))
        await client.expect_ok()
        client.close()
        await client.gone()
        other = await RawClient.open((host, int(port)))
        other.send(b"GET / HTTP/1.1\r\n")
        await other.closed()
        other.close()
        await other.gone()


async def test_a_client_that_is_not_read_is_made_to_wait() -> None:
    async with ScriptedNsqd() as nsqd, Producer(nsqd, timeout=5) as producer:
        await producer.publish("t", b"1")
        nsqd.link.stop_reading()
        publishing = asyncio.create_task(producer.publish("t", b"2"))
        await asyncio.sleep(0.01)
        assert nsqd.commands[-1] == "PUB t 1"
        nsqd.link.resume_reading()
        await publishing


# ---- commands as bytes

WIRE = b"".join(
    (
        commands.encode_identify({"a": 1}),
        commands.encode_auth(b"s3cret"),
        commands.encode_sub("t", "c"),
        commands.encode_pub("t", b"line\nline"),
        commands.encode_dpub("t", 100, b"\xff"),
        commands.encode_mpub("t", [b"a", b"b c"]),
        commands.encode_fin(b"0" * 16),
        commands.NOP,
    )
)
TEXTS = [
    "IDENTIFY",
    "AUTH",
    "SUB t c",
    "PUB t line\nline",
    "DPUB t 100 \\xff",
    "MPUB t a b c",
    f"FIN {'0' * 16}",
    "NOP",
]


@pytest.mark.parametrize("size", [1, 3, 10_000])
def test_commands_are_read_in_pieces_of_any_size(size: int) -> None:
    decoder = CommandDecoder()
    pieces = (WIRE[at : at + size] for at in range(0, len(WIRE), size))
    found = [command for piece in pieces for command in decoder.feed(piece)]
    assert [command.text for command in found] == TEXTS
    assert found[1].bodies == (b"s3cret",)
    assert found[5].bodies == (b"a", b"b c")


@pytest.mark.parametrize(
    "data",
    [
        b"x" * 20_000,
        b"PUB t\n" + (LARGEST_BODY + 1).to_bytes(4, "big"),
        b"MPUB t\n" + (8).to_bytes(4, "big") + (2).to_bytes(4, "big") + b"\0\0\0\0",
        b"MPUB t\n" + (9).to_bytes(4, "big") + (1).to_bytes(4, "big") + b"\0\0\0\2x",
    ],
)
def test_what_is_no_command_is_refused(data: bytes) -> None:
    with pytest.raises(NotACommand):
        CommandDecoder().feed(data)
