"""A nsqd for all tests of one file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.nsqclient.tools import nsqds
from tests.support.processes import DaemonProcess


@pytest.fixture(scope="module")
def nsqd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    with nsqds.running("nsqd", tmp_path_factory.mktemp("nsqd")) as daemon:
        yield daemon
