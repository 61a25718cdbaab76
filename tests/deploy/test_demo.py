from __future__ import annotations

import asyncio
import io
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from rich.console import Console

from deploy.local import archive
from deploy.local.demo import TOPIC, Demo, DemoOptions
from deploy.local.ledger import Ledger
from deploy.local.screen import Screen
from nsqcore.http_client import JsonClient

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="wants /proc")


def pids_about(folder: Path) -> dict[int, str]:
    """The processes whose arguments name the folder: all that a run in it has started."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().decode("utf-8", "replace")
        except OSError:
            continue
        if entry.name.isdigit() and str(folder) in words and int(entry.name) != os.getpid():
            found[int(entry.name)] = words.replace("\0", " ")
    return found


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "sub").mkdir(parents=True)
    (folder / "one.txt").write_text("\n".join(f"line {number} of one" for number in range(1, 201)))
    (folder / "sub" / "two.txt").write_text("first\n\n\nfourth\n")
    (folder / "three.bin").write_bytes(b"caf\xe9\n" * 100 + b"   \n")
    return folder


RECORDS = 302


@asynccontextmanager
async def command(*words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """``python -m deploy.local words``, with stderr in stdout; ended as by Ctrl-C if it still runs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "deploy.local",
        *words,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "COLUMNS": "200"},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
            async with asyncio.timeout(60):
                await process.communicate()


async def read_until(process: asyncio.subprocess.Process, text: str) -> str:
    """The output up to and with the line that has ``text``."""
    assert process.stdout is not None
    seen = ""
    async with asyncio.timeout(30):
        while line := (await process.stdout.readline()).decode():
            seen += line
            if text in line:
                return seen
    raise AssertionError(f"it ended without {text!r}:\n{seen}")


async def rest(process: asyncio.subprocess.Process) -> str:
    async with asyncio.timeout(60):
        return (await process.communicate())[0].decode()


def row(output: str, channel: str) -> list[str]:
    (line,) = [line for line in output.splitlines() if f" {channel} " in line and "│" in line]
    return [cell.strip() for cell in line.strip("│").split("│")]


async def test_a_small_folder_arrives_whole_on_both_channels(tmp_path: Path, data: Path) -> None:
    run = tmp_path / "run"
    async with command("demo", "--data", str(data), "--folder", str(run)) as process:
        output = await rest(process)
    assert process.returncode == 0, output
    for channel in ("index", "archive"):
        name, published, delivered, duplicates, missing, _ = row(output, channel)
        assert (name, published, missing) == (channel, str(RECORDS), "0")
        assert int(delivered) - int(duplicates) == RECORDS
    assert "gets SIGTERM and starts again" in output
    assert "is back on the same ports" in output
    assert "Nothing is missing on either channel." in output
    ledger = archive.read(run / "archive")
    want = {("one.txt", line) for line in range(1, 201)} | {("three.bin", line) for line in range(1, 101)}
    assert set(ledger) == want | {("sub/two.txt", 1), ("sub/two.txt", 4)}
    assert not (run / "data").exists()
    assert (run / "nsqd-2.log").read_text().count("TCP: listening") == 2
    assert pids_about(run) == {}


async def in_process(tmp_path: Path, options: DemoOptions, kind: type[Demo] = Demo) -> tuple[bool, str, Path]:
    run = tmp_path / "run"
    run.mkdir()
    out = io.StringIO()
    succeeded = await kind(options, run, Console(file=out, width=200)).run()
    assert pids_about(run) == {}
    return succeeded, out.getvalue(), run


