"""The JSON API: what scripts written for the original call, with its shapes and codes."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable

from aiohttp import web

from nsqadmin.api.bodies import read_texts_of
from nsqadmin.api.counter import counted
from nsqadmin.api.shapes import channel_json, node_json, topic_json
from nsqadmin.changes.actions import Change, Verb
from nsqadmin.changes.changes import Changes
from nsqadmin.changes.notify import Origin
from nsqadmin.cluster.model import Problem
from nsqadmin.web.guard import Guard
from nsqadmin.web.http_server import Body, Route, query_of, read_body
from nsqcore.errors import HttpError
from nsqcore.golang import go_json
from nsqcore.names import valid_name

_BROKEN = re.compile(r"%(?![0-9A-Fa-f]{2}).{0,2}")
_VERBS = {"pause": Verb.PAUSE, "unpause": Verb.UNPAUSE, "empty": Verb.EMPTY}


class HttpApi:
    """The endpoints below ``/api/``; every answer has a ``message``, empty or a warning."""

    def __init__(self, changes: Changes, guard: Guard) -> None:
        self.cluster = changes.cluster
        self.changes = changes
        self.guard = guard

    def routes(self) -> list[Route]:
        """The API's routes, without the base path."""
        return [
            Route("GET", "/api/topics", self.topics),
            Route("POST", "/api/topics", self.create),
            Route("GET", "/api/topics/{topic}", self.topic),
            Route("POST", "/api/topics/{topic}", self.act),
            Route("DELETE", "/api/topics/{topic}", self.delete),
            Route("GET", "/api/topics/{topic}/{channel}", self.channel),
            Route("POST", "/api/topics/{topic}/{channel}", self.act),
            Route("DELETE", "/api/topics/{topic}/{channel}", self.delete),
            Route("GET", "/api/nodes", self.nodes),
            Route("GET", "/api/nodes/{node}", self.node),
            Route("DELETE", "/api/nodes/{node}", self.tombstone),
            Route("GET", "/api/counter", self.counter),
        ]

    async def topics(self, request: web.Request) -> Body:
        """All topics, or with ``inactive=true`` those that no node produces, and their channels."""
        if _query_of(request).get("inactive") == "true":
            idle = await self.cluster.idle_topics()
            found = {name: channels or None for name, channels in idle.value.items()}
            return {"topics": found, "message": warning(idle.problems)}
        names = await self.cluster.topic_names()
        return {"topics": names.value or None, "message": warning(names.problems)}

    async def topic(self, request: web.Request) -> Body:
        """One topic over all nodes."""
        topic = await self.cluster.topic(request.match_info["topic"])
        return {**topic_json(topic.value, time.time()), "message": warning(topic.problems)}

    async def channel(self, request: web.Request) -> Body:
        """One channel over all nodes, with its clients."""
        channel = await self.cluster.channel(request.match_info["topic"], request.match_info["channel"])
        return {**channel_json(channel.value, time.time()), "message": warning(channel.problems)}

    async def nodes(self, request: web.Request) -> Body:
        """All nodes."""
        nodes = await self.cluster.nodes()
        shapes = [node_json(node, by_lookupd=self.cluster.by_lookupd) for node in nodes.value]
        return {"nodes": shapes or None, "message": warning(nodes.problems)}

    async def node(self, request: web.Request) -> Body:
        """One node with all that it holds."""
        name = request.match_info["node"]
        found = await self.cluster.node(name)
        _, stats = found.value
        now = time.time()
        return {
            "node": name,
            "topics": [topic_json(topic, now) for topic in stats.topics],
            "total_messages": sum(topic.message_count for topic in stats.topics),
            "total_clients": sum(len(c.clients) for topic in stats.topics for c in topic.channels),
            "message": warning(found.problems),
        }

    async def counter(self, request: web.Request) -> Body:
        """The message count of every channel on every node."""
        stats = await counted(self.cluster)
        return b'{"stats":%b,"message":%b}' % (stats.value, go_json(warning(stats.problems)))

    async def create(self, request: web.Request) -> Body:
        """A topic, and a channel in it if the body names one."""
        self.guard.admit(request)
        body = read_texts_of(await read_body(request), "topic", "channel")
        topic, channel = body["topic"], body["channel"]
        if not valid_name(topic):
            raise HttpError(400, "INVALID_TOPIC")
        if channel and not valid_name(channel):
            raise HttpError(400, "INVALID_CHANNEL")
        return await self._apply(request, Change(Verb.CREATE, topic, channel))

    async def act(self, request: web.Request) -> Body:
        """Pauses, unpauses or empties the topic or channel of the path, on one node if the body names it."""
        self.guard.admit(request)
        body = read_texts_of(await read_body(request), "action", "node")
        verb = _VERBS.get(body["action"])
        if verb is None:
            raise HttpError(400, "INVALID_ACTION")
        path = request.match_info
        return await self._apply(request, Change(verb, path["topic"], path.get("channel", ""), body["node"]))

    async def delete(self, request: web.Request) -> Body:
        """Deletes the topic or channel of the path, on one node only if there is a body that names it."""
        self.guard.admit(request)
        body = await read_body(request)
        try:
            node = read_texts_of(body, "node")["node"] if body else ""
        except HttpError:
            # Whoever sends a body means a part; what can't be read must not become the whole.
            raise HttpError(400, "INVALID_BODY") from None
        path = request.match_info
        return await self._apply(request, Change(Verb.DELETE, path["topic"], path.get("channel", ""), node))

    async def tombstone(self, request: web.Request) -> Body:
        """Hides a node's topic from consumers, then deletes it there."""
        self.guard.admit(request)
        try:
            topic = read_texts_of(await read_body(request), "topic")["topic"]
        except HttpError:
            raise HttpError(400, "INVALID_BODY") from None
        if not valid_name(topic):
            raise HttpError(400, "INVALID_TOPIC")
        return await self._apply(request, Change(Verb.TOMBSTONE, topic, node=request.match_info["node"]))

    async def _apply(self, request: web.Request, change: Change) -> Body:
        outcome = await self.changes.make(change, Origin.of(request, self.guard.user(request)))
        outcome.must_have_worked()
        if not outcome.steps:
            return {"message": f"WARNING: no nsqd has topic {change.topic}, nothing was changed"}
        return {"message": warning(outcome.failures)}


def warning(problems: Iterable[Problem]) -> str:
    """The ``message`` of an answer: nothing, or who is missing from it; one phase's separated by lines."""
    by_daemon: dict[str, list[str]] = {}
    for problem in problems:
        by_daemon.setdefault(problem.daemon, []).append(str(problem))
    return "WARNING: " + "; ".join(map("\n".join, by_daemon.values())) if by_daemon else ""


def _query_of(request: web.Request) -> dict[str, str]:
    try:
        return query_of(request)
    except HttpError:
        query = request.raw_path.partition("?")[2]
        broken = _BROKEN.search(query)
        why = f'invalid URL escape "{broken[0]}"' if broken else "invalid semicolon separator in query"
        raise HttpError(400, why) from None
