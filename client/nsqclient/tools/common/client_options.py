"""``--consumer-opt`` and ``--producer-opt``: the options of go-nsq, by its names, and what of ours they set.

``key,value`` sets one, ``key`` alone sets it to true; dashes equal underscores. Durations are Go's, or whole
numbers of milliseconds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from nsqcore.durations import Duration
from nsqcore.options import BOOLEANS, parse_int

HINT = "as key,value; docs/tools.md lists the keys"
NS = 1_000_000_000
LONGEST = 16
"""Digits of a number of milliseconds that could be any length of time."""
MS = 0.001
MINUTE = 60.0
HOUR = 3600.0


class ClientOption(NamedTuple):
    """One option that was given."""

    name: str
    """With underscores."""
    value: bool | int | float | str
    """Times are seconds."""

    @classmethod
    def parse(cls, text: str) -> list[ClientOption]:
        """Reads ``key,value``; raises ValueError for a key that is unknown or a value that can't be."""
        key, comma, value = text.partition(",")
        name = key.strip().replace("-", "_")
        known = KNOWN.get(name)
        if known is None:
            raise ValueError(f"invalid option {key}{_near(name)}")
        try:
            return [cls(name, known.values.read(value if comma else "true"))]
        except ValueError as e:
            raise ValueError(f"{name}: {e}") from None


ConsumerOption: TypeAlias = ClientOption
ProducerOption: TypeAlias = ClientOption
"""The same options are there for both."""


class Values(NamedTuple):
    """What an option may be."""

    allowed: str
    """In words, for people."""
    read: Callable[[str], bool | int | float | str]
    """Raises ValueError that says what is allowed."""


class Known(NamedTuple):
    """One option that there is."""

    values: Values
    meaning: str
    """What it does here."""

    @property
    def allowed(self) -> str:
        """What it may be, in words."""
        return self.values.allowed


def _near(name: str) -> str:
    from difflib import get_close_matches  # needed for a mistake only

    found = get_close_matches(name, list(KNOWN), n=1)
    return f" (did you mean {found[0]}?)" if found else ""


# ---- how values are read


def _read_filled(text: str) -> str:
    if not text:
        raise ValueError("want a text that is not empty")
    return text


def _read_flag(text: str) -> bool:
    value = BOOLEANS.get(text)
    if value is None:
        raise ValueError(f"{text!r} is no boolean, want true or false")
    return value


_TEXT = Values("text", str)
_FILLED = Values("text", _read_filled)
_FLAG = Values("true or false", _read_flag)


def _between(low: float, high: float, shown: Callable[[float], str], also: Sequence[float]) -> str:
    words = f"{shown(low)} or more" if high == math.inf else f"{shown(low)} to {shown(high)}"
    return ", ".join([words, *(f"{value:g}" for value in also)])


def _check(value: float, low: float, high: float, shown: Callable[[float], str], allowed: str) -> None:
    if not low <= value <= high:
        raise ValueError(f"{shown(value)} is not allowed, want {allowed}")


def _go(seconds: float) -> str:
    text = str(Duration(round(seconds * NS)))
    return re.sub(r"(?<=[hm])0[ms](0s)?$", "", text)


def _number(number: float) -> str:
    return f"{number:g}"


def _int(low: int, high: float = math.inf, *, also: Sequence[int] = ()) -> Values:
    allowed = _between(low, high, str, also)

    def read(text: str) -> int:
        try:
            value = parse_int(text)
        except ValueError:
            raise ValueError(f"{text!r} is no whole number") from None
        if value not in also:
            _check(value, low, high, str, allowed)
        return value

    return Values(allowed, read)


def _float(low: float, high: float) -> Values:
    allowed = _between(low, high, _number, ())

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise ValueError(f"{text!r} is no number") from None
        _check(value, low, high, _number, allowed)
        return value

    return Values(allowed, read)


def _duration(low: float, high: float = math.inf, *, also: Sequence[int] = ()) -> Values:
    """``also`` are milliseconds that mean something beside, such as -1 for never."""
    allowed = _between(low, high, _go, also)

    def read(text: str) -> float:
        digits = text.removeprefix("-")
        try:
            plain = digits.isascii() and digits.isdigit() and len(digits) < LONGEST
            value = Duration.of_ms(int(text)) if plain else Duration.parse(text)
        except ValueError:
            raise ValueError(f"{text!r} is no duration such as 250ms or 1m30s, nor milliseconds") from None
        if value in [Duration.of_ms(ms) for ms in also]:
            return -1.0 if value < 0 else 0.0
        _check(value.seconds, low, high, _go, allowed)
        return value.seconds

    return Values(allowed, read)


def _one_of(*words: str) -> Values:
    allowed = ", ".join(words)

    def read(text: str) -> str:
        if text not in words:
            raise ValueError(f"{text!r} is not allowed, want {allowed}")
        return text

    return Values(allowed, read)


