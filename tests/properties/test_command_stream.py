"""The V2 protocol's parser: how a stream is cut makes no difference, and no stream of bytes upsets the daemon."""

from __future__ import annotations

import json
import re
import struct
import tempfile
from itertools import pairwise
from typing import NamedTuple
from unittest.mock import patch

import hypothesis.strategies as st
import pytest
from hypothesis import example, given

from nsqcore import logs
from nsqcore.connections import Connections
from nsqcore.wire.commands import encode_batch, encode_dpub, encode_mpub, encode_pub
from nsqcore.wire.frames import ERROR, MAGIC_V2, MESSAGE, FrameDecoder
from nsqd.broker import Broker
from nsqd.frames import BatchDecoder
from nsqd.guid import EPOCH
from nsqd.options import Options
from nsqd.protocol import commands, commands_publish
from nsqd.protocol.connection import Connection
from nsqd.statistics.stats import channel_stats, topic_stats
from tests.properties.fuzzing import MEMORY, examples, property_test
from tests.properties.simulation import Event, FakeTransport, SimulatedLoop

NOW = (EPOCH + 1_000_000) << 20
MAX_MSG, MAX_BODY = 20, 200
IDS = [b"%013x%03x" % (1_000_000 << 10 | 1, n) for n in range(6)]
"""Of the first messages, on a clock that stands still."""
NEVER = b"0" * 16
CONSUMER = b"SUB t c\nRDY 4\n" + b"".join(encode_pub("t", b"%d" % n) for n in range(5))
"""Holds the first four messages."""

ANSWERS = re.compile(
    rb"E_(INVALID|BAD_TOPIC|BAD_CHANNEL|BAD_BODY|BAD_MESSAGE|AUTH_DISABLED|PUB_FAILED|MPUB_FAILED|DPUB_FAILED"
    rb"|SUB_FAILED|FIN_FAILED|REQ_FAILED|TOUCH_FAILED) .+",
    re.DOTALL,
)
HARMLESS = re.compile(rb"E_(FIN|REQ|TOUCH)_FAILED ")


class Outcome(NamedTuple):
    """What came of a stream."""

    frames: list[tuple[int, bytes]]
    closed: bool
    effect: object


def play(pieces: list[bytes], *, before: bytes = b"", ended: bool = False) -> Outcome:
    """Sends ``before``, lets it take effect, then the pieces at once; ``ended``: and then the end of the stream."""
    log: list[Event] = []
    loop = SimulatedLoop()
    transport = FakeTransport(loop, log)
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder, patch("time.time_ns", return_value=NOW):

        def start() -> tuple[Broker, Connection]:
            broker = Broker(
                Options(data_path=folder, node_id=1, max_msg_size=MAX_MSG, max_body_size=MAX_BODY)
            )
            broker.load()
            loop.stall(True)  # nsqd.dat need not be written
            connection = Connection(broker, Connections())
            transport.connect(connection)
            connection.data_received(MAGIC_V2 + before)
            return broker, connection

        def send() -> None:
            for piece in pieces:
                if transport.reading and not transport.closing:
                    connection.data_received(piece)

        broker, connection = loop.perform(start)
        loop.perform(send)
        if ended and not transport.closing:
            loop.perform(transport.end)
            assert transport.closing
        loop.advance(0)
        effect = [
            (topic_stats(topic, [], include_clients=False), [channel_stats(c, include_clients=False) for c in topic.channels.values()])
            for topic in broker.topics.values()
        ]  # fmt: skip
        outcome = Outcome(
            FrameDecoder().feed(b"".join(event.data for event in log if event.data is not None)),
            transport.closing,
            (effect, connection.client.state, connection.client.settings, connection.client.published),
        )
        loop.stall(False)
        loop.complete(broker.close())
        loop.close()
    return outcome


# -- streams ---------------------------------------------------------------------------------------

