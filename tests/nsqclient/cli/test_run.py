"""Apps are run as processes, and signals end them."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.nsqclient.cli.commands import TIMEOUT, begun, run
from tests.support.processes import DaemonProcess

SHOP = """
import asyncio, os, sys
from nsqclient import App, from_env

app = App(from_env())

def say(text: str) -> None:
    os.write(1, text.encode() + b"\\n")  # whole, as several workers share the pipe

@app.on("shop", channel="c", concurrency=2)
async def handle(body: bytes) -> None:
    if body == b"stop":
        app.stop()
    elif body == b"slow":
        say("slow begins")
        await asyncio.sleep(1.5)
        say("slow ends")
    elif body == b"hang":
        say("hang begins")
        try:
            await asyncio.sleep(3600)
        finally:
            say("hang cancelled")
    else:
        say(f"{body.decode()} in {os.getpid()}")

@app.after_startup
def ready() -> None:
    say("ready")

@app.after_shutdown
def over() -> None:
    say("over")

def make() -> App:
    return app

class holder:
    app = app
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(SHOP)
    return tmp_path


def env(nsqd: DaemonProcess) -> dict[str, str]:
    return {"NSQ_URL": f"nsqd://{nsqd.tcp}"}


def publish(nsqd: DaemonProcess, body: str) -> None:
    assert run("pub", "shop", body, "--nsqd", nsqd.tcp).returncode == 0


def line(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().decode().strip()


@pytest.mark.parametrize("spec", ["shop:app", "shop", "shop:make", "shop:holder.app"])
def test_an_app_that_stops_itself_ends_with_status_0(nsqd: DaemonProcess, folder: Path, spec: str) -> None:
    publish(nsqd, "stop")
    ended = run("run", spec, env=env(nsqd), cwd=folder)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == b"ready\nover\n"


def test_the_first_signal_lets_handlers_end(nsqd: DaemonProcess, folder: Path) -> None:
    with begun("run", "shop:app", env=env(nsqd), cwd=folder) as app:
        assert line(app) == "ready"
        publish(nsqd, "slow")
        assert line(app) == "slow begins"
        app.send_signal(signal.SIGTERM)
        assert app.wait(TIMEOUT) == 0
        assert [line(app), line(app)] == ["slow ends", "over"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_cancels_them(nsqd: DaemonProcess, folder: Path, number: signal.Signals) -> None:
    with begun("run", "shop:app", "--grace", "1000", env=env(nsqd), cwd=folder) as app:
        assert line(app) == "ready"
        publish(nsqd, "hang")
        assert line(app) == "hang begins"
        app.send_signal(number)
        assert app.stderr is not None
        while b"ending in order" not in app.stderr.readline():
            pass
        app.send_signal(number)
        assert app.wait(TIMEOUT) == 128 + number
        assert [line(app), line(app)] == ["hang cancelled", "over"]
    assert run("tail", "shop", "--channel", "c", "-n", "1", env=env(nsqd)).stdout == b"hang\n"


def test_handlers_that_outlast_the_grace_are_cancelled(nsqd: DaemonProcess, folder: Path) -> None:
    with begun("run", "shop:app", "--grace", "0.1", env=env(nsqd), cwd=folder) as app:
        assert line(app) == "ready"
        publish(nsqd, "hang")
        assert line(app) == "hang begins"
        app.send_signal(signal.SIGTERM)
        assert app.wait(TIMEOUT) == 0
        assert line(app) == "hang cancelled"
    assert run("tail", "shop", "--channel", "c", "-n", "1", env=env(nsqd)).stdout == b"hang\n"


def test_workers_share_the_work_and_end_together(nsqd: DaemonProcess, folder: Path) -> None:
    with begun("run", "shop:app", "--workers", "2", env=env(nsqd), cwd=folder) as app:
        assert [line(app), line(app)] == ["ready", "ready"]
        for _ in range(2):
            publish(nsqd, "slow")
        assert line(app) == "slow begins"
        app.send_signal(signal.SIGINT)
        assert app.wait(TIMEOUT) == 0
        assert app.stdout is not None
        rest = app.stdout.read().decode().split("\n")
        assert rest.count("over") == 2
        assert "slow ends" in rest


def test_a_worker_that_is_killed_takes_the_others_along(nsqd: DaemonProcess, folder: Path) -> None:
    with begun("run", "shop:app", "--workers", "2", env=env(nsqd), cwd=folder) as app:
        assert [line(app), line(app)] == ["ready", "ready"]
        publish(nsqd, "who")
        victim = int(line(app).rpartition(" ")[2])
        os.kill(victim, signal.SIGKILL)
        assert app.wait(TIMEOUT) == 128 + signal.SIGKILL
        assert app.stderr is not None
        assert b"ended by itself" in app.stderr.read()
        assert line(app) == "over"


def test_workers_end_when_their_parent_is_killed(nsqd: DaemonProcess, folder: Path) -> None:
    with begun("run", "shop:app", "--workers", "2", env=env(nsqd), cwd=folder) as app:
        assert [line(app), line(app)] == ["ready", "ready"]
        app.kill()
        app.wait(TIMEOUT)
        assert [line(app), line(app), line(app)] == ["over", "over", ""]  # and the pipe is closed


def test_a_start_that_fails_has_status_1_and_a_reason(folder: Path) -> None:
    (folder / "broken.py").write_text(
        "from nsqclient import App\n"
        "app = App('127.0.0.1:1')\n"
        "@app.on('t', channel='c')\n"
        "async def handle(body: bytes) -> None: ...\n"
        "@app.on_startup\n"
        "def fail() -> None: raise LookupError('no table')\n"
    )
    ended = run("run", "broken:app", cwd=folder)
    assert ended.returncode == 1
    assert b"LookupError: no table" in ended.stderr


def test_a_refused_subscription_has_status_1_and_a_reason(nsqd: DaemonProcess, folder: Path) -> None:
    ended = run("run", "shop:app", env={"NSQ_URL": f"nsqd://{nsqd.tcp}?tls=require"}, cwd=folder)
    assert ended.returncode == 1
    assert b"nsq: " in ended.stderr
    assert b"over" in ended.stdout


def test_an_import_that_fails_inside_the_module_shows_where(folder: Path) -> None:
    (folder / "importing.py").write_text("import not_there_at_all\n")
    ended = run("run", "importing:app", cwd=folder)
    assert ended.returncode == 1
    assert b"No module named 'not_there_at_all'" in ended.stderr
