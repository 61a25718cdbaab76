"""Whatever a client sends, a fake nsqd answers or ends the connection; in which pieces it comes does not matter."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from nsqclient.testing import FakeCluster
from nsqcore.wire import commands
from nsqcore.wire.frames import MAGIC_V2, MESSAGE, FrameDecoder

TOPICS = st.sampled_from(["t", "u", "t#ephemeral", "bad!name", ""])
IDS = st.sampled_from([b"0001000000000001", b"0001000000000002", b"0" * 16])
BODIES = st.binary(max_size=30)
COMMANDS = st.one_of(
    st.builds(commands.encode_pub, TOPICS, BODIES),
    st.builds(commands.encode_mpub, TOPICS, st.lists(BODIES, max_size=3)),
    st.builds(commands.encode_dpub, TOPICS, st.integers(-1, 4_000_000), BODIES),
    st.builds(commands.encode_sub, TOPICS, st.sampled_from(["c", "c#ephemeral", "bad!"])),
    st.builds(commands.encode_rdy, st.integers(-1, 3000)),
    st.builds(commands.encode_fin, IDS),
    st.builds(commands.encode_req, IDS, st.integers(-1, 4_000_000)),
    st.builds(commands.encode_touch, IDS),
    st.builds(commands.encode_auth, BODIES),
    st.builds(
        commands.encode_identify,
        st.dictionaries(
            st.sampled_from(["heartbeat_interval", "msg_timeout", "sample_rate", "feature_negotiation", "x"]),
            st.one_of(st.none(), st.booleans(), st.integers(-1, 70_000), st.text(max_size=3)),
        ),
    ),
    st.just(commands.NOP),
    st.just(commands.CLS),
)
STREAMS = st.one_of(
    st.lists(COMMANDS, max_size=12).map(b"".join),
    st.binary(max_size=100),
    st.tuples(st.lists(COMMANDS, max_size=5).map(b"".join), st.binary(max_size=20)).map(b"".join),
)


class Client(asyncio.Protocol):
    def __init__(self) -> None:
        self.came = b""
        self.ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self.came += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True


async def converse(pieces: Sequence[bytes]) -> tuple[list[tuple[int, bytes]], bool, list[str]]:
    """What came back, messages without their time; whether the connection ended; what is on record."""
    faults: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: faults.append(context))
    async with FakeCluster(nodes=1, frozen=True) as cluster:
        client = Client()
        await cluster.node(0).connect(client)
        for piece in (MAGIC_V2, *pieces):
            client.transport.write(piece)
            await cluster.clock.settle()
        ended = client.ended
        client.transport.close()
        record = list(cluster.commands(0))
    assert not faults
    frames = FrameDecoder().feed(client.came)
    return [(kind, data[8:] if kind == MESSAGE else data) for kind, data in frames], ended, record


@given(STREAMS, st.lists(st.integers(0, 400), max_size=8))
def test_any_bytes_in_any_pieces_are_answered_alike(stream: bytes, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    pieces = [stream[a:b] for a, b in pairwise(places) if a < b]
    whole = asyncio.run(converse([stream] if stream else []))
    assert asyncio.run(converse(pieces)) == whole
