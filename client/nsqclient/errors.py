"""Everything the library raises.

::

    NsqError
    ├─ ConfigError(ValueError)   InvalidName  MessageTooLarge  EmptyMessage  DelayOutOfRange
    ├─ ConnectError              IdentifyRejected  NotNsqd
    │   ├─ TlsRefused            TlsFailed  CompressionRefused
    │   └─ AuthRequired          AuthRejected
    ├─ PublishError              .outcome = "rejected" | "not_sent" | "unknown"
    │   ├─ PublishRejected
    │   ├─ PublishNotSent        Backlogged  NoNodes
    │   ├─ PublishUnknown
    │   └─ PublishTimeout(TimeoutError)
    ├─ SubscribeRefused
    ├─ SettleError               AlreadySettled
    ├─ ApiError                  of nsqclient.http: .url .status .code
    │   ├─ ApiUnreachable
    │   │   └─ ApiTimeout(TimeoutError)
    │   ├─ ApiRefused            ApiNotFound
    │   └─ ApiBroken
    ├─ CodecError(ValueError)    EnvelopeError
    ├─ DeadlineExceeded(TimeoutError)
    ├─ DedupStoreFull
    ├─ HandlerTimeout(TimeoutError)
    └─ Closed

    Control                    Retry  Drop  DeadLetter

A Control is no error but an answer to a message, given by raising it.

A ConfigError is the caller's to mend, a ConnectError or a refusal the peer's doing.
"""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar, Literal

Outcome = Literal["rejected", "not_sent", "unknown"]
"""What is known of a publish that failed: refused and not stored, never sent, or perhaps stored."""


class NsqError(Exception):
    """The root of all errors of this library."""


class ConfigError(NsqError, ValueError):
    """An argument can't be right; found before anything is sent."""


class InvalidName(ConfigError):
    """A topic or channel name breaks NSQ's rules."""


class MessageTooLarge(ConfigError):
    """A message, or the messages of one MPUB together, exceed what nsqd takes (see ``Limits``)."""


class EmptyMessage(ConfigError):
    """NSQ has no empty messages, and no empty batches."""


class DelayOutOfRange(ConfigError):
    """A delay is negative or longer than nsqd allows (see ``Limits``)."""


class ConnectError(NsqError):
    """A nsqd could not be reached, or the connection to it broke."""

    def __init__(self, node: str, reason: str) -> None:
        super().__init__(f"{node}: {reason}")
        self.node = node
        """The address as it was given or discovered."""
        self.reason = reason


class IdentifyRejected(ConnectError):
    """nsqd refused what the connection options ask of it."""


class TlsRefused(ConnectError):
    """nsqd has no TLS, and TLS is required, or a secret would have to go in the clear; nothing was told."""


class TlsFailed(ConnectError):
    """TLS was begun and did not come about: a certificate that can't be trusted or read, or no TLS at all."""


class CompressionRefused(ConnectError):
    """nsqd does not compress as asked, and the option does not begin with ``prefer:``."""


class AuthRequired(ConnectError):
    """nsqd wants a secret, and none is configured or could be had."""


class AuthRejected(ConnectError):
    """nsqd does not accept the secret, or does not accept it any more."""


class NotNsqd(ConnectError):
    """Whoever answered does not speak nsqd's protocol; often an HTTP port was given."""


class PublishError(NsqError):
    """A publish failed; :attr:`outcome` says whether the message can have been stored."""

    def __init__(
        self,
        text: str,
        outcome: Outcome,
        *,
        code: str = "",
        node: str = "",
        attempts: int = 0,
        acked_nodes: tuple[str, ...] = (),
    ) -> None:
        super().__init__(text)
        self.outcome: Outcome = outcome
        self.code = code
        """nsqd's error code, such as ``E_BAD_TOPIC``; empty when it said nothing."""
        self.node = node
        """The nsqd that was asked last; empty when none was."""
        self.attempts = attempts
        """How often the message was written to a connection."""
        self.acked_nodes = acked_nodes
        """Where it is stored, of several copies that were too few; nothing can be withdrawn."""


