"""What a nsqd tells of itself: the body of IDENTIFY, read as Go's encoding/json reads it."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields


class BadPeer(Exception):
    """The body is JSON of the right types, but lacks a field that nobody can do without."""


@dataclass(frozen=True, slots=True)
class Peer:
    """One nsqd. The fields stand in the order in which answers show them."""

    remote_address: str = ""
    """The ``IP:port`` of its connection to us, whatever the body says."""
    hostname: str = ""
    broadcast_address: str = ""
    """Where consumers are to connect, with ``tcp_port``."""
    tcp_port: int = 0
    http_port: int = 0
    version: str = ""
    topology_zone: str = ""
    topology_region: str = ""

    @property
    def node(self) -> str:
        """``broadcast_address:http_port``, by which tombstones name it."""
        return f"{self.broadcast_address}:{self.http_port}"

    def as_json(self) -> dict[str, object]:
        """All fields, in order."""
        return {name: getattr(self, name) for name in _TYPES}


_TYPES: dict[str, type] = {f.name: int if f.type == "int" else str for f in fields(Peer)}
_INT64 = range(-(1 << 63), 1 << 63)


class _Members(list[tuple[str, object]]):
    """A JSON object's members: Go takes them one by one, so the last of a repeated key wins."""


def decode_peer(body: bytes, remote_address: str) -> Peer:
    """The peer that an IDENTIFY body describes.

    Keys match in any letter case, unknown ones are passed over, null changes nothing. Raises ValueError
    when it is not a JSON object with the right types, BadPeer when a required field is missing.
    """
    try:
        members = json.loads(
            body.decode("utf-8", "replace"), object_pairs_hook=_Members, parse_constant=_no_constant
        )
    except RecursionError:
        raise ValueError("exceeded max depth") from None
    values: dict[str, object] = {}
    if members is not None and not isinstance(members, _Members):
        raise ValueError("not an object")
    for key, value in members or ():
        name = key.lower()
        if name not in _TYPES or value is None:
            continue
        if type(value) is not _TYPES[name] or (isinstance(value, int) and value not in _INT64):
            raise ValueError(f"{name} has a wrong type")
        # A lone surrogate can be written in JSON, but not sent on as UTF-8.
        values[name] = (
            value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            if isinstance(value, str)
            else value
        )
    peer = Peer(**{**values, "remote_address": remote_address})  # type: ignore[arg-type]  # checked above
    if not (peer.broadcast_address and peer.tcp_port and peer.http_port and peer.version):
        raise BadPeer
    return peer


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")
