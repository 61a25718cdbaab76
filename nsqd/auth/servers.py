"""Asking auth servers what a client may do (nsqd reference, 8)."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlencode

from nsqcore.golang import go_json
from nsqd.auth.permissions import BadAnswer, Permissions, parse
from nsqd.options import Options

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from nsqcore.http_client import JsonClient

log = logging.getLogger(__name__)

MOST_QUERIES = 100
"""Queries that are under way at once; more wait, and no time-out counts that wait."""
MOST_ANSWER = 5 << 20
"""Bytes of an answer."""
_REFUSALS = (401, 403)


class AuthFailure(Exception):
    """No auth server gave permissions; the text says why, per server."""

    def __init__(self, reasons: list[str], *, refused: bool) -> None:
        super().__init__("; ".join(reasons))
        self.refused = refused
        """A server said no (401, 403). Else none could be reached, or none made sense."""


class Question(NamedTuple):
    """What a server is told of a client, in the order in which it is told."""

    common_name: str
    """Of the client's TLS certificate, or empty."""
    remote_ip: str
    secret: bytes
    tls: bool

    def query(self) -> str:
        """The form for GET."""
        return urlencode(
            {
                "common_name": self.common_name.encode("utf-8", "surrogateescape"),
                "remote_ip": self.remote_ip,
                "secret": self.secret,
                "tls": "true" if self.tls else "false",
            }
        )

    def body(self) -> bytes:
        """The form for POST: every value in a list."""
        return go_json(
            {
                "common_name": [self.common_name],
                "remote_ip": [self.remote_ip],
                "secret": [self.secret.decode("utf-8", "surrogateescape")],
                "tls": ["true" if self.tls else "false"],
            }
        )


def endpoint(address: str) -> str:
    """The URL of an ``--auth-http-address``."""
    return address if "://" in address else f"http://{address}/auth"


class _Shared:
    """One query that several clients wait for: those of a service reconnect together, with the same secret."""

    def __init__(self, task: asyncio.Task[Permissions]) -> None:
        self.task = task
        self.waiting = 0


class AuthServers:
    """Asks the servers of ``--auth-http-address``; made in the running loop, ended with :meth:`close`."""

    def __init__(self, options: Options, tls: Callable[[], ssl.SSLContext] | None = None) -> None:
        """``tls`` gives the context for https servers; without it the system's authorities count."""
        self._options = options
        self._tls = tls
        self._shared: dict[Question, _Shared] = {}
        self._turns = asyncio.Semaphore(MOST_QUERIES)
        self._http: JsonClient | None = None
        self._away = False  # no server could be asked the last time

    async def ask(self, question: Question) -> Permissions:
        """What the first server that answers says; raises AuthFailure. Clients that ask the same share a query."""
        shared = self._shared.get(question)
        if shared is None:
            task = asyncio.get_running_loop().create_task(self._ask(question), name="auth query")
            self._shared[question] = shared = _Shared(task)
            task.add_done_callback(lambda _: self._forget(question, shared))
        shared.waiting += 1
        try:
            return await asyncio.shield(shared.task)
        finally:
            shared.waiting -= 1
            if not shared.waiting:  # all who wanted to know are gone
                self._forget(question, shared)
                shared.task.cancel()

    def _forget(self, question: Question, shared: _Shared) -> None:
        if self._shared.get(question) is shared:
            del self._shared[question]

    async def _ask(self, question: Question) -> Permissions:
        addresses = self._options.auth_http_addresses
        start = random.randrange(len(addresses))
        reasons: list[str] = []
        refused = False
        async with self._turns:
            for address in addresses[start:] + addresses[:start]:
                answer = await self._ask_one(address, question)
                if isinstance(answer, Permissions):
                    self._answered()
                    return answer
                reason, status = answer
                reasons.append(f"failed to auth against {address} - {reason}")
                refused = refused or status in _REFUSALS
        failure = AuthFailure(reasons, refused=refused)
        if refused:
            self._answered()
        elif not self._away:  # one line, however many clients it concerns
            self._away = True
            log.warning("AUTH: no auth server can be asked, subscribed consumers stay: %s", failure)
        raise failure

    def _answered(self) -> None:
        if self._away:
            self._away = False
            log.info("AUTH: auth servers can be asked again")

    async def _ask_one(self, address: str, question: Question) -> Permissions | tuple[str, int]:
        """The permissions, or why there are none and the HTTP status. No secret gets into the reason."""
        # Both a third of a second that no start has to wait for.
        from yarl import URL

        from nsqcore.http_client import HttpFailure

        http = self._client()
        try:
            url = str(URL(endpoint(address)))
            if self._options.auth_http_request_method == "post":
                answer = await http.post(
                    URL(url, encoded=True), question.body(), content_type="application/json"
                )
            else:
                join = "&" if "?" in url else "?"
                answer = await http.get(URL(f"{url}{join}{question.query()}", encoded=True))
            return parse(answer)
        except HttpFailure as e:
            return e.reason, e.status
        except (BadAnswer, ValueError) as e:
            return str(e), 0

    def _client(self) -> JsonClient:
        if self._http is None:
            from nsqcore.http_client import JsonClient

            self._http = JsonClient(
                connect_timeout=self._options.http_client_connect_timeout.seconds,
                request_timeout=self._options.http_client_request_timeout.seconds,
                max_answer=MOST_ANSWER,
                max_redirects=10,
                keep_alive=False,
                tls=self._tls,
            )
        return self._http

    async def close(self) -> None:
        """Ends the queries under way: who waits for them gets CancelledError."""
        for shared in list(self._shared.values()):
            shared.task.cancel()
        if self._http is not None:
            await self._http.close()
