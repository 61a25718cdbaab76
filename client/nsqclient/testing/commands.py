"""What a fake nsqd does at each command: read whole, check in nsqd's order, do, answer."""

from __future__ import annotations

from dataclasses import replace

from nsqclient.testing.agreement import Fatal, agree
from nsqclient.testing.queues import Channel, NotYours
from nsqclient.testing.record import matches, shown
from nsqclient.testing.session import Handlers, Minor, Reading, ReadingBytes, Session, text
from nsqcore.golang import go_json, go_quote
from nsqcore.names import valid_name
from nsqcore.wire.frames import CLOSE_WAIT, ID_SIZE


def _need_state(session: Session, verb: str, *, subscribed: bool) -> None:
    if subscribed != (session.topic is not None):
        raise Fatal(f"E_INVALID cannot {verb} in current state")


def _body(
    session: Session, verb: str, limit: int, *, code: str = "E_BAD_BODY", message: str = ""
) -> ReadingBytes:
    try:
        size = int.from_bytes((yield 4), "big", signed=True)
    except EOFError:
        raise Fatal(f"{code} {verb} failed to read {message}body size") from None
    if size > limit:
        raise Fatal(f"{code} {verb} {message or 'body '}too big {size} > {limit}")
    if size <= 0:
        raise Fatal(f"{code} {verb} invalid {message}body size {size}")
    try:
        return (yield size)
    except EOFError:
        raise Fatal(f"{code} {verb} failed to read {message}body") from None


# ---- opening


def identify(session: Session, words: list[bytes]) -> Reading:
    """IDENTIFY: what the client asks for, and the layers that follow."""
    _need_state(session, "IDENTIFY", subscribed=False)
    body = yield from _body(session, "IDENTIFY", session.home.options.max_body_size)
    session.line = "IDENTIFY"
    options = session.home.options
    if session.home.faults.no_tls:
        options = replace(options, tls=None)
    agreed = agree(body, options, layered=session.layered)
    session.noted("IDENTIFY")
    session.agreement = agreed
    session.answer(agreed.answer)
    session.beat()
    if agreed.tls or agreed.snappy or agreed.deflate_level:
        session.upgrade(agreed)


def auth(session: Session, words: list[bytes]) -> Reading:
    """AUTH: whose secret it is."""
    _need_state(session, "AUTH", subscribed=False)
    if len(words) != 1:
        raise Fatal("E_INVALID AUTH invalid number of parameters")
    secret = yield from _body(session, "AUTH", session.home.options.max_body_size)
    if session.secret is not None:
        raise Fatal("E_INVALID AUTH already set")
    accounts = session.home.options.accounts
    if accounts is None:
        raise Fatal("E_AUTH_DISABLED AUTH disabled")
    session.noted("AUTH")
    account = accounts.get(text(secret))
    if account is None:
        raise Fatal("E_AUTH_FAILED AUTH failed")
    session.secret = text(secret)
    count = len(account.publish) + len(account.subscribe)
    session.answer(go_json({"identity": account.identity, "identity_url": "", "permission_count": count}))


def _check_auth(session: Session, verb: str, topic: bytes, channel: bytes = b"") -> None:
    accounts = session.home.options.accounts
    if accounts is None:
        return
    if session.secret is None:
        raise Fatal(f"E_AUTH_FIRST AUTH required before {verb}")
    account = accounts.get(session.secret)
    if account is None:
        raise Fatal("E_AUTH_FAILED AUTH failed")
    allowed = account.subscribe if verb == "SUB" else account.publish
    if not any(matches(text(topic), pattern) for pattern in allowed):
        raise Fatal(f"E_UNAUTHORIZED AUTH failed for {verb} on {go_quote(topic)} {go_quote(channel)}")


# ---- publishing


def _topic_name(session: Session, verb: str, words: list[bytes], *, least: int = 2, prefix: str = "") -> str:
    if len(words) < least:
        raise Fatal(f"E_INVALID {verb} insufficient number of parameters")
    if not valid_name(text(words[1])):
        raise Fatal(f"{prefix}E_BAD_TOPIC {verb} topic name {go_quote(words[1])} is not valid")
    return text(words[1])


