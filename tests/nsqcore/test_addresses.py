from __future__ import annotations

import pytest

from nsqcore.addresses import HostPort, format_peer, is_unix_path, parse_host_port


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:4150", "127.0.0.1", 4150),
        ("host.example:0", "host.example", 0),
        (":4160", "", 4160),
        ("[::1]:65535", "::1", 65535),
    ],
)
def test_an_address_is_read_and_printed_alike(text: str, host: str, port: int) -> None:
    assert parse_host_port(text) == HostPort(host, port)
    assert str(parse_host_port(text)) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("localhost", "missing port in address"),
        ("", "missing port in address"),
        ("::1:80", "too many colons in address"),
        ("h:http", "invalid port"),
        ("h:", "invalid port"),
        ("h:65536", "invalid port"),
        ("h:-1", "invalid port"),
        ("h:²", "invalid port"),
    ],
)
def test_what_is_wrong_with_an_address_is_said(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^address {text}: {reason}"):
        parse_host_port(text)


@pytest.mark.parametrize(
    "text",
    [
        "/run/nsqd.sock",
        "nsqd.sock",
        "localhost",
        "::1:80",
        "a:b:c",
        "",
        "[::1",
        "[::1]",
        "[::1]x:1",
        "h]:1",
        "@x",
    ],
)
def test_what_has_no_port_is_the_path_of_a_unix_socket(text: str) -> None:
    assert is_unix_path(text)


@pytest.mark.parametrize(
    "text", ["127.0.0.1:4150", ":0", "[::1]:1", "h:99999", "h:", "h:http", "./a:b", "[h]:x"]
)
def test_what_has_a_port_is_not(text: str) -> None:
    assert not is_unix_path(text)


@pytest.mark.parametrize(
    ("peer", "text"),
    [
        (("1.2.3.4", 5), "1.2.3.4:5"),
        (("::1", 5, 0, 0), "[::1]:5"),
        (("::ffff:1.2.3.4", 5, 0, 0), "1.2.3.4:5"),
        (("::ffff:0:1", 5, 0, 0), "[::ffff:0:1]:5"),
        ("", "@"),
        (b"", "@"),
        ("/run/x", "/run/x"),
        (b"\x00name", "@name"),
        (None, "@"),
    ],
)
def test_a_peer_is_printed_as_go_prints_it(peer: object, text: str) -> None:
    assert format_peer(peer) == text
