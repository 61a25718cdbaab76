"""Headers, scopes, traces and dead letters with a real nsqd: ours, and the original where there is one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from nsqclient import Consumer, Failures, Message, Producer, propagate, scope
from nsqclient.content import propagation
from nsqclient.telemetry.tracing import Tracing
from nsqclient.testing import NsqdProcess, find_nsqd
from tests.support.needs import original


@pytest.fixture(params=["ours", "original"])
def nsqd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Its address."""
    program = original("nsqd") if request.param == "original" else find_nsqd()
    assert program is not None
    with NsqdProcess(program, tmp_path) as process:
        yield process.tcp_address


@dataclass
class Order:
    id: int


async def test_a_request_travels_with_its_message_and_the_letter_it_becomes(
    nsqd: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(propagation, "_declared", set())
    propagate("tenant")
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing = Tracing(tracer_provider=provider)
    seen: list[object] = []

    async def handler(message: Message) -> None:
        remaining = scope.remaining()
        seen.append(
            (message.decode(Order), scope.get("tenant"), remaining is not None and 20 < remaining < 31)
        )
        consumer.stop()
        raise ValueError("no such customer")

    failures = Failures(attempts=1, dead_letter="dead")
    async with (
        Producer(nsqd, headers="auto", around=[tracing.publish]) as producer,
        Consumer("t", "c", nsqd, headers="auto", around=[tracing.handle], failures=failures) as consumer,
    ):
        async with scope(timeout=30, tenant="acme", propagate_deadline=True):
            await producer.publish("t", Order(1), key="k", delay=0.05)
        async with asyncio.timeout(20):
            await consumer.run(handler)
    assert seen == [(Order(1), "acme", True)]
    send, process = exporter.get_finished_spans()
    assert process.parent is not None
    assert send.context is not None
    assert process.parent.span_id == send.context.span_id
    async with Consumer("dead", "c", nsqd, headers="auto") as letters, await letters.get(20) as letter:
        assert (letter.key, letter.decode(Order)) == ("k", Order(1))
        assert letter.headers["nsq-error"] == "ValueError: no such customer"
        assert letter.headers["value-tenant"] == "acme"
