"""Every option of nsqd, once: name, default, help, and what may be given."""

from __future__ import annotations

import hashlib
import os
import socket
import zlib
from dataclasses import dataclass

from nsqcore.durations import Duration
from nsqcore.logs import LogLevel
from nsqcore.options import CommandLine, at_least, between, option

ABOUT = """
nsqd receives, queues and delivers messages. A first try, on one machine:

  mkdir queue && nsqd --data-path=queue &
  curl -d 'hello' 'http://127.0.0.1:4151/pub?topic=greetings'
  curl 'http://127.0.0.1:4151/stats'

Durations need a unit: 250ms, 30s, 1h30m. Every flag may also stand in the TOML file of --config,
with _ for - in its name.
"""


def _default_node_id() -> int:
    """The original's: a checksum of the host name, so that nodes of a cluster seldom share one."""
    digest = hashlib.md5(socket.gethostname().encode(), usedforsecurity=False).digest()
    return zlib.crc32(digest) % 1024


def physical_memory() -> int:
    """Bytes of memory that this machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@dataclass
class Options:
    """Settings of one nsqd; ``docs/nsqd.md`` tells what they do together."""

    log_level: LogLevel = option(
        LogLevel("INFO"), "log from this level on: debug, info, warn, error or fatal", parse=LogLevel.parse
    )
    log_prefix: str = option("[nsqd] ", "text at the start of each log line")
    node_id: int = option(
        _default_node_id(),
        "part of every message id, 0 to 1023; give each node its own",
        key="id",
        flag="node-id",
        check=between(0, 1023),
    )
    tcp_address: str = option("0.0.0.0:4150", "host:port that clients connect to; port 0 picks a free one")
    http_address: str = option("0.0.0.0:4151", "host:port of the HTTP API; empty for none")
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
        Duration.parse("2s"), "how long to wait for a connection to a nsqlookupd's HTTP port"
    )
    http_client_request_timeout: Duration = option(
        Duration.parse("5s"), "how long to wait for a nsqlookupd's HTTP answer"
    )
    topology_region: str = option("", "region of this node, told to clients and nsqlookupd")
    topology_zone: str = option("", "zone of this node, told to clients and nsqlookupd")

    data_path: str = option("", "folder of queues and metadata, which must exist; empty for the current one")
    mem_queue_size: int = option(
        10000, "messages kept in memory per topic and per channel; more go to disk", check=at_least(0)
    )
    mem_queue_bytes: int = option(
        0,
        "bytes of queued messages kept in memory by the whole process, more go to disk; 0 for half of the machine's memory",
        check=at_least(0),
    )
    max_bytes_per_file: int = option(
        100 * 1024 * 1024, "size of a disk queue's files, bytes", check=at_least(0)
    )
    sync_every: int = option(2500, "disk queue operations per fsync", check=at_least(0))
    sync_timeout: Duration = option(
        Duration.parse("2s"), "longest time that a disk queue waits for its fsync", check=at_least(1_000_000)
    )

    msg_timeout: Duration = option(
        Duration.parse("60s"),
        "time a consumer has for a message before it goes to another",
        check=at_least(1),
    )
    max_msg_timeout: Duration = option(
        Duration.parse("15m"), "longest time a consumer may ask for, TOUCH included", check=at_least(1)
    )
    max_msg_size: int = option(1024 * 1024, "largest message, bytes", check=at_least(1))
    max_req_timeout: Duration = option(
        Duration.parse("1h"), "longest delay of REQ, DPUB and /pub?defer", check=at_least(0)
    )
    max_body_size: int = option(
        5 * 1024 * 1024, "largest body of a command (MPUB, IDENTIFY), bytes", check=at_least(1)
    )
    max_heartbeat_interval: Duration = option(
        Duration.parse("60s"), "longest heartbeat interval a client may ask for"
    )
    max_rdy_count: int = option(2500, "highest RDY", check=at_least(1))
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
        check=at_least(1),
    )
    max_channel_consumers: int = option(
        0, "consumers a channel may have; 0 for any number", check=at_least(0)
    )

    @property
    def memory_budget(self) -> int:
        """Bytes of queued messages that the process may keep in memory."""
        return self.mem_queue_bytes or physical_memory() // 2


def command_line() -> CommandLine:
    """The parser of nsqd's command line and config file."""
    return CommandLine("nsqd", Options, about=ABOUT, ignored=("verbose", "worker-id"))