# ---- what there is

_NO_SUCH_THING = "accepted, and without effect:"

KNOWN: dict[str, Known] = {
    "dial_timeout": Known(_duration(MS, also=(0,)), "how long connecting may take; 0: five minutes"),
    "read_timeout": Known(
        _duration(0.1, 5 * MINUTE), "a connection on which nothing comes for so long is given up"
    ),
    "write_timeout": Known(
        _duration(0.1, 5 * MINUTE), "a connection on which nsqd takes nothing for so long is given up"
    ),
    "local_addr": Known(_FILLED, "the address that connections come from: host, or host:port"),
    "lookupd_poll_interval": Known(
        _duration(0.01, 5 * MINUTE),
        "how often nsqlookupds are asked; without them, the longest pause before a nsqd is tried again",
    ),
    "lookupd_poll_jitter": Known(_float(0, 1), "the share of that by which pauses differ"),
    "lookupd_poll_timeout": Known(
        _duration(MS, also=(0,)), "how long a nsqlookupd may take to answer; 0: five minutes"
    ),
    "max_requeue_delay": Known(
        _duration(0, HOUR), "the longest pause before a message that failed comes again"
    ),
    "default_requeue_delay": Known(_duration(0, HOUR), "that pause for each attempt"),
    "backoff_strategy": Known(_one_of("exponential", "full_jitter"), "how pauses grow while messages fail"),
    "max_backoff_duration": Known(_duration(0, HOUR), "the longest of these; 0 is none at all"),
    "backoff_multiplier": Known(_duration(0, HOUR), "half of the first of them"),
    "max_attempts": Known(
        _int(0, 65535), "deliveries after which a message that fails is given up; 0, as without it: never"
    ),
    "low_rdy_idle_timeout": Known(
        _duration(1, 5 * MINUTE), "how long a silent nsqd keeps its turn while there are more than messages"
    ),
    "low_rdy_timeout": Known(
        _duration(1, 5 * MINUTE), f"{_NO_SUCH_THING} nsqds take turns as soon as others have messages"
    ),
    "rdy_redistribute_interval": Known(
        _duration(MS, 5), f"{_NO_SUCH_THING} turns change when something happens, not by the clock"
    ),
    "client_id": Known(_TEXT, "the name in nsqd's statistics"),
    "hostname": Known(_TEXT, "the host name in nsqd's statistics"),
    "user_agent": Known(_TEXT, f"{_NO_SUCH_THING} the tool tells its own name"),
    "topology_region": Known(_TEXT, "the region of this machine, for nsqds that mind it"),
    "topology_zone": Known(_TEXT, "its zone"),
    "heartbeat_interval": Known(
        _duration(1, MINUTE, also=(-1,)),
        "how often nsqd asks whether we are there; -1, for publishing: never",
    ),
    "sample_rate": Known(_int(0, 99), "receive about so many in a hundred, lose the others; 0 is all"),
    "tls_v1": Known(_FLAG, "connect with TLS, and not without"),
    "tls_root_ca_file": Known(_FILLED, "PEM file with the authorities to trust"),
    "tls_cert": Known(_FILLED, "PEM file with this client's certificate"),
    "tls_key": Known(_FILLED, "PEM file with its key"),
    "tls_insecure_skip_verify": Known(_FLAG, "take any certificate, so that anybody may be the nsqd"),
    "tls_min_version": Known(
        _one_of("ssl3.0", "tls1.0", "tls1.1", "tls1.2", "tls1.3"), "the least version; never less than tls1.2"
    ),
    "deflate": Known(_FLAG, "compress, if nsqd does"),
    "deflate_level": Known(_int(1, 9), "1 is fast, 9 is small"),
    "snappy": Known(_FLAG, "compress fast, if nsqd does"),
    "output_buffer_size": Known(
        _int(64, 65536, also=(-1, 0)), "bytes nsqd gathers before it sends; -1: each message at once"
    ),
    "output_buffer_timeout": Known(
        _duration(0.025, 30, also=(-1, 0)), "how long it gathers at most; -1: no limit by time"
    ),
    "max_in_flight": Known(_int(0), f"{_NO_SUCH_THING} the flag --max-in-flight says it"),
    "msg_timeout": Known(
        _duration(1, 15 * MINUTE, also=(0,)), "how long a message may be unanswered; 0 is nsqd's default"
    ),
    "max_msg_size": Known(_int(0, (1 << 31) - 1), "bytes of a message; 0 is the default"),
    "auth_secret": Known(_FILLED, "the secret for nsqds that ask for one; see NSQ_AUTH_SECRET as well"),
    "skip_lookupd_authorization": Known(
        _FLAG, "true, the default, sends auth_secret to nsqlookupds too; go-nsq's name says the contrary"
    ),
}
"""By name; go-nsq's bounds, and nsqd's where these are narrower."""
