"""Runs ``nsq_to_nsq``: a consumer for each topic, and the destinations that they share."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import random
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack

from nsqclient.consumer.consumer import Consumer
from nsqclient.consumer.failures import Failures
from nsqclient.limits import Limits
from nsqclient.producer.producer import Producer
from nsqclient.tools.common.client_settings import ClientSettings
from nsqclient.tools.common.destinations import producer_for
from nsqclient.tools.common.failing import GivingUp, giving_up
from nsqclient.tools.common.lines import say
from nsqclient.tools.common.outage import outage_of
from nsqclient.tools.common.picking import ALL, picker
from nsqclient.tools.common.running import Running
from nsqclient.tools.common.sources import consumer_for, producer_to, receiving
from nsqclient.tools.common.timings import Timings
from nsqclient.tools.to_nsq.destinations import Destination, is_hopeless
from nsqclient.tools.to_nsq.filters import JsonFilter
from nsqclient.tools.to_nsq.options import Options
from nsqclient.tools.to_nsq.relay import Relay
from nsqclient.tools.to_nsq.tally import Tally

PROGRAM = "nsq_to_nsq"
DRAIN = 30.0
"""Seconds that publishes under way have at the end."""
LARGEST_BATCH = 500
"""Messages handled together at most."""
LIMITS = Limits(max_msg_size=64 << 20, max_body_size=64 << 20)
"""How large messages may be is for the destinations to say; this is what a source can send."""

log = logging.getLogger(__name__)


async def work(options: Options, running: Running) -> int:
    """Until it has to end; returns the exit status. Raises Refused when a source can't be reached at the start."""
    async with AsyncExitStack() as stack:
        destinations = {
            address: Destination(address, _producer_of(options, address))
            for address in options.destination_nsqd_tcp_address
        }
        for destination in destinations.values():
            stack.push_async_callback(destination.close)
        tally = Tally()
        timings = Timings(options.status_every, list(destinations), lambda line: say(log, line))
        timings.warn()
        failures = _failures_of(options)
        relays: list[tuple[Consumer, Relay]] = []
        for topic in dict.fromkeys(options.topic):
            relay = _relay(options, topic, destinations, tally, timings, running)
            relays.append((_consumer(options, topic, failures), relay))
        await _all([_run(options, consumer, relay, running) for consumer, relay in relays], running)
    if options.require_json_field or options.whitelist_json_field or tally.failed:
        say(log, "%s", tally)
    return 0


async def _all(works: Sequence[Coroutine[object, object, None]], running: Running) -> None:
    """Until all have ended; the others end in order when one fails."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        running.end()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


async def _run(options: Options, consumer: Consumer, relay: Relay, running: Running) -> None:
    async with receiving(consumer, running):
        running.progress.show()
        most = min(LARGEST_BATCH, options.max_in_flight // relay.concurrency) or 1
        await consumer.run_batches(relay, max_messages=most, linger=0, concurrency=relay.concurrency)


def _relay(
    options: Options,
    topic: str,
    destinations: Mapping[str, Destination],
    tally: Tally,
    timings: Timings,
    running: Running,
) -> Relay:
    chosen = None
    if options.mode != ALL:
        now = asyncio.get_running_loop().time
        chosen = picker(options.mode, list(destinations), now=now, chance=random.random)

    def timed(address: str, count: int, seconds: float) -> None:
        for _ in range(count):
            timings.add(address, seconds)

    return Relay(
        options.destination_topic or topic,
        destinations,
        chosen,
        JsonFilter(options.require_json_field, options.require_json_value, options.whitelist_json_field),
        tally,
        letters=bool(options.dead_letter_topic),
        outage=outage_of(options),
        timed=timed,
        relayed=running.progress.add,
    )


def _consumer(options: Options, topic: str, failures: Failures) -> Consumer:
    flow = ClientSettings(options.consumer_opt).flow()
    return consumer_for(
        options,
        topic,
        options.channel,
        program=PROGRAM,
        max_in_flight=options.max_in_flight,
        flow=dataclasses.replace(flow, backoff_on=("requeue", lambda error: not is_hopeless(error))),
        failures=failures,
        drain=DRAIN,
    )


def _failures_of(options: Options) -> Failures:
    def office(node: str) -> Producer:
        return producer_to(options, node, program=PROGRAM, limits=LIMITS)

    rules = ClientSettings(options.consumer_opt).failures()
    return giving_up(rules, GivingUp(options.dead_letter_topic, office))


def _producer_of(options: Options, address: str) -> Callable[[], Producer]:
    return lambda: producer_for(options, address, program=PROGRAM, limits=LIMITS, max_pending=100_000)
