"""What a client may ask for in IDENTIFY, and what it is told. Pure."""

from __future__ import annotations

import json

import pytest

from nsqcore.durations import Duration
from nsqd.client import Upgrade
from nsqd.errors import FatalError
from nsqd.options import Options
from nsqd.protocol.identify import Identity, answer, default_settings, negotiate

OPTIONS = Options(
    max_heartbeat_interval=Duration.parse("10s"),
    max_output_buffer_size=1000,
    min_output_buffer_timeout=Duration.parse("20ms"),
    max_output_buffer_timeout=Duration.parse("3s"),
    output_buffer_timeout=Duration.parse("300ms"),
    msg_timeout=Duration.parse("5s"),
    max_msg_timeout=Duration.parse("30s"),
    max_rdy_count=77,
    topology_region="eu",
    topology_zone="a&b",
)


def identity(**values: object) -> Identity:
    return Identity(json.dumps(values).encode())


def refusal(**values: object) -> str:
    with pytest.raises(FatalError) as e:
        negotiate(identity(**values), OPTIONS)
    return str(e.value)


@pytest.mark.parametrize(
    ("key", "asked", "given"),
    [
        ("heartbeat_interval", 0, 30000),
        ("heartbeat_interval", -1, 0),
        ("heartbeat_interval", 1000, 1000),
        ("heartbeat_interval", 10000, 10000),
        ("output_buffer_timeout", 0, 300),
        ("output_buffer_timeout", -1, 0),
        ("output_buffer_timeout", 20, 20),
        ("output_buffer_timeout", 3000, 3000),
        ("output_buffer_size", 0, 16384),
        ("output_buffer_size", -1, 1),
        ("output_buffer_size", 64, 64),
        ("output_buffer_size", 1000, 1000),
        ("sample_rate", 0, 0),
        ("sample_rate", 99, 99),
        ("msg_timeout", 0, 5000),
        ("msg_timeout", 1000, 1000),
        ("msg_timeout", 30000, 30000),
        ("client_id", "me", "me"),
        ("hostname", "", ""),
        ("user_agent", "me/1 \u00e9", "me/1 \u00e9"),
        ("topology_zone", "z", "z"),
    ],
)
def test_what_is_within_the_limits_is_granted(key: str, asked: object, given: object) -> None:
    assert getattr(negotiate(identity(**{key: asked}), OPTIONS), key) == given


@pytest.mark.parametrize(
    ("key", "asked", "words"),
    [
        ("heartbeat_interval", 999, "heartbeat interval (999)"),
        ("heartbeat_interval", 10001, "heartbeat interval (10001)"),
        ("heartbeat_interval", -2, "heartbeat interval (-2)"),
        ("output_buffer_timeout", 19, "output buffer timeout (19)"),
        ("output_buffer_timeout", 3001, "output buffer timeout (3001)"),
        ("output_buffer_timeout", -2, "output buffer timeout (-2)"),
        ("output_buffer_size", 63, "output buffer size (63)"),
        ("output_buffer_size", 1001, "output buffer size (1001)"),
        ("output_buffer_size", -2, "output buffer size (-2)"),
        ("sample_rate", -1, "sample rate (-1)"),
        ("sample_rate", 100, "sample rate (100)"),
        ("msg_timeout", -1, "msg timeout (-1)"),
        ("msg_timeout", 999, "msg timeout (999)"),
        ("msg_timeout", 30001, "msg timeout (30001)"),
    ],
)
def test_what_is_beyond_the_limits_is_refused(key: str, asked: int, words: str) -> None:
    assert refusal(**{key: asked}) == f"E_BAD_BODY IDENTIFY {words} is invalid"


def test_the_first_bad_value_in_the_originals_order_is_named() -> None:
    bad: dict[str, object] = {
        "msg_timeout": 1,
        "sample_rate": 100,
        "output_buffer_size": 1,
        "output_buffer_timeout": 1,
        "heartbeat_interval": 1,
    }
    named = []
    while bad:
        named.append(refusal(**bad).removeprefix("E_BAD_BODY IDENTIFY ").partition(" (")[0])
        bad.pop(named[-1].replace(" ", "_"))
    assert named == [
        "heartbeat interval",
        "output buffer timeout",
        "output buffer size",
        "sample rate",
        "msg timeout",
    ]


