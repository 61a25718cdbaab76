"""Protocol V1 without a network: every error text, every cut of the input, and random input."""

from __future__ import annotations

import logging
import re
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqlookupd.registry import Registry
from nsqlookupd.state import MAX_BODY, MAX_LINE, Session
from tests.support.lookup import identify, identify_with, split_answers

GREETING = b'{"greeting":true}'
MAGIC = b"  V1"
REMOTE = "10.0.0.1:5"


def make() -> Session:
    registry = Registry(inactive_after=10**9, tombstone_for=10**9, clock=lambda: 7)
    return Session(registry, REMOTE, GREETING)


def answers_to(session: Session, data: bytes) -> list[bytes]:
    answers, rest = split_answers(session.feed(data))
    assert rest == b""
    return answers


def log_of(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.levelname, record.getMessage()) for record in caplog.records]


# ---- what goes well ----

GOOD = [
    (b"PING\n", [b"OK"]),
    (b"PING with more\n", [b"OK"]),
    (b"  PING\t\r\n", [b"OK"]),
    (identify(), [GREETING]),
    (identify() + b"PING\n", [GREETING, b"OK"]),
    (identify() + b"REGISTER t c\r\nREGISTER t c\nREGISTER u\n", [GREETING, b"OK", b"OK", b"OK"]),
    (identify() + b"REGISTER t#ephemeral c#ephemeral more words\n", [GREETING, b"OK"]),
    (identify() + b"UNREGISTER t c\nUNREGISTER u\n", [GREETING, b"OK", b"OK"]),
    (b"PING\n" + identify() + b"PING\n", [b"OK", GREETING, b"OK"]),
    (b"IDENTIFY more words\n" + identify()[len(b"IDENTIFY\n") :], [GREETING]),
]


@pytest.mark.parametrize(("data", "answers"), GOOD)
def test_commands_that_arrive_together_are_answered_in_order(data: bytes, answers: list[bytes]) -> None:
    session = make()
    assert answers_to(session, MAGIC + data) == answers
    assert not session.over


@pytest.mark.parametrize(("data", "answers"), GOOD)
def test_commands_that_arrive_byte_by_byte_are_too(data: bytes, answers: list[bytes]) -> None:
    session, found = make(), []
    for byte in MAGIC + data:
        found += answers_to(session, bytes([byte]))
    assert found == answers


@pytest.mark.parametrize(("data", "answers"), GOOD)
@pytest.mark.parametrize("cut", [1, 3])
def test_a_tail_waits_for_its_rest(data: bytes, answers: list[bytes], cut: int) -> None:
    session = make()
    assert answers_to(session, MAGIC + data + b"PING\n"[:cut]) == answers
    assert answers_to(session, b"PING\n"[cut:]) == [b"OK"]


def test_two_blanks_make_an_empty_channel_so_the_topic_alone_is_meant() -> None:
    session = make()
    answers_to(session, MAGIC + identify() + b"REGISTER t  c\n")
    assert session.registry.topics() == ["t"]
    assert session.registry.channels("t") == []


# ---- what does not ----

REFUSED = [
    (b"FOO\n", b"E_INVALID invalid command FOO"),
    (b"ping\n", b"E_INVALID invalid command ping"),
    (b"\n", b"E_INVALID invalid command "),
    (b" \r\n", b"E_INVALID invalid command "),
    (b"F\xff\x00O x\n", b"E_INVALID invalid command F\xff\x00O"),
    (b"PINGPONG\n", b"E_INVALID invalid command PINGPONG"),
    (identify() + b"IDENTIFY\n", b"E_INVALID cannot IDENTIFY again"),
    (b"REGISTER t c\n", b"E_INVALID client must IDENTIFY"),
    (b"REGISTER\n", b"E_INVALID client must IDENTIFY"),
    (b"UNREGISTER bad$t\n", b"E_INVALID client must IDENTIFY"),
    (identify() + b"REGISTER\n", b"E_INVALID REGISTER insufficient number of params"),
    (identify() + b"REGISTER \n", b"E_INVALID REGISTER insufficient number of params"),
    (identify() + b"UNREGISTER\n", b"E_INVALID UNREGISTER insufficient number of params"),
    (identify() + b"REGISTER bad$t\n", b"E_BAD_TOPIC REGISTER topic name 'bad$t' is not valid"),
    (identify() + b"REGISTER  t\n", b"E_BAD_TOPIC REGISTER topic name '' is not valid"),
    (identify() + b"REGISTER t\xff\n", b"E_BAD_TOPIC REGISTER topic name 't\xff' is not valid"),
    (identify() + b"REGISTER *\n", b"E_BAD_TOPIC REGISTER topic name '*' is not valid"),
    (identify() + b"UNREGISTER bad$t c\n", b"E_BAD_TOPIC UNREGISTER topic name 'bad$t' is not valid"),
    (identify() + b"REGISTER t bad$c\n", b"E_BAD_CHANNEL REGISTER channel name 'bad$c' is not valid"),
    (identify() + b"UNREGISTER t bad$c\n", b"E_BAD_CHANNEL UNREGISTER channel name 'bad$c' is not valid"),
    (identify_with(b"no"), b"E_BAD_BODY IDENTIFY failed to decode JSON body"),
    (identify_with(b""), b"E_BAD_BODY IDENTIFY failed to decode JSON body"),
    (identify(tcp_port="1"), b"E_BAD_BODY IDENTIFY failed to decode JSON body"),
    (identify_with(b"null"), b"E_BAD_BODY IDENTIFY missing fields"),
    (identify(version=""), b"E_BAD_BODY IDENTIFY missing fields"),
    (identify(tcp_port=0), b"E_BAD_BODY IDENTIFY missing fields"),
    (identify(http_port=None), b"E_BAD_BODY IDENTIFY missing fields"),
    (identify(broadcast_address=""), b"E_BAD_BODY IDENTIFY missing fields"),
    (b"IDENTIFY\n\xff\xff\xff\xff", b"E_BAD_BODY IDENTIFY body size -1 is not in 0 to 1048576"),
    (b"IDENTIFY\n\x80\0\0\0", b"E_BAD_BODY IDENTIFY body size -2147483648 is not in 0 to 1048576"),
    (b"IDENTIFY\n\x7f\xff\xff\xff", b"E_BAD_BODY IDENTIFY body size 2147483647 is not in 0 to 1048576"),
    (
        b"IDENTIFY\n" + pack(">i", MAX_BODY + 1),
        b"E_BAD_BODY IDENTIFY body size 1048577 is not in 0 to 1048576",
    ),
    (b"x" * MAX_LINE, b"E_INVALID command line exceeds 16384 bytes"),
    (b"PING" + b" " * MAX_LINE + b"\n", b"E_INVALID command line exceeds 16384 bytes"),
]


