"""TLS, deflate and snappy, alone and together, with libraries that have their own ways of doing them."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from tests.support.fetch import fetch_json
from tests.support.processes import DaemonProcess
from tests.system.clients import Client, ForeignClient

_chance = random.Random(1)
SHORT = [
    b"short",
    b"squeezes well " * 20,
    *(_chance.randbytes(_chance.randrange(1, 300)) for _ in range(100)),
]
LONG = [b"squeezes well " * 5_000, _chance.randbytes(70_000), b"x" * 1024 * 1024]


def features(layers: tuple[str, ...]) -> dict[str, Any]:
    """What a client has to ask for."""
    return dict.fromkeys(layers, True)


def test_what_is_published_through_layers_is_consumed_through_them(
    daemon: DaemonProcess, client: Client, layers: tuple[str, ...], topic: str
) -> None:
    with ForeignClient(client, nsqd=[daemon.tcp], finish=True, **features(layers)) as c:
        c.subscribe(topic, "work", max_in_flight=20)
        c.pub(topic, *SHORT)
        c.mpub(topic, *SHORT)
        assert c.bodies(2 * len(SHORT)) == Counter([*SHORT, *SHORT])
        (told,) = fetch_json(daemon.http, f"/stats?format=json&topic={topic}")["topics"]
        (consumer,) = told["channels"][0]["clients"]
        used = {"tls": "TLS", "deflate": "deflate", "snappy": "snappy"}
        assert {name for field, name in used.items() if consumer[field]} == set(layers)


@pytest.mark.needs("long messages through snappy")
def test_long_messages_go_through_layers(
    daemon: DaemonProcess, client: Client, layers: tuple[str, ...], topic: str
) -> None:
    with ForeignClient(client, nsqd=[daemon.tcp], finish=True, **features(layers)) as c:
        c.pub(topic, *LONG)
        c.subscribe(topic, "work", max_in_flight=1)
        assert c.bodies(len(LONG)) == Counter(LONG)


def test_a_consumer_behind_layers_answers_as_ever(
    daemon: DaemonProcess, client: Client, layers: tuple[str, ...], topic: str
) -> None:
    with ForeignClient(client, nsqd=[daemon.tcp], **features(layers)) as c:
        c.pub(topic, b"again")
        c.subscribe(topic, "work")
        first = c.message()
        c.touch(first)
        c.requeue(first, 50)
        second = c.message()
        c.finish(second)
        c.pub(topic, b"next")
        third = c.message()
        assert [(m.body, m.attempts) for m in (first, second, third)] == [
            (b"again", 1),
            (b"again", 2),
            (b"next", 1),
        ]
