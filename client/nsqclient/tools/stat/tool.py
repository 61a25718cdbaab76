"""nsq_stat: what it is, and its work from start to end."""

from __future__ import annotations

import asyncio
import logging

from nsqclient.tools.common.lines import complain
from nsqclient.tools.common.running import Running
from nsqclient.tools.common.tool import Tool
from nsqclient.tools.stat.nodes import Nodes
from nsqclient.tools.stat.options import FOR_EVER, StatOptions, check
from nsqclient.tools.stat.views import view_of
from nsqclient.tools.stat.watching import Watch

log = logging.getLogger(__name__)

ABOUT = """\
Prints how much goes through the channels of a topic, and how much waits there, again and again.

Messages are published to a topic, and each channel of the topic gets its own copy, which waits in a nsqd until
one of the channel's consumers takes it. nsq_stat asks the nsqds of a topic (over HTTP, their port 4151) for
their counts and adds them up. Name the nsqds, or a nsqlookupd that knows them (HTTP, port 4161).

  nsq_stat --lookupd-http-address=127.0.0.1:4161 --topic=orders --channel=billing
  nsq_stat --nsqd-http-address=127.0.0.1:4151 --topic=orders --all-channels --format=json --count=1

The first row comes one interval after the start, as rates take two looks. On a terminal it is a table that is
drawn anew in place, elsewhere a line per look. Interrupting it is the usual way to end, with status 0.
"""


async def work(options: StatOptions, running: Running) -> int:
    """Reports until the count is reached, or a signal comes; raises Refused if there is nothing to report."""
    running.on_reload(running.end)  # SIGHUP ends it in order, as it ends the original
    channels = [name for name in options.channel if name]
    several = options.all_channels or len(set(channels)) > 1
    view = view_of(
        options.format, options.topic, several=several, tell=lambda text: complain(log, "%s", text)
    )
    nodes = Nodes(
        options.topic,
        "" if several else channels[0],
        nsqds=options.nsqd_http_address,
        lookupds=options.lookupd_http_address,
        connect_timeout=options.http_client_connect_timeout.seconds,
        request_timeout=options.http_client_request_timeout.seconds,
        tell=view.note,
    )
    watch = Watch(options.topic, channels, nodes, view, options.interval.seconds)
    watching = asyncio.ensure_future(watch.run(None if options.count == FOR_EVER else options.count))
    try:
        with running.stopping(watching.cancel):
            await asyncio.wait([watching])
        if not watching.cancelled():
            watching.result()
        return 0
    finally:
        watching.cancel()
        await view.close()
        await nodes.close()


TOOL = Tool(
    name="nsq_stat",
    command="stat",
    summary="show rates and depths of a topic's channels",
    about=ABOUT,
    options=StatOptions,
    check=check,
    work=work,
)
