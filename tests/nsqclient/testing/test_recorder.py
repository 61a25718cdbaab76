from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqclient import ConnectionOptions, Consumer, Producer, PublishUnknown
from nsqclient.testing import BadConversation, CantRecord, FakeCluster, Recorder, Replay
from nsqclient.testing.conversation import Said, frame_of, of_client, of_nsqd, read, write
from nsqclient.testing.decoder import Command
from nsqcore.wire.frames import ERROR, MESSAGE, MESSAGE_HEAD, RESPONSE
from tests.nsqclient.testing.servers import process

BODIES = [b"plain", b"line\nline", b"\xff\x00 \\ \xc3\xa4"]


async def converse(target: str | Replay) -> list[bytes]:
    """What is recorded, and played again."""
    async with Producer(target) as producer:
        for body in BODIES:
            await producer.publish("t", body)
        await producer.publish_many("t", [b"a b", b"c"])
    seen = []
    async with Consumer("t", "c", target) as consumer:
        for _ in range(5):
            async with await consumer.get(timeout=5) as message:
                seen.append(message.body)
    return seen


@pytest.mark.parametrize("which", ["ours", "original"])
async def test_a_conversation_with_a_real_nsqd_is_recorded_and_played_again(
    which: str, tmp_path: Path
) -> None:
    with process(which, tmp_path) as nsqd:
        assert nsqd is not None
        async with Recorder(nsqd.tcp_address) as recorder:
            recorded = await converse(recorder.address)
    recorder.save(tmp_path / "conversation.txt")
    text = (tmp_path / "conversation.txt").read_text()
    assert sorted(recorded) == sorted([*BODIES, b"a b", b"c"])
    assert text.count("# connection") == 2
    assert r"> PUB t line\nline" in text
    assert r"> MPUB t a\x20b c" in text
    async with Replay(text) as replay:
        assert await converse(replay) == recorded
        await replay.finished()


async def test_a_client_that_says_something_else_is_caught() -> None:
    text = '> IDENTIFY\n< {"max_rdy_count":2500}\n> PUB t right*\n< OK\n> PUB t more\n< OK\n'
    async with Replay(text) as replay, Producer(replay) as producer:
        await producer.publish("t", b"right one")
        with pytest.raises(AssertionError, match=r"was not said:\n> PUB t more"):
            await replay.finished(timeout=0.01)
        await producer.publish("t", b"more")
        await replay.finished()
    async with Replay(text) as replay, Producer(replay) as producer:
        with pytest.raises(PublishUnknown):
            await producer.publish("t", b"wrong", timeout=1)
        with pytest.raises(
            AssertionError, match=r"'PUB t wrong' where the recorded one said 'PUB t right\*'"
        ):
            await replay.finished()


async def test_what_is_compressed_can_not_be_recorded() -> None:
    async with FakeCluster(nodes=1) as cluster, Recorder(await cluster.node(0).listen()) as recorder:
        async with Producer(recorder.address, options=ConnectionOptions(compress="snappy")) as producer:
            await producer.publish("t", b"x")
        with pytest.raises(CantRecord, match="compressed"):
            recorder.text()


async def test_heartbeats_are_left_out() -> None:
    async with FakeCluster(nodes=1) as cluster, Recorder(await cluster.node(0).listen()) as recorder:
        async with Producer(recorder.address, options=ConnectionOptions(heartbeat=1)) as producer:
            await producer.publish("t", b"x")
            await cluster.clock.advance(1)
            await cluster.until(lambda: cluster.node(0).nops == 1)
        verbs = [said.text.partition(" ")[0] for said in recorder.conversations[0] if said.who == ">"]
        assert verbs == ["IDENTIFY", "PUB"]


@given(st.binary(), st.lists(st.binary(min_size=1), min_size=1))
def test_any_body_survives_being_written_and_read(body: bytes, bodies: list[bytes]) -> None:
    said = [
        of_client(Command("PUB t", (body,))),
        of_client(Command("MPUB t", tuple(bodies))),
        of_nsqd(RESPONSE, body),
        of_nsqd(MESSAGE, MESSAGE_HEAD.pack(1, 7, b"0123456789abcdef") + body),
        of_nsqd(ERROR, body),
    ]
    text = write(said)
    assert text.isascii()
    assert read(text) == said
    assert frame_of(said[3].text) == (MESSAGE, MESSAGE_HEAD.pack(1, 7, b"0123456789abcdef") + body)
    assert frame_of(said[4].text) == (ERROR, body)
    assert len(said[1].text.split(" ")) == 2 + len(bodies)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        said = read(text)
    except BadConversation:
        return
    assert all(line.who in "<>" for line in said)


@pytest.mark.parametrize(
    "line", ["? what", "< MESSAGE short 1 x", "< MESSAGE 0123456789abcdef 70000 x", "< \\x4"]
)
def test_a_line_that_makes_no_sense_is_named(line: str) -> None:
    with pytest.raises(BadConversation, match="line 2"):
        read(f"# a remark\n{line}\n> NOP\n")


def test_remarks_and_empty_lines_say_nothing() -> None:
    assert read("# hello\n\n> NOP\n< OK") == [Said(">", "NOP"), Said("<", "OK")]
