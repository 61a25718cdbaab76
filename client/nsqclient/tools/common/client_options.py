"""``--consumer-opt`` and ``--producer-opt``: the options of go-nsq, by its names, and what of ours they set.

``key,value`` sets one, ``key`` alone sets it to true; dashes equal underscores. Durations are Go's, or whole
numbers of milliseconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from nsqcore.durations import Duration
from nsqcore.options import BOOLEANS, parse_int

HINT = "as key,value; docs/tools.md lists the keys"
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
            raise ValueError(f"unknown option {key}{_near(name)}")
        try:
            return [cls(name, known.read(value if comma else "true"))]
        except ValueError as e:
            raise ValueError(f"{name}: {e}") from None


ConsumerOption: TypeAlias = ClientOption
ProducerOption: TypeAlias = ClientOption
"""The same options are there for both."""


class Known(NamedTuple):
    """One option that there is."""

    read: Callable[[str], bool | int | float | str]
    """Raises ValueError that says what is allowed."""
    meaning: str
    """What it does here."""


def _near(name: str) -> str:
    from difflib import get_close_matches  # needed for a mistake only

    found = get_close_matches(name, list(KNOWN), n=1)
    return f" (did you mean {found[0]}?)" if found else ""


# ---- how values are read


def _text(text: str) -> str:
    return text


def _secret(text: str) -> str:
    if not text:
        raise ValueError("want a text that is not empty")
    return text


def _flag(text: str) -> bool:
    value = BOOLEANS.get(text)
    if value is None:
        raise ValueError(f"{text!r} is no boolean, want true or false")
    return value


def _within(value: float, low: float, high: float, unit: Callable[[float], str]) -> None:
    if not low <= value <= high:
        bounds = f"{unit(low)} or more" if high == math.inf else f"{unit(low)} to {unit(high)}"
        raise ValueError(f"{unit(value)} is not allowed, want {bounds}")


def _go(seconds: float) -> str:
    return str(Duration(round(seconds * 1e9)))


def _number(number: float) -> str:
    return f"{number:g}"


def _int(low: int, high: float = math.inf, *, also: tuple[int, ...] = ()) -> Callable[[str], int]:
    def read(text: str) -> int:
        try:
            value = parse_int(text)
        except ValueError:
            raise ValueError(f"{text!r} is no whole number") from None
        if value not in also:
            _within(value, low, high, str)
        return value

    return read


def _float(low: float, high: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise ValueError(f"{text!r} is no number") from None
        _within(value, low, high, _number)
        return value

    return read


def _duration(low: float, high: float = math.inf, *, also: tuple[float, ...] = ()) -> Callable[[str], float]:
    """``also`` are values beside, such as -1 for never: -1, which is a number of milliseconds, and -1ms alike."""

    def read(text: str) -> float:
        try:
            ms = text.removeprefix("-")
            value = int(text) * MS if ms.isascii() and ms.isdigit() else Duration.parse(text).seconds
        except ValueError:
            raise ValueError(
                f"{text!r} is no duration, want one such as 250ms or 1m30s, or milliseconds"
            ) from None
        if round(value / MS, 6) in also:
            return -1.0 if value < 0 else 0.0
        _within(value, low, high, _go)
        return value

    return read


def _one_of(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in words:
            raise ValueError(f"{text!r} is not allowed, want {', '.join(words)}")
        return text

    return read


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
    "local_addr": Known(_secret, "the address that connections come from: host, or host:port"),
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
    "client_id": Known(_text, "the name in nsqd's statistics"),
    "hostname": Known(_text, "the host name in nsqd's statistics"),
    "user_agent": Known(_text, f"{_NO_SUCH_THING} the tool tells its own name"),
    "topology_region": Known(_text, "the region of this machine, for nsqds that mind it"),
    "topology_zone": Known(_text, "its zone"),
    "heartbeat_interval": Known(
        _duration(1, MINUTE, also=(-1,)),
        "how often nsqd asks whether we are there; -1, for publishing: never",
    ),
    "sample_rate": Known(_int(0, 99), "receive about so many in a hundred, lose the others; 0 is all"),
    "tls_v1": Known(_flag, "connect with TLS, and not without"),
    "tls_root_ca_file": Known(_secret, "PEM file with the authorities to trust"),
    "tls_cert": Known(_secret, "PEM file with this client's certificate"),
    "tls_key": Known(_secret, "PEM file with its key"),
    "tls_insecure_skip_verify": Known(_flag, "take any certificate, so that anybody may be the nsqd"),
    "tls_min_version": Known(
        _one_of("ssl3.0", "tls1.0", "tls1.1", "tls1.2", "tls1.3"), "the least version; never less than tls1.2"
    ),
    "deflate": Known(_flag, "compress, if nsqd does"),
    "deflate_level": Known(_int(1, 9), "1 is fast, 9 is small"),
    "snappy": Known(_flag, "compress fast, if nsqd does"),
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
    "auth_secret": Known(_secret, "the secret for nsqds that ask for one; see NSQ_AUTH_SECRET as well"),
    "skip_lookupd_authorization": Known(
        _flag, "true, the default, sends auth_secret to nsqlookupds too; go-nsq's name says the contrary"
    ),
}
"""By name; go-nsq's bounds, and nsqd's where these are narrower."""
