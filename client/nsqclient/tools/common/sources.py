"""Where a tool's messages come from: its flags, or ``NSQ_URL``; and the consumer that brings them.

Without ``--nsqd-tcp-address`` and ``--lookupd-http-address`` the variable ``NSQ_URL`` says it. The other variables
of the client (``NSQ_AUTH_SECRET``, ``NSQ_TLS_CA``, ...) count in either case; ``--consumer-opt`` goes before them.

A nsqd that is named and can't be reached at the start ends a tool, see :func:`receiving`.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

from nsqclient.connection.endpoint import Endpoint, from_env
from nsqclient.consumer.consumer import Consumer
from nsqclient.consumer.events import EventStream, NodeDown, Subscribed
from nsqclient.consumer.failures import Failures
from nsqclient.discovery.targets import Lookup, Nsqd
from nsqclient.errors import ConfigError
from nsqclient.limits import Limits
from nsqclient.producer.producer import Producer
from nsqclient.tools.common.client_options import HINT, ConsumerOption
from nsqclient.tools.common.client_settings import ClientSettings
from nsqclient.tools.common.failing import GivingUp, giving_up
from nsqclient.tools.common.failures import Refused
from nsqclient.tools.common.running import Running
from nsqcore.options import option

_LOOKUP_SECRET = "NSQ_LOOKUP_AUTH_SECRET"


@dataclass(frozen=True)
class Sources:
    """The flags that say where messages come from; a mixin of options."""

    heading: ClassVar[str] = "Where messages come from (one of the first two, else the variable NSQ_URL)"

    nsqd_tcp_address: list[str] = option([], "host:port of a nsqd")
    lookupd_http_address: list[str] = option([], "host:port or URL of a nsqlookupd, which knows the nsqds")
    consumer_opt: list[ConsumerOption] = option(
        [], f"option of connections that receive, {HINT}", parse=ConsumerOption.parse
    )


def check_sources(options: Sources, ending: str = "") -> None:
    """Raises Refused unless the flags say where messages come from; ``ending`` ends the text when none does."""
    if not options.nsqd_tcp_address and not options.lookupd_http_address:
        if not os.environ.get("NSQ_URL"):
            raise Refused(f"--nsqd-tcp-address or --lookupd-http-address required{ending}")
    elif options.nsqd_tcp_address and options.lookupd_http_address:
        raise Refused("use --nsqd-tcp-address or --lookupd-http-address not both")
    for address in options.nsqd_tcp_address:
        if "://" in address:
            raise Refused(f"--nsqd-tcp-address {address} is a URL: want host:port; nsqlookupds may have URLs")
    try:
        target_of(options).options.check_for_consumer()
    except ConfigError as e:
        raise Refused(str(e)) from None


def target_of(options: Sources, program: str = "") -> Endpoint:
    """What to connect to and how, for ``program``; raises ConfigError."""
    settings = ClientSettings(options.consumer_opt)
    environ = dict(os.environ)
    if options.nsqd_tcp_address:
        environ.pop(_LOOKUP_SECRET, None)
        found = Endpoint(Nsqd(*options.nsqd_tcp_address), _from_variables(environ))
    elif options.lookupd_http_address:
        secret = environ.pop(_LOOKUP_SECRET, None) or None
        found = Endpoint(_lookup(options, settings, secret), _from_variables(environ))
    else:
        found = from_env(environ)
    return Endpoint(found.target, settings.connection(program, found.options))


def _from_variables(environ: dict[str, str]) -> Any:
    return from_env({**environ, "NSQ_URL": "nsqd://localhost"}).options


def _lookup(options: Sources, settings: ClientSettings, secret: str | None) -> Lookup:
    for url in options.lookupd_http_address:
        try:
            Lookup(url)
        except ConfigError as e:
            why = ": missing port" if ":" not in url.rpartition("://")[2].partition("/")[0] else ""
            raise ConfigError(f"{e}{why}") from None
    arguments = settings.lookup()
    if secret is not None:
        arguments["auth"] = secret
    urls = options.lookupd_http_address
    if urls and all(url.startswith("https:") for url in urls):
        tls = settings.connection("").tls
        if tls is not None:
            arguments["tls"] = tls
    return Lookup(*urls, **arguments)


def failures_of(options: Sources) -> Failures:
    """What becomes of messages that fail: they come again, without end unless ``max_attempts`` is given."""
    return ClientSettings(options.consumer_opt).failures()


def consumer_for(
    options: Sources, topic: str, channel: str, *, program: str, max_in_flight: int, **more: Any
) -> Consumer:
    """A consumer as the flags say it, not opened; raises ConfigError.

    ``more`` are arguments of :class:`Consumer`, which win. Unless ``failures`` is among them, a message that is
    given up is told by an ERROR line with its size.
    """
    settings = ClientSettings(options.consumer_opt)
    endpoint = target_of(options, program)
    arguments: dict[str, Any] = {"flow": settings.flow(), "failures": _told(settings.failures())}
    if isinstance(endpoint.target, Nsqd):
        arguments["reconnect"] = settings.reconnect()
    return Consumer(topic, channel, endpoint, max_in_flight=max_in_flight, **{**arguments, **more})


def _told(failures: Failures) -> Failures:
    def never(address: str) -> Producer:
        raise AssertionError("there are no letters")

    return giving_up(failures, GivingUp("", never))


@asynccontextmanager
async def receiving(
    consumer: Consumer, running: Running, *, must_reach: bool = True
) -> AsyncIterator[Consumer]:
    """The consumer, opened; leaving the block closes it. It stops when the tool has to end.

    Raises Refused when a nsqd that was named can't be reached (not with ``must_reach=False``), and what opening
    the consumer raises. nsqlookupds that can't be reached are logged by the consumer, which goes on trying.
    """
    events = consumer.events()
    with running.stopping(consumer.stop), running.stopping(events.end):
        async with consumer:
            if must_reach and isinstance(consumer.target, Nsqd):
                await _reach_all(consumer.target, events)
            del events
            yield consumer


async def _reach_all(target: Nsqd, events: EventStream) -> None:
    """Until each nsqd has subscribed us, or the consumer stops; its time-outs bound this."""
    missing = set(target.addresses)
    async for event in events:
        if isinstance(event, NodeDown):
            raise Refused(str(event.error))
        if isinstance(event, Subscribed):
            missing.discard(event.node)
        if not missing:
            return


def producer_to(
    options: Sources, address: str, *, program: str, limits: Limits | None = None, **more: Any
) -> Producer:
    """A producer for the nsqd of an address, connecting as the consumers do: for dead letters.

    ``limits``, where given, are those of publishing; ``more`` are arguments of :class:`Producer`.
    """
    settings = ClientSettings(options.consumer_opt)
    endpoint = Endpoint(Nsqd(address), target_of(options, program).options)
    if limits is not None:
        endpoint = endpoint.with_options(limits=limits)
    return Producer(endpoint, **{"retry": settings.retry(), **more})