async def test_one_record_that_is_not_in_the_archive_fails_the_demo(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_but_one(folder: Path, read: object = archive.read) -> Ledger:
        assert callable(read)
        kept = Ledger()
        for file, line in read(folder):
            if (file, line) != ("one.txt", 77):
                kept.add(file, line)
        return kept

    monkeypatch.setattr(archive, "read", read_but_one)
    succeeded, output, run = await in_process(tmp_path, DemoOptions(data, nsqds=1))
    assert not succeeded
    assert row(output, "archive")[4] == "1"
    assert "MISSING on archive: 1 records, such as one.txt:77" in output
    assert (run / "data").exists()


class LossyDemo(Demo):
    """Somebody empties a channel while messages wait in it."""

    async def _tell(self, what: str) -> None:
        (node,) = self._topology.nsqds
        async with JsonClient() as client:
            await client.post(f"http://{node.http}/channel/{what}", topic=TOPIC, channel="archive")

    async def _create_names(self, client: JsonClient) -> None:
        await super()._create_names(client)
        await self._tell("pause")

    async def _restart_half_way(self, screen: Screen) -> None:
        await super()._restart_half_way(screen)
        await self._tell("empty")
        await self._tell("unpause")


async def test_messages_that_are_really_lost_fail_the_demo(tmp_path: Path, data: Path) -> None:
    succeeded, output, _ = await in_process(tmp_path, DemoOptions(data, nsqds=1), LossyDemo)
    assert not succeeded
    assert int(row(output, "archive")[4]) > 0
    assert row(output, "index")[4] == "0"
    assert "MISSING on archive" in output


class PausedDemo(Demo):
    """Nothing comes out of one channel."""

    async def _create_names(self, client: JsonClient) -> None:
        await super()._create_names(client)
        for node in self._topology.nsqds:
            await client.post(f"http://{node.http}/channel/pause", topic=TOPIC, channel="index")


async def test_a_stall_ends_the_demo_and_tells_where_messages_are(tmp_path: Path, data: Path) -> None:
    succeeded, output, _ = await in_process(tmp_path, DemoOptions(data, nsqds=1, stall=6.0), PausedDemo)
    assert not succeeded
    assert f"FAILED: no progress for 6 s: nsqd-1 lines/index: {RECORDS} queued" in output
    assert f"MISSING on index: {RECORDS} records" in output
    assert row(output, "archive")[4] == "0"


async def test_ctrl_c_in_the_middle_leaves_no_process(tmp_path: Path) -> None:
    run = tmp_path / "run"
    async with command("demo", "--folder", str(run)) as process:
        await read_until(process, "gets SIGTERM")
        assert len(pids_about(run)) > 4
        process.send_signal(signal.SIGINT)
        await rest(process)
    assert process.returncode == 130
    assert pids_about(run) == {}


async def test_a_daemon_that_crashes_fails_the_demo_by_name(tmp_path: Path) -> None:
    run = tmp_path / "run"
    async with command("demo", "--folder", str(run)) as process:
        await read_until(process, "is back on the same ports")
        (victim,) = [pid for pid, words in pids_about(run).items() if f"{run}/data/nsqd-3" in words]
        os.kill(victim, signal.SIGKILL)
        output = await rest(process)
    assert process.returncode == 1, output
    assert "FAILED: nsqd-3 was ended by SIGKILL" in output
    assert pids_about(run) == {}


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--data", "/no/such/thing"], "/no/such/thing: no such file or folder"),
        (["--data", "/dev/null"], "/dev/null: no such file or folder"),
        (["--nsqd", "41"], "'41' (want 1 to 40)"),
        (["--nsqlookupd", "0"], "'0' (want 1 to 5)"),
        (["--base-port", "65535"], "'65535' (want 1 to 65436)"),
        (["--folder", "/"], "--folder /: has something in it"),
    ],
)
async def test_bad_arguments_end_it_with_status_2(words: list[str], text: str, tmp_path: Path) -> None:
    given = words if "--folder" in words else [*words, "--folder", str(tmp_path / "run")]
    async with command("demo", *given) as process:
        output = await rest(process)
    assert process.returncode == 2
    assert text in output
    assert "Traceback" not in output


async def test_a_file_of_blank_lines_is_refused(tmp_path: Path) -> None:
    (tmp_path / "blank").write_text("\n \n\t\n")
    async with command(
        "demo", "--data", str(tmp_path / "blank"), "--folder", str(tmp_path / "run")
    ) as process:
        output = await rest(process)
    assert process.returncode == 2
    assert "there is no line in it" in output
