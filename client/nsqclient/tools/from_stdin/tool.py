"""``to_nsq``: publishes the records of standard input."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial

from nsqclient.connection.endpoint import Endpoint
from nsqclient.discovery.targets import Nsqd
from nsqclient.producer.options import Routing
from nsqclient.producer.producer import Producer
from nsqclient.tools.common.client_settings import ClientSettings
from nsqclient.tools.common.destinations import destination_of
from nsqclient.tools.common.failures import Refused
from nsqclient.tools.common.lines import complain, say
from nsqclient.tools.common.running import Running
from nsqclient.tools.common.tool import DONE, FAILED, Tool, main_of
from nsqclient.tools.from_stdin.destinations import Destination
from nsqclient.tools.from_stdin.feeding import Feed
from nsqclient.tools.from_stdin.options import ABOUT, Options, check
from nsqclient.tools.from_stdin.reading import Reader
from nsqclient.tools.from_stdin.records import Records

NAME = "to_nsq"
STDIN = 0
PATIENCE = 60.0
"""Seconds that a nsqd may take to confirm a record; so long does the original wait for one that is silent."""
PENDING = 4 << 20
"""Bytes that a nsqd has not confirmed; beyond, nothing is read."""
RATED_CHUNK = 4096
"""Bytes that are read ahead with a rate: they are sent at once when a signal comes, to lose none."""
CLOSE_TIMEOUT = 1.0
"""Seconds for a producer to end: what was to be waited for has been."""
STOP_PATIENCE = 10.0
"""Seconds for what was read to be confirmed, after a signal."""

log = logging.getLogger(__name__)


async def work(options: Options, running: Running) -> int:
    """Publishes until the end of the input; raises OSError when it can't be read, and Refused."""
    endpoint = destination_of(options, *options.nsqd_tcp_address, program=NAME)
    limits = endpoint.options.limits
    records = Records(options.delimiter_byte, limits.max_msg_size)
    rate = max(0, options.rate)
    if rate:
        say(log, "Throttling messages rate to max:%d/second", rate)
    running.progress.show("records")
    async with AsyncExitStack() as stack:
        destinations = list[Destination]()
        for name, producer in _producers(options, endpoint):
            await stack.enter_async_context(producer)
            counted = _nothing if destinations else running.progress.add
            destinations.append(
                Destination(name, producer, options.topic, confirmed=counted, failed=running.end)
            )
        reader = Reader(STDIN, chunk=RATED_CHUNK, ahead=1) if rate else Reader(STDIN)
        stack.enter_context(reader)
        feed = Feed(reader, records, destinations, rate=rate, max_body_size=limits.max_body_size)
        unread = await _confirmed(feed, destinations, running)
    status = _tell(destinations)
    if records.refusal:
        raise Refused(f"{records.refusal}; it and what follows it is not published")
    if unread is not None:
        raise unread
    if reader.stopped and records.begun and status == DONE:
        say(log, "the last %d bytes that were read are no whole record, and not published", records.begun)
    return status


def _producers(options: Options, endpoint: Endpoint) -> Iterator[tuple[str, Producer]]:
    """One for each that is to have every record, with its name."""
    target, retry = endpoint.target, ClientSettings(options.producer_opt).retry()
    make = partial(
        Producer,
        timeout=PATIENCE,
        max_pending_bytes=PENDING,
        close_timeout=CLOSE_TIMEOUT,
        reports="none",
    )
    if isinstance(target, Nsqd) and options.mode == "all":
        for address in dict.fromkeys(target.addresses):
            yield address, make(Endpoint(Nsqd(address), endpoint.options), retry=retry)
        return
    # records whose answer was lost with a nsqd are to be had from another one, and twice rather than not at all
    retry = replace(retry, on_unknown="retry")
    name = ", ".join(target.addresses if isinstance(target, Nsqd) else target.lookup_urls)
    yield name, make(endpoint, retry=retry, routing=Routing(pick="sticky"))


async def _confirmed(feed: Feed, destinations: Sequence[Destination], running: Running) -> OSError | None:
    """Until all that is read is confirmed or has failed, and not for ever once a signal came.

    Returns why the input could not be read to its end.
    """
    loop, unread = asyncio.get_running_loop(), None
    confirming = [asyncio.create_task(destination.confirm()) for destination in destinations]
    try:
        async with asyncio.timeout(None) as limit:

            def stop() -> None:
                feed.stop()
                limit.reschedule(loop.time() + STOP_PATIENCE)

            with running.stopping(stop):
                try:
                    await feed.run()
                except OSError as e:
                    unread = e
                for destination in destinations:
                    destination.end()
                await asyncio.gather(*confirming)
    except TimeoutError:
        for destination in destinations:
            destination.give_up(f"no answer came within {STOP_PATIENCE:g} s of the signal")
    finally:
        for task in confirming:
            task.cancel()
    return unread


def _tell(destinations: Sequence[Destination]) -> int:
    """The exit status, with a line for each destination when one has failed."""
    if not any(destination.failure for destination in destinations):
        return DONE
    for destination in destinations:
        told = destination.failure or f"its {destination.confirmed} records are confirmed"
        complain(log, "%s: %s", destination.name, told)
    return FAILED


def _nothing(records: int, size: int) -> None:
    """A record is counted once, wherever else it goes."""


TOOL = Tool(
    name=NAME,
    command="from-stdin",
    summary="publish the lines of standard input",
    about=ABOUT,
    options=Options,
    check=check,
    work=work,
)

main: Callable[[], int] = main_of(TOOL)