def pub(session: Session, words: list[bytes]) -> Reading:
    """PUB: one message."""
    topic = _topic_name(session, "PUB", words)
    limit = session.home.options.max_msg_size
    body = yield from _body(session, "PUB", limit, code="E_BAD_MESSAGE", message="message ")
    _check_auth(session, "PUB", words[1])
    session.noted(f"PUB {topic} {shown(body)}")
    _publish(session, topic, [body])


def dpub(session: Session, words: list[bytes]) -> Reading:
    """DPUB: one message, kept back for a while."""
    topic = _topic_name(session, "DPUB", words, least=3)
    longest = int(session.home.options.max_req_timeout * 1000)
    delay = decimal(words[2])
    if delay is None:
        raise Fatal(f"E_INVALID DPUB could not parse timeout {text(words[2])}")
    if not 0 <= delay <= longest:
        raise Fatal(f"E_INVALID DPUB timeout {delay & (1 << 64) - 1} out of range 0-{longest}")
    limit = session.home.options.max_msg_size
    body = yield from _body(session, "DPUB", limit, code="E_BAD_MESSAGE", message="message ")
    _check_auth(session, "DPUB", words[1])
    session.noted(f"DPUB {topic} {delay} {shown(body)}")
    _publish(session, topic, [body], delay / 1000)


def mpub(session: Session, words: list[bytes]) -> Reading:
    """MPUB: many messages, all or none; where it ends is decided by their lengths, as in nsqd."""
    topic = _topic_name(session, "MPUB", words, prefix="E_BAD_TOPIC ")
    _check_auth(session, "MPUB", words[1])
    options = session.home.options
    try:
        size = int.from_bytes((yield 4), "big", signed=True)
    except EOFError:
        raise Fatal("E_BAD_BODY MPUB failed to read body size") from None
    if size <= 0:
        raise Fatal(f"E_BAD_BODY MPUB invalid body size {size}")
    if size > options.max_body_size:
        raise Fatal(f"E_BAD_BODY MPUB body too big {size} > {options.max_body_size}")
    try:
        count = int.from_bytes((yield 4), "big", signed=True)
    except EOFError:
        raise Fatal("E_BAD_BODY MPUB failed to read message count") from None
    if not 0 < count <= (options.max_body_size - 4) // 5:
        raise Fatal(f"E_BAD_BODY MPUB invalid message count {count}")
    bodies: list[bytes] = []
    while len(bodies) < count:
        bodies.append((yield from _batch_body(session, len(bodies))))
    session.noted(" ".join(["MPUB", topic, *map(shown, bodies)]))
    _publish(session, topic, bodies)


def _batch_body(session: Session, number: int) -> ReadingBytes:
    limit = session.home.options.max_msg_size
    try:
        size = int.from_bytes((yield 4), "big", signed=True)
    except EOFError:
        raise Fatal(f"E_BAD_MESSAGE MPUB failed to read message({number}) body size") from None
    if size <= 0:
        raise Fatal(f"E_BAD_MESSAGE MPUB invalid message({number}) body size {size}")
    if size > limit:
        raise Fatal(f"E_BAD_MESSAGE MPUB message too big {size} > {limit}")
    try:
        return (yield size)
    except EOFError:
        raise Fatal("E_BAD_MESSAGE MPUB failed to read message body") from None


def _publish(session: Session, topic: str, bodies: list[bytes], delay: float = 0.0) -> None:
    session.answer()
    session.home.stored(topic, bodies, delay)


def sub(session: Session, words: list[bytes]) -> None:
    """SUB: from now on it is a consumer."""
    _need_state(session, "SUB", subscribed=False)
    if not session.agreement.heartbeat:
        raise Fatal("E_INVALID cannot SUB with heartbeats disabled")
    topic_name = _topic_name(session, "SUB", words, least=3)
    if not valid_name(text(words[2])):
        raise Fatal(f"E_BAD_CHANNEL SUB channel name {go_quote(words[2])} is not valid")
    _check_auth(session, "SUB", words[1], words[2])
    session.noted(session.line)
    topic = session.home.queues.topic(topic_name)
    channel = topic.channel(text(words[2]))
    limit = session.home.options.max_channel_consumers
    if limit and len(channel.consumers) >= limit:
        raise Fatal(
            f"E_SUB_FAILED SUB failed consumers for {topic.name}:{channel.name} exceeds limit of {limit}"
        )
    session.topic, session.channel = topic, channel
    channel.consumers.append(session)
    session.answer()


