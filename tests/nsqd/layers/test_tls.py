"""TLS of a running nsqd: certificates and policies, versions, what is required, reading it all again."""

from __future__ import annotations

import asyncio
import logging
import ssl
import warnings
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import trustme

from nsqcore.wire.commands import encode_identify, encode_pub
from nsqd.protocol import upgrade
from tests.support.nsqd import Node, eventually
from tests.support.tls import V12, V13, Authority, TlsClient, upgraded

pytestmark = pytest.mark.usefixtures("quick_disk")

POLICIES = ["", "require", "require-verify", "bogus"]
GOES = "goes"


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Another authority, which our nsqd does not know."""
    return Authority(tmp_path_factory.mktemp("stranger"))


@pytest_asyncio.fixture
async def node(tmp_path: Path, authority: Authority) -> AsyncIterator[Node]:
    """With a certificate, and no more."""
    async with Node(tmp_path, *authority.flags) as running:
        yield running


async def attempt(node: Node, tls: TlsClient) -> str:
    """``goes``, or the alert that the client got."""
    try:
        client = await upgraded(node, tls)
    except ssl.SSLError as e:
        return e.reason
    except EOFError:
        return tls.alert
    await client.pub("t", b"x")
    return GOES


async def told(node: Node) -> dict[str, Any]:
    """What /stats says of the only producer."""
    (producer,) = (await node.stats())["producers"]
    assert isinstance(producer, dict)
    return producer


# -- policies --------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [V12, V13])
@pytest.mark.parametrize("certificate", ["none", "known", "unknown"])
@pytest.mark.parametrize("policy", POLICIES)
async def test_a_policy_decides_who_gets_in(
    tmp_path: Path,
    authority: Authority,
    stranger: Authority,
    policy: str,
    certificate: str,
    version: ssl.TLSVersion,
) -> None:
    own = {"known": authority, "unknown": stranger}.get(certificate)
    flags = [
        *authority.flags,
        authority.ca_flag,
        f"--tls-client-auth-policy={policy}",
        "--tls-required=tcp-https",
    ]
    async with Node(tmp_path, *flags) as node:
        tls = authority.client(own.certificate("joe") if own else None, version)
        got = await attempt(node, tls)
        if policy == "require-verify" and certificate == "unknown":
            assert got == "TLSV1_ALERT_UNKNOWN_CA"
        elif policy.startswith("require") and certificate == "none":
            # OpenSSL's number where Go sends "bad certificate" for both.
            assert got == (
                "SSLV3_ALERT_HANDSHAKE_FAILURE" if version is V12 else "TLSV13_ALERT_CERTIFICATE_REQUIRED"
            )
        else:
            assert got == GOES
            (client,) = node.nsqd._clients()
            assert client.tls is not None
            asked = policy.startswith("require") and certificate != "none"
            assert client.tls.common_name == ("joe" if asked else "")


@pytest.mark.parametrize("policy", ["require", "require-verify"])
async def test_a_client_may_resume_its_session(tmp_path: Path, authority: Authority, policy: str) -> None:
    flags = [*authority.flags, authority.ca_flag, f"--tls-client-auth-policy={policy}"]
    async with Node(tmp_path, *flags) as node:
        context = authority.context(certificate=authority.certificate("joe"), highest=V12)
        first = TlsClient(context)
        await upgraded(node, first)
        second = TlsClient(context, session=first.ssl.session)
        await upgraded(node, second)
        assert second.ssl.session_reused
        assert [client.tls.common_name for client in node.nsqd._clients() if client.tls] == ["joe"] * 2


async def test_an_unknown_policy_is_warned_of(
    tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    async with Node(tmp_path, *authority.flags, "--tls-client-auth-policy=bogus"):
        assert "unknown --tls-client-auth-policy bogus" in caplog.text


@pytest.mark.parametrize(
    ("policy", "required"), [("", 0), ("require", 2), ("require-verify", 2), ("bogus", 2)]
)
async def test_a_policy_requires_tls(
    tmp_path: Path, authority: Authority, policy: str, required: int
) -> None:
    flags = [*authority.flags, authority.ca_flag, f"--tls-client-auth-policy={policy}"]
    async with Node(tmp_path, *flags) as node:
        assert node.nsqd.options.tls_required == required


# -- versions and suites ---------------------------------------------------------------------------


@pytest.mark.parametrize("version", [ssl.TLSVersion(number) for number in range(769, 773)])
@pytest.mark.parametrize("lowest", [769, 770, 771, 772])
@pytest.mark.parametrize("policy", ["", "require"])
async def test_versions_below_the_lowest_are_refused(
    tmp_path: Path, authority: Authority, policy: str, lowest: int, version: ssl.TLSVersion
) -> None:
    flags = [*authority.flags, f"--tls-min-version=tls1.{lowest - 769}", f"--tls-client-auth-policy={policy}"]
    async with Node(tmp_path, *flags, "--tls-required=tcp-https") as node:
        tls = TlsClient(old_client(authority, version))
        if version < lowest:
            assert await attempt(node, tls) in ("TLSV1_ALERT_PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL")
        else:
            assert await attempt(node, tls) == GOES
            assert (await told(node))["tls_version"] == f"TLS1.{version - 769}"


def old_client(authority: Authority, version: ssl.TLSVersion) -> ssl.SSLContext:
    context = authority.context(certificate=authority.certificate())
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    return context


@pytest.mark.parametrize(
    ("suite", "shown"),
    [
        ("ECDHE-ECDSA-AES128-GCM-SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
        ("ECDHE-ECDSA-CHACHA20-POLY1305", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"),
        ("ECDHE-ECDSA-AES256-SHA", "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA"),
    ],
)
async def test_stats_name_the_version_and_the_suite(
    node: Node, authority: Authority, suite: str, shown: str
) -> None:
    context = authority.context(highest=V12)
    context.set_ciphers(suite)
    assert await attempt(node, TlsClient(context)) == GOES
    stats = await told(node)
    assert list(stats.items())[-5:] == [
        ("tls", True),
        ("tls_cipher_suite", shown),
        ("tls_version", "TLS1.2"),
        ("tls_negotiated_protocol", ""),
        ("tls_negotiated_protocol_is_mutual", True),
    ]


async def test_stats_name_suites_of_tls_1_3_too(node: Node, authority: Authority) -> None:
    assert await attempt(node, authority.client(version=V13)) == GOES
    stats = await told(node)
    assert stats["tls_version"] == "TLS1.3"
    assert stats["tls_cipher_suite"].startswith("TLS_AES_")


async def test_suites_that_go_does_not_speak_are_refused(node: Node, authority: Authority) -> None:
    context = authority.context(highest=V12)
    context.set_ciphers("ECDHE-ECDSA-AES128-SHA256")
    assert await attempt(node, TlsClient(context)) == "SSLV3_ALERT_HANDSHAKE_FAILURE"


# -- what is required ------------------------------------------------------------------------------


@pytest.mark.parametrize("required", ["true", "tcp-https"])
@pytest.mark.parametrize(
    "command", ["PUB t", "SUB t c", "AUTH", "NOP", "FOO", "", "CLS", "FIN 0123456789abcdef"]
)
async def test_where_tls_is_required_nothing_but_identify_is_obeyed_before(
    tmp_path: Path, authority: Authority, required: str, command: str
) -> None:
    async with Node(tmp_path, *authority.flags, f"--tls-required={required}") as node:
        client = await node.connect()
        assert (await client.identify())["tls_v1"] is False
        client.send(command.encode() + b"\n")
        word = command.partition(" ")[0]
        await client.refused(f"E_INVALID cannot {word} in current state (TLS required)")
        assert not node.broker.topics


async def test_commands_in_one_read_with_a_plain_identify_are_refused(
    tmp_path: Path, authority: Authority
) -> None:
    async with Node(tmp_path, *authority.flags, "--tls-required=tcp-https") as node:
        client = await node.connect()
        client.send(encode_identify({}) + encode_pub("t", b"x"))
        await client.expect_ok()
        await client.refused("E_INVALID cannot PUB in current state (TLS required)")
        assert not node.broker.topics


async def test_behind_the_handshake_everything_is_obeyed(tmp_path: Path, authority: Authority) -> None:
    async with Node(tmp_path, *authority.flags, "--tls-required=tcp-https") as node:
        client = await upgraded(node, authority.client())
        await client.pub("t", b"x")
        await client.sub("t", "c")
        client.rdy(1)
        client.fin((await client.message()).id)
        client.send(b"FOO\n")
        await client.refused("E_INVALID invalid command FOO")


async def test_without_requirement_plain_clients_and_tls_clients_are_served(
    node: Node, authority: Authority
) -> None:
    plain = await node.connect()
    await plain.pub("t", b"1")
    tls = await upgraded(node, authority.client())
    await tls.pub("t", b"2")
    assert sorted(p["tls"] for p in (await node.stats())["producers"]) == [False, True]


# -- the stream ------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["", "require"])
@pytest.mark.parametrize("version", [V12, V13])
async def test_messages_of_any_size_go_both_ways(
    tmp_path: Path, authority: Authority, policy: str, version: ssl.TLSVersion
) -> None:
    bodies = [bytes([n % 251]) * size for n, size in enumerate((1, 16383, 16384, 16385, 70_000, 1 << 20))]
    flags = [f"--tls-client-auth-policy={policy}", "--tls-required=tcp-https"]
    async with Node(tmp_path, *authority.flags, *flags) as node:
        client = await upgraded(node, authority.client(authority.certificate(), version))
        await client.mpub("t", *bodies)
        await client.sub("t", "c")
        client.rdy(100)
        assert [(await client.message()).body for _ in bodies] == bodies


async def test_a_stream_may_come_byte_by_byte(node: Node, authority: Authority) -> None:
    client = await node.connect()
    await client.identify(tls_v1=True)
    send = client.send

    def drip(data: bytes) -> None:
        for n in range(len(data)):
            send(data[n : n + 1])

    client.send = drip  # type: ignore[method-assign]
    tls = authority.client()
    await tls.shake(client)
    await client.expect_ok()
    for byte in tls.encode(encode_pub("t", b"x" * 100)):
        client.transport.write(bytes([byte]))
        await asyncio.sleep(0)
    await client.expect_ok()


async def test_close_notify_ends_the_client_in_order(node: Node, authority: Authority) -> None:
    tls = authority.client()
    client = await upgraded(node, tls)
    client.send(encode_pub("t", b"x"))
    client.transport.write(tls.end())
    await client.expect_ok()
    await client.until(lambda: client.ended)
    assert tls.ended, "the server says close_notify too"
    assert node.topic("t").depth == 1


async def test_a_stop_says_close_notify(node: Node, authority: Authority) -> None:
    tls = authority.client()
    client = await upgraded(node, tls)
    await node.stop()
    await client.until(lambda: client.ended)
    assert tls.ended


async def test_garbage_in_the_stream_ends_it_with_an_alert(
    node: Node, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    tls = authority.client()
    client = await upgraded(node, tls)
    caplog.clear()
    client.transport.write(b"\x17\x03\x03\x00\x20" + b"?" * 32)
    await client.until(lambda: client.ended)
    assert tls.alert == "SSLV3_ALERT_BAD_RECORD_MAC"
    errors = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert len(errors) == 1, caplog.text


@pytest.mark.parametrize("policy", ["", "require"])
async def test_garbage_while_the_disk_owes_answers_ends_the_client_and_costs_no_message(
    tmp_path: Path, authority: Authority, policy: str
) -> None:
    flags = [f"--tls-client-auth-policy={policy}"] if policy else []
    async with Node(tmp_path, *authority.flags, *flags, "--mem-queue-size=0") as node:
        tls = authority.client(authority.certificate("c"))
        client = await upgraded(node, tls)
        client.transport.write(tls.encode(encode_pub("t", b"x") * 50) + b"\x17\x03\x03\x00\x20" + b"?" * 32)
        await client.until(lambda: client.ended)
        assert tls.alert == "SSLV3_ALERT_BAD_RECORD_MAC"
        client.close()
        await eventually(lambda: not node.nsqd._connections._open)
        assert node.topic("t").depth == 50


# -- handshakes that fail --------------------------------------------------------------------------


async def test_plain_bytes_instead_of_a_handshake_are_told_in_plain_words(node: Node) -> None:
    client = await node.connect()
    await client.identify(tls_v1=True)
    client.send(b"NOP\nNOP\n")
    await client.refused(
        "E_IDENTIFY_FAILED IDENTIFY failed tls: first record does not look like a TLS handshake"
    )


async def test_a_handshake_that_breaks_is_answered_with_an_alert_and_one_log_line(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    client = await node.connect()
    await client.identify(tls_v1=True)
    client.send(b"\x16\x03\x01\x00\x04\x01\x00\x00\x00")
    alert = await client.read(7)
    assert alert[:1] == b"\x15"
    kind, data = await client.frame()
    assert (kind, data[:38]) == (1, b"E_IDENTIFY_FAILED IDENTIFY failed tls:"), data
    await client.closed()
    assert len([r for r in caplog.records if r.levelno >= logging.WARNING]) == 1, caplog.text


async def test_a_silent_client_is_cut_off_in_time_with_one_log_line(
    node: Node, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upgrade, "HANDSHAKE_S", 0.05)
    client = await node.connect()
    await client.identify(tls_v1=True)
    host, port = node.tcp
    await client.refused(
        f"E_IDENTIFY_FAILED IDENTIFY failed read tcp {host}:{port}->{client.name}: i/o timeout"
    )
    assert len([r for r in caplog.records if r.levelno >= logging.WARNING]) == 1, caplog.text


async def test_a_half_open_handshake_does_not_delay_the_exit(node: Node, authority: Authority) -> None:
    clients = [await node.connect() for _ in range(5)]
    for client in clients:
        await client.identify(tls_v1=True)
        client.send(b"\x16\x03\x01")
    async with asyncio.timeout(1.0):
        await node.stop()


# -- reading it all again --------------------------------------------------------------------------


async def serial(node: Node, authority: Authority) -> int:
    tls = authority.client()
    await upgraded(node, tls)
    cert = tls.ssl.getpeercert() or {}
    return int(str(cert["serialNumber"]), 16)


async def test_a_reload_serves_the_new_certificate_and_keeps_connections(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    authority = Authority(tmp_path)
    async with Node(tmp_path, *authority.flags) as node:
        before = await serial(node, authority)
        old = await upgraded(node, authority.client())
        authority.renew()
        assert await serial(node, authority) == before, "nobody asked for it yet"
        node.nsqd.reload()
        await eventually(lambda: "TLS: reloaded certificates" in caplog.text)
        assert await serial(node, authority) != before
        await old.pub("t", b"x")


@pytest.mark.parametrize("wrong", ["missing", "garbage", "key of another", "empty"])
async def test_a_reload_of_bad_files_keeps_what_was_read_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, wrong: str
) -> None:
    authority = Authority(tmp_path)
    async with Node(tmp_path, *authority.flags) as node:
        before = await serial(node, authority)
        key = tmp_path / "server.key"
        if wrong == "missing":
            key.unlink()
        elif wrong == "key of another":
            trustme.CA().issue_cert("other").private_key_pem.write_to_path(key)
        else:
            key.write_text(
                "" if wrong == "empty" else "-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----"
            )
        node.nsqd.reload()
        await eventually(lambda: "TLS: certificates not reloaded" in caplog.text)
        assert [r.levelname for r in caplog.records if "reloaded" in r.getMessage()] == ["ERROR"]
        assert await serial(node, authority) == before


async def test_a_reload_trusts_the_new_authorities(
    tmp_path: Path, authority: Authority, stranger: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes((authority.folder / "ca.pem").read_bytes())
    flags = [*authority.flags, f"--tls-root-ca-file={bundle}", "--tls-client-auth-policy=require-verify"]
    async with Node(tmp_path, *flags) as node:
        assert await attempt(node, authority.client(stranger.certificate())) != GOES
        bundle.write_bytes((stranger.folder / "ca.pem").read_bytes())
        node.nsqd.reload()
        await eventually(lambda: "TLS: reloaded certificates" in caplog.text)
        assert await attempt(node, authority.client(stranger.certificate())) == GOES
        assert await attempt(node, authority.client(authority.certificate())) != GOES


async def test_reloads_in_quick_succession_end_with_the_last_files(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    authority = Authority(tmp_path)
    async with Node(tmp_path, *authority.flags) as node:
        before = await serial(node, authority)
        node.nsqd.reload()
        await asyncio.sleep(0)  # it reads now
        authority.renew()
        node.nsqd.reload()
        await eventually(lambda: caplog.text.count("reloaded") == 2)
        assert await serial(node, authority) != before


async def test_a_reload_without_tls_does_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with Node(tmp_path) as node:
        node.nsqd.reload()
        assert "TLS" not in caplog.text
