"""All layers and secrets with daemons as processes: ours, and the original where there is one."""

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
    Producer,
    PublishRejected,
    Tls,
    TlsFailed,
    TlsRefused,
)
from nsqclient.connection.opening import open_connection
from tests.support.auth_server import AuthServer, permissions
from tests.support.needs import original
from tests.support.processes import spawn
from tests.support.tls import Authority

LOCAL = ("--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0")


@pytest.fixture(params=["ours", "original"])
def program(request: pytest.FixtureRequest) -> str | Path:
    return "nsqd" if request.param == "ours" else original("nsqd")


def write_certificate(authority: Authority, folder: Path) -> tuple[Path, Path]:
    leaf = authority.certificate("me")
    cert, key = folder / "me.pem", folder / "me.key"
    cert.write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
    leaf.private_key_pem.write_to_path(key)
    return cert, key


async def there_and_back(address: str, options: ConnectionOptions, bodies: list[bytes]) -> None:
    async with asyncio.timeout(20), Producer(address, options=options) as producer:
        await asyncio.gather(*(producer.publish("t", body, timeout=15) for body in bodies))
        came: list[bytes] = []
        async with Consumer("t", "c", address, options=options, max_in_flight=100) as consumer:
            while len(came) < len(bodies):
                async with await consumer.get(15) as message:
                    came.append(message.body)
        assert sorted(came) == sorted(bodies)


async def test_every_combination_of_layers(program: str | Path, tmp_path: Path, authority: Authority) -> None:
    cert = write_certificate(authority, tmp_path)
    bodies = [b"%d" % n * (n * 97 % 300 + 1) for n in range(300)] + [b"x" * 900_000]
    flags = [*LOCAL, f"--data-path={tmp_path}", *authority.flags, authority.ca_flag]
    with spawn(program, *flags, "--tls-client-auth-policy=require-verify", "--tls-required=true") as nsqd:
        tls = Tls(ca=authority.folder / "ca.pem", cert=cert)
        for compress in (None, "snappy", "deflate:1"):
            await there_and_back(nsqd.tcp, ConnectionOptions(tls=tls, compress=compress), bodies)
        with pytest.raises(TlsFailed):
            await open_connection(nsqd.tcp, ConnectionOptions(tls=Tls(ca=authority.folder / "ca.pem")))
        with pytest.raises(TlsFailed, match="verify"):
            await open_connection(nsqd.tcp, ConnectionOptions(tls=Tls(cert=cert)))
    with spawn(program, *LOCAL, f"--data-path={tmp_path}") as nsqd:
        for compress in ("snappy", "deflate:9"):
            await there_and_back(nsqd.tcp, ConnectionOptions(compress=compress), bodies)


async def test_refusals(program: str | Path, tmp_path: Path) -> None:
    with spawn(program, *LOCAL, f"--data-path={tmp_path}", "--snappy=false", "--deflate=false") as nsqd:
        with pytest.raises(TlsRefused):
            await open_connection(nsqd.tcp, ConnectionOptions(tls=Tls(verify=False)))
        for compress in ("snappy", "deflate"):
            with pytest.raises(CompressionRefused):
                await open_connection(nsqd.tcp, ConnectionOptions(compress=compress))


async def test_secrets(program: str | Path, tmp_path: Path) -> None:
    async with AuthServer() as server:
        server.answers["s"] = permissions(("^t$", [".*"], ["publish", "subscribe"]), identity="joe")
        server.answers["nothing"] = permissions()
        with spawn(program, *LOCAL, f"--data-path={tmp_path}", server.flag) as nsqd:
            await there_and_back(nsqd.tcp, ConnectionOptions(auth="s"), [b"x"])
            with pytest.raises(AuthRequired):
                await open_connection(nsqd.tcp, ConnectionOptions())
            for secret in ("wrong", "nothing"):
                with pytest.raises(AuthRejected):
                    await open_connection(nsqd.tcp, ConnectionOptions(auth=secret))
            async with Producer(nsqd.tcp, options=ConnectionOptions(auth="s")) as producer:
                with pytest.raises(PublishRejected) as caught:
                    await producer.publish("other", b"x")
                assert caught.value.code == "E_UNAUTHORIZED"
