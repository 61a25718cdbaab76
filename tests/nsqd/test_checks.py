"""The order and the words of what is checked at the start."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from nsqcore.durations import NS_PER_MS, Duration
from nsqcore.errors import StartError
from nsqd.checks import check
from nsqd.options import Options

# Wrong values in the order in which they are told of, and what is said.
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"max_deflate_level": 0}, "--max-deflate-level must be [1,9]"),
    ({"max_deflate_level": 10}, "--max-deflate-level must be [1,9]"),
    ({"node_id": -1}, "--node-id must be [0,1024)"),
    ({"node_id": 1024}, "--node-id must be [0,1024)"),
    ({"auth_http_request_method": "GET"}, "--auth-http-request-method must be post or get"),
    ({"auth_http_request_method": ""}, "--auth-http-request-method must be post or get"),
    *(
        ({"e2e_processing_latency_percentiles": [0.5, wrong]}, f"invalid E2E processing latency percentile: {shown}")
        for wrong, shown in ((0.0, "0"), (-1.0, "-1"), (1.5, "1.5"), (math.inf, "+Inf"), (math.nan, "NaN"))
    ),
    ({"mem_queue_size": -1}, "--mem-queue-size must be 0 or more"),
    ({"mem_queue_bytes": -1}, "--mem-queue-bytes must be 0 or more"),
    ({"sync_timeout": Duration(0)}, "--sync-timeout must be above 0"),
    ({"queue_scan_selection_count": -1}, "--queue-scan-selection-count must be 0 or more"),
    ({"output_buffer_timeout": Duration(0)}, "--output-buffer-timeout must be above 0"),
    (
        {"e2e_processing_latency_window_time": Duration(0)},
        "--e2e-processing-latency-window-time must be above 0",
    ),
    ({"statsd_address": "127.0.0.1:8125", "statsd_interval": Duration(0)}, "--statsd-interval must be 1ms or more"),
    (
        {"statsd_address": "127.0.0.1:8125", "statsd_interval": Duration(999_999)},
        "--statsd-interval must be 1ms or more",
    ),
]  # fmt: skip

RIGHT: list[dict[str, Any]] = [
    {},
    {"max_deflate_level": 1, "node_id": 0},
    {"max_deflate_level": 9, "node_id": 1023},
    {"auth_http_request_method": "post"},
    {"e2e_processing_latency_percentiles": [1.0, 1e-9]},
    {"mem_queue_size": 0, "sync_every": -1, "max_bytes_per_file": 0, "sync_timeout": Duration(1)},
    {"queue_scan_selection_count": 0, "queue_scan_worker_pool_max": -1},
    {"msg_timeout": Duration(1), "max_msg_timeout": Duration(1), "max_req_timeout": Duration(0)},
    {"msg_timeout": Duration(-1), "max_msg_timeout": Duration(0), "max_req_timeout": Duration(-1)},
    {"max_msg_size": 1, "max_body_size": 1, "max_rdy_count": 1, "output_buffer_timeout": Duration(1)},
    {"max_msg_size": 0, "max_body_size": -1, "max_rdy_count": 0, "max_channel_consumers": -1},
    {"statsd_interval": Duration(0)},
    {"statsd_address": "127.0.0.1:8125", "statsd_interval": Duration(NS_PER_MS)},
    {"broadcast_tcp_port": -1, "broadcast_address": "", "statsd_udp_packet_size": 0},
]


@pytest.mark.parametrize(("values", "text"), WRONG)
def test_what_could_not_work_is_told_with_its_limit(values: dict[str, Any], text: str) -> None:
    with pytest.raises(StartError) as refused:
        check(replace(Options(), **values))
    assert str(refused.value) == text
    assert refused.value.task == ""


@pytest.mark.parametrize("values", RIGHT)
def test_what_works_is_taken(values: dict[str, Any]) -> None:
    check(replace(Options(), **values))


def test_of_several_mistakes_the_first_is_told() -> None:
    options = Options()
    for values, text in reversed(WRONG):
        options = replace(options, **values)
        with pytest.raises(StartError) as refused:
            check(options)
        assert str(refused.value) == text
