"""Who may ask what is only for those in a certain network: judged by addresses, also by those that proxies tell."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from aiohttp import web

from nsqcore.errors import HttpError

Network = IPv4Network | IPv6Network

_NAMES_ADDRESSES = ("X-Forwarded-For", "X-Real-IP", "X-Client-IP", "True-Client-IP", "CF-Connecting-IP")
_NAMES_NONE = (
    "Via", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Server", "X-Scheme"
)  # fmt: skip
"""What proxies add, too: somebody else asks through them, and they do not say who."""
_FORWARDED = re.compile(r"\s*for\s*=\s*(?:\"([^\"]*)\"|([^;,\s]*))", re.IGNORECASE)
_CIDR = re.compile(r"[^/%]+/[0-9]{1,3}", re.ASCII)
_BRACKETED = re.compile(r"\[([^\]]*)\](?::\d+)?", re.ASCII)
_WITH_PORT = re.compile(r"([0-9.]+):\d+", re.ASCII)


def read_network(text: str) -> Network:
    """A network in CIDR notation, such as ``10.0.0.0/8``; raises ValueError in Go's words."""
    try:
        if not _CIDR.fullmatch(text):
            raise ValueError
        network = ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"invalid CIDR address: {text}") from None
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    return IPv4Network((mapped, network.prefixlen - 96)) if mapped and network.prefixlen >= 96 else network


class Nearby:
    """Admits requests from one network; None admits nobody.

    A request that came through a proxy is judged by the proxy's address and by all that it tells: what headers
    say can only close the door, for anybody can write them.
    """

    def __init__(self, network: Network | None) -> None:
        self.network = network

    def admit(self, request: web.Request) -> None:
        """Raises HttpError: 400 ``INVALID_REMOTE_ADDR`` when there is no address to judge by, 403 ``FORBIDDEN``."""
        peer = request.transport.get_extra_info("peername") if request.transport else None
        address = _address(str(peer[0])) if isinstance(peer, tuple) else None
        if address is None:
            raise HttpError(400, "INVALID_REMOTE_ADDR")
        if not self._has(address) or not all(self._has(_address(name)) for name in _named(request)):
            raise HttpError(403, "FORBIDDEN")

    def _has(self, address: IPv4Address | IPv6Address | None) -> bool:
        return self.network is not None and address is not None and address in self.network


def _named(request: web.Request) -> list[str]:
    """Whom proxies say they ask for; one empty text where they are there and do not say."""
    headers = request.headers
    names = [
        name for key in _NAMES_ADDRESSES for value in headers.getall(key, ()) for name in value.split(",")
    ]
    for value in headers.getall("Forwarded", ()):
        found = [quoted or plain for quoted, plain in _FORWARDED.findall(value)]
        names += found or [""]
    if not names and any(key in headers for key in _NAMES_NONE):
        return [""]
    return [name.strip() for name in names]


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """An address, bare or with a port."""
    match = _BRACKETED.fullmatch(text) or _WITH_PORT.fullmatch(text)
    try:
        address = ip_address(match[1] if match else text)
    except ValueError:
        return None
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address
