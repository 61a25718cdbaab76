"""The names that OpenTelemetry's conventions for messaging give to things, and what they are for NSQ.

They are still in development there; these are those of version 1.45 of the conventions.
"""

from __future__ import annotations

from collections.abc import Mapping

from nsqcore.addresses import parse_host_port

SYSTEM = "messaging.system"
DESTINATION = "messaging.destination.name"
"""The topic."""
SUBSCRIPTION = "messaging.destination.subscription.name"
"""The channel."""
OPERATION = "messaging.operation.name"
OPERATION_TYPE = "messaging.operation.type"
MESSAGE_ID = "messaging.message.id"
BODY_SIZE = "messaging.message.body.size"
BATCH_COUNT = "messaging.batch.message_count"
ADDRESS = "server.address"
PORT = "server.port"
ERROR = "error.type"
ATTEMPTS = "messaging.nsq.message.attempts"
"""Deliveries so far; the conventions have no common name for it."""
KEY = "messaging.nsq.message.key"

SENT = "messaging.client.sent.messages"
CONSUMED = "messaging.client.consumed.messages"
OPERATION_DURATION = "messaging.client.operation.duration"
PROCESS_DURATION = "messaging.process.duration"
DURATIONS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""Bounds of a duration's buckets, in seconds."""

Attributes = Mapping[str, str | int]


def server(node: str) -> dict[str, str | int]:
    """The attributes of a nsqd's address; none for an empty one."""
    if not node:
        return {}
    if node.startswith("unix:"):
        return {ADDRESS: node.removeprefix("unix:")}
    try:
        host, port = parse_host_port(node)
    except ValueError:
        return {ADDRESS: node}
    return {ADDRESS: host, PORT: port}


def error_type(error: BaseException) -> str:
    """A word for an error of which there are few: its class, or nsqd's code where it gave one."""
    code = getattr(error, "code", "")
    if isinstance(code, str) and code:
        return code
    kind = type(error)
    return (
        kind.__qualname__
        if kind.__module__ in ("builtins", "nsqclient.errors")
        else (f"{kind.__module__}.{kind.__qualname__}")
    )
