"""IDENTIFY: what a client may ask for, what it gets, and the answer (nsqd reference, 2.6). Pure."""

from __future__ import annotations

import json
import re
from typing import NoReturn, TypeVar

from nsqcore.golang import go_json, go_key
from nsqcore.version import NSQ_VERSION
from nsqd.client import Settings, Upgrade
from nsqd.errors import FatalError
from nsqd.options import Options

DEFAULT_HEARTBEAT_MS = 30_000
DEFAULT_BUFFER_SIZE = 16_384
DEFLATE_LEVEL = 6
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
LONGEST_SHOWN = 200
"""Characters of a value that are logged."""
_LOGGED: dict[str, object] = {
    "ClientID": "",
    "Hostname": "",
    "HeartbeatInterval": 0,
    "OutputBufferSize": 0,
    "OutputBufferTimeout": 0,
    "FeatureNegotiation": False,
    "TLSv1": False,
    "Deflate": False,
    "DeflateLevel": 0,
    "Snappy": False,
    "SampleRate": 0,
    "UserAgent": "",
    "MsgTimeout": 0,
    "TopologyRegion": "",
    "TopologyZone": "",
}
_WORDS_OF = re.compile("(?<=[a-z])[A-Z]")
V = TypeVar("V", str, int, bool)


def default_settings(options: Options, peer_host: str) -> Settings:
    """Of a client that has not sent IDENTIFY."""
    return Settings(
        client_id=peer_host,
        hostname=peer_host,
        heartbeat_interval=DEFAULT_HEARTBEAT_MS,
        output_buffer_size=DEFAULT_BUFFER_SIZE,
        output_buffer_timeout=options.output_buffer_timeout.ms,
        msg_timeout=options.msg_timeout.ms,
    )


class Identity:
    """The JSON body of an IDENTIFY: keys in any letter case, ``null`` as if absent, types strict."""

    def __init__(self, body: bytes) -> None:
        """Raises FatalError ``E_BAD_BODY`` for what is not a JSON object."""
        try:
            value = json.loads(body.decode("utf-8", "replace"), parse_constant=_no_constant)
        except ValueError as e:
            at = f" at byte {e.pos}" if isinstance(e, json.JSONDecodeError) else ""
            raise _undecodable(f"invalid JSON{at}") from None
        except RecursionError:
            raise _undecodable("exceeded max depth") from None
        if value is not None and not isinstance(value, dict):
            raise _undecodable("not an object")
        self._values = {go_key(key): _whole(item) for key, item in (value or {}).items() if item is not None}

    def __str__(self) -> str:
        """As the original logs it; what is left out is zero."""
        shown = (f"{name}:{self._shown(name, zero)}" for name, zero in _LOGGED.items())
        return f"{{{' '.join(shown)}}}"

    def _shown(self, name: str, zero: object) -> str:
        key = _WORDS_OF.sub(r"_\g<0>", name).lower().lstrip("_")
        value = self._values.get("tls_v1" if name == "TLSv1" else key, zero)
        if isinstance(value, bool):
            return str(value).lower()
        return value[:LONGEST_SHOWN] if isinstance(value, str) else str(value)[:LONGEST_SHOWN]

    def get(self, key: str, default: V) -> V:
        """The value of ``key`` if it is there; raises FatalError when it has another type than ``default``."""
        value = self._values.get(key, default)
        if type(value) is not type(default) or not _fits_int64(value):
            raise _undecodable(f"cannot unmarshal {key}")
        return value


def _whole(value: object) -> object:
    """Half of a surrogate pair becomes a replacement character, as in Go: it could not be written out again."""
    return _LONE_SURROGATE.sub("\ufffd", value) if isinstance(value, str) else value


def _fits_int64(value: object) -> bool:
    return not isinstance(value, int) or -(1 << 63) <= value < 1 << 63


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _undecodable(why: str) -> FatalError:
    return FatalError("E_BAD_BODY", "IDENTIFY failed to decode JSON body", why)


def _invalid(what: str, value: int) -> FatalError:
    return FatalError("E_BAD_BODY", f"IDENTIFY {what} ({value}) is invalid")


