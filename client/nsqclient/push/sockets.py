"""One WebSocket from its request to its end: origin, token, commands in, texts out.

Three tasks belong to it (it ends when the first of them does): one reads commands, one writes the session's
queue, one watches over the token's life. Nothing that a browser sends or fails to read reaches further than
its own session.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from urllib.parse import urlsplit

from aiohttp import WSMsgType, web

from nsqclient.durations import to_seconds
from nsqclient.push.grants import Authenticator, Denied, Unavailable
from nsqclient.push.hub import Full, Hub
from nsqclient.push.protocol import (
    SUBPROTOCOL,
    Auth,
    BadRequest,
    Close,
    Command,
    Settle,
    encode,
    parse,
    token_of_protocols,
)
from nsqclient.push.session import Session

log = logging.getLogger(__name__)

CLOSE_TIMEOUT = 2.0
"""Seconds for a browser to confirm that the connection is closed."""


class Ended(Exception):
    """The connection is to be closed, and why."""

    def __init__(self, code: Close, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Sockets:
    """Serves the WebSockets of one bridge."""

    def __init__(self, hub: Hub, auth: Authenticator) -> None:
        self.hub = hub
        self.open: int = 0
        """Connections, those without a token included."""
        self.draining = False
        self._auth = auth

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """The handler of the request that asks for a WebSocket."""
        settings, counters = self.hub.settings, self.hub.counters
        refusal = self._refusal(request)
        if refusal is not None:
            counters.rejected_total += 1
            return refusal
        ws = web.WebSocketResponse(
            heartbeat=to_seconds(settings.heartbeat),
            max_msg_size=settings.max_message,
            protocols=(SUBPROTOCOL,),
            timeout=CLOSE_TIMEOUT,
            compress=False,  # it would cost each of ten thousand browsers its own window of memory
        )
        self.open += 1
        counters.connections_total += 1
        code, reason = Close.GOING_AWAY, ""
        try:
            await ws.prepare(request)
            await self._converse(request, ws)
        except Ended as e:
            code, reason = e.code, str(e)
            if reason:
                counters.closed[code] += 1
        finally:
            self.open -= 1
            await self._close(request, ws, code, reason)
        return ws

    def _refusal(self, request: web.Request) -> web.Response | None:
        """Why a request does not become a WebSocket."""
        if self.draining:
            return web.Response(status=503, text="going away\n")
        origin = request.headers.get("Origin")
        if origin is not None and not self._welcome(origin, request.host):
            log.info("a page of %.200r was refused", origin)
            return web.Response(status=403, text="origin not allowed\n")
        if self.open >= self.hub.settings.max_connections:
            return web.Response(status=503, headers={"Retry-After": "5"}, text="too many connections\n")
        return None

    def _welcome(self, origin: str, host: str) -> bool:
        allowed = self.hub.settings.origins
        if allowed:
            return "*" in allowed or origin in allowed
        try:
            return urlsplit(origin).netloc.lower() == host.lower()
        except ValueError:
            return False

    async def _converse(self, request: web.Request, ws: web.WebSocketResponse) -> None:
        token = _token_of(request)
        if not token:
            token = await self._first_message(ws)
        session = await self._admit(request, token)
        try:
            await self._run(request, ws, session, token)
        finally:
            self.hub.leave(session)

    async def _first_message(self, ws: web.WebSocketResponse) -> str:
        try:
            async with asyncio.timeout(to_seconds(self.hub.settings.auth_timeout)):
                command = await self.command(ws)
        except TimeoutError:
            raise Ended(Close.UNAUTHORIZED, "no token was sent in time") from None
        if not isinstance(command, Auth):
            raise Ended(Close.UNAUTHORIZED, "the first message must be auth")
        return command.token

    async def _admit(self, request: web.Request, token: str) -> Session:
        try:
            grant = await self._auth.check(token, remote_ip=request.remote or "", tls=request.secure)
            return self.hub.join(grant)
        except Denied as e:
            self.hub.counters.rejected_total += 1
            log.info("a token from %s was refused - %s", request.remote, e)
            raise Ended(Close.UNAUTHORIZED, "the token is not good") from None
        except Unavailable as e:
            self.hub.counters.rejected_total += 1
            log.warning("a token could not be checked - %s", e)
            raise Ended(Close.TRY_LATER, "tokens can't be checked at present") from None
        except Full as e:
            self.hub.counters.rejected_total += 1
            raise Ended(e.code, str(e)) from None

    async def _run(
        self, request: web.Request, ws: web.WebSocketResponse, session: Session, token: str
    ) -> None:
        settings = self.hub.settings
        conversation = _Conversation(self, request, session, token)
        session.tell(
            encode(
                "welcome",
                user=session.user,
                node=settings.node,
                ack_timeout=to_seconds(settings.ack_timeout),
                max_outstanding=settings.max_outstanding,
            )
        )
        await _first_end(
            conversation.read(ws),
            _write(ws, session, to_seconds(settings.send_timeout)),
            conversation.watch(),
            _closing(session),
        )

    async def check_again(self, request: web.Request, session: Session, token: str) -> None:
        """A token, shown anew or still the old one, for a connection that has had one; raises Ended."""
        try:
            grant = await self._auth.check(token, remote_ip=request.remote or "", tls=request.secure)
        except Denied:
            raise Ended(Close.UNAUTHORIZED, "the token is not good any more") from None
        except Unavailable as e:
            log.warning("a token could not be checked - %s", e)
            raise Ended(Close.TRY_LATER, "tokens can't be checked at present") from None
        if not self.hub.regrant(session, grant):
            raise Ended(Close.UNAUTHORIZED, "the token is another user's")

    async def command(self, ws: web.WebSocketResponse) -> Command:
        """The next command; raises Ended when there is none, or it is none."""
        message = await ws.receive()
        if message.type is WSMsgType.TEXT:
            try:
                return parse(message.data)
            except BadRequest as e:
                raise Ended(Close.BAD_REQUEST, str(e)) from None
        if message.type is WSMsgType.BINARY:
            raise Ended(Close.BAD_REQUEST, "texts are expected")
        raise Ended(Close.GOING_AWAY, "")  # the browser has closed it, or it broke

    async def _close(self, request: web.Request, ws: web.WebSocketResponse, code: Close, reason: str) -> None:
        if ws.prepared and not ws.closed:
            try:
                async with asyncio.timeout(CLOSE_TIMEOUT):
                    await ws.close(code=code, message=reason.encode()[:120])
            except (TimeoutError, ConnectionError):
                pass
        if request.transport is not None and code == Close.TOO_SLOW:
            request.transport.abort()  # what it does not read must not stay in memory


class _Conversation:
    """Reads one browser's commands, and keeps its token good."""

    def __init__(self, sockets: Sockets, request: web.Request, session: Session, token: str) -> None:
        self._sockets = sockets
        self._request = request
        self._session = session
        self._token = token
        self._regranted = asyncio.Event()

    async def read(self, ws: web.WebSocketResponse) -> None:
        """Until the browser goes, or sends what it must not."""
        settings = self._sockets.hub.settings
        clock = asyncio.get_running_loop().time
        allowance, last = float(settings.burst), clock()
        while True:
            command = await self._sockets.command(ws)
            if isinstance(command, Settle) and self._sockets.hub.settle(self._session, command):
                continue  # it sends no more of these than messages were sent to it
            now = clock()
            allowance = min(allowance + (now - last) * settings.rate, settings.burst) - 1
            last = now
            if allowance < 0:
                raise Ended(Close.RATE, "too many messages")
            if isinstance(command, Auth):
                await self._check(command.token)
                self._session.tell(encode("authenticated", user=self._session.user))
            elif not isinstance(command, Settle):
                self._sockets.hub.obey(self._session, command)

    async def watch(self) -> None:
        """Has the token checked again when its time is over."""
        while True:
            self._regranted.clear()
            try:
                async with asyncio.timeout(self._session.grant.ttl):
                    await self._regranted.wait()
            except TimeoutError:
                await self._check(self._token)

    async def _check(self, token: str) -> None:
        await self._sockets.check_again(self._request, self._session, token)
        self._token = token
        self._regranted.set()


async def _write(ws: web.WebSocketResponse, session: Session, limit: float) -> None:
    """Sends what is in the queue, as fast as the browser reads, each text within ``limit`` seconds."""
    while True:
        session.news.clear()
        while session.queue:
            text = session.next_text()
            try:
                async with asyncio.timeout(limit):
                    await ws.send_str(text)
            except TimeoutError:
                session.close(Close.TOO_SLOW, "nothing is read")
                raise Ended(Close.TOO_SLOW, "nothing is read") from None
            except ConnectionError:  # aiohttp's kinds of it included
                raise Ended(Close.GOING_AWAY, "") from None
        await session.news.wait()


async def _closing(session: Session) -> None:
    code, reason = await asyncio.shield(session.closing)
    raise Ended(code, reason)


async def _first_end(*works: Coroutine[object, object, None]) -> None:
    """Runs all until one ends, ends the others, and raises what it raised."""
    tasks = [asyncio.get_running_loop().create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    next(iter(done)).result()


def _token_of(request: web.Request) -> str:
    """The token of a request: in ``Authorization``, in a subprotocol, or in the query."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return token_of_protocols(request.headers.get("Sec-WebSocket-Protocol", "")) or request.query.get(
        "token", ""
    )
