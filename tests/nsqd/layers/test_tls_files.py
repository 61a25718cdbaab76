"""What may be wrong with the files and flags of TLS at the start, in the original's words and order."""

from __future__ import annotations

import subprocess
import sys

import pytest
import trustme

from nsqcore.errors import StartError
from nsqd import checks
from tests.support.nsqd import make_options
from tests.support.tls import Authority

BUILD = "failed to build TLS config - "
SWITCHED = (
    "tls: failed to find certificate PEM data in certificate input, but did find a private key; "
    "PEM inputs may have been switched"
)
REQUIRE = "cannot require TLS client connections without TLS key and cert"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    authority = Authority(tmp_path_factory.mktemp("authority"))
    folder = authority.folder
    (folder / "text").write_text("vm\n")
    (folder / "empty").write_text("")
    (folder / "broken.key").write_text("-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n")
    (folder / "locked.key").write_text(
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n"
    )
    trustme.CA().issue_cert("other").private_key_pem.write_to_path(folder / "other.key")
    (folder / "mixed.pem").write_text(
        "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n" + (folder / "ca.pem").read_text()
    )
    return authority


def refusal(authority: Authority, *flags: str) -> str:
    """Why a start is refused; ``@`` in a flag stands for the authority's folder. Empty when it is not."""
    folder = authority.folder
    try:
        checks.check(make_options(folder, *(flag.replace("@", str(folder)) for flag in flags)))
    except StartError as e:
        return str(e).replace(str(folder), "@")
    return ""


@pytest.mark.parametrize(
    ("cert", "key", "text"),
    [
        ("@/nope", "@/server.key", "open @/nope: no such file or directory"),
        ("@/server.pem", "@/nope", "open @/nope: no such file or directory"),
        ("@/server.pem", "", "open : no such file or directory"),
        ("", "@/server.key", "open : no such file or directory"),
        ("@", "@/server.key", "read @: is a directory"),
        ("@/text", "@/text", "tls: failed to find any PEM data in certificate input"),
        ("@/empty", "@/server.key", "tls: failed to find any PEM data in certificate input"),
        ("@/server.pem", "@/text", "tls: failed to find any PEM data in key input"),
        (
            "@/server.key",
            "@/server.pem",
            SWITCHED,
        ),
        (
            "@/server.pem",
            "@/server.pem",
            "tls: found a certificate rather than a key in the PEM for the private key",
        ),
        ("@/server.pem", "@/other.key", "tls: private key does not match public key"),
        (
            "@/server.pem",
            "@/locked.key",
            "tls: failed to parse private key: it is encrypted, and there is nobody to ask",
        ),
    ],
)
def test_a_bad_pair_of_files_is_told(authority: Authority, cert: str, key: str, text: str) -> None:
    assert refusal(authority, f"--tls-cert={cert}", f"--tls-key={key}") == BUILD + text


def test_a_key_that_can_t_be_read_is_told(authority: Authority) -> None:
    got = refusal(authority, "--tls-cert=@/server.pem", "--tls-key=@/broken.key")
    assert got.startswith(BUILD + "tls: failed to load certificate and key: ")


PAIR = ("--tls-cert=@/server.pem", "--tls-key=@/server.key")


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--tls-required=true"], REQUIRE),
        (["--tls-required=tcp-https"], REQUIRE),
        (["--tls-client-auth-policy=require"], REQUIRE),
        (["--tls-client-auth-policy=bogus"], REQUIRE),
        (
            ["--tls-root-ca-file=@/nope"],
            "failed to build client TLS config - open @/nope: no such file or directory",
        ),
        (
            ["--tls-root-ca-file=@/text"],
            "failed to build client TLS config - failed to append certificate to pool",
        ),
        ([*PAIR, "--tls-root-ca-file=@/text"], BUILD + "failed to append certificate to pool"),
        ([*PAIR, "--tls-root-ca-file=@/nope"], BUILD + "open @/nope: no such file or directory"),
        # The order: what comes first in the original is told first.
        (["--node-id=1024", "--tls-required=true"], "--node-id must be [0,1024)"),
        (["--tls-required=true", "--tls-root-ca-file=@/nope"], REQUIRE),
        (["--tls-cert=@/nope", "--tls-required=true"], BUILD + "open @/nope: no such file or directory"),
        (["--tls-required=true", "--auth-http-request-method=x"], REQUIRE),
    ],
)
def test_flags_that_do_not_go_together_are_told(authority: Authority, flags: list[str], text: str) -> None:
    assert refusal(authority, *flags) == text


@pytest.mark.parametrize(
    "flags",
    [
        [],
        [*PAIR],
        [*PAIR, "--tls-root-ca-file=@/mixed.pem", "--tls-client-auth-policy=require-verify"],
        [*PAIR, "--tls-client-auth-policy=require-verify"],
        ["--tls-root-ca-file=@/ca.pem"],
        [*PAIR, "--tls-client-auth-policy=bogus"],
    ],
)
def test_what_is_whole_is_accepted(authority: Authority, flags: list[str]) -> None:
    assert refusal(authority, *flags) == ""


def test_what_needs_much_time_to_import_waits_for_the_policy_that_needs_it() -> None:
    code = "import sys, nsqd.layers.tls; print('OpenSSL' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
