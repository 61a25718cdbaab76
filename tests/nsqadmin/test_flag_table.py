"""Every flag of nsqadmin with good, borderline and bad values: the first line and the status are the original's."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from nsqadmin.checks import check
from nsqadmin.options import COMMAND_LINE as LINE
from nsqadmin.options import Options
from tests.support.flag_table import SECOND_LINE, Row, of_original, outcome, rows_of_kind
from tests.support.tls import Authority

FATAL = "[nsqadmin] FATAL: failed to instantiate nsqadmin - "
HERE = "--lookupd-http-address=127.0.0.1:1"
LEVELS = "(debug, info, warn, error, fatal)"
CERT, KEY, ROOTS = "--http-client-tls-cert=", "--http-client-tls-key=", "--http-client-tls-root-ca-file="

ORIGINALS = frozenset(
    [
        "acl-http-header",
        "admin-user",
        "allow-config-from-cidr",
        "base-path",
        "bogus",
        "config",
        "dev-static-dir",
        "graphite-url",
        "help",
        "http-address",
        "http-client-connect-timeout",
        "http-client-request-timeout",
        "http-client-tls-cert",
        "http-client-tls-insecure-skip-verify",
        "http-client-tls-key",
        "http-client-tls-root-ca-file",
        "log-level",
        "log-prefix",
        "lookupd-http-address",
        "notification-http-endpoint",
        "nsqd-http-address",
        "proxy-graphite",
        "statsd-counter-format",
        "statsd-gauge-format",
        "statsd-interval",
        "statsd-prefix",
        "verbose",
        "version",
    ]
)
"""Flags that the original has, and one that nobody has."""


def fails(*argv: str, why: str, ours: bool = False) -> Row:
    """A start whose flags are well-formed but can't be meant."""
    return Row(argv, 1, FATAL + why, ours)


def bad_pair(cert: str, key: str, why: str) -> Row:
    return fails(HERE, CERT + cert, KEY + key, why=f"failed to LoadX509KeyPair {cert}, {key} - {why}")


def unresolved(address: str, why: str, *, ours: bool = False) -> Row:
    return fails(
        f"--nsqd-http-address={address}",
        why=f"failed to resolve --nsqd-http-address ({address}) - {why}",
        ours=ours,
    )


def start(*argv: str) -> Row:
    """A start that goes well."""
    return Row((HERE, *argv))


