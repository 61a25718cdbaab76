"""Every client in turn, and daemons that a file's tests share."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.support.history import nsqd
from tests.support.processes import DaemonProcess
from tests.system.clients import CLIENTS, Client
from tests.system.needs import lacking


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests with a ``client`` run once for each that can do what their ``needs`` marks name."""
    if "client" in metafunc.fixturenames:
        needs = {name for mark in metafunc.definition.iter_markers("needs") for name in mark.args}
        able = [client for client in CLIENTS.values() if needs.isdisjoint(client.lacks)]
        metafunc.parametrize("client", able, ids=[client.name for client in able], indirect=True)


@pytest.fixture
def client(request: pytest.FixtureRequest) -> Client:
    """A client that can be run."""
    found = request.param
    assert isinstance(found, Client)
    if reason := found.missing():
        lacking(reason)
    return found


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    """A nsqd as it comes, for all tests of a file."""
    with nsqd(tmp_path_factory.mktemp("nsqd")) as d:
        yield d


@pytest.fixture
def topic() -> str:
    """A topic of this test alone."""
    return f"t{uuid4().hex[:12]}"
