"""``nsq_to_ws`` as a process."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from tests.support.auth_server import AuthServer, permissions
from tests.support.nsqd import Node
from tests.support.processes import spawn
from tests.support.tls import Authority

LOCAL = ("--http-address=127.0.0.1:0", "--admin-address=127.0.0.1:0")


async def test_it_pushes_and_ends_in_order(tmp_path: Path) -> None:
    async with Node(tmp_path) as node, AuthServer() as server:
        server.answers["top-secret"] = permissions(("^news$", [".*"], ["subscribe"]), identity="ann")
        flags = (f"--nsqd-tcp-address=127.0.0.1:{node.tcp[1]}", f"--auth-http-address={server.address}")
        with spawn("nsqclient.push", *LOCAL, *flags, "--user-topic=mail", listeners=("WS", "HTTP")) as daemon:
            async with aiohttp.ClientSession() as http:
                url = f"http://{daemon.listening('WS')}/ws?token=top-secret"
                async with http.ws_connect(url) as ws:
                    assert (await ws.receive_json(timeout=10))["user"] == "ann"
                    await ws.send_json({"op": "subscribe", "topic": "news"})
                    assert (await ws.receive_json(timeout=10))["type"] == "subscribed"
                    await node.publish("news", b"extra")
                    assert (await ws.receive_json(timeout=10))["body"] == "extra"
                    daemon.signal(signal.SIGTERM)
                    assert (await ws.receive(timeout=10)).data == 1001
        assert daemon.status == 0
        assert "top-secret" not in daemon.log


async def test_one_flag_says_how_to_reach_nsqd_over_tls_with_a_secret_in_a_file(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with AuthServer() as server:
        server.answers["bridge"] = permissions((".*", [".*"], ["subscribe", "publish"]))
        flags = (*authority.flags, "--tls-required=tcp-https", f"--auth-http-address={server.address}")
        async with Node(tmp_path, *flags) as node:
            (tmp_path / "secret").write_text("bridge\n")
            url = f"nsqd://127.0.0.1:{node.tcp[1]}?tls_ca={tmp_path / 'ca.pem'}&compress=snappy"
            ours = (f"--nsq-url={url}", f"--auth-secret-file={tmp_path / 'secret'}", "--no-auth")
            with spawn(
                "nsqclient.push", *LOCAL, *ours, "--user-topic=mail", listeners=("WS", "HTTP")
            ) as daemon:
                async with aiohttp.ClientSession() as http, asyncio.timeout(10):
                    health = f"http://{daemon.listening('HTTP')}/health"
                    while (await http.get(health)).status != 200:  # noqa: ASYNC110 - it is a process
                        await asyncio.sleep(0.05)
                (channel,) = node.topic("mail").channels
                assert "push-" in channel
            assert daemon.status == 0


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ((), "give one of --nsqd-tcp-address"),
        (("--nsqd-tcp-address=127.0.0.1:1",), "give one of --auth-http-address"),
        (("--nsqd-tcp-address=127.0.0.1:1", "--no-auth", "--slow=down"), "--slow must be close or drop"),
        (("--nsqd-tcp-address=127.0.0.1:1", "--no-auth", "--user-topic=*"), "topic name"),
        (("--nsq-url=nsqd://x?tls=maybe", "--no-auth"), "tls"),
        (("--nsq-url=http://x", "--no-auth"), "nsqlookup"),
        (("--nsqd-tcp-address=127.0.0.1:1", "--nsq-url=nsqd://x", "--no-auth"), "give one of"),
        (("--nsqd-tcp-address=127.0.0.1:1", "--no-auth", "--trusted-proxy=all"), "no address"),
        (("--nsqd-tcp-address=127.0.0.1:1", "--no-auth", "--tls-cert=x"), "belong together"),
        (("--nsqd-tcp-address=127.0.0.1:1", "--jwt-key-file=/nowhere"), "No such file"),
    ],
)
def test_what_can_not_work_is_told_at_the_start(flags: tuple[str, ...], words: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "nsqclient.push", *LOCAL, *flags],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 1
    assert words in run.stderr
    assert "Traceback" not in run.stderr


def test_help_names_every_flag() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "nsqclient.push", "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0
    assert "-user-topic" in run.stdout + run.stderr
