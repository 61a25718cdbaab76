"""ansq, remote-controlled: see :mod:`tests.system.programs.remote`."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from ansq import ConnectionFeatures, ConnectionOptions
from ansq.tcp.connection import NSQConnection
from ansq.tcp.reader import Reader
from ansq.tcp.types import NSQErrorSchema, NSQMessage

from tests.system.programs.remote import pick, say, say_message, say_outcome, settings


class Program:
    """Connections to each nsqd, made when they are first needed; a reader where nsqlookupd is to be asked."""

    def __init__(self) -> None:
        self.settings = settings()
        self.messages: dict[str, NSQMessage] = {}
        self._publishing: NSQConnection | None = None
        self._consuming: list[NSQConnection] = []
        self._reader: Reader | None = None
        self._pumps: list[asyncio.Task[None]] = []

    def _options(self) -> ConnectionOptions:
        asked = self.settings["features"]
        features = pick(asked, "sample_rate", "msg_timeout", "heartbeat_interval")
        return ConnectionOptions(features=ConnectionFeatures(**features), auto_reconnect=False)

    async def _open(self, address: str) -> NSQConnection:
        host, port = address.split(":")
        connection = NSQConnection(host, int(port), connection_options=self._options())
        await connection.connect()
        await connection.identify()
        return connection

    async def _publish(self, method: str, *args: Any) -> None:
        try:
            if self._publishing is None:
                self._publishing = await self._open(self.settings["nsqd"][0])
            answer = await getattr(self._publishing, method)(*args)
        except Exception as e:  # noqa: BLE001 - whatever the library raises is the answer
            say_outcome(repr(e))
        else:
            say_outcome(answer.text if isinstance(answer, NSQErrorSchema) else None)

    async def pub(self, topic: str, body: str) -> None:
        await self._publish("pub", topic, body.encode("latin-1"))

    async def mpub(self, topic: str, bodies: list[str]) -> None:
        await self._publish("mpub", topic, *(body.encode("latin-1") for body in bodies))

    async def dpub(self, topic: str, ms: int, body: str) -> None:
        await self._publish("dpub", topic, body.encode("latin-1"), ms)

    async def subscribe(self, topic: str, channel: str, max_in_flight: int) -> None:
        if self.settings["lookupd"]:
            self._reader = Reader(
                topic,
                channel,
                lookupd_http_addresses=self.settings["lookupd"],
                connection_options=self._options(),
            )
            await self._reader.connect()
            self._pumps.append(asyncio.create_task(self._pump(self._reader.message_queue)))
        for address in self.settings["nsqd"]:
            connection = await self._open(address)
            self._consuming.append(connection)
            await connection.subscribe(topic, channel, max_in_flight)
            self._pumps.append(asyncio.create_task(self._pump(connection.message_queue)))

    async def _pump(self, queue: asyncio.Queue[NSQMessage | None]) -> None:
        while (message := await queue.get()) is not None:
            say_message(message.id, message.body, message.attempts)
            self.messages[message.id] = message
            if self.settings["finish"]:
                await message.fin()

    async def max_in_flight(self, count: int) -> None:
        for connection in self._consuming:
            await connection.rdy(count)

    async def finish(self, message_id: str) -> None:
        await self.messages[message_id].fin()

    async def requeue(self, message_id: str, ms: int) -> None:
        await self.messages[message_id].req(ms)

    async def touch(self, message_id: str) -> None:
        await self.messages[message_id].touch()

    async def close(self) -> None:
        if self._reader is not None:
            await self._reader.close()
        for connection in self._consuming:
            await connection._cls()
            await connection.close()
        say("closed")


async def main() -> None:
    program = Program()
    lines = asyncio.StreamReader(limit=1 << 24)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    say("up")
    while line := await lines.readline():
        command, *args = json.loads(line)
        await getattr(program, command)(*args)


if __name__ == "__main__":
    asyncio.run(main())
