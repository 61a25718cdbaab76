from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from deploy.local.ports import BLOCK, MOST_LOOKUPDS, MOST_NSQD, USUAL, Pair, Ports, free_blocks


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def test_the_layout_is_that_of_nsqs_defaults() -> None:
    ports = Ports.at(USUAL, nsqds=3, lookupds=2)
    assert ports.nsqds == (Pair(4150, 4151), Pair(4152, 4153), Pair(4154, 4155))
    assert ports.lookupds == (Pair(4160, 4161), Pair(4162, 4163))
    assert ports.nsqadmin == 4171


def test_the_largest_topology_uses_no_port_twice() -> None:
    ports = list(Ports.at(USUAL, MOST_NSQD, MOST_LOOKUPDS))
    assert len(ports) == len(set(ports)) == 2 * MOST_NSQD + 2 * MOST_LOOKUPDS + 1
    assert max(ports) == USUAL + BLOCK - 1


def test_the_sixth_nsqd_comes_after_nsqadmin() -> None:
    assert Ports.at(USUAL, nsqds=7, lookupds=2).nsqds[4:] == (
        Pair(4158, 4159),
        Pair(4180, 4181),
        Pair(4182, 4183),
    )


def test_a_port_with_a_listener_is_taken(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    assert port in Ports.at(port, 1, 1).taken()
    assert port in Ports.at(port - 21, 1, 1).taken()


def test_blocks_with_a_port_in_use_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.local.ports._is_free", lambda port: port not in {USUAL + 21, USUAL + 205})
    blocks = free_blocks(3, 2)
    assert [next(blocks).base, next(blocks).base] == [USUAL + 100, USUAL + 300]
