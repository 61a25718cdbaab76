"""``/config/<opt>``: every option readable, two of them settable while the daemon runs."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from nsqd.options import Options
from tests.nsqd.answers import API, JSON, TEXT, expect_refusal, headers_of
from tests.support.nsqd import Answer, Node, eventually
from tests.support.scripted_lookupd import ScriptedLookupd

FLAGS = (
    "--node-id=0x1f",
    "--msg-timeout=1h2m3s",
    "--broadcast-address=a.b-c",
    "--broadcast-http-port=81",
    "--statsd-prefix=x.%s",
    "--e2e-processing-latency-percentile=1.0,0.95",
    "--tls-min-version=tls1.2",
    "--snappy=false",
    "--max-msg-size=1024",
)


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    level = logging.getLogger().level
    async with Node(tmp_path, *FLAGS) as running:
        yield running
    logging.getLogger().setLevel(level)


def expect_value(answer: Answer, value: bytes, *, text: bool = False) -> None:
    assert (answer.status, answer.body) == (200, value)
    kind = TEXT if text and value else {} if text else JSON
    assert headers_of(answer) == {**API, **kind, "Content-Length": str(len(value))}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("id", b"31"),
        ("msg_timeout", b"3723000000000"),
        ("tls_required", b"0"),
        ("tls_min_version", b"771"),
        ("snappy", b"false"),
        ("deflate", b"true"),
        ("nsqlookupd_tcp_addresses", b"[]"),
        ("auth_http_addresses", b"[]"),
        ("e2e_processing_latency_percentiles", b"[1,0.95]"),
        ("max_msg_size", b"1024"),
        ("broadcast_http_port", b"81"),
        ("log_level?x=%zz", b"2"),
    ],
)
async def test_a_value_is_json(node: Node, key: str, value: bytes) -> None:
    expect_value(await node.request("GET", f"/config/{key}"), value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("log_prefix", b"[nsqd] "),
        ("statsd_prefix", b"x.a_b-c_81."),
        ("broadcast_address", b"a.b-c"),
        ("tls_key", b""),
        ("topology_zone", b""),
        ("%6cog_prefix", b"[nsqd] "),
    ],
)
async def test_a_text_is_told_raw(node: Node, key: str, value: bytes) -> None:
    expect_value(await node.request("GET", f"/config/{key}"), value, text=True)


async def test_the_broadcast_port_is_the_real_one_when_none_was_given(node: Node) -> None:
    expect_value(await node.request("GET", "/config/broadcast_tcp_port"), str(node.tcp[1]).encode())


async def test_every_option_can_be_read(node: Node) -> None:
    keys = [f.metadata["key"] or f.name for f in dataclasses.fields(Options) if f.metadata]
    assert len(keys) > 50
    for key in keys:
        assert (await node.request("GET", f"/config/{key}")).status == 200, key


@pytest.mark.parametrize("key", ["nope", "node_id", "ID", "config", "version", "verbose", "log-level", "%ff"])
async def test_what_is_no_option_can_be_neither_read_nor_set(node: Node, key: str) -> None:
    expect_refusal(await node.request("GET", f"/config/{key}"), 400, "INVALID_OPTION")
    expect_refusal(await node.request("PUT", f"/config/{key}", b"1"), 400, "INVALID_OPTION")


@pytest.mark.parametrize("key", ["id", "snappy", "max_msg_size"])
async def test_other_options_can_not_be_set(node: Node, key: str) -> None:
    before = (await node.request("GET", f"/config/{key}")).body
    expect_refusal(await node.request("PUT", f"/config/{key}", b"1"), 400, "INVALID_OPTION")
    assert (await node.request("GET", f"/config/{key}")).body == before


@pytest.mark.parametrize("key", ["log_level", "nsqlookupd_tcp_addresses", "nope"])
@pytest.mark.parametrize("body", [b"", b" " * 1025])
async def test_an_empty_or_too_long_value_is_413(node: Node, key: str, body: bytes) -> None:
    expect_refusal(await node.request("PUT", f"/config/{key}", body), 413, "INVALID_VALUE")


@pytest.mark.parametrize(
    ("word", "number", "level"),
    [
        (b"debug", b"1", logging.DEBUG),
        (b"INFO", b"2", logging.INFO),
        (b"Warn", b"3", logging.WARNING),
        (b"error", b"4", logging.ERROR),
        (b"fatal", b"5", logging.CRITICAL),
    ],
)
async def test_the_log_level_can_be_set(node: Node, word: bytes, number: bytes, level: int) -> None:
    expect_value(await node.request("PUT", "/config/log_level", word), number)
    expect_value(await node.request("GET", "/config/log_level"), number)
    assert logging.getLogger().level == level


@pytest.mark.parametrize("word", [b"warning", b"info\n", b" info", b'"info"', b"2", b"\xff", b" " * 1024])
async def test_what_is_no_log_level_is_refused(node: Node, word: bytes) -> None:
    level = logging.getLogger().level
    expect_refusal(await node.request("PUT", "/config/log_level", word), 400, "INVALID_VALUE")
    assert logging.getLogger().level == level


async def test_nsqlookupds_are_left_and_connected_to_at_once(tmp_path: Path) -> None:
    async with ScriptedLookupd() as old, ScriptedLookupd() as new, Node(tmp_path, old.flag) as node:
        await node.request("POST", "/topic/create?topic=t", b"")
        await old.until(lambda: "REGISTER t" in old.commands)
        value = json.dumps([new.address, new.address]).encode()
        expect_value(
            await node.request("PUT", "/config/nsqlookupd_tcp_addresses", value), value.replace(b" ", b"")
        )
        await new.until(lambda: "REGISTER t" in new.commands)
        await eventually(lambda: not old.open)
        await node.request("POST", "/topic/create?topic=u", b"")
        await new.until(lambda: "REGISTER u" in new.commands)
        assert new.connections == 1
        expect_value(await node.request("GET", "/config/nsqlookupd_tcp_addresses"), value.replace(b" ", b""))
        expect_value(await node.request("PUT", "/config/nsqlookupd_tcp_addresses", b"[]"), b"[]")
        await eventually(lambda: not new.open)
        await node.request("POST", "/topic/create?topic=w", b"")
        await eventually(lambda: node.topic("w").started)


@pytest.mark.parametrize(
    ("value", "told"),
    [(b"null", b"null"), (b" [ ] ", b"[]"), (b'["127.0.0.1:1"]', b'["127.0.0.1:1"]'), (b"[null]", b'[""]'), (b'["x"]', b'["x"]')],
)  # fmt: skip
async def test_what_go_takes_for_a_list_of_texts_is_taken(node: Node, value: bytes, told: bytes) -> None:
    expect_value(await node.request("PUT", "/config/nsqlookupd_tcp_addresses", value), told)
    expect_value(await node.request("GET", "/config/nsqlookupd_tcp_addresses"), told)
    assert (await node.request("GET", "/ping")).body == b"OK"


@pytest.mark.parametrize(
    "value", [b"[1]", b'"127.0.0.1:1"', b"[", b"{}", b"[] x", b"[[]]", b"[" * 1000, b"\xff", b"NaN"]
)
async def test_what_is_no_list_of_texts_is_refused(node: Node, value: bytes) -> None:
    answer = await node.request("PUT", "/config/nsqlookupd_tcp_addresses", value)
    expect_refusal(answer, 400, "INVALID_VALUE")
    expect_value(await node.request("GET", "/config/nsqlookupd_tcp_addresses"), b"[]")
