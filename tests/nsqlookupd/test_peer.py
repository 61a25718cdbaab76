"""What is accepted was compared with Go 1.19's encoding/json, field by field."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqlookupd.peer import BadPeer, Peer, decode_peer

REMOTE = "10.0.0.1:5"
FULL = {
    "version": "1.3.0",
    "tcp_port": 4150,
    "http_port": 4151,
    "hostname": "h",
    "broadcast_address": "b",
    "topology_zone": "z",
    "topology_region": "r",
}
REQUIRED = {"version": "1.3.0", "tcp_port": 4150, "http_port": 4151, "broadcast_address": "b"}


def decode(**changes: object) -> Peer:
    return decode_peer(json.dumps({**REQUIRED, **changes}).encode(), REMOTE)


def test_all_fields_are_read() -> None:
    assert decode_peer(json.dumps(FULL).encode(), REMOTE) == Peer(
        remote_address=REMOTE,
        hostname="h",
        broadcast_address="b",
        tcp_port=4150,
        http_port=4151,
        version="1.3.0",
        topology_zone="z",
        topology_region="r",
    )


def test_it_is_shown_in_the_originals_order() -> None:
    assert list(decode().as_json()) == [
        "remote_address",
        "hostname",
        "broadcast_address",
        "tcp_port",
        "http_port",
        "version",
        "topology_zone",
        "topology_region",
    ]


def test_a_node_is_named_by_its_http_port() -> None:
    assert decode().node == "b:4151"


def test_the_socket_knows_better_where_it_comes_from() -> None:
    assert decode(remote_address="1.2.3.4:9").remote_address == REMOTE


@pytest.mark.parametrize("missing", ["hostname", "topology_zone", "topology_region"])
def test_some_fields_may_be_absent(missing: str) -> None:
    assert getattr(decode(), missing) == ""


@pytest.mark.parametrize("missing", sorted(REQUIRED))
@pytest.mark.parametrize("how", ["absent", "null", "zero"])
def test_others_may_not(missing: str, how: str) -> None:
    fields: dict[str, object] = dict(REQUIRED)
    value = fields.pop(missing)
    if how != "absent":
        fields[missing] = None if how == "null" else type(value)()
    with pytest.raises(BadPeer):
        decode_peer(json.dumps(fields).encode(), REMOTE)


@pytest.mark.parametrize("body", [b"null", b"{}", b"  {}\n", b'{"x":{"version":"1"}}'])
def test_an_empty_object_lacks_fields(body: bytes) -> None:
    with pytest.raises(BadPeer):
        decode_peer(body, REMOTE)


@pytest.mark.parametrize(
    ("changes", "field", "value"),
    [
        ({"TCP_Port": 7}, "tcp_port", 7),
        ({"tcp_port": -5}, "tcp_port", -5),
        ({"http_port": 99999}, "http_port", 99999),
        ({"unknown": [1, {"a": None}]}, "version", "1.3.0"),
        ({"hostname": None}, "hostname", ""),
        ({"id": 3}, "version", "1.3.0"),
    ],
)
def test_go_takes_it_easy(changes: dict[str, object], field: str, value: object) -> None:
    assert getattr(decode(**changes), field) == value


@pytest.mark.parametrize(
    ("extra", "version"),
    [
        ('"version":"a","version":"b"', "b"),
        ('"version":"a","VERSION":"b"', "b"),
        ('"version":"a","version":null', "a"),
        ('"version":"a\\ud800b"', "a\ufffdb"),
        ('"version":"\\ud83d\\ude00"', "😀"),
    ],
)
def test_the_last_of_a_repeated_key_wins(extra: str, version: str) -> None:
    body = '{"tcp_port":1,"http_port":2,"broadcast_address":"b",' + extra + "}"
    assert decode_peer(body.encode(), REMOTE).version == version


def test_bytes_that_are_not_utf_8_are_replaced() -> None:
    body = b'{"tcp_port":1,"http_port":2,"broadcast_address":"b","version":"a\xffb"}'
    assert decode_peer(body, REMOTE).version == "a\ufffdb"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no",
        b"[]",
        b'"text"',
        b"3",
        b"true",
        b"{} x",
        b"{",
        b'{"x":NaN}',
        b'{"x":-Infinity}',
        b"\xef\xbb\xbf{}",
        b'{"version":"a\nb"}',
        b'{"version":1}',
        b'{"version":{}}',
        b'{"remote_address":3}',
        b'{"hostname":false}',
        b'{"tcp_port":"1"}',
        b'{"tcp_port":4150.0}',
        b'{"tcp_port":1e3}',
        b'{"tcp_port":true}',
        b'{"tcp_port":[]}',
        b'{"tcp_port":9223372036854775808}',
        b'{"tcp_port":-9223372036854775809}',
        b'{"tcp_port":' + b"9" * 5000 + b"}",
        b"[" * 500_000,
        b'{"a":' * 200_000,
        "{}".encode("utf-16"),
        "{}".encode("utf-32-le"),
    ],
)
def test_what_go_can_not_decode_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        decode_peer(body, REMOTE)


@given(st.binary() | st.text().map(lambda text: json.dumps({"version": text}).encode()))
def test_any_bytes_are_a_peer_or_one_of_the_promised_errors(body: bytes) -> None:
    with pytest.raises((ValueError, BadPeer)):  # a peer by chance is out of reach: four keys are required
        decode_peer(body, REMOTE)


@given(
    st.fixed_dictionaries(
        {
            "version": st.text(min_size=1),
            "broadcast_address": st.text(min_size=1),
            "tcp_port": st.integers(1, 65535),
            "http_port": st.integers(1, 65535),
        },
        optional={"hostname": st.text(), "topology_zone": st.text(), "topology_region": st.text()},
    )
)
def test_what_a_nsqd_says_is_what_is_shown(fields: dict[str, object]) -> None:
    shown = decode_peer(json.dumps(fields).encode(), REMOTE).as_json()
    assert {**shown, **fields} == shown
