"""Every flag of ``nsq_to_http``, once; what of them can't be right; and the requests that they describe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nsqclient.errors import ConfigError
from nsqclient.tools.common.failing import DeadLettering, check_dead_lettering
from nsqclient.tools.common.failures import Refused
from nsqclient.tools.common.lines import Logged
from nsqclient.tools.common.picking import HOSTPOOL, check_mode
from nsqclient.tools.common.sources import Sources, check_sources
from nsqclient.tools.to_http.requests import OURS, Fields, Get, Maker, Post, parse_headers
from nsqclient.tools.to_http.urls import redacted
from nsqcore.durations import Duration
from nsqcore.names import valid_name
from nsqcore.options import option
from nsqcore.version import NSQ_VERSION

NS = 1_000_000_000
PROGRAM = "nsq_to_http"
CONTENT_TYPE = "application/octet-stream"


def parse_share(text: str) -> float:
    """A number as Go reads it; raises ValueError."""
    try:
        return float(text)
    except ValueError:
        raise ValueError("parse error") from None


@dataclass(frozen=True)
class Options(DeadLettering, Sources, Logged):
    """Settings of one nsq_to_http."""

    topic: str = option("", "topic to read")
    channel: str = option(PROGRAM, "channel to read it from")
    max_in_flight: int = option(200, "messages that may be under way; must be 1 or more")
    n: int = option(100, "requests at a time")
    post: list[str] = option([], "URL to send messages to with POST, each as the body of a request")
    get: list[str] = option(
        [], "URL to send messages to with GET; the one %s in it is replaced by the escaped message"
    )
    mode: str = option(
        HOSTPOOL,
        "which URL gets a message: round-robin, hostpool (those that work, in turn), epsilon-greedy "
        "(mostly the fast ones), or all (every one gets every message)",
    )
    sample: float = option(
        1.0, "share of the messages to send, from 0 to 1; the others are finished unsent", parse=parse_share
    )
    content_type: str = option(CONTENT_TYPE, "Content-Type of POST requests")
    header: list[str] = option([], "header of each request, as Name: value")
    message_headers: bool = option(
        True, "tell of each message's topic, channel, id, attempts and timestamp in headers X-NSQ-..."
    )
    status_every: int = option(250, "tell how long requests took every so many; 0 for never")
    http_client_connect_timeout: Duration = option(
        Duration(2 * NS), "how long a connection may take to come about"
    )
    http_client_request_timeout: Duration = option(
        Duration(20 * NS), "how long a request may take, answer included"
    )


def check(options: Options) -> None:
    """Raises Refused, in the original's words where it has some."""
    try:
        parse_headers(options.header)
    except ValueError as e:
        raise Refused(str(e)) from None
    if not options.topic or not options.channel:
        raise Refused("--topic and --channel are required")
    if not valid_name(options.topic):
        raise Refused("invalid topic name")
    if not valid_name(options.channel):
        raise Refused("invalid channel name")
    if options.content_type != CONTENT_TYPE:
        if not options.post:
            raise Refused("--content-type only used with --post")
        if not options.content_type:
            raise Refused("--content-type requires a value when used")
    check_sources(options)
    if not options.get and not options.post:
        raise Refused("--get or --post required")
    if options.get and options.post:
        raise Refused("use --get or --post not both")
    if any(address.count("%s") != 1 for address in options.get):
        raise Refused("invalid GET address - must be a printf string")
    if not 0.0 <= options.sample <= 1.0:
        raise Refused("ERROR: --sample must be between 0.0 and 1.0")
    _check_ours(options)


def _check_ours(options: Options) -> None:
    """What the original finds out later, or never."""
    try:
        check_mode(options.mode)
        check_dead_lettering(options, [options.topic])
        makers(options)
    except (ConfigError, ValueError) as e:
        raise Refused(str(e)) from None
    if options.n < 1:
        raise Refused("-n must be 1 or more")
    if options.max_in_flight < 1:
        raise Refused("--max-in-flight must be 1 or more")
    if options.http_client_connect_timeout <= 0:
        raise Refused("--http-client-connect-timeout should be positive")
    if options.http_client_request_timeout <= 0:
        raise Refused("--http-client-request-timeout should be positive")


def makers(options: Options) -> Sequence[Maker]:
    """What makes the requests, one for each address; raises ValueError for one that is no URL, or a bad header."""
    headers = {"User-Agent": f"{PROGRAM} v{NSQ_VERSION}"}
    if options.post:
        headers["Content-Type"] = options.content_type
    headers = parse_headers([*(f"{name}: {value}" for name, value in headers.items()), *options.header])
    headers = {name: value for name, value in headers.items() if name.lower() not in OURS}
    fields = Fields(headers, options.topic, options.channel, about_message=options.message_headers)
    found: list[Maker] = []
    for address in dict.fromkeys([*options.post, *options.get]):
        flag = "--post" if options.post else "--get"
        try:
            found.append(Post(address, fields) if options.post else Get(address, fields))
        except ValueError as e:
            raise ValueError(f"{flag} {redacted(address)!r}: {e}") from None
    names = [maker.address for maker in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"{twice} is given twice, with different passwords")
    return found