def test_an_unbuffered_client_has_no_buffer_timeout_either() -> None:
    settings = negotiate(identity(output_buffer_size=-1, output_buffer_timeout=1000), OPTIONS)
    assert (settings.output_buffer_size, settings.output_buffer_timeout) == (1, 0)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'"text"',
        b"3",
        b"true",
        b"{",
        b"{}x",
        b"{'a':1}",
        b"\xff",
        b"[" * 100_000,
        b'{"heartbeat_interval":"1000"}',
        b'{"heartbeat_interval":1000.5}',
        b'{"heartbeat_interval":true}',
        b'{"client_id":7}',
        b'{"feature_negotiation":1}',
        b'{"snappy":"yes"}',
        b'{"deflate_level":"6"}',
        b'{"sample_rate":[]}',
    ],
)
def test_what_can_not_be_decoded_is_refused(body: bytes) -> None:
    with pytest.raises(FatalError) as e:
        negotiate(Identity(body), OPTIONS)
    assert str(e.value) == "E_BAD_BODY IDENTIFY failed to decode JSON body"


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"null",
        b' {"x":{"y":[1.5,null]}} ',
        b'{"client_id":null,"heartbeat_interval":null,"deflate":null}',
    ],
)
def test_null_and_unknown_keys_are_as_if_absent(body: bytes) -> None:
    assert negotiate(Identity(body), OPTIONS) == negotiate(identity(), OPTIONS)


def test_keys_match_in_any_letter_case() -> None:
    settings = negotiate(identity(Client_ID="c", HEARTBEAT_INTERVAL=2000), OPTIONS)
    assert (settings.client_id, settings.heartbeat_interval) == ("c", 2000)


def test_bytes_that_are_not_utf_8_are_taken_for_replacement_characters() -> None:
    assert negotiate(Identity(b'{"client_id":"\xff"}'), OPTIONS).client_id == "\ufffd"


def test_a_client_is_named_by_its_address_until_it_names_itself() -> None:
    before = default_settings(OPTIONS, "10.0.0.1")
    assert (before.client_id, before.hostname) == ("10.0.0.1", "10.0.0.1")
    assert (before.heartbeat_interval, before.msg_timeout, before.output_buffer_timeout) == (30000, 5000, 300)
    after = negotiate(identity(), OPTIONS)
    assert (after.client_id, after.hostname) == ("", "")


def test_without_negotiation_the_answer_is_ok() -> None:
    for who in (identity(), identity(feature_negotiation=False, snappy=True)):
        assert answer(who, negotiate(who, OPTIONS), Upgrade(), OPTIONS) == b"OK"


def test_the_answer_to_a_client_that_asks_for_nothing_is_the_originals_to_the_byte() -> None:
    who, options = identity(feature_negotiation=True), Options()
    assert answer(who, negotiate(who, options), Upgrade(), options) == (
        b'{"max_rdy_count":2500,"version":"1.3.0","max_msg_timeout":900000,"msg_timeout":60000,"tls_v1":false,'
        b'"deflate":false,"deflate_level":6,"max_deflate_level":6,"snappy":false,"sample_rate":0,'
        b'"auth_required":false,"output_buffer_size":16384,"output_buffer_timeout":250,"topology_region":"",'
        b'"topology_zone":""}'
    )


def test_the_answer_tells_the_clients_values_and_the_servers_place() -> None:
    who = identity(
        feature_negotiation=True,
        msg_timeout=1500,
        sample_rate=7,
        output_buffer_size=-1,
        topology_region="elsewhere",
        tls_v1=True,
        snappy=True,
        deflate=True,
        deflate_level=3,
    )
    assert answer(who, negotiate(who, OPTIONS), Upgrade(), OPTIONS) == (
        b'{"max_rdy_count":77,"version":"1.3.0","max_msg_timeout":30000,"msg_timeout":1500,"tls_v1":false,'
        b'"deflate":false,"deflate_level":6,"max_deflate_level":6,"snappy":false,"sample_rate":7,'
        b'"auth_required":false,"output_buffer_size":1,"output_buffer_timeout":0,"topology_region":"eu",'
        b'"topology_zone":"a\\u0026b"}'
    )


@pytest.mark.parametrize("asked", [-3, 0, 1, 6, 9])
def test_a_deflate_level_is_not_taken_over_when_deflate_is_not_granted(asked: int) -> None:
    who = identity(feature_negotiation=True, deflate_level=asked)
    assert json.loads(answer(who, negotiate(who, OPTIONS), Upgrade(), OPTIONS))["deflate_level"] == 6


@pytest.mark.parametrize("body", [b'{"sample_rate":2147483648}', b'{"msg_timeout":9223372036854775808}'])
def test_numbers_that_go_can_not_hold_are_no_json_to_it(body: bytes) -> None:
    with pytest.raises(FatalError, match="E_BAD_BODY IDENTIFY failed to decode JSON body"):
        negotiate(Identity(body), OPTIONS)
