from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from deploy.local.processes import Child, Exit, StartFailed, kill_all
from nsqcore.addresses import HostPort

FAKE = str(Path(__file__).with_name("fake_daemon.py"))
BOTH = ["TCP", "HTTP"]


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")  # an orphan that nobody has reaped yet has ended as well
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


class Fakes:
    """Makes children that run the fake daemon, and knows what was reported of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.deaths: asyncio.Queue[Exit] = asyncio.Queue()
        self.children: list[Child] = []

    def make(self, how: str, on_line: Callable[[bytes], None] | None = None) -> Child:
        log = self.folder / f"{how}.log"
        child = Child(how, [sys.executable, FAKE, how], log, on_death=self.deaths.put_nowait, on_line=on_line)
        self.children.append(child)
        return child


@pytest.fixture
async def fakes(tmp_path: Path) -> AsyncIterator[Fakes]:
    made = Fakes(tmp_path)
    yield made
    kill_all()
    for child in made.children:
        await child.stop(5)


async def test_it_tells_where_it_listens_and_ends_when_asked(fakes: Fakes) -> None:
    child = fakes.make("polite")
    await child.start()
    found = await child.listening(BOTH, 10)
    assert found == {"TCP": HostPort("127.0.0.1", 4150), "HTTP": HostPort("127.0.0.1", 4151)}
    end = await child.stop(10)
    assert end == Exit("polite", 0, False, child.log)
    assert end.clean
    assert not runs(child.pid)
    assert fakes.deaths.empty()


async def test_a_second_stop_and_a_stop_before_the_start_do_nothing(fakes: Fakes) -> None:
    child = fakes.make("polite")
    assert await child.stop(10) is None
    await child.start()
    await child.listening(BOTH, 10)
    assert await child.stop(10) is not None
    assert await child.stop(10) is None


async def test_a_start_after_a_stop_reads_only_the_new_log_lines(fakes: Fakes) -> None:
    child = fakes.make("polite")
    await child.start()
    await child.listening(BOTH, 10)
    first = child.pid
    await child.stop(10)
    await child.start()
    await child.listening(BOTH, 10)
    assert child.pid != first
    assert child.log.read_text().count("TCP: listening") == 2
    assert child.tail().count("TCP: listening") == 1


async def test_a_process_that_ends_before_it_listens_is_told_with_its_last_words(fakes: Fakes) -> None:
    child = fakes.make("refuses")
    await child.start()
    with pytest.raises(StartFailed, match=r"(?s)refuses exited with status 1.*FATAL: no such thing"):
        await child.listening(BOTH, 10)


async def test_waiting_for_a_silent_process_is_bounded(fakes: Fakes) -> None:
    child = fakes.make("unready")
    await child.start()
    with pytest.raises(StartFailed, match="did not listen within"):
        await child.listening(BOTH, 0.05)


async def test_one_that_ignores_sigterm_is_killed_and_it_is_said(fakes: Fakes) -> None:
    child = fakes.make("stubborn")
    await child.start()
    await child.listening(BOTH, 10)
    end = await child.stop(0.05)
    assert end is not None
    assert end.killed
    assert not end.clean
    assert "did not end after SIGTERM and was killed" in str(end)
    assert not runs(child.pid)


async def test_a_bad_exit_status_after_sigterm_is_not_clean(fakes: Fakes) -> None:
    child = fakes.make("unhappy")
    await child.start()
    await child.listening(BOTH, 10)
    end = await child.stop(10)
    assert end is not None
    assert not end.clean
    assert "unhappy exited with status 3" in str(end)


async def test_an_end_that_nobody_asked_for_is_reported(fakes: Fakes) -> None:
    child = fakes.make("crashes")
    await child.start()
    async with asyncio.timeout(10):
        end = await fakes.deaths.get()
    assert (end.name, end.status, end.killed) == ("crashes", 4, False)
    assert await child.stop(1) is None


async def test_a_signal_is_told_by_its_name(fakes: Fakes) -> None:
    child = fakes.make("polite")
    await child.start()
    os.kill(child.pid, signal.SIGKILL)
    async with asyncio.timeout(10):
        assert "ended by SIGKILL" in str(await fakes.deaths.get())


async def test_lines_of_stdout_are_handed_over(fakes: Fakes) -> None:
    lines: asyncio.Queue[bytes] = asyncio.Queue()
    child = fakes.make("polite", lines.put_nowait)
    await child.start()
    async with asyncio.timeout(10):
        assert await lines.get() == b"pid %d\n" % child.pid


async def test_kill_all_ends_what_does_not_want_to_end(fakes: Fakes) -> None:
    children = [fakes.make("stubborn"), fakes.make("polite")]
    for child in children:
        await child.start()
        await child.listening(BOTH, 10)
    stops = [asyncio.create_task(child.stop(60)) for child in children]
    await asyncio.sleep(0)  # the stops have begun
    kill_all()
    async with asyncio.timeout(10):
        await asyncio.gather(*stops)
    assert not any(runs(child.pid) for child in children)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
async def test_no_child_survives_a_parent_that_is_killed(tmp_path: Path) -> None:
    script = (
        "import asyncio, pathlib, sys\n"
        "from deploy.local.processes import Child\n"
        "async def main():\n"
        f"    child = Child('c', [sys.executable, {FAKE!r}, 'polite'], pathlib.Path(sys.argv[1]),\n"
        "                  on_death=lambda end: None)\n"
        "    await child.start()\n"
        "    await child.listening(['TCP'], 20)\n"
        "    print(child.pid, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, str(tmp_path / "log"), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    assert runs(pid)
    with contextlib.suppress(ProcessLookupError):
        parent.kill()
    await parent.wait()
    async with asyncio.timeout(10):
        while runs(pid):  # noqa: ASYNC110 - a grandchild's end is no event here
            await asyncio.sleep(0.01)
