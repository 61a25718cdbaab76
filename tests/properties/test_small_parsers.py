"""What is read of queries, numbers, batches and IDENTIFY, beside the plainest way to read it."""

from __future__ import annotations

import json
import re
from unittest.mock import patch

import hypothesis.strategies as st
import pytest
from hypothesis import example, given

from nsqcore.durations import Duration
from nsqcore.errors import HttpError
from nsqcore.query import parse_query
from nsqcore.wire.commands import encode_batch
from nsqd import bulk
from nsqd.auth.permissions import LONGEST_TTL_S, BadAnswer, parse
from nsqd.client import Upgrade
from nsqd.errors import BatchError, FatalError
from nsqd.frames import Batch, BatchDecoder, FrameBuilder
from nsqd.guid import Ids
from nsqd.options import Options
from nsqd.protocol.identify import Identity, answer, negotiate, upgrade
from nsqd.protocol.parameters import decimal
from tests.properties.fuzzing import examples, property_test

# -- queries ---------------------------------------------------------------------------------------


def unescaped(text: bytes) -> bytes | None:
    """As Go's QueryUnescape; None for a broken escape."""
    found, at = bytearray(), 0
    while at < len(text):
        if text[at : at + 1] == b"%":
            digits = text[at + 1 : at + 3]
            if not re.fullmatch(rb"[0-9a-fA-F]{2}", digits):
                return None
            found.append(int(digits, 16))
            at += 3
        else:
            found += b" " if text[at : at + 1] == b"+" else text[at : at + 1]
            at += 1
    return bytes(found)


def parsed(query: bytes) -> dict[bytes, bytes] | None:
    """As Go's ParseQuery; None for an error."""
    found: dict[bytes, bytes] = {}
    for pair in query.split(b"&"):
        if b";" in pair:
            return None
        if pair:
            key, _, value = pair.partition(b"=")
            name, content = unescaped(key), unescaped(value)
            if name is None or content is None:
                return None
            found.setdefault(name, content)
    return found


@property_test()
@examples(500)
@given(
    st.lists(
        st.one_of(
            st.sampled_from([b"topic", b"=", b"&", b"t", b"+", b"%", b"%4", b"%41", b"%C3%A9", b"%ff", b";", b"#"]),
            st.binary(max_size=3),
        ),
        max_size=12,
    ).map(b"".join)
)  # fmt: skip
def test_queries_are_read_as_go_reads_them(query: bytes) -> None:
    expected = parsed(query)
    text = query.decode("utf-8", "surrogateescape")
    if expected is None:
        with pytest.raises(HttpError):
            parse_query(text)
    else:
        found = {
            key.encode("utf-8", "surrogateescape"): value.encode("utf-8", "surrogateescape")
            for key, value in parse_query(text).items()
        }
        assert found == expected


# -- numbers ---------------------------------------------------------------------------------------


@property_test()
@examples(300)
@given(
    st.one_of(
        st.binary(max_size=4),
        st.integers(0, 1 << 70).map(lambda n: b"%d" % n),
        st.from_regex(rb"\A[0-9]{0,60}\Z"),
    )
)
@example(b"18446744073709551615")
@example(b"9223372036854775808")
@example(b"+1")
@example("\u0661".encode())
def test_a_decimal_has_64_bits_of_which_the_first_is_a_sign(word: bytes) -> None:
    if not re.fullmatch(rb"[0-9]*", word):
        assert decimal(word) is None
    else:
        value = int(word or b"0") % (1 << 64)
        assert decimal(word) == value - (1 << 64 if value >= 1 << 63 else 0)


# -- batches ---------------------------------------------------------------------------------------

MAX_MSG, MAX_BODY = 10, 600


def bodies_of(batches: list[Batch]) -> list[bytes]:
    for batch in batches:
        assert batch.size == sum(map(len, batch.frames))
        assert batch.largest >= max(map(len, batch.frames))
    return [frame[34:] for batch in batches for frame in batch.frames]


