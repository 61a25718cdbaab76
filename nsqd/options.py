"""Every option of nsqd, once: name, default, help, and what may be given."""

from __future__ import annotations

import hashlib
import socket
import zlib
from dataclasses import dataclass
from enum import IntEnum

from nsqcore.command_line import CommandLine
from nsqcore.durations import Duration
from nsqcore.golang import go_quote
from nsqcore.logs import LogFormat, LogLevel
from nsqcore.options import ABOVE_ZERO, BOOLEANS, BadConfig, Limit, at_least, option
from nsqcore.process_memory import usable_bytes

ABOUT = """
nsqd receives, queues and delivers messages. A first try, on one machine:

  mkdir queue && nsqd --data-path=queue &
  curl -d 'hello' 'http://127.0.0.1:4151/pub?topic=greetings'
  curl 'http://127.0.0.1:4151/stats'

In a cluster, name each nsqlookupd, and the name under which consumers reach this node:

  nsqd --data-path=queue --lookupd-tcp-address=HOST:4160 --broadcast-address=NAME

SIGTERM ends it, and everything is on disk then. SIGHUP reads the certificates of --tls-* again.

Durations need a unit: 250ms, 30s, 1h30m. Every flag may also stand in the TOML file of --config, with
_ for - in its name; but --node-id is id there, and the lists are called auth_http_addresses,
nsqlookupd_tcp_addresses and e2e_processing_latency_percentiles.
"""


def _default_node_id() -> int:
    """The original's: a checksum of the host name, so that nodes of a cluster seldom share one."""
    digest = hashlib.md5(socket.gethostname().encode(), usedforsecurity=False).digest()
    return zlib.crc32(digest) % 1024


class TlsRequired(IntEnum):
    """Who has to use TLS; the numbers are what ``/config/tls_required`` answers."""

    NO = 0
    TCP_HTTPS = 1
    """TCP clients; the plain HTTP port goes on working."""
    YES = 2

    @classmethod
    def parse(cls, text: str) -> TlsRequired:
        """Raises ValueError, in the original's words, for what is neither a boolean nor ``tcp-https``."""
        if text.lower() == "tcp-https":
            return cls.TCP_HTTPS
        value = BOOLEANS.get(text.lower() if text.lower() in ("true", "false") else text)
        if value is None:
            raise ValueError(f"strconv.ParseBool: parsing {go_quote(text.encode())}: invalid syntax")
        return cls.YES if value else cls.NO

    def __str__(self) -> str:
        return ("false", "tcp-https", "true")[self]


class TlsVersion(IntEnum):
    """A TLS version by its number on the wire, which is what ``/config/tls_min_version`` answers."""

    TLS_1_0 = 769
    TLS_1_1 = 770
    TLS_1_2 = 771
    TLS_1_3 = 772

    @classmethod
    def parse(cls, text: str) -> TlsVersion:
        """``tls1.0`` to ``tls1.3`` in any letter case, empty for the lowest; raises ValueError otherwise."""
        names = {"": cls.TLS_1_0, **{f"tls1.{n}": cls(769 + n) for n in range(4)}}
        if text.lower() not in names:
            raise ValueError(f'unknown tlsVersionOption "{text}"')
        return names[text.lower()]

    def __str__(self) -> str:
        return f"tls1.{self - self.TLS_1_0}"


def _percentiles(text: str) -> list[float]:
    """Comma-separated numbers; whether they are percentiles is checked when the daemon starts."""
    found = []
    for part in text.split(","):
        try:
            found.append(float(part if part == part.strip() else "not a number"))
        except ValueError:
            raise BadConfig(
                f"Could not parse: {part}",
                "-e2e-processing-latency-percentile: want numbers such as 0.99,0.5, without blanks",
                plain=True,
            ) from None
    return found


def _descending(percentiles: list[float]) -> list[float]:
    return sorted(percentiles, reverse=True)


