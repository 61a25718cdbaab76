"""Makes publishes of what callers give: checked, encoded, with headers where these are to travel."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from random import SystemRandom
from struct import Struct

from nsqclient.checks import (
    Body,
    check_bodies,
    check_body,
    check_delay,
    check_name,
    check_timeout,
    plain_bodies,
)
from nsqclient.content import codecs
from nsqclient.content.codecs import Codec
from nsqclient.content.outgoing import Outgoing
from nsqclient.content.scope import NOWHERE, surroundings
from nsqclient.content.sealing import HeadersMode, Sealed, seal
from nsqclient.durations import Seconds
from nsqclient.errors import PublishTimeout
from nsqclient.limits import Limits
from nsqclient.producer.copies import Redundant
from nsqclient.producer.parcels import CHANGED, Publish, Stamp
from nsqcore.wire import commands

KNOWN_TOPICS = 1000
"""Names that were checked lately are not checked again."""

_U32 = Struct(">I").pack
_random = SystemRandom()


class Composer:
    """Everything raises ConfigError for what could never be published, CodecError for what can't be encoded."""

    def __init__(
        self,
        *,
        limits: Limits,
        timeout: float,
        codec: Codec,
        headers: HeadersMode,
        copies: bool,
        batches: bool,
    ) -> None:
        """``copies``: each message goes to several nsqds; ``batches``: single ones are gathered."""
        self._limits = limits
        self._timeout = timeout
        self._codec = codec
        self._mode = headers
        self._copies = copies
        self._batches = batches
        self._prefixes: dict[str, bytes] = {}
        self._loop = asyncio.get_running_loop()
        self._always_seals = headers != "never"

    def single(
        self, topic: str, value: object, delay: Seconds | None, timeout: Seconds | None
    ) -> Publish | None:
        """A publish of one message that has nothing but itself; None where there is more to think of."""
        if self._always_seals or surroundings.get() is not NOWHERE:
            return None
        prefix = self._prefixes.get(topic) or self._prefix(topic)
        if type(value) is bytes and 0 < len(value) <= self._limits.max_msg_size:
            body = value
        else:
            if not isinstance(value, Body):
                value = self._codec.encode(value)
            body = check_body(value, self._limits)
        seconds = self._timeout if timeout is None else check_timeout(timeout)
        now = self._loop.time()
        if delay is not None and (delay_ms := check_delay(delay, self._limits)):
            command = commands.encode_dpub(topic, delay_ms, body)
        elif self._batches:
            publish = Publish(topic, body, 1, None, None, False, now, now + seconds)
            publish.loose = True
            return publish
        else:
            command = b"".join((prefix, _U32(len(body)), body))
        return Publish(topic, command, 1, None, None, False, now, now + seconds)

    def many(self, topic: str, values: Iterable[object], timeout: Seconds | None) -> Publish | None:
        """A publish of one MPUB that has nothing but its messages; None where there is more to think of."""
        if self._always_seals or surroundings.get() is not NOWHERE:
            return None
        self._prefix(topic)
        several = _several(values)
        bodies: Sequence[object] = several if type(several) is list else list(several)
        if not plain_bodies(bodies, self._limits):
            encode = self._codec.encode
            bodies = check_bodies(
                [value if isinstance(value, Body) else encode(value) for value in bodies], self._limits
            )
        seconds = self._timeout if timeout is None else check_timeout(timeout)
        now = self._loop.time()
        command = commands.encode_mpub(topic, bodies)
        return Publish(topic, command, len(bodies), None, None, False, now, now + seconds)

    def sealed(self, outgoing: Outgoing) -> Publish:
        """A publish of one message with all that goes along."""
        self._prefix(outgoing.topic)
        delay_ms = 0 if outgoing.delay is None else check_delay(outgoing.delay, self._limits)
        sealed = self._seal(outgoing)
        loose = self._batches and not delay_ms

        def command(loose: bool) -> bytes:
            body = check_body(sealed.body(self._loop.time()), self._limits)
            if loose:
                return body
            if delay_ms:
                return commands.encode_dpub(outgoing.topic, delay_ms, body)
            return commands.encode_pub(outgoing.topic, body)

        return self._publish(outgoing, command, 1, loose, sealed.deadline is not None)

    def sealed_many(self, outgoing: Outgoing) -> Publish:
        """A publish of several messages in one MPUB; ``value`` is all of them, and all have the same headers."""
        self._prefix(outgoing.topic)
        values = outgoing.value
        if isinstance(values, str | Body) or not isinstance(values, Iterable):
            raise TypeError(f"the bodies are several values, not {type(values).__name__}")
        sealed = [
            self._seal(replace(outgoing, value=value, headers={**outgoing.headers})) for value in values
        ]

        def command(_: bool) -> bytes:
            now = self._loop.time()
            return commands.encode_mpub(
                outgoing.topic, check_bodies([one.body(now) for one in sealed], self._limits)
            )

        stamped = any(one.deadline is not None for one in sealed)
        return self._publish(outgoing, command, len(sealed), False, stamped)

    def _seal(self, outgoing: Outgoing) -> Sealed:
        if self._copies and outgoing.key is None:
            outgoing.key = f"{_random.getrandbits(128):032x}"
        codec = codecs.raw if isinstance(outgoing.value, Body) else self._codec
        return seal(outgoing, codec, self._mode)

    def _publish(self, outgoing: Outgoing, command: Stamp, count: int, loose: bool, stamped: bool) -> Publish:
        now = self._loop.time()
        deadline = now + (self._timeout if outgoing.timeout is None else check_timeout(outgoing.timeout))
        around = surroundings.get().deadline
        if around is not None and around < deadline:
            deadline = around
            if deadline <= now:
                raise PublishTimeout(
                    f"the publish to topic {outgoing.topic} was not sent: the scope's time is over",
                    "not_sent",
                )
        kind = Redundant if self._copies else Publish
        publish = kind(
            outgoing.topic, command(loose), count, outgoing.key, outgoing.note, False, now, deadline
        )
        publish.loose = loose
        if stamped:
            publish.stamp = command
            publish.state = CHANGED
        return publish

    def _prefix(self, topic: str) -> bytes:
        prefix = self._prefixes.get(topic)
        if prefix is None:
            check_name("topic", topic)
            if len(self._prefixes) >= KNOWN_TOPICS:
                self._prefixes.clear()
            prefix = self._prefixes[topic] = b"PUB %b\n" % topic.encode()
        return prefix


def _several(values: object) -> Iterable[object]:
    if isinstance(values, str | Body) or not isinstance(values, Iterable):
        raise TypeError(f"the messages are several values, not {type(values).__name__}")
    return values
