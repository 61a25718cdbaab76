"""Renders pages: templates, how numbers read, links below the base path, and what a browser may load."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from urllib.parse import quote, urlencode

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from nsqadmin.web import charts
from nsqadmin.web.guard import Guard
from nsqcore.version import NSQ_VERSION, suite_version

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Nothing inline, nothing from elsewhere, no framing: a name that slipped through as markup stays harmless."""


def policy(pictures_from: str = "") -> str:
    """The policy for pages; ``pictures_from`` is the one other origin (``https://host``) that pictures come from."""
    return POLICY.replace("img-src 'self'", f"img-src 'self' {pictures_from}".rstrip())


_UNITS = ((86400, "d"), (3600, "h"), (60, "min"))


def number(value: float) -> str:
    """``1234567`` as ``1,234,567``."""
    return f"{value:,}"


def span(seconds: float) -> str:
    """A length of time by its two largest units: ``3 d 4 h``, ``2 min 5 s``, ``0 s``."""
    rest, parts = max(0, int(seconds)), []
    for size, unit in _UNITS:
        if rest >= size:
            parts.append(f"{rest // size} {unit}")
            rest %= size
    if len(parts) < 2 and (rest or not parts):
        parts.append(f"{rest} s")
    return " ".join(parts[:2])


def latency(nanoseconds: float) -> str:
    """``237.6 ms``, ``1.5 s``, ``0``."""
    for size, unit in ((1e9, "s"), (1e6, "ms"), (1e3, "µs")):
        if nanoseconds >= size:
            return f"{nanoseconds / size:.1f} {unit}"
    return f"{nanoseconds:.0f} ns" if nanoseconds else "0"


def percent(quantile: float) -> str:
    """``0.999`` as ``99.9%``."""
    return f"{quantile * 100:.6g}%"


def rate_or_none(value: float | None) -> str:
    """Messages per second; a dash while it is not known."""
    return "–" if value is None else charts.rate(value)  # noqa: RUF001 - a dash, as people write it


def moment(unix_seconds: float) -> str:
    """``2026-11-22T13:05:09Z``, or nothing for a time that no calendar has."""
    try:
        return datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return ""


class SecretPage(web.Response):
    """A page with a secret, to be sent as it is: the length of compressed text would tell about it."""


class Html:
    """Turns a template and its values into an answer."""

    def __init__(self, base_path: str, guard: Guard) -> None:
        self.root = base_path.rstrip("/")
        self.guard = guard
        self.on_every_page: dict[str, Callable[[web.Request], object]] = {}
        """Names that every template knows, and what makes their values for the one who asks."""
        self.env = Environment(
            loader=PackageLoader("nsqadmin"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self.env.filters.update(
            number=number,
            span=span,
            latency=latency,
            percent=percent,
            moment=moment,
            plural=_plural,
            rate=rate_or_none,
        )
        self.env.globals.update(url=self.url, nsq_version=NSQ_VERSION, suite_version=suite_version())
        self.env.globals.update(sparkline=charts.sparkline, chart=charts.chart, line=charts.Line)
        self.env.globals["menu"] = []

    def url(self, *segments: str, **query: str) -> str:
        """The address of a page: segments are escaped whole, empty parameters left out."""
        below = "/".join(quote(segment, safe="", errors="replace") for segment in segments)
        path = f"{self.root}/{below}" if below else self.root or "/"
        given = {key: value for key, value in query.items() if value}
        return f"{path}?{urlencode(given, errors='replace')}" if given else path

    def page(
        self, request: web.Request, template: str, *, status: int = 200, **values: object
    ) -> web.Response:
        """The page that ``template`` makes of ``values``, for the one who asks."""
        return self._answer(web.Response, request, template, status, values)

    def form(
        self, request: web.Request, template: str, *, status: int = 200, **values: object
    ) -> web.Response:
        """A page with a form, whose ``token`` :meth:`Guard.check_token` will want to see again."""
        token = self.guard.form_token(request)
        page = self._answer(SecretPage, request, template, status, {**values, "token": token})
        self.guard.keep_token(request, page, token)
        return page

    def _answer(
        self,
        kind: type[web.Response],
        request: web.Request,
        template: str,
        status: int,
        values: Mapping[str, object],
    ) -> web.Response:
        who, now = self.guard.identity(request), time.time()
        text = self.env.get_template(template).render(
            now=now,
            user=who.name,
            may_read=self.guard.may_read(request),
            may_act=self.guard.may_act(request),
            logged_in=who.session is not None,
            **{name: make(request) for name, make in self.on_every_page.items()},
            **{"as_of": now, **values},
        )
        return kind(
            status=status, body=text.encode("utf-8", "replace"), content_type="text/html", charset="utf-8"
        )


def _plural(count: int, noun: str) -> Markup:
    """``1 node``, ``3 nodes``, kept on one line."""
    return Markup("{}\u00a0{}{}").format(f"{count:,}", noun, "" if count == 1 else "s")
