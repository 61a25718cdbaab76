"""What may be sent: names, sizes and delays are judged before any byte is written.

nsqd answers a bad command by closing the connection, which would take the neighbours' messages along.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeGuard, cast

from nsqclient.durations import Seconds, to_ms, to_seconds
from nsqclient.errors import ConfigError, DelayOutOfRange, EmptyMessage, InvalidName, MessageTooLarge
from nsqclient.limits import Limits
from nsqcore.names import valid_name

Body = bytes | bytearray | memoryview
"""What a message may be given as."""


def check_name(kind: str, name: object) -> None:
    """Raises InvalidName unless ``name`` may name a topic or channel; ``kind`` is for the text."""
    if not isinstance(name, str) or not valid_name(name):
        raise InvalidName(
            f"{kind} name {name!r} is not valid: want 1 to 64 of . _ - a-z A-Z 0-9, and #ephemeral at most"
        )


def check_body(body: object, limits: Limits) -> bytes:
    """The body as bytes; raises EmptyMessage, MessageTooLarge, or TypeError for text."""
    if not isinstance(body, bytes):
        if not isinstance(body, bytearray | memoryview):
            raise TypeError(f"a message body is bytes, not {type(body).__name__}")
        body = bytes(body)
    if not body:
        raise EmptyMessage("a message has at least one byte")
    if len(body) > limits.max_msg_size:
        raise MessageTooLarge(f"the message has {len(body)} bytes, the limit is {limits.max_msg_size}")
    return body


def check_bodies(bodies: object, limits: Limits) -> list[bytes]:
    """The bodies of one MPUB; raises as :func:`check_body`, and for what is too large together."""
    if isinstance(bodies, bytes | bytearray | memoryview | str) or not isinstance(bodies, Iterable):
        raise TypeError(f"the bodies are several bytes objects, not {type(bodies).__name__}")
    checked = [check_body(body, limits) for body in bodies]
    if not checked:
        raise EmptyMessage("there is no message to publish")
    size = 4 + sum(4 + len(body) for body in checked)
    if size > limits.max_body_size:
        raise MessageTooLarge(
            f"{len(checked)} messages take {size} bytes in one MPUB, the limit is {limits.max_body_size}; "
            "publish them in smaller batches"
        )
    return checked


def plain_bodies(bodies: Sequence[object], limits: Limits) -> TypeGuard[Sequence[bytes]]:
    """Whether :func:`check_bodies` would give them back as they are: found out at once, not one by one."""
    if set(map(type, bodies)) != {bytes} or not all(bodies):
        return False
    several = cast(Sequence[bytes], bodies)
    size = sum(map(len, several))
    if size > limits.max_msg_size and max(map(len, several)) > limits.max_msg_size:
        return False
    return 4 + 4 * len(several) + size <= limits.max_body_size


def check_delay(delay: Seconds, limits: Limits) -> int:
    """The delay in milliseconds; raises DelayOutOfRange."""
    longest = to_seconds(limits.max_delay)
    if not 0 <= to_seconds(delay) <= longest:
        raise DelayOutOfRange(f"a delay of {to_seconds(delay):g} s is not within 0 to {longest:g} s")
    return to_ms(delay)


def check_kind(name: str, value: object, kind: type) -> None:
    """Raises ConfigError unless ``value`` is None or a ``kind``; its text never shows the value."""
    if value is not None and not isinstance(value, kind):
        raise ConfigError(f"{name} is of type {type(value).__name__}, want {kind.__name__}(...)")


def check_timeout(timeout: Seconds) -> float:
    """The timeout in seconds; raises ConfigError unless it is positive."""
    number = to_seconds(timeout)
    if number <= 0:
        raise ConfigError(f"a timeout of {number:g} s leaves no time at all")
    return number
