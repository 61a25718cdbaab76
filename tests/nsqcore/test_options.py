from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import pytest

from nsqcore.errors import StartError
from nsqcore.options import ABOVE_ZERO, Flag, Limit, at_least, check_limits, flags_of, option


@dataclass
class Options:
    size: int = option(5, "a size", limit=at_least(0))
    share: int = option(1, "a share", flag="the-share", limit=ABOVE_ZERO)
    node_id: int = option(7, "the node", key="id", limit=Limit("[0,10)", lambda n: 0 <= n < 10))
    name: str = option("", "a name")


@pytest.mark.parametrize("values", [{}, {"size": 0}, {"share": 1}, {"node_id": 0}, {"node_id": 9}])
def test_values_within_their_limits_pass(values: dict[str, Any]) -> None:
    check_limits(dataclasses.replace(Options(), **values))


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"size": -1}, "--size must be 0 or more"),
        ({"share": 0}, "--the-share must be above 0"),
        ({"node_id": 10}, "--node-id must be [0,10)"),
        ({"node_id": -1, "size": -1}, "--size must be 0 or more"),
    ],
)
def test_the_first_value_beyond_its_limit_is_refused_by_its_flag(values: dict[str, Any], text: str) -> None:
    with pytest.raises(StartError) as refused:
        check_limits(dataclasses.replace(Options(), **values))
    assert str(refused.value) == text


def test_some_limits_can_be_checked_before_the_others() -> None:
    options = Options(size=-1, node_id=10)
    with pytest.raises(StartError, match="--node-id"):
        check_limits(options, "node_id")
    check_limits(options, "share")


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("id", "ID"),
        ("msg_timeout", "MsgTimeout"),
        ("tcp_address", "TCPAddress"),
        ("nsqlookupd_tcp_addresses", "NSQLookupdTCPAddresses"),
        ("auth_http_request_method", "AuthHTTPRequestMethod"),
        ("statsd_udp_packet_size", "StatsdUDPPacketSize"),
        ("e2e_processing_latency_percentiles", "E2EProcessingLatencyPercentiles"),
        ("tls_root_ca_file", "TLSRootCAFile"),
        ("snappy", "SnappyEnabled"),
        ("deflate", "DeflateEnabled"),
    ],
)
def test_a_setting_has_the_originals_name(key: str, name: str) -> None:
    @dataclass
    class One:
        field: str = option("", "a name", key=key)

    assert [flag.go_name for flag in flags_of(One)] == [name]


def test_a_plain_field_is_no_flag() -> None:
    @dataclass
    class Mixed:
        counter: int = 0
        name: str = option("", "a name")

    assert [flag.name for flag in flags_of(Mixed)] == ["name"]
    assert all(isinstance(flag, Flag) for flag in flags_of(Mixed))
