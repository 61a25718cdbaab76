"""What is published on the command line is printed on another one."""

from __future__ import annotations

import json
import signal
import subprocess

import pytest

from tests.nsqclient.cli.commands import TIMEOUT, begun, run
from tests.support.processes import DaemonProcess, spawn


def tail(nsqd: DaemonProcess, topic: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return run("tail", topic, "--channel", "c", "--nsqd-tcp-address", nsqd.tcp, *arguments)


def test_a_message_goes_through(nsqd: DaemonProcess) -> None:
    published = run("pub", "one", '{"name": "bøok"}', "--nsqd", nsqd.tcp)
    assert (published.returncode, published.stdout, published.stderr) == (0, b"", b"")
    printed = tail(nsqd, "one", "-n", "1")
    assert (printed.returncode, printed.stdout) == (0, '{"name": "bøok"}\n'.encode()), printed.stderr


def test_each_line_of_standard_input_is_a_message(nsqd: DaemonProcess) -> None:
    lines = [b"%d" % n for n in range(3000)]
    published = run("pub", "many", "-", "--nsqd", nsqd.tcp, given=b"\n".join(lines) + b"\n\n")
    assert published.returncode == 0, published.stderr
    printed = tail(nsqd, "many", "-n", "3000")
    assert sorted(printed.stdout.splitlines()) == sorted(lines)


def test_lines_are_published_as_they_come(nsqd: DaemonProcess) -> None:
    with begun("pub", "live", "--nsqd", nsqd.tcp) as publishing:
        assert publishing.stdin is not None
        publishing.stdin.write(b"first\r\nsec")
        publishing.stdin.flush()
        assert tail(nsqd, "live", "-n", "1").stdout == b"first\n"
        publishing.stdin.write(b"ond")
        publishing.stdin.close()
        assert publishing.wait(TIMEOUT) == 0
    assert tail(nsqd, "live", "-n", "1").stdout == b"second\n"


def test_standard_input_may_be_one_message(nsqd: DaemonProcess) -> None:
    body = bytes(range(256)) * 10
    assert run("pub", "whole", "-", "--whole", "--nsqd", nsqd.tcp, given=body).returncode == 0
    assert tail(nsqd, "whole", "-n", "1").stdout == body + b"\n"


def test_tail_tells_all_about_a_message_as_json(nsqd: DaemonProcess) -> None:
    run("pub", "objects", "-", "--nsqd", nsqd.tcp, given=b"text")
    run("pub", "objects", "-", "--whole", "--nsqd", nsqd.tcp, given=b"\xff")
    printed = tail(nsqd, "objects", "-n", "2", "--json")
    by_text = {"body" in told: told for told in map(json.loads, printed.stdout.splitlines())}
    assert by_text[True]["body"] == "text"
    assert by_text[False]["body_base64"] == "/w=="
    assert (by_text[True]["attempts"], by_text[True]["node"]) == (1, nsqd.tcp)


def test_tail_has_a_channel_of_its_own_and_ends_in_order_when_interrupted(nsqd: DaemonProcess) -> None:
    run("pub", "watched", "before", "--nsqd", nsqd.tcp)
    assert tail(nsqd, "watched", "-n", "1").stdout == b"before\n"
    with begun("tail", "watched", "--nsqd-tcp-address", nsqd.tcp) as tailing:
        assert tailing.stdout is not None
        assert tailing.stderr is not None
        while b"subscribed" not in tailing.stderr.readline():
            pass
        run("pub", "watched", "after", "--nsqd", nsqd.tcp)
        assert tailing.stdout.readline() == b"after\n"
        tailing.send_signal(signal.SIGINT)
        assert tailing.wait(TIMEOUT) == 0
    assert tail(nsqd, "watched", "-n", "1").stdout == b"after\n"


def test_tail_ends_quietly_when_its_reader_goes(nsqd: DaemonProcess) -> None:
    run("pub", "piped", "-", "--nsqd", nsqd.tcp, given=b"1\n2\n")
    with begun("tail", "piped", "--channel=c", "--log-level=warn", "--nsqd-tcp-address", nsqd.tcp) as tailing:
        assert tailing.stdout is not None
        assert tailing.stderr is not None
        tailing.stdout.readline()
        tailing.stdout.close()
        run("pub", "piped", "-", "--nsqd", nsqd.tcp, given=b"3\n4\n")
        assert tailing.wait(TIMEOUT) == -signal.SIGPIPE
        assert tailing.stderr.read() == b""


def test_pub_says_which_message_failed(nsqd: DaemonProcess) -> None:
    refused = run("pub", "limits", "-", "--nsqd", nsqd.tcp, given=b"fine\n" + b"x" * 1_100_000)
    assert refused.returncode == 1
    assert b"message 2: the message has 1100000 bytes" in refused.stderr
    assert tail(nsqd, "limits", "-n", "1").stdout == b"fine\n"


def test_pub_fails_when_nobody_listens() -> None:
    failed = run("pub", "t", "x", "--nsqd", "127.0.0.1:1", "--timeout", "0.2")
    assert (failed.returncode, failed.stdout) == (1, b"")
    assert b"message 1: no nsqd" in failed.stderr
    assert b"Traceback" not in failed.stderr


def test_where_to_connect_may_be_told_by_the_environment(nsqd: DaemonProcess) -> None:
    env = {"NSQ_URL": f"nsqd://{nsqd.tcp}"}
    assert run("pub", "env", "x", env=env).returncode == 0
    assert run("tail", "env", "-n", "1", "--channel", "c", env=env).stdout == b"x\n"


def test_a_url_and_nsqlookupd_work_too(nsqd: DaemonProcess) -> None:
    assert run("pub", "url", "x", "--url", f"nsqd://{nsqd.tcp}?heartbeat=10").returncode == 0
    assert tail(nsqd, "url", "-n", "1").stdout == b"x\n"
    with spawn("nsqlookupd", "--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0") as lookupd:
        failed = run("check", "--lookupd", f"http://{lookupd.http}", "--timeout", "0.5")
        assert failed.returncode == 1
        assert b"nsq: " in failed.stderr


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("pub", "t", "x"), b"give --nsqd-tcp-address, --lookupd-http-address or --url"),
        (("pub", "a b", "x", "--nsqd", "127.0.0.1:1"), b"topic name 'a b' is not valid"),
        (("pub", "t", "x", "--delay", "-1", "--nsqd", "127.0.0.1:1"), b"-1 s is not within 0 to 3600"),
        (("pub", "t", "x", "--whole", "--nsqd", "127.0.0.1:1"), b"--whole is for standard input"),
        (("pub", "t", "x", "--nsqd", "nonsense"), b"nonsense"),
        (("pub", "t", "x", "--url", "http://h:4161"), b"nsqlookup://"),
        (("check", "--nsqd", "n:1", "--lookupd", "http://n:1"), b"not allowed with"),
        (("dlq", "list", "t", "--wait", "0", "--nsqd", "127.0.0.1:1"), b"--wait is 0"),
        (("dlq", "drop", "t", "--nsqd", "127.0.0.1:1"), b"say --yes"),
        (("run", "nowhere:app"), b"no module 'nowhere'"),
        (("run", "json:nothing"), b"'nothing' in module 'json' is no App"),
        (("run", ":app"), b"MODULE:NAME"),
        (("run", "json", "--workers", "0"), b"--workers is 0"),
        (("pub",), b"TOPIC"),
    ],
)
def test_what_makes_no_sense_is_told_and_has_status_2(arguments: tuple[str, ...], text: bytes) -> None:
    refused = run(*arguments)
    assert refused.returncode == 2, refused.stderr
    assert text in refused.stderr
    assert b"Traceback" not in refused.stderr
