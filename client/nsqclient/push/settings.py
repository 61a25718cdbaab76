"""Settings of a bridge: what is pushed to whom, and what a browser may cost."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from typing import Literal

from nsqclient.checks import check_name
from nsqclient.durations import Seconds, to_seconds, within
from nsqclient.errors import ConfigError
from nsqclient.push.forwarded import read_networks

Slow = Literal["close", "drop"]
RETRY_CEILING = 60.0
"""Seconds between deliveries of a message that is handed back again and again, unless a browser wants more."""
LONGEST_ACK = 840.0
"""Seconds: nsqd holds a message for 15 minutes at most."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """Everything is bounded; the defaults suit ten thousand browsers that get a few messages a second each."""

    node: str = field(default_factory=socket.gethostname)
    """The name of this bridge, for people: part of its channels' names."""
    user_topics: tuple[str, ...] = ()
    """Topics whose messages are addressed to users."""
    user_key: str = "to"
    """Where a JSON message names its user: a member, or a path of members (``meta.user``). The value is text,
    a whole number, or a list of these."""
    user_header: str = ""
    """The envelope's header that names the user, instead of ``user_key``."""
    origins: tuple[str, ...] = ()
    """Pages that may connect (``https://app.example.com``), or ``*`` for all. Empty: those of this host.
    A client that names no origin is no browser, and is not kept out by this."""
    max_connections: int = 10_000
    """Of all browsers; more are refused."""
    max_connections_per_user: int = 20
    """Of one user; more are refused."""
    max_subscriptions: int = 100
    """Of one connection."""
    max_topics: int = 1000
    """Subscribed to by all connections together; each costs a connection to every nsqd that has it."""
    max_outstanding: int = 500
    """Messages sent to one connection and not acknowledged: more than may be on their way at once."""
    max_outstanding_bytes: int = 1 << 20
    """Bytes of these."""
    slow: Slow = "close"
    """What happens to a connection with so many outstanding messages when another comes: it is closed
    (4008), or the message is dropped for it, which it is told."""
    ack_timeout: Seconds = 20.0
    """How long a browser may take to acknowledge or touch a message; less than nsqd's message timeout."""
    max_hold: Seconds = 600.0
    """How long touching may extend that in all."""
    retry_delay: Seconds = 2.0
    """When a message that was handed back comes again, unless the browser says when."""
    attempts: int = 5
    """Deliveries of a message, after which one that is handed back is given up; 0 is any number."""
    max_in_flight: int = 1000
    """Messages of one topic that wait for acknowledgements. Beyond half of it the oldest are finished
    early: browsers that do not answer must not keep messages from the others."""
    auth_timeout: Seconds = 10.0
    """How long a connection may take to ask for something, and then to show a token."""
    heartbeat: Seconds = 30.0
    """How often a silent connection is pinged; without an answer in half that time it is dropped."""
    send_timeout: Seconds = 10.0
    """How long a connection may take nothing of what is sent to it."""
    max_message: int = 16 << 10
    """Bytes of what a browser sends at once."""
    trusted_proxies: tuple[str, ...] = ()
    """Networks (``10.0.0.0/8``) or addresses of proxies whose ``X-Forwarded-For`` and ``X-Forwarded-Proto``
    are believed."""
    rate: float = 50.0
    """What a browser may send per second, on average. Answers to messages are not counted."""
    burst: int = 200
    """What it may send at once."""
    linger: Seconds = 5.0
    """How long a topic is still received when its last subscriber has gone."""
    shutdown_timeout: Seconds = 5.0
    """How long browsers get to take their leave at the end."""

    def __post_init__(self) -> None:
        for topic in self.user_topics:
            check_name("topic", topic)
        for name in (
            "max_connections",
            "max_connections_per_user",
            "max_outstanding",
            "max_outstanding_bytes",
            "max_message",
            "burst",
        ):
            within(name, getattr(self, name), 1)
        within("max_in_flight", self.max_in_flight, 2)
        within("max_subscriptions", self.max_subscriptions, 0)
        within("attempts", self.attempts, 0)
        within("rate", self.rate, 0.001)
        within("max_topics", self.max_topics, 0)
        within("ack_timeout", self.ack_timeout, 0.001, LONGEST_ACK)
        for name in ("max_hold", "auth_timeout", "heartbeat", "send_timeout"):
            within(name, getattr(self, name), 0.001)
        for name in ("linger", "shutdown_timeout"):
            within(name, getattr(self, name), 0)
        within("retry_delay", self.retry_delay, 0, 3600)
        read_networks(self.trusted_proxies)
        if to_seconds(self.send_timeout) > to_seconds(self.ack_timeout):
            raise ConfigError("send_timeout is longer than ack_timeout: messages would pile up unsent")
        if self.slow not in ("close", "drop"):
            raise ConfigError(f"slow is {self.slow!r}, want 'close' or 'drop'")
        if not self.user_key and not self.user_header:
            raise ConfigError("messages name their user by user_key or user_header; both are empty")
