"""Logging in and out."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from aiohttp import web

from nsqadmin.web.forms import read_form
from nsqadmin.web.guard import TOKEN_FIELD, TooManyTries
from nsqadmin.web.html import Html
from nsqadmin.web.http_server import Route, query_of
from nsqadmin.web.same_site import same_site
from nsqcore.errors import HttpError

_LONGEST_TARGET = 2000


class LoginPages:
    """``/login`` asks for name and password and leads back to where the visitor was; ``/logout`` ends it."""

    def __init__(self, html: Html) -> None:
        self.html = html
        self.guard = html.guard

    def routes(self) -> list[Route]:
        """The routes, without the base path; none when nobody needs to log in."""
        if self.guard.logins is None:
            return []
        return [
            Route("GET", "/login", self.ask, public=True),
            Route("POST", "/login", self.log_in, public=True),
            Route("GET", "/logout", self.ask_out, public=True),
            Route("POST", "/logout", self.log_out, public=True),
        ]

    async def ask(self, request: web.Request) -> web.Response:
        """The form."""
        target = query_of(request).get("next", "")
        if self.guard.may_read(request):
            return web.Response(status=303, headers={"Location": self._safe(target)})
        return self._form(request, target)

    async def log_in(self, request: web.Request) -> web.Response:
        """Leads on when name and password are right; says no more than that they are not."""
        if not same_site(request):
            raise HttpError(403, "CROSS_SITE")
        form = await read_form(request)
        self.guard.check_token(request, form.get(TOKEN_FIELD, ""))
        name, target = form.get("user", "").strip(), form.get("next", "")
        try:
            account = await self.guard.log_in(request, name, form.get("password", ""))
        except TooManyTries as e:
            text = f"Too many attempts from your address. Try again in {e.seconds} s."
            answer = self._form(request, target, status=429, name=name, error=text)
            answer.headers["Retry-After"] = str(e.seconds)
            return answer
        if account is None:
            return self._form(request, target, status=403, name=name, error="User or password is wrong.")
        answer = web.Response(status=303, headers={"Location": self._safe(target)})
        self.guard.open_session(request, answer, account)
        return answer

    async def ask_out(self, request: web.Request) -> web.Response:
        """Asks whether to log out: following a link changes nothing."""
        if self.guard.identity(request).session is None:
            return web.Response(status=303, headers={"Location": self.html.url("login")})
        return self.html.form(request, "logout.html")

    async def log_out(self, request: web.Request) -> web.Response:
        """Ends the session and leads to the form."""
        if not same_site(request):
            raise HttpError(403, "CROSS_SITE")
        answer = web.Response(status=303, headers={"Location": self.html.url("login")})
        if self.guard.identity(request).session is not None:
            self.guard.check_token(request, (await read_form(request)).get(TOKEN_FIELD, ""))
            self.guard.close_session(request, answer)
        return answer

    def _form(
        self, request: web.Request, target: str, *, status: int = 200, name: str = "", error: str = ""
    ) -> web.Response:
        values = {"target": target[:_LONGEST_TARGET], "name": name, "error": error}
        return self.html.form(request, "login.html", status=status, **values)

    def _safe(self, target: str) -> str:
        """The page to go on with: ``target`` if it is one of ours, else the first."""
        first = self.html.url()
        if not target.isascii() or not target.isprintable() or "\\" in target or " " in target:
            return first
        try:
            parts = urlsplit(target)
        except ValueError:
            return first
        ours = target == self.html.root or target.startswith(self.html.root + "/")
        if (
            parts.scheme
            or parts.netloc
            or not ours
            or target.startswith("//")
            or len(target) > _LONGEST_TARGET
        ):
            return first
        if ".." in unquote(parts.path).split("/"):
            return first
        return first if parts.path in (self.html.url("login"), self.html.url("logout")) else target
