from __future__ import annotations

import pytest

from nsqclient.discovery import nodes as nodes_module
from nsqclient.discovery.nodes import Nodes


class Member:
    def __init__(self, address: str) -> None:
        self.address = address
        self.connected = False
        self.calls: list[str] = []

    def start(self) -> None:
        self.calls.append("start")

    def stop(self) -> None:
        self.calls.append("stop")

    def hurry(self) -> None:
        self.calls.append("hurry")


def test_who_is_named_joins_once() -> None:
    nodes = Nodes(Member)
    nodes.found(["a", "b"], True, 0.0)
    nodes.found(["b", "c"], False, 1.0)
    assert list(nodes.members) == ["a", "b", "c"]
    assert all(member.calls == ["start"] for member in nodes.members.values())


def test_who_is_missing_and_unreachable_is_dropped_after_a_while() -> None:
    nodes = Nodes(Member, drop_missing_after=300)
    nodes.found(["a", "b"], True, 0.0)
    gone = nodes.members["a"]
    nodes.found(["b"], True, 10.0)
    nodes.found(["b"], True, 309.0)
    assert "a" in nodes.members
    nodes.found(["b"], True, 310.0)
    assert list(nodes.members) == ["b"]
    assert gone.calls == ["start", "stop"]


def test_who_is_connected_stays() -> None:
    nodes = Nodes(Member, drop_missing_after=0)
    nodes.found(["a"], True, 0.0)
    nodes.members["a"].connected = True
    nodes.found([], True, 10.0)
    assert list(nodes.members) == ["a"]


def test_an_incomplete_answer_makes_nobody_missing() -> None:
    nodes = Nodes(Member, drop_missing_after=0)
    nodes.found(["a"], True, 0.0)
    nodes.found([], False, 10.0)
    assert list(nodes.members) == ["a"]


def test_who_comes_back_is_connected_to_at_once() -> None:
    nodes = Nodes(Member, drop_missing_after=300)
    nodes.found(["a"], True, 0.0)
    nodes.found([], True, 10.0)
    nodes.found(["a"], True, 20.0)
    assert nodes.members["a"].calls == ["start", "hurry"]
    nodes.found([], True, 315.0)  # missing anew, not since 10.0
    assert list(nodes.members) == ["a"]


def test_a_fixed_list_is_never_dropped() -> None:
    nodes = Nodes(Member)
    nodes.found(["a"], True, 0.0)
    nodes.found([], True, 1e9)
    assert list(nodes.members) == ["a"]


def test_however_many_are_named_the_members_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes_module, "MOST_MEMBERS", 3)
    nodes = Nodes(Member)
    nodes.found(["good", "gone", "idle"], True, 0.0)
    nodes.members["good"].connected = nodes.members["idle"].connected = True
    gone = nodes.members["gone"]
    for n in range(10):
        nodes.found([f"lie-{n}", f"lie-{n}-too"], False, float(n))
        assert len(nodes.members) == 3
        assert {"good", "idle"} < set(nodes.members)
    assert gone.calls == ["start", "stop"]
