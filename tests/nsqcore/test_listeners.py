from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest

from nsqcore.errors import StartError
from nsqcore.listeners import KEEP_ALIVE_S, address_of, bind, bind_tcp, bind_unix, port_of, serve


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_port_0_picks_a_free_port_and_clients_can_connect_at_once(host: str) -> None:
    with bind_tcp(f"{host}:0") as listener:
        where = address_of(listener)
        assert where.startswith("127.0.0.1:")
        with socket.create_connection(("127.0.0.1", int(where.rpartition(":")[2])), timeout=10):
            pass


def test_a_port_can_be_had_again_right_after_its_use() -> None:
    with bind_tcp("127.0.0.1:0") as listener:
        where = address_of(listener)
        client = socket.create_connection(listener.getsockname(), timeout=10)
        served, _ = listener.accept()
        served.close()  # our side closes first, and is the one that lingers in TIME_WAIT
        client.close()
    bind_tcp(where).close()


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("foo", "listen tcp: address foo: missing port in address"),
        ("a:b:1", "listen tcp: address a:b:1: too many colons in address"),
        (
            "127.0.0.1:70000",
            "listen tcp: address 70000: invalid port",
        ),
        ("127.0.0.1:-1", "listen tcp: address -1: invalid port"),
        ("127.0.0.1:9999999999999", "listen tcp: address 9999999999999: invalid port"),
        ("127.0.0.1:xyz", "listen tcp: address tcp/xyz: unknown port"),
        ("192.0.2.1:1", "listen tcp 192.0.2.1:1: bind: cannot assign requested address"),
    ],
)
def test_what_can_not_be_had_is_said_in_the_originals_words(address: str, reason: str) -> None:
    with pytest.raises(StartError) as refused:
        bind_tcp(address)
    assert str(refused.value) == f"listen ({address}) failed - {reason}"


def _no_such_host(*arguments: object, **options: object) -> None:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def test_a_name_that_means_nothing_is_told_from_a_taken_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", _no_such_host)
    with pytest.raises(StartError) as refused:
        bind_tcp("elsewhere.example:1")
    assert str(refused.value) == (
        "listen (elsewhere.example:1) failed - listen tcp: lookup elsewhere.example: no such host"
    )


def test_what_can_not_even_be_a_name_is_too() -> None:
    with pytest.raises(StartError, match=r"failed - listen tcp: lookup no\.\.such: no such host$"):
        bind_tcp("no..such:1")


def test_no_port_behind_the_colon_is_port_0() -> None:
    with bind("127.0.0.1:") as listener:
        assert address_of(listener) == f"127.0.0.1:{port_of(listener)}"
        assert port_of(listener) > 0


# ---- unix ----


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder: paths of sockets have to be short."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def reached(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(path)
        except ConnectionRefusedError:
            return False
        return True


@pytest.mark.parametrize("path", ["nsqd.sock", "./a.sock", "localhost", "::1:0"])
def test_what_is_no_host_and_port_is_the_path_of_a_unix_socket(path: str, folder: Path) -> None:
    with bind(path) as listener:
        assert (address_of(listener), port_of(listener)) == (path, -1)
        assert reached(path)
    assert list(folder.iterdir()) == []


def test_a_name_that_begins_with_an_at_sign_has_no_file(folder: Path) -> None:
    name = f"@nsq-test-{os.getpid()}"
    with bind(name) as listener:
        assert address_of(listener) == name
        assert reached("\0" + name[1:])
        with pytest.raises(StartError, match="address already in use"):
            bind(name)
    assert list(folder.iterdir()) == []


def test_no_name_at_all_is_one_that_the_system_picks(folder: Path) -> None:
    with bind("") as listener:
        assert address_of(listener).startswith("@")
        assert len(address_of(listener)) > 1


def test_what_a_killed_process_left_is_taken_over(folder: Path) -> None:
    left = socket.socket(socket.AF_UNIX)
    left.bind("s")
    left.listen()
    left.close()  # the file stays
    with bind_unix("s"):
        assert reached("s")
        assert [path.name for path in folder.iterdir()] == ["s"]
    assert list(folder.iterdir()) == []


def test_a_live_socket_is_left_alone(folder: Path) -> None:
    with bind_unix("s"):
        with pytest.raises(StartError) as refused:
            bind_unix("s")
        assert str(refused.value) == "listen (s) failed - listen unix s: bind: address already in use"
        assert reached("s")


def test_a_live_socket_whose_backlog_is_full_is_too(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as busy:
        busy.bind("s")
        busy.listen(0)
        waiting = []
        for _ in range(5):
            client = socket.socket(socket.AF_UNIX)
            client.setblocking(False)
            waiting.append(client)
            if client.connect_ex("s"):
                break
        with pytest.raises(StartError, match="address already in use"):
            bind_unix("s")
        for client in waiting:
            client.close()


def test_a_socket_that_came_to_life_meanwhile_is_put_back(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bind_unix("s"):
        answers = iter([True, False])
        monkeypatch.setattr("nsqcore.listeners._is_stale", lambda path: next(answers))
        with pytest.raises(StartError, match="address already in use"):
            bind_unix("s")
        assert reached("s")
        assert [path.name for path in folder.iterdir()] == ["s"]


@pytest.mark.parametrize("kind", ["file", "folder", "link", "datagram"])
def test_what_is_no_dead_stream_socket_is_left_alone(kind: str, folder: Path) -> None:
    path, left = folder / "s", socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    with left:
        if kind == "file":
            path.write_text("precious")
        elif kind == "folder":
            path.mkdir()
        elif kind == "link":
            path.symlink_to("elsewhere")
        else:
            left.bind("s")
        before = path.lstat()
        with pytest.raises(StartError, match=r"listen unix s: bind: address already in use$"):
            bind("s")
        assert path.lstat().st_ino == before.st_ino
        assert kind != "file" or path.read_text() == "precious"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("no/such/folder", "no such file or directory"),
        ("x" * 200, "invalid argument"),
        ("a\0b", "invalid argument"),
    ],
)
def test_a_path_that_can_not_be_had_is_told_in_gos_words(path: str, reason: str, folder: Path) -> None:
    with pytest.raises(StartError) as refused:
        bind(path)
    assert str(refused.value) == f"listen ({path}) failed - listen unix {path}: bind: {reason}"


def test_closing_leaves_a_file_that_belongs_to_another_by_now(folder: Path) -> None:
    first = bind_unix("s")
    Path("s").unlink()
    with bind_unix("s"):
        first.close()
        first.close()
        assert reached("s")


@pytest.mark.parametrize("address", ["127.0.0.1:0", "s"])
async def test_connections_are_accepted_at_both_kinds(address: str, folder: Path) -> None:
    class Echo(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.WriteTransport)
            transport.write(b"hello")
            transport.close()

    listener = bind(address)
    server = await serve(Echo, listener)
    if address == "s":
        reader, writer = await asyncio.open_unix_connection("s")
    else:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(listener))
    assert await reader.read() == b"hello"
    writer.close()
    await writer.wait_closed()
    server.close()
    listener.close()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("address", ["127.0.0.1:0", ":0"])
def test_the_system_asks_whether_silent_peers_are_there(address: str) -> None:
    with (
        bind(address) as listener,
        socket.create_connection(("127.0.0.1", port_of(listener))),
        listener.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == KEEP_ALIVE_S
