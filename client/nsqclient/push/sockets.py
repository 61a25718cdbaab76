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
from nsqclient.push.forwarded import read_networks, sender
from nsqclient.push.grants import Authenticator, Denied, Grant, Unavailable
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
from nsqclient.push.settings import Settings

log = logging.getLogger(__name__)

AUTH_COST = 10
"""What a token counts for among all that a browser may send: somebody has to be asked about it."""
CLOSE_TIMEOUT = 2.0
"""Seconds for a browser to confirm that the connection is closed."""


class Ended(Exception):
    """The connection is to be closed, and why."""

    def __init__(self, code: Close, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Allowance:
    """What one browser may send, pings and all."""

    def __init__(self, settings: Settings) -> None:
        self._rate = settings.rate
        self._burst = float(settings.burst)
        self._left = self._burst
        self._clock = asyncio.get_running_loop().time
        self._last = self._clock()

    def take(self, cost: float = 1.0) -> None:
        """Raises Ended when it was too much."""
        now = self._clock()
        self._left = min(self._left + (now - self._last) * self._rate, self._burst) - min(cost, self._burst)
        self._last = now
        if self._left < 0:
            raise Ended(Close.RATE, "too many messages")


class Sockets:
    """Serves the WebSockets of one bridge."""

    def __init__(self, hub: Hub, auth: Authenticator) -> None:
        self.hub = hub
        self.open: int = 0
        """Connections, those without a token included."""
        self.draining = False
        self._auth = auth
        self._proxies = read_networks(hub.settings.trusted_proxies)

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
            autoping=False,  # pings count for what a browser may send
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
        offered = request.headers.get("Sec-WebSocket-Protocol")
        if offered is not None and SUBPROTOCOL not in [name.strip() for name in offered.split(",")]:
            # no browser could go on without one of those it offers; and aiohttp would log them, the token too
            return web.Response(status=400, text=f"offer the subprotocol {SUBPROTOCOL}\n")
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
        allowance = Allowance(self.hub.settings)
        token = _token_of(request)
        if not token:
            token = await self._first_message(ws, allowance)
        session = await self._admit(request, token)
        try:
            await self._run(request, ws, session, token, allowance)
        finally:
            self.hub.leave(session)

    async def _first_message(self, ws: web.WebSocketResponse, allowance: Allowance) -> str:
        try:
            async with asyncio.timeout(to_seconds(self.hub.settings.auth_timeout)):
                command = await self.command(ws, allowance)
        except TimeoutError:
            raise Ended(Close.UNAUTHORIZED, "no token was sent in time") from None
        if not isinstance(command, Auth):
            raise Ended(Close.UNAUTHORIZED, "the first message must be auth")
        return command.token

    async def _admit(self, request: web.Request, token: str) -> Session:
        try:
            return self.hub.join(await self._grant(request, token))
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

    async def _grant(self, request: web.Request, token: str) -> Grant:
        address, secure = sender(
            request.remote or "",
            request.secure,
            self._proxies,
            request.headers.getall("X-Forwarded-For", ()),
            request.headers.getall("X-Forwarded-Proto", ()),
        )
        try:
            return await self._auth.check(token, remote_ip=address, tls=secure)
        except (Denied, Unavailable):
            raise
        except Exception as e:  # noqa: BLE001 - an own mistake of the authenticator; its text may show the token
            raise Unavailable(f"the check failed: {type(e).__name__}") from None

    async def _run(
        self,
        request: web.Request,
        ws: web.WebSocketResponse,
        session: Session,
        token: str,
        allowance: Allowance,
    ) -> None:
        settings = self.hub.settings
        conversation = _Conversation(self, request, session, token, allowance)
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
            grant = await self._grant(request, token)
        except Denied:
            raise Ended(Close.UNAUTHORIZED, "the token is not good any more") from None
        except Unavailable as e:
            log.warning("a token could not be checked - %s", e)
            raise Ended(Close.TRY_LATER, "tokens can't be checked at present") from None
        if not self.hub.regrant(session, grant):
            raise Ended(Close.UNAUTHORIZED, "the token is another user's")

    async def command(self, ws: web.WebSocketResponse, allowance: Allowance) -> Command:
        """The next command; raises Ended when there is none, or it is none."""
        message = await ws.receive()
        while message.type in (WSMsgType.PING, WSMsgType.PONG):
            allowance.take()
            if message.type is WSMsgType.PING:
                try:
                    await ws.pong(message.data)
                except ConnectionError:
                    raise Ended(Close.GOING_AWAY, "") from None
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

    def __init__(
        self, sockets: Sockets, request: web.Request, session: Session, token: str, allowance: Allowance
    ) -> None:
        self._sockets = sockets
        self._allowance = allowance
        self._request = request
        self._session = session
        self._token = token
        self._regranted = asyncio.Event()

    async def read(self, ws: web.WebSocketResponse) -> None:
        """Until the browser goes, or sends what it must not."""
        while True:
            command = await self._sockets.command(ws, self._allowance)
            if isinstance(command, Settle) and self._sockets.hub.settle(self._session, command):
                continue  # it sends no more of these than messages were sent to it
            self._allowance.take(AUTH_COST if isinstance(command, Auth) else 1)
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
    ended = [task for task in tasks if not task.cancelled() and task.exception() is not None]
    for task in (*ended, *done):
        task.result()


def _token_of(request: web.Request) -> str:
    """The token of a request: in ``Authorization``, in a subprotocol, or in the query."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return token_of_protocols(request.headers.get("Sec-WebSocket-Protocol", "")) or request.query.get(
        "token", ""
    )
