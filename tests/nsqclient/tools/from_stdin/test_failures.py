"""``to_nsq`` when something is wrong: with nsqd, with the input, with what is in it."""

from __future__ import annotations

import asyncio
import os
import re
import select
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nsqclient.tools.common.running import Running
from nsqclient.tools.from_stdin import tool
from nsqclient.tools.from_stdin.options import Options
from tests.nsqclient.tools import nsqds
from tests.nsqclient.tools.pipes import pipe
from tests.support.fake_nsqd import FakeNsqd, drop, ok, refuse, silence
from tests.support.processes import DaemonProcess
from tests.support.tools import CLEAN, Ended, command_of, run_tool

MIB = 1 << 20


async def to_nsq(*args: str, stdin: bytes) -> Ended:
    """It runs in a process; the loop goes on meanwhile."""
    return await asyncio.to_thread(run_tool, "to_nsq", "--topic=t", *args, stdin=stdin)


def test_a_nsqd_that_is_not_there_is_told_at_once() -> None:
    ended = run_tool("to_nsq", "--topic=t", "--nsqd-tcp-address=127.0.0.1:1", stdin=b"x\n", timeout=20)
    assert ended.status == 1
    assert "127.0.0.1:1: record 1 was not confirmed: " in ended.err
    assert "efused" in ended.err


async def test_the_first_record_that_is_not_confirmed_is_told_by_its_number() -> None:
    async with FakeNsqd() as nsqd:
        nsqd.script("MPUB", ok)
        nsqd.always("MPUB", refuse("E_MPUB_FAILED MPUB failed no space left"))
        lines = b"".join(b"%07d" % n + b"x" * 992 + b"\n" for n in range(1, 601))  # more than a bundle
        ended = await to_nsq(f"--nsqd-tcp-address={nsqd.address}", stdin=lines)
    assert ended.status == 1
    found = re.search(rf"{nsqd.address}: record (\d+) was not confirmed: .*no space left", ended.err)
    assert found, ended.err
    assert 1 < int(found[1]) <= 600


async def test_of_several_nsqds_it_is_told_what_each_has() -> None:
    async with FakeNsqd() as good, FakeNsqd() as bad:
        bad.always("PUB", refuse("E_BAD_TOPIC PUB topic name is not liked"))
        addresses = [f"--nsqd-tcp-address={nsqd.address}" for nsqd in (good, bad)]
        ended = await to_nsq(*addresses, stdin=b"one\n")
        assert ended.status == 1
        assert f"{bad.address}: record 1 was not confirmed: " in ended.err
        assert f"{good.address}: its 1 records are confirmed" in ended.err


async def test_an_answer_that_is_lost_is_an_error_and_the_record_is_not_sent_twice() -> None:
    async with FakeNsqd() as nsqd:
        nsqd.script("PUB", drop)
        ended = await to_nsq(f"--nsqd-tcp-address={nsqd.address}", stdin=b"one\n")
        assert ended.status == 1
        assert "record 1 was not confirmed" in ended.err
        assert [line for link in nsqd.links for line in link.commands if line.startswith("PUB")] == [
            "PUB t one"
        ]


async def test_with_failover_a_lost_answer_has_another_nsqd_asked() -> None:
    async with FakeNsqd() as one, FakeNsqd() as two:
        for nsqd in (one, two):
            nsqd.script("PUB", drop)
        addresses = [f"--nsqd-tcp-address={nsqd.address}" for nsqd in (one, two)]
        ended = await to_nsq(*addresses, "--mode=failover", stdin=b"one\n")
        assert ended.status == 0, ended.err


