"""A nsqd whose addresses are unix sockets: who its clients are, what it says of its ports, and what it leaves."""

from __future__ import annotations

import http.client
import json
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from struct import pack
from typing import Any

import pytest

from nsqcore.wire.commands import encode_pub
from nsqcore.wire.frames import RESPONSE, encode_frame
from tests.support.processes import ROOT, DaemonProcess, run_to_end, spawn

OK = encode_frame(RESPONSE, b"OK")


class UnixHttp(http.client.HTTPConnection):
    """HTTP at a path."""

    def __init__(self, path: Path) -> None:
        super().__init__("unix", timeout=10)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(str(self._path))


def get(path: Path, target: str) -> Any:
    connection = UnixHttp(path)
    connection.request("GET", target)
    body = connection.getresponse().read()
    connection.close()
    return json.loads(body) if body.startswith(b"{") else body


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a short path: a socket's has 107 bytes at most."""
    return tmp_path_factory.mktemp("s")


@contextmanager
def serving(folder: Path, *flags: str) -> Iterator[DaemonProcess]:
    addresses = (f"--tcp-address={folder}/t.sock", f"--http-address={folder}/h.sock")
    with spawn("nsqd", *addresses, f"--data-path={folder}", "--broadcast-address=here", *flags) as daemon:
        yield daemon


def identify(client: socket.socket) -> None:
    client.settimeout(10)
    client.sendall(b"  V2IDENTIFY\n" + pack(">i", 2) + b"{}SUB t c\n")
    answers = b""
    while len(answers) < 2 * len(OK):
        answers += client.recv(100)
    assert answers == 2 * OK


def test_clients_come_and_are_named_as_the_originals(folder: Path) -> None:
    with serving(folder) as daemon:
        assert (daemon.tcp, daemon.http) == (f"{folder}/t.sock", f"{folder}/h.sock")
        assert get(folder / "h.sock", "/ping") == b"OK"
        info = get(folder / "h.sock", "/info")
        assert (info["tcp_port"], info["http_port"]) == (-1, -1)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(daemon.tcp)
            identify(client)
            [topic] = get(folder / "h.sock", "/stats?format=json")["topics"]
            [stats] = topic["channels"][0]["clients"]
            assert (stats["client_id"], stats["hostname"], stats["remote_address"]) == ("", "", "@")
            assert b"[V2 :                    ]" in get(folder / "h.sock", "/stats")
        assert daemon.stop() == 0
        assert "TCP: new client(@)" in daemon.log
        assert "200 GET /info (@) " in daemon.log
        assert f"TCP: closing {folder}/t.sock" in daemon.log
    assert not [path.name for path in folder.iterdir() if path.name.endswith(".sock")]


def test_messages_go_through(folder: Path) -> None:
    with serving(folder) as daemon, socket.socket(socket.AF_UNIX) as client:
        client.connect(daemon.tcp)
        client.settimeout(10)
        client.sendall(b"  V2" + encode_pub("t", b"x" * 100_000) * 10)
        answers = b""
        while len(answers) < 10 * len(OK):
            answers += client.recv(1000)
        assert answers == 10 * OK
        assert get(folder / "h.sock", "/stats?format=json")["topics"][0]["message_count"] == 10


def test_sockets_that_a_killed_nsqd_left_are_taken_over(folder: Path) -> None:
    with serving(folder) as daemon:
        daemon.kill()
    assert (folder / "t.sock").is_socket()
    with serving(folder):
        assert get(folder / "h.sock", "/ping") == b"OK"


def test_a_socket_of_another_nsqd_is_not(folder: Path, tmp_path: Path) -> None:
    with serving(folder) as daemon:
        ended = run_to_end(
            "nsqd", f"--tcp-address={daemon.tcp}", "--http-address=", f"--data-path={tmp_path}"
        )
        assert ended.returncode == 1
        assert ended.stderr.endswith(
            f" FATAL: failed to instantiate nsqd - listen ({daemon.tcp}) failed - "
            f"listen unix {daemon.tcp}: bind: address already in use\n"
        )
        assert get(folder / "h.sock", "/ping") == b"OK"


def test_a_start_that_fails_removes_the_sockets_it_made(folder: Path) -> None:
    ended = run_to_end(
        "nsqd", f"--tcp-address={folder}/t.sock", "--http-address=/no/such/x", f"--data-path={folder}"
    )
    assert ended.returncode == 1
    assert not list(folder.iterdir())


def test_a_path_relative_to_the_folder_it_runs_in_is_taken(folder: Path) -> None:
    flags = ["--tcp-address=t.sock", "--http-address=", "--data-path=."]
    daemon = DaemonProcess("nsqd", flags, {"PYTHONPATH": str(ROOT)}, folder)
    daemon.wait_for_log("TCP: listening on t.sock\n")
    assert (folder / "t.sock").is_socket()
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 0
    assert not (folder / "t.sock").exists()
