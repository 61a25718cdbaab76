"""nsqd's HTTP API."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterable
from typing import Literal

from nsqclient.checks import Body, check_bodies, check_body, check_delay, check_name
from nsqclient.durations import Seconds
from nsqclient.errors import ApiBroken, ApiRefused, ConfigError
from nsqclient.http.answers import NsqdInfo, Stats
from nsqclient.http.api import Api, Auth
from nsqclient.http.reading import read
from nsqclient.limits import Limits
from nsqclient.tls import Tls
from nsqcore.wire.commands import encode_batch

LogLevel = Literal["debug", "info", "warn", "error", "fatal"]


class Nsqd(Api):
    """One nsqd's HTTP API, ours or the original.

    ::

        async with Nsqd("http://127.0.0.1:4151") as nsqd:
            await nsqd.publish("orders", b"42")
            for topic in (await nsqd.stats()).topics:
                print(topic.topic_name, topic.depth)

    All methods raise ApiError and its kinds: ApiUnreachable, ApiTimeout, ApiRefused with nsqd's code,
    ApiNotFound for an unknown topic or channel, ApiBroken; and Closed. Names, sizes and delays are checked
    before anything is sent and raise ConfigError. ``limits`` tell what this nsqd takes.
    """

    def __init__(
        self,
        address: str,
        *,
        timeout: Seconds = 5.0,
        connect_timeout: Seconds = 2.0,
        tls: Tls | ssl.SSLContext | None = None,
        auth: Auth = None,
        max_answer: int = 64 << 20,
        limits: Limits | None = None,
    ) -> None:
        """As :class:`~nsqclient.http.api.Api`."""
        super().__init__(
            address,
            timeout=timeout,
            connect_timeout=connect_timeout,
            tls=tls,
            auth=auth,
            max_answer=max_answer,
        )
        self._limits = limits or Limits()

    # ---- publishing

    async def publish(self, topic: str, body: Body, *, delay: Seconds | None = None) -> None:
        """Publishes one message; ``delay`` seconds keep it from consumers for so long.

        A nsqd that fails to store it refuses with 503 ``EXITING``. After ApiUnreachable it may be stored
        or not. For more than a few messages a Producer is faster, and says which of the two it is.
        """
        check_name("topic", topic)
        checked = check_body(body, self._limits)
        delay_ms = 0 if delay is None else check_delay(delay, self._limits)
        await self.fetch("POST", "/pub", checked, topic=topic, defer=str(delay_ms) if delay_ms else "")

    async def publish_many(self, topic: str, bodies: Iterable[Body], *, binary: bool = True) -> None:
        """Publishes several messages at once: all, or, unless nsqd fails, none.

        ``binary=False`` sends them as lines, as ``curl`` users do: then no message may hold a newline.
        """
        check_name("topic", topic)
        checked = check_bodies(bodies, self._limits)
        if not binary:
            if any(b"\n" in body for body in checked):
                raise ConfigError("a message with a newline can't be sent as a line; leave binary=True")
            await self.fetch("POST", "/mpub", b"\n".join(checked), topic=topic)
            return
        await self.fetch("POST", "/mpub", encode_batch(checked), topic=topic, binary="true")

    # ---- looking

    async def ping(self) -> None:
        """Returns when nsqd is healthy; raises ApiRefused (500) with its reason when it can't write to disk."""
        await self.fetch("GET", "/ping")

    async def info(self) -> NsqdInfo:
        """What it is and where it listens."""
        info: NsqdInfo = await self.ask("/info", lambda data: read(NsqdInfo, data))
        return info

    async def stats(
        self, topic: str = "", channel: str = "", *, clients: bool = True, memory: bool = True
    ) -> Stats:
        """Counts of topics, channels and clients; of one topic or channel when it is named.

        A topic that does not exist gives no topics, not an error. Leaving ``clients`` and ``memory`` out
        makes the answer small and quick.
        """
        stats: Stats = await self.ask(
            "/stats",
            lambda data: read(Stats, data),
            format="json",
            topic=topic,
            channel=channel,
            include_clients=_flag(clients),
            include_mem=_flag(memory),
        )
        return stats

    async def stats_text(
        self, topic: str = "", channel: str = "", *, clients: bool = True, memory: bool = True
    ) -> str:
        """As :meth:`stats`, as the page for people that nsqd makes."""
        return await self.text(
            "GET",
            "/stats",
            format="text",
            topic=topic,
            channel=channel,
            include_clients=_flag(clients),
            include_mem=_flag(memory),
        )

    # ---- topics and channels

    async def create_topic(self, topic: str) -> None:
        """Creates it unless it exists."""
        await self._topic("create", topic)

    async def delete_topic(self, topic: str) -> None:
        """Deletes it with its channels and messages, and closes its consumers' connections."""
        await self._topic("delete", topic)

    async def empty_topic(self, topic: str) -> None:
        """Drops the messages that no channel has got yet."""
        await self._topic("empty", topic)

    async def pause_topic(self, topic: str) -> None:
        """Holds messages in the topic; publishing goes on."""
        await self._topic("pause", topic)

    async def unpause_topic(self, topic: str) -> None:
        """Ends a pause."""
        await self._topic("unpause", topic)

    async def create_channel(self, topic: str, channel: str) -> None:
        """Creates it unless it exists; the topic must exist."""
        await self._channel("create", topic, channel)

    async def delete_channel(self, topic: str, channel: str) -> None:
        """Deletes it with its messages, and closes its consumers' connections."""
        await self._channel("delete", topic, channel)

    async def empty_channel(self, topic: str, channel: str) -> None:
        """Drops its messages, those in flight and deferred too."""
        await self._channel("empty", topic, channel)

    async def pause_channel(self, topic: str, channel: str) -> None:
        """Stops deliveries to its consumers."""
        await self._channel("pause", topic, channel)

    async def unpause_channel(self, topic: str, channel: str) -> None:
        """Ends a pause."""
        await self._channel("unpause", topic, channel)

    async def _topic(self, verb: str, topic: str) -> None:
        check_name("topic", topic)
        await self.fetch("POST", f"/topic/{verb}", topic=topic)

    async def _channel(self, verb: str, topic: str, channel: str) -> None:
        check_name("topic", topic)
        check_name("channel", channel)
        await self.fetch("POST", f"/channel/{verb}", topic=topic, channel=channel)

    # ---- settings

    async def config(self, option: str) -> object:
        """The value of an option, by its name in the configuration file (``mem_queue_size``).

        Text comes as str; numbers, booleans and lists as such; durations as nanoseconds, levels and the
        like as nsqd's numbers. Raises ApiRefused ``INVALID_OPTION`` for an unknown one.
        """
        return await self._config("GET", option, None)

    async def set_log_level(self, level: LogLevel) -> None:
        """Changes what is logged, until nsqd is started anew."""
        await self._config("PUT", "log_level", level.encode())

    async def set_lookupd_addresses(self, addresses: Iterable[str]) -> tuple[str, ...]:
        """Registers with these nsqlookupds (``host:port`` of TCP) and no others, until nsqd is started anew.

        Returns those it has now.
        """
        body = json.dumps(list(addresses)).encode()
        value = await self._config("PUT", "nsqlookupd_tcp_addresses", body)
        if not isinstance(value, list):
            raise ApiBroken(repr(self), "the new nsqlookupd addresses are not a list", status=200)
        return tuple(map(str, value))

    async def _config(self, method: str, option: str, body: bytes | None) -> object:
        if not option.replace("_", "").isalnum() or not option.isascii():
            raise ConfigError(f"{option!r} names no option; they look like mem_queue_size")
        path = f"/config/{option}"
        answer = await self.fetch(method, path, body)
        if answer.content_type == "application/json":
            return self.parsed(path, answer.data)
        return answer.data.decode("utf-8", "replace")

    # ---- diagnosis

    async def free_memory(self) -> None:
        """Collects garbage, and gives free memory back to the system."""
        await self._debug("POST", "/debug/freememory")

    async def set_block_rate(self, rate: int) -> None:
        """How often the original samples what blocks (nanoseconds; 0 never); ours measures when asked."""
        await self._debug("PUT", "/debug/setblockrate", rate=str(rate))

    async def _debug(self, method: str, path: str, **params: str) -> None:
        try:
            await self.fetch(method, path, b"", **params)
        except ApiRefused as e:
            if (e.status, e.code) != (500, "INTERNAL_ERROR"):
                raise  # the original does what it was asked, and then fails at answering so


def _flag(value: bool) -> str:
    return "true" if value else "false"
