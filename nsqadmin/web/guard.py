"""Who asks, what they may do, and what a request must show to change something."""

from __future__ import annotations

import base64
import hmac
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from nsqadmin.access.accounts import Account, Accounts, Role
from nsqadmin.access.logins import Logins, TooMany
from nsqadmin.access.sessions import LIFE_S, Session, Sessions
from nsqadmin.access.throttle import Tries
from nsqadmin.web.same_site import same_site, seen_as_https
from nsqcore.errors import HttpError

TOKEN_FIELD = "token"
_FORM_COOKIE, _SESSION_COOKIE, _FAMILIAR_COOKIE = "nsqadmin_form", "nsqadmin_session", "nsqadmin_familiar"
_FAMILIAR_S = 90 * 86400


class TooManyTries(HttpError):
    """429: passwords were tried too often; ``seconds`` is when to try again."""

    def __init__(self, seconds: int) -> None:
        super().__init__(429, "TOO_MANY_TRIES")
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class Identity:
    """Who sent a request."""

    name: str = ""
    role: Role | None = None
    """None: nobody who may see anything."""
    session: Session | None = None
    """The login of a browser, if it is by that."""


NOBODY = Identity()
Tell = Callable[[web.Request, str, str, str, str], None]
"""Takes a request, what it wanted, the user, what came of it (``done``, ``refused``) and why."""
_WHO: Any = web.RequestKey("who", Identity) if hasattr(web, "RequestKey") else "nsqadmin.who"
"""Where a request keeps who sent it: found once, and by a key of the kind that this aiohttp wants."""


