"""Keys of nsqadmin's config file: the original's names, values and words for what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from nsqadmin.options import COMMAND_LINE, Options
from nsqcore.options import BadConfig
from tests.support.flag_table import of_original

# Flag, TOML key, a value to give, the option's name, the default, the value's effect.
FLAGS: list[tuple[str, str, str, str, object, object]] = [
    ("log-level", "log_level", "debug", "log_level", "INFO", "debug"),
    ("log-prefix", "log_prefix", "x", "log_prefix", "[nsqadmin] ", "x"),
    ("http-address", "http_address", ":1", "http_address", "0.0.0.0:4171", ":1"),
    ("base-path", "base_path", "x", "base_path", "/", "/x"),
    ("dev-static-dir", "dev_static_dir", "x", "dev_static_dir", "", "x"),
    ("graphite-url", "graphite_url", "http://g", "graphite_url", "", "http://g"),
    ("proxy-graphite", "proxy_graphite", "true", "proxy_graphite", False, True),
    ("statsd-counter-format", "statsd_counter_format", "%s", "statsd_counter_format", "stats.counters.%s.count", "%s"),
    ("statsd-gauge-format", "statsd_gauge_format", "%s", "statsd_gauge_format", "stats.gauges.%s", "%s"),
    ("statsd-prefix", "statsd_prefix", "x", "statsd_prefix", "nsq.%s", "x"),
    ("statsd-interval", "statsd_interval", "10s", "statsd_interval", 60e9, 10e9),
    ("notification-http-endpoint", "notification_http_endpoint", "x", "notification_http_endpoint", "", "x"),
    ("http-client-connect-timeout", "http_client_connect_timeout", "1s", "http_client_connect_timeout", 2e9, 1e9),
    ("http-client-request-timeout", "http_client_request_timeout", "1s", "http_client_request_timeout", 5e9, 1e9),
    (
        "http-client-tls-insecure-skip-verify", "http_client_tls_insecure_skip_verify", "true",
        "http_client_tls_insecure_skip_verify", False, True,
    ),
    ("http-client-tls-root-ca-file", "http_client_tls_root_ca_file", "x", "http_client_tls_root_ca_file", "", "x"),
    ("http-client-tls-cert", "http_client_tls_cert", "x", "http_client_tls_cert", "", "x"),
    ("http-client-tls-key", "http_client_tls_key", "x", "http_client_tls_key", "", "x"),
    ("allow-config-from-cidr", "allow_config_from_cidr", "x", "allow_config_from_cidr", "127.0.0.1/8", "x"),
    ("acl-http-header", "acl_http_header", "x", "acl_http_header", "X-Forwarded-User", "x"),
    ("admin-user", "admin_users", "a", "admin_users", [], ["a"]),
    ("lookupd-http-address", "nsqlookupd_http_addresses", "a:1", "lookupd_http_addresses", [], ["a:1"]),
    ("nsqd-http-address", "nsqd_http_addresses", "a:1", "nsqd_http_addresses", [], ["a:1"]),
]  # fmt: skip
WRONG = [
    'proxy_graphite = "maybe"',
    "http_client_tls_insecure_skip_verify = 1.5",
    'statsd_interval = "10"',
    "statsd_interval = true",
    "http_client_connect_timeout = [1]",
    'log_level = "zzz"',
]


def _config(folder: Path, text: str) -> str:
    path = folder / "nsqadmin.cfg"
    path.write_text(text + "\n")
    return str(path)


@pytest.mark.parametrize(
    ("flag", "key", "text", "name", "default", "value"), FLAGS, ids=[f[0] for f in FLAGS]
)
def test_a_flag_has_the_originals_name_key_and_default(
    flag: str, key: str, text: str, name: str, default: object, value: object, tmp_path: Path
) -> None:
    assert getattr(Options(), name) == default
    assert COMMAND_LINE.parse([f"--{flag}={text}"]).options == {name: value}
    assert COMMAND_LINE.read_config(_config(tmp_path, f'{key} = "{text}"')) == ({name: value}, [])


def test_lists_are_arrays_or_texts_with_commas(tmp_path: Path) -> None:
    for text in ('admin_users = ["a", "b"]', 'admin_users = "a,b"'):
        assert COMMAND_LINE.read_config(_config(tmp_path, text))[0] == {"admin_users": ["a", "b"]}


@pytest.mark.parametrize("text", WRONG)
def test_a_value_that_can_not_be_meant_is_refused_in_the_originals_words(text: str, tmp_path: Path) -> None:
    path = _config(tmp_path, text)
    with pytest.raises(BadConfig) as refused:
        COMMAND_LINE.read_config(path)
    status, lines = of_original("nsqadmin", [f"--config={path}"], tmp_path)
    assert status == 1
    assert lines[0].removeprefix("[nsqadmin] FATAL: ") == str(refused.value)
