"""Every flag of ``nsq_tail``, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass

from nsqclient.checks import check_name
from nsqclient.errors import InvalidName
from nsqclient.tools.common.failures import Refused
from nsqclient.tools.common.lines import Logged
from nsqclient.tools.common.sources import Sources, check_sources
from nsqcore.options import option

ABOUT = """
nsq_tail prints the messages of a topic as they are published, each body on a line of its own.

  nsq_tail --topic=orders --nsqd-tcp-address=127.0.0.1:4150
  nsq_tail --topic=orders --lookupd-http-address=127.0.0.1:4161 -n 10 --json | jq .attempts

A topic hands a copy of each message to every channel it has. nsq_tail makes a channel of its own, which is gone
when it ends: it takes nothing away from others, and sees what is published from now on. With --channel it is one
more consumer of that channel instead: what it prints, the others do not get. A topic may also be given as a word,
without --topic. Without an address the variable NSQ_URL says where to look.
"""


@dataclass(frozen=True)
class Options(Sources, Logged):
    """Settings of one nsq_tail."""

    topic: list[str] = option([], "topic to print; required")
    channel: str = option("", "channel to receive from; without it one of its own, tailNNNNNN#ephemeral")
    max_in_flight: int = option(
        200, "messages of one topic that may be under way; never more than -n or --total"
    )
    n: int = option(0, "end when so many messages of one topic are printed; 0 is never")
    total: int = option(0, "end when so many messages are printed, of all topics together; 0 is never")
    print_topic: bool = option(False, "print the topic before each body")
    json: bool = option(
        False, "print an object per message: id, timestamp, attempts, node, topic, headers, body"
    )


def check(options: Options) -> None:
    """Raises Refused."""
    check_sources(options)
    if not options.topic:
        raise Refused("--topic required")
    if options.max_in_flight < 0:
        raise Refused(f"--max-in-flight is {options.max_in_flight}, want 0 or more")
    if options.json and options.print_topic:
        raise Refused("use --json or --print-topic not both: the objects have the topic")
    for kind, names in ("topic", options.topic), ("channel", [options.channel] if options.channel else []):
        for name in names:
            try:
                check_name(kind, name)
            except InvalidName:
                raise Refused(f"invalid {kind} name") from None
