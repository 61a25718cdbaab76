"""Who may change things, and from which pages a browser may send changes."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Sequence

from aiohttp import web

from nsqcore.errors import HttpError

TOKEN_FIELD = "token"
_COOKIE = "nsqadmin_form"


class Guard:
    """Knows the admins; without any, everybody may act.

    The user is whoever the header ``header`` names. It is believed as it comes, so all traffic must pass
    the proxy that sets it.
    """

    def __init__(self, admins: Sequence[str], header: str) -> None:
        self.admins = frozenset(admins)
        self.header = header

    def user(self, request: web.Request) -> str:
        """The user's name, or nothing."""
        return request.headers.get(self.header, "")

    def may_act(self, request: web.Request) -> bool:
        """Whether this user may change things."""
        return not self.admins or self.user(request) in self.admins

    def admit(self, request: web.Request) -> None:
        """Raises HttpError 403: ``FORBIDDEN`` for a user who may not act, ``CROSS_SITE`` for a foreign page."""
        if not self.may_act(request):
            raise HttpError(403, "FORBIDDEN")
        if not same_site(request):
            raise HttpError(403, "CROSS_SITE")


def same_site(request: web.Request) -> bool:
    """Whether a request that changes something was not sent by a page of another site.

    Browsers say where a request comes from: in ``Sec-Fetch-Site`` on safe connections, in ``Origin`` else.
    Programs such as curl say neither, and no page can make them act for its visitor.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("Origin")
    if origin is None:
        return True
    # A proxy may have put its own name into Host; a foreign page can't set the header that has the first one.
    hosts = f"{request.headers.get('Host', '')},{request.headers.get('X-Forwarded-Host', '')}"
    return origin.partition("://")[2] in {host.strip() for host in hosts.split(",")} - {""}


def form_token(request: web.Request) -> str:
    """The token for a form on the page that answers ``request``; :func:`keep_token` gives it the cookie."""
    token = request.cookies.get(_COOKIE, "")
    return token if len(token) == 43 and token.isascii() else secrets.token_urlsafe(32)


def keep_token(response: web.Response, token: str, path: str) -> None:
    """Lets the browser keep the token, for requests of our own pages below ``path`` only."""
    response.set_cookie(_COOKIE, token, path=path, httponly=True, samesite="Strict")


def check_token(request: web.Request, given: str) -> None:
    """Raises HttpError 403 ``STALE_FORM`` unless the form's token is the one that the browser keeps."""
    kept = request.cookies.get(_COOKIE, "")
    if not kept or not hmac.compare_digest(kept.encode(), given.encode("utf-8", "replace")):
        raise HttpError(403, "STALE_FORM")
