r"""A conversation between a client and a nsqd as text, a line for each thing said::

    > IDENTIFY
    < {"max_rdy_count":2500,"version":"1.3.0"}
    > SUB t c
    < OK
    > RDY 1
    < MESSAGE 18a4b14ca3a69000 1 hello\n
    > FIN 18a4b14ca3a69000
    < ERROR E_FIN_FAILED FIN 18a4b14ca3a69000 failed ID not in flight

``>`` is the client, ``<`` is nsqd. Bytes that are not printable ASCII are escaped as in Python, backslashes
too; so are blanks in the bodies of an MPUB, which blanks keep apart. In what the client says ``*`` stands
for any run of characters. Heartbeats and NOPs are left out, as they come at any time; so are what IDENTIFY
asks and the secret of AUTH. Lines that begin with ``#``, and empty ones, are remarks.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from nsqclient.testing.decoder import Command
from nsqcore.wire.frames import ERROR, MESSAGE, MESSAGE_HEAD, RESPONSE, decode_message

Speaker = Literal[">", "<"]


class BadConversation(ValueError):
    """A line of a conversation can't be read; the text says which."""


class Said(NamedTuple):
    """One line."""

    who: Speaker
    text: str


def escape(data: bytes) -> str:
    """Bytes as printable ASCII."""
    return data.decode("latin-1").encode("unicode_escape").decode("ascii")


def unescape(text: str) -> bytes:
    """The bytes of :func:`escape`; raises BadConversation."""
    try:
        return text.encode("ascii").decode("unicode_escape").encode("latin-1")
    except UnicodeError as e:
        raise BadConversation(f"{text!r} is not escaped well: {e}") from None


def of_client(command: Command) -> Said:
    """What a command is as a line."""
    if command.verb in ("IDENTIFY", "AUTH"):
        return Said(">", command.verb)
    bodies = [escape(body) for body in command.bodies]
    if command.verb == "MPUB":
        bodies = [body.replace(" ", r"\x20") for body in bodies]
    return Said(">", " ".join([escape(command.line.encode()), *bodies]))


def of_nsqd(kind: int, data: bytes) -> Said:
    """What a frame is as a line."""
    if kind == RESPONSE:
        return Said("<", escape(data))
    if kind == ERROR:
        return Said("<", f"ERROR {escape(data)}")
    message = decode_message(data)
    return Said("<", f"MESSAGE {escape(message.id)} {message.attempts} {escape(message.body)}")


def frame_of(text: str) -> tuple[int, bytes]:
    """The frame that nsqd's line is for: type, data. Raises BadConversation.

    A message's timestamp is 1, as it is not kept.
    """
    word, _, rest = text.partition(" ")
    if word == "ERROR":
        return ERROR, unescape(rest)
    if word != "MESSAGE":
        return RESPONSE, unescape(text)
    message_id, _, rest = rest.partition(" ")
    attempts, _, body = rest.partition(" ")
    name = unescape(message_id)
    if len(name) != 16 or not attempts.isdecimal() or int(attempts) > 0xFFFF:
        raise BadConversation(f"{text!r} is not MESSAGE, 16 characters of ID, attempts, body")
    return MESSAGE, MESSAGE_HEAD.pack(1, int(attempts), name) + unescape(body)


def write(said: Iterable[Said]) -> str:
    """The lines as text."""
    return "".join(f"{line.who} {line.text}\n" for line in said)


def read(text: str) -> list[Said]:
    """The lines of a text; raises BadConversation, which names the line's number."""
    said: list[Said] = []
    for number, line in enumerate(text.split("\n"), 1):
        who, _, rest = line.partition(" ")
        if who not in (">", "<"):
            if line.strip() and not line.startswith("#"):
                raise BadConversation(f"line {number} begins with neither '> ' nor '< ': {line!r}")
            continue
        if who == "<":
            try:
                frame_of(rest)
            except BadConversation as e:
                raise BadConversation(f"line {number}: {e}") from None
        said.append(Said(">" if who == ">" else "<", rest))
    return said
