"""Compression inside TLS: the order of the layers, and what comes too early, too late or twice."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import pytest

from nsqcore.wire.commands import encode_identify, encode_pub
from nsqd.protocol import upgrade
from tests.support.codecs import compress, pair
from tests.support.nsqd import Node, RawClient, eventually
from tests.support.tls import V12, V13, Authority

pytestmark = pytest.mark.usefixtures("quick_disk")
both = pytest.mark.parametrize("name", ["deflate", "snappy"])


async def in_tls(node: Node, authority: Authority, name: str, version: ssl.TLSVersion = V13) -> RawClient:
    """A client that asked for TLS and compression at once, and has read both OKs."""
    client = await node.connect()
    answer = await client.identify(tls_v1=True, **{name: True})
    assert (answer["tls_v1"], answer[name]) == (True, True)
    await authority.client(version=version).shake(client)
    await client.expect_ok()
    client.go_through(*pair(name))
    await client.expect_ok()
    return client


@both
@pytest.mark.parametrize("version", [V12, V13])
async def test_tls_comes_first_and_each_layer_is_told_by_an_ok_through_it(
    tmp_path: Path, authority: Authority, name: str, version: ssl.TLSVersion
) -> None:
    async with Node(tmp_path, *authority.flags) as node:
        client = await in_tls(node, authority, name, version)
        bodies = [b"x", os.urandom(100_000), b"y" * 500_000]
        await client.sub("t", "c")
        client.rdy(10)
        producer = await in_tls(node, authority, name, version)
        await producer.pub("t", *bodies)
        assert await client.bodies(3) == bodies
        (seen,) = (await node.stats())["topics"][0]["channels"][0]["clients"]
        assert (seen["tls"], seen[name]) == (True, True)


@both
async def test_compression_may_come_with_a_later_identify_inside_tls(
    tmp_path: Path, authority: Authority, name: str
) -> None:
    async with Node(tmp_path, *authority.flags) as node:
        client = await node.connect()
        await client.identify(tls_v1=True)
        await authority.client().shake(client)
        await client.expect_ok()
        await client.alive()
        again = await client.identify(tls_v1=True)
        assert again["tls_v1"] is False
        await client.alive()
        await compress(client, name, tls_v1=True)
        await client.alive()


@both
async def test_a_client_may_compress_before_it_is_told_to(
    tmp_path: Path, authority: Authority, name: str
) -> None:
    """What follows the handshake, in one write with its end or before any OK, is compressed already."""
    async with Node(tmp_path, *authority.flags) as node:
        client = await node.connect()
        await client.identify(tls_v1=True, **{name: True})
        encode, decode = pair(name)
        await authority.client().shake(client)
        client.send(encode(encode_pub("t", b"early")))
        await client.expect_ok()
        client.go_through(encode, decode)
        await client.expect_ok(2)


async def test_tls_is_not_put_above_compression(tmp_path: Path, authority: Authority) -> None:
    async with Node(tmp_path, *authority.flags) as node:
        client = await node.connect()
        await compress(client, "snappy")
        assert (await client.identify(tls_v1=True))["tls_v1"] is False
        await client.alive()


async def test_the_last_words_of_a_compressed_client_are_followed_by_close_notify(
    tmp_path: Path, authority: Authority
) -> None:
    async with Node(tmp_path, *authority.flags) as node:
        client = await node.connect()
        await client.identify(tls_v1=True, deflate=True)
        tls = authority.client()
        await tls.shake(client)
        await client.expect_ok()
        client.go_through(*pair("deflate"))
        await client.expect_ok()
        client.send(b"HELLO\n")
        await client.refused("E_INVALID invalid command HELLO")
        assert (tls.ended, tls.alert) == (True, "")


async def test_no_heartbeat_comes_between_the_answer_and_the_handshake(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upgrade, "HANDSHAKE_S", 1.3)
    async with Node(tmp_path, *authority.flags) as node:
        client = await node.connect()
        await client.identify(tls_v1=True, heartbeat_interval=1000)
        name = ":".join(map(str, node.tcp))
        await client.refused(f"E_IDENTIFY_FAILED IDENTIFY failed read tcp {name}->{client.name}: i/o timeout")


async def test_a_client_that_goes_during_its_handshake_is_no_trouble(
    tmp_path: Path, authority: Authority
) -> None:
    async with Node(tmp_path, *authority.flags) as node:
        for drop in (False, True):
            client = await node.connect()
            client.send(encode_identify({"feature_negotiation": True, "tls_v1": True}) + b"\x16\x03\x01")
            await client.frame()
            end = await node.end_of(client)
            await eventually(lambda end=end: end._layers is not None)  # type: ignore[misc]
            if drop:
                client.drop()
            else:
                client.send_eof()
                await client.refused("E_IDENTIFY_FAILED IDENTIFY failed EOF")
            await eventually(lambda end=end: end not in node.nsqd._connections._open)  # type: ignore[misc]


@pytest.mark.parametrize("end", ["close_notify", "garbage"])
async def test_what_ends_inside_tls_together_with_an_identify_is_obeyed_and_closed(
    tmp_path: Path, authority: Authority, end: str
) -> None:
    async with Node(tmp_path, *authority.flags) as node:
        client = await node.connect()
        await client.identify(tls_v1=True)
        tls = authority.client()
        await tls.shake(client)
        await client.expect_ok()
        said = encode_identify({"feature_negotiation": True, "deflate": True})
        said += pair("deflate")[0](encode_pub("t", b"x"))
        sent = tls.encode(said)
        client.transport.write(sent + (tls.end() if end == "close_notify" else b"?" * 50))
        await eventually(lambda: not node.nsqd._connections._open)
        assert node.topic("t").depth == 1
