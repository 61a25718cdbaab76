"""nsq_to_file on disks that are full, slow to come or taken away, and with a nsqd that dies: nothing is lost."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nsqclient.tools.to_file.folders import move
from tests.support.history import nsqd, post, stats
from tests.support.processes import DaemonProcess
from tests.support.tools import ToolProcess, run_tool, start_tool
from tests.system.waiting import until

MB = 1 << 20
MOST_MEMORY = 150 * MB


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[DaemonProcess]:
    """A nsqd with a channel that gets all of topic t."""
    (tmp_path / "nsqd").mkdir()
    with nsqd(tmp_path / "nsqd") as daemon:
        prepare(daemon)
        yield daemon


def prepare(daemon: DaemonProcess) -> None:
    assert post(daemon, "/topic/create?topic=t")[0] == 200
    assert post(daemon, "/channel/create?topic=t&channel=nsq_to_file")[0] == 200


def publish(daemon: DaemonProcess, *bodies: bytes) -> None:
    assert post(daemon, "/mpub?topic=t", b"\n".join(bodies)) == (200, b"OK")


def left(daemon: DaemonProcess) -> int:
    """Messages that are not finished."""
    channel = stats(daemon)["t"]["channels"]["nsq_to_file"]
    return int(channel["depth"] + channel["in_flight_count"] + channel["deferred_count"])


@contextmanager
def archiving(daemon: DaemonProcess, output: Path, *flags: str) -> Iterator[ToolProcess]:
    always = [f"--nsqd-tcp-address={daemon.tcp}", "--topic=t", f"--output-dir={output}"]
    with start_tool("nsq_to_file", *always, "--sync-interval=20ms", *flags) as tool:
        yield tool
        if tool.status is None:
            assert tool.stop() == 0


@contextmanager
def small_disk(folder: Path, options: str = "size=1m") -> Iterator[Path]:
    """A file system of its own; skips the test where none can be mounted."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def lines(folder: Path) -> list[bytes]:
    """Of all files; none of them may be cut."""
    data = b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())
    assert not data or data.endswith(b"\n")
    return data.splitlines()


def bodies(count: int, size: int) -> list[bytes]:
    return [b"%07d" % n + b"x" * (size - 7) for n in range(count)]


@pytest.mark.parametrize("gzip", [False, True], ids=["plain", "gzip"])
def test_a_full_disk_ends_it_and_loses_nothing(daemon: DaemonProcess, tmp_path: Path, gzip: bool) -> None:
    all_of_them = [os.urandom(500).hex().encode() for _ in range(4000)]
    with small_disk(tmp_path / "disk") as disk:
        for start in range(0, len(all_of_them), 1000):
            publish(daemon, *all_of_them[start : start + 1000])
        flags = ["--filename-format=<TOPIC><REV>", "--rotate-size=100000", *(["--gzip"] if gzip else [])]
        with archiving(daemon, disk, *flags) as tool:
            assert tool.wait() == 1
        fatal = [line for line in tool.err.splitlines() if " FATAL: " in line]
        assert len(fatal) == 1
        assert fatal[0].endswith("no space left on device")
        until(lambda: stats(daemon)["t"]["channels"]["nsq_to_file"]["in_flight_count"] == 0)
        remaining = left(daemon)
        assert 0 < remaining < len(all_of_them)
        subprocess.run(["mount", "-o", "remount,size=20m", disk], check=True)
        with archiving(daemon, disk, *flags):
            until(lambda: left(daemon) == 0)
        if gzip:
            subprocess.run(["gunzip", *disk.iterdir()], check=True)
        assert set(lines(disk)) == set(all_of_them)


def test_a_file_that_may_not_grow_ends_it_likewise(daemon: DaemonProcess, tmp_path: Path) -> None:
    output = tmp_path / "output"
    all_of_them = bodies(2000, 500)
    with archiving(daemon, output, "--filename-format=x") as tool:
        until((output / "x").exists)
        resource.prlimit(tool.pid, resource.RLIMIT_FSIZE, (100_000, 100_000))
        publish(daemon, *all_of_them)
        assert tool.wait() == 1
    assert re.search(r" FATAL: \[t/nsq_to_file\] .*file too large$", tool.err, re.MULTILINE)
    with archiving(daemon, output, "--filename-format=x"):
        until(lambda: left(daemon) == 0)
    assert set(lines(output)) == set(all_of_them)


