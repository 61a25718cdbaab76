"""The commands of publishers: PUB, MPUB, DPUB."""

from __future__ import annotations

from collections.abc import Generator

from nsqd import bulk
from nsqd.errors import BatchError, FatalError, Refused, ShortBatch
from nsqd.frames import SLICE, BatchDecoder, check_count, look_ahead
from nsqd.protocol.parameters import I32, decimal, existing, text, topic_of
from nsqd.protocol.session import PartialBatch, Session
from nsqd.topic import Topic

_CLOSELY = 4096
"""Bytes at the beginning of a batch of which every length is looked at as soon as it is there."""
MOST_RUN = 1000
"""PUBs of one read that are published as one batch."""


def _message_end(session: Session, buf: bytes, at: int, end: int, command: str) -> int:
    """Where the one message of PUB or DPUB ends, or minus the place up to which more is needed."""
    if end - at < 4:
        return -(at + 4)
    size: int = I32.unpack_from(buf, at)[0]
    if not 0 < size <= session.max_msg_size:
        if size <= 0:
            raise FatalError("E_BAD_MESSAGE", f"{command} invalid message body size {size}")
        raise FatalError("E_BAD_MESSAGE", f"{command} message too big {size} > {session.max_msg_size}")
    stop = at + 4 + size
    return stop if stop <= end else -stop


def pub(session: Session, words: list[bytes], buf: bytes, at: int, end: int) -> int:
    """PUB, and all PUBs to the same topic right behind it: a run is published as one batch.

    A client that does not wait for its answers sends hundreds in one read; together they cost 0.6 µs each
    where one alone costs 2.
    """
    topic = session.topics.get(words[1]) if len(words) > 1 else None
    if topic is None:
        topic_of(session, words, "PUB")
    stop = _message_end(session, buf, at, end, "PUB")
    if stop < 0:
        return stop
    if session.auth is not None and not session.auth.permits("PUB", words[1]):
        return 0
    if topic is None:
        topic = existing(session, words[1], "PUB")
    body, count = buf[at + 4 : stop], 1
    if stop < end and buf.startswith(b"PUB %b\n" % words[1], stop):
        bodies = [body]
        stop = _more_messages(session, buf, stop, end, b"PUB %b\n" % words[1], bodies)
        batch, count = session.frames.many(bodies), len(bodies)
    else:
        batch = session.frames.one(body)
    try:
        ticket = topic.put(batch)
    except Refused as e:
        raise FatalError("E_PUB_FAILED", f"PUB failed {e}") from None
    _count(session, topic, count)
    session.answer_publish(ticket, "PUB", count)
    return stop


def _more_messages(session: Session, buf: bytes, at: int, end: int, head: bytes, bodies: list[bytes]) -> int:
    """Collects the bodies of the PUBs that begin at ``at`` with ``head``; returns where the first other thing begins.

    Which may be a PUB that is incomplete or wrong: it is left to the ordinary way.
    """
    most, skip, size_at, startswith = session.max_msg_size, len(head) + 4, I32.unpack_from, buf.startswith
    while len(bodies) < MOST_RUN and startswith(head, at) and end - at >= skip:
        start = at + skip
        (size,) = size_at(buf, start - 4)
        stop = start + size
        if not 0 < size <= most or stop > end:
            break
        bodies.append(buf[start:stop])
        at = stop
    return at


def dpub(session: Session, words: list[bytes], buf: bytes, at: int, end: int) -> int:
    """One message, to be delivered after a delay; answers OK."""
    if len(words) < 3:
        raise FatalError("E_INVALID", "DPUB insufficient number of parameters")
    topic = topic_of(session, words, "DPUB")
    delay_ms, limit = decimal(words[2]), session.options.max_req_timeout.ms
    if delay_ms is None:
        raise FatalError("E_INVALID", f"DPUB could not parse timeout {text(words[2])}")
    if not 0 <= delay_ms <= limit:
        raise FatalError(
            "E_INVALID", f"DPUB timeout {delay_ms & 0xFFFF_FFFF_FFFF_FFFF} out of range 0-{limit}"
        )
    stop = _message_end(session, buf, at, end, "DPUB")
    if stop < 0:
        return stop
    if session.auth is not None and not session.auth.permits("DPUB", words[1]):
        return 0
    topic = topic or existing(session, words[1], "DPUB")
    body = buf[at + 4 : stop]
    ticket = None
    try:
        if delay_ms:
            topic.put_deferred(session.frames.one(body, attempts=0).frames[0], len(body), delay_ms / 1000)
        else:
            ticket = topic.put(session.frames.one(body))
    except Refused as e:
        raise FatalError("E_DPUB_FAILED", f"DPUB failed {e}") from None
    _count(session, topic, 1)
    session.answer_publish(ticket, "DPUB")
    return stop