NAMES = st.sampled_from([b"t", b"u", b"e#ephemeral", b"", b"no valid", b"a\tb", b"x" * 65, b"\xff", b"t\r"])
NUMBERS = st.sampled_from([b"", b"0", b"1", b"2", b"5", b"-1", b"x", b"2501", b"3600001", b"18446744073709551615", b"9" * 50])  # fmt: skip
MESSAGES = st.sampled_from([*IDS, NEVER, b"", b"short", b"x" * 17])
SIZES = st.sampled_from([0, 1, 3, MAX_MSG, MAX_MSG + 1, MAX_BODY, MAX_BODY + 1, -1, 1 << 31 - 1, -(1 << 31)])
BODIES = st.binary(min_size=1, max_size=MAX_MSG)
JSONS = st.sampled_from(
    [
        b"{}",
        b"null",
        b"[]",
        b"{",
        b'{"msg_timeout":1500}',
        b'{"msg_timeout":1}',
        b'{"heartbeat_interval":-1}',
        b'{"feature_negotiation":true}',
        b'{"client_id":7}',
        b'{"sample_rate":100}',
        b"[" * 150,
        b"\xff",
    ]
)


def sized(body: bytes) -> bytes:
    return struct.pack(">i", len(body)) + body


FINE = st.one_of(
    st.sampled_from([b"NOP\n", b"NOP\r\n", b"CLS\n", b"SUB t c\n", b"SUB e#ephemeral c\n", b"RDY\n"]),
    st.binary(min_size=1, max_size=MAX_MSG).map(lambda body: encode_pub("t", body)),
    st.binary(min_size=1, max_size=MAX_MSG).map(lambda body: encode_pub("u", body)),
    st.binary(min_size=1, max_size=MAX_MSG).map(lambda body: encode_dpub("t", 5, body)),
    st.lists(BODIES, min_size=1, max_size=6).map(lambda bodies: encode_mpub("t", bodies)),
    st.sampled_from(IDS).map(lambda message: b"FIN %b\n" % message),
    st.sampled_from([*IDS, NEVER]).map(lambda message: b"FIN %b\n" % message),
    st.sampled_from(IDS).map(lambda message: b"TOUCH %b\n" % message),
    st.builds(lambda message, delay: b"REQ %b %b\n" % (message, delay), st.sampled_from(IDS), NUMBERS),
    st.builds(lambda count: b"RDY %b\n" % count, NUMBERS),
    JSONS.map(lambda body: b"IDENTIFY\n" + sized(body)),
)
LINES = st.builds(
    lambda verb, words, end: b" ".join((verb, *words)) + end,
    st.sampled_from([*commands.COMMANDS, b"", b"pub", b"GET", b"\xff\xfe"]),
    st.lists(st.one_of(NAMES, NUMBERS, MESSAGES), max_size=3),
    st.sampled_from([b"\n", b"\n", b"\n", b"\r\n", b""]),
)
WRONG = st.one_of(
    LINES,
    st.builds(lambda line, size, body: line + struct.pack(">i", size % (1 << 31)) + body, LINES, SIZES, st.binary(max_size=25)),
    st.builds(lambda line, body: line + sized(body), LINES, st.binary(max_size=40)),
    st.builds(lambda size, body: b"MPUB t\n" + struct.pack(">i", size % (1 << 31)) + body, SIZES, st.lists(BODIES, max_size=4).map(encode_batch)),
    st.binary(max_size=30),
)  # fmt: skip
STREAMS = st.lists(st.one_of(FINE, FINE, FINE, WRONG), min_size=1, max_size=12).map(b"".join)
CUTS = st.lists(st.integers(0, 400), max_size=8)


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(place for place in cuts if place < len(data))})
    return [data[at:end] for at, end in pairwise(places)]


def by_the_byte(data: bytes) -> list[bytes]:
    return [data[n : n + 1] for n in range(len(data))]


def documented(outcome: Outcome) -> None:
    """Only answers that the protocol knows, and nothing behind one that ends it."""
    for n, (kind, data) in enumerate(outcome.frames):
        if kind == ERROR:
            assert ANSWERS.fullmatch(data), data
            if not HARMLESS.match(data):
                assert outcome.closed
                assert all(kind == MESSAGE for kind, _ in outcome.frames[n + 1 :])
        elif kind != MESSAGE and data not in (b"OK", b"CLOSE_WAIT"):
            assert isinstance(json.loads(data), dict)


