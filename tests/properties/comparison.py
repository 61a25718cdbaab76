"""All that can be seen of a broker is as in the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nsqd.broker import Broker
from nsqd.channel import Channel
from nsqd.client import Client
from nsqd.frames import id_of
from nsqd.statistics.stats import channel_stats, client_stats, topic_stats
from nsqd.topic import Topic
from tests.properties.broker_model import (
    EARLY,
    EPSILON,
    NEVER,
    ChannelModel,
    ClientModel,
    Model,
    TopicModel,
)


class Comparison:
    """Looks at both at a moment at which nothing is under way; ``key_of`` names messages by their ids."""

    def __init__(
        self,
        broker: Broker,
        model: Model,
        clients: Sequence[tuple[Client, ClientModel]],
        key_of: Mapping[bytes, str],
        now: float,
    ) -> None:
        self.broker = broker
        self.model = model
        self.clients = clients
        self.key_of = key_of
        self.now = now

    def all(self) -> None:
        """Raises AssertionError when the two differ."""
        assert {name.decode() for name in self.broker.topics} == set(self.model.topics)
        used = 0
        for name, topic in self.broker.topics.items():
            self._topic(topic, self.model.topics[name.decode()])
            used += topic.queue.bytes + sum(channel.queue.bytes for channel in topic.channels.values())
        assert used == self.broker.budget.used <= self.broker.budget.limit
        for client, model in self.clients:
            seen = client_stats(client)
            assert (
                seen["state"], seen["ready_count"], seen["in_flight_count"],
                seen["finish_count"], seen["requeue_count"], seen["message_count"],
            ) == (
                model.state, model.ready, len(model.held), model.finished, model.requeued, model.received
            )  # fmt: skip
            assert client.published == model.published

    def _topic(self, topic: Topic, model: TopicModel) -> None:
        assert set(topic.channels) == set(model.channels)
        for channel in topic.channels.values():
            self._channel(channel, model.channels[channel.name])
        if model.drained and not model.channels:  # its only channel went before it had got everything
            model.line.keep_last(model.drained, topic.queue.depth)
            model.line.memory = len(topic.queue.memory)
        model.drained = []
        seen = topic_stats(topic, [], include_clients=False)
        assert (
            seen["depth"], seen["backend_depth"], seen["message_count"], seen["message_bytes"], seen["paused"],
        ) == (
            len(model.line) + len(model.deferred), 0 if model.line.ephemeral else model.line.on_disk,
            model.messages, model.size, model.paused,
        )  # fmt: skip

    def _channel(self, channel: Channel, model: ChannelModel) -> None:
        self._let_time_pass(channel, model)
        if not model.exact:
            self._adopt(channel, model)
        seen = channel_stats(channel, include_clients=False)
        assert (
            seen["depth"], seen["backend_depth"], seen["in_flight_count"], seen["deferred_count"],
            seen["message_count"], seen["requeue_count"], seen["timeout_count"],
            seen["client_count"], seen["paused"],
        ) == (
            len(model.line) + len(model.returned), 0 if model.line.ephemeral else model.line.on_disk,
            len(model.flights), len(model.deferred),
            model.messages, model.requeues, model.timeouts,
            len(model.clients), model.paused,
        ), channel.name  # fmt: skip
        if model.paused or self.model.held or not (model.line.groups or model.returned):
            return
        for client in model.clients:
            assert client.blocked or client.ready <= len(client.held), (
                f"{client.name} waits for {model.line.groups} and {model.returned}"
            )

    def _let_time_pass(self, channel: Channel, model: ChannelModel) -> None:
        """What is held and deferred, once the time-outs are in the model that may have happened by now."""
        now = self.now
        held = {
            self.key_of[id_of(frame)]: holder
            for client, holder in self.clients
            if holder.channel is model
            for message_id, frame in client.in_flight.messages.items()
            if len(message_id) == len(NEVER)
        }
        for key, flight in list(model.flights.items()):
            if flight.earliest <= now + EPSILON and key not in held:
                model.time_out(key)
            elif flight.latest < now - EPSILON:
                raise AssertionError(f"{key} should have timed out {now - flight.latest} s ago")
        assert held == {key: flight.client for key, flight in model.flights.items()}
        waiting = {self._body(past) for _, _, past in channel.deferred._heap}
        for key, due in list(model.deferred.items()):
            if due <= now + EARLY and key not in waiting:
                del model.deferred[key]
                model.returned.add(key)
            else:
                assert due >= now - EPSILON, f"{key} was deferred and due {now - due} s ago"
        assert waiting == set(model.deferred)
        assert {self._body(past) for past in channel.returned} == model.returned

    def _adopt(self, channel: Channel, model: ChannelModel) -> None:
        """After a backlog went from the topic to its channels: what of it is in memory, what an ephemeral one dropped."""
        line, memory = model.line, [self._body(frame) for frame in channel.queue.memory]
        if line.ephemeral:
            places = [n for key in memory for n, group in enumerate(line.groups) if key in group]
            assert places == sorted(places), f"{memory} is not in the order of {line.groups}"
            assert len(places) == len(memory)
            line.groups = [{key} for key in memory]
        assert len(memory) <= min(self.broker.options.mem_queue_size, len(line))
        line.memory = len(memory)
        model.exact = True

    @staticmethod
    def _body(frame: bytes) -> str:
        return frame[34:].decode()
