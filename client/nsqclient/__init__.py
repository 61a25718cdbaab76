"""An asyncio client for NSQ: publish with :class:`Producer`, receive with :class:`Consumer`."""

from nsqclient.connection.options import ConnectionOptions
from nsqclient.consumer.consumer import Consumer, ConsumerStats
from nsqclient.consumer.message import Message
from nsqclient.consumer.options import Backoff, LinearRequeue
from nsqclient.discovery.targets import Lookup, Nsqd
from nsqclient.errors import (
    AlreadySettled,
    ApiBroken,
    ApiError,
    ApiNotFound,
    ApiRefused,
    ApiTimeout,
    ApiUnreachable,
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
from nsqclient.limits import Limits
from nsqclient.pauses import FullJitter
from nsqclient.producer.options import RetryPolicy
from nsqclient.producer.pending import Receipt
from nsqclient.producer.producer import Producer, ProducerStats

__all__ = [
    "AlreadySettled",
    "ApiBroken",
    "ApiError",
    "ApiNotFound",
    "ApiRefused",
    "ApiTimeout",
    "ApiUnreachable",
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
    "RetryPolicy",
    "SettleError",
    "SubscribeRefused",
]
