"""AUTH with libraries that have their own ways of it: a real auth server, nsqd as a process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.support.auth_server import AuthServer
from tests.support.fetch import fetch_json
from tests.support.history import nsqd
from tests.support.processes import DaemonProcess
from tests.system.clients import Client, ForeignClient

pytestmark = pytest.mark.needs("AUTH")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, auth_server: AuthServer) -> Iterator[DaemonProcess]:
    """A nsqd that asks the auth server."""
    with nsqd(tmp_path_factory.mktemp("guarded"), auth_server.flag) as d:
        yield d


def same(error: str, code: str) -> bool:
    """Whether a library means this code; each spells it in its own way."""
    return code.lower().replace("_", "") in error.lower().replace("_", "")


def test_a_client_with_the_secret_may_do_what_it_is_permitted(
    guarded: DaemonProcess, client: Client, topic: str
) -> None:
    with ForeignClient(client, nsqd=[guarded.tcp], finish=True, secret="open") as c:
        c.subscribe(topic, "work", max_in_flight=5)
        c.pub(topic, b"1", b"2")
        c.mpub(topic, b"3", b"4")
        assert c.bodies(4) == Counter([b"1", b"2", b"3", b"4"])
        (told,) = fetch_json(guarded.http, f"/stats?format=json&topic={topic}")["topics"]
        (consumer,) = told["channels"][0]["clients"]
        assert (consumer["authed"], consumer["auth_identity"]) == (True, "joe")


def test_a_client_with_the_secret_may_do_no_more(guarded: DaemonProcess, client: Client) -> None:
    with ForeignClient(client, nsqd=[guarded.tcp], secret="open") as c:
        assert same(c.refused("other", b"x"), "Unauthorized")


def test_a_client_may_not_have_a_channel_that_it_is_not_permitted(
    guarded: DaemonProcess, client: Client, topic: str
) -> None:
    with ForeignClient(client, nsqd=[guarded.tcp], secret="open") as c:
        c.subscribe(topic, "play")
        assert same(c.error(), "Unauthorized")


def test_a_client_with_a_wrong_secret_is_refused(guarded: DaemonProcess, client: Client, topic: str) -> None:
    with ForeignClient(client, nsqd=[guarded.tcp], secret="guessed") as c:
        c.subscribe(topic, "work")
        assert same(c.error(), "AuthFailed")


def test_a_client_without_a_secret_is_refused(guarded: DaemonProcess, client: Client, topic: str) -> None:
    with ForeignClient(client, nsqd=[guarded.tcp]) as c:
        assert "AUTH required before PUB" in c.refused(topic, b"x")