SPECIAL = [
    *(start(f"--log-level={text}") for text in ("debug", "INFO", "Warn", "error", "fatal")),
    *(
        Row((f"--log-level={t}",), 2, f"invalid value \"{t}\" for flag -log-level: invalid log level '{t}' {LEVELS}")
        for t in ("", "zzz", "warning")
    ),
    start("--log-format=json"),
    Row(("--log-format=x",), 2, "invalid value \"x\" for flag -log-format: invalid log format 'x' (text, json)", True),
    start("--log-prefix="),
    start("--http-address=127.0.0.1:0"),
    *(start(f"--base-path={text}") for text in ("", "/", "nsq", "//nsq//")),
    start("--acl-http-header="),
    start("--admin-user=a", "--admin-user=b"),
    start("--http-client-connect-timeout=1s", "--http-client-request-timeout=10s"),
    start("--notification-http-endpoint=https://u:p@[::1]:8000/hook?key=1"),
    *(
        fails(HERE, f"--notification-http-endpoint={url}", why=f"failed to parse --notification-http-endpoint ({url}) - {why}", ours=True)
        for url, why in (
            ("%zz", 'parse "%zz": invalid URL escape "%zz"'),
            ("foo", "want a URL such as https://host:port/path"),
            ("ftp://h/", "want a URL such as https://host:port/path"),
        )
    ),
    *(start(f"--allow-config-from-cidr={cidr}") for cidr in ("", "10.0.0.0/08", "::1/128", "::ffff:1.2.3.4/96")),
    *(
        fails(HERE, f"--allow-config-from-cidr={cidr}", why=f"failed to parse --allow-config-from-cidr ({cidr}) - invalid CIDR address: {cidr}")
        for cidr in ("x", "127.0.0.1", "127.0.0.1/33", "127.1/8", " 127.0.0.1/8", "010.0.0.0/8", "127.0.0.1/8,10.0.0.0/8")
    ),
    start("--sample-interval=100ms", "--history=1h"),
    fails(HERE, "--sample-interval=99ms", why="--sample-interval must be 100ms or more", ours=True),
    start("--auth-file="),
    start("--dev-static-dir=."),
    fails(HERE, "--dev-static-dir=/nope", why="--dev-static-dir (/nope) is no folder", ours=True),
    start("--graphite-url=http://u:p@g:8080/base/", "--proxy-graphite"),
    start("--graphite-url=", "--proxy-graphite"),
    *(
        fails(HERE, "--proxy-graphite", f"--graphite-url={url}", why=f"failed to parse --graphite-url ({url}) - {why}")
        for url, why in (
            ("%zz", 'parse "%zz": invalid URL escape "%zz"'),
            (":x", 'parse ":x": missing protocol scheme'),
            ("http://[::1", 'parse "http://[::1": missing \']\' in host'),
            ("http://a b/", 'parse "http://a b/": invalid character " " in host name'),
            ("http://h:x/", 'parse "http://h:x/": invalid port ":x" after host'),
        )
    ),
    *(
        fails(HERE, f"--graphite-url={url}", why=f"failed to parse --graphite-url ({url}) - want a URL such as https://host:port/path", ours=True)
        for url in ("foo", "//g", "ftp://g", "http://g;script-src")
    ),
    fails("--lookupd-http-address=x", "--graphite-url=foo", why="failed to resolve --lookupd-http-address (x) - address x: missing port in address"),
    fails(HERE, "--proxy-graphite", "--graphite-url=:x", "--allow-config-from-cidr=x", why='failed to parse --graphite-url (:x) - parse ":x": missing protocol scheme'),
    start("--statsd-counter-format=a.%s", "--statsd-gauge-format=%s", "--statsd-prefix=", "--statsd-interval=0"),
    fails(HERE, "--graphite-url=http://g", "--statsd-interval=999ms", why="--statsd-interval must be 1s or more", ours=True),
    start("--verbose"),
    Row(("--verbose=x",), 2, 'invalid boolean value "x" for -verbose: parse error'),
    Row(("--bogus",), 2, "flag provided but not defined: -bogus"),
    Row(("--config",), 2, "flag needs an argument: -config"),
    Row(("--config=/nope",), 1, "[nsqadmin] FATAL: failed to load config file /nope - open /nope: no such file or directory"),
    start("extra", "--version"),
    Row(("--help",), 0, "Usage of nsqadmin:"),
    fails(why="--nsqd-http-address or --lookupd-http-address required"),
    fails(HERE, "--nsqd-http-address=127.0.0.1:1", why="use --nsqd-http-address or --lookupd-http-address not both"),
    unresolved("nowhere", "address nowhere: missing port in address"),
    unresolved("http://x:1", "address http://x:1: too many colons in address"),
    unresolved("127.0.0.1:xyz", "address tcp/xyz: unknown port"),
    unresolved("127.0.0.1:99999", "address 99999: invalid port"),
    unresolved("no.invalid:1", "lookup no.invalid: no such host", ours=True),  # the original names its resolver
    start("--lookupd-http-address=[::1]:4161", "--lookupd-http-address=localhost:http"),
    fails(HERE, CERT + "x", why="--http-client-tls-key must be specified with --http-client-tls-cert"),
    fails(HERE, KEY + "x", why="--http-client-tls-cert must be specified with --http-client-tls-key"),
    bad_pair("nope", "nope", "open nope: no such file or directory"),
    bad_pair("garbage", "server.key", "tls: failed to find any PEM data in certificate input"),
    bad_pair("server.pem", "garbage", "tls: failed to find any PEM data in key input"),
    bad_pair("server.pem", "nope", "open nope: no such file or directory"),
    bad_pair("ca.pem", "server.key", "tls: private key does not match public key"),
    bad_pair(
        "server.key", "server.pem",
        "tls: failed to find certificate PEM data in certificate input, but did find a private key; "
        "PEM inputs may have been switched",
    ),
    fails(HERE, ROOTS + "nope", why="failed to read TLS root CA file nope - open nope: no such file or directory"),
    fails(HERE, ROOTS + ".", why="failed to read TLS root CA file . - read .: is a directory"),
    fails(HERE, ROOTS + "garbage", why="failed to AppendCertsFromPEM garbage"),
    fails(HERE, ROOTS + "nope", CERT + "nope", KEY + "nope", why="failed to LoadX509KeyPair nope, nope - open nope: no such file or directory"),
    fails("--lookupd-http-address=x", ROOTS + "nope", why="failed to read TLS root CA file nope - open nope: no such file or directory"),
    start(CERT + "server.pem", KEY + "server.key", ROOTS + "ca.pem"),
    start("--http-client-tls-insecure-skip-verify"),
]  # fmt: skip
KINDS = [row for flag in LINE.flags.values() for row in rows_of_kind(flag)]
TABLE = [Row((HERE, *row.argv), *row[1:]) if row.status is None else row for row in KINDS] + SPECIAL


def _names(row: Row) -> set[str]:
    """The flags of a row."""
    return {word.lstrip("-").partition("=")[0] for word in row.argv if word.startswith("-")}


def _named(row: Row) -> str:
    return " ".join(row.argv)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Has the files that rows name."""
    Authority(tmp_path)
    (tmp_path / "garbage").write_text("garbage\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _check(options: Options) -> None:
    asyncio.run(check(options))


@pytest.mark.parametrize("row", TABLE, ids=_named)
def test_a_command_line_is_answered_as_the_original_does(
    row: Row, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, lines = outcome(LINE, _check, row.argv, capsys)
    assert (status, lines[0] if lines else "") == (row.status, row.line)
    if status == 2:
        assert lines[1] == SECOND_LINE.format("nsqadmin")


def test_every_flag_has_its_rows() -> None:
    named = {name for row in TABLE for name in _names(row)}
    assert set(LINE.flags) - named == set()


@pytest.mark.parametrize(
    "row", [r for r in TABLE if r.status is not None and not r.ours and _names(r) <= ORIGINALS], ids=_named
)
def test_the_original_answers_the_same(row: Row, folder: Path) -> None:
    status, lines = of_original("nsqadmin", row.argv, folder)
    assert (status, lines[0]) == (row.status, row.line)
