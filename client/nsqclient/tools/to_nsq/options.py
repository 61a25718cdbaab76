"""Every flag of ``nsq_to_nsq``, once, and what of them can't be right."""

from __future__ import annotations

from dataclasses import dataclass

from nsqclient.discovery.targets import Nsqd
from nsqclient.errors import ConfigError
from nsqclient.tools.common.destinations import Destinations
from nsqclient.tools.common.failing import DeadLettering, check_dead_lettering
from nsqclient.tools.common.failures import Refused
from nsqclient.tools.common.lines import Logged
from nsqclient.tools.common.picking import HOSTPOOL, check_mode
from nsqclient.tools.common.sources import Sources, check_sources
from nsqcore.errors import StartError
from nsqcore.names import valid_name
from nsqcore.options import at_least, check_limits, option


@dataclass(frozen=True)
class Options(DeadLettering, Sources, Destinations, Logged):
    """Settings of one nsq_to_nsq."""

    topic: list[str] = option([], "topic to read")
    channel: str = option("nsq_to_nsq", "channel to read the topics from")
    destination_topic: str = option("", "topic to publish to; without it the one a message was read from")
    destination_nsqd_tcp_address: list[str] = option([], "host:port of a nsqd to publish to")
    mode: str = option(
        HOSTPOOL,
        "which destination gets a message: round-robin, hostpool (those that work, in turn), epsilon-greedy "
        "(mostly the fast ones), or all (every one gets every message)",
    )
    max_in_flight: int = option(200, "messages of one topic that may be under way", limit=at_least(1))
    status_every: int = option(250, "tell how long publishing took every so many messages; 0 for never")
    require_json_field: str = option("", "pass on only JSON objects that have this field")
    require_json_value: str = option("", "and in it this text or number")
    whitelist_json_field: list[str] = option([], "pass on only this field of JSON objects")


def check(options: Options) -> None:
    """Raises Refused, in the original's words where it has some."""
    if not options.topic or not options.channel:
        raise Refused("--topic and --channel are required")
    if not all(map(valid_name, options.topic)):
        raise Refused("--topic is invalid")
    if options.destination_topic and not valid_name(options.destination_topic):
        raise Refused("--destination-topic is invalid")
    if not valid_name(options.channel):
        raise Refused("--channel is invalid")
    check_sources(options)
    if not options.destination_nsqd_tcp_address:
        raise Refused("--destination-nsqd-tcp-address required")
    try:
        check_limits(options)
        Nsqd(*options.destination_nsqd_tcp_address)
        check_mode(options.mode)
        check_dead_lettering(options, options.topic)
    except (ConfigError, StartError) as e:
        raise Refused(str(e)) from None
    _check_no_circle(options)


def _check_no_circle(options: Options) -> None:
    """What is published must not be read again: it would go round for ever."""
    both = set(options.nsqd_tcp_address) & set(options.destination_nsqd_tcp_address)
    if both and (not options.destination_topic or options.destination_topic in options.topic):
        raise Refused(
            f"{min(both)} is both source and destination of the same topic: give another --destination-topic"
        )
