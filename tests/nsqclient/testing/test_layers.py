"""The fake nsqd in TLS, compressed, and with secrets: over memory, with the client's real code at the other end."""

import ssl
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
    TlsRefused,
)
from nsqclient.testing import Account, FakeCluster, NodeOptions
from tests.support.tls import Authority

TLS_OPTIONS = {
    "in the clear": (False, None),
    "snappy": (False, "snappy"),
    "deflate": (False, "deflate:3"),
    "TLS": (True, None),
    "TLS and snappy": (True, "snappy"),
    "TLS and deflate": (True, "deflate:4"),
}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def server_context(authority: Authority) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.server.configure_cert(context)
    return context


def client_tls(authority: Authority) -> Tls:
    return Tls(ca=str(authority.folder / "ca.pem"), server_name="localhost")


@pytest.mark.parametrize(("encrypted", "compress"), TLS_OPTIONS.values(), ids=TLS_OPTIONS.keys())
async def test_messages_of_any_size_go_through_every_layer(
    encrypted: bool, compress: str | None, authority: Authority
) -> None:
    options = ConnectionOptions(tls=client_tls(authority) if encrypted else None, compress=compress)
    settings = NodeOptions(tls=server_context(authority), tls_required=encrypted)
    bodies = [b"x", bytes(range(256)) * 2000, b"y" * 300_000]
    async with FakeCluster(nodes=1, options=settings) as cluster:
        async with Producer(cluster, options=options) as producer:
            for body in bodies:
                await producer.publish("t", body)
        async with Consumer("t", "c", cluster, options=options, max_in_flight=3) as consumer:
            for body in bodies:
                async with await consumer.get(timeout=5) as message:
                    assert message.body == body
            await cluster.wait_until_idle()
            agreed = cluster.node(0).sessions[0].agreement
            assert agreed.tls is encrypted
            assert agreed.snappy is (compress == "snappy")
            assert agreed.deflate_level == int((compress or "").partition("deflate:")[2] or 0)


async def test_tls_that_is_refused_is_an_error_and_no_word_in_the_clear(authority: Authority) -> None:
    options = ConnectionOptions(tls=client_tls(authority), auth="secret")
    accounts = {"secret": Account()}
    settings = NodeOptions(tls=server_context(authority), accounts=accounts)
    async with FakeCluster(nodes=1, options=settings) as cluster:
        cluster.node(0).refuse_tls()
        async with Producer(cluster, options=options) as producer:
            with pytest.raises(NoNodes) as caught:
                await producer.publish("t", b"x", timeout=0.05)
            assert isinstance(caught.value.__cause__, TlsRefused)
            assert set(cluster.commands(0)) == {"IDENTIFY"}
            cluster.node(0).heal()
            await producer.publish("t", b"y")


async def test_a_certificate_of_nobody_we_trust_is_refused(authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other")
    options = ConnectionOptions(tls=client_tls(authority))
    cluster = FakeCluster(nodes=1, tls=server_context(other))
    async with cluster, Producer(cluster, options=options) as producer:
        with pytest.raises(NoNodes, match="certificate"):
            await producer.publish("t", b"x", timeout=0.1)


async def test_compression_that_is_refused_is_an_error_unless_it_is_only_preferred() -> None:
    async with FakeCluster(nodes=1, snappy=False) as cluster:
        async with Producer(cluster, options=ConnectionOptions(compress="snappy")) as producer:
            with pytest.raises(NoNodes) as caught:
                await producer.publish("t", b"x", timeout=0.05)
            assert isinstance(caught.value.__cause__, CompressionRefused)
        async with Producer(cluster, options=ConnectionOptions(compress="prefer:snappy")) as producer:
            await producer.publish("t", b"x")


async def test_secrets_are_asked_for_and_looked_up() -> None:
    accounts = {"a": Account(publish=["orders.*"], subscribe=[]), "b": Account(publish=[])}
    async with FakeCluster(nodes=1, accounts=accounts) as cluster:
        with pytest.raises(AuthRequired):
            async with Consumer("t", "c", cluster):
                pass
        with pytest.raises(AuthRejected):
            async with Consumer("t", "c", cluster, options=ConnectionOptions(auth="wrong")):
                pass
        with pytest.raises(SubscribeRefused, match='E_UNAUTHORIZED AUTH failed for SUB on "t" "c"'):
            async with Consumer("t", "c", cluster, options=ConnectionOptions(auth="a")):
                pass
        async with Consumer("t", "c", cluster, options=ConnectionOptions(auth="b")):
            pass
        async with Producer(cluster, options=ConnectionOptions(auth="a")) as producer:
            await producer.publish("orders.new", b"x")
            with pytest.raises(PublishRejected, match='E_UNAUTHORIZED AUTH failed for PUB on "t" ""'):
                await producer.publish("t", b"x")
        assert cluster.commands(0).matching("AUTH")
        assert not cluster.commands(0).matching("*wrong*")


async def test_a_secret_that_ended_in_mid_connection_is_refused_at_the_next_publish() -> None:
    accounts = {"a": Account()}
    cluster = FakeCluster(nodes=1, accounts=accounts)
    async with cluster, Producer(cluster, options=ConnectionOptions(auth="a")) as producer:
        await producer.publish("t", b"x")
        del accounts["a"]
        with pytest.raises(PublishRejected, match="E_AUTH_FAILED AUTH failed"):
            await producer.publish("t", b"y")
