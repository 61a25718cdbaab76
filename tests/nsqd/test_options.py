"""nsqd's flags and keys: names and defaults are the original's; what can't be meant is refused at once."""

from __future__ import annotations

import hashlib
import socket
import zlib
from pathlib import Path

import pytest

from nsqcore.process_memory import usable_bytes
from nsqcore.version import banner
from nsqd.options import Options, TlsRequired, TlsVersion, command_line

# Flag, TOML key, a value to give, the option's name, the default, the value's effect.
FLAGS: list[tuple[str, str, str, str, object, object]] = [
    ("log-level", "log_level", "debug", "log_level", "INFO", "debug"),
    ("log-prefix", "log_prefix", "x", "log_prefix", "[nsqd] ", "x"),
    ("tcp-address", "tcp_address", ":1", "tcp_address", "0.0.0.0:4150", ":1"),
    ("http-address", "http_address", "", "http_address", "0.0.0.0:4151", ""),
    ("broadcast-address", "broadcast_address", "x", "broadcast_address", socket.gethostname(), "x"),
    ("broadcast-tcp-port", "broadcast_tcp_port", "1", "broadcast_tcp_port", 0, 1),
    ("broadcast-http-port", "broadcast_http_port", "1", "broadcast_http_port", 0, 1),
    ("lookupd-tcp-address", "nsqlookupd_tcp_addresses", "a:1", "nsqlookupd_tcp_addresses", [], ["a:1"]),
    ("http-client-connect-timeout", "http_client_connect_timeout", "1s", "http_client_connect_timeout", 2e9, 1e9),
    ("http-client-request-timeout", "http_client_request_timeout", "1s", "http_client_request_timeout", 5e9, 1e9),
    ("topology-region", "topology_region", "x", "topology_region", "", "x"),
    ("topology-zone", "topology_zone", "x", "topology_zone", "", "x"),
    ("data-path", "data_path", "x", "data_path", "", "x"),
    ("mem-queue-size", "mem_queue_size", "0", "mem_queue_size", 10000, 0),
    ("mem-queue-bytes", "mem_queue_bytes", "1", "mem_queue_bytes", 0, 1),
    ("max-bytes-per-file", "max_bytes_per_file", "1", "max_bytes_per_file", 104857600, 1),
    ("sync-every", "sync_every", "0", "sync_every", 2500, 0),
    ("sync-timeout", "sync_timeout", "1ms", "sync_timeout", 2e9, 1e6),
    ("msg-timeout", "msg_timeout", "1h15m", "msg_timeout", 60e9, 4500e9),
    ("max-msg-timeout", "max_msg_timeout", "1s", "max_msg_timeout", 900e9, 1e9),
    ("max-msg-size", "max_msg_size", "16", "max_msg_size", 1048576, 16),
    ("max-req-timeout", "max_req_timeout", "0", "max_req_timeout", 3600e9, 0),
    ("max-body-size", "max_body_size", "1000", "max_body_size", 5242880, 1000),
    ("max-heartbeat-interval", "max_heartbeat_interval", "1s", "max_heartbeat_interval", 60e9, 1e9),
    ("max-rdy-count", "max_rdy_count", "1", "max_rdy_count", 2500, 1),
    ("max-output-buffer-size", "max_output_buffer_size", "64", "max_output_buffer_size", 65536, 64),
    ("max-output-buffer-timeout", "max_output_buffer_timeout", "1s", "max_output_buffer_timeout", 30e9, 1e9),
    ("min-output-buffer-timeout", "min_output_buffer_timeout", "1ms", "min_output_buffer_timeout", 25e6, 1e6),
    ("output-buffer-timeout", "output_buffer_timeout", "1s", "output_buffer_timeout", 250e6, 1e9),
    ("max-channel-consumers", "max_channel_consumers", "1", "max_channel_consumers", 0, 1),
    ("log-format", "log_format", "json", "log_format", "text", "json"),
    ("https-address", "https_address", ":1", "https_address", "0.0.0.0:4152", ":1"),
    ("auth-http-address", "auth_http_addresses", "a:1", "auth_http_addresses", [], ["a:1"]),
    ("auth-http-request-method", "auth_http_request_method", "post", "auth_http_request_method", "get", "post"),
    ("portable-exit", "portable_exit", "true", "portable_exit", False, True),
    ("queue-scan-worker-pool-max", "queue_scan_worker_pool_max", "1", "queue_scan_worker_pool_max", 4, 1),
    ("queue-scan-selection-count", "queue_scan_selection_count", "1", "queue_scan_selection_count", 20, 1),
    ("enable-experiment", "enable_experiment", "x", "enable_experiment", [], ["x"]),
    ("statsd-address", "statsd_address", "a:1", "statsd_address", "", "a:1"),
    ("statsd-interval", "statsd_interval", "1s", "statsd_interval", 60e9, 1e9),
    ("statsd-mem-stats", "statsd_mem_stats", "false", "statsd_mem_stats", True, False),
    ("statsd-prefix", "statsd_prefix", "x", "statsd_prefix", "nsq.%s", "x"),
    ("statsd-udp-packet-size", "statsd_udp_packet_size", "1", "statsd_udp_packet_size", 508, 1),
    ("statsd-exclude-ephemeral", "statsd_exclude_ephemeral", "true", "statsd_exclude_ephemeral", False, True),
    (
        "e2e-processing-latency-percentile", "e2e_processing_latency_percentiles", "1,0.5",
        "e2e_processing_latency_percentiles", [], [1.0, 0.5],
    ),
    (
        "e2e-processing-latency-window-time", "e2e_processing_latency_window_time", "1m",
        "e2e_processing_latency_window_time", 600e9, 60e9,
    ),
    ("tls-cert", "tls_cert", "x", "tls_cert", "", "x"),
    ("tls-key", "tls_key", "x", "tls_key", "", "x"),
    ("tls-client-auth-policy", "tls_client_auth_policy", "require", "tls_client_auth_policy", "", "require"),
    ("tls-root-ca-file", "tls_root_ca_file", "x", "tls_root_ca_file", "", "x"),
    ("tls-required", "tls_required", "TCP-https", "tls_required", 0, 1),
    ("tls-min-version", "tls_min_version", "TLS1.3", "tls_min_version", 769, 772),
    ("deflate", "deflate", "false", "deflate", True, False),
    ("max-deflate-level", "max_deflate_level", "9", "max_deflate_level", 6, 9),
    ("snappy", "snappy", "false", "snappy", True, False),
    ("node-id", "id", "1023", "node_id", None, 1023),
]  # fmt: skip


