"""The commands of the V2 protocol: one handler per verb, and the loop that finds them in what was read.

A handler gets the session, the words of its line, the buffer and where the line ended; it returns where the
next command begins. A command whose body is not there yet returns minus the place up to which it needs the
buffer. Order of checks, texts and codes are the original's (nsqd reference, 2.5).
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from struct import Struct

from nsqcore.golang import go_quote
from nsqcore.names import valid_name
from nsqcore.wire.frames import CLOSE_WAIT, ID_SIZE
from nsqd import bulk, identify
from nsqd.client import State
from nsqd.errors import BatchError, FatalError, ProtocolError, Refused
from nsqd.frames import BatchDecoder, check_count
from nsqd.in_flight import InFlight
from nsqd.session import Session
from nsqd.topic import Topic

MAX_LINE = 16384
MAX_COMMANDS = 1000
"""Commands of one read that are obeyed in one go, some 3 ms; then others have the loop."""

_I32 = Struct(">i")
_FIN_RUN = Struct("4x16sx")
_FIN_SIZE = 21
_MOST_FINS = 500
"""FINs of one run: what is looked at ahead must not cost more than what is found."""
_F = ord("F")

Handler = Callable[[Session, list[bytes], bytes, int, int], int]


class LineTooLong(Exception):
    """No end of line within 16,384 bytes: the connection is closed without an error frame."""


def obey(session: Session, buf: bytes) -> int:
    """Obeys the commands in ``buf``; returns how many bytes are done with.

    Fewer than all are when a command is incomplete (``session.wanted`` says how much it needs), when one is
    still at work (``session.suspended``), when there were very many, or after a fatal error. Raises
    LineTooLong.
    """
    at, end, session.wanted = 0, len(buf), 0
    client, find, left = session.client, buf.find, MAX_COMMANDS
    try:
        while at < end and left > 0:
            if buf[at] == _F and end - at >= _FIN_SIZE and client.state is not State.INIT:
                done = (
                    _finish_run(session, buf, at, end)
                    if end - at > _FIN_SIZE
                    else _finish_one(session, buf, at)
                )
                if done:
                    at += done
                    continue
            newline = find(b"\n", at, at + MAX_LINE)
            if newline < 0:
                if end - at >= MAX_LINE:
                    raise LineTooLong
                session.wanted = end - at + 1
                break
            line = buf[at : newline - 1] if buf[newline - 1] == 13 and newline > at else buf[at:newline]
            words = line.split(b" ")
            handler = COMMANDS.get(words[0])
            if handler is None:
                raise FatalError("E_INVALID", f"invalid command {_text(words[0])}")
            try:
                reached = handler(session, words, buf, newline + 1, end)
            except FatalError:
                raise
            except ProtocolError as e:
                session.refuse(e)
                reached = newline + 1
            if reached < 0:
                session.wanted = -reached - at
                break
            at = reached
            left -= 1
            if session.suspended:
                break
    except FatalError as e:
        session.refuse(e)
        return end
    return at


def _finish_run(session: Session, buf: bytes, at: int, end: int) -> int:
    """A run of FINs, each 21 bytes, obeyed in bulk; returns its length in bytes, 0 if there is none.

    The struct's iterator and bare ``del`` take 77 ns per FIN where slicing and ``pop`` take 124. A FIN that
    misses ends the run: the ordinary handler then words the exact error.
    """
    client = session.client
    messages = client.in_flight.messages
    if buf[at + 4 : at + 20] not in messages:
        return 0
    count = min((end - at) // _FIN_SIZE, _MOST_FINS)
    stop = at + _FIN_SIZE * count
    for offset, byte in ((20, b"\n"), (0, b"F"), (1, b"I"), (2, b"N"), (3, b" ")):
        column = buf[at + offset : stop : _FIN_SIZE]
        if column != byte * count:
            count = len(column) - len(column.lstrip(byte))
            stop = at + _FIN_SIZE * count
    if not count:
        return 0
    before = len(messages)
    try:
        for (message_id,) in _FIN_RUN.iter_unpack(buf[at : at + _FIN_SIZE * count]):
            del messages[message_id]
    except KeyError:
        pass
    done = before - len(messages)
    if done:
        client.finish_count += done
        if session.channel is not None:
            session.channel.hungry(client)
    return _FIN_SIZE * done


def _finish_one(session: Session, buf: bytes, at: int) -> int:
    """The only FIN of a read, as consumers with RDY 1 send it; 0 when it is something else or misses."""
    if buf[at + 20] != 10 or not buf.startswith(b"FIN ", at):
        return 0
    client = session.client
    try:
        del client.in_flight.messages[buf[at + 4 : at + 20]]
    except KeyError:
        return 0
    client.finish_count += 1
    if session.channel is not None:
        session.channel.hungry(client)
    return _FIN_SIZE


# -- parameters ------------------------------------------------------------------------------------


def _text(word: bytes) -> str:
    return word.decode("utf-8", "surrogateescape")


def decimal(word: bytes) -> int | None:
    """A decimal parameter as the original reads it: digits only, empty is 0, 64 bits, signed at last."""
    if not word:
        return 0
    if not word.isdigit():
        return None
    value = 0
    for at in range(0, len(word), 18):
        digits = word[at : at + 18]
        value = (value * 10 ** len(digits) + int(digits)) & 0xFFFF_FFFF_FFFF_FFFF
    return value - (1 << 64) if value >> 63 else value


def _topic_of(session: Session, words: list[bytes], command: str, prefix: str = "") -> Topic | None:
    """The topic a publish names; None for a valid one that does not exist yet."""
    if len(words) < 2:
        raise FatalError("E_INVALID", f"{command} insufficient number of parameters")
    topic = session.broker.topics.get(words[1])
    if topic is None and not valid_name(_text(words[1])):
        raise FatalError("E_BAD_TOPIC", f"{prefix}{command} topic name {go_quote(words[1])} is not valid")
    return topic


def _existing(session: Session, topic: Topic | None, name: bytes, command: str) -> Topic:
    try:
        return topic if topic is not None else session.broker.topic(name)
    except Refused as e:
        raise FatalError(f"E_{command}_FAILED", f"{command} failed {e}") from None


def _message_id(session: Session, words: list[bytes], command: str, count: int) -> bytes:
    if session.client.state is State.INIT:
        raise FatalError("E_INVALID", f"cannot {command} in current state")
    if len(words) < count:
        raise FatalError("E_INVALID", f"{command} insufficient number of params")
    if len(words[1]) != ID_SIZE:
        raise FatalError("E_INVALID", "invalid message ID")
    return words[1]


def _not_held(session: Session, message_id: bytes, command: str) -> ProtocolError:
    """What is wrong with an answer to a message that this client does not hold."""
    owned = session.channel is not None and session.channel.owned_by_other(session.client, message_id)
    why = "client does not own message" if owned else "ID not in flight"
    return ProtocolError(f"E_{command}_FAILED", f"{command} {_text(message_id)} failed {why}")


# -- commands with a body --------------------------------------------------------------------------


def _body_size(buf: bytes, at: int, command: str, limit: int) -> int:
    """The length of a body of IDENTIFY, AUTH."""
    size: int = _I32.unpack_from(buf, at)[0]
    if size > limit:
        raise FatalError("E_BAD_BODY", f"{command} body too big {size} > {limit}")
    if size <= 0:
        raise FatalError("E_BAD_BODY", f"{command} invalid body size {size}")
    return size


def _identify(session: Session, words: list[bytes], buf: bytes, at: int, end: int) -> int:
    client, options = session.client, session.options
    if client.state is not State.INIT:
        raise FatalError("E_INVALID", "cannot IDENTIFY in current state")
    if end - at < 4:
        return -(at + 4)
    stop = at + 4 + _body_size(buf, at, "IDENTIFY", options.max_body_size)
    if stop > end:
        return -stop
    identity = identify.Identity(buf[at + 4 : stop])
    client.settings = identify.negotiate(identity, options)
    session.answer(identify.answer(identity, client.settings, options))
    session.settings_changed()
    return stop


def _auth(session: Session, words: list[bytes], buf: bytes, at: int, end: int) -> int:
    if session.client.state is not State.INIT:
        raise FatalError("E_INVALID", "cannot AUTH in current state")
    if len(words) != 1:
        raise FatalError("E_INVALID", "AUTH invalid number of parameters")
    if end - at < 4:
        return -(at + 4)
    stop = at + 4 + _body_size(buf, at, "AUTH", session.options.max_body_size)
    if stop > end:
        return -stop
    raise FatalError("E_AUTH_DISABLED", "AUTH disabled")


def _message_end(session: Session, buf: bytes, at: int, end: int, command: str) -> int:
    """Where the one message of PUB or DPUB ends, or minus the place up to which more is needed."""
    if end - at < 4:
        return -(at + 4)
    size: int = _I32.unpack_from(buf, at)[0]
    if not 0 < size <= session.max_msg_size:
        if size <= 0:
            raise FatalError("E_BAD_MESSAGE", f"{command} invalid message body size {size}")
        raise FatalError("E_BAD_MESSAGE", f"{command} message too big {size} > {session.max_msg_size}")
    stop = at + 4 + size
    return stop if stop <= end else -stop


def _pub(session: Session, words: list[bytes], buf: bytes, at: int, end: int) -> int:
    """PUB, and all PUBs to the same topic right behind it: a run is published as one batch.

    A client that does not wait for its answers sends hundreds in one read; together they cost 0.6 µs each
    where one alone costs 2.
    """
    topic = session.topics.get(words[1]) if len(words) > 1 else None
    if topic is None:
        _topic_of(session, words, "PUB")
    stop = _message_end(session, buf, at, end, "PUB")
    if stop < 0:
        return stop
    if topic is None:
        topic = _existing(session, None, words[1], "PUB")
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
    most, skip, size_at, startswith = session.max_msg_size, len(head) + 4, _I32.unpack_from, buf.startswith
    while len(bodies) < MAX_COMMANDS and startswith(head, at) and end - at >= skip:
        start = at + skip
        (size,) = size_at(buf, start - 4)
        stop = start + size
        if not 0 < size <= most or stop > end:
            break
        bodies.append(buf[start:stop])
        at = stop
    return at


def _dpub(session: Session, words: list[bytes], buf: bytes, at: int, end: int) -> int:
    if len(words) < 3:
        raise FatalError("E_INVALID", "DPUB insufficient number of parameters")
    topic = _topic_of(session, words, "DPUB")
    delay_ms, limit = decimal(words[2]), session.options.max_req_timeout.ms
    if delay_ms is None:
        raise FatalError("E_INVALID", f"DPUB could not parse timeout {_text(words[2])}")
    if not 0 <= delay_ms <= limit:
        raise FatalError(
            "E_INVALID", f"DPUB timeout {delay_ms & 0xFFFF_FFFF_FFFF_FFFF} out of range 0-{limit}"
        )
    stop = _message_end(session, buf, at, end, "DPUB")
    if stop < 0:
        return stop
    topic = topic or _existing(session, topic, words[1], "DPUB")
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


def _mpub(session: Session, words: list[bytes], buf: bytes, at: int, end: int) -> int:
    topic, options = _topic_of(session, words, "MPUB", "E_BAD_TOPIC "), session.options
    if end - at < 4:
        return -(at + 4)
    size: int = _I32.unpack_from(buf, at)[0]
    if size <= 0:
        raise FatalError("E_BAD_BODY", f"MPUB invalid body size {size}")
    if size > options.max_body_size:
        raise FatalError("E_BAD_BODY", f"MPUB body too big {size} > {options.max_body_size}")
    stop = at + 4 + size
    if stop > end:
        if end - at < 8:
            return -min(at + 8, stop)
        _check_count(buf, at + 4, options.max_body_size)
        return -stop
    work = _publish_batch(session, topic, words[1], buf, at + 4, stop)
    try:
        next(work)
    except StopIteration:
        return stop
    session.go_on_later(work)
    return stop


def _check_count(buf: bytes, at: int, max_body_size: int) -> None:
    """Refuses an impossible count before the rest of the body is waited for."""
    try:
        check_count(buf, at, max_body_size)
    except BatchError as e:
        raise _batch_refusal(e) from None


def _publish_batch(
    session: Session, topic: Topic | None, name: bytes, buf: bytes, at: int, stop: int
) -> Generator[None, None, None]:
    limits = session.options
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
    except BatchError as e:
        raise _batch_refusal(e) from None
    if decoder.end != stop:  # the original does not notice, and takes what follows for commands
        raise FatalError("E_BAD_BODY", f"MPUB {stop - decoder.end} bytes left behind the last message")
    if topic is None or topic.exiting:
        topic = _existing(session, None, name, "MPUB")
    try:
        ticket = yield from bulk.put(topic, batches)
    except Refused as e:
        raise FatalError("E_MPUB_FAILED", f"MPUB failed {e}") from None
    _count(session, topic, sum(len(batch.frames) for batch in batches))
    session.answer_publish(ticket, "MPUB")


def _batch_refusal(error: BatchError) -> FatalError:
    return FatalError(f"E_BAD_{error.kind}", f"MPUB {error}")


def _count(session: Session, topic: Topic, messages: int) -> None:
    published = session.client.published
    published[topic.name] = published.get(topic.name, 0) + messages


# -- commands of a line ----------------------------------------------------------------------------


def _sub(session: Session, words: list[bytes], buf: bytes, at: int, end: int) -> int:
    client, options = session.client, session.options
    if client.state is not State.INIT:
        raise FatalError("E_INVALID", "cannot SUB in current state")
    if not client.settings.heartbeat_interval:
        raise FatalError("E_INVALID", "cannot SUB with heartbeats disabled")
    if len(words) < 3:
        raise FatalError("E_INVALID", "SUB insufficient number of parameters")
    topic_name, channel_name = words[1], _text(words[2])
    if not valid_name(_text(topic_name)):
        raise FatalError("E_BAD_TOPIC", f"SUB topic name {go_quote(topic_name)} is not valid")
    if not valid_name(channel_name):
        raise FatalError("E_BAD_CHANNEL", f"SUB channel name {go_quote(words[2])} is not valid")
    try:
        channel = session.broker.channel(session.broker.topic(topic_name), channel_name)
    except Refused as e:
        raise FatalError("E_SUB_FAILED", f"SUB failed {e}") from None
    limit = options.max_channel_consumers
    if limit and len(channel.clients) >= limit:
        why = f"consumers for {channel.topic_name}:{channel.name} exceeds limit of {limit}"
        raise FatalError("E_SUB_FAILED", f"SUB failed {why}")
    client.in_flight = InFlight(client.settings.msg_timeout / 1000, options.max_msg_timeout.seconds)
    client.state = State.SUBSCRIBED
    channel.add_client(client)
    session.channel = channel
    session.answer(b"OK")
    return at


def _rdy(session: Session, words: list[bytes], buf: bytes, at: int, end: int) -> int:
    client = session.client
    if client.state is State.CLOSING:
        return at
    if client.state is State.INIT:
        raise FatalError("E_INVALID", "cannot RDY in current state")
    count, limit = decimal(words[1]) if len(words) > 1 else 1, session.options.max_rdy_count
    if count is None:
        raise FatalError("E_INVALID", f"RDY could not parse count {_text(words[1])}")
    if not 0 <= count <= limit:
        raise FatalError("E_INVALID", f"RDY count {count} out of range 0-{limit}")
    client.ready = count
    if session.channel is not None:
        session.channel.hungry(client)
    return at


def _fin(session: Session, words: list[bytes], buf: bytes, at: int, end: int) -> int:
    message_id = _message_id(session, words, "FIN", 2)
    if session.channel is None or not session.channel.finish(session.client, message_id):
        raise _not_held(session, message_id, "FIN")
    return at


def _req(session: Session, words: list[bytes], buf: bytes, at: int, end: int) -> int:
    message_id = _message_id(session, words, "REQ", 3)
    delay_ms = decimal(words[2])
    if delay_ms is None:
        raise FatalError("E_INVALID", f"REQ could not parse timeout {_text(words[2])}")
    delay = min(max(delay_ms, 0), session.options.max_req_timeout.ms) / 1000
    if session.channel is None or not session.channel.requeue(session.client, message_id, delay):
        raise _not_held(session, message_id, "REQ")
    return at


def _touch(session: Session, words: list[bytes], buf: bytes, at: int, end: int) -> int:
    message_id = _message_id(session, words, "TOUCH", 2)
    if session.channel is None or not session.channel.touch(session.client, message_id):
        raise _not_held(session, message_id, "TOUCH")
    return at


def _cls(session: Session, words: list[bytes], buf: bytes, at: int, end: int) -> int:
    if session.client.state is not State.SUBSCRIBED:
        raise FatalError("E_INVALID", "cannot CLS in current state")
    session.client.state = State.CLOSING
    session.client.ready = 0
    session.answer(CLOSE_WAIT)
    return at


def _nop(session: Session, words: list[bytes], buf: bytes, at: int, end: int) -> int:
    return at


COMMANDS: dict[bytes, Handler] = {
    b"IDENTIFY": _identify,
    b"AUTH": _auth,
    b"SUB": _sub,
    b"PUB": _pub,
    b"MPUB": _mpub,
    b"DPUB": _dpub,
    b"RDY": _rdy,
    b"FIN": _fin,
    b"REQ": _req,
    b"TOUCH": _touch,
    b"CLS": _cls,
    b"NOP": _nop,
}


def truncated(session: Session, rest: bytes) -> FatalError | None:
    """What a client is told that ended its side inside a command; None when that needs no words."""
    line, newline, body = rest.partition(b"\n")
    command = _text(line.rstrip(b"\r").split(b" ")[0])
    if not newline or command not in ("PUB", "DPUB", "MPUB", "IDENTIFY", "AUTH"):
        return None
    what, code = ("message body", "E_BAD_MESSAGE") if command in ("PUB", "DPUB") else ("body", "E_BAD_BODY")
    if len(body) < 4:
        return FatalError(code, f"{command} failed to read {what} size")
    if command != "MPUB":
        return FatalError(code, f"{command} failed to read {what}")
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
        return _batch_refusal(e)
    return FatalError(code, "MPUB failed to read body")
