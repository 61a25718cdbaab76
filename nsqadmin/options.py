"""Every option of nsqadmin, once: name, default, help, and what may be given."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass

from nsqcore.command_line import CommandLine
from nsqcore.durations import Duration
from nsqcore.logs import LogFormat, LogLevel
from nsqcore.options import Limit, option

ABOUT = """
nsqadmin shows a cluster of nsqd and lets people act on it. A first try, with nsqlookupd on this machine:

  nsqadmin --lookupd-http-address=127.0.0.1:4161
  open http://127.0.0.1:4171

Without nsqlookupd, name the nsqds themselves: --nsqd-http-address=127.0.0.1:4151. Durations need a unit:
250ms, 30s, 1h30m. Every flag may also stand in the TOML file of --config, with _ for - in its name; the
lists are called nsqlookupd_http_addresses, nsqd_http_addresses and admin_users there.
"""


def clean_base_path(text: str) -> str:
    """``/`` or a path with a leading slash and none at its end: ``nsq/`` is ``/nsq``."""
    path = posixpath.normpath("/" + text.lstrip("/"))
    return "/" if path == "." else path


@dataclass
class Options:
    """Settings of one nsqadmin."""

    log_level: LogLevel = option(
        LogLevel("INFO"), "lowest level to log: debug, info, warn, error or fatal", parse=LogLevel.parse
    )
    log_prefix: str = option("[nsqadmin] ", "start of each log line")
    log_format: LogFormat = option(
        LogFormat("text"), "text, as the original logs, or json: one object per line", parse=LogFormat.parse
    )
    http_address: str = option("0.0.0.0:4171", "host:port to listen on")
    base_path: str = option("/", "URL path below which everything is served", parse=clean_base_path)
    lookupd_http_addresses: list[str] = option(
        [],
        "host:port of a nsqlookupd's HTTP API",
        flag="lookupd-http-address",
        key="nsqlookupd_http_addresses",
    )
    nsqd_http_addresses: list[str] = option(
        [], "host:port of a nsqd's HTTP API", flag="nsqd-http-address", key="nsqd_http_addresses"
    )
    sample_interval: Duration = option(
        Duration.parse("5s"),
        "how often the whole cluster is looked at, for rates, charts and warnings",
        limit=Limit("100ms or more", lambda value: value.seconds >= 0.1),
    )
    history: Duration = option(
        Duration.parse("12h"),
        "how far back the charts go; the longer, the fewer of them there is room for",
        limit=Limit("744h or less", lambda value: value.seconds <= 31 * 86400),
    )
    dev_static_dir: str = option(
        "", "folder to serve style sheets and scripts from, read anew each time; for working on nsqadmin"
    )
    graphite_url: str = option("", "URL of a graphite that keeps nsqd's figures: pages show its graphs, too")
    proxy_graphite: bool = option(
        False, "let browsers get graphite's graphs from nsqadmin, where they can't or may not reach graphite"
    )
    statsd_counter_format: str = option(
        "stats.counters.%s.count", "name that statsd gives a counter in graphite; %s is nsqd's key"
    )
    statsd_gauge_format: str = option("stats.gauges.%s", "name that statsd gives a gauge in graphite")
    statsd_prefix: str = option("nsq.%s", "nsqd's --statsd-prefix; %s is the node's address")
    statsd_interval: Duration = option(
        Duration.parse("1m"), "nsqd's --statsd-interval; 1s or more, fractions of a second do not count"
    )
    notification_http_endpoint: str = option(
        "", "URL that gets a POST of JSON for each change that was made; empty for none"
    )
    http_client_connect_timeout: Duration = option(
        Duration.parse("2s"), "how long a connection to nsqd or nsqlookupd may take"
    )
    http_client_request_timeout: Duration = option(
        Duration.parse("5s"), "how long a whole request to nsqd or nsqlookupd may take"
    )
    http_client_tls_insecure_skip_verify: bool = option(
        False, "believe whatever certificate a daemon has (for a try only)"
    )
    http_client_tls_root_ca_file: str = option(
        "", "path of the authorities that daemons are verified by, PEM; empty for the system's"
    )
    http_client_tls_cert: str = option(
        "", "path of the certificate that nsqadmin shows to daemons, PEM; with --http-client-tls-key"
    )
    http_client_tls_key: str = option("", "path of its private key, PEM")
    allow_config_from_cidr: str = option(
        "127.0.0.1/8", "network that may read and change options at /config; empty for nobody"
    )
    data_path: str = option(
        "", "path of the folder that keeps history and audit trail over restarts; empty for memory alone"
    )
    auth_file: str = option(
        "", "path of a file of user:role:hash lines; then nobody sees anything without a login"
    )
    acl_http_header: str = option(
        "X-Forwarded-User", "request header that names the user; set it by a proxy that all traffic passes"
    )
    admin_users: list[str] = option(
        [],
        "user who may change things; everybody may when none is given, nor --auth-file",
        flag="admin-user",
        key="admin_users",
    )


COMMAND_LINE = CommandLine("nsqadmin", Options, about=ABOUT)
