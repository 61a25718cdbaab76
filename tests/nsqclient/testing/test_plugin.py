"""The plugin in a user's project: other processes of pytest, with and without pytest-asyncio."""

import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

ROOT = Path(__file__).parents[3]
INSTALLED = "nsqclient" in entry_points(group="pytest11").names
"""An environment that was made before there was a plugin does not know it."""
PLUGIN = () if INSTALLED else ("-p", "pytest_nsqclient")
ASYNCIO = ("-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function")
FIXTURES = """
import asyncio

import pytest

from nsqclient import Consumer, Producer


async def test_messages_flow(nsq_cluster, nsq_producer):
    await nsq_producer.publish("t", b"x")
    assert nsq_cluster.published("t") == [b"x"]
    assert len(nsq_cluster.nodes) == 3


@pytest.mark.nsq(nodes=1, msg_timeout=5)
async def test_the_marker_makes_the_cluster(nsq_cluster, nsq_clock):
    nsq_cluster.node(0).publish("t", b"x")
    async with Consumer("t", "c", nsq_cluster) as consumer:
        await consumer.get()
        await nsq_clock.advance(5)
        message = await consumer.get()
        assert message.attempts == 2
        message.finish()
    assert nsq_clock.frozen


async def test_the_clock_alone(nsq_clock):
    sleeping = asyncio.create_task(asyncio.sleep(1000))
    await nsq_clock.advance(1000)
    assert sleeping.done()


async def test_a_real_nsqd(nsqd):
    async with Producer(nsqd.tcp_address) as producer:
        await producer.publish("t", b"x")
"""
SYNC = """
def test_one_that_asks_for_nothing():
    pass


def test_one_that_asks_for_the_cluster(nsq_cluster):
    raise AssertionError("not reached")


def test_one_that_asks_for_the_clock(nsq_clock):
    raise AssertionError("not reached")
"""


def run(folder: Path, source: str, *flags: str, env: dict[str, str] | None = None) -> str:
    (folder / "test_it.py").write_text(source)
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers\nfilterwarnings = error\n")
    command = [sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider", *PLUGIN, *flags]
    done = subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    return done.stdout + done.stderr


def test_the_fixtures_work_in_a_project_of_their_user(tmp_path: Path) -> None:
    out = run(tmp_path, FIXTURES, *ASYNCIO)
    assert "4 passed" in out, out


def test_a_missing_nsqd_skips(tmp_path: Path) -> None:
    source = "def test_it(nsqd):\n    raise AssertionError('not reached')\n"
    out = run(tmp_path, source, *ASYNCIO, env={"NSQD": "/nonexistent/nsqd", "PATH": "/usr/bin:/bin"})
    assert "1 skipped" in out, out
    assert "the variable NSQD may name one" in out


def test_without_pytest_asyncio_tests_that_need_it_skip_and_others_run(tmp_path: Path) -> None:
    (tmp_path / "pytest_asyncio.py").write_text("raise ImportError('not installed')\n")
    out = run(tmp_path, SYNC, "-p", "no:asyncio")
    assert "1 passed, 2 skipped" in out, out
    assert "needs pytest-asyncio" in out


def test_the_plugin_imports_nothing_of_the_library() -> None:
    code = (
        "import sys, pytest_nsqclient; print([m for m in sys.modules if m.partition('.')[0] == 'nsqclient'])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert out.stdout == "[]\n"


def test_pytest_finds_the_plugin_by_its_entry_point() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["pytest11"] == {"nsqclient": "pytest_nsqclient"}
    assert "client/pytest_nsqclient" in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
