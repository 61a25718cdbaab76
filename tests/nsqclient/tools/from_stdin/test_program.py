"""``to_nsq`` as people use it, with real daemons."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.nsqclient.tools import nsqds
from tests.support.needs import original
from tests.support.processes import DaemonProcess
from tests.support.tools import Ended, run_tool, start_tool


def to_nsq(*args: str, stdin: bytes = b"", env: dict[str, str] | None = None) -> Ended:
    return run_tool("to_nsq", *args, stdin=stdin, env=env)


def test_each_record_is_a_message_and_the_last_one_is_whole(nsqd: DaemonProcess) -> None:
    ended = to_nsq("--topic=lines", f"--nsqd-tcp-address={nsqd.tcp}", stdin=b"one\n\ntwo\nlastnodelim")
    assert (ended.status, ended.out) == (0, b"")
    assert sorted(nsqds.take(nsqd, "lines", 3)) == [b"lastnodelim", b"one", b"two"]
    assert nsqds.topics(nsqd)["lines"]["message_count"] == 3


def test_a_single_last_character_is_a_record(nsqd: DaemonProcess) -> None:
    assert to_nsq("--topic=single", f"--nsqd-tcp-address={nsqd.tcp}", stdin=b"x").status == 0
    assert nsqds.take(nsqd, "single", 1) == [b"x"]


@pytest.mark.parametrize("delimiter", [b",", b"\t", b"\xff"])
def test_the_delimiter_is_any_one_byte(nsqd: DaemonProcess, delimiter: bytes) -> None:
    topic = f"delimited-{delimiter.hex()}"
    flag = f"--delimiter={os.fsdecode(delimiter)}"
    stdin = delimiter.join([b"one", b"t\nwo", b"three\n"])
    assert to_nsq(f"--topic={topic}", f"--nsqd-tcp-address={nsqd.tcp}", flag, stdin=stdin).status == 0
    assert sorted(nsqds.take(nsqd, topic, 3)) == [b"one", b"t\nwo", b"three\n"]


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ([], "--topic required"),
        (["--topic=t", "--delimiter=ab"], "--delimiter must be a single byte"),
        (["--topic=t", r"--delimiter=\n"], "--delimiter must be a single byte"),
        (["--topic=t", "--delimiter="], "--delimiter must be a single byte"),
        (["--topic=t", "--delimiter=ø"], "--delimiter must be a single byte"),
        (["--topic=t"], "--nsqd-tcp-address required"),
        (["--topic=t", "--nsqd-tcp-address=127.0.0.1:1", "--mode=any"], "--mode any is unknown"),
        (["--topic=no!", "--nsqd-tcp-address=127.0.0.1:1"], "topic name 'no!' is not valid"),
        (["--topic=t", "--nsqd-tcp-address=nowhere"], "nowhere"),
    ],
)
def test_what_can_not_be_is_refused(args: list[str], text: str) -> None:
    ended = to_nsq(*args)
    assert ended.status == 1
    assert text in ended.err
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize(
    "args", [["--rate=fast"], ["--wrong"], ["--producer-opt=wrong,1"], ["--producer-opt=snappy,perhaps"]]
)
def test_a_bad_flag_is_told_with_the_usage(args: list[str]) -> None:
    ended = to_nsq("--topic=t", "--nsqd-tcp-address=127.0.0.1:1", *args)
    assert ended.status == 2
    assert "Usage of to_nsq:" in ended.err


def test_help_tells_every_flag_and_words_that_are_no_flags_are_ignored(nsqd: DaemonProcess) -> None:
    ended = to_nsq("--help")
    assert ended.status == 0
    for flag in ("topic", "nsqd-tcp-address", "delimiter", "rate", "producer-opt", "mode", "log-level"):
        assert f"  --{flag}" in ended.err
    ended = to_nsq("--topic=words", f"--nsqd-tcp-address={nsqd.tcp}", "word", "--wrong", stdin=b"x")
    assert ended.status == 0


def test_producer_options_reach_nsqd(nsqd: DaemonProcess) -> None:
    args = ("--topic=options", f"--nsqd-tcp-address={nsqd.tcp}", "--producer-opt=client_id,me")
    with start_tool("to_nsq", *args, "--producer-opt=snappy") as tool:
        tool.stdin.write(b"x\n")
        tool.stdin.flush()
        assert nsqds.take(nsqd, "options", 1) == [b"x"]
        (producer,) = nsqds.producers(nsqd, "options")
        assert (producer["client_id"], producer["snappy"]) == ("me", True)
        assert producer["user_agent"].startswith("to_nsq/1.3.0 nsqclient/")
        tool.stdin.close()
        assert tool.wait() == 0


def test_ten_records_at_a_rate_take_as_long_as_ten_periods(nsqd: DaemonProcess) -> None:
    stdin = b"".join(b"%d\n" % n for n in range(10))
    args = ("--topic=rated", f"--nsqd-tcp-address={nsqd.tcp}")
    begin = time.monotonic()
    assert to_nsq(*args, stdin=stdin).status == 0
    at_once = time.monotonic() - begin
    ended = to_nsq(*args, "--rate=10", stdin=stdin)
    taken = time.monotonic() - begin - at_once
    assert ended.status == 0
    assert "Throttling messages rate to max:10/second" in ended.err
    assert 1.0 <= taken < 1.5 + at_once
    assert len(nsqds.take(nsqd, "rated", 20)) == 20


def test_how_much_is_logged_can_be_told(nsqd: DaemonProcess) -> None:
    args = ("--topic=logged", f"--nsqd-tcp-address={nsqd.tcp}", "--rate=1000")
    assert "Throttling" in to_nsq(*args, stdin=b"x").err
    assert to_nsq(*args, "--log-level=error", stdin=b"x") == (0, b"", "")


def test_version() -> None:
    ended = to_nsq("--version")
    assert (ended.status, ended.out) == (0, b"to_nsq v1.3.0\n")


def test_a_line_that_comes_alone_is_published_at_once(nsqd: DaemonProcess) -> None:
    with start_tool("to_nsq", "--topic=alone", f"--nsqd-tcp-address={nsqd.tcp}") as tool:
        for line in (b"first", b"second"):
            tool.stdin.write(line + b"\n")
            tool.stdin.flush()
            assert nsqds.take(nsqd, "alone", 1) == [line]
        tool.stdin.close()
        assert tool.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_when_what_was_read_is_confirmed(
    nsqd: DaemonProcess, number: signal.Signals
) -> None:
    topic = f"signal-{number.name}"
    with start_tool("to_nsq", f"--topic={topic}", f"--nsqd-tcp-address={nsqd.tcp}") as tool:
        tool.stdin.write(b"whole\nhal")
        tool.stdin.flush()
        assert nsqds.take(nsqd, topic, 1) == [b"whole"]
        tool.signal(number)
        assert tool.wait() == 0
        assert "the last 3 bytes that were read are no whole record" in tool.err
    assert nsqds.topics(nsqd)[topic]["message_count"] == 1


def test_a_signal_does_not_wait_for_the_rate_and_loses_nothing(nsqd: DaemonProcess) -> None:
    with start_tool("to_nsq", "--topic=hurried", "--rate=1", f"--nsqd-tcp-address={nsqd.tcp}") as tool:
        tool.stdin.write(b"".join(b"%d\n" % n for n in range(100)))
        tool.stdin.flush()
        assert nsqds.take(nsqd, "hurried", 1) == [b"0"]
        tool.signal(signal.SIGINT)
        assert tool.wait() == 0
    assert len(nsqds.take(nsqd, "hurried", 99)) == 99


def test_every_record_goes_to_every_address(nsqd: DaemonProcess, tmp_path: Path) -> None:
    lines = [b"%d" % n for n in range(5000)]
    with nsqds.running("nsqd", tmp_path) as other:
        ended = to_nsq(
            "--topic=both",
            f"--nsqd-tcp-address={nsqd.tcp}",
            f"--nsqd-tcp-address={other.tcp}",
            stdin=b"\n".join(lines),
        )
        assert ended.status == 0
        assert sorted(nsqds.take(nsqd, "both", 5000)) == sorted(lines)
        assert sorted(nsqds.take(other, "both", 5000)) == sorted(lines)


def test_with_failover_a_record_goes_to_one_address_and_another_stands_in(tmp_path: Path) -> None:
    with nsqds.running("nsqd", tmp_path / "a") as a, nsqds.running("nsqd", tmp_path / "b") as b:
        args = ("--topic=over", f"--nsqd-tcp-address={a.tcp}", f"--nsqd-tcp-address={b.tcp}")
        with start_tool("to_nsq", *args, "--mode=failover") as tool:
            tool.stdin.write(b"one\n")
            tool.stdin.flush()
            first, second = _by_messages(a, b, "over")
            assert "over" not in nsqds.topics(second)
            first.stop()
            tool.stdin.write(b"two\n")
            tool.stdin.flush()
            assert nsqds.take(second, "over", 1) == [b"two"]
            tool.stdin.close()
            assert tool.wait() == 0


def _by_messages(a: DaemonProcess, b: DaemonProcess, topic: str) -> tuple[DaemonProcess, DaemonProcess]:
    """The one that has the topic, and the other one, once one has it."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for one, other in (a, b), (b, a):
            if topic in nsqds.topics(one):
                return one, other
    raise AssertionError(f"nobody has {topic}")


def test_nsq_url_says_where_to_publish_when_no_flag_does(nsqd: DaemonProcess) -> None:
    ended = to_nsq("--topic=url", stdin=b"x", env={"NSQ_URL": f"nsqd://{nsqd.tcp}"})
    assert ended.status == 0
    assert nsqds.take(nsqd, "url", 1) == [b"x"]


def test_an_empty_input_is_fine_wherever_nsqd_is() -> None:
    ended = to_nsq("--topic=t", "--nsqd-tcp-address=127.0.0.1:1")
    assert ended.status == 0


def test_it_publishes_to_the_original(tmp_path: Path) -> None:
    lines = [b"%d" % n for n in range(5000)]
    with nsqds.running(original("nsqd"), tmp_path) as daemon:
        args = ("--topic=t", f"--nsqd-tcp-address={daemon.tcp}", "--producer-opt=snappy")
        assert to_nsq(*args, stdin=b"\n".join(lines)).status == 0
        assert sorted(nsqds.take(daemon, "t", 5000)) == sorted(lines)