@pytest.mark.parametrize(("data", "error"), REFUSED)
def test_an_error_is_the_last_answer_and_the_client_is_forgotten(data: bytes, error: bytes) -> None:
    session = make()
    assert answers_to(session, MAGIC + data + b"PING\nPING\n")[-1] == error
    assert session.over
    assert session.registry.dump() == {}
    assert session.feed(b"PING\n") == b""
    assert session.feed_eof() == b""


@pytest.mark.parametrize(("data", "error"), REFUSED)
def test_an_error_that_arrives_byte_by_byte_is_the_same(data: bytes, error: bytes) -> None:
    session, found = make(), []
    for byte in MAGIC + data:
        found += answers_to(session, bytes([byte]))
    assert found[-1] == error


@pytest.mark.parametrize("magic", [b"  V2", b"PING", b"GET ", b"\0\0\0\0", b"  v1"])
def test_a_wrong_magic_is_answered_with_a_bare_code(magic: bytes) -> None:
    session = make()
    assert answers_to(session, magic + b"PING\n") == [b"E_BAD_PROTOCOL"]
    assert session.over
    assert not session.greeted


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"IDENTIFY\n", b"E_BAD_BODY IDENTIFY failed to read body size"),
        (b"IDENTIFY\n\0\0\0", b"E_BAD_BODY IDENTIFY failed to read body size"),
        (b"IDENTIFY\n\0\0\0\5", b"E_BAD_BODY IDENTIFY failed to read body"),
        (b"IDENTIFY\n\0\0\0\5{}  ", b"E_BAD_BODY IDENTIFY failed to read body"),
    ],
)
def test_an_identify_that_breaks_off_is_answered(data: bytes, error: bytes) -> None:
    session = make()
    assert session.feed(MAGIC + data) == b""
    assert split_answers(session.feed_eof()) == ([error], b"")


@pytest.mark.parametrize("data", [b"", b"  V", MAGIC, MAGIC + b"PING", MAGIC + identify()])
def test_an_end_anywhere_else_is_answered_with_nothing(data: bytes) -> None:
    session = make()
    session.feed(data)
    assert session.feed_eof() == b""


def test_the_longest_line_and_body_are_taken() -> None:
    session = make()
    line = b"PING".ljust(MAX_LINE - 1) + b"\n"
    body = identify()[13:].ljust(MAX_BODY)
    assert answers_to(session, MAGIC + line + identify_with(body)) == [b"OK", GREETING]


def test_a_long_line_is_refused_before_its_end_has_come() -> None:
    session = make()
    assert answers_to(session, MAGIC + b"x" * (MAX_LINE - 1)) == []
    assert answers_to(session, b"x") == [b"E_INVALID command line exceeds 16384 bytes"]


# ---- the log ----