def decoded(data: bytes) -> list[bytes] | tuple[str, str]:
    """What a batch holds, or the kind and reason of its refusal, as the reference tells it."""
    if len(data) < 4:
        return "BODY", "failed to read message count"
    count = int.from_bytes(data[:4], "big", signed=True)
    if not 0 < count <= (MAX_BODY - 4) // 5:
        return "BODY", f"invalid message count {count}"
    bodies, rest = list[bytes](), data[4:]
    for n in range(count):
        if len(rest) < 4:
            return "MESSAGE", f"failed to read message({n}) body size"
        size, rest = int.from_bytes(rest[:4], "big", signed=True), rest[4:]
        if size <= 0:
            return "MESSAGE", f"invalid message({n}) body size {size}"
        if size > MAX_MSG:
            return "MESSAGE", f"message too big {size} > {MAX_MSG}"
        if size > len(rest):
            return "MESSAGE", "failed to read message body"
        bodies.append(rest[:size])
        rest = rest[size:]
    return bodies


SIZES = st.sampled_from([0, 1, 2, 3, MAX_MSG, MAX_MSG + 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
PIECES = st.one_of(SIZES.map(lambda n: n.to_bytes(4, "big")), st.binary(max_size=MAX_MSG))
NEARLY_BATCHES = st.one_of(
    st.binary(max_size=40),
    st.lists(PIECES, max_size=12).map(b"".join),
    st.lists(st.binary(max_size=MAX_MSG + 1), min_size=1, max_size=8).map(encode_batch),
)


@property_test()
@examples(600)
@given(data=NEARLY_BATCHES, cut=st.integers(0, 40), tail=st.binary(max_size=9), limit=st.integers(1, 5))
@example(data=encode_batch([b""]), cut=0, tail=b"", limit=5)
@example(data=encode_batch([b"a", b"", b"b"]), cut=0, tail=b"", limit=1)
@example(data=encode_batch([b"a" * 7, b"b" * 3]), cut=3, tail=b"abc", limit=5)
def test_a_batch_is_decoded_or_refused_as_a_whole(data: bytes, cut: int, tail: bytes, limit: int) -> None:
    """Whole, cut short, with a tail, in steps of any length."""
    data = data[: len(data) - cut]
    expected = decoded(data)

    def decode() -> BatchDecoder:
        decoder = BatchDecoder(
            FrameBuilder(Ids(1)),
            b"head" + data + tail,
            4,
            4 + len(data),
            max_msg_size=MAX_MSG,
            max_body_size=MAX_BODY,
        )
        while not decoder.step(limit):
            pass
        return decoder

    if isinstance(expected, list):
        decoder = decode()
        assert bodies_of(decoder.batches) == expected
        assert decoder.end == 4 + len(encode_batch(expected))
    else:
        with pytest.raises(BatchError) as caught:
            decode()
        assert (caught.value.kind, str(caught.value)) == expected


@property_test()
@examples(300)
@given(
    st.lists(st.sampled_from([b"\n", b"\n", b"a", b"bc", b"\r", b"\0"]), max_size=20).map(b"".join),
    st.integers(1, 4),
)
def test_a_text_batch_has_a_message_for_each_line_that_is_not_empty(body: bytes, slice_: int) -> None:
    checked: list[bytes] = []
    with patch.object(bulk, "SLICE", slice_):
        work = bulk.split_lines(FrameBuilder(Ids(1)), body, checked.extend)
        try:
            while True:
                next(work)
        except StopIteration as done:
            batches = done.value
    expected = [line for line in body.split(b"\n") if line]
    assert bodies_of(batches) == expected
    assert checked == expected


# -- IDENTIFY --------------------------------------------------------------------------------------

OPTIONS = Options(msg_timeout=Duration.parse("5s"), max_msg_timeout=Duration.parse("30s"))
KEYS = st.sampled_from(
    ["client_id", "hostname", "user_agent", "feature_negotiation", "heartbeat_interval", "output_buffer_size",
     "output_buffer_timeout", "tls_v1", "snappy", "deflate", "deflate_level", "sample_rate", "msg_timeout",
     "topology_zone", "MSG_Timeout", "other"]
)  # fmt: skip
VALUES = st.one_of(
    st.none(), st.booleans(), st.text(max_size=3), st.floats(), st.sampled_from(["\ud800", "\udcff\ud800x"]),
    st.sampled_from([-2, -1, 0, 1, 25, 63, 64, 99, 100, 999, 1000, 30000, 60001, 65536, 65537, 1 << 31, 1 << 63, 10**400]),
    st.lists(st.none(), max_size=1), st.dictionaries(st.text(max_size=1), st.none(), max_size=1),
)  # fmt: skip
BODIES = st.one_of(
    st.binary(max_size=30),
    st.dictionaries(KEYS, VALUES, max_size=5).map(lambda values: json.dumps(values).encode()),
)
REFUSALS = re.compile(
    r"E_BAD_BODY IDENTIFY (failed to decode JSON body|"
    r"(heartbeat interval|output buffer timeout|output buffer size|sample rate|msg timeout) \(-?\d+\) is invalid)|"
    r"E_IDENTIFY_FAILED cannot enable both deflate and snappy compression"
)


@property_test()
@examples(600)
@given(BODIES)
@example(b"[" * 100_000)
@example(b'{"msg_timeout":1e3}')
@example(b'{"user_agent":"\\udc00"}')
def test_identify_agrees_on_something_possible_or_says_what_is_wrong(body: bytes) -> None:
    try:
        identity = Identity(body)
        settings = negotiate(identity, OPTIONS)
        granted = upgrade(identity, OPTIONS, Upgrade(), tls=True)
    except FatalError as e:
        text = str(e)
    else:
        assert settings.heartbeat_interval == 0 or 1000 <= settings.heartbeat_interval <= 60_000
        assert settings.output_buffer_timeout == 0 or 25 <= settings.output_buffer_timeout <= 30_000
        assert settings.output_buffer_size == 1 or 64 <= settings.output_buffer_size <= 65_536
        assert 0 <= settings.sample_rate <= 99
        assert 1000 <= settings.msg_timeout <= 30_000
        for shown in (settings.client_id, settings.hostname, settings.user_agent, settings.topology_zone):
            assert shown.encode().decode() == shown
        said = answer(identity, settings, granted, OPTIONS)
        assert said == b"OK" or json.loads(said)["msg_timeout"] == settings.msg_timeout
        return
    assert REFUSALS.fullmatch(text), text


# -- answers of auth servers -----------------------------------------------------------------------

ODD = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
PATTERNS = st.one_of(
    st.sampled_from(["", ".*", "^t$", "(", "a**", "[", r"\bt", "(?i)T", "t|", "t{3}"]), st.text(max_size=8)
)
ENTRIES = st.fixed_dictionaries(
    {},
    optional={
        "topic": PATTERNS | ODD,
        "Channels": st.lists(PATTERNS | ODD, max_size=3) | ODD,
        "permissions": st.lists(st.sampled_from(["publish", "subscribe", "x"]) | ODD, max_size=3) | ODD,
    },
)
ANSWERED = ODD | st.fixed_dictionaries(
    {},
    optional={
        "ttl": st.integers(-1, 1 << 70) | ODD,
        "IDENTITY": ODD,
        "identity_url": ODD,
        "authorizations": st.lists(ENTRIES | ODD, max_size=3) | ODD,
    },
)


@property_test()
@examples(500)
@given(answer=ANSWERED, name=st.sampled_from(["t", "ttt", "t#ephemeral"]))
def test_an_auth_server_s_answer_is_understood_or_refused(answer: object, name: str) -> None:
    try:
        permissions = parse(answer)
    except BadAnswer:
        return
    assert 0 < permissions.ttl <= LONGEST_TTL_S
    for command, channel in (("PUB", ""), ("SUB", "c")):
        allowed = permissions.allow(command, name, channel)
        assert not allowed or permissions.authorizations
