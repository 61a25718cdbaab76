"""What a fake nsqd accepts, and what it agrees to when a client identifies."""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from nsqcore.golang import go_json, go_key
from nsqcore.version import NSQ_VERSION

V = TypeVar("V", str, int, bool)


class Fatal(Exception):
    """An error frame behind which the connection is closed; the text is nsqd's."""


@dataclass(frozen=True, kw_only=True)
class Account:
    """What a secret allows; topics may have ``*`` for any run of characters."""

    identity: str = "test"
    """Who the secret belongs to."""
    publish: Sequence[str] = ("*",)
    """Topics that it may publish to."""
    subscribe: Sequence[str] = ("*",)
    """Topics that it may subscribe to."""


@dataclass(frozen=True, kw_only=True)
class NodeOptions:
    """How a fake nsqd is configured: nsqd's flags, times in seconds."""

    msg_timeout: float = 60.0
    """Seconds until an unanswered message is delivered again, unless its client asks for another time."""
    max_msg_timeout: float = 900.0
    """The most seconds that it lets itself be asked for, TOUCH included."""
    max_msg_size: int = 1 << 20
    """Bytes of one message."""
    max_body_size: int = 5 << 20
    """Bytes of one command."""
    max_req_timeout: float = 3600.0
    """Seconds that a message may be delayed."""
    max_rdy_count: int = 2500
    """The highest RDY."""
    max_heartbeat_interval: float = 60.0
    """Seconds that a client may ask for."""
    max_channel_consumers: int = 0
    """0 is any number."""
    mem_queue_size: int = 10_000
    """Messages of an ephemeral topic or channel; what does not fit is dropped, as nsqd does."""
    hand_back: bool = False
    """Messages of a connection that is lost go to others at once, as this suite's nsqd does it. Without it
    they wait for their time to run out, as they do in the original."""
    version: str = NSQ_VERSION
    """What it calls itself."""
    snappy: bool = True
    """Whether it grants snappy."""
    deflate: bool = True
    """Whether it grants deflate."""
    max_deflate_level: int = 6
    """The highest level it grants."""
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    """A server's context: TLS is granted to who asks for it."""
    tls_required: bool = False
    """Every command but IDENTIFY is refused without TLS."""
    accounts: Mapping[str, Account] | None = field(default=None, repr=False)
    """By secret; None asks for no AUTH. A test may change the mapping: permissions are looked up at each use."""
    topology_region: str = ""
    """Where it says it runs."""
    topology_zone: str = ""
    """Likewise."""


@dataclass
class Agreement:
    """The settings of one connection; seconds."""

    heartbeat: float = 30.0
    """0 is none at all."""
    lease: float = 60.0
    sample_rate: int = 0
    user_agent: str = ""
    asked: dict[str, Any] = field(default_factory=dict)
    """The body of IDENTIFY."""
    tls: bool = False
    snappy: bool = False
    deflate_level: int = 0
    """0 is none."""
    answer: bytes = b"OK"


def agree(body: bytes, options: NodeOptions, *, layered: bool) -> Agreement:
    """What nsqd makes of the body of an IDENTIFY; raises Fatal.

    ``layered`` says that the connection has TLS or compression already: those are granted once.
    """
    asked = _Asked(body)
    for name in ("client_id", "hostname", "user_agent", "topology_region", "topology_zone"):
        asked.get(name, "")
    for name in ("feature_negotiation", "tls_v1", "snappy", "deflate"):
        asked.get(name, False)
    level = asked.get("deflate_level", 0)
    longest = int(options.max_heartbeat_interval * 1000)
    heartbeat = asked.within("heartbeat interval", "heartbeat_interval", 30_000, 1000, longest, off=True)
    flush = asked.within("output buffer timeout", "output_buffer_timeout", 250, 25, 30_000, off=True)
    size = asked.within("output buffer size", "output_buffer_size", 16_384, 64, 65_536, off=True)
    sample_rate = asked.within("sample rate", "sample_rate", 0, 0, 99)
    longest = int(options.max_msg_timeout * 1000)
    lease = asked.within("msg timeout", "msg_timeout", int(options.msg_timeout * 1000), 1000, longest)
    agreed = Agreement(
        heartbeat=max(0, heartbeat) / 1000,
        lease=lease / 1000,
        sample_rate=sample_rate,
        user_agent=asked.get("user_agent", ""),
        asked=asked.values,
    )
    if not asked.get("feature_negotiation", False):
        return agreed
    agreed.tls = options.tls is not None and not layered and asked.get("tls_v1", False)
    agreed.snappy = options.snappy and not layered and asked.get("snappy", False)
    if options.deflate and not layered and asked.get("deflate", False):
        agreed.deflate_level = min(level if level > 0 else 6, options.max_deflate_level)
    if agreed.snappy and agreed.deflate_level:
        raise Fatal("E_IDENTIFY_FAILED cannot enable both deflate and snappy compression")
    agreed.answer = go_json(
        {
            "max_rdy_count": options.max_rdy_count,
            "version": options.version,
            "max_msg_timeout": int(options.max_msg_timeout * 1000),
            "msg_timeout": lease,
            "tls_v1": agreed.tls,
            "deflate": agreed.deflate_level > 0,
            "deflate_level": agreed.deflate_level or min(6, options.max_deflate_level),
            "max_deflate_level": options.max_deflate_level,
            "snappy": agreed.snappy,
            "sample_rate": sample_rate,
            "auth_required": options.accounts is not None,
            "output_buffer_size": max(1, size),
            "output_buffer_timeout": 0 if size == -1 else max(0, flush),
            "topology_region": options.topology_region,
            "topology_zone": options.topology_zone,
        }
    )
    return agreed


class _Asked:
    """The JSON of an IDENTIFY, as Go reads it: any letter case, ``null`` as if absent, types strict."""

    def __init__(self, body: bytes) -> None:
        try:
            value = json.loads(body.decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            raise _undecodable() from None
        if value is not None and not isinstance(value, dict):
            raise _undecodable()
        self.values = {go_key(key): item for key, item in (value or {}).items() if item is not None}

    def get(self, key: str, default: V) -> V:
        value = self.values.get(key, default)
        if type(value) is not type(default):
            raise _undecodable()
        return value

    def within(self, words: str, key: str, default: int, least: int, most: int, *, off: bool = False) -> int:
        """0 asks for the default; ``off`` says that -1 means something."""
        value = self.get(key, 0)
        if value == 0:
            return default
        if not (least <= value <= most or (off and value == -1)):
            raise Fatal(f"E_BAD_BODY IDENTIFY {words} ({value}) is invalid")
        return value


def _undecodable() -> Fatal:
    return Fatal("E_BAD_BODY IDENTIFY failed to decode JSON body")
