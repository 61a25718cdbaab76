"""nsq_stat as a process, with real daemons."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import socket
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.nsqclient.tools.stat.clusters import nobody
from tests.nsqclient.tools.stat.test_forms import HEADER
from tests.support.history import post
from tests.support.processes import DaemonProcess, spawn
from tests.support.tools import CLEAN, command_of, run_tool, start_tool
from tests.system.waiting import until

WHICH = ("--topic=t", "--channel=c")
QUICK = "--interval=50ms"
FREE = ("--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0")


def node(folder: Path, *flags: str) -> list[str]:
    folder.mkdir(exist_ok=True)
    return [*FREE, f"--data-path={folder}", "--broadcast-address=127.0.0.1", *flags]


@pytest.fixture(scope="module")
def daemons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[DaemonProcess, DaemonProcess]]:
    """A nsqlookupd, and a nsqd with three messages in channel ``c`` of ``t``, and an empty, paused ``d``."""
    with ExitStack() as stack:
        lookupd = stack.enter_context(spawn("nsqlookupd", *FREE))
        folder = tmp_path_factory.mktemp("stat") / "data"
        flags = node(folder, f"--lookupd-tcp-address={lookupd.tcp}")
        daemon = stack.enter_context(spawn("nsqd", *flags))
        for path in ("/topic/create?topic=t", "/channel/create?topic=t&channel=c"):
            assert post(daemon, path)[0] == 200
        assert post(daemon, "/mpub?topic=t", b"1\n2\n3")[0] == 200
        for path in ("/channel/create?topic=t&channel=d", "/channel/pause?topic=t&channel=d"):
            assert post(daemon, path)[0] == 200
        yield lookupd, daemon


@pytest.fixture(params=["nsqd", "lookupd"])
def source(request: pytest.FixtureRequest, daemons: tuple[DaemonProcess, DaemonProcess]) -> str:
    """The flag that leads to the nsqd."""
    lookupd, daemon = daemons
    return f"--{request.param}-http-address={(daemon if request.param == 'nsqd' else lookupd).http}"


ROW = "      0       0 |       3       3       0     0     0 |       0       0            3       0\n"


def test_piped_it_prints_rows_as_the_original_and_ends_when_all_are_printed(source: str) -> None:
    ended = run_tool("nsq_stat", *WHICH, QUICK, "--count=3", source)
    assert (ended.status, ended.out.decode(), ended.err) == (0, HEADER + ROW * 3, "")


def test_all_channels_have_a_row_each(source: str) -> None:
    ended = run_tool("nsq_stat", "--topic=t", "--all-channels", QUICK, "--count=1", source)
    rows = ended.out.decode().splitlines()[2:]
    assert [row.rpartition(" | ")[2] for row in rows] == ["t/c", "t/d (paused)"]
    assert "channel(d) of topic(t) is paused" in ended.err


def test_several_channels_may_be_named(source: str) -> None:
    ended = run_tool("nsq_stat", *WHICH, "--channel=d", QUICK, "--count=1", "--format=json", source)
    assert [json.loads(line)["channel"] for line in ended.out.splitlines()] == ["c", "d"]


@pytest.mark.parametrize("form", ["text", "json", "csv"])
def test_the_form_is_what_was_asked_for(source: str, form: str) -> None:
    out = run_tool("nsq_stat", *WHICH, QUICK, "--count=1", f"--format={form}", source).out.decode()
    begin = {"text": HEADER, "json": '{"time":"', "csv": "time,topic,channel,ingress,"}[form]
    assert out.startswith(begin)


def test_the_interval_is_that_between_rows(source: str) -> None:
    begun = time.monotonic()
    ended = run_tool("nsq_stat", *WHICH, "--interval=400ms", "--count=2", source)
    assert (ended.status, ended.out.count(b"\n")) == (0, 4)
    assert time.monotonic() - begun >= 0.8


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
def test_signals_end_it_in_order(source: str, number: signal.Signals) -> None:
    with start_tool("nsq_stat", *WHICH, QUICK, source) as stat:
        stat.wait_for_out(ROW.encode(), times=2)
        stat.signal(number)
        assert stat.wait() == 0
        assert stat.err == ""


def test_a_signal_ends_it_though_nobody_reads_its_output(source: str) -> None:
    reader, writer = os.pipe()
    room = fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    command = command_of("nsq_stat", [*WHICH, "--interval=5ms", source])
    with subprocess.Popen(command, stdout=writer, stderr=subprocess.PIPE, env=CLEAN) as process:
        os.close(writer)
        try:
            until(lambda: readable_bytes(reader) > room - len(ROW))
            process.terminate()
            assert process.wait(20) == 0
            assert process.stderr is not None
            assert process.stderr.read() == b""
        finally:
            process.kill()
            os.close(reader)


def readable_bytes(descriptor: int) -> int:
    """How much of a pipe waits to be read."""
    (count,) = struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, b"\0" * 4))
    assert isinstance(count, int)
    return count


def test_a_reader_that_has_gone_ends_it_without_a_word(source: str) -> None:
    with start_tool("nsq_stat", *WHICH, QUICK, source) as stat:
        stat.close_out()
        assert stat.wait() == -signal.SIGPIPE
        assert stat.err == ""


def test_rows_go_on_while_a_nsqd_is_started_anew(tmp_path: Path) -> None:
    with ExitStack() as stack:
        lookupd = stack.enter_context(spawn("nsqlookupd", *FREE))
        flags = [node(tmp_path / name, f"--lookupd-tcp-address={lookupd.tcp}") for name in "ab"]
        a, b = (stack.enter_context(spawn("nsqd", *each)) for each in flags)
        for daemon in (a, b):
            assert post(daemon, "/topic/create?topic=t")[0] == 200
            assert post(daemon, "/channel/create?topic=t&channel=c")[0] == 200
            assert post(daemon, "/mpub?topic=t", b"\n".join([b"x"] * 500))[0] == 200
        ask = (*WHICH, QUICK, "--format=json", f"--lookupd-http-address={lookupd.http}")
        stat = stack.enter_context(start_tool("nsq_stat", *ask))
        stat.wait_for_out(b'"depth":1000,')
        a.kill()
        stat.wait_for_out(b'"depth":500,', times=3)
        a = stack.enter_context(spawn("nsqd", *flags[0]))
        stat.wait_for_err("counted from now on")
        assert post(a, "/mpub?topic=t", b"\n".join([b"y"] * 7))[0] == 200
        stat.wait_for_out(b'"depth":507,', times=3)
        assert stat.stop() == 0
        rows = [json.loads(line) for line in stat.out.splitlines()]
        assert all(row["ingress"] >= 0 and row["egress"] >= 0 for row in rows)
        assert max(row["ingress"] for row in rows) < 500


def test_one_unreachable_nsqd_of_two_does_not_end_it(daemons: tuple[DaemonProcess, DaemonProcess]) -> None:
    silent = nobody()
    nodes = [f"--nsqd-http-address={address}" for address in (silent, daemons[1].http)]
    ended = run_tool("nsq_stat", *WHICH, QUICK, "--count=3", *nodes)
    assert (ended.status, ended.out.decode()) == (0, HEADER + ROW * 3)
    assert ended.err.count(f"nsqd {silent}: no answer (") == ended.err.count("\n") == 1


@pytest.mark.parametrize("kind", ["nsqd", "lookupd"])
def test_nobody_that_answers_ends_it_with_status_1_and_one_line(kind: str) -> None:
    ended = run_tool("nsq_stat", *WHICH, f"--{kind}-http-address={nobody()}")
    assert (ended.status, ended.out) == (1, b"")
    name = {"nsqd": "nsqd", "lookupd": "nsqlookupd"}[kind]
    assert f"ERROR: failed to get topic producers - failed to query any {name}: " in ended.err
    assert ended.err.count("\n") == 1


def test_a_channel_that_nobody_has_ends_it_with_status_1(source: str) -> None:
    ended = run_tool("nsq_stat", "--topic=t", "--channel=nosuch", source)
    assert (ended.status, ended.out) == (1, b"")
    assert ended.err.endswith(" ERROR: failed to find channel(nosuch) in stats metadata for topic(t)\n")


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def unreachable() -> Iterator[str]:
    """An address where no connection comes about, nor is refused: the server has more than it takes."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize(
    "timeouts",
    [
        ("--http-client-request-timeout=300ms", "--http-client-connect-timeout=60s"),
        ("--http-client-connect-timeout=300ms", "--http-client-request-timeout=60s"),
    ],
    ids=["request", "connect"],
)
def test_a_nsqd_that_takes_longer_than_the_timeout_is_left_out(
    timeouts: tuple[str, str],
    daemons: tuple[DaemonProcess, DaemonProcess],
    silent: str,
    unreachable: str,
) -> None:
    slow = silent if "request" in timeouts[0] else unreachable
    nodes = [f"--nsqd-http-address={address}" for address in (slow, daemons[1].http)]
    ended = run_tool("nsq_stat", *WHICH, QUICK, "--count=3", *timeouts, *nodes, timeout=20)
    assert (ended.status, ended.out.decode()) == (0, HEADER + ROW * 3)
    assert f"nsqd {slow}: no answer (" in ended.err


