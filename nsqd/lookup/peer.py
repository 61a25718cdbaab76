"""The link to one nsqlookupd: connect, tell it everything, then tell it every change; reconnect for ever."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Callable, Iterable, Mapping
from random import uniform
from typing import NamedTuple

from nsqcore.addresses import parse_host_port
from nsqcore.golang import go_reason
from nsqcore.wire.lookup import MAGIC_V1, PING, SIZE, encode_identify, encode_register

log = logging.getLogger(__name__)

PING_S = 15.0
TIMEOUT_S = 1.0
"""For the connection, and for each answer."""
FIRST_RETRY_S, LAST_RETRY_S = 0.25, 5.0
REGISTER_RUN = 500
"""Registrations sent in one go before their answers are read."""


class LookupPeer:
    """One nsqlookupd. A slow or dead one keeps nobody waiting but itself."""

    def __init__(
        self,
        address: str,
        *,
        identity: Mapping[str, object],
        registrations: Callable[[], Iterable[tuple[str, str]]],
        max_answer: int,
    ) -> None:
        """``identity`` is what IDENTIFY tells; ``registrations`` gives (topic, channel) for all there is, channel ""
        for a topic without any."""
        self.address = address
        self.http_address = ""
        """Where its HTTP API is; known once it was connected."""
        self._identity = identity
        self._registrations = registrations
        self._max_answer = max_answer
        self._commands: asyncio.Queue[bytes] = asyncio.Queue()
        self._connected = False
        self._complaint, self._complained = "", 0.0
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"nsqlookupd {address}")
        self.known = asyncio.Event()
        """Set when the first connection succeeded or failed."""

    def send(self, command: bytes) -> None:
        """A change. While there is no connection it is left out: the next one begins with everything."""
        if self._connected:
            self._commands.put_nowait(command)

    async def close(self) -> None:
        """Ends the link. nsqlookupd forgets us with the connection."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        retry = FIRST_RETRY_S
        while True:
            if not self._complaint:
                log.info("LOOKUP connecting to %s", self.address)
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    host, port = parse_host_port(self.address)
                    reader, writer = await asyncio.open_connection(host, port)
            except (OSError, ValueError) as e:
                self._complain(f"connecting - {self._dialled(e)}")
                self.known.set()
            else:
                try:
                    await self._introduce(reader, writer)
                    retry = FIRST_RETRY_S
                    await self._follow(reader, writer)
                except (OSError, ValueError, EOFError) as e:
                    self._complain(go_reason(e))
                finally:
                    self._connected = False
                    self.known.set()
                    writer.close()
            await asyncio.sleep(retry * uniform(0.5, 1.0))
            retry = min(2 * retry, LAST_RETRY_S)

    def _dialled(self, error: OSError | ValueError) -> str:
        if isinstance(error, socket.gaierror):
            return f"dial tcp: lookup {self.address.rpartition(':')[0]}: {go_reason(error)}"
        if isinstance(error, OSError):
            return f"dial tcp {self.address}: connect: {go_reason(error)}"
        return f"dial tcp: {error}"

    def _complain(self, why: str) -> None:
        """Logs what is wrong: the same again only after a while, however often it is tried."""
        now = asyncio.get_running_loop().time()
        again = why == self._complaint and now - self._complained < PING_S
        log.log(logging.DEBUG if again else logging.ERROR, "LOOKUPD(%s): %s", self.address, why)
        if not again:
            self._complaint, self._complained = why, now

    async def _introduce(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(MAGIC_V1 + encode_identify(self._identity))
        answer = await self._answer(reader)
        if answer == b"E_INVALID":
            raise ValueError("nsqlookupd refused IDENTIFY")
        info = _PeerInfo.parse(answer)
        self.http_address = info.http_address
        if not self.http_address:
            log.error("LOOKUPD(%s): no broadcast address", self.address)
        log.info("LOOKUPD(%s): peer info %s", self.address, info)
        self._complaint = ""
        while not self._commands.empty():
            self._commands.get_nowait()
        self._connected = True  # from here on, changes are queued behind what is registered now
        everything = [encode_register(topic, channel) for topic, channel in self._registrations()]
        for at in range(0, len(everything), REGISTER_RUN):
            run = everything[at : at + REGISTER_RUN]
            writer.write(b"".join(run))
            for _ in run:
                await self._answer(reader)
        self.known.set()

    async def _follow(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            command = await self._next(reader)
            writer.write(command)
            answer = await self._answer(reader)
            if answer != b"OK":
                log.warning(
                    "LOOKUPD(%s): %s answered %s",
                    self.address,
                    command.strip().decode(),
                    answer.decode("utf-8", "replace"),
                )

    async def _next(self, reader: asyncio.StreamReader) -> bytes:
        """The next change, or PING after a while without one. Raises EOFError as soon as nsqlookupd hangs up."""
        if not self._commands.empty():
            return self._commands.get_nowait()
        loop = asyncio.get_running_loop()
        change = loop.create_task(self._commands.get(), name=f"changes for nsqlookupd {self.address}")
        said = loop.create_task(reader.readexactly(1), name=f"end of nsqlookupd {self.address}")
        try:
            await asyncio.wait((change, said), timeout=PING_S, return_when=asyncio.FIRST_COMPLETED)
            if said.done():
                said.result()  # raises, unless there is something to read
                raise ValueError("answer to nothing")
            return change.result() if change.done() else PING
        finally:
            change.cancel()
            said.cancel()
            await asyncio.gather(change, said, return_exceptions=True)

    async def _answer(self, reader: asyncio.StreamReader) -> bytes:
        async with asyncio.timeout(TIMEOUT_S):
            (size,) = SIZE.unpack(await reader.readexactly(SIZE.size))
            if not 0 <= size <= self._max_answer:
                raise ValueError(f"answer of {size} bytes is not in 0 to {self._max_answer}")
            return await reader.readexactly(size)


class _PeerInfo(NamedTuple):
    """What a nsqlookupd says of itself."""

    tcp_port: int
    http_port: int
    version: str
    broadcast_address: str

    @classmethod
    def parse(cls, answer: bytes) -> _PeerInfo:
        """From its answer to IDENTIFY, where each field may be left out. Raises ValueError."""
        try:
            info = json.loads(answer)
        except RecursionError:
            raise ValueError("answer to IDENTIFY is nested too deeply") from None
        if not isinstance(info, dict):
            raise ValueError("answer to IDENTIFY is not a JSON object")
        found = cls(
            info.get("tcp_port", 0),
            info.get("http_port", 0),
            info.get("version", ""),
            info.get("broadcast_address", ""),
        )
        for name, value, kind in zip(cls._fields, found, (int, int, str, str), strict=True):
            if not isinstance(value, kind):
                raise ValueError(f"answer to IDENTIFY has a {name} of the wrong type")
        return found

    @property
    def http_address(self) -> str:
        """Where its HTTP API is; empty when it does not say so."""
        host = self.broadcast_address
        return f"{f'[{host}]' if ':' in host else host}:{self.http_port}" if host else ""

    def __str__(self) -> str:
        """As the original logs it."""
        return (
            f"{{TCPPort:{self.tcp_port} HTTPPort:{self.http_port}"
            f" Version:{self.version} BroadcastAddress:{self.broadcast_address}}}"
        )
