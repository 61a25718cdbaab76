"""Makes bodies of what is published: the value encoded, and an envelope where headers are to travel."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

from nsqclient.content.codecs import Codec, content_type
from nsqclient.content.envelope import looks_wrapped, wrap
from nsqclient.content.outgoing import Outgoing
from nsqclient.content.propagation import (
    CONTENT_TYPE,
    DEADLINE_MS,
    SENT_AT,
    deadline_header,
    insists,
    sent_at,
    stamp,
)
from nsqclient.errors import ConfigError

HeadersMode = Literal["never", "auto", "always"]
"""Whether publishes have envelopes: never, when there is something to send along, always."""

SWITCH = 'the producer needs headers="auto" for that, and the consumers headers="auto" to read them'


@dataclass(slots=True)
class Sealed:
    """A message ready to be sent."""

    payload: bytes
    headers: dict[str, str] | None = None
    """None: it goes without an envelope."""
    deadline: float | None = None
    """When the sender's time is over, on the event loop's clock; it is stamped for each attempt anew."""
    outgoing: Outgoing | None = None

    def body(self, now: float) -> bytes:
        """The body for an attempt at ``now`` on the loop's clock; it changes only where there is a deadline."""
        if self.headers is None:
            return self.payload
        if self.deadline is not None:
            assert self.outgoing is not None
            self.headers[DEADLINE_MS] = deadline_header(self.deadline, now, self.outgoing)
        return wrap(self.headers, self.payload)


def seal(outgoing: Outgoing, codec: Codec, mode: HeadersMode) -> Sealed:
    """Encodes, and takes along what the caller's scope says. Call it where the publish is called.

    Raises CodecError for a value that can't be encoded, and ConfigError when headers are needed and ``mode``
    is ``never``.
    """
    payload = codec.encode(outgoing.value)
    if mode == "never":
        refuse_headers(outgoing)
        return Sealed(payload)
    deadline = stamp(outgoing)
    headers = dict(outgoing.headers)
    if mode == "auto" and not headers and deadline is None and not looks_wrapped(payload):
        return Sealed(payload)
    said = content_type(codec, outgoing.value)
    if said:
        headers.setdefault(CONTENT_TYPE, said)
    headers.setdefault(SENT_AT, sent_at(time.time()))
    return Sealed(payload, headers, deadline, outgoing)


def refuse_headers(outgoing: Outgoing) -> None:
    """Raises ConfigError when the publish asks for what only headers can carry."""
    reason = insists(outgoing.propagate_deadline)
    if outgoing.headers:
        reason = f"headers ({', '.join(sorted(outgoing.headers))})"
    elif outgoing.key is not None:
        reason = "a message key"
    if reason:
        raise ConfigError(f"{reason} can't be sent with topic {outgoing.topic!r}: {SWITCH}")
