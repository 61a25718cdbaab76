"""Which node takes what, as a pure decision."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqclient import ConfigError, Node, Routing
from nsqclient.producer.routing import Router


@dataclass(eq=False)
class Place:
    address: str
    zone: str = ""
    region: str = ""
    pending: int = 0
    rtt: float | None = None


def dealt(router: Router, count: int, places: list[Place]) -> dict[str, list[int]]:
    return {place.address: hand for place, hand in router.deal(list(range(count)), places)}


def test_nodes_take_turns() -> None:
    places = [Place("a"), Place("b"), Place("c")]
    router = Router(Routing())
    counts: Counter[str] = Counter()
    for size in (1, 1, 4, 3, 1, 2):
        for address, hand in dealt(router, size, places).items():
            assert hand == sorted(hand), "in their order"
            counts[address] += len(hand)
    assert counts == {"a": 4, "b": 4, "c": 4}


def test_sticky_stays_until_its_node_is_gone() -> None:
    a, b, c = Place("a"), Place("b"), Place("c")
    router = Router(Routing(pick="sticky"))
    assert dealt(router, 2, [a, b]) == {"a": [0, 1]}
    assert dealt(router, 1, [b, c]) == {"b": [0]}
    assert dealt(router, 1, [a, b, c]) == {"b": [0]}


def test_the_least_pending_is_filled_up_first() -> None:
    places = [Place("a", pending=3), Place("b"), Place("c", pending=1)]
    hands = dealt(Router(Routing(pick="least_pending")), 5, places)
    assert {address: len(hand) for address, hand in hands.items()} == {"b": 3, "c": 2}


@pytest.mark.parametrize(
    ("zone", "region", "want"),
    [("z1", "r1", {"a"}), ("z9", "r1", {"a", "b"}), ("z9", "r9", {"a", "b", "c"}), ("", "", {"a", "b", "c"})],
)
def test_the_nearest_are_of_our_zone_or_else_of_our_region(zone: str, region: str, want: set[str]) -> None:
    places = [Place("a", "z1", "r1"), Place("b", "z2", "r1"), Place("c", "z3", "r2")]
    router = Router(Routing(pick="nearest"), zone, region)
    assert dealt(router, 6, places).keys() == want


def test_a_function_chooses_among_what_is_there() -> None:
    a, b = Place("a"), Place("b")

    def choose(topic: str, nodes: Sequence[Node]) -> Node:
        return nodes[len(topic) % len(nodes)]

    router = Router(Routing(pick=choose))
    assert router.pick("t", [a, b]) is b
    assert router.pick("tt", [a, b]) is a


def test_a_function_that_chooses_something_else_is_told_so() -> None:
    stranger = Place("x")
    with pytest.raises(ValueError, match="none of the nodes"):
        Router(Routing(pick=lambda topic, nodes: stranger)).pick("t", [Place("a")])


def test_copies_go_to_other_nodes_and_other_zones_where_there_are_some() -> None:
    a1, a2, b1, nowhere = Place("a1", "a"), Place("a2", "a"), Place("b1", "b"), Place("n")
    router = Router(Routing(pick="sticky"))
    assert router.pick_another("t", [a1, a2, b1], [a1]) is b1
    assert router.pick_another("t", [a1, a2], [a1]) is a2
    assert router.pick_another("t", [a1], [a1]) is None
    assert router.pick_another("t", [a2, nowhere], [a1, b1]) is nowhere


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=5),
    st.integers(0, 40),
    st.sampled_from(["round_robin", "sticky", "least_pending", "nearest"]),
)
def test_everything_is_dealt_once(pending: list[int], count: int, pick: Any) -> None:
    places = [Place(str(n), "z", "r", pending=p) for n, p in enumerate(pending)]
    hands = dealt(Router(Routing(pick=pick), "z"), count, places)
    assert sorted(parcel for hand in hands.values() for parcel in hand) == list(range(count))
    if count:
        assert all(hands.values())


@pytest.mark.parametrize(
    "settings",
    [{"pick": "best"}, {"copies": 0}, {"copies": 2, "min_acks": 3}, {"min_acks": 0}, {"shortage": "x"}],
)
def test_wrong_settings_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Routing(**settings)
