"""nsqlookupd's HTTP API."""

from __future__ import annotations

from collections.abc import Mapping

from nsqclient.checks import check_name
from nsqclient.errors import ConfigError
from nsqclient.http.answers import LookupAnswer, LookupdInfo, Node, Registration
from nsqclient.http.api import Api
from nsqclient.http.reading import Unreadable, member, read, read_list


class Lookupd(Api):
    """One nsqlookupd's HTTP API, ours or the original.

    ::

        async with Lookupd("http://127.0.0.1:4161") as lookupd:
            for node in await lookupd.nodes():
                print(node.tcp_address, *node.topics)

    Methods raise as those of :class:`~nsqclient.http.nsqd.Nsqd`. nsqlookupds know nothing of each other:
    what is changed at one is changed there only.
    """

    async def ping(self) -> None:
        """Returns when it answers."""
        await self.fetch("GET", "/ping")

    async def info(self) -> LookupdInfo:
        """Its version, and that of this suite if it is ours."""
        info: LookupdInfo = await self.ask("/info", lambda data: read(LookupdInfo, data))
        return info

    async def topics(self) -> tuple[str, ...]:
        """All topics, also those that no nsqd has at present."""
        topics: tuple[str, ...] = await self.ask(
            "/topics", lambda data: read_list(str, member(data, "topics"), "topics")
        )
        return topics

    async def channels(self, topic: str) -> tuple[str, ...]:
        """A topic's channels; none for an unknown topic."""
        check_name("topic", topic)
        channels: tuple[str, ...] = await self.ask(
            "/channels", lambda data: read_list(str, member(data, "channels"), "channels"), topic=topic
        )
        return channels

    async def lookup(self, topic: str) -> LookupAnswer:
        """The nsqds that have a topic, and its channels; raises ApiNotFound for an unknown topic."""
        check_name("topic", topic)
        answer: LookupAnswer = await self.ask("/lookup", lambda data: read(LookupAnswer, data), topic=topic)
        return answer

    async def nodes(self) -> tuple[Node, ...]:
        """All nsqds that are connected, and the topics each carries."""
        nodes: tuple[Node, ...] = await self.ask(
            "/nodes", lambda data: read_list(Node, member(data, "producers"), "producers")
        )
        return nodes

    async def debug(self) -> Mapping[str, tuple[Registration, ...]]:
        """The whole directory: ``category:topic:channel`` to who registered it."""
        directory: Mapping[str, tuple[Registration, ...]] = await self.ask("/debug", _directory)
        return directory

    async def create_topic(self, topic: str) -> None:
        """Makes a topic known; no nsqd has it yet."""
        check_name("topic", topic)
        await self.fetch("POST", "/topic/create", topic=topic)

    async def delete_topic(self, topic: str) -> None:
        """Forgets a topic and its channels; the nsqds that have it keep it and are not told."""
        check_name("topic", topic)
        await self.fetch("POST", "/topic/delete", topic=topic)

    async def create_channel(self, topic: str, channel: str) -> None:
        """Makes a channel (and its topic) known: a nsqd creates it together with the topic."""
        check_name("topic", topic)
        check_name("channel", channel)
        await self.fetch("POST", "/channel/create", topic=topic, channel=channel)

    async def delete_channel(self, topic: str, channel: str) -> None:
        """Forgets a channel; raises ApiNotFound for an unknown one."""
        check_name("topic", topic)
        check_name("channel", channel)
        await self.fetch("POST", "/channel/delete", topic=topic, channel=channel)

    async def tombstone(self, topic: str, node: str) -> None:
        """Hides a nsqd (its ``broadcast_address:http_port``) from the topic's consumers for a while.

        For before a topic is deleted from that nsqd: consumers are not to bring it back. Nothing happens
        when nothing matches.
        """
        check_name("topic", topic)
        if not node:
            raise ConfigError("a node is named by its broadcast_address:http_port")
        await self.fetch("POST", "/topic/tombstone", topic=topic, node=node)


def _directory(data: object) -> dict[str, tuple[Registration, ...]]:
    if not isinstance(data, dict):
        raise Unreadable("the directory is not a JSON object")
    return {key: read_list(Registration, entries, key) for key, entries in data.items()}
