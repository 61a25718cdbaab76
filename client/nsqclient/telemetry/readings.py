"""What can be read of producers and consumers, and how it is told to people."""

from __future__ import annotations

from collections.abc import Mapping

from nsqclient.consumer.consumer import Consumer
from nsqclient.producer.producer import Producer
from nsqclient.telemetry.watched import Watched

CONSUMER_COUNTERS = {
    "received": "Messages received.",
    "finished": "Messages finished.",
    "requeued": "Messages requeued.",
    "given_up": "Messages that had all their attempts.",
    "lost": "Messages that nsqd took back: their time ran out, or their connection ended.",
    "broken": "Messages whose envelope could not be read.",
    "expired": "Messages that came, or were worked on, beyond their senders' deadlines.",
    "dead_letters": "Messages published to the dead-letter topic.",
    "duplicates": "Messages finished unhandled, as their keys had been worked on.",
}
CONSUMER_GAUGES = {
    "in_flight": "Messages received and not answered.",
    "buffered": "Messages received and not handed out yet.",
    "connections": "Connections to nsqds.",
    "rdy": "Messages that nsqds were told to send at most, all together.",
    "backoff_level": "Level of the back-off; 0 while all is well.",
}
PRODUCER_COUNTERS = {
    "stored": "Publishes that a nsqd confirmed; an MPUB is one.",
    "rejected": "Publishes that were refused.",
    "not_sent": "Publishes that failed before any nsqd took them.",
    "unknown": "Publishes that may be stored or not.",
    "reports_dropped": "Reports that nobody read in time.",
}
PRODUCER_GAUGES = {
    "pending": "Publishes without an outcome yet.",
    "pending_bytes": "Bytes of these.",
    "connections": "Connections to nsqds.",
}


def consumers() -> Watched[Consumer]:
    """Consumers to be watched; their labels are topic and channel."""
    return Watched(
        lambda consumer: _pick(consumer.stats, CONSUMER_COUNTERS),
        lambda consumer: _pick(consumer.stats, CONSUMER_GAUGES),
    )


def producers() -> Watched[Producer]:
    """Producers to be watched; their label is a name."""
    return Watched(
        lambda producer: _pick(producer.stats, PRODUCER_COUNTERS),
        lambda producer: _pick(producer.stats, PRODUCER_GAUGES),
    )


def _pick(stats: object, names: Mapping[str, str]) -> dict[str, float]:
    return {name: getattr(stats, name) for name in names}