class _FixedOutcome(PublishError):
    """One whose class tells the outcome."""

    _fixed: ClassVar[Outcome]

    def __init__(
        self,
        text: str,
        *,
        code: str = "",
        node: str = "",
        attempts: int = 0,
        acked_nodes: tuple[str, ...] = (),
    ) -> None:
        super().__init__(text, self._fixed, code=code, node=node, attempts=attempts, acked_nodes=acked_nodes)


class PublishRejected(_FixedOutcome):
    """nsqd refused the message and has not stored it."""

    _fixed: ClassVar[Outcome] = "rejected"


class PublishNotSent(_FixedOutcome):
    """No byte of the message was taken by a nsqd: sending it again can't duplicate it."""

    _fixed: ClassVar[Outcome] = "not_sent"


class Backlogged(PublishNotSent):
    """The producer held as much as it may, and no room came within the timeout."""


class NoNodes(PublishNotSent):
    """No nsqd was connected within the timeout; the text and the cause say why."""


class PublishUnknown(_FixedOutcome):
    """The message was sent and its answer lost, or nsqd failed half way: it may be stored or not."""

    _fixed: ClassVar[Outcome] = "unknown"


class PublishTimeout(PublishError, TimeoutError):
    """The timeout passed; :attr:`outcome` is ``not_sent`` or ``unknown``."""


class SubscribeRefused(NsqError):
    """A nsqd does not accept the subscription."""

    def __init__(self, node: str, code: str, reason: str) -> None:
        super().__init__(f"{node}: {reason}")
        self.node = node
        self.code = code
        """nsqd's error code, such as ``E_SUB_FAILED``."""
        self.reason = reason


class SettleError(NsqError):
    """A message can't be answered as asked."""


class AlreadySettled(SettleError):
    """The message was answered before, and differently; giving the same answer twice is fine."""


class ApiError(NsqError):
    """A request to a daemon's HTTP API failed."""

    def __init__(self, url: str, reason: str, *, status: int = 0, code: str = "") -> None:
        super().__init__(f"{url}: {reason}")
        self.url = url
        self.reason = reason
        self.status = status
        """The HTTP status; 0 when there was no answer."""
        self.code = code
        """NSQ's code, such as ``INVALID_TOPIC``; empty when the answer names none."""


class ApiUnreachable(ApiError):
    """Nobody answered: no connection, or it broke. What was asked for may have been done or not."""


class ApiTimeout(ApiUnreachable, TimeoutError):
    """No answer came in time. What was asked for may have been done or not."""


class ApiRefused(ApiError):
    """The daemon answered that it did not do it; ``status`` and ``code`` say why."""


class ApiNotFound(ApiRefused):
    """There is no such topic, channel or endpoint (404)."""


class ApiBroken(ApiError):
    """The answer is not what the API promises: another program, or too large."""


class CodecError(NsqError, ValueError):
    """A value can't be made into bytes, or bytes are not what was expected; the text says where."""


class EnvelopeError(CodecError):
    """Headers can't be sent as they are, or a body's envelope is broken or of an unknown version."""


class DeadlineExceeded(NsqError, TimeoutError):
    """The deadline of a scope passed."""


class DedupStoreFull(NsqError):
    """A store of message keys has no room for one more claim."""


class HandlerTimeout(NsqError, TimeoutError):
    """A handler took longer than the ``timeout`` it was given; the message failed."""


class Closed(NsqError):
    """The producer or consumer is closed. When it failed, the cause is chained as ``__cause__``."""


class Control(Exception):
    """An answer to a message, raised by its handler or inside ``async with message:``."""


class Retry(Control):
    """The message is to come again, as after :meth:`Message.requeue`."""

    def __init__(
        self, reason: str = "", *, after: float | timedelta | None = None, backoff: bool = True
    ) -> None:
        super().__init__(reason)
        self.after = after
        """Seconds until then; None leaves it to the consumer's policy."""
        self.backoff = backoff
        """Whether it counts as a failure: the consumer slows down, and gives up after the last attempt."""


class Drop(Control):
    """The message is of no use: it is finished."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)


class DeadLetter(Control):
    """No further attempt can help: the message is given up at once, as the consumer's ``failures`` say."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
