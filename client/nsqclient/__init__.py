"""An asyncio client for NSQ: publish with :class:`Producer`, receive with :class:`Consumer`."""

from nsqclient.app.app import App
from nsqclient.app.router import Router
from nsqclient.connection.options import ConnectionOptions, Topology
from nsqclient.connection.state import Agreement
from nsqclient.consumer.consumer import Consumer, ConsumerStats
from nsqclient.consumer.message import Message
from nsqclient.consumer.options import Backoff, LinearRequeue
from nsqclient.content import codecs as codecs
from nsqclient.content.outgoing import Outgoing
from nsqclient.content.propagation import propagate
from nsqclient.content.scope import scope
from nsqclient.dedup.memory import MemoryStore
from nsqclient.dedup.redis import RedisStore
from nsqclient.discovery.targets import Lookup, Nsqd
from nsqclient.errors import (
    AlreadySettled,
    ApiBroken,
    ApiError,
    ApiNotFound,
    ApiRefused,
    ApiTimeout,
    ApiUnreachable,
    AuthRejected,
    AuthRequired,
    Backlogged,
    Closed,
    CodecError,
    CompressionRefused,
    ConfigError,
    ConnectError,
    DeadlineExceeded,
    DedupStoreFull,
    DelayOutOfRange,
    EmptyMessage,
    EnvelopeError,
    HandlerTimeout,
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
    TlsFailed,
    TlsRefused,
)
from nsqclient.limits import Limits
from nsqclient.pauses import FullJitter
from nsqclient.producer.delivery import Delivery, Receipt
from nsqclient.producer.dispatch import NodeState
from nsqclient.producer.options import Batch, Node, RetryPolicy, Routing
from nsqclient.producer.producer import ClosedSummary, Producer, ProducerStats
from nsqclient.producer.reports import Report, Reports
from nsqclient.tls import Tls

__all__ = [
    "Agreement",
    "AlreadySettled",
    "ApiBroken",
    "ApiError",
    "ApiNotFound",
    "ApiRefused",
    "ApiTimeout",
    "ApiUnreachable",
    "App",
    "AuthRejected",
    "AuthRequired",
    "Backlogged",
    "Backoff",
    "Batch",
    "Closed",
    "ClosedSummary",
    "CodecError",
    "CompressionRefused",
    "ConfigError",
    "ConnectError",
    "ConnectionOptions",
    "Consumer",
    "ConsumerStats",
    "DeadlineExceeded",
    "DedupStoreFull",
    "DelayOutOfRange",
    "Delivery",
    "EmptyMessage",
    "EnvelopeError",
    "FullJitter",
    "HandlerTimeout",
    "IdentifyRejected",
    "InvalidName",
    "Limits",
    "LinearRequeue",
    "Lookup",
    "MemoryStore",
    "Message",
    "MessageTooLarge",
    "NoNodes",
    "Node",
    "NodeState",
    "NotNsqd",
    "NsqError",
    "Nsqd",
    "Outgoing",
    "Producer",
    "ProducerStats",
    "PublishError",
    "PublishNotSent",
    "PublishRejected",
    "PublishTimeout",
    "PublishUnknown",
    "Receipt",
    "RedisStore",
    "Report",
    "Reports",
    "RetryPolicy",
    "Router",
    "Routing",
    "SettleError",
    "SubscribeRefused",
    "Tls",
    "TlsFailed",
    "TlsRefused",
    "Topology",
    "propagate",
    "scope",
]
