"""The pages that ask before a change, make it, and say what became of it on each daemon."""

from __future__ import annotations

from aiohttp import web

from nsqadmin.changes import consequences
from nsqadmin.changes.actions import Change, Verb
from nsqadmin.changes.changes import Changes
from nsqadmin.changes.consequences import Consequences
from nsqadmin.changes.notify import Origin
from nsqadmin.cluster.cluster import Unknown
from nsqadmin.cluster.merge import merge_channel, merge_topic
from nsqadmin.cluster.model import Problem
from nsqadmin.web.forms import read_form
from nsqadmin.web.guard import TOKEN_FIELD
from nsqadmin.web.html import Html
from nsqadmin.web.http_server import Route, query_of
from nsqcore.errors import HttpError
from nsqcore.names import valid_name

_VERBS = {verb.value: verb for verb in Verb}


class ActionPages:
    """One address per verb: GET asks (and changes nothing), POST does it.

    Forms carry a token that must match the browser's cookie, and other sites' pages are turned away.
    """

    def __init__(self, changes: Changes, html: Html) -> None:
        self.cluster = changes.cluster
        self.changes = changes
        self.html = html

    def routes(self) -> list[Route]:
        """The routes, without the base path."""
        return [
            Route("GET", "/actions/{verb}", self.ask),
            Route("POST", "/actions/{verb}", self.act),
        ]

    async def ask(self, request: web.Request) -> web.Response:
        """The question, with what will be lost in numbers."""
        self.html.guard.must_be_admin(request)
        change = _change(request.match_info["verb"], query_of(request))
        if change.verb is Verb.CREATE:
            return self.html.form(request, "create.html", change=change, topic_error="", channel_error="")
        return await self._ask(request, change)

    async def act(self, request: web.Request) -> web.Response:
        """Makes the change."""
        self.html.guard.admit(request)
        form = await read_form(request)
        self.html.guard.check_token(request, form.get(TOKEN_FIELD, ""))
        change = _change(request.match_info["verb"], form)
        if change.verb is Verb.CREATE:
            topic_error = "" if valid_name(change.topic) else _name_rule("topic")
            channel_error = "" if not change.channel or valid_name(change.channel) else _name_rule("channel")
            if topic_error or channel_error:
                errors = {"topic_error": topic_error, "channel_error": channel_error}
                return self.html.form(request, "create.html", status=400, change=change, **errors)
        if _to_type(change) and form.get("typed", "").strip() != _to_type(change):
            return await self._ask(request, change, status=400, mistyped=True)
        outcome = await self.changes.make(change, Origin.of(request, self.html.guard.user(request)))
        status = 200 if outcome.done or not outcome.failures else 502
        return self.html.page(request, "result.html", status=status, outcome=outcome, change=change)

    async def _ask(
        self, request: web.Request, change: Change, *, status: int = 200, mistyped: bool = False
    ) -> web.Response:
        found, problems = await self._foresee(change)
        return self.html.form(
            request,
            "confirm.html",
            status=status,
            change=change,
            consequences=found,
            problems=problems,
            by_lookupd=self.cluster.by_lookupd,
            to_type=_to_type(change),
            mistyped=mistyped,
        )

    async def _foresee(self, change: Change) -> tuple[Consequences, list[Problem]]:
        if change.node:
            return await self._foresee_on_node(change)
        if change.channel:
            channel = await self.cluster.channel(change.topic, change.channel)
            return consequences.of_channel(change, channel.value), channel.problems
        topic = await self.cluster.topic(change.topic)
        return consequences.of_topic(change, topic.value), topic.problems

    async def _foresee_on_node(self, change: Change) -> tuple[Consequences, list[Problem]]:
        node = await self.cluster.node(change.node)
        parts = [part for part in node.value[1].topics if part.topic_name == change.topic]
        if not parts:
            raise Unknown("TOPIC_NOT_FOUND", node.problems)
        if not change.channel:
            return consequences.of_topic(change, merge_topic(change.topic, parts)), node.problems
        channels = [c for part in parts for c in part.channels if c.channel_name == change.channel]
        if not channels:
            raise Unknown("CHANNEL_NOT_FOUND", node.problems)
        merged = merge_channel(change.topic, change.channel, channels)
        return consequences.of_channel(change, merged), node.problems


def _change(word: str, fields: dict[str, str]) -> Change:
    """What an address or a form asks for; raises HttpError 404 for an unknown verb, 400 if it misses its object."""
    verb = _VERBS.get(word)
    if verb is None:
        raise HttpError(404, "NOT_FOUND")
    topic, channel, node = (fields.get(name, "").strip() for name in ("topic", "channel", "node"))
    if verb is Verb.TOMBSTONE:
        if not topic or not node:
            raise HttpError(400, "INVALID_REQUEST")
        return Change(verb, topic, node=node)
    if verb is Verb.CREATE:
        return Change(verb, topic, channel)
    if not topic:
        raise HttpError(400, "INVALID_REQUEST")
    return Change(verb, topic, channel, node)


def _to_type(change: Change) -> str:
    """What has to be typed before something is lost, or nothing."""
    return change.channel or change.topic if change.verb in (Verb.EMPTY, Verb.DELETE, Verb.TOMBSTONE) else ""


def _name_rule(kind: str) -> str:
    return (
        f"A {kind} name has 1 to 64 of the characters a-z, A-Z, 0-9, . _ and -; it may end in #ephemeral, "
        "which counts too."
    )
