"""An asyncio client for NSQ: publish with :class:`Producer`, receive with :class:`Consumer`."""

from nsqclient.app.app import App
from nsqclient.app.health import AppHealth
from nsqclient.app.options import BatchOf
from nsqclient.app.router import Router
from nsqclient.connection.endpoint import Endpoint, from_env, from_url
from nsqclient.connection.options import ConnectionOptions, Topology
from nsqclient.connection.state import Agreement
from nsqclient.consumer.batches import MessageBatch
from nsqclient.consumer.consumer import AroundHandle, Consumer, ConsumerStats
from nsqclient.consumer.dedup import Dedup, by_message_id
from nsqclient.consumer.events import (
    BackoffEntered,
    BackoffLeft,
    ConsumerEvent,
    Duplicate,
    EventStream,
    Expired,
    GaveUp,
    LeaseLost,
    LookupFailed,
    LoopBlocked,
    NodeDown,
    NodeUp,
    RdyChanged,
    Subscribed,
)
from nsqclient.consumer.failures import Failures, LinearRequeue
from nsqclient.consumer.health import Health
from nsqclient.consumer.message import Message
from nsqclient.consumer.options import Backoff, FlowControl, Leases
from nsqclient.content import codecs as codecs
from nsqclient.content.outgoing import Outgoing
from nsqclient.content.propagation import propagate
from nsqclient.content.scope import scope
from nsqclient.dedup.memory import MemoryStore
from nsqclient.dedup.redis import RedisStore
from nsqclient.discovery.found import FoundNode
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
    Control,
    DeadLetter,
    DeadlineExceeded,
    DedupStoreFull,
    DelayOutOfRange,
    Drop,
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
    Retry,
    SettleError,
    SubscribeRefused,
    TlsFailed,
    TlsRefused,
)
from nsqclient.limits import Limits
from nsqclient.pauses import FullJitter
from nsqclient.producer.counts import ClosedSummary, NodeState, ProducerStats
from nsqclient.producer.delivery import Delivery, Receipt
from nsqclient.producer.options import Batch, Node, RetryPolicy, Routing
from nsqclient.producer.producer import Producer
from nsqclient.producer.relay import AroundPublish
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
    "AppHealth",
    "AroundHandle",
    "AroundPublish",
    "AuthRejected",
    "AuthRequired",
    "Backlogged",
    "Backoff",
    "BackoffEntered",
    "BackoffLeft",
    "Batch",
    "BatchOf",
    "Closed",
    "ClosedSummary",
    "CodecError",
    "CompressionRefused",
    "ConfigError",
    "ConnectError",
    "ConnectionOptions",
    "Consumer",
    "ConsumerEvent",
    "ConsumerStats",
    "Control",
    "DeadLetter",
    "DeadlineExceeded",
    "Dedup",
    "DedupStoreFull",
    "DelayOutOfRange",
    "Delivery",
    "Drop",
    "Duplicate",
    "EmptyMessage",
    "Endpoint",
    "EnvelopeError",
    "EventStream",
    "Expired",
    "Failures",
    "FlowControl",
    "FoundNode",
    "FullJitter",
    "GaveUp",
    "HandlerTimeout",
    "Health",
    "IdentifyRejected",
    "InvalidName",
    "LeaseLost",
    "Leases",
    "Limits",
    "LinearRequeue",
    "Lookup",
    "LookupFailed",
    "LoopBlocked",
    "MemoryStore",
    "Message",
    "MessageBatch",
    "MessageTooLarge",
    "NoNodes",
    "Node",
    "NodeDown",
    "NodeState",
    "NodeUp",
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
    "RdyChanged",
    "Receipt",
    "RedisStore",
    "Report",
    "Reports",
    "Retry",
    "RetryPolicy",
    "Router",
    "Routing",
    "SettleError",
    "SubscribeRefused",
    "Subscribed",
    "Tls",
    "TlsFailed",
    "TlsRefused",
    "Topology",
    "by_message_id",
    "from_env",
    "from_url",
    "propagate",
    "scope",
]