def mpub(session: Session, words: list[bytes], buf: bytes, at: int, end: int) -> int:
    """Many messages, all or none; answers OK. A very long batch goes on in later turns of the loop.

    Where the batch ends is decided by its count and its messages' lengths, as in the original; the total in
    front tells how much to wait for, and a client that gets it wrong only has to wait a little longer.
    """
    topic, options = topic_of(session, words, "MPUB", "E_BAD_TOPIC "), session.options
    if session.auth is not None and not session.auth.permits("MPUB", words[1]):
        return 0
    if end - at < 4:
        return -(at + 4)
    size: int = I32.unpack_from(buf, at)[0]
    if size <= 0:
        raise FatalError("E_BAD_BODY", f"MPUB invalid body size {size}")
    if size > options.max_body_size:
        raise FatalError("E_BAD_BODY", f"MPUB body too big {size} > {options.max_body_size}")
    at += 4
    stop, partial = at + size, session.partial_batch
    if partial is not None and partial.done:
        session.partial_batch = None
        return at + partial.done
    if stop <= end and (partial is None or not partial.total_wrong):
        try:
            return _publish(session, topic, words[1], buf, at, stop)
        except ShortBatch:
            session.partial_batch = PartialBatch(total_wrong=True)
    try:
        reached = _end_by_count(session, buf, at, end, stop)
    except BatchError as e:
        raise _refusal(e) from None
    return _publish(session, topic, words[1], buf, at, reached) if reached > 0 else reached


def _end_by_count(session: Session, buf: bytes, at: int, end: int, stop: int) -> int:
    """Where a batch ends of which not all seems to be there, or minus the place up to which more is needed.

    Or 0 to be asked again soon. Its first bytes are looked at as they come: that is enough for what people try
    by hand and for broken clients, so that what is wrong is refused, and what is complete is published, without
    waiting for a total that may never be reached. Looking at all of a long one would cost a tenth of its
    publishing: that is done only if the rest keeps us waiting, or if the total is known to be wrong.
    """
    if end - at < 4:
        return -(at + 4)
    most, partial = session.options.max_body_size, session.partial_batch
    count = check_count(buf, at, most)
    index, place, seen, until = 0, at + 4, min(end, at + _CLOSELY), count
    if partial is not None:
        index, place, seen, until = partial.index, at + partial.at, end, min(count, partial.index + SLICE)
    index, place = look_ahead(
        buf, place, seen, index=index, count=until, max_msg_size=session.options.max_msg_size
    )
    needed = place + 5 * (count - index)  # at least: no message is shorter
    if needed - at > most:
        raise BatchError("BODY", f"body too big {needed - at} > {most}")
    if needed <= end and index == count:
        return needed
    if partial is None:
        if place + 4 <= at + _CLOSELY or index == count:
            return -(place + 4 if index < count else place)
        partial = session.partial_batch = PartialBatch()
    partial.index, partial.at = index, place - at
    if index == until < count:
        return 0
    partial.total_wrong = partial.total_wrong or needed > stop
    if partial.total_wrong:
        return -needed
    session.doubt_later(partial.delay)
    partial.delay *= 2
    return -stop


def _publish(session: Session, topic: Topic | None, name: bytes, buf: bytes, at: int, stop: int) -> int:
    """Publishes the batch in ``buf[at:stop]``; returns where it ends, 0 if that goes on in later turns.

    Raises ShortBatch if there are more messages than fit.
    """
    work = _publish_batch(session, topic, name, buf, at, stop)
    try:
        next(work)
    except StopIteration as done:
        session.partial_batch = None
        reached: int = done.value
        return reached
    session.go_on_later(work)
    return 0


def _publish_batch(
    session: Session, topic: Topic | None, name: bytes, buf: bytes, at: int, stop: int
) -> Generator[None, None, int]:
    limits = session.options
    decoder: BatchDecoder | None = None
    try:
        decoder = BatchDecoder(
            session.frames,
            buf,
            at,
            stop,
            max_msg_size=limits.max_msg_size,
            max_body_size=limits.max_body_size,
        )
        batches = yield from bulk.decode(decoder)
    except ShortBatch:
        if decoder is None or not decoder.batches:
            raise
        session.partial_batch = PartialBatch(total_wrong=True)
        return 0
    except BatchError as e:
        raise _refusal(e) from None
    if topic is None or topic.exiting:
        topic = existing(session, name, "MPUB")
    try:
        ticket = yield from bulk.put(topic, batches)
    except Refused as e:
        raise FatalError("E_MPUB_FAILED", f"MPUB failed {e}") from None
    _count(session, topic, sum(len(batch.frames) for batch in batches))
    session.answer_publish(ticket, "MPUB")
    if len(batches) > 1:  # it took more than one turn: the command is looked at once more
        session.partial_batch = PartialBatch(done=decoder.end - at)
    return decoder.end


def _refusal(error: BatchError) -> FatalError:
    return FatalError(f"E_BAD_{error.kind}", f"MPUB {error}")


def _count(session: Session, topic: Topic, messages: int) -> None:
    published = session.client.published
    published[topic.name] = published.get(topic.name, 0) + messages


def unfinished_batch(session: Session, body: bytes) -> FatalError | None:
    """What is wrong with the body of an MPUB, its size in front, whose client has ended its side; None if nothing is."""
    limits = session.options
    try:
        BatchDecoder(
            session.frames,
            body,
            4,
            len(body),
            max_msg_size=limits.max_msg_size,
            max_body_size=limits.max_body_size,
        ).step(limits.max_body_size)
    except BatchError as e:
        return _refusal(e)
    return None
