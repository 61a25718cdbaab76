"""SIGHUP, sent to a nsqd that is a process."""

from __future__ import annotations

import http.client
import signal
import ssl
from pathlib import Path

import pytest

from tests.support.processes import spawn
from tests.support.tls import Authority

LOCAL = [f"--{kind}-address=127.0.0.1:0" for kind in ("tcp", "http", "https")]


@pytest.mark.parametrize("policy", ["", "require", "require-verify"])
def test_sighup_brings_new_certificates_in_use_while_connections_go_on(tmp_path: Path, policy: str) -> None:
    authority = Authority(tmp_path)
    flags = [f"--data-path={tmp_path}", *LOCAL, *authority.flags, authority.ca_flag]
    context = authority.context(certificate=authority.certificate())
    with spawn(
        "nsqd", *flags, f"--tls-client-auth-policy={policy}", listeners=["TCP", "HTTP", "HTTPS"]
    ) as nsqd:
        address = nsqd.listening("HTTPS")
        old = http.client.HTTPSConnection(address, context=context, timeout=5)
        before = ping(old)
        (tmp_path / "server.key").write_text("nonsense")
        nsqd.signal(signal.SIGHUP)
        nsqd.wait_for_log(
            " ERROR: TLS: certificates not reloaded, going on with those read before - tls: failed to "
        )
        again = http.client.HTTPSConnection(address, context=context, timeout=5)
        assert ping(again) == before
        authority.renew()
        nsqd.signal(signal.SIGHUP)
        nsqd.wait_for_log(" INFO: TLS: reloaded certificates")
        new = http.client.HTTPSConnection(address, context=context, timeout=5)
        assert ping(new) != before
        assert ping(old) == before
        for client in (old, again, new):
            client.close()


def ping(client: http.client.HTTPSConnection) -> str:
    """Asks, on the connection if there is one; returns the number of the certificate that the server has there."""
    client.request("GET", "/ping")
    sock = client.sock
    assert isinstance(sock, ssl.SSLSocket)
    assert client.getresponse().read() == b"OK"
    return str((sock.getpeercert() or {})["serialNumber"])