def on_terminal(*args: str) -> tuple[int, str]:
    """Status, and all that was drawn on a terminal of 200 columns."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, 200))
    env = {**CLEAN, "TERM": "xterm-256color", "COLUMNS": "200"}
    with subprocess.Popen(command_of("nsq_stat", args), stdout=theirs, stderr=theirs, env=env) as process:
        os.close(theirs)
        drawn = b""
        try:
            while data := os.read(ours, 1 << 16):
                drawn += data
        except OSError:  # how Linux tells that the last one has closed the other end
            pass
        os.close(ours)
        return process.wait(20), drawn.decode()


def test_on_a_terminal_it_is_a_live_table(source: str) -> None:
    status, drawn = on_terminal("--topic=t", "--all-channels", QUICK, "--count=3", source)
    assert status == 0
    for shown in (
        "in/s",
        "inflt",
        "1 of 1 nsqds",
        " paused",
        "\u2588",
        "channel(d) of topic(t) is paused",
    ):
        assert shown in drawn
    assert "\x1b[?25h" in drawn  # the cursor is there again


def test_rows_are_to_be_had_on_a_terminal_too(source: str) -> None:
    status, drawn = on_terminal(*WHICH, QUICK, "--count=2", "--format=text", source)
    assert (status, drawn.replace("\r\n", "\n")) == (0, HEADER + ROW * 2)


def test_a_table_is_to_be_had_elsewhere_too(source: str) -> None:
    ended = run_tool("nsq_stat", *WHICH, QUICK, "--count=2", "--format=table", source)
    assert (ended.status, ended.out.decode().count("1 of 1 nsqds")) == (0, 1)


def test_the_log_level_silences_notes(source: str) -> None:
    ended = run_tool("nsq_stat", "--topic=t", "--channel=d", QUICK, "--count=1", "--log-level=fatal", source)
    assert (ended.status, ended.err) == (0, "")


def test_the_version_is_that_of_the_original() -> None:
    assert run_tool("nsq_stat", "--version") == (0, b"nsq_stat v1.3.0\n", "")


def test_a_bad_command_line_ends_it_with_status_2() -> None:
    assert run_tool("nsq_stat", "--count=x").status == 2
