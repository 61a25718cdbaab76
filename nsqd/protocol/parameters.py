"""What the words of a command's line mean, and what is wrong with them."""

from __future__ import annotations

from struct import Struct

from nsqcore.golang import go_quote
from nsqcore.names import valid_name
from nsqcore.wire.frames import ID_SIZE
from nsqd.client import State
from nsqd.errors import FatalError, ProtocolError, Refused
from nsqd.protocol.session import Session
from nsqd.topic import Topic

I32 = Struct(">i")
"""The length in front of a body: signed, as the original reads it."""


def text(word: bytes) -> str:
    """A word for an error's text, which goes out again as the same bytes."""
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


def topic_of(session: Session, words: list[bytes], command: str, prefix: str = "") -> Topic | None:
    """The topic a publish names; None for a valid one that does not exist yet."""
    if len(words) < 2:
        raise FatalError("E_INVALID", f"{command} insufficient number of parameters")
    topic = session.broker.topics.get(words[1])
    if topic is None and not valid_name(text(words[1])):
        raise FatalError("E_BAD_TOPIC", f"{prefix}{command} topic name {go_quote(words[1])} is not valid")
    return topic


def existing(session: Session, name: bytes, command: str) -> Topic:
    """The topic of that valid name, created if it is not there; raises FatalError while the daemon stops."""
    try:
        return session.broker.topic(name)
    except Refused as e:
        raise FatalError(f"E_{command}_FAILED", f"{command} failed {e}") from None


def message_id_of(session: Session, words: list[bytes], command: str, count: int) -> bytes:
    """The id in an answer to a message, of a line that has to have ``count`` words; raises FatalError."""
    if session.client.state is State.INIT:
        raise FatalError("E_INVALID", f"cannot {command} in current state")
    if len(words) < count:
        raise FatalError("E_INVALID", f"{command} insufficient number of params")
    if len(words[1]) != ID_SIZE:
        raise FatalError("E_INVALID", "invalid message ID")
    return words[1]


def not_held(session: Session, message_id: bytes, command: str) -> ProtocolError:
    """What is wrong with an answer to a message that this client does not hold."""
    owned = session.channel is not None and session.channel.owned_by_other(session.client, message_id)
    why = "client does not own message" if owned else "ID not in flight"
    return ProtocolError(f"E_{command}_FAILED", f"{command} {text(message_id)} failed {why}")
