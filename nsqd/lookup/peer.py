"""The link to one nsqlookupd: connect, tell it everything, then tell it every change; reconnect for ever."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Callable, Iterable, Mapping
from random import uniform

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
        identity: Callable[[], Mapping[str, object]],
        registrations: Callable[[], Iterable[tuple[str, str]]],
        max_answer: int,
    ) -> None:
        """``registrations`` gives (topic, channel) for all there is, channel "" for a topic without any."""
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
        writer.write(MAGIC_V1 + encode_identify(self._identity()))
        answer = await self._answer(reader)
        if answer == b"E_INVALID":
            raise ValueError("nsqlookupd refused IDENTIFY")
        self.http_address = _http_address(answer)
        if not self.http_address:
            log.error("LOOKUPD(%s): no broadcast address", self.address)
        log.info("LOOKUPD(%s): peer info %s", self.address, answer.decode("utf-8", "replace"))
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
            try:
                async with asyncio.timeout(PING_S):
                    command = await self._commands.get()
            except TimeoutError:
                command = PING
            writer.write(command)
            answer = await self._answer(reader)
            if answer != b"OK":
                log.warning(
                    "LOOKUPD(%s): %s answered %s",
                    self.address,
                    command.strip().decode(),
                    answer.decode("utf-8", "replace"),
                )

    async def _answer(self, reader: asyncio.StreamReader) -> bytes:
        async with asyncio.timeout(TIMEOUT_S):
            (size,) = SIZE.unpack(await reader.readexactly(SIZE.size))
            if not 0 <= size <= self._max_answer:
                raise ValueError(f"answer of {size} bytes is not in 0 to {self._max_answer}")
            return await reader.readexactly(size)


def _http_address(answer: bytes) -> str:
    """Where a nsqlookupd says that its HTTP API is; empty when it does not say so. Raises ValueError."""
    try:
        info = json.loads(answer)
    except RecursionError:
        raise ValueError("answer to IDENTIFY is nested too deeply") from None
    if not isinstance(info, dict):
        raise ValueError("answer to IDENTIFY is not a JSON object")
    host, port = info.get("broadcast_address", ""), info.get("http_port", 0)
    if not isinstance(host, str) or not isinstance(port, int):
        raise ValueError("answer to IDENTIFY has a broadcast_address or http_port of the wrong type")
    return f"{f'[{host}]' if ':' in host else host}:{port}" if host else ""
