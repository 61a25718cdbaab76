"""The page to publish a message from, to try things out."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from nsqadmin.changes.changes import Changes
from nsqadmin.changes.notify import Origin
from nsqadmin.changes.publishing import (
    EVERY_NODE,
    LARGEST_BODY,
    LONGEST_DELAY_MS,
    MOST_COPIES,
    Message,
    Published,
)
from nsqadmin.cluster.cluster import Unknown, Unreachable
from nsqadmin.cluster.model import Channel
from nsqadmin.history.series import History
from nsqadmin.web.forms import read_form
from nsqadmin.web.guard import TOKEN_FIELD
from nsqadmin.web.html import Html
from nsqadmin.web.http_server import Route, query_of
from nsqcore.durations import Duration
from nsqcore.names import valid_name

_MOST_SUGGESTED = 500


class PublishPage:
    """``/publish``: GET shows the form, POST publishes and says what each node answered."""

    def __init__(self, changes: Changes, html: Html, history: History) -> None:
        self.changes = changes
        self.html = html
        self.history = history

    def routes(self) -> list[Route]:
        """The routes, without the base path."""
        return [Route("GET", "/publish", self.ask), Route("POST", "/publish", self.publish)]

    async def ask(self, request: web.Request) -> web.Response:
        """The form; ``topic`` and ``node`` of the address are filled in."""
        self.html.guard.must_be_admin(request)
        return await self._form(request, query_of(request))

    async def publish(self, request: web.Request) -> web.Response:
        """Publishes, if what was typed makes sense."""
        self.html.guard.admit(request)
        form = await read_form(request)
        self.html.guard.check_token(request, form.get(TOKEN_FIELD, ""))
        message, errors = read_message(form)
        if errors:
            return await self._form(request, form, status=400, errors=errors)
        origin = Origin.of(request, self.html.guard.user(request))
        published = await self.changes.publish(message, origin)
        failed = not any(one.count for one in published)
        channels = [] if failed else await self._channels(message.topic)
        return await self._form(
            request,
            form,
            status=502 if failed else 200,
            published=published,
            message=message,
            channels=channels,
        )

    async def _channels(self, topic: str) -> list[Channel]:
        """Where to look next; none while nobody has subscribed, or nsqlookupd has not heard of the topic."""
        try:
            return list((await self.changes.cluster.topic(topic)).value.channels)
        except (Unknown, Unreachable):
            return []

    async def _form(
        self,
        request: web.Request,
        fields: Mapping[str, str],
        *,
        status: int = 200,
        errors: Mapping[str, str] | None = None,
        published: list[Published] | None = None,
        message: Message | None = None,
        channels: list[Channel] | None = None,
    ) -> web.Response:
        snapshot = await self.history.latest()
        return self.html.form(
            request,
            "publish.html",
            status=status,
            fields={"topic": "", "node": "", "body": "", "delay": "", "copies": "1", **fields},
            errors=errors or {},
            topics=sorted(snapshot.topics)[:_MOST_SUGGESTED],
            nodes=sorted(node.node.name for node in snapshot.nodes),
            every_node=EVERY_NODE,
            most_copies=MOST_COPIES,
            published=published or [],
            message=message,
            channels=channels or [],
        )


def read_message(form: Mapping[str, str]) -> tuple[Message, dict[str, str]]:
    """What a form wants published, and by field what is wrong with it."""
    errors = {}
    topic, copies_text = form.get("topic", "").strip(), form.get("copies", "").strip() or "1"
    if not valid_name(topic):
        errors["topic"] = (
            "A topic name has 1 to 64 of the characters a-z, A-Z, 0-9, . _ and -; it may end in #ephemeral."
        )
    # Forms end lines with CR and LF, whatever was typed.
    body = form.get("body", "").replace("\r\n", "\n").encode("utf-8", "replace")
    if not body:
        errors["body"] = "nsqd takes no empty message."
    elif len(body) > LARGEST_BODY:
        errors["body"] = (
            f"This has {len(body):,} bytes, {LARGEST_BODY:,} is the most that is published from here."
        )
    delay_ms, delay_error = _delay(form.get("delay", "").strip())
    if delay_error:
        errors["delay"] = delay_error
    copies = (
        int(copies_text) if copies_text.isascii() and copies_text.isdigit() and len(copies_text) < 9 else 0
    )
    if not 1 <= copies <= MOST_COPIES:
        errors["copies"] = f"From 1 to {MOST_COPIES}."
    return Message(topic, body, form.get("node", "").strip(), delay_ms, copies), errors


def _delay(text: str) -> tuple[int, str]:
    """Milliseconds, and what is wrong with the text."""
    if text in ("", "0"):
        return 0, ""
    try:
        milliseconds = int(Duration.parse(text).seconds * 1000)
    except ValueError:
        return 0, "A number with a unit: 500ms, 30s, 1h30m."
    if not 0 <= milliseconds <= LONGEST_DELAY_MS:
        return 0, "From 0 to 24h; nsqd itself takes 1h at most, unless told otherwise."
    return milliseconds, ""
