"""Tells a web server of every change that was made: one POST of JSON each, behind the visitor's back.

The body has the original's keys: ``{"action":"delete_channel","topic":"t","channel":"c","node":"h:p",
"timestamp":1795329884,"user":"ann","remote_ip":"10.0.0.1:44938","user_agent":"...","url":"http://...","via":"host"}``,
where ``channel``, ``node`` and ``user`` are left out when empty.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import logging
import socket
import ssl
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from nsqadmin.changes.actions import Change, Outcome, Verb
from nsqcore.addresses import format_peer
from nsqcore.golang import go_json
from nsqcore.http_client import HttpFailure, JsonClient

if TYPE_CHECKING:
    from aiohttp import web

log = logging.getLogger(__name__)

MOST_WAITING = 1000
"""Notifications that may wait while the endpoint is slow or away; of more, the newest are lost."""
PAUSES_S = (1.0, 5.0, 15.0)
"""Before each further try of a notification that could not be delivered."""
DRAIN_S = 5.0
"""How long the end of nsqadmin waits for those that are left."""
_LATER = (408, 425, 429)
"""Refusals that another try may not meet."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Who asked for a change, and how."""

    user: str
    """Empty where nobody knows."""
    remote: str
    """``host:port`` of the connection, which may be a proxy's."""
    user_agent: str
    url: str
    """What was asked for, without its query."""

    @classmethod
    def of(cls, request: web.Request, user: str) -> Origin:
        """``user`` is whom the guard knows; where it knows nobody, the name of HTTP Basic counts."""
        secure = "https" in (request.headers.get("X-Scheme", "").lower(), request.scheme)
        peer = request.transport.get_extra_info("peername") if request.transport else None
        host = request.headers.get("Host", "")  # aiohttp would ask the DNS for our name where there is none
        return cls(
            user or _basic_user(request),
            format_peer(peer),
            request.headers.get("User-Agent", ""),
            f"{'https' if secure else 'http'}://{host}{quote(request.path, errors='replace')}",
        )


def _basic_user(request: web.Request) -> str:
    scheme, _, word = request.headers.get("Authorization", "").partition(" ")
    try:
        pair = base64.b64decode(word, validate=True).decode()
    except ValueError:
        return ""
    return pair.partition(":")[0] if scheme.lower() == "basic" else ""


def notices(outcome: Outcome, origin: Origin, at: float, via: str) -> list[dict[str, object]]:
    """What there is to tell of a change: nothing of what was done nowhere.

    A new channel is told as two changes, the topic's and its own, when both were made. ``at`` is Unix seconds.
    """
    change = outcome.change
    told = []
    for action in _actions(outcome):
        channel = "" if action.endswith("_topic") else change.channel
        optional = {"channel": channel, "node": change.node}
        told.append(
            {
                "action": action,
                "topic": change.topic,
                **{key: value for key, value in optional.items() if value},
                "timestamp": int(at),
                **({"user": origin.user} if origin.user else {}),
                "remote_ip": origin.remote,
                "user_agent": origin.user_agent,
                "url": origin.url,
                "via": via,
            }
        )
    return told


def _actions(outcome: Outcome) -> list[str]:
    if outcome.change.verb is Verb.CREATE:
        made = {step.did for step in outcome.done}
        return [f"create_{kind}" for kind in ("topic", "channel") if f"{kind} created" in made]
    return [_action(outcome.change)] if outcome.done else []


def _action(change: Change) -> str:
    return (
        "tombstone_topic_producer" if change.verb is Verb.TOMBSTONE else f"{change.verb.value}_{change.kind}"
    )


class Notifier:
    """Delivers notifications one after the other, in the order of the changes; made inside a running loop.

    The endpoint's certificate is verified by the system's authorities, whatever daemons are verified by.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        connect_timeout: float,
        request_timeout: float,
        pauses: Sequence[float] = PAUSES_S,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        """Time-outs are seconds, for each try. Without an ``endpoint`` nothing is told to anybody."""
        self._endpoint = endpoint
        self._pauses = pauses
        self._most = most_waiting
        self._waiting: deque[dict[str, object]] = deque()
        self._ending = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None
        self._via = socket.gethostname()
        self._client = JsonClient(
            connect_timeout=connect_timeout,
            request_timeout=request_timeout,
            max_answer=1 << 20,
            tls=functools.cache(ssl.create_default_context),
        )

    def tell(self, outcome: Outcome, origin: Origin) -> None:
        """Announces what was done of a change; returns at once."""
        if not self._endpoint:
            return
        for notice in notices(outcome, origin, time.time(), self._via):
            if len(self._waiting) >= self._most:
                log.error("NOTIFY: %s is lost: %d wait already", _name(notice), self._most)
                continue
            self._waiting.append(notice)
        if self._waiting and self._worker is None:
            self._worker = asyncio.get_running_loop().create_task(self._work(), name="notifications")
            self._worker.add_done_callback(self._idle)

    def _idle(self, _: asyncio.Task[None]) -> None:
        self._worker = None

    async def close(self, patience: float = DRAIN_S) -> None:
        """Gives what waits one more try each, for at most ``patience`` seconds; says what was lost."""
        self._ending.set()
        if self._worker is not None:
            worker = self._worker
            await asyncio.wait([worker], timeout=patience)
            worker.cancel()
            await asyncio.wait([worker])
        for notice in self._waiting:
            log.error("NOTIFY: %s is lost: nsqadmin ends", _name(notice))
        self._waiting.clear()
        await self._client.close()

    async def _work(self) -> None:
        while self._waiting:
            await self._deliver(self._waiting[0])
            self._waiting.popleft()

    async def _deliver(self, notice: dict[str, object]) -> None:
        for tries, pause in enumerate([*self._pauses, None], 1):
            last = pause is None or self._ending.is_set()
            problem = await self._post(notice)
            if problem is None:
                return
            status = problem.status
            hopeless = 300 <= status < 500 and status not in _LATER
            if hopeless or last or pause is None:
                log.error("NOTIFY: %s is lost after %d tries: %s", _name(notice), tries, problem.reason)
                return
            log.warning("NOTIFY: %s is tried again in %g s: %s", _name(notice), pause, problem.reason)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), pause)

    async def _post(self, notice: dict[str, object]) -> HttpFailure | None:
        """None when it was taken. The failure's own text is not for logs: the endpoint may hold a secret."""
        try:
            await self._client.fetch(
                "POST", self._endpoint, {}, go_json(notice), {"Content-Type": "application/json"}
            )
        except HttpFailure as e:
            return None if 200 <= e.status < 300 else e
        return None


def _name(notice: dict[str, object]) -> str:
    target = "/".join(str(notice[key]) for key in ("topic", "channel") if key in notice)
    return f"{notice['action']} of {target}"
