"""Who sent a request that came through proxies. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from nsqclient.errors import ConfigError

Network = IPv4Network | IPv6Network


def read_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Networks and single addresses; raises ConfigError."""
    networks = []
    for text in texts:
        try:
            networks.append(ip_network(text))
        except ValueError:
            raise ConfigError(f"{text!r} is no address and no network such as 10.0.0.0/8") from None
    return tuple(networks)


def sender(
    peer: str, secure: bool, trusted: Sequence[Network], forwarded_for: Sequence[str], proto: Sequence[str]
) -> tuple[str, bool]:
    """The address of the client, and whether it came over TLS.

    ``peer`` has connected; the other two are the values of ``X-Forwarded-For`` and ``X-Forwarded-Proto``.
    Each proxy adds whom it heard at the end, so they are read from there for as long as trusted ones speak:
    what stands before may be the client's own invention.
    """
    if not _among(peer, trusted):
        return peer, secure
    named = [name.strip() for value in forwarded_for for name in value.split(",")]
    client = peer
    for name in reversed(named):
        if _address(name) is None:
            break
        client = name
        if not _among(name, trusted):
            break
    schemes = [name.strip().lower() for value in proto for name in value.split(",")]
    return client, schemes[-1] == "https" if schemes else secure


def _among(text: str, networks: Sequence[Network]) -> bool:
    address = _address(text)
    return address is not None and any(address in network for network in networks)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
