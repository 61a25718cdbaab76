from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from nsqclient import Message, NoNodes, Outgoing, Receipt, Retry
from nsqclient.telemetry.tracing import Tracing
from tests.nsqclient.telemetry.messages import message

RECEIPT = Receipt("t", ("10.0.0.1:4150",), 1, 1, 0.0, 0.0)


class Traces:
    """A tracing whose spans can be looked at."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracing = Tracing(tracer_provider=self.provider)

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        return self._exporter.get_finished_spans()

    @property
    def span(self) -> ReadableSpan:
        (span,) = self.spans
        return span

    async def headers(self) -> dict[str, str]:
        """Those of a publish inside a span."""
        outgoing = Outgoing("t", b"x", carries_headers=True)
        await self.tracing.publish(stored, outgoing)
        return outgoing.headers


def span_id(span: ReadableSpan) -> int:
    own = span.get_span_context()
    assert own is not None
    return own.span_id


async def stored(outgoing: Outgoing) -> Receipt:
    return RECEIPT


@pytest.fixture
def traces() -> Traces:
    return Traces()


async def test_a_publish_has_a_span(traces: Traces) -> None:
    assert await traces.tracing.publish(stored, Outgoing("t", b"body", key="k")) is RECEIPT
    span = traces.span
    assert (span.name, span.kind) == ("send t", SpanKind.PRODUCER)
    assert span.attributes == {
        "messaging.system": "nsq",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.destination.name": "t",
        "messaging.message.body.size": 4,
        "messaging.nsq.message.key": "k",
        "server.address": "10.0.0.1",
        "server.port": 4150,
    }
    assert span.status.status_code is StatusCode.UNSET


async def test_a_batch_tells_how_many_it_has(traces: Traces) -> None:
    await traces.tracing.publish(stored, Outgoing("t", [b"a", b"b"], count=2))
    assert traces.span.attributes is not None
    assert traces.span.attributes["messaging.batch.message_count"] == 2


async def test_the_context_travels_where_headers_do(traces: Traces) -> None:
    token = context.attach(baggage.set_baggage("tenant", "acme"))
    try:
        headers = await traces.headers()
        bare = Outgoing("t", b"x")
        await traces.tracing.publish(stored, bare)
    finally:
        context.detach(token)
    assert headers["traceparent"].split("-")[2] == f"{span_id(traces.spans[0]):016x}"
    assert headers["baggage"] == "tenant=acme"
    assert bare.headers == {}


async def test_a_failed_publish_is_an_error(traces: Traces) -> None:
    async def failing(outgoing: Outgoing) -> Receipt:
        raise NoNodes("nobody there")

    with pytest.raises(NoNodes):
        await traces.tracing.publish(failing, Outgoing("t", b"x"))
    span = traces.span
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes is not None
    assert span.attributes["error.type"] == "NoNodes"
    assert span.events[0].name == "exception"


async def test_the_handling_continues_the_publishers_trace(traces: Traces) -> None:
    token = context.attach(baggage.set_baggage("tenant", "acme"))
    headers = await traces.headers()
    context.detach(token)
    seen: list[object] = []

    async def handler(item: Message) -> str:
        seen.append(baggage.get_baggage("tenant"))
        with trace.get_tracer("test", tracer_provider=traces.provider).start_as_current_span("inner"):
            return "result"

    assert await traces.tracing.handle(handler, message(headers)) == "result"
    send, inner, process = traces.spans
    assert (process.name, process.kind) == ("process t", SpanKind.CONSUMER)
    assert process.parent is not None
    assert process.parent.span_id == span_id(send)
    assert [link.context.span_id for link in process.links] == [span_id(send)]
    assert inner.parent is not None
    assert inner.parent.span_id == span_id(process)
    assert seen == ["acme"]
    assert process.attributes == {
        "messaging.system": "nsq",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "t",
        "messaging.destination.subscription.name": "c",
        "server.address": "n",
        "server.port": 4150,
        "messaging.message.id": "0123456789abcdef",
        "messaging.message.body.size": 4,
        "messaging.nsq.message.attempts": 2,
    }
    assert baggage.get_baggage("tenant") is None


async def test_without_headers_each_handling_is_a_trace_of_its_own(traces: Traces) -> None:
    async def handler(item: Message) -> None:
        pass

    tracer = trace.get_tracer("test", tracer_provider=traces.provider)
    with tracer.start_as_current_span("start of the program"):
        await traces.tracing.handle(handler, message({}))
        await traces.tracing.handle(handler, message({"traceparent": "rubbish"}))
    first, second, start = traces.spans
    assert first.parent is None
    assert second.parent is None
    contexts = [span.get_span_context() for span in (first, second, start)]
    assert len({one.trace_id for one in contexts if one is not None}) == 3


@dataclass
class Batch:
    messages: list[Message]


async def test_a_batch_is_linked_to_its_publishers(traces: Traces) -> None:
    async def handler(item: Batch) -> None:
        pass

    headers = [await traces.headers(), await traces.headers(), {}]
    await traces.tracing.handle(handler, Batch([message(one) for one in headers]))
    *sends, process = traces.spans
    assert process.parent is None
    assert [link.context.span_id for link in process.links] == [span_id(s) for s in sends]
    assert process.attributes is not None
    assert process.attributes["messaging.batch.message_count"] == 3


async def test_a_failed_handling_is_an_error(traces: Traces) -> None:
    def fail() -> None:
        with traces.tracing.process(message({})):
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail()
    span = traces.span
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "broken")
    assert span.events[0].name == "exception"


@pytest.mark.parametrize(
    ("error", "event"), [(Retry(after=5), "nsq.retry"), (asyncio.CancelledError(), None)]
)
async def test_decisions_and_cancellations_are_no_errors(
    traces: Traces, error: BaseException, event: str | None
) -> None:
    async def handler(item: Message) -> None:
        raise error

    with pytest.raises(type(error)):
        await traces.tracing.handle(handler, message({}))
    assert traces.span.status.status_code is StatusCode.UNSET
    assert [one.name for one in traces.span.events] == ([event] if event else [])
