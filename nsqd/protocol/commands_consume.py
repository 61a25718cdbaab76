"""The commands of consumers: SUB, RDY, FIN, REQ, TOUCH, CLS; and FINs in bulk."""

from __future__ import annotations

from struct import Struct

from nsqcore.golang import go_quote
from nsqcore.names import valid_name
from nsqcore.wire.frames import CLOSE_WAIT
from nsqd.channel import Channel
from nsqd.client import Client, State
from nsqd.errors import FatalError, Refused
from nsqd.in_flight import InFlight
from nsqd.latency import Latency
from nsqd.protocol.parameters import decimal, message_id_of, not_held, text
from nsqd.protocol.session import Session

_FIN_RUN = Struct("4x16sx")
FIN_SIZE = 21
_MOST_FINS = 500
"""FINs of one run: what is looked at ahead must not cost more than what is found."""


def finish_run(session: Session, buf: bytes, at: int, end: int) -> int:
    """A run of FINs, each 21 bytes, obeyed in bulk; returns its length in bytes, 0 if there is none.

    The struct's iterator and bare ``del`` take 77 ns per FIN where slicing and ``pop`` take 124. A FIN that
    misses ends the run: the ordinary handler then words the exact error.
    """
    client = session.client
    messages = client.in_flight.messages
    channel = session.channel
    if channel is None or buf[at + 4 : at + 20] not in messages:
        return 0
    count = min((end - at) // FIN_SIZE, _MOST_FINS)
    stop = at + FIN_SIZE * count
    for offset, byte in ((20, b"\n"), (0, b"F"), (1, b"I"), (2, b"N"), (3, b" ")):
        column = buf[at + offset : stop : FIN_SIZE]
        if column != byte * count:
            count = len(column) - len(column.lstrip(byte))
            stop = at + FIN_SIZE * count
    if not count:
        return 0
    if channel.latency is not None:
        return _finish_measured(client, channel, channel.latency, buf[at : at + FIN_SIZE * count])
    before = len(messages)
    try:
        for (message_id,) in _FIN_RUN.iter_unpack(buf[at : at + FIN_SIZE * count]):
            del messages[message_id]
    except KeyError:
        pass
    done = before - len(messages)
    if done:
        client.finish_count += done
        channel.hungry(client)
    return FIN_SIZE * done


def _finish_measured(client: Client, channel: Channel, latency: Latency, run: bytes) -> int:
    """The same where latencies are measured, for which the frames are needed."""
    take, frames = client.in_flight.messages.pop, []
    try:
        for (message_id,) in _FIN_RUN.iter_unpack(run):
            frames.append(take(message_id))
    except KeyError:
        pass
    latency.finished(frames)
    client.finish_count += len(frames)
    channel.hungry(client)
    return FIN_SIZE * len(frames)


def finish_one(session: Session, buf: bytes, at: int) -> int:
    """The only FIN of a read, as consumers with RDY 1 send it; 0 when it is something else or misses."""
    if buf[at + 20] != 10 or not buf.startswith(b"FIN ", at):
        return 0
    client, channel = session.client, session.channel
    if channel is None or channel.latency is not None:
        return 0  # the ordinary handler does it
    try:
        del client.in_flight.messages[buf[at + 4 : at + 20]]
    except KeyError:
        return 0
    client.finish_count += 1
    channel.hungry(client)
    return FIN_SIZE


def sub(session: Session, words: list[bytes], buf: bytes, at: int, end: int) -> int:
    """Joins a channel, topic and channel created if they are not there; answers OK."""
    client, options = session.client, session.options
    if client.state is not State.INIT:
        raise FatalError("E_INVALID", "cannot SUB in current state")
    if not client.settings.heartbeat_interval:
        raise FatalError("E_INVALID", "cannot SUB with heartbeats disabled")
    if len(words) < 3:
        raise FatalError("E_INVALID", "SUB insufficient number of parameters")
    topic_name, channel_name = words[1], text(words[2])
    if not valid_name(text(topic_name)):
        raise FatalError("E_BAD_TOPIC", f"SUB topic name {go_quote(topic_name)} is not valid")
    if not valid_name(channel_name):
        raise FatalError("E_BAD_CHANNEL", f"SUB channel name {go_quote(words[2])} is not valid")
    if session.auth is not None and not session.auth.permits("SUB", topic_name, words[2]):
        return 0
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


def rdy(session: Session, words: list[bytes], buf: bytes, at: int, end: int) -> int:
    """How many messages the client may hold from now on; no answer."""
    client = session.client
    if client.state is State.CLOSING:
        return at
    if client.state is State.INIT:
        raise FatalError("E_INVALID", "cannot RDY in current state")
    count, limit = decimal(words[1]) if len(words) > 1 else 1, session.options.max_rdy_count
    if count is None:
        raise FatalError("E_INVALID", f"RDY could not parse count {text(words[1])}")
    if not 0 <= count <= limit:
        raise FatalError("E_INVALID", f"RDY count {count} out of range 0-{limit}")
    client.ready = count
    if session.channel is not None:
        session.channel.hungry(client)
    return at


def fin(session: Session, words: list[bytes], buf: bytes, at: int, end: int) -> int:
    """A message is done; the fast ways above have looked at the line before. No answer."""
    message_id = message_id_of(session, words, "FIN", 2)
    if session.channel is None or not session.channel.finish(session.client, message_id):
        raise not_held(session, message_id, "FIN")
    return at


def req(session: Session, words: list[bytes], buf: bytes, at: int, end: int) -> int:
    """A message goes back, with a delay of at most ``--max-req-timeout``; no answer."""
    message_id = message_id_of(session, words, "REQ", 3)
    delay_ms = decimal(words[2])
    if delay_ms is None:
        raise FatalError("E_INVALID", f"REQ could not parse timeout {text(words[2])}")
    delay = max(min(delay_ms, session.options.max_req_timeout.ms), 0) / 1000
    if session.channel is None or not session.channel.requeue(session.client, message_id, delay):
        raise not_held(session, message_id, "REQ")
    return at


def touch(session: Session, words: list[bytes], buf: bytes, at: int, end: int) -> int:
    """A message gets its time again; no answer."""
    message_id = message_id_of(session, words, "TOUCH", 2)
    if session.channel is None or not session.channel.touch(session.client, message_id):
        raise not_held(session, message_id, "TOUCH")
    return at


def cls(session: Session, words: list[bytes], buf: bytes, at: int, end: int) -> int:
    """No more messages; those that are out may still be answered. Answers CLOSE_WAIT."""
    if session.client.state is not State.SUBSCRIBED:
        raise FatalError("E_INVALID", "cannot CLS in current state")
    session.client.state = State.CLOSING
    session.client.ready = 0
    session.answer(CLOSE_WAIT)
    return at


def nop(session: Session, words: list[bytes], buf: bytes, at: int, end: int) -> int:
    """A sign of life."""
    return at
