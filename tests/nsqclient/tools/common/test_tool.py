"""What all tools do alike: flags, checks, exit statuses, signals, sources."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nsqclient.tools.common.tiny_tool import NAME
from tests.support.processes import DaemonProcess, spawn
from tests.support.tools import run_tool, start_tool


@pytest.fixture(scope="module")
def nsqd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    folder: Path = tmp_path_factory.mktemp("nsqd")
    free = ("--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--broadcast-address=127.0.0.1")
    with spawn("nsqd", *free, f"--data-path={folder}") as daemon:
        yield daemon


def publish(nsqd: DaemonProcess, topic: str, *bodies: bytes) -> None:
    done = run_tool("nsq", "pub", topic, "-", "--nsqd", nsqd.tcp, stdin=b"\n".join(bodies))
    assert done.status == 0, done.err


def test_help_teaches_and_is_no_failure() -> None:
    ended = run_tool(NAME, "--help")
    assert (ended.status, ended.out) == (0, b"")
    lines = ended.err.splitlines()
    assert lines[0] == "Usage of tiny:"
    assert lines[2] == "It prints a topic."
    headings = [line for line in lines[4:] if line.endswith(":") and not line.startswith((" ", "\t"))]
    assert headings == [
        "Flags:",
        "Where messages come from (one of the first two, else the variable NSQ_URL):",
        "About the program:",
    ]
    assert "  --topic value" in lines
    assert lines.index("  --topic value") < lines.index("  --nsqd-tcp-address value")
    assert lines[-4] == "  --version"
    assert "  -n int" in lines
    assert max(map(len, lines)) <= 110
    assert lines[-1].startswith("Exit status: 0 done")


def test_the_version_is_printed() -> None:
    assert run_tool(NAME, "--version") == (0, b"tiny v1.3.0\n", "")


@pytest.mark.parametrize(
    ("args", "first", "last"),
    [
        (("--nope",), "flag provided but not defined: -nope", "tiny: flag provided but not defined: -nope"),
        (("--toppic=t",), "flag provided but not defined: -toppic", "did you mean --topic?"),
        (
            ("-n", "x"),
            'invalid value "x" for flag -n: parse error',
            "-n: want a whole number",
        ),
        (("--topic",), "flag needs an argument: -topic", "tiny: flag needs an argument: -topic"),
    ],
)
def test_a_bad_command_line_is_told_with_the_usage(args: tuple[str, ...], first: str, last: str) -> None:
    ended = run_tool(NAME, *args)
    assert (ended.status, ended.out) == (2, b"")
    lines = ended.err.splitlines()
    assert (lines[0], lines[1], lines[-1]) == (first, "Usage of tiny:", last)


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ((), "--topic required"),
        (("--topic=t",), "--nsqd-tcp-address or --lookupd-http-address required"),
        (
            ("t", "--nsqd-tcp-address=h:1", "--lookupd-http-address=h:1"),
            "use --nsqd-tcp-address or --lookupd-http-address not both",
        ),
        (
            ("t", "--nsqd-tcp-address=http://127.0.0.1:4151"),
            "--nsqd-tcp-address http://127.0.0.1:4151 is a URL: want host:port; nsqlookupds may have URLs",
        ),
        (("t", "--nsqd-tcp-address=h"), "address h: missing port in address"),
        (
            ("t", "--lookupd-http-address=h"),
            "h is not a nsqlookupd address, such as http://host:4161: missing port",
        ),
        (("t", "--nsqd-tcp-address=h:1", "--fail=it failed"), "it failed"),
        (
            ("t", "--nsqd-tcp-address=h:1", "--fail=oserror"),
            "open /there/is/none: no such file or directory",
        ),
        (
            ("t", "--nsqd-tcp-address=h:1", "--consumer-opt=heartbeat_interval,-1"),
            "a consumer needs heartbeats: nsqd refuses SUB without",
        ),
    ],
)
def test_what_can_not_be_is_one_line_and_status_1(args: tuple[str, ...], text: str) -> None:
    ended = run_tool(NAME, *args)
    assert (ended.status, ended.out) == (1, b"")
    (line,) = ended.err.splitlines()
    date, time, told = line.split(" ", 2)
    assert (len(date), len(time), told) == (10, 8, text)


def test_a_tool_reads_and_ends_at_a_signal(nsqd: DaemonProcess) -> None:
    publish(nsqd, "signals", b"one")
    for number in (signal.SIGTERM, signal.SIGINT):
        with start_tool(NAME, "--topic=signals", f"--nsqd-tcp-address={nsqd.tcp}") as tool:
            tool.wait_for_err("subscribed")
            if number is signal.SIGTERM:
                tool.wait_for_out(b"one\n")
            tool.signal(number)
            tool.signal(number)
            assert tool.wait() == 0


def test_lines_of_the_log_have_the_originals_form(nsqd: DaemonProcess) -> None:
    publish(nsqd, "lines", b"one")
    ended = run_tool(NAME, "lines", "-n", "1", "--nsqd-tcp-address", nsqd.tcp)
    first, second, third = (line.split(" ", 2)[2] for line in ended.err.splitlines()[:3])
    assert (first, second) == ("reading lines", "this is an error")
    assert third.startswith(f"INF [lines/tiny] ({nsqd.tcp}) subscribed")
    ended = run_tool(NAME, "lines", "-n", "0", "--log-level=error", "--nsqd-tcp-address=127.0.0.1:1")
    assert ended.err.splitlines()[0].split(" ", 2)[2] == "this is an error"
    assert run_tool(NAME, "--log-level=loud").status == 2


def test_a_nsqd_that_can_not_be_reached_at_the_start_ends_it(nsqd: DaemonProcess) -> None:
    ended = run_tool(
        NAME, "t", "--log-level=fatal", f"--nsqd-tcp-address={nsqd.tcp}", "--nsqd-tcp-address=127.0.0.1:1"
    )
    assert ended.status == 1
    assert "127.0.0.1:1" in ended.err
    assert "refused" in ended.err.lower()


def test_a_nsqlookupd_that_can_not_be_reached_is_tried_again() -> None:
    with start_tool(NAME, "t", "--lookupd-http-address=127.0.0.1:1") as tool:
        tool.wait_for_err("WRN")
        assert tool.stop() == 0


def test_the_variable_nsq_url_says_where_messages_come_from(nsqd: DaemonProcess) -> None:
    publish(nsqd, "url", b"one")
    ended = run_tool(NAME, "url", "-n", "1", env={"NSQ_URL": f"nsqd://{nsqd.tcp}"})
    assert (ended.status, ended.out) == (0, b"one\n")


def test_sighup_kills_a_tool_that_does_not_mind_it(nsqd: DaemonProcess) -> None:
    with start_tool(NAME, "hup", f"--nsqd-tcp-address={nsqd.tcp}") as tool:
        tool.wait_for_err("subscribed")
        tool.signal(signal.SIGHUP)
        assert tool.wait() == -signal.SIGHUP


def test_sighup_calls_what_a_tool_asked_for(nsqd: DaemonProcess) -> None:
    with start_tool(NAME, "hup", "--reload", f"--nsqd-tcp-address={nsqd.tcp}") as tool:
        tool.wait_for_err("subscribed")
        for times in (1, 2):
            tool.signal(signal.SIGHUP)
            tool.wait_for_err("reloaded", times=times)
        assert tool.stop() == 0


def test_a_reader_that_has_gone_ends_it_without_a_word(nsqd: DaemonProcess) -> None:
    with start_tool(NAME, "pipe", "--log-level=fatal", f"--nsqd-tcp-address={nsqd.tcp}") as tool:
        tool.close_out()
        publish(nsqd, "pipe", b"first")
        tool.wait_until_unread()
        publish(nsqd, "pipe", b"second")
        assert tool.wait() == -signal.SIGPIPE
        assert tool.err == ""


@pytest.mark.parametrize("given", ["max_attempts", "max-in-flight,x", "nope,1", "msg_timeout,5", "=,"])
def test_a_bad_client_option_is_a_bad_command_line(given: str) -> None:
    ended = run_tool(NAME, "t", "--nsqd-tcp-address=h:1", f"--consumer-opt={given}")
    assert ended.status == 2
    assert ended.err.startswith(f'invalid value "{given}" for flag -consumer-opt: ')
