from __future__ import annotations

import socket

import pytest

from nsqcore.errors import StartError
from nsqcore.listeners import address_of, bind_tcp


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
            "listen tcp: address 127.0.0.1:70000: invalid port (want a number from 0 to 65535)",
        ),
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
