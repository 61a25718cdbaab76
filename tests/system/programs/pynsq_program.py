"""pynsq, remote-controlled: see :mod:`tests.system.programs.remote`."""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from typing import Any

import nsq

from tests.system.programs.remote import pick, say, say_message, say_outcome, settings


class Writer(nsq.Writer):  # type: ignore[misc]
    """Tells when it may be used, which the library keeps for itself."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.ready = asyncio.Event()
        super().__init__(*args, **kwargs)

    def _on_connection_ready(self, conn: Any, **kwargs: Any) -> None:
        super()._on_connection_ready(conn, **kwargs)
        self.ready.set()

    def _on_connection_error(self, conn: Any, error: Any, **kwargs: Any) -> None:
        say("error", error=str(error))
        super()._on_connection_error(conn, error, **kwargs)


class Reader(nsq.Reader):  # type: ignore[misc]
    """Tells of errors."""

    def _on_connection_error(self, conn: Any, error: Any, **kwargs: Any) -> None:
        say("error", error=str(error))
        super()._on_connection_error(conn, error, **kwargs)


class Program:
    """One writer and one reader, made when they are first needed."""

    def __init__(self) -> None:
        self.settings = settings()
        self.messages: dict[str, nsq.Message] = {}
        self._writer: Writer | None = None
        self._reader: Reader | None = None

    def _features(self) -> dict[str, Any]:
        asked = self.settings["features"]
        options = pick(asked, "sample_rate", "deflate", "snappy")
        if "heartbeat_interval" in asked:
            options["heartbeat_interval"] = asked["heartbeat_interval"] // 1000
        if "msg_timeout" in asked:
            options["msg_timeout"] = asked["msg_timeout"] / 1000
        if "secret" in asked:
            options["auth_secret"] = asked["secret"]
        if "tls_ca" in asked:
            # Without a version the library asks for exactly TLS 1.2.
            tls = {"ca_certs": asked["tls_ca"], "ssl_version": ssl.PROTOCOL_TLS_CLIENT}
            if "tls_cert" in asked:
                tls |= {"certfile": asked["tls_cert"], "keyfile": asked["tls_key"]}
            options |= {"tls_v1": True, "tls_options": tls}
        return options

    async def _publish(self, method: str, *args: Any) -> None:
        if self._writer is None:
            self._writer = Writer(self.settings["nsqd"], **self._features())
        await self._writer.ready.wait()
        done = asyncio.get_running_loop().create_future()
        getattr(self._writer, method)(*args, callback=lambda conn, data: done.set_result(data))
        answer = await done
        say_outcome(answer if isinstance(answer, Exception) else None)

    async def pub(self, topic: str, body: str) -> None:
        await self._publish("pub", topic, body.encode("latin-1"))

    async def mpub(self, topic: str, bodies: list[str]) -> None:
        await self._publish("mpub", topic, [body.encode("latin-1") for body in bodies])

    async def dpub(self, topic: str, ms: int, body: str) -> None:
        await self._publish("dpub", topic, ms, body.encode("latin-1"))

    async def subscribe(self, topic: str, channel: str, max_in_flight: int) -> None:
        self._reader = Reader(
            topic,
            channel,
            message_handler=self._handle,
            nsqd_tcp_addresses=self.settings["nsqd"],
            lookupd_http_addresses=self.settings["lookupd"],
            max_in_flight=max_in_flight,
            max_tries=0,
            **self._features(),
        )

    def _handle(self, message: nsq.Message) -> bool:
        say_message(message.id, message.body, message.attempts)
        if self.settings["finish"]:
            return True
        message.enable_async()
        self.messages[message.id.decode()] = message
        return False

    async def max_in_flight(self, count: int) -> None:
        assert self._reader is not None
        self._reader.set_max_in_flight(count)

    async def finish(self, message_id: str) -> None:
        self.messages[message_id].finish()

    async def requeue(self, message_id: str, ms: int) -> None:
        self.messages[message_id].requeue(backoff=False, time_ms=ms)

    async def touch(self, message_id: str) -> None:
        self.messages[message_id].touch()

    async def close(self) -> None:
        if self._reader is not None:
            for connection in list(self._reader.conns.values()):
                connection.send(b"CLS\n")  # the library has no call for it
            self._reader.close()
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