async def test_a_signal_does_not_wait_for_ever_for_a_silent_nsqd(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with pipe() as (out, into):
        monkeypatch.setattr(tool, "STDIN", out.fileno())
        monkeypatch.setattr(tool, "STOP_PATIENCE", 0.05)
        async with FakeNsqd() as nsqd:
            nsqd.script("PUB", ok)
            nsqd.always("PUB", silence)
            running = Running()
            options = Options(topic="t", nsqd_tcp_address=[nsqd.address])
            working = asyncio.create_task(tool.work(options, running))
            into.write(b"one\n")
            await nsqd.expect("IDENTIFY", "PUB t one")
            into.write(b"two\n")
            await nsqd.expect("PUB t two")
            running.end()
            assert await working == 1
    assert "record 2 was not confirmed: no answer came within 0.05 s of the signal" in caplog.text


def test_a_record_that_is_too_large_is_told_and_those_before_it_are_published(nsqd: DaemonProcess) -> None:
    stdin = b"small\n\n" + b"x" * (MIB + 1) + b"\nafter\n"
    ended = run_tool("to_nsq", "--topic=large", f"--nsqd-tcp-address={nsqd.tcp}", stdin=stdin)
    assert ended.status == 1
    assert "record 2 has " in ended.err
    assert "the limit of a message is 1048576 bytes" in ended.err
    assert nsqds.take(nsqd, "large", 1) == [b"small"]
    assert nsqds.topics(nsqd)["large"]["message_count"] == 1


def test_the_largest_record_there_may_be_is_published(nsqd: DaemonProcess) -> None:
    stdin = b"x" * MIB + b"\n" + b"y" * MIB
    ended = run_tool("to_nsq", "--topic=largest", f"--nsqd-tcp-address={nsqd.tcp}", stdin=stdin)
    assert ended.status == 0, ended.err
    assert {len(body) for body in nsqds.take(nsqd, "largest", 2)} == {MIB}


def test_limits_of_nsqd_can_be_told(tmp_path: Path) -> None:
    with nsqds.running("nsqd", tmp_path, "--max-msg-size=3000000", "--max-body-size=6000000") as daemon:
        args = ("--topic=t", f"--nsqd-tcp-address={daemon.tcp}", "--producer-opt=max_msg_size,3000000")
        assert run_tool("to_nsq", *args, stdin=b"x" * 3_000_000).status == 0
        ended = run_tool("to_nsq", *args, stdin=b"x" * 3_000_001)
        assert (ended.status, "record 1 has " in ended.err) == (1, True)
        assert nsqds.topics(daemon)["t"]["message_count"] == 1


def test_a_nsqd_with_smaller_limits_gets_all_it_takes(tmp_path: Path) -> None:
    with nsqds.running("nsqd", tmp_path, "--max-msg-size=100", "--max-body-size=1000") as daemon:
        args = ("--topic=t", f"--nsqd-tcp-address={daemon.tcp}")
        stdin = b"".join(b"%d\n" % n for n in range(200))
        assert run_tool("to_nsq", *args, stdin=stdin).status == 0
        assert len(nsqds.take(daemon, "t", 200)) == 200
        ended = run_tool("to_nsq", *args, stdin=b"a\nb\n" + b"x" * 101 + b"\nc\n")
        assert (ended.status, "record 3 was not confirmed: " in ended.err) == (1, True)
        assert sorted(nsqds.take(daemon, "t", 2)) == [b"a", b"b"]


def test_an_input_that_can_not_be_read_is_an_error(tmp_path: Path, nsqd: DaemonProcess) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        done = subprocess.run(
            command_of("to_nsq", ["--topic=t", f"--nsqd-tcp-address={nsqd.tcp}"]),
            stdin=folder,
            capture_output=True,
            env=CLEAN,
            timeout=20,
            check=False,
        )
    finally:
        os.close(folder)
    assert done.returncode == 1
    assert b"is a directory" in done.stderr


@contextmanager
def begun(*args: str) -> Iterator[subprocess.Popen[bytes]]:
    """One that runs, killed in the end."""
    process = subprocess.Popen(
        command_of("to_nsq", ["--topic=t", *args]),
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=CLEAN,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stderr):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    pass


async def test_a_nsqd_that_stands_still_holds_the_input_up_and_memory_stays_small() -> None:
    async with FakeNsqd() as nsqd:
        nsqd.always("MPUB", silence)
        with begun(f"--nsqd-tcp-address={nsqd.address}") as process:
            assert process.stdin is not None
            written = await asyncio.to_thread(_write_until_it_blocks, process.stdin.fileno())
            assert written < 64 * MIB
            assert _memory(process.pid) < 150 * MIB
            assert process.poll() is None


def _write_until_it_blocks(descriptor: int) -> int:
    """Bytes that were taken until nothing more was for a second."""
    os.set_blocking(descriptor, False)
    poll, block, total = select.poll(), b"x" * 199 + b"\n", 0
    poll.register(descriptor, select.POLLOUT)
    while poll.poll(1000) and total < 200 * MIB:
        total += os.write(descriptor, block * 300)
    return total


def _memory(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM")


def test_nothing_is_told_but_errors_where_there_is_no_terminal(nsqd: DaemonProcess) -> None:
    ended = run_tool("to_nsq", "--topic=quiet", f"--nsqd-tcp-address={nsqd.tcp}", stdin=b"1\n2\n")
    assert ended == (0, b"", "")


def test_a_terminal_shows_how_many_were_published(nsqd: DaemonProcess) -> None:
    args = ("--topic=shown", f"--nsqd-tcp-address={nsqd.tcp}")
    status, shown = nsqds.on_terminal("to_nsq", *args, stdin=b"x\n" * 3000, env={"TERM": "xterm"})
    assert status == 0
    assert b"3,000 records" in shown
