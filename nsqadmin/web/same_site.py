"""From which pages a browser may send changes: our own."""

from __future__ import annotations

from aiohttp import web


def same_site(request: web.Request) -> bool:
    """Whether a request that changes something was not sent by a page of another site.

    Browsers say where a request comes from: in ``Sec-Fetch-Site`` on safe connections, in ``Origin`` else,
    older ones at least in ``Referer``. Programs such as curl say nothing, and no page can make them act for
    its visitor. What a body claims to be is not looked at: the original takes JSON under any name.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("Origin", request.headers.get("Referer"))
    if origin is None:
        return True
    # A proxy may have put its own name into Host; a foreign page can't set the header that has the first one.
    hosts = f"{request.headers.get('Host', '')},{request.headers.get('X-Forwarded-Host', '')}"
    host = origin.partition("://")[2].partition("/")[0].lower()
    return host in {known.strip().lower() for known in hosts.split(",")} - {""}


def seen_as_https(request: web.Request) -> bool:
    """Whether the browser speaks https, be it to a proxy before us. A lie harms only who tells it."""
    said = request.headers.get("X-Forwarded-Proto", request.headers.get("X-Scheme", ""))
    origin = request.headers.get("Origin", "")
    return request.secure or said.partition(",")[0].strip() == "https" or origin.startswith("https://")
