"""Bridges and what connects to them, for tests: a client that speaks the protocol, without a browser."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

import aiohttp

from nsqclient.push import Bridge, Denied, Grant, Permission, Settings
from nsqclient.push.grants import Authenticator
from tests.support.nsqd import Node, eventually

EVERYTHING = (Permission(".*", (".*",)),)
PATIENCE_S = 10.0


class Tokens:
    """Knows the tokens it was given; any other is denied, but ``user NAME`` is NAME who may do everything."""

    def __init__(self) -> None:
        self.grants: dict[str, Grant] = {}
        self.asked: list[str] = []

    async def check(self, token: str, *, remote_ip: str, tls: bool) -> Grant:
        self.asked.append(token)
        kind, _, name = token.partition(" ")
        if token in self.grants:
            return self.grants[token]
        if kind == "user" and name:
            return Grant(name, EVERYTHING)
        raise Denied("unknown")

    async def close(self) -> None:
        pass


def bridge(node: Node, auth: Authenticator | None = None, **settings: Any) -> Bridge:
    """One on free ports, whose user topic is ``mail``."""
    given = {"user_topics": ("mail",), "linger": 0, "retry_delay": 0.01, "shutdown_timeout": 3.0, **settings}
    target = "{}:{}".format(*node.tcp)
    return Bridge(
        target,
        auth or Tokens(),
        settings=Settings(**given),
        address="127.0.0.1:0",
        admin_address="127.0.0.1:0",
    )


class Client:
    """A connection of a user; every wait has an end."""

    def __init__(self, bridge: Bridge, token: str = "", **request: Any) -> None:
        """``request`` is for the opening request; the token is sent first thing, unless it is empty."""
        self.url = f"ws://{bridge.address}/ws"
        self._token = token
        self._request = request
        self._http = aiohttp.ClientSession()
        self.other: list[dict[str, Any]] = []
        """What came while something else was waited for."""

    async def __aenter__(self) -> Self:
        try:
            self.ws = await self._http.ws_connect(self.url, **self._request)
        except BaseException:
            await self._http.close()
            raise
        if self._token:
            await self.send(op="auth", token=self._token)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.ws.close()
        await self._http.close()

    async def send(self, **command: Any) -> None:
        await self.ws.send_str(json.dumps(command))

    async def receive(self) -> dict[str, Any]:
        """What comes next."""
        received = await self.ws.receive(timeout=PATIENCE_S)
        assert received.type is aiohttp.WSMsgType.TEXT, received
        data = json.loads(received.data)
        assert isinstance(data, dict)
        return data

    async def expect(self, kind: str) -> dict[str, Any]:
        """The next of this type; others are kept in :attr:`other`."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for place, frame in enumerate(self.other):
                    if frame["type"] == kind:
                        return self.other.pop(place)
                self.other.append(await self.receive())

    async def message(self, *, ack: bool = True) -> dict[str, Any]:
        """The next message."""
        message = await self.expect("message")
        if ack:
            await self.send(op="ack", seq=message["seq"])
        return message

    async def subscribe(self, topic: str, **rest: Any) -> dict[str, Any]:
        """The answer, which must not be an error."""
        await self.send(op="subscribe", topic=topic, **rest)
        return await self.expect("subscribed")

    async def closed(self) -> int:
        """The code with which the bridge closes; messages before it are passed over."""
        async with asyncio.timeout(PATIENCE_S):
            while (received := await self.ws.receive()).type is aiohttp.WSMsgType.TEXT:
                self.other.append(json.loads(received.data))
        code = self.ws.close_code
        assert isinstance(code, int)
        return code


async def welcomed(client: Client) -> Client:
    """Once the bridge knows it."""
    await client.expect("welcome")
    return client


async def connected(stack: AsyncExitStack, where: Bridge, token: str, **request: Any) -> Client:
    """A client that is welcome, closed with ``stack``."""
    return await welcomed(await stack.enter_async_context(Client(where, token, **request)))


async def up(*bridges: Bridge) -> None:
    """Until all of them receive their user topics."""
    for one in bridges:
        await eventually(lambda one=one: all(feed.connected for feed in one.hub.user_feeds))  # type: ignore[misc]


def mail(user: object, text: str = "hello") -> bytes:
    """A message to a user."""
    return json.dumps({"to": user, "text": text}).encode()
