"""TLS, deflate and snappy, alone and together, with libraries that have their own ways of doing them."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fetch import fetch_json
from tests.support.history import nsqd
from tests.support.processes import DaemonProcess
from tests.system.certificates import Certificates
from tests.system.clients import Client, ForeignClient

_chance = random.Random(1)
SHORT = [
    b"short",
    b"squeezes well " * 20,
    *(_chance.randbytes(_chance.randrange(1, 300)) for _ in range(100)),
]
LONG = [b"squeezes well " * 5_000, _chance.randbytes(70_000), b"x" * 1024 * 1024]


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[DaemonProcess]:
    """A nsqd that offers TLS to those who want it."""
    with nsqd(tmp_path_factory.mktemp("secure"), *certificates.flags) as d:
        yield d


def test_what_is_published_through_layers_is_consumed_through_them(
    secure: DaemonProcess, client: Client, layers: tuple[str, ...], topic: str, certificates: Certificates
) -> None:
    with ForeignClient(client, nsqd=[secure.tcp], finish=True, **certificates.features(layers)) as c:
        c.subscribe(topic, "work", max_in_flight=20)
        c.pub(topic, *SHORT)
        c.mpub(topic, *SHORT)
        assert c.bodies(2 * len(SHORT)) == Counter([*SHORT, *SHORT])
        (told,) = fetch_json(secure.http, f"/stats?format=json&topic={topic}")["topics"]
        (consumer,) = told["channels"][0]["clients"]
        used = {"tls": "TLS", "deflate": "deflate", "snappy": "snappy"}
        assert {name for field, name in used.items() if consumer[field]} == set(layers)


@pytest.mark.needs("long messages through snappy")
def test_long_messages_go_through_layers(
    secure: DaemonProcess, client: Client, layers: tuple[str, ...], topic: str, certificates: Certificates
) -> None:
    with ForeignClient(client, nsqd=[secure.tcp], finish=True, **certificates.features(layers)) as c:
        c.pub(topic, *LONG)
        c.subscribe(topic, "work", max_in_flight=1)
        assert c.bodies(len(LONG)) == Counter(LONG)


def test_a_consumer_behind_layers_answers_as_ever(
    secure: DaemonProcess, client: Client, layers: tuple[str, ...], topic: str, certificates: Certificates
) -> None:
    with ForeignClient(client, nsqd=[secure.tcp], **certificates.features(layers)) as c:
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


@pytest.mark.needs("TLS")
def test_a_client_shows_its_certificate_where_one_is_required(
    client: Client, topic: str, certificates: Certificates, tmp_path: Path
) -> None:
    policy = ("--tls-client-auth-policy=require-verify", certificates.ca_flag)
    with (
        nsqd(tmp_path, *certificates.flags, *policy, "--tls-required=tcp-https") as d,
        ForeignClient(
            client, nsqd=[d.tcp], finish=True, **certificates.features(("TLS",), own=True)
        ) as known,
        ForeignClient(client, nsqd=[d.tcp]) as plain,
    ):
        known.pub(topic, b"x")
        known.subscribe(topic, "work")
        assert known.message().body == b"x"
        assert "TLS required" in plain.refused(topic, b"x")
