"""What one client may do: AUTH, permissions that end, and asking for them again (nsqd reference, 8)."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from typing import Any

from nsqcore.golang import go_json, go_quote
from nsqd.auth.permissions import Permissions
from nsqd.auth.servers import AuthFailure, AuthServers, Question
from nsqd.client import Client, State
from nsqd.errors import FatalError

log = logging.getLogger(__name__)

RETRY_S = 30.0
"""While no auth server answers, a subscribed consumer is looked after again once to twice that later."""


class Auth:
    """The authorisation of one connection, where auth is on.

    Permissions are asked for at AUTH, and with the same secret again when their time is over: before the
    next command that needs them, and of a subscribed consumer at that time. A consumer stays while no server
    can be asked (the original never asks again); it is closed when one says no.
    """

    def __init__(
        self,
        servers: AuthServers,
        client: Client,
        *,
        wait_for: Callable[[Coroutine[Any, Any, None]], None],
        answer: Callable[[bytes], None],
        refuse: Callable[[FatalError], None],
    ) -> None:
        """``wait_for`` has the client's commands wait for a coroutine; ``answer`` and ``refuse`` are its answers."""
        self._servers = servers
        self._client = client
        self._wait_for = wait_for
        self._answer = answer
        self._refuse = refuse
        self._loop = asyncio.get_running_loop()
        self._secret = b""
        self._expires = 0.0  # loop time
        self._subscription: tuple[str, str] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._looking: asyncio.Task[None] | None = None

    # -- commands ----------------------------------------------------------------------------------

    def authenticate(self, secret: bytes) -> None:
        """AUTH: its answer comes when a server has been asked. Raises FatalError when there was one already."""
        if self._client.permissions is not None:
            raise FatalError("E_INVALID", "AUTH already set")
        self._secret = secret
        self._wait_for(self._authenticate())

    async def _authenticate(self) -> None:
        permissions = await self._ask()
        if not permissions.authorizations:
            raise FatalError("E_UNAUTHORIZED", "AUTH no authorizations found")
        self._grant(permissions)
        self._answer(
            go_json(
                {
                    "identity": permissions.identity,
                    "identity_url": permissions.identity_url,
                    "permission_count": len(permissions.authorizations),
                }
            )
        )

    def permits(self, command: str, topic: bytes, channel: bytes = b"") -> bool:
        """Whether a command on valid names may pass; raises FatalError when it may not.

        False: the permissions are being asked for again, commands wait, and this one is to be obeyed anew.
        """
        permissions = self._client.permissions
        if permissions is None:
            raise FatalError("E_AUTH_FIRST", f"AUTH required before {command}")
        if self._loop.time() >= self._expires:
            self._wait_for(self._renew())
            return False
        if not permissions.allow(command, topic.decode(), channel.decode()):
            raise _unauthorized(command, topic, channel)
        if command == "SUB":
            self._subscription = (topic.decode(), channel.decode())
        return True

    async def _renew(self) -> None:
        self._grant(await self._ask())
        self._check_subscription()

    async def _ask(self) -> Permissions:
        try:
            return await self._servers.ask(self._question())
        except AuthFailure as e:
            log.warning("PROTOCOL(V2): [%s] AUTH failed %s", self._client.remote_address, e)
            raise FatalError("E_AUTH_FAILED", "AUTH failed", str(e)) from None

    def _question(self) -> Question:
        client = self._client
        host = client.remote_address.rpartition(":")[0].strip("[]")
        return Question(
            common_name=client.tls.common_name if client.tls is not None else "",
            remote_ip=host,
            secret=self._secret,
            tls=client.upgrade.tls,
        )

    # -- time --------------------------------------------------------------------------------------

    def _grant(self, permissions: Permissions) -> None:
        self._client.permissions = permissions
        self._expires = self._loop.time() + permissions.ttl
        self._look_at(self._expires)

    def _check_subscription(self) -> None:
        """Raises FatalError when a consumer may not have any more what it is subscribed to."""
        permissions = self._client.permissions
        if self._client.state is State.SUBSCRIBED and self._subscription and permissions is not None:
            topic, channel = self._subscription
            if not permissions.allow("SUB", topic, channel):
                raise _unauthorized("SUB", topic.encode(), channel.encode())

    def _look_at(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._look)

    def _look(self) -> None:
        """The permissions' time is over: a consumer that only listens would never be asked about again."""
        self._timer = None
        if self._client.state is State.SUBSCRIBED:
            self._looking = asyncio.create_task(self._look_again(), name="auth of a consumer")

    async def _look_again(self) -> None:
        try:
            permissions = await self._servers.ask(self._question())
        except AuthFailure as e:
            address = self._client.remote_address
            if e.refused:
                log.warning("PROTOCOL(V2): [%s] AUTH failed %s", address, e)
                self._refuse(FatalError("E_AUTH_FAILED", "AUTH failed", str(e)))
            else:
                log.debug("PROTOCOL(V2): [%s] stays subscribed, for no auth server can be asked", address)
                self._look_at(self._loop.time() + RETRY_S * (1 + random.random()))
            return
        self._grant(permissions)
        try:
            self._check_subscription()
        except FatalError as e:
            self._refuse(e)

    def forget(self) -> None:
        """Its session goes: lets go of it."""
        del self._wait_for, self._answer, self._refuse

    def leave(self) -> None:
        """The client is gone."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._looking is not None:
            self._looking.cancel()


def _unauthorized(command: str, topic: bytes, channel: bytes) -> FatalError:
    return FatalError("E_UNAUTHORIZED", f"AUTH failed for {command} on {go_quote(topic)} {go_quote(channel)}")
