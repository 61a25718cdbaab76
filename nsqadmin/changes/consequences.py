"""What a change will do, in words and numbers, told before it is confirmed. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from nsqadmin.changes.actions import Change, Verb
from nsqadmin.cluster.model import Channel, Topic

ELSEWHERE = "Other nodes are left as they are."


@dataclass(slots=True)
class Consequences:
    """What people should know before they say yes."""

    lost: list[tuple[int, str]] = field(default_factory=list)
    """How many of what are gone for good."""
    notes: list[str] = field(default_factory=list)
    """What else happens, a sentence each."""
    nodes: list[str] = field(default_factory=list)
    """The nsqds it happens on."""

    @property
    def irreversible(self) -> bool:
        """Whether something is lost that can't be had back, if only by what arrives until it is done."""
        return bool(self.lost)


def of_topic(change: Change, topic: Topic) -> Consequences:
    """What ``change`` does to a topic; of a change on one node, give the part there."""
    found = Consequences(nodes=[part.node for part in topic.nodes])
    here = " on this node" if change.node else ""
    match change.verb:
        case Verb.PAUSE:
            found.notes = [
                (
                    f"New messages{here} stay in the topic's own queue, which holds "
                    f"{_count(topic.depth, 'message')} now, until it is unpaused. Publishing goes on."
                ),
                (
                    f"Its {_count(len(topic.channels), 'channel')} and {_count(topic.client_count, 'client')} "
                    "go on with what the channels already hold."
                ),
            ]
        case Verb.UNPAUSE:
            found.notes = [
                (
                    f"{_count(topic.depth, 'waiting message')} will flow on to "
                    f"{_count(len(topic.channels), 'channel')}."
                )
            ]
        case Verb.EMPTY:
            found.lost = [(topic.depth, _waiting(topic.depth, topic.backend_depth))]
            found.notes = [
                (
                    f"What is in its channels stays: {_count(topic.channel_depth, 'message')} in "
                    f"{_count(len(topic.channels), 'channel')}. Empty a channel on its own page."
                )
            ]
        case Verb.DELETE | Verb.TOMBSTONE:
            found.lost = [
                (topic.depth, _waiting(topic.depth, topic.backend_depth) + " in the topic"),
                (len(topic.channels), _noun(len(topic.channels), "channel")),
                (
                    topic.channel_depth,
                    _waiting(topic.channel_depth, topic.channel_backend_depth) + " in channels",
                ),
                (topic.in_flight_count, "in flight to clients"),
                (topic.deferred_count, "deferred for later"),
            ]
            found.notes = [_disconnect(topic.client_count)]
    if change.verb is Verb.DELETE:
        found.notes.append(
            f"The topic comes back{here}, empty, as soon as somebody publishes to it{here} or subscribes."
        )
    if change.node and change.verb is not Verb.TOMBSTONE:
        found.notes.append(ELSEWHERE)
    if change.verb is Verb.TOMBSTONE:
        found.notes = [
            "nsqlookupd hides this node from the topic's consumers, so that they do not reconnect at once.",
            "Then the topic is deleted on this node, with all that it holds there. Other nodes keep theirs.",
            *found.notes,
            "Stop publishing the topic to this node first: the next message makes it anew.",
        ]
    return found


def of_channel(change: Change, channel: Channel) -> Consequences:
    """What ``change`` does to a channel; of a change on one node, give the part there."""
    found = Consequences(nodes=[part.node for part in channel.nodes])
    depth, clients = _count(channel.depth, "waiting message"), _count(channel.client_count, "client")
    all_lost = [
        (channel.depth, _waiting(channel.depth, channel.backend_depth)),
        (channel.in_flight_count, "in flight to clients"),
        (channel.deferred_count, "deferred for later"),
    ]
    match change.verb:
        case Verb.PAUSE:
            found.notes = [
                f"{clients} will get no more messages from it until it is unpaused; those in flight may be finished.",
                f"{depth} will be joined by whatever is published meanwhile.",
            ]
        case Verb.UNPAUSE:
            found.notes = [f"{depth} will be delivered to {clients} again."]
        case Verb.EMPTY:
            found.lost = all_lost
            found.notes = [f"{clients} stay connected. Other channels of the topic keep their copies."]
        case Verb.DELETE:
            found.lost = all_lost
            found.notes = [
                _disconnect(channel.client_count),
                (
                    "The channel comes back, empty, as soon as a client subscribes to it. "
                    "Other channels of the topic keep their copies."
                ),
            ]
    if change.node:
        found.notes.append(ELSEWHERE)
    return found


def _waiting(depth: int, on_disk: int) -> str:
    text = _noun(depth, "message") + " waiting"
    return f"{text} ({depth - on_disk:,} in memory, {on_disk:,} on disk)" if depth else text


def _disconnect(clients: int) -> str:
    if not clients:
        return "No client is connected."
    return f"{_count(clients, 'client')} {'is' if clients == 1 else 'are'} disconnected."


def _noun(count: int, noun: str) -> str:
    return noun if count == 1 else noun + "s"


def _count(count: int, noun: str) -> str:
    return f"{count:,} {_noun(count, noun)}"
