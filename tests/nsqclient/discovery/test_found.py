from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqclient.discovery.found import MOST_NODES, FoundNode, read_found
from nsqcore.addresses import parse_host_port

ENTRY = {
    "remote_address": "127.0.0.1:59830",
    "hostname": "h",
    "broadcast_address": "bhost",
    "tcp_port": 4150,
    "http_port": 4151,
    "version": "1.3.0",
    "topology_zone": "z",
    "topology_region": "r",
    "tombstones": [False, True],
    "topics": ["kept", "removed"],
}


def test_an_entry_is_read_whole() -> None:
    nodes, left_out = read_found({"producers": [ENTRY]})
    assert left_out == 0
    assert nodes == [
        FoundNode(
            address="bhost:4150",
            broadcast_address="bhost",
            tcp_port=4150,
            http_port=4151,
            hostname="h",
            version="1.3.0",
            zone="z",
            region="r",
            topics=frozenset({"kept", "removed"}),
            tombstones=frozenset({"removed"}),
        )
    ]


def test_before_1_0_the_answer_was_wrapped() -> None:
    assert read_found({"status_code": 200, "data": {"producers": [ENTRY]}}) == read_found(
        {"producers": [ENTRY]}
    )


def test_an_ipv6_address_gets_its_brackets() -> None:
    [node], _ = read_found({"producers": [ENTRY | {"broadcast_address": "2001:db8::7"}]})
    assert node.address == "[2001:db8::7]:4150"


@pytest.mark.parametrize(
    "change",
    [
        {"broadcast_address": ""},
        {"broadcast_address": None},
        {"broadcast_address": 7},
        {"broadcast_address": "a b"},
        {"broadcast_address": "a\0b"},
        {"broadcast_address": "a\n"},
        {"broadcast_address": "a/b"},
        {"broadcast_address": "[::1]"},
        {"broadcast_address": "x" * 300},
        {"tcp_port": 0},
        {"tcp_port": 65536},
        {"tcp_port": -1},
        {"tcp_port": True},
        {"tcp_port": "4150"},
        {"tcp_port": 4150.0},
        {"tcp_port": None},
    ],
)
def test_what_can_not_be_connected_to_is_left_out(change: dict[str, Any]) -> None:
    nodes, left_out = read_found({"producers": [ENTRY | change, ENTRY, "x", None]})
    assert [node.address for node in nodes] == ["bhost:4150"]
    assert left_out == 3


@pytest.mark.parametrize(
    "change",
    [
        {"topics": None, "tombstones": "x"},
        {"topics": [1, 2], "tombstones": [True, True]},
        {"topics": ["a"], "tombstones": [1]},
        {"topics": [], "tombstones": [True] * 5},
        {"http_port": 70000, "version": 7, "hostname": None, "topology_zone": [], "topology_region": {}},
    ],
)
def test_details_that_make_no_sense_do_not_count(change: dict[str, Any]) -> None:
    [node], left_out = read_found({"producers": [ENTRY | change]})
    assert left_out == 0
    assert node.tombstones <= {"removed"}


@pytest.mark.parametrize(
    "answer", [None, [], 7, "x", {}, {"producers": None}, {"producers": {}}, {"data": []}]
)
def test_what_is_no_answer_is_refused(answer: object) -> None:
    with pytest.raises(ValueError, match="not a nsqlookupd's"):
        read_found(answer)


def test_there_is_a_bound_to_what_is_believed() -> None:
    nodes, left_out = read_found(
        {"producers": [ENTRY | {"broadcast_address": f"h{n}"} for n in range(MOST_NODES + 5)]}
    )
    assert (len(nodes), left_out) == (MOST_NODES, 5)


def test_two_tell_of_the_same_nsqd() -> None:
    one, two = (
        FoundNode("a:1", "a", 1, tombstones=frozenset("x")),
        FoundNode("a:1", "a", 1, topics=frozenset("y")),
    )
    assert one.joined(two) == FoundNode("a:1", "a", 1, topics=frozenset("y"), tombstones=frozenset("x"))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(sorted(ENTRY)), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(st.lists(_JSON | st.fixed_dictionaries({"broadcast_address": st.text(), "tcp_port": st.integers()})))
def test_whatever_is_told_only_addresses_come_out(entries: list[object]) -> None:
    nodes, left_out = read_found(json.loads(json.dumps({"producers": entries})))
    assert len(nodes) + left_out == len(entries)
    for node in nodes:
        host, port = parse_host_port(node.address)
        assert (host, port) == (node.broadcast_address, node.tcp_port)
        assert host.isprintable()
        assert 0 < port < 65536