@property_test(weight=3)
@examples(400)
@given(stream=STREAMS, cuts=CUTS, consuming=st.booleans(), ended=st.booleans())
@example(stream=b"MPUB t\n" + sized(encode_batch([b""])), cuts=[9], consuming=False, ended=False)
@example(stream=b"MPUB t\n\0\0\0\x09\0\0\0\0", cuts=[12], consuming=False, ended=False)
@example(stream=b"MPUB t\n\0\0\0\x02\0\0\0\0", cuts=[12], consuming=False, ended=False)
@example(stream=b"FIN %b\n" % IDS[0] * 2 + b"FIN %b\n" % IDS[1], cuts=[25], consuming=True, ended=True)
@example(stream=b"x" * 16_383 + b"\n" + b"x" * 16_384, cuts=[16_384], consuming=False, ended=True)
@example(stream=b"NOP\n" + b"x" * 16_384 + b"\n", cuts=[16_387], consuming=False, ended=False)
def test_how_a_stream_is_cut_makes_no_difference(
    stream: bytes, cuts: list[int], consuming: bool, ended: bool
) -> None:
    before = CONSUMER if consuming else b""
    whole = play([stream], before=before, ended=ended)
    documented(whole)
    assert play(cut(stream, cuts), before=before, ended=ended) == whole
    if len(stream) < 1000:
        assert play(by_the_byte(stream), before=before, ended=ended) == whole


PUBLISHING = st.lists(
    st.one_of(
        st.sampled_from([b"NOP\n", b"BOGUS\n"]),
        st.builds(lambda topic, body: encode_pub(topic, body), st.sampled_from("tuv"), BODIES),
        st.builds(lambda topic, body: encode_dpub(topic, 5, body), st.sampled_from("tu"), BODIES),
        st.builds(
            lambda topic, bodies: encode_mpub(topic, bodies),
            st.sampled_from("tu"),
            st.lists(BODIES, min_size=1, max_size=6),
        ),
    ),
    min_size=1,
    max_size=20,
).map(b"".join)


@property_test(weight=2)
@examples(200)
@given(stream=PUBLISHING, cuts=CUTS, ended=st.booleans())
def test_nor_when_long_work_and_long_reads_are_done_in_slices(
    stream: bytes, cuts: list[int], ended: bool
) -> None:
    whole = play([stream], ended=ended)
    documented(whole)
    with (
        patch.object(BatchDecoder.step, "__defaults__", (2,)),
        patch.object(commands, "MAX_COMMANDS", 2),
        patch.object(commands_publish, "MOST_RUN", 2),
    ):
        for pieces in ([stream], cut(stream, cuts), by_the_byte(stream)):
            assert play(pieces, ended=ended) == whole


@property_test(weight=2)
@examples(300)
@given(stream=STREAMS, tail=STREAMS, consuming=st.booleans())
def test_what_stands_behind_a_command_does_not_change_it(stream: bytes, tail: bytes, consuming: bool) -> None:
    before = CONSUMER if consuming else b""
    alone = play([stream], before=before)
    followed = play([stream, tail], before=before)
    answers = [frame for frame in alone.frames if frame[0] != MESSAGE]
    assert [frame for frame in followed.frames if frame[0] != MESSAGE][: len(answers)] == answers


@property_test(weight=1)
@examples(200)
@given(stream=STREAMS, cuts=CUTS, consuming=st.booleans(), ended=st.booleans())
@example(stream=b"NOP\n" + b"x" * 16_384 + b"\n", cuts=[16_387], consuming=False, ended=False)
@example(stream=b"FIN %b\n" % IDS[0] * 2 + b"PUB t\n\0\0\0\x99", cuts=[], consuming=True, ended=True)
def test_what_is_logged_of_commands_at_debug_does_not_change_them(
    stream: bytes, cuts: list[int], consuming: bool, ended: bool
) -> None:
    before = CONSUMER if consuming else b""
    quiet = play([stream], before=before, ended=ended)
    with patch.object(logs, "debugging", True):
        assert play([stream], before=before, ended=ended) == quiet
        assert play(cut(stream, cuts), before=before, ended=ended) == quiet


@pytest.mark.parametrize(
    "magic",
    [b"", b" ", b"  V", b"  V1", b"  v2", b"V2  ", b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\0", b"\xff" * 9],
)
def test_only_the_magic_opens_the_protocol(magic: bytes) -> None:
    log: list[Event] = []
    loop = SimulatedLoop()
    transport = FakeTransport(loop, log)

    def start() -> None:
        connection = Connection(Broker(Options()), Connections())
        transport.connect(connection)
        if magic:
            connection.data_received(magic)

    loop.perform(start)
    said = FrameDecoder().feed(b"".join(event.data for event in log if event.data is not None))
    assert said == ([(ERROR, b"E_BAD_PROTOCOL")] if len(magic) >= 4 else [])
    assert transport.closing == (len(magic) >= 4)
    loop.advance(61.0)
    assert transport.closing
    loop.close()
