from __future__ import annotations

import asyncio
import os
import re
import shlex
import signal
from pathlib import Path

import pytest

from nsqcore.http_client import JsonClient
from tests.deploy.test_demo import ROOT, command, pids_about, read_until, rest

pytestmark = pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="wants /proc")


async def test_it_prints_addresses_that_answer_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    async with command("up", "--folder", str(tmp_path)) as process:
        output = await read_until(process, "Ctrl-C stops all of them")
        urls = re.findall(r"│ (http://127\.0\.0\.1:\d+)", output)
        assert len(urls) == 6
        async with JsonClient() as client:
            for url in urls:
                assert await client.get(f"{url}/ping") == "OK"
        process.send_signal(signal.SIGINT)
        await rest(process)
    assert process.returncode == 0
    assert pids_about(tmp_path) == {}


async def test_as_many_of_each_are_started_as_it_is_told(tmp_path: Path) -> None:
    words = ("--nsqd", "6", "--nsqlookupd", "1")
    async with command("up", "--folder", str(tmp_path), *words) as process, JsonClient() as client:
        output = await read_until(process, "Ctrl-C stops all of them")
        assert "Starting 1 nsqlookupd, 6 nsqd and nsqadmin" in output
        (lookupd,) = re.findall(r"nsqlookupd-\d +│ (http://\S+)", output)
        nsqds = re.findall(r"nsqd-\d +│ (http://\S+)", output)
        assert len(nsqds) == 6
        async with asyncio.timeout(20):
            while len((await client.get(f"{lookupd}/nodes"))["producers"]) != 6:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.02)
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == [f"nsqd-{n}" for n in range(1, 7)]


async def test_the_commands_it_prints_publish_and_consume(tmp_path: Path) -> None:
    async with command("up", "--folder", str(tmp_path), "--nsqd", "1") as process, JsonClient() as client:
        output = await read_until(process, "Ctrl-C stops all of them")
        (publish,) = re.findall(r"Publish: +curl -d 'hello' '(\S+)'", output)
        (consume,) = re.findall(r"Consume: +(.+)", output)
        tail = await asyncio.create_subprocess_exec(
            *shlex.split(consume), cwd=ROOT, stdout=asyncio.subprocess.PIPE
        )
        try:
            assert tail.stdout is not None
            await client.post(publish, b"hello")
            async with asyncio.timeout(20):
                assert await tail.stdout.readline() == b"hello\n"
            tail.send_signal(signal.SIGINT)
            async with asyncio.timeout(20):
                assert await tail.wait() == 0
        finally:
            if tail.returncode is None:
                tail.kill()
                await tail.wait()


async def test_a_daemon_that_dies_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    async with command("up", "--folder", str(tmp_path), "--nsqd", "2") as process:
        await read_until(process, "Ctrl-C stops all of them")
        (victim,) = [pid for pid, words in pids_about(tmp_path).items() if "data/nsqd-1" in words]
        os.kill(victim, signal.SIGKILL)
        await read_until(process, "nsqd-1 was ended by SIGKILL")
        (other,) = [pid for pid, words in pids_about(tmp_path).items() if "data/nsqd-2" in words]
        assert other != victim
        process.send_signal(signal.SIGTERM)
        await rest(process)
    assert process.returncode == 1
    assert pids_about(tmp_path) == {}


async def test_what_was_published_is_there_when_it_is_started_again(tmp_path: Path) -> None:
    for start in (1, 2):
        async with command("up", "--folder", str(tmp_path), "--nsqd", "1") as process, JsonClient() as client:
            output = await read_until(process, "Publish:")
            (url,) = re.findall(r"'(http://[^/]+)/pub", output)
            if start == 1:
                await client.post(f"{url}/pub?topic=greetings", b"hello")
            stats = await client.get(f"{url}/stats", format="json")
            assert stats["topics"][0]["depth"] == 1
            process.send_signal(signal.SIGINT)
            async with asyncio.timeout(30):
                await rest(process)
        assert process.returncode == 0
