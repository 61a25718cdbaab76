"""The page that shows who did what."""

from __future__ import annotations

from itertools import islice

from aiohttp import web

from nsqadmin.changes.audit import Audit
from nsqadmin.web.html import Html
from nsqadmin.web.http_server import Route, query_of

LONGEST = 200
"""Rows; a search finds the others."""


class AuditPage:
    """``/audit``: changes, logins and refusals, newest first. For those who may act: it names users."""

    def __init__(self, html: Html, audit: Audit, *, kept: bool) -> None:
        """``kept`` is whether it outlives a restart."""
        self.html = html
        self.audit = audit
        self.kept = kept

    def routes(self) -> list[Route]:
        """The route, without the base path."""
        return [Route("GET", "/audit", self.show)]

    async def show(self, request: web.Request) -> web.Response:
        """The newest entries, or those of a user or a topic."""
        self.html.guard.must_be_admin(request)
        query = query_of(request)
        user, topic = query.get("user", "").strip(), query.get("topic", "").strip()
        found = list(islice(self.audit.entries(user, topic), LONGEST + 1))
        return self.html.page(
            request,
            "audit.html",
            entries=found[:LONGEST],
            more=len(found) > LONGEST,
            wanted_user=user,
            wanted_topic=topic,
            kept=self.kept,
        )