def negotiate(identity: Identity, options: Options) -> Settings:
    """The settings that the client gets; raises FatalError for a value out of range."""
    asked = Settings(
        client_id=identity.get("client_id", ""),
        hostname=identity.get("hostname", ""),
        user_agent=identity.get("user_agent", ""),
        heartbeat_interval=identity.get("heartbeat_interval", 0),
        output_buffer_size=identity.get("output_buffer_size", 0),
        output_buffer_timeout=identity.get("output_buffer_timeout", 0),
        sample_rate=identity.get("sample_rate", 0),
        msg_timeout=identity.get("msg_timeout", 0),
        topology_region=identity.get("topology_region", ""),
        topology_zone=identity.get("topology_zone", ""),
    )
    for flag in ("feature_negotiation", "tls_v1", "snappy", "deflate"):
        identity.get(flag, False)
    identity.get("deflate_level", 0)

    heartbeat = asked.heartbeat_interval
    if heartbeat == -1:
        asked.heartbeat_interval = 0
    elif heartbeat == 0:
        asked.heartbeat_interval = DEFAULT_HEARTBEAT_MS
    elif not 1000 <= heartbeat <= options.max_heartbeat_interval.ms:
        raise _invalid("heartbeat interval", heartbeat)

    timeout = asked.output_buffer_timeout
    if timeout == -1:
        asked.output_buffer_timeout = 0
    elif timeout == 0:
        asked.output_buffer_timeout = options.output_buffer_timeout.ms
    elif not options.min_output_buffer_timeout.ms <= timeout <= options.max_output_buffer_timeout.ms:
        raise _invalid("output buffer timeout", timeout)

    size = asked.output_buffer_size
    if size == -1:
        asked.output_buffer_size, asked.output_buffer_timeout = 1, 0
    elif size == 0:
        asked.output_buffer_size = DEFAULT_BUFFER_SIZE
    elif not 64 <= size <= options.max_output_buffer_size:
        raise _invalid("output buffer size", size)

    if not -(1 << 31) <= asked.sample_rate < 1 << 31:
        raise _undecodable("out of range")
    if not 0 <= asked.sample_rate <= 99:
        raise _invalid("sample rate", asked.sample_rate)

    if asked.msg_timeout == 0:
        asked.msg_timeout = options.msg_timeout.ms
    elif not 1000 <= asked.msg_timeout <= options.max_msg_timeout.ms:
        raise _invalid("msg timeout", asked.msg_timeout)
    return asked


def upgrade(identity: Identity, options: Options, present: Upgrade, *, tls: bool) -> Upgrade:
    """The layers that the client gets; ``present`` are those it has, ``tls`` says whether there is a certificate.

    Raises FatalError when it asks for two ways to compress. A layer is granted once, and TLS only beneath the
    others: a client that asks again is told false, which says that no upgrade follows.
    """
    if not identity.get("feature_negotiation", False):
        return Upgrade()
    deflate = options.deflate and identity.get("deflate", False)
    snappy = options.snappy and identity.get("snappy", False)
    if deflate and snappy:
        raise FatalError("E_IDENTIFY_FAILED", "cannot enable both deflate and snappy compression")
    compressed = present.snappy or present.deflate
    return Upgrade(
        tls=tls and not present and identity.get("tls_v1", False),
        snappy=snappy and not compressed,
        deflate_level=_deflate_level(identity, options) if deflate and not compressed else 0,
    )


def _deflate_level(identity: Identity, options: Options) -> int:
    asked = identity.get("deflate_level", 0)
    return min(asked if asked > 0 else DEFLATE_LEVEL, options.max_deflate_level)


def answer(identity: Identity, settings: Settings, granted: Upgrade, options: Options) -> bytes:
    """What the client is told: ``OK``, or JSON with ``feature_negotiation``."""
    if not identity.get("feature_negotiation", False):
        return b"OK"
    return go_json(
        {
            "max_rdy_count": options.max_rdy_count,
            "version": NSQ_VERSION,
            "max_msg_timeout": options.max_msg_timeout.ms,
            "msg_timeout": settings.msg_timeout,
            "tls_v1": granted.tls,
            "deflate": granted.deflate,
            # Clients read the level whatever ``deflate`` says.
            "deflate_level": granted.deflate_level or min(DEFLATE_LEVEL, options.max_deflate_level),
            "max_deflate_level": options.max_deflate_level,
            "snappy": granted.snappy,
            "sample_rate": settings.sample_rate,
            "auth_required": bool(options.auth_http_addresses),
            "output_buffer_size": settings.output_buffer_size,
            "output_buffer_timeout": settings.output_buffer_timeout,
            "topology_region": options.topology_region,
            "topology_zone": options.topology_zone,
        }
    )
