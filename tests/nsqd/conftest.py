"""The loop and the daemon that this folder's tests run on."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from unittest.mock import patch

import pytest
import pytest_asyncio
import uvloop

from tests.support.nsqd import Node
from tests.support.processes import DaemonProcess, spawn
from tests.support.tls import Authority


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that the daemon really runs on."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
def quick_disk() -> Iterator[None]:
    """For tests that start hundreds of daemons: what they write is not synced, which is tested elsewhere."""
    with patch.object(os, "fsync", lambda fd: None):
        yield


@pytest_asyncio.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    """A nsqd with its default options."""
    async with Node(tmp_path) as running:
        yield running


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A certificate authority, with a certificate for nsqd."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def quiet_daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    """A nsqd process that a module's tests share, one after another."""
    folder = tmp_path_factory.mktemp("data")
    with spawn(
        "nsqd", "--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0", f"--data-path={folder}"
    ) as daemon:
        yield daemon
