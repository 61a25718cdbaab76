"""The commands in dialogues: every refusal with its exact text, what is allowed when, and the framing."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

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
