"""gnsq, remote-controlled: see :mod:`tests.system.programs.remote`."""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402 - whatever uses sockets is imported patched
import ssl  # noqa: E402
import sys  # noqa: E402
from typing import Any  # noqa: E402

import gnsq  # noqa: E402
from gevent.fileobject import FileObject  # noqa: E402

from tests.system.programs.remote import pick, say, say_message, say_outcome, settings  # noqa: E402


class Program:
    """One producer and one consumer, made when they are first needed."""

    def __init__(self) -> None:
        self.settings = settings()
        self.messages: dict[str, gnsq.Message] = {}
        self._producer: gnsq.Producer | None = None
        self._connection: gnsq.NsqdTCPClient | None = None
        self._consumer: gnsq.Consumer | None = None

    def _features(self) -> dict[str, Any]:
        asked = self.settings["features"]
        options = pick(asked, "sample_rate", "deflate", "snappy")
        if "heartbeat_interval" in asked:
            options["heartbeat_interval"] = asked["heartbeat_interval"] // 1000
        if "secret" in asked:
            options["auth_secret"] = asked["secret"].encode()  # text will not do
        if "tls_ca" in asked:
            tls = {"ca_certs": asked["tls_ca"], "cert_reqs": ssl.CERT_REQUIRED}
            if "tls_cert" in asked:
                tls |= {"certfile": asked["tls_cert"], "keyfile": asked["tls_key"]}
            options |= {"tls_v1": True, "tls_options": tls}
        return options

    def _publish(self, method: str, *args: Any, **options: Any) -> None:
        try:
            if self._features().keys() & {"deflate", "snappy", "tls_v1"}:
                # The producer takes the OK to a layer for one of its own, and stumbles.
                if self._connection is None:
                    self._connection = gnsq.NsqdTCPClient(
                        *self.settings["nsqd"][0].split(":"), **self._features()
                    )
                    self._connection.connect()
                    self._connection.identify()
                getattr(self._connection, method)(*args, **options)
                self._connection.check_ok()
            else:
                if self._producer is None:
                    self._producer = gnsq.Producer(self.settings["nsqd"], **self._features())
                    self._producer.start()
                getattr(self._producer, method)(*args, timeout=10, **options)
        except gnsq.errors.NSQException as e:
            say_outcome(repr(e))
        else:
            say_outcome(None)

    def pub(self, topic: str, body: str) -> None:
        self._publish("publish", topic, body.encode("latin-1"))

    def mpub(self, topic: str, bodies: list[str]) -> None:
        self._publish("multipublish", topic, [body.encode("latin-1") for body in bodies])

    def dpub(self, topic: str, ms: int, body: str) -> None:
        self._publish("publish", topic, body.encode("latin-1"), defer=ms)

    def subscribe(self, topic: str, channel: str, max_in_flight: int) -> None:
        self._consumer = gnsq.Consumer(
            topic,
            channel,
            self.settings["nsqd"],
            self.settings["lookupd"],
            message_handler=self._handle,
            max_in_flight=max_in_flight,
            max_tries=0,
            **self._features(),
        )
        self._consumer.on_error.connect(self._failed)
        self._consumer.start(block=False)

    def _failed(self, consumer: gnsq.Consumer, error: Exception) -> None:
        say("error", error=repr(error))

    def _handle(self, consumer: gnsq.Consumer, message: gnsq.Message) -> None:
        say_message(message.id, message.body, message.attempts)
        if not self.settings["finish"]:
            message.enable_async()
            self.messages[message.id.decode()] = message

    def max_in_flight(self, count: int) -> None:
        assert self._consumer is not None
        self._consumer.max_in_flight = count
        self._consumer.redistribute_ready_state()

    def finish(self, message_id: str) -> None:
        self.messages[message_id].finish()

    def requeue(self, message_id: str, ms: int) -> None:
        self.messages[message_id].requeue(ms, backoff=False)

    def touch(self, message_id: str) -> None:
        self.messages[message_id].touch()

    def close(self) -> None:
        if self._consumer is not None:
            for connection in list(self._consumer._connections):
                connection.close()
            self._consumer.close()
        say("closed")


def main() -> None:
    program = Program()
    say("up")
    for line in FileObject(sys.stdin.fileno(), "rb", closefd=False):
        command, *args = json.loads(line)
        getattr(program, command)(*args)


if __name__ == "__main__":
    main()
