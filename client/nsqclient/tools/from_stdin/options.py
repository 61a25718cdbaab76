"""Every flag of ``to_nsq``, and what is refused."""

from __future__ import annotations

import os
from dataclasses import dataclass

from nsqclient.checks import check_name
from nsqclient.tools.common.destinations import Destinations
from nsqclient.tools.common.failures import Refused
from nsqclient.tools.common.lines import Logged
from nsqcore.options import option

MODES = ("all", "failover")

ABOUT = """
to_nsq publishes what comes from standard input: each line becomes a message of a topic, which nsqd makes when the
first one comes. Every channel of the topic gets a copy of each.

  seq 1000 | to_nsq --topic=numbers --nsqd-tcp-address=127.0.0.1:4150
  tail -F access.log | to_nsq --topic=hits --nsqd-tcp-address=a:4150 --nsqd-tcp-address=b:4150 --mode=failover

Lines that come fast leave many at a time, one that comes alone leaves at once; empty ones are left out. It ends
with status 0 when all are confirmed, and else with 1, saying which record is the first that is not. Without an
address the variable NSQ_URL says where to publish to. SIGINT and SIGTERM end it when what was read is confirmed.
"""


@dataclass(frozen=True)
class Options(Destinations, Logged):
    """Settings of one to_nsq."""

    topic: str = option("", "topic to publish to; required")
    nsqd_tcp_address: list[str] = option([], "host:port of a nsqd; every record goes to each, but see --mode")
    delimiter: str = option("\n", "the one byte between records")
    rate: int = option(0, "records per second at most; 0 is as fast as they come")
    mode: str = option(
        "all",
        "with several addresses: all, or failover: to one of them, and to another one while that is gone, which "
        "may publish a record twice",
    )

    @property
    def delimiter_byte(self) -> bytes:
        """As it was typed, whatever the encoding."""
        return os.fsencode(self.delimiter)


def check(options: Options) -> None:
    """Raises Refused, and ConfigError for a name that can't be one of a topic."""
    if not options.topic:
        raise Refused("--topic required")
    if len(options.delimiter_byte) != 1:
        raise Refused("--delimiter must be a single byte")
    if not options.nsqd_tcp_address and not os.environ.get("NSQ_URL"):
        raise Refused("--nsqd-tcp-address required")
    if options.mode not in MODES:
        raise Refused(f"--mode {options.mode} is unknown, want {' or '.join(MODES)}")
    check_name("topic", options.topic)
