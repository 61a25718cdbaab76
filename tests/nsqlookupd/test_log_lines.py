"""What nsqlookupd logs of its clients: the original's lines at the original's levels."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from struct import pack

import pytest

from nsqcore.addresses import parse_host_port
from tests.support.processes import DaemonProcess, spawn

STAMP = r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{6}"
FLAGS = ("--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0")
NEW = ["INFO: TCP: new client(ADDR)", "INFO: CLIENT(ADDR): desired protocol magic '  V1'"]
EXIT = "INFO: PROTOCOL(V1): [ADDR] exiting ioloop"
PEER = json.dumps({"broadcast_address": "b", "tcp_port": 1, "http_port": 2, "version": "v"}).encode()


@pytest.fixture(scope="module")
def daemon() -> Iterator[DaemonProcess]:
    with spawn("nsqlookupd", *FLAGS) as running:
        yield running


def talk(daemon: DaemonProcess, data: bytes, last: str) -> list[str]:
    """Sends ``data``, ends the sending side, waits for the line ``last``; returns what was logged meanwhile."""
    before, ends = len(daemon.log), daemon.log.count(last)
    with socket.create_connection(parse_host_port(daemon.tcp), 10) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        while client.recv(65536):
            pass
    daemon.wait_for_log(last, times=ends + 1)
    log = re.sub(rf"\[nsqlookupd\] {STAMP} ", "", daemon.log[before:])
    return re.sub(r"127\.0\.0\.1:\d+", "ADDR", log).splitlines()


@pytest.mark.parametrize(
    ("data", "last", "lines"),
    [
        (b"", "failed to read protocol version", ["INFO: TCP: new client(ADDR)", "INFO: failed to read protocol version - EOF"]),
        (
            b"  ",
            "failed to read protocol version",
            ["INFO: TCP: new client(ADDR)", "ERROR: failed to read protocol version - unexpected EOF"],
        ),
        (
            b"X\x00\nY",
            "bad protocol magic",
            [
                "INFO: TCP: new client(ADDR)",
                r"INFO: CLIENT(ADDR): desired protocol magic 'X\x00\nY'",
                r"ERROR: client(ADDR) bad protocol magic 'X\x00\nY'",
            ],
        ),
        (b"  V1PING\n", ") - EOF\n", [*NEW, EXIT, "INFO: client(ADDR) - EOF"]),
        *(
            (b"  V1" + command, f") - {error}\n", [*NEW, f"ERROR: [ADDR] - {error}{cause}", EXIT, f"ERROR: client(ADDR) - {error}"])
            for command, error, cause in (
                (b"FOO\n", "E_INVALID invalid command FOO", ""),
                (b"IDENTIFY\n" + pack(">i", 2) + b"{x", "E_BAD_BODY IDENTIFY failed to decode JSON body", " - invalid JSON at byte 1"),
                (b"IDENTIFY\n" + pack(">i", 2) + b"{}", "E_BAD_BODY IDENTIFY missing fields", ""),
                (b"IDENTIFY\n\0\0", "E_BAD_BODY IDENTIFY failed to read body size", " - unexpected EOF"),
                (b"IDENTIFY\n", "E_BAD_BODY IDENTIFY failed to read body size", " - EOF"),
                (b"IDENTIFY\n" + pack(">i", 9) + b"ab", "E_BAD_BODY IDENTIFY failed to read body", " - unexpected EOF"),
                (b"IDENTIFY\n" + pack(">i", 9), "E_BAD_BODY IDENTIFY failed to read body", " - EOF"),
            )
        ),
        (
            b"  V1IDENTIFY\n" + pack(">i", len(PEER)) + PEER + b"PING\nREGISTER t c\nREGISTER t c\nUNREGISTER t\n",
            ") - EOF\n",
            [
                *NEW,
                "INFO: CLIENT(ADDR): IDENTIFY Address:b TCP:1 HTTP:2 Version:v",
                "INFO: DB: client(ADDR) REGISTER category:client key: subkey:",
                "INFO: DB: client(ADDR) REGISTER category:channel key:t subkey:c",
                "INFO: DB: client(ADDR) REGISTER category:topic key:t subkey:",
                "WARNING: client(ADDR) unexpected UNREGISTER category:channel key:t subkey:c",
                "INFO: DB: client(ADDR) UNREGISTER category:topic key:t subkey:",
                EXIT,
                "INFO: DB: client(ADDR) UNREGISTER category:client key: subkey:",
                "INFO: client(ADDR) - EOF",
            ],
        ),
    ],
)  # fmt: skip
def test_every_client_has_the_originals_lines(
    daemon: DaemonProcess, data: bytes, last: str, lines: list[str]
) -> None:
    assert talk(daemon, data, last) == lines


def test_json_lines_say_the_same() -> None:
    with spawn("nsqlookupd", *FLAGS, "--log-format=json", listeners=()) as daemon:
        daemon.wait_for_log("HTTP: listening on ")
        assert daemon.stop() == 0
        events = [json.loads(line) for line in daemon.log.splitlines()]
    assert events[-1]["message"].startswith("HTTP: closing 127.0.0.1:")
    assert {(event["prefix"], event["level"]) for event in events} == {("[nsqlookupd]", "INFO")}
