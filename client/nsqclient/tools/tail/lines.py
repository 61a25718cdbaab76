"""How messages are printed: for programs, as objects, or for people. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from nsqclient.consumer.message import Message
from nsqclient.content.envelope import NO_HEADERS, unwrap
from nsqclient.errors import EnvelopeError
from nsqclient.tools.common.showing import as_json, readable

Form = Callable[[Message], bytes]
"""What is printed of a message, with the end of its line."""

COLOURS = (36, 33, 32, 35, 34, 31)
"""Of topics on a terminal, as ECMA-48 numbers them: cyan, yellow, green, magenta, blue, red."""


def plain(message: Message) -> bytes:
    """The body as it is."""
    return message.body + b"\n"


def with_topic(message: Message) -> bytes:
    """The same behind its topic."""
    return b"%b | %b\n" % (message.topic.encode(), message.body)


def as_object(message: Message) -> bytes:
    """An object of JSON with all there is to know, headers and payload apart."""
    return as_json(message, *opened(message.body))


def for_people(topics: Sequence[str], *, print_topic: bool, colour: bool) -> Form:
    """The time of the publish, and the body on one line, whatever is in it; a colour for each of ``topics``."""
    starts, ends = dict.fromkeys(topics, ""), ""
    if colour:
        starts = {topic: f"\x1b[{COLOURS[n % len(COLOURS)]}m" for n, topic in enumerate(topics)}
        ends = "\x1b[0m"
    names = {topic: f" {topic} |" if print_topic else "" for topic in topics}

    def form(message: Message) -> bytes:
        topic, (_, body) = message.topic, opened(message.body)
        time = f"{message.timestamp.astimezone():%H:%M:%S.%f}"
        return f"{starts[topic]}{time}{names[topic]}{ends} {readable(body)}\n".encode()

    return form


def opened(body: bytes) -> tuple[Mapping[str, str], bytes]:
    """Headers and payload of a body that has an envelope; no headers, and the body itself, of any other."""
    try:
        return unwrap(body)
    except EnvelopeError:
        return NO_HEADERS, body
