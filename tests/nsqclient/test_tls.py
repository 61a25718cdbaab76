from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from nsqclient import ConfigError, Tls
from tests.support.tls import Authority


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Tls(mode="maybe"), "mode of Tls is 'maybe'"),  # type: ignore[arg-type]
        (lambda: Tls(min_version="1.0"), "min_version of Tls is '1.0'"),  # type: ignore[arg-type]
        (lambda: Tls(cert="one.pem"), "pair"),  # type: ignore[arg-type]
        (lambda: Tls(server_name=""), "server_name"),
        (lambda: Tls(server_name="a\0b"), "server_name"),
    ],
)
def test_what_makes_no_sense_is_refused_at_once(make: Callable[[], Tls], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        make()


def test_the_name_to_verify_is_the_host_that_was_dialed() -> None:
    assert Tls().name_for("a.example") == "a.example"
    assert Tls().name_for("fe80::1%eth0") == "fe80::1"
    assert Tls().name_for("") == "localhost"
    assert Tls(server_name="b").name_for("a") == "b"


async def test_tls_1_2_is_the_least_and_certificates_are_verified() -> None:
    context = await Tls().context()
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert (await Tls(min_version="1.3").context()).minimum_version is ssl.TLSVersion.TLSv1_3
    assert (await Tls(verify=False).context()).verify_mode is ssl.CERT_NONE


async def test_files_that_will_not_do_are_told_by_their_names(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    assert authority.flags
    empty = tmp_path / "empty.pem"
    empty.write_bytes(b"")
    cert, key = tmp_path / "server.pem", tmp_path / "server.key"
    for tls, words in (
        (Tls(ca=empty), "TLS file .*empty.pem: no certificate or crl found"),
        (Tls(ca=tmp_path / "missing.pem"), "TLS file .*missing.pem: No such file"),
        (Tls(cert=(cert, tmp_path / "missing.key")), "TLS file .*missing.key: No such file"),
        (Tls(cert=(cert, empty)), "TLS file .*server.pem, .*empty.pem: "),
        (Tls(cert=(key, cert)), "TLS file .*server.key, .*server.pem: "),
    ):
        with pytest.raises(ConfigError, match=words):
            await tls.context()


async def test_what_was_read_is_kept_until_the_files_change(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Authority(tmp_path)
    ca = tmp_path / "ca.pem"
    tls = Tls(ca=ca)
    first = await tls.context()
    assert await tls.context() is first
    ca.write_bytes(ca.read_bytes() + b"\n")
    second = await tls.context()
    assert second is not first
    ca.unlink()
    assert await tls.context() is second
    assert "going on with those read before" in caplog.text
