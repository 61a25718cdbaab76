"""The flags of nsq_stat, and what they must be."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from nsqclient.tools.common.failures import Refused
from nsqclient.tools.common.lines import Logged
from nsqcore.addresses import parse_host_port
from nsqcore.durations import Duration
from nsqcore.options import option

FORMATS = ("auto", "text", "json", "csv", "table")


class _ForEver(int):
    """The number of reports when none is given."""

    def __str__(self) -> str:
        return "for ever"


FOR_EVER: int = _ForEver(-1)
"""No number that is given comes out as this one: none below 1 is allowed."""
_DECIMAL = re.compile(r"[+-]?[0-9]+", re.ASCII)


def _count(text: str) -> int:
    if not _DECIMAL.fullmatch(text):
        raise ValueError(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    number = int(text)
    if abs(number) >= 1 << 63:
        raise ValueError(f'strconv.ParseInt: parsing "{text}": value out of range')
    return max(number, 0)


def _format(text: str) -> str:
    if text not in FORMATS:
        raise ValueError(f"want {', '.join(FORMATS[:-1])} or {FORMATS[-1]}")
    return text


@dataclass(frozen=True)
class StatOptions(Logged):
    """What nsq_stat is told."""

    topic: str = option("", "topic whose channels are counted; required")
    channel: list[str] = option([], "channel to count; required unless --all-channels is given")
    all_channels: bool = option(False, "count every channel of the topic, those too that are made later")
    interval: Duration = option(Duration.parse("2s"), "time between rows")
    count: int = option(FOR_EVER, "number of reports to print before it ends", parse=_count)
    format: str = option(
        "auto",
        "what is printed: text (rows as those of the original), json (an object per line), csv, table (drawn "
        "anew in place), or auto: table on a terminal, text elsewhere",
        parse=_format,
    )
    nsqd_http_address: list[str] = option([], "host:port of a nsqd's HTTP API")
    lookupd_http_address: list[str] = option([], "host:port of a nsqlookupd's HTTP API")
    http_client_connect_timeout: Duration = option(
        Duration.parse("2s"), "longest time to connect to a daemon"
    )
    http_client_request_timeout: Duration = option(
        Duration.parse("5s"), "longest time that a daemon may take to answer"
    )


def check(options: StatOptions) -> None:
    """Raises Refused for the first thing that is wrong, in the original's order and words."""
    if not options.topic or not (any(options.channel) or options.all_channels):
        raise Refused("--topic and --channel are required")
    if options.all_channels and options.channel:
        raise Refused("use --channel or --all-channels not both")
    if options.interval <= 0:
        raise Refused("--interval should be positive")
    if options.http_client_connect_timeout <= 0:
        raise Refused("--http-client-connect-timeout should be positive")
    if options.http_client_request_timeout <= 0:
        raise Refused("--http-client-request-timeout should be positive")
    if options.count == 0:
        raise Refused("--count should be positive")
    nsqds, lookupds = options.nsqd_http_address, options.lookupd_http_address
    if not nsqds and not lookupds:
        raise Refused("--nsqd-http-address or --lookupd-http-address required")
    if nsqds and lookupds:
        raise Refused("use --nsqd-http-address or --lookupd-http-address not both")
    _check_addresses("nsqd-http-address", nsqds)
    _check_addresses("lookupd-http-address", lookupds)


def _check_addresses(flag: str, addresses: Sequence[str]) -> None:
    for address in addresses:
        if "://" in address:
            raise Refused(f"--{flag} error - address should not contain scheme")
        try:
            parse_host_port(address)
        except ValueError as e:
            raise Refused(f"--{flag} error - {e}") from None
