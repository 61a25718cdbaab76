"""Every client in turn, and daemons that a file's tests share."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from threading import Thread
from uuid import uuid4

import pytest

from tests.support.auth_server import AuthServer, permissions
from tests.support.history import nsqd
from tests.support.needs import lacking
from tests.support.processes import DaemonProcess
from tests.system.certificates import Certificates
from tests.system.clients import CLIENTS, LAYERS, Client


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests with a ``client`` run once for each that can do what their ``needs`` marks name.

    Those with ``layers`` as well run for each combination of what may lie between client and nsqd.
    """
    if "client" in metafunc.fixturenames:
        needs = {name for mark in metafunc.definition.iter_markers("needs") for name in mark.args}
        asked = LAYERS if "layers" in metafunc.fixturenames else [()]
        able = [
            (client, layers)
            for client in CLIENTS.values()
            for layers in asked
            if client.lacks.keys().isdisjoint({*needs, *layers})
        ]
        ids = ["-".join([client.name, *layers]) for client, layers in able]
        if asked is LAYERS:
            metafunc.parametrize(("client", "layers"), able, ids=ids, indirect=["client"])
        else:
            metafunc.parametrize("client", [client for client, _ in able], ids=ids, indirect=True)


@pytest.fixture
def client(request: pytest.FixtureRequest) -> Client:
    """A client that can be run."""
    found = request.param
    assert isinstance(found, Client)
    if reason := found.missing():
        lacking(reason)
    return found


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates for all tests."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def auth_server() -> Iterator[AuthServer]:
    """Knows one secret, which opens the topics that begin with ``t`` and their channel ``work``."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, name="auth server")
    thread.start()
    server = AuthServer()
    server.answers["open"] = permissions(
        ("^t", [".*"], ["publish"]), ("^t", ["^work$"], ["subscribe"]), identity="joe"
    )
    asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result()
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(server.__aexit__(None, None, None), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    """A nsqd as it comes, for all tests of a file."""
    with nsqd(tmp_path_factory.mktemp("nsqd")) as d:
        yield d


@pytest.fixture
def topic() -> str:
    """A topic of this test alone."""
    return f"t{uuid4().hex[:12]}"