def test_a_folder_that_can_only_be_read_is_told_of_at_the_start(
    daemon: DaemonProcess, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", "ro") as disk:
        ended = run_tool(
            "nsq_to_file", f"--nsqd-tcp-address={daemon.tcp}", "--topic=t", f"--output-dir={disk}"
        )
    assert ended.status == 1
    assert ended.err.endswith(f" --output-dir {disk}: can't write there\n")


def test_a_folder_that_is_no_more_ends_it_and_messages_go_back(daemon: DaemonProcess, tmp_path: Path) -> None:
    output = tmp_path / "output"
    with archiving(daemon, output, "--skip-empty-files") as tool:
        until(lambda: stats(daemon)["t"]["channels"]["nsq_to_file"]["clients"])
        output.rmdir()
        output.touch()
        publish(daemon, b"a")
        assert tool.wait() == 1
    assert re.search(r" FATAL: \[t/nsq_to_file\] .*not a directory$", tool.err, re.MULTILINE)
    until(lambda: stats(daemon)["t"]["channels"]["nsq_to_file"]["depth"] == 1)


@pytest.mark.parametrize("how", ["deleted", "renamed", "the folder is deleted"])
def test_a_file_that_is_taken_away_is_followed_by_another(
    daemon: DaemonProcess, tmp_path: Path, how: str
) -> None:
    output, aside = tmp_path / "output", tmp_path / "aside"
    with archiving(daemon, output, "--filename-format=below/x"):
        publish(daemon, b"a")
        until(lambda: left(daemon) == 0)
        path = output / "below" / "x"
        assert path.read_bytes() == b"a\n"
        match how:
            case "deleted":
                path.unlink()
            case "renamed":
                path.rename(aside)
            case _:
                shutil.rmtree(output)
        publish(daemon, b"b")
        until(lambda: left(daemon) == 0)
    taken = aside.read_bytes() if how == "renamed" else b""
    kept = path.read_bytes() if path.exists() else b""
    assert b"b\n" in taken + kept
    assert (taken + kept).replace(b"b\n", b"") in (b"", b"a\n")


def test_work_and_output_folder_may_be_on_different_disks(daemon: DaemonProcess, tmp_path: Path) -> None:
    output = tmp_path / "output"
    with small_disk(tmp_path / "disk") as work:
        flags = [f"--work-dir={work}", "--filename-format=x<REV>"]
        with archiving(daemon, output, *flags) as tool:
            publish(daemon, b"a")
            until(lambda: left(daemon) == 0)
            output.mkdir(exist_ok=True)
            (output / "x-000000").write_bytes(b"somebody else's\n")  # since the file was opened
            tool.signal(signal.SIGHUP)
            until(lambda: (output / "x-000001").exists())
        assert list(work.iterdir()) == []
    assert lines(output)[:2] == [b"somebody else's", b"a"]
    assert " WARNING: " in tool.err


def test_moving_to_another_disk_never_overwrites(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        source, target = disk / "x", tmp_path / "x"
        source.write_bytes(b"new\n")
        target.write_bytes(b"old\n")
        with pytest.raises(FileExistsError):
            move(source, target)
        assert (source.read_bytes(), target.read_bytes()) == (b"new\n", b"old\n")


def test_a_nsqd_that_is_killed_is_waited_for(tmp_path: Path) -> None:
    output = tmp_path / "output"
    with nsqd(tmp_path, "--mem-queue-size=0") as first:
        prepare(first)
        publish(first, b"a")
        with archiving(first, output, "--filename-format=x", "--consumer-opt=lookupd_poll_interval,1s"):
            until(lambda: left(first) == 0)
            first.kill()
            with nsqd(tmp_path, "--mem-queue-size=0", f"--tcp-address={first.tcp}") as second:
                publish(second, b"b")
                until(lambda: left(second) == 0)
    assert lines(output) in ([b"a", b"b"], [b"a", b"a", b"b"])  # the last FIN may not have been on disk


def test_it_ends_without_a_busy_loop_when_nsqd_is_silent(daemon: DaemonProcess, tmp_path: Path) -> None:
    output = tmp_path / "output"
    with archiving(daemon, output, "--sync-interval=1h", "--filename-format=x") as tool:
        publish(daemon, b"a")
        until(lambda: (output / "x").exists() and lines(output) == [b"a"])
        before = cpu_seconds(tool.pid)
        daemon.signal(signal.SIGSTOP)
        try:
            tool.signal(signal.SIGTERM)
            used, began = before, time.monotonic()
            while tool.poll() is None:
                used = cpu_seconds(tool.pid, used)
                assert time.monotonic() - began < 20
                time.sleep(0.01)
        finally:
            daemon.signal(signal.SIGCONT)
        assert tool.wait() == 0
        assert used - before < 0.5
    assert lines(output) == [b"a"]


def cpu_seconds(pid: int, known: float = 0.0) -> float:
    """What a process has used; what was known of it once it has ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return max(known, (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"))


@pytest.mark.parametrize("flags", [(), ("--gzip",)], ids=["plain", "gzip"])
def test_memory_does_not_grow_with_the_backlog(
    daemon: DaemonProcess, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    """A million messages wait; what is archived meanwhile would be far too much to keep."""
    batch = b"".join(b"\0\0\0\xc8" + body for body in bodies(10_000, 200))
    for _ in range(100):
        answer = post(daemon, "/mpub?topic=t&binary=true", (10_000).to_bytes(4, "big") + batch)
        assert answer == (200, b"OK")
    with archiving(daemon, tmp_path / "output", "--max-in-flight=2500", *flags) as tool:
        until(lambda: left(daemon) < 900_000)
        status = Path(f"/proc/{tool.pid}/status").read_text()
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
    assert int(peak) * 1024 < MOST_MEMORY
