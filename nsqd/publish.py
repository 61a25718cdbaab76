"""Publishing over HTTP: what ``/pub`` and ``/mpub`` check and do, whoever read the request (reference, 5.4)."""

from __future__ import annotations

import logging
from collections.abc import Generator

from nsqcore.errors import HttpError
from nsqcore.names import valid_name
from nsqcore.query import parse_query
from nsqd.broker import Broker
from nsqd.errors import BatchError, Refused
from nsqd.frames import SLICE, Batch, BatchDecoder
from nsqd.ticket import Ticket
from nsqd.topic import Topic

log = logging.getLogger(__name__)
EXITING = HttpError(503, "EXITING")


def body_limit(broker: Broker, path: str) -> tuple[int, str]:
    """The most bytes that a body may have, and the code of the 413 for more."""
    if path == "/pub":
        return broker.options.max_msg_size, "MSG_TOO_BIG"
    return broker.options.max_body_size, "BODY_TOO_BIG"


def arguments(path: str, query: str, body_size: int) -> dict[str, str]:
    """The query's parameters; raises HttpError for a bad query, or an empty message, which comes first."""
    if path == "/pub" and not body_size:
        raise HttpError(400, "MSG_EMPTY")
    return parse_query(query)


def pub(broker: Broker, args: dict[str, str], body: bytes) -> Ticket | None:
    """One message; raises HttpError."""
    topic = _topic(broker, args)
    try:
        if "defer" not in args:
            return topic.put(broker.frames.one(body))
        delay_ms = _defer(args["defer"], broker.options.max_req_timeout.ms)
        if not delay_ms:
            return topic.put(broker.frames.one(body))
        topic.put_deferred(broker.frames.one(body, attempts=0).frames[0], len(body), delay_ms / 1000)
    except Refused:
        raise EXITING from None
    return None


def mpub(broker: Broker, args: dict[str, str], body: bytes) -> Generator[None, None, Ticket | None]:
    """Many messages. Yields between slices of long work, for the loop to turn; returns as :func:`pub` does.

    Raises HttpError; then nothing was published.
    """
    topic = _topic(broker, args)
    binary = args.get("binary", "false")
    if binary in ("false", "0"):
        batch = yield from _lines(broker, body)
    else:
        if binary not in ("true", "1"):
            log.warning("deprecated value '%s' used for /mpub binary param", binary)
        batch = yield from _binary(broker, body)
    if batch is None:
        return None
    try:
        return topic.put(batch)
    except Refused:
        raise EXITING from None


def _topic(broker: Broker, args: dict[str, str]) -> Topic:
    name = args.get("topic")
    if name is None:
        raise HttpError(400, "MISSING_ARG_TOPIC")
    topic = broker.topics.get(name.encode("utf-8", "surrogateescape"))
    if topic is not None:
        return topic
    if not valid_name(name):
        raise HttpError(400, "INVALID_TOPIC")
    try:
        return broker.topic(name.encode())
    except Refused:
        raise EXITING from None


def _defer(text: str, limit_ms: int) -> int:
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not (digits.isascii() and digits.isdigit() and len(digits) < 20 and 0 <= int(text) <= limit_ms):
        raise HttpError(400, "INVALID_DEFER")
    return int(text)


def _lines(broker: Broker, body: bytes) -> Generator[None, None, Batch | None]:
    limit = broker.options.max_msg_size
    lines = [line for line in body.split(b"\n") if line]
    if lines and max(map(len, lines)) > limit:
        raise HttpError(413, "MSG_TOO_BIG")
    if not lines:
        return None
    if len(lines) <= SLICE:
        return broker.frames.many(lines)
    frames: list[bytes] = []
    size = largest = 0
    for at in range(0, len(lines), SLICE):
        part = broker.frames.many(lines[at : at + SLICE])
        frames += part.frames
        size += part.size
        largest = max(largest, part.largest)
        yield
    return Batch(frames, size, largest)


def _binary(broker: Broker, body: bytes) -> Generator[None, None, Batch]:
    limits = broker.options
    try:
        decoder = BatchDecoder(
            broker.frames,
            body,
            0,
            len(body),
            max_msg_size=limits.max_msg_size,
            max_body_size=limits.max_body_size,
        )
        while True:
            batch = decoder.step()
            if batch is not None:
                return batch
            yield
    except BatchError as e:
        raise HttpError(413, f"BAD_{e.kind}") from None
