"""OpenTelemetry traces: a span for each publish and for each handling, joined through the headers.

Needs the extra ``otel`` (``opentelemetry-api``); what is done with spans is up to the SDK that is set up.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from opentelemetry import context as otel_context
from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, TracerProvider

from nsqclient.consumer.message import Message
from nsqclient.content.outgoing import Outgoing
from nsqclient.errors import Control
from nsqclient.telemetry import conventions as name

R = TypeVar("R")
W = TypeVar("W")


class Tracing:
    """Makes spans of what producers and consumers do.

    ::

        tracing = Tracing()
        Producer(target, headers="auto", around=[tracing.publish])
        Consumer("orders", "billing", target, headers="auto", around=[tracing.handle])

    The span of a handling continues the publisher's trace, and code inside sees its baggage. That takes headers
    on both sides; without them there are spans all the same, each in a trace of its own. A batch has one span,
    which is linked to those of its publishers.
    """

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        propagator: TextMapPropagator | None = None,
    ) -> None:
        """Without arguments it uses what is set up for the process: W3C trace context and baggage, mostly."""
        self._tracer = trace.get_tracer("nsqclient", tracer_provider=tracer_provider)
        self._propagator = propagator

    async def publish(self, call_next: Callable[[Outgoing], Awaitable[R]], outgoing: Outgoing) -> R:
        """For a producer's ``around``: a span ``send TOPIC``."""
        attributes: dict[str, str | int] = {
            name.SYSTEM: "nsq",
            name.OPERATION: "send",
            name.OPERATION_TYPE: "send",
            name.DESTINATION: outgoing.topic,
        }
        if outgoing.count > 1:
            attributes[name.BATCH_COUNT] = outgoing.count
        elif isinstance(outgoing.value, bytes):
            attributes[name.BODY_SIZE] = len(outgoing.value)
        if outgoing.key is not None:
            attributes[name.KEY] = outgoing.key
        with self._tracer.start_as_current_span(
            f"send {outgoing.topic}",
            kind=SpanKind.PRODUCER,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            if outgoing.carries_headers:
                self._textmap.inject(outgoing.headers)
            try:
                result = await call_next(outgoing)
            except BaseException as e:
                _failed(span, e)
                raise
            nodes: Sequence[str] = getattr(result, "nodes", ())
            if nodes:
                span.set_attributes(name.server(nodes[0]))
            return result

    async def handle(self, call_next: Callable[[W], Awaitable[object]], item: W) -> object:
        """For a consumer's ``around``: a span ``process TOPIC``, for a message or a batch of them."""
        with self.process(item):
            return await call_next(item)

    @contextmanager
    def process(self, item: Message | Any) -> Iterator[Span]:
        """The same for messages that come from an iterator: ``with tracing.process(message): ...``."""
        batch: Sequence[Message] | None = getattr(item, "messages", None)
        messages = [item] if batch is None else batch
        contexts = [self._textmap.extract(message.headers, Context()) for message in messages]
        publishers = [trace.get_current_span(context).get_span_context() for context in contexts]
        links = [Link(publisher) for publisher in publishers if publisher.is_valid]
        around = contexts[0] if batch is None else Context()
        span = self._tracer.start_span(
            f"process {messages[0].topic}",
            context=around,
            kind=SpanKind.CONSUMER,
            attributes=_processed(messages, batch is not None),
            links=links,
            record_exception=False,
            set_status_on_exception=False,
        )
        token = otel_context.attach(trace.set_span_in_context(span, around))
        try:
            yield span
        except BaseException as e:
            _failed(span, e)
            raise
        finally:
            otel_context.detach(token)
            span.end()

    @property
    def _textmap(self) -> TextMapPropagator:
        return self._propagator or propagate.get_global_textmap()


def _processed(messages: Sequence[Message], batch: bool) -> dict[str, str | int]:
    first = messages[0]
    attributes: dict[str, str | int] = {
        name.SYSTEM: "nsq",
        name.OPERATION: "process",
        name.OPERATION_TYPE: "process",
        name.DESTINATION: first.topic,
        name.SUBSCRIPTION: first.channel,
    }
    if batch:
        attributes[name.BATCH_COUNT] = len(messages)
        return attributes
    attributes.update(name.server(first.node))
    attributes[name.MESSAGE_ID] = first.id
    attributes[name.BODY_SIZE] = len(first.body)
    attributes[name.ATTEMPTS] = first.attempts
    if first.key is not None:
        attributes[name.KEY] = first.key
    return attributes


def _failed(span: Span, error: BaseException) -> None:
    if isinstance(error, Control):  # a decision of the handler, and no error
        span.add_event(f"nsq.{type(error).__name__.lower()}", {"reason": str(error)})
        return
    span.set_attribute(name.ERROR, name.error_type(error))
    if isinstance(error, Exception):  # a cancellation says nothing about the work
        span.record_exception(error)
        span.set_status(Status(StatusCode.ERROR, str(error)))