def rdy(session: Session, words: list[bytes]) -> None:
    """RDY: how many messages it takes."""
    _need_state(session, "RDY", subscribed=True)
    if session.closing:
        return
    count = decimal(words[1]) if len(words) > 1 else 1
    if count is None:
        raise Fatal(f"E_INVALID RDY could not parse count {text(words[1])}")
    limit = session.home.options.max_rdy_count
    if not 0 <= count <= limit:
        raise Fatal(f"E_INVALID RDY count {count} out of range 0-{limit}")
    session.noted(session.line)
    session.rdy = count
    if session.channel is not None:
        session.channel.pump()


def _message(session: Session, verb: str, words: list[bytes], count: int) -> tuple[str, Channel]:
    _need_state(session, verb, subscribed=True)
    if len(words) < count:
        raise Fatal(f"E_INVALID {verb} insufficient number of params")
    if len(words[1]) != ID_SIZE:
        raise Fatal("E_INVALID invalid message ID")
    if session.channel is None:
        raise Minor(f"E_{verb}_FAILED {verb} {text(words[1])} failed ID not in flight")
    return text(words[1]), session.channel


def fin(session: Session, words: list[bytes]) -> None:
    """FIN: a message is done."""
    message_id, channel = _message(session, "FIN", words, 2)
    session.noted(session.line)
    try:
        channel.finish(session, message_id)
    except NotYours as e:
        raise Minor(f"E_FIN_FAILED FIN {message_id} failed {e}") from None


def req(session: Session, words: list[bytes]) -> None:
    """REQ: a message is to come again."""
    message_id, channel = _message(session, "REQ", words, 3)
    delay = decimal(words[2])
    if delay is None:
        raise Fatal(f"E_INVALID REQ could not parse timeout {text(words[2])}")
    session.noted(session.line)
    try:
        channel.requeue(session, message_id, min(max(0, delay) / 1000, session.home.options.max_req_timeout))
    except NotYours as e:
        raise Minor(f"E_REQ_FAILED REQ {message_id} failed {e}") from None


def touch(session: Session, words: list[bytes]) -> None:
    """TOUCH: a message's time begins anew."""
    message_id, channel = _message(session, "TOUCH", words, 2)
    session.noted(session.line)
    try:
        channel.touch(session, message_id)
    except NotYours as e:
        raise Minor(f"E_TOUCH_FAILED TOUCH {message_id} failed {e}") from None


def cls(session: Session, words: list[bytes]) -> None:
    """CLS: it takes no more messages."""
    if session.topic is None or session.closing:
        raise Fatal("E_INVALID cannot CLS in current state")
    session.noted(session.line)
    session.closing, session.rdy = True, 0
    session.answer(CLOSE_WAIT)


def nop(session: Session, words: list[bytes]) -> None:
    """NOP: it lives."""
    session.line = ""
    session.nops += 1


def decimal(word: bytes) -> int | None:
    """A number as nsqd reads it: digits only, empty is 0, 64 bits, signed at last; None for no number."""
    if not word:
        return 0
    if not word.isdigit():
        return None
    value = 0
    for at in range(0, len(word), 18):
        digits = word[at : at + 18]
        value = (value * 10 ** len(digits) + int(digits)) & (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value


HANDLERS: Handlers = {
    b"IDENTIFY": identify,
    b"AUTH": auth,
    b"SUB": sub,
    b"PUB": pub,
    b"MPUB": mpub,
    b"DPUB": dpub,
    b"RDY": rdy,
    b"FIN": fin,
    b"REQ": req,
    b"TOUCH": touch,
    b"CLS": cls,
    b"NOP": nop,
}