class Guard:
    """Knows who asks, by three ways that may be used together.

    With ``admins`` the header ``header`` names the user, believed as it comes: all traffic must pass the
    proxy that sets it. With ``accounts`` people log in, and scripts of the API send HTTP Basic. A request
    that the proxy has named is that user's; any other needs a login if there are accounts, may only read
    if there are none, and may do everything if there are no admins either.

    ``root`` is the base path without a slash at its end.
    """

    def __init__(
        self, admins: Sequence[str], header: str, *, accounts: Accounts | None = None, root: str = ""
    ) -> None:
        self.admins = frozenset(admins)
        self.header = header
        self.root = root
        self.sessions = Sessions()
        self.logins = Logins(accounts) if accounts is not None else None
        self.tell: Tell | None = None
        """Hears of each refused change, each login and logout."""
        self._tell_again = Tries(1, 60.0)

    @property
    def open_to_all(self) -> bool:
        """Whether whoever reaches us may change things."""
        return not self.admins and self.logins is None

    def identity(self, request: web.Request) -> Identity:
        """Who asks."""
        found: Identity | None = request.get(_WHO)
        if found is None:
            found = request[_WHO] = self._identity(request)
        return found

    def user(self, request: web.Request) -> str:
        """The user's name, or nothing."""
        return self.identity(request).name

    def may_read(self, request: web.Request) -> bool:
        """Whether this user may see the cluster."""
        return self.identity(request).role is not None

    def may_act(self, request: web.Request) -> bool:
        """Whether this user may change things."""
        return self.identity(request).role is Role.ADMIN

    def admit(self, request: web.Request) -> None:
        """Raises HttpError 403: ``FORBIDDEN`` for a user who may not act, ``CROSS_SITE`` for a foreign page."""
        try:
            self.must_be_admin(request)
            if not same_site(request):
                raise HttpError(403, "CROSS_SITE")
        except HttpError as e:
            self._refused(request, e)
            raise

    def must_be_admin(self, request: web.Request) -> None:
        """Raises HttpError 403 ``FORBIDDEN`` for a user who may not act."""
        if not self.may_act(request):
            raise HttpError(403, "FORBIDDEN")

    async def let_in(self, request: web.Request) -> None:
        """Raises HttpError 401 ``UNAUTHORIZED`` when a login is needed, 429 after too many wrong ones."""
        if not self.may_read(request) and self.for_scripts(request):
            account = await self._basic(request)
            if account is not None:
                request[_WHO] = Identity(account.name, account.role)
        if not self.may_read(request):
            raise HttpError(401, "UNAUTHORIZED")

    def for_scripts(self, request: web.Request) -> bool:
        """Whether the path is of the API, not of a page."""
        paths = tuple(
            self.root + path for path in ("/api/", "/events", "/ping", "/static/", "/config/", "/render")
        )
        return request.path.lower().startswith(paths)

    async def log_in(self, request: web.Request, name: str, password: str) -> Account | None:
        """The account of a name and a password, None when they are wrong; raises TooManyTries."""
        if self.logins is None:
            return None
        try:
            familiar = request.cookies.get(_FAMILIAR_COOKIE, "")
            account = await self.logins.check(name, password, request.remote or "", familiar)
        except TooMany as e:
            # Once a minute: who tries that often must not fill the log.
            if not self._tell_again.wait(request.remote or ""):
                self._tell_again.take(request.remote or "")
                self._tell(request, "log in", "", "refused", "too many tries")
            raise TooManyTries(e.seconds) from None
        if account is None:
            # What is no user's name may be a password, typed into the wrong field.
            known = name in self.logins.accounts.by_name
            detail = "wrong password" if known else "unknown user"
            self._tell(request, "log in", name if known else "", "refused", detail)
        return account

    def open_session(self, request: web.Request, response: web.StreamResponse, account: Account) -> None:
        """Logs the browser in that ``response`` goes to; a session that it had ends."""
        assert self.logins is not None, "there are no accounts without logins"
        self._tell(request, "log in", account.name, "done")
        self.sessions.close(request.cookies.get(_SESSION_COOKIE, ""))
        token = self.sessions.open(account)
        self._keep(request, response, _SESSION_COOKIE, token, "Lax", int(LIFE_S))
        familiar = self.logins.familiar_token(account)
        self._keep(request, response, _FAMILIAR_COOKIE, familiar, "Strict", _FAMILIAR_S)

    def close_session(self, request: web.Request, response: web.StreamResponse) -> None:
        """Logs the browser out."""
        self._tell(request, "log out", self.user(request), "done")
        self.sessions.close(request.cookies.get(_SESSION_COOKIE, ""))
        response.del_cookie(_SESSION_COOKIE, path=self.root or "/")

    def form_token(self, request: web.Request) -> str:
        """The token for a form on the page that answers ``request``; :meth:`keep_token` lets it count."""
        session = self.identity(request).session
        if session is not None:
            return session.form_token
        token = request.cookies.get(_FORM_COOKIE, "")
        return token if len(token) == 43 and token.isascii() else secrets.token_urlsafe(32)

    def keep_token(self, request: web.Request, response: web.StreamResponse, token: str) -> None:
        """Lets the browser keep a token that no session keeps, for requests of our own pages only."""
        if self.identity(request).session is None:
            self._keep(request, response, _FORM_COOKIE, token, "Strict")

    def check_token(self, request: web.Request, given: str) -> None:
        """Raises HttpError 403 ``STALE_FORM`` unless the token is the session's, or the one the browser keeps."""
        session = self.identity(request).session
        kept = session.form_token if session is not None else request.cookies.get(_FORM_COOKIE, "")
        if not kept or not hmac.compare_digest(
            kept.encode("utf-8", "replace"), given.encode("utf-8", "replace")
        ):
            stale = HttpError(403, "STALE_FORM")
            self._refused(request, stale)
            raise stale

    def _identity(self, request: web.Request) -> Identity:
        named = [name for name in request.headers.getall(self.header, ()) if name]
        # A visitor may have sent the header himself, and a careless proxy have added its own.
        name = named[0] if len(named) == 1 else ""
        if self.admins and name:
            return Identity(name, Role.ADMIN if name in self.admins else Role.READ)
        if self.logins is None:
            return Identity(name, Role.READ if self.admins else Role.ADMIN)
        token = request.cookies.get(_SESSION_COOKIE, "")
        session = self.sessions.find(token, self.logins.accounts.by_name)
        return (
            Identity(session.account.name, session.account.role, session) if session is not None else NOBODY
        )

    def _refused(self, request: web.Request, error: HttpError) -> None:
        self._tell(request, f"{request.method} {request.path}", self.user(request), "refused", error.code)

    def _tell(self, request: web.Request, action: str, user: str, result: str, detail: str = "") -> None:
        if self.tell is not None:
            self.tell(request, action, user, result, detail)

    async def _basic(self, request: web.Request) -> Account | None:
        given = basic_credentials(request.headers.get("Authorization", ""))
        return await self.log_in(request, *given) if given is not None else None

    def _keep(
        self,
        request: web.Request,
        response: web.StreamResponse,
        name: str,
        value: str,
        samesite: str,
        max_age: int | None = None,
    ) -> None:
        response.set_cookie(
            name,
            value,
            path=self.root or "/",
            max_age=max_age,
            httponly=True,
            secure=seen_as_https(request),
            samesite=samesite,
        )


def basic_credentials(header: str) -> tuple[str, str] | None:
    """Name and password of an ``Authorization`` header; None when it is none of HTTP Basic."""
    scheme, _, text = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, password = base64.b64decode(text.strip(), validate=True).decode().partition(":")
    except ValueError:
        return None
    return (name, password) if colon else None
