"""``nsq_to_http`` as a program."""

from __future__ import annotations

import logging
import random
from functools import partial

from nsqclient.consumer.options import Leases
from nsqclient.limits import Limits
from nsqclient.tools.common.failing import GivingUp, giving_up
from nsqclient.tools.common.lines import complain, say
from nsqclient.tools.common.outage import outage_of
from nsqclient.tools.common.picking import ALL, picker
from nsqclient.tools.common.running import Running
from nsqclient.tools.common.sources import consumer_for, failures_of, producer_to, receiving
from nsqclient.tools.common.timings import Timings
from nsqclient.tools.common.tool import Tool
from nsqclient.tools.to_http.client import Client
from nsqclient.tools.to_http.delivery import Addresses, AllOf, Delivery, OneOf
from nsqclient.tools.to_http.options import NS, PROGRAM, Options, check, makers
from nsqclient.tools.to_http.requests import OURS, parse_headers

LONGEST_DRAIN = 30.0
"""Seconds that requests under way are waited for at the end, at most."""
LIMITS = Limits(max_msg_size=64 << 20, max_body_size=64 << 20)
"""A letter may be as large as its message was."""
ABOUT = """
nsq_to_http makes an HTTP request of each message of a topic. A message counts as done when the endpoint answers
with a status from 200 to 299; otherwise NSQ delivers it again later. It connects to the nsqds that have the topic
(or asks a nsqlookupd where they are) and reads through a channel, so several of these with the same channel share
the messages.

Each message as the body of a POST, by whichever of two servers works:

  nsq_to_http --topic=orders --nsqd-tcp-address=127.0.0.1:4150 \\
      --post=http://app1:8000/orders --post=http://app2:8000/orders

Each message in the query of a GET, from all nsqds that a nsqlookupd knows:

  nsq_to_http --topic=clicks --lookupd-http-address=127.0.0.1:4161 --get='http://app:8000/click?data=%s'

An endpoint may get a message twice: the header X-NSQ-Message-ID tells which it is.
"""

log = logging.getLogger(__name__)


async def work(options: Options, running: Running) -> int:
    """Sends messages until the end begins; requests under way are waited for, what has none goes back."""
    targets = makers(options)
    for name in parse_headers(options.header):
        if name.lower() in OURS:
            complain(log, "--header %s is not sent: it follows from the request", name)
    timings = Timings(options.status_every, [target.address for target in targets], partial(say, log))
    timings.warn()
    request_timeout = options.http_client_request_timeout / NS
    client = Client(
        {target.origin for target in targets},
        connect_timeout=options.http_client_connect_timeout / NS,
        request_timeout=request_timeout,
    )
    addresses = Addresses(targets, client.send, timings)
    outage = outage_of(options)
    if options.mode == ALL:
        send: AllOf | OneOf = AllOf(addresses, outage=outage)
    else:
        send = OneOf(
            addresses, picker(options.mode, addresses.names, now=addresses.now, chance=random.random), outage
        )
    letters = GivingUp(
        options.dead_letter_topic, partial(producer_to, options, program=PROGRAM, limits=LIMITS)
    )
    consumer = consumer_for(
        options,
        options.topic,
        options.channel,
        program=PROGRAM,
        max_in_flight=options.max_in_flight,
        failures=giving_up(failures_of(options), letters),
        leases=Leases(auto_touch=True),
        drain=min(request_timeout, LONGEST_DRAIN),
    )
    delivery = Delivery(send, sample=options.sample, chance=random.random, sent=running.progress.add)
    try:
        async with receiving(consumer, running):
            running.progress.show()
            await consumer.run(delivery.handle, concurrency=options.n)
    finally:
        await client.close()
    return 0


TOOL = Tool(
    name=PROGRAM,
    command="to-http",
    summary="make an HTTP request of each message",
    about=ABOUT,
    options=Options,
    check=check,
    work=work,
)
