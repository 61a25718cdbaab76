"""Connections through every combination of layers, to a real nsqd."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from nsqclient import (
    AuthRejected,
    AuthRequired,
    CompressionRefused,
    ConnectionOptions,
    Consumer,
    NoNodes,
    Producer,
    PublishRejected,
    SubscribeRefused,
    Tls,
    TlsFailed,
    TlsRefused,
    Topology,
)
from nsqclient.connection.connection import Connection
from nsqclient.connection.opening import open_connection
from tests.support.auth_server import ALL, AuthServer, permissions
from tests.support.nsqd import Node
from tests.support.tls import Authority


def trusting(authority: Authority, **settings: object) -> Tls:
    return Tls(ca=authority.folder / "ca.pem", **settings)  # type: ignore[arg-type]


def address(node: Node) -> str:
    host, port = node.tcp
    return f"{host}:{port}"


async def opened(node: Node, **settings: object) -> Connection:
    return await open_connection(address(node), ConnectionOptions(**settings))  # type: ignore[arg-type]


LAYERS = [(tls, compress) for tls in (False, True) for compress in (None, "snappy", "deflate", "deflate:1")]


@pytest.mark.parametrize(("tls", "compress"), LAYERS)
async def test_messages_go_through_all_layers(
    tls: bool, compress: str | None, tmp_path: Path, authority: Authority
) -> None:
    options = ConnectionOptions(tls=trusting(authority) if tls else None, compress=compress)
    bodies = [b"%d" % n * (n * 97 % 400 + 1) for n in range(600)] + [b"x" * 1_000_000]
    async with Node(tmp_path, *authority.flags) as node, asyncio.timeout(20):
        async with Producer(address(node), options=options) as producer:
            await asyncio.gather(*(producer.publish("t", body) for body in bodies))
        came: list[bytes] = []
        async with Consumer("t", "c", address(node), options=options, max_in_flight=200) as consumer:
            stats = await node.stats("&topic=t")
            [client] = stats["topics"][0]["channels"][0]["clients"]
            while len(came) < len(bodies):
                async with await consumer.get(10) as message:
                    came.append(message.body)
        assert sorted(came) == sorted(bodies)
        assert client["tls"] is tls
        assert client["snappy"] is (compress == "snappy")
        assert client["deflate"] is (compress is not None and compress != "snappy")


async def test_what_lies_between_is_told(tmp_path: Path, authority: Authority) -> None:
    async with Node(tmp_path, *authority.flags) as node:
        connection = await opened(node, tls=trusting(authority), compress="snappy")
        assert connection.layers == ("TLS1.3", "snappy")
        await connection.end()
        connection = await opened(node)
        assert connection.layers == ()
        await connection.end()


# ---- TLS


async def test_a_nsqd_without_tls_is_refused_before_any_secret(tmp_path: Path) -> None:
    async with AuthServer() as server, Node(tmp_path, server.flag) as node:
        with pytest.raises(TlsRefused, match="requires"):
            await opened(node, tls=Tls(verify=False), auth="s")
        with pytest.raises(TlsRefused, match="secret"):
            await opened(node, tls=Tls(verify=False, mode="prefer"), auth="s")
        assert server.asked == []


async def test_preferred_tls_does_without(tmp_path: Path, authority: Authority) -> None:
    async with Node(tmp_path) as node:
        connection = await opened(node, tls=trusting(authority, mode="prefer"))
        assert connection.layers == ()
        await connection.end()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"ca": None}, "failed to verify server certificate"),
        ({"server_name": "other.example"}, "failed to verify server certificate: hostname mismatch"),
        ({"server_name": "127.0.0.2"}, "failed to verify server certificate: ip address mismatch"),
        ({"ca": "/nowhere/ca.pem"}, "TLS file /nowhere/ca.pem: No such file"),
    ],
)
async def test_who_can_not_be_trusted_is_not(
    settings: dict[str, str], words: str, tmp_path: Path, authority: Authority
) -> None:
    async with Node(tmp_path, *authority.flags) as node:
        tls = Tls(**{"ca": str(authority.folder / "ca.pem"), **settings})  # type: ignore[arg-type]
        with pytest.raises(TlsFailed, match=f"(?i){words}"):
            await opened(node, tls=tls)


async def test_without_verifying_anybody_will_do(tmp_path: Path, authority: Authority) -> None:
    async with Node(tmp_path, *authority.flags) as node:
        connection = await opened(node, tls=Tls(verify=False))
        assert connection.layers == ("TLS1.3",)
        await connection.end()


async def test_names_and_both_kinds_of_addresses_are_verified(tmp_path: Path, authority: Authority) -> None:
    async with Node(tmp_path, *authority.flags) as node:
        port = node.tcp[1]
        for host in ("localhost", "127.0.0.1"):
            connection = await open_connection(
                f"{host}:{port}", ConnectionOptions(tls=trusting(authority, min_version="1.3"))
            )
            await connection.end()
        connection = await opened(node, tls=trusting(authority, server_name="localhost"))
        await connection.end()


async def test_an_ipv6_address_is_verified_without_its_brackets(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    leaf = authority._ca.issue_cert("::1")
    (tmp_path / "server.pem").write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
    leaf.private_key_pem.write_to_path(tmp_path / "server.key")
    async with Node(tmp_path, *authority.flags, "--tcp-address=[::1]:0") as node:
        connection = await open_connection(f"[::1]:{node.tcp[1]}", ConnectionOptions(tls=trusting(authority)))
        assert connection.layers
        await connection.end()


async def test_a_unix_socket_is_localhost(tmp_path: Path, authority: Authority) -> None:
    path = tmp_path / "nsqd.sock"
    async with Node(tmp_path, *authority.flags, f"--tcp-address={path}"):
        connection = await open_connection(f"unix:{path}", ConnectionOptions(tls=trusting(authority)))
        assert connection.layers
        await connection.end()


async def test_a_client_shows_its_certificate(tmp_path: Path, authority: Authority) -> None:
    leaf = authority.certificate("me")
    leaf.private_key_pem.write_to_path(tmp_path / "me.key")
    (tmp_path / "me.pem").write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
    flags = [*authority.flags, authority.ca_flag, "--tls-client-auth-policy=require-verify"]
    async with Node(tmp_path, *flags) as node:
        cert = (tmp_path / "me.pem", tmp_path / "me.key")
        connection = await opened(node, tls=trusting(authority, cert=cert))
        assert connection.alive
        await connection.end()
        with pytest.raises(TlsFailed):
            await opened(node, tls=trusting(authority))


async def test_a_certificate_that_was_renewed_is_used_from_the_next_connection_on(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    new.mkdir()
    before, after = Authority(old), Authority(new)
    ca = tmp_path / "ca.pem"
    ca.write_bytes((old / "ca.pem").read_bytes())
    tls = Tls(ca=ca)
    async with Node(old, *before.flags) as node:
        await (await opened(node, tls=tls)).end()
    async with Node(new, *after.flags) as node:
        with pytest.raises(TlsFailed, match="verify"):
            await opened(node, tls=tls)
        ca.write_bytes((new / "ca.pem").read_bytes())
        await (await opened(node, tls=tls)).end()
        ca.write_bytes(b"nothing")
        await (await opened(node, tls=tls)).end()
        assert await tls.context() is await tls.context()


async def test_where_tls_is_required_a_client_without_it_is_told(
    tmp_path: Path, authority: Authority
) -> None:
    async with Node(tmp_path, *authority.flags, "--tls-required=true") as node:
        with pytest.raises(SubscribeRefused, match="TLS required"):
            async with Consumer("t", "c", address(node)):
                pass


# ---- compression


async def test_compression_is_required_unless_it_is_preferred(tmp_path: Path) -> None:
    async with Node(tmp_path, "--snappy=false", "--deflate=false") as node:
        with pytest.raises(CompressionRefused, match="does not use snappy"):
            await opened(node, compress="snappy")
        with pytest.raises(CompressionRefused, match="does not use deflate"):
            await opened(node, compress="deflate:6")
        connection = await opened(node, compress="prefer:snappy")
        assert connection.layers == ()
        await connection.end()
    async with Node(tmp_path) as node:
        connection = await opened(node, compress="prefer:deflate:9")
        assert connection.layers == ("deflate",)
        assert connection.agreement.deflate_level == 6  # the most that nsqd allows
        await connection.end()


# ---- AUTH


async def test_a_secret_opens_what_it_permits(tmp_path: Path) -> None:
    async with AuthServer() as server, Node(tmp_path, server.flag) as node:
        server.answers["s"] = permissions(("^t$", [".*"], ["publish", "subscribe"]), identity="joe")
        connection = await opened(node, auth="s")
        assert connection.identity is not None
        assert (connection.identity.name, connection.identity.permission_count) == ("joe", 1)
        await connection.end()
        options = ConnectionOptions(auth="s")
        async with Producer(address(node), options=options) as producer:
            await producer.publish("t", b"x")
            with pytest.raises(PublishRejected) as caught:
                await producer.publish("other", b"x")
            assert caught.value.code == "E_UNAUTHORIZED"
            await producer.publish("t", b"x")
        with pytest.raises(SubscribeRefused) as refused:
            async with Consumer("other", "c", address(node), options=options):
                pass
        assert refused.value.code == "E_UNAUTHORIZED"


async def test_a_secret_is_asked_for_anew_by_each_connection(tmp_path: Path) -> None:
    async with AuthServer() as server, Node(tmp_path, server.flag) as node:
        server.answers["1"] = server.answers["2"] = permissions(ALL)
        secrets = iter("12x")

        async def read() -> str:
            return next(secrets)

        for auth in (lambda: next(secrets), read):
            await (await opened(node, auth=auth)).end()
        with pytest.raises(AuthRejected) as caught:
            await opened(node, auth=read)
        assert "E_AUTH_FAILED" in str(caught.value)


async def test_no_secret_or_none_to_be_had_is_told_apart(tmp_path: Path) -> None:
    def broken() -> str:
        raise OSError("hush hush")

    async def slow() -> str:
        await asyncio.Event().wait()
        return ""

    async with AuthServer() as server, Node(tmp_path, server.flag) as node:
        with pytest.raises(AuthRequired, match="no secret is configured"):
            await opened(node)
        with pytest.raises(AuthRequired, match="raised OSError") as caught:
            await opened(node, auth=broken)
        assert "hush" not in str(caught.value)
        with pytest.raises(AuthRequired, match="raised TypeError"):
            await opened(node, auth=lambda: b"bytes")
        with pytest.raises(AuthRequired, match="took too long"):
            await opened(node, auth=slow, handshake_timeout=0.05)
        server.answers["none"] = permissions()
        with pytest.raises(AuthRejected, match="E_UNAUTHORIZED"):
            await opened(node, auth="none")


async def test_permissions_that_expire_are_told_where_they_are_missed(tmp_path: Path) -> None:
    async with AuthServer() as server, Node(tmp_path, server.flag) as node:
        server.answers["s"] = permissions(ALL, ttl=1)
        async with Producer(address(node), options=ConnectionOptions(auth="s")) as producer:
            await producer.publish("t", b"x")
            del server.answers["s"]
            await asyncio.sleep(1.1)
            with pytest.raises(PublishRejected) as caught:
                await producer.publish("t", b"x")
            assert caught.value.code == "E_AUTH_FAILED"
            server.answers["s"] = permissions(ALL)
            await producer.publish("t", b"x")


async def test_a_secret_is_shown_nowhere(
    tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    options = ConnectionOptions(auth="hush-hush", tls=trusting(authority))
    assert "hush" not in repr(options)
    async with AuthServer() as server, Node(tmp_path, server.flag, *authority.flags) as node:
        producer = Producer(address(node), options=options)
        async with producer:
            with pytest.raises(NoNodes, match="AUTH") as caught:
                await producer.publish("t", b"x", timeout=0.3)
        assert "hush" not in repr(producer)
        assert "hush" not in repr(caught.value)
    ours = [record for record in caplog.records if record.name.startswith("nsqclient")]
    assert ours
    assert not any("hush" in record.getMessage() for record in ours)


async def test_where_we_run_is_told(tmp_path: Path) -> None:
    async with Node(tmp_path, "--enable-experiment=topology-aware-consumption") as node:
        options = ConnectionOptions(topology=Topology(region="eu", zone="eu-1a"))
        async with Consumer("t", "c", address(node), options=options):
            [client] = (await node.stats("&topic=t"))["topics"][0]["channels"][0]["clients"]
            assert (client["topology_region"], client["topology_zone"]) == ("eu", "eu-1a")