@dataclass
class Options:
    """Settings of one nsqd; ``docs/nsqd.md`` tells what they do together."""

    log_level: LogLevel = option(
        LogLevel("INFO"), "log from this level on: debug, info, warn, error or fatal", parse=LogLevel.parse
    )
    log_prefix: str = option("[nsqd] ", "text at the start of each log line")
    log_format: LogFormat = option(
        LogFormat("text"), "text, as the original logs, or json: one object per line", parse=LogFormat.parse
    )
    node_id: int = option(
        _default_node_id(),
        "part of every message id, 0 to 1023; give each node its own",
        key="id",
        flag="node-id",
        limit=Limit("[0,1024)", lambda n: 0 <= n < 1024),
    )
    tcp_address: str = option(
        "0.0.0.0:4150",
        "host:port that clients connect to, port 0 picks a free one; or the path of a unix socket",
    )
    http_address: str = option(
        "0.0.0.0:4151", "host:port of the HTTP API, or the path of a unix socket; empty for none"
    )
    https_address: str = option(
        "0.0.0.0:4152",
        "host:port of the HTTP API over TLS, served when there is a certificate; empty for none",
    )
    auth_http_addresses: list[str] = option(
        list[str](),
        "host:port or URL of an auth server; with one, clients have to AUTH",
        key="auth_http_addresses",
        flag="auth-http-address",
    )
    auth_http_request_method: str = option("get", "how auth servers are asked: get or post")
    broadcast_address: str = option(
        socket.gethostname(), "name or address by which others reach this node; told to nsqlookupd"
    )
    broadcast_tcp_port: int = option(0, "TCP port told to nsqlookupd; 0 for the real one")
    broadcast_http_port: int = option(0, "HTTP port told to nsqlookupd; 0 for the real one")
    nsqlookupd_tcp_addresses: list[str] = option(
        list[str](),
        "host:port of a nsqlookupd to register with",
        key="nsqlookupd_tcp_addresses",
        flag="lookupd-tcp-address",
    )
    http_client_connect_timeout: Duration = option(
        Duration.parse("2s"),
        "how long to wait for a connection to a nsqlookupd's or an auth server's HTTP port",
    )
    http_client_request_timeout: Duration = option(
        Duration.parse("5s"), "how long to wait for a nsqlookupd's or an auth server's HTTP answer"
    )
    topology_region: str = option("", "region of this node, told to clients and nsqlookupd")
    topology_zone: str = option("", "zone of this node, told to clients and nsqlookupd")

    data_path: str = option("", "folder of queues and metadata, which must exist; empty for the current one")
    mem_queue_size: int = option(
        10000, "messages kept in memory per topic and per channel; more go to disk", limit=at_least(0)
    )
    mem_queue_bytes: int = option(
        0,
        "bytes of queued messages kept in memory by the whole process, more go to disk; 0 for half of the machine's or the container's memory",
        limit=at_least(0),
    )
    max_bytes_per_file: int = option(100 * 1024 * 1024, "size of a disk queue's files, bytes")
    sync_every: int = option(2500, "disk queue operations per fsync; 0 for each")
    sync_timeout: Duration = option(
        Duration.parse("2s"), "longest time that a disk queue waits for its fsync", limit=ABOVE_ZERO
    )
    portable_exit: bool = option(
        False,
        "at the end, store everything in the original's files only: a nsqd of another make can go on with the "
        "folder, but forgets what was left of delays",
    )
    queue_scan_worker_pool_max: int = option(
        4, "accepted for the original's scripts: time-outs are timed exactly here, without workers"
    )
    queue_scan_selection_count: int = option(
        20,
        "accepted for the original's scripts: no channel waits to be selected here",
        limit=at_least(0),
    )

    msg_timeout: Duration = option(
        Duration.parse("60s"),
        "time a consumer has for a message before it goes to another",
    )
    max_msg_timeout: Duration = option(
        Duration.parse("15m"), "longest time a consumer may ask for, TOUCH included"
    )
    max_msg_size: int = option(1024 * 1024, "largest message that is taken, bytes")
    max_req_timeout: Duration = option(Duration.parse("1h"), "longest delay of REQ, DPUB and /pub?defer")
    max_body_size: int = option(5 * 1024 * 1024, "largest body of a command (MPUB, IDENTIFY), bytes")
    max_heartbeat_interval: Duration = option(
        Duration.parse("60s"), "longest heartbeat interval a client may ask for"
    )
    max_rdy_count: int = option(2500, "highest RDY")
    max_output_buffer_size: int = option(64 * 1024, "largest output buffer a client may ask for, bytes")
    max_output_buffer_timeout: Duration = option(
        Duration.parse("30s"), "longest output buffer timeout a client may ask for"
    )
    min_output_buffer_timeout: Duration = option(
        Duration.parse("25ms"), "shortest output buffer timeout a client may ask for"
    )
    output_buffer_timeout: Duration = option(
        Duration.parse("250ms"),
        "told to clients as the longest wait of a buffered message; ours never wait",
        limit=ABOVE_ZERO,
    )
    max_channel_consumers: int = option(0, "consumers a channel may have; 0 for any number")
    enable_experiment: list[str] = option(
        list[str](), "an experiment to switch on: topology-aware-consumption", flag="enable-experiment"
    )

    statsd_address: str = option("", "host:port of a statsd server, UDP; empty for none")
    statsd_interval: Duration = option(Duration.parse("60s"), "time between two pushes to statsd")
    statsd_mem_stats: bool = option(True, "push figures of memory and garbage collection too")
    statsd_prefix: str = option("nsq.%s", "what statsd keys begin with; %s is this node's address")
    statsd_udp_packet_size: int = option(508, "largest packet to statsd, bytes")
    statsd_exclude_ephemeral: bool = option(False, "leave ephemeral topics and channels out of statsd")
    e2e_processing_latency_percentiles: list[float] = option(
        list[float](),
        "percentiles of the time from publish to FIN that /stats tells, each in (0, 1]",
        flag="e2e-processing-latency-percentile",
        parse=_percentiles,
        arrange=_descending,
    )
    e2e_processing_latency_window_time: Duration = option(
        Duration.parse("10m"), "how far back these percentiles look", limit=ABOVE_ZERO
    )

    tls_cert: str = option("", "path of the certificate, PEM; with --tls-key it switches TLS on")
    tls_key: str = option("", "path of its private key, PEM")
    tls_client_auth_policy: str = option(
        "", "certificates of clients: require (any) or require-verify (by --tls-root-ca-file)"
    )
    tls_root_ca_file: str = option(
        "", "path of the authorities that clients and auth servers are verified by, PEM"
    )
    tls_required: TlsRequired = option(
        TlsRequired.NO,
        "who has to use TLS: false, true, or tcp-https, which leaves the plain HTTP port open",
        parse=TlsRequired.parse,
        bare="true",
    )
    tls_min_version: TlsVersion = option(
        TlsVersion.TLS_1_0, "lowest TLS version: tls1.0, tls1.1, tls1.2 or tls1.3", parse=TlsVersion.parse
    )
    deflate: bool = option(True, "let clients ask for deflate")
    max_deflate_level: int = option(
        6,
        "highest deflate level a client may ask for, 1 to 9",
        limit=Limit("[1,9]", lambda level: 1 <= level <= 9),
    )
    snappy: bool = option(True, "let clients ask for snappy")

    @property
    def memory_budget(self) -> int:
        """Bytes of queued messages that the process may keep in memory."""
        return self.mem_queue_bytes or usable_bytes() // 2


def command_line() -> CommandLine:
    """The parser of nsqd's command line and config file."""
    return CommandLine(
        "nsqd",
        Options,
        about=ABOUT,
        ignored=("verbose", "worker-id"),
        first=("tls_required", "tls_min_version", "log_level"),
    )
