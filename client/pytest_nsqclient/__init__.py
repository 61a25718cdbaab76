"""The pytest plugin of nsqclient: fixtures ``nsq_cluster``, ``nsq_producer``, ``nsq_clock`` and ``nsqd``.

A package of its own, as pytest imports a plugin at every start: this one imports nothing of the library
before a test asks for a fixture. The fixtures that need a loop are pytest-asyncio's; without it (or with
it switched off) tests that ask for them are skipped, and all others run as ever.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from nsqclient import Producer
    from nsqclient.testing import Clock, FakeCluster, NsqdProcess

MARKER = "nsq(**settings): what the FakeCluster of the fixture nsq_cluster is made with"

AsyncFixture = Callable[..., AsyncIterator[Any]]


def pytest_configure(config: pytest.Config) -> None:
    """Makes the marker known, so that ``--strict-markers`` takes it."""
    config.addinivalue_line("markers", MARKER)


def _asyncio_fixture(make: AsyncFixture) -> Any:
    """A fixture that runs in the test's loop; without pytest-asyncio it skips the test."""
    try:
        import pytest_asyncio
    except ImportError:

        def skip() -> None:
            pytest.skip("this fixture needs pytest-asyncio")

        skip.__doc__ = make.__doc__
        return pytest.fixture(name=make.__name__)(skip)
    return pytest_asyncio.fixture(make)


@_asyncio_fixture
async def nsq_clock() -> AsyncIterator[Clock]:
    """The loop's time, standing still; ``await nsq_clock.advance(60)`` moves it."""
    from nsqclient.testing import Clock

    async with Clock() as clock:
        clock.freeze()  # a cluster that was there first may have let it flow
        yield clock


@_asyncio_fixture
async def nsq_cluster(request: pytest.FixtureRequest) -> AsyncIterator[FakeCluster]:
    """A FakeCluster of three nodes, or as ``@pytest.mark.nsq(nodes=1, lookups=1)`` says."""
    from nsqclient.testing import FakeCluster

    marker = request.node.get_closest_marker("nsq")
    async with FakeCluster(**(marker.kwargs if marker is not None else {})) as cluster:
        yield cluster


@_asyncio_fixture
async def nsq_producer(nsq_cluster: FakeCluster) -> AsyncIterator[Producer]:
    """A Producer for ``nsq_cluster``, open."""
    from nsqclient import Producer

    async with Producer(nsq_cluster) as producer:
        yield producer


@pytest.fixture
def nsqd(tmp_path: Path) -> Iterator[NsqdProcess]:
    """A real nsqd on free ports, its data in the test's folder; skips the test where there is no nsqd.

    The program is what the variable ``NSQD`` names, else the ``nsqd`` beside this Python or on the path.
    """
    from nsqclient.testing import NsqdProcess, find_nsqd

    program = find_nsqd()
    if program is None:
        pytest.skip("there is no nsqd here; the variable NSQD may name one")
    folder = tmp_path / "nsqd"
    folder.mkdir()
    with NsqdProcess(program, folder) as process:
        yield process