def test_the_log_tells_a_life_in_the_originals_words(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    session = make()
    session.feed(MAGIC + identify() + b"REGISTER t c\nREGISTER t c\nPING\nUNREGISTER t c\nREGISTER t d\n")
    session.feed(b"UNREGISTER t\nUNREGISTER t\nREGISTER u\n")
    session.end()
    session.end()
    assert log_of(caplog) == [
        ("INFO", "CLIENT(10.0.0.1:5): desired protocol magic '  V1'"),
        ("INFO", "CLIENT(10.0.0.1:5): IDENTIFY Address:b TCP:4150 HTTP:4151 Version:1.3.0"),
        ("INFO", "DB: client(10.0.0.1:5) REGISTER category:client key: subkey:"),
        ("INFO", "DB: client(10.0.0.1:5) REGISTER category:channel key:t subkey:c"),
        ("INFO", "DB: client(10.0.0.1:5) REGISTER category:topic key:t subkey:"),
        ("DEBUG", "CLIENT(10.0.0.1:5): pinged (last ping 0s)"),
        ("INFO", "DB: client(10.0.0.1:5) UNREGISTER category:channel key:t subkey:c"),
        ("INFO", "DB: client(10.0.0.1:5) REGISTER category:channel key:t subkey:d"),
        ("WARNING", "client(10.0.0.1:5) unexpected UNREGISTER category:channel key:t subkey:d"),
        ("INFO", "DB: client(10.0.0.1:5) UNREGISTER category:topic key:t subkey:"),
        ("INFO", "DB: client(10.0.0.1:5) REGISTER category:topic key:u subkey:"),
        ("INFO", "DB: client(10.0.0.1:5) UNREGISTER category:client key: subkey:"),
        ("INFO", "DB: client(10.0.0.1:5) UNREGISTER category:topic key:u subkey:"),
    ]


def test_an_error_is_logged_once_with_its_cause(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    make().feed(MAGIC + b"FOO\n")
    make().feed(MAGIC + identify(tcp_port="1"))
    make().feed(b"  V2")
    assert log_of(caplog) == [
        ("ERROR", "[10.0.0.1:5] - E_INVALID invalid command FOO"),
        (
            "ERROR",
            "[10.0.0.1:5] - E_BAD_BODY IDENTIFY failed to decode JSON body - tcp_port has a wrong type",
        ),
        ("ERROR", "client(10.0.0.1:5) bad protocol magic '  V2'"),
    ]


def test_a_long_command_is_cut_in_the_log_but_not_in_the_answer(caplog: pytest.LogCaptureFixture) -> None:
    (answer,) = answers_to(make(), MAGIC + b"x" * 5000 + b"\n")
    assert answer == b"E_INVALID invalid command " + b"x" * 5000
    assert len(caplog.messages[-1]) < 250
    assert caplog.messages[-1].endswith("xxx...")


@pytest.mark.parametrize(
    ("data", "level", "reason"), [(b"", "INFO", "EOF"), (b"  V", "ERROR", "unexpected EOF")]
)
def test_an_end_before_the_magic_is_only_an_error_when_something_was_begun(
    data: bytes, level: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    session = make()
    session.feed(data)
    session.feed_eof()
    assert log_of(caplog) == [(level, f"failed to read protocol version - {reason}")]


# ---- anything ----

NAMES = st.sampled_from([b"t", b"c", b"t#ephemeral", b"bad$", b"", b"*", b"x" * 65])
LINES = st.builds(
    lambda verb, words, end: b" ".join((verb, *words)) + end,
    st.sampled_from([b"PING", b"REGISTER", b"UNREGISTER", b"IDENTIFY", b"FOO", b""]),
    st.lists(NAMES, max_size=3),
    st.sampled_from([b"\n", b"\r\n", b""]),
)
PIECES = LINES | st.just(identify()) | st.binary(max_size=12) | st.binary(max_size=30).map(identify_with)
INPUTS = st.builds(
    lambda magic, pieces: magic + b"".join(pieces),
    st.sampled_from([MAGIC, MAGIC, MAGIC + identify(), MAGIC + identify(), b""]),
    st.lists(PIECES, max_size=8),
)
DOCUMENTED = re.compile(
    rb"OK|" + re.escape(GREETING) + rb"|E_BAD_PROTOCOL"
    rb"|E_INVALID (invalid command .*|cannot IDENTIFY again|client must IDENTIFY"
    rb"|(UN)?REGISTER insufficient number of params|command line exceeds \d+ bytes)"
    rb"|E_BAD_(TOPIC (UN)?REGISTER topic|CHANNEL (UN)?REGISTER channel) name '.*' is not valid"
    rb"|E_BAD_BODY IDENTIFY (failed to read body( size)?|failed to decode JSON body|missing fields"
    rb"|body size -?\d+ is not in 0 to \d+)",
    re.DOTALL,
)


@given(INPUTS, st.data())
def test_any_input_in_any_pieces_gets_the_same_documented_answers(data: bytes, draw: st.DataObject) -> None:
    whole, pieces = make(), make()
    expected = whole.feed(data) + whole.feed_eof()
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(data)), max_size=5)))
    found = b""
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        found += pieces.feed(data[start:end])
    assert found + pieces.feed_eof() == expected
    assert pieces.registry.dump().keys() == whole.registry.dump().keys()

    answers, rest = split_answers(expected)
    assert rest == b""
    assert all(DOCUMENTED.fullmatch(answer) for answer in answers)
    assert all(not answer.startswith(b"E_") for answer in answers[:-1]), "an error is the last answer"
    whole.end()
    assert whole.registry.dump() == {}
    assert whole.registry.nodes() == []
