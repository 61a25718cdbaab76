"""Publishing over HTTP: what ``/pub`` and ``/mpub`` check and do, whoever read the request (reference, 5.4)."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import NamedTuple

from nsqcore.errors import HttpError
from nsqcore.names import valid_name
from nsqcore.query import parse_query
from nsqd import bulk
from nsqd.broker import Broker
from nsqd.errors import BatchError, Refused
from nsqd.frames import BatchDecoder
from nsqd.storage.ticket import Ticket
from nsqd.topic import Topic

log = logging.getLogger(__name__)
EXITING = HttpError(503, "EXITING")


def body_limit(broker: Broker, path: str) -> tuple[int, str]:
    """The most bytes that a body may have, and the code of the 413 for more."""
    if path == "/pub":
        return broker.options.max_msg_size, "MSG_TOO_BIG"
    return broker.options.max_body_size, "BODY_TOO_BIG"


class Arguments(NamedTuple):
    """The parameters of a publish; None for one that is absent."""

    topic: bytes | None
    defer: str | None
    binary: str | None


def arguments(path: str, query: str, body_size: int) -> Arguments:
    """The query's parameters; raises HttpError for a bad query, or an empty message, which comes first."""
    if path == "/pub" and not body_size:
        raise HttpError(400, "MSG_EMPTY")
    args = parse_query(query)
    topic = args.get("topic")
    name = None if topic is None else topic.encode("utf-8", "surrogateescape")
    return Arguments(name, args.get("defer"), args.get("binary"))


def pub(broker: Broker, args: Arguments, body: bytes) -> Ticket | None:
    """One message; raises HttpError."""
    topic = broker.topics.get(args.topic) if args.topic is not None else None
    if topic is None:
        topic = topic_of(broker, args)
    try:
        if args.defer is None:
            return topic.put(broker.frames.one(body))
        delay_ms = _defer(args.defer, broker.options.max_req_timeout.ms)
        if not delay_ms:
            return topic.put(broker.frames.one(body))
        topic.put_deferred(broker.frames.one(body, attempts=0).frames[0], len(body), delay_ms / 1000)
    except Refused:
        raise EXITING from None
    return None


def mpub(broker: Broker, args: Arguments, body: bytes) -> bulk.Work:
    """Many messages. Raises HttpError; when the body is wrong, nothing was published."""
    topic = topic_of(broker, args)
    limits, binary = broker.options, args.binary
    if binary in (None, "false", "0"):

        def check(lines: Iterable[bytes]) -> None:
            if max(map(len, lines)) > limits.max_msg_size:
                raise HttpError(413, "MSG_TOO_BIG")

        batches = yield from bulk.split_lines(broker.frames, body, check)
    else:
        if binary not in ("true", "1"):
            log.warning("deprecated value '%s' used for /mpub binary param", binary)
        try:
            decoder = BatchDecoder(
                broker.frames,
                body,
                0,
                len(body),
                max_msg_size=limits.max_msg_size,
                max_body_size=limits.max_body_size,
            )
            batches = yield from bulk.decode(decoder)
        except BatchError as e:
            raise HttpError(413, f"BAD_{e.kind}") from None
    try:
        return (yield from bulk.put(topic, batches))
    except Refused:
        raise EXITING from None


def topic_of(broker: Broker, args: Arguments) -> Topic:
    """The topic of a publish, created if need be; raises HttpError."""
    name = args.topic
    if name is None:
        raise HttpError(400, "MISSING_ARG_TOPIC")
    topic = broker.topics.get(name)
    if topic is not None:
        return topic
    if not valid_name(name.decode("utf-8", "surrogateescape")):
        raise HttpError(400, "INVALID_TOPIC")
    try:
        return broker.topic(name)
    except Refused:
        raise EXITING from None


def _defer(text: str, limit_ms: int) -> int:
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not (digits.isascii() and digits.isdigit() and len(digits) < 20 and 0 <= int(text) <= limit_ms):
        raise HttpError(400, "INVALID_DEFER")
    return int(text)
