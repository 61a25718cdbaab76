"""An asyncio client for NSQ: publish with :class:`Producer`, receive with :class:`Consumer`."""

from nsqclient.consumer import Consumer, ConsumerStats
from nsqclient.errors import (
    AlreadySettled,
    AuthRequired,
    Backlogged,
    Closed,
    ConfigError,
    ConnectError,
    DelayOutOfRange,
    EmptyMessage,
    IdentifyRejected,
    InvalidName,
    MessageTooLarge,
    NoNodes,
    NotNsqd,
    NsqError,
    PublishError,
    PublishNotSent,
    PublishRejected,
    PublishTimeout,
    PublishUnknown,
    SettleError,
    SubscribeRefused,
)
from nsqclient.message import Message
from nsqclient.options import Backoff, ConnectionOptions, FullJitter, Limits, LinearRequeue, Retry
from nsqclient.pending import Receipt
from nsqclient.producer import Producer, ProducerStats
from nsqclient.targets import Lookup, Nsqd

__all__ = [
    "AlreadySettled",
    "AuthRequired",
    "Backlogged",
    "Backoff",
    "Closed",
    "ConfigError",
    "ConnectError",
    "ConnectionOptions",
    "Consumer",
    "ConsumerStats",
    "DelayOutOfRange",
    "EmptyMessage",
    "FullJitter",
    "IdentifyRejected",
    "InvalidName",
    "Limits",
    "LinearRequeue",
    "Lookup",
    "Message",
    "MessageTooLarge",
    "NoNodes",
    "NotNsqd",
    "NsqError",
    "Nsqd",
    "Producer",
    "ProducerStats",
    "PublishError",
    "PublishNotSent",
    "PublishRejected",
    "PublishTimeout",
    "PublishUnknown",
    "Receipt",
    "Retry",
    "SettleError",
    "SubscribeRefused",
]
