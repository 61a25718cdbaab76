"""Every option of nsqlookupd, once: name, default, help, and what may be given."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from nsqcore.command_line import CommandLine
from nsqcore.durations import Duration
from nsqcore.logs import LogFormat, LogLevel
from nsqcore.options import option

ABOUT = """
nsqlookupd knows which nsqd carries which topic. A first try, on one machine:

  nsqlookupd &
  nsqd --lookupd-tcp-address=127.0.0.1:4160 --broadcast-address=127.0.0.1 &
  curl -d 'hello' 'http://127.0.0.1:4151/pub?topic=greetings'
  curl 'http://127.0.0.1:4161/lookup?topic=greetings'

Nothing is stored: every nsqd tells it anew. Run two or three, and name all of them to every nsqd.

Durations need a unit: 250ms, 30s, 1h30m. Every flag may also stand in the TOML file of --config,
with _ for - in its name.
"""


@dataclass(frozen=True)
class Options:
    """Settings of one nsqlookupd."""

    log_level: LogLevel = option(
        LogLevel("INFO"), "log from this level on: debug, info, warn, error or fatal", parse=LogLevel.parse
    )
    log_prefix: str = option("[nsqlookupd] ", "text at the start of each log line")
    log_format: LogFormat = option(
        LogFormat("text"), "text, as the original logs, or json: one object per line", parse=LogFormat.parse
    )
    tcp_address: str = option("0.0.0.0:4160", "host:port that nsqd connect to; port 0 picks a free one")
    http_address: str = option("0.0.0.0:4161", "host:port of the HTTP API; port 0 picks a free one")
    broadcast_address: str = option(
        socket.gethostname(), "name or address by which others reach this node; told to nsqd"
    )
    inactive_producer_timeout: Duration = option(
        Duration.parse("5m"),
        "a nsqd that was silent for longer is left out of answers until it is heard again",
    )
    tombstone_lifetime: Duration = option(
        Duration.parse("45s"), "how long a tombstone hides a topic's producer: the time to delete it there"
    )


def command_line() -> CommandLine:
    """The parser of nsqlookupd's command line and config file."""
    return CommandLine("nsqlookupd", Options, about=ABOUT)