@pytest.mark.parametrize(
    ("flag", "key", "text", "name", "default", "value"), FLAGS, ids=[f[0] for f in FLAGS]
)
def test_a_flag_has_the_originals_name_key_and_default(
    flag: str, key: str, text: str, name: str, default: object, value: object, tmp_path: Path
) -> None:
    if default is not None:
        assert getattr(Options(), name) == default
    assert command_line().parse([f"--{flag}={text}"]).options == {name: value}
    config = tmp_path / "nsqd.cfg"
    config.write_text(f'{key} = "{text}"\n')
    found, ignored = command_line().read_config(str(config))
    assert (found, ignored) == ({name: value}, [])


def test_there_are_no_other_flags() -> None:
    assert sorted(command_line().flags) == sorted(flag for flag, *_ in FLAGS)


def test_the_default_node_id_is_the_originals_checksum_of_the_host_name() -> None:
    digest = hashlib.md5(socket.gethostname().encode(), usedforsecurity=False).digest()
    assert Options().node_id == zlib.crc32(digest) % 1024


def test_the_memory_budget_is_half_of_the_memory_unless_given() -> None:
    assert Options().memory_budget == usable_bytes() // 2
    assert Options(mem_queue_bytes=5).memory_budget == 5


def test_flags_that_the_original_ignores_are_accepted() -> None:
    assert command_line().parse(["--verbose", "--worker-id", "--verbose=false"]) == ({}, "", False)


def test_percentiles_are_sorted_when_they_are_flags_and_kept_in_order_in_a_file(tmp_path: Path) -> None:
    line = command_line()
    given = line.parse(
        ["--e2e-processing-latency-percentile=0.5,1", "--e2e-processing-latency-percentile=0.9"]
    )
    assert given.options == {"e2e_processing_latency_percentiles": [1.0, 0.9, 0.5]}
    config = tmp_path / "nsqd.cfg"
    config.write_text("e2e_processing_latency_percentiles = [0.5, 1, 0.9]")
    assert line.read_config(str(config))[0] == {"e2e_processing_latency_percentiles": [0.5, 1.0, 0.9]}


def test_who_needs_tls_may_be_said_without_a_value() -> None:
    assert command_line().parse(["--tls-required"]).options == {"tls_required": TlsRequired.YES}
    assert command_line().parse(["--tls-required", "tcp-https"]).options == {"tls_required": TlsRequired.YES}


@pytest.mark.parametrize("text", ["false", "tcp-https", "true"])
def test_who_needs_tls_prints_as_it_is_read(text: str) -> None:
    assert str(TlsRequired.parse(text)) == text


@pytest.mark.parametrize("text", ["tls1.0", "tls1.1", "tls1.2", "tls1.3"])
def test_a_tls_version_prints_as_it_is_read(text: str) -> None:
    assert str(TlsVersion.parse(text)) == text


def test_the_usage_shows_defaults_as_they_are_given() -> None:
    usage = command_line().usage()
    for flag, default in {
        "tls-min-version value": "tls1.0",
        "log-level value": "INFO",
        "log-format value": "text",
        "msg-timeout duration": "1m0s",
        "max-msg-size int": "1048576",
        "statsd-prefix string": '"nsq.%s"',
    }.items():
        _, _, text = usage.partition(f"  --{flag}\n")
        assert text.partition("\n")[0].endswith(f" (default {default})")


def test_integers_for_times_in_the_config_file_are_milliseconds(tmp_path: Path) -> None:
    config = tmp_path / "nsqd.cfg"
    config.write_text('msg_timeout = 1500\nnsqlookupd_tcp_addresses = "a:1,b:2"\n')
    found, _ = command_line().read_config(str(config))
    assert found == {"msg_timeout": 1_500_000_000, "nsqlookupd_tcp_addresses": ["a:1", "b:2"]}


def test_the_version_has_the_originals_form(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        command_line().load(["--version", "--config=/not/looked/at"])
    assert end.value.code in (None, 0)
    assert capsys.readouterr().out == f"{banner('nsqd')}\n"
    assert banner("nsqd").startswith("nsqd v1.3.0 (built w/")
