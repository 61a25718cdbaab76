"""``nsq_tail`` as people use it, with real daemons."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path

import pytest

from tests.nsqclient.tools import nsqds
from tests.support.needs import original
from tests.support.processes import DaemonProcess, spawn
from tests.support.tools import Ended, ToolProcess, run_tool, start_tool

SUBSCRIBED = "subscribed"
PIPE = 1 << 16
"""Bytes that a pipe holds."""


def tail(nsqd: DaemonProcess, *args: str, env: dict[str, str] | None = None) -> Ended:
    return run_tool("nsq_tail", f"--nsqd-tcp-address={nsqd.tcp}", *args, env=env)


def test_bodies_are_printed_as_they_are_each_with_a_line_end(nsqd: DaemonProcess) -> None:
    nsqds.publish(nsqd, "bytes", b"one", b"\xff\x00\x1b[2J", b"two\nlines")
    ended = tail(nsqd, "--topic=bytes", "--channel=c", "-n", "3")
    assert (ended.status, ended.out) == (0, b"one\n\xff\x00\x1b[2J\ntwo\nlines\n")
    assert "Adding consumer for topic: bytes" in ended.err


def test_after_so_many_nothing_stays_in_flight_and_nothing_is_lost(nsqd: DaemonProcess) -> None:
    lines = [b"%d" % n for n in range(500)]
    nsqds.publish(nsqd, "enough", *lines)
    ended = tail(nsqd, "--topic=enough", "--channel=c", "-n", "203")
    assert ended.status == 0
    assert len(ended.out.splitlines()) == 203
    counts = nsqds.counts(nsqd, "enough", "c")
    assert (counts["in_flight_count"], counts["depth"], counts["deferred_count"]) == (0, 297, 0)
    rest = tail(nsqd, "--topic=enough", "--channel=c", "-n", "297")
    assert sorted(ended.out.splitlines() + rest.out.splitlines()) == sorted(lines)


def test_no_more_is_received_at_a_time_than_is_to_be_printed(nsqd: DaemonProcess) -> None:
    nsqds.publish(nsqd, "few", *[b"x"] * 10)
    assert tail(nsqd, "--topic=few", "--channel=c", "-n", "2").out == b"x\nx\n"
    counts = nsqds.counts(nsqd, "few", "c")
    assert (counts["depth"], counts["requeue_count"] <= 2) == (8, True)


def test_the_first_topic_that_reaches_the_number_ends_it(nsqd: DaemonProcess) -> None:
    nsqds.publish(nsqd, "first", *[b"1"] * 5)
    nsqds.make_channel(nsqd, "second", "c")
    nsqds.publish(nsqd, "second", b"2")
    ended = tail(nsqd, "--topic=first", "--topic=second", "--channel=c", "-n", "5", "--print-topic")
    assert ended.status == 0
    assert ended.out.splitlines().count(b"first | 1") == 5
    for topic in ("first", "second"):
        assert nsqds.counts(nsqd, topic, "c")["in_flight_count"] == 0


def test_a_total_counts_all_topics(nsqd: DaemonProcess) -> None:
    for topic in ("a", "b"):
        nsqds.publish(nsqd, topic, *[topic.encode()] * 5)
    ended = tail(nsqd, "--topic=a", "--topic=b", "--channel=c", "--total=7", "--max-in-flight=2")
    assert (ended.status, len(ended.out.splitlines())) == (0, 7)
    left = [nsqds.counts(nsqd, topic, "c") for topic in ("a", "b")]
    assert sum(counts["depth"] for counts in left) == 3
    assert sum(counts["in_flight_count"] for counts in left) == 0


def test_without_a_channel_it_has_one_of_its_own(nsqd: DaemonProcess) -> None:
    nsqds.make_channel(nsqd, "own", "kept")
    args = (f"--nsqd-tcp-address={nsqd.tcp}", "--topic=own", "--topic=new", "--max-in-flight=7")
    with start_tool("nsq_tail", *args, "--consumer-opt=client_id,me") as tool:
        tool.wait_for_err(SUBSCRIBED, times=2)
        names = [
            {c["channel_name"] for c in nsqds.topics(nsqd)[topic]["channels"]} for topic in ("own", "new")
        ]
        (name,) = names[1]
        assert re.fullmatch(r"tail\d{6}#ephemeral", name)
        assert names[0] == {name, "kept"}
        (client,) = nsqds.counts(nsqd, "own", name)["clients"]
        assert (client["client_id"], client["ready_count"]) == ("me", 7)
        assert client["user_agent"].startswith("nsq_tail/1.3.0 nsqclient/")
        nsqds.publish(nsqd, "own", b"copied")
        tool.wait_for_out(b"copied\n")
        tool.signal(signal.SIGINT)
        assert tool.wait() == 0
    assert nsqds.counts(nsqd, "own", "kept")["depth"] == 1


def test_json_tells_all_about_a_message(nsqd: DaemonProcess) -> None:
    nsqds.publish(nsqd, "objects", "bøok".encode(), b"\xff")
    ended = tail(nsqd, "--topic=objects", "--channel=c", "-n", "2", "--json")
    text, binary = map(json.loads, ended.out.splitlines())
    assert (text["body"], binary["body_base64"]) == ("bøok", "/w==")
    assert (text["topic"], text["attempts"], text["node"]) == ("objects", 1, nsqd.tcp)
    assert re.fullmatch("[0-9a-f]{16}", text["id"])
    assert text["timestamp"].startswith("20")


def test_a_word_is_a_topic_and_nsq_url_an_address(nsqd: DaemonProcess) -> None:
    nsqds.publish(nsqd, "word", b"x")
    env = {"NSQ_URL": f"nsqd://{nsqd.tcp}"}
    ended = run_tool("nsq_tail", "word", "--channel=c", "-n", "1", env=env)
    assert (ended.status, ended.out) == (0, b"x\n")


def test_a_signal_ends_it_and_hands_back_what_is_not_printed(nsqd: DaemonProcess) -> None:
    args = (f"--nsqd-tcp-address={nsqd.tcp}", "--topic=signal", "--channel=c")
    with start_tool("nsq_tail", *args) as tool:
        nsqds.publish(nsqd, "signal", b"x")
        tool.wait_for_out(b"x\n")
        assert tool.stop() == 0
    assert nsqds.counts(nsqd, "signal", "c")["in_flight_count"] == 0


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["--topic=t"], "--nsqd-tcp-address or --lookupd-http-address required"),
        (
            ["--topic=t", "--nsqd-tcp-address=a:1", "--lookupd-http-address=b:1"],
            "use --nsqd-tcp-address or --lookupd-http-address not both",
        ),
        (["--nsqd-tcp-address=127.0.0.1:1"], "--topic required"),
        (["--topic=t", "--nsqd-tcp-address=127.0.0.1:1"], "refused"),
        (["--topic=no!", "--nsqd-tcp-address=127.0.0.1:1"], "invalid topic name"),
        (["--topic=t", "--channel=no!", "--nsqd-tcp-address=127.0.0.1:1"], "invalid channel name"),
        (["--topic=t", "--json", "--print-topic", "--nsqd-tcp-address=127.0.0.1:1"], "not both"),
        (["--topic=t", "--max-in-flight=-1", "--nsqd-tcp-address=127.0.0.1:1"], "--max-in-flight"),
    ],
)
def test_what_can_not_be_is_refused(args: list[str], text: str) -> None:
    ended = run_tool("nsq_tail", *args)
    assert (ended.status, ended.out) == (1, b"")
    assert text in ended.err


@pytest.mark.parametrize("args", [["-n", "some"], ["--wrong"], ["--consumer-opt=wrong,1"], ["--total=x"]])
def test_a_bad_flag_is_told_with_the_usage(args: list[str]) -> None:
    ended = run_tool("nsq_tail", "--topic=t", "--nsqd-tcp-address=127.0.0.1:1", *args)
    assert ended.status == 2
    assert "Usage of nsq_tail:" in ended.err


def test_help_and_version() -> None:
    ended = run_tool("nsq_tail", "--help")
    assert ended.status == 0
    flags = ("topic", "channel", "max-in-flight", "n", "total", "print-topic", "json", "version", "log-level")
    for flag in (*flags, "nsqd-tcp-address", "lookupd-http-address", "consumer-opt"):
        assert f"  --{flag}" in ended.err or f"  -{flag} int" in ended.err
    ended = run_tool("nsq_tail", "--version")
    assert (ended.status, ended.out) == (0, b"nsq_tail v1.3.0\n")


def test_how_much_is_logged_can_be_told(nsqd: DaemonProcess) -> None:
    nsqds.publish(nsqd, "logged", b"x")
    ended = tail(nsqd, "--topic=logged", "--channel=c", "-n", "1", "--log-level=error")
    assert ended == (0, b"x\n", "")


def test_it_finds_nsqds_by_nsqlookupd(tmp_path: Path) -> None:
    free = ("--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0")
    with (
        spawn("nsqlookupd", *free) as lookupd,
        nsqds.running("nsqd", tmp_path, f"--lookupd-tcp-address={lookupd.tcp}") as nsqd,
    ):
        nsqds.publish(nsqd, "found", b"x")
        args = (f"--lookupd-http-address={lookupd.http}", "--topic=found", "--channel=c", "-n", "1")
        ended = run_tool("nsq_tail", *args, "--consumer-opt=lookupd_poll_interval,50ms")
        assert (ended.status, ended.out) == (0, b"x\n")


def test_it_prints_what_the_original_has(tmp_path: Path) -> None:
    lines = [b"%d" % n for n in range(5000)]
    with nsqds.running(original("nsqd"), tmp_path) as daemon:
        nsqds.publish(daemon, "t", *lines)
        ended = tail(daemon, "--topic=t", "--channel=c", "-n", "4000")
        assert (ended.status, len(ended.out.splitlines())) == (0, 4000)
        counts = nsqds.counts(daemon, "t", "c")
        assert (counts["in_flight_count"], counts["depth"]) == (0, 1000)


# ---- where it prints to


def test_a_reader_that_has_gone_ends_it_as_sigpipe_does(nsqd: DaemonProcess) -> None:
    args = (f"--nsqd-tcp-address={nsqd.tcp}", "--topic=gone", "--channel=c")
    nsqds.publish(nsqd, "gone", b"first")
    with start_tool("nsq_tail", *args) as tool:
        tool.wait_for_out(b"first\n")
        tool.close_out()
        _publish_until_it_ends(nsqd, tool)
        assert tool.wait() == -signal.SIGPIPE
        assert "rror" not in tool.err
    counts = nsqds.counts(nsqd, "gone", "c")
    assert counts["in_flight_count"] == 0
    assert counts["depth"] > 0


def _publish_until_it_ends(nsqd: DaemonProcess, tool: ToolProcess) -> None:
    """What the reader does not take any more may still be taken by the pipe."""
    while tool.poll() is None:
        nsqds.publish(nsqd, "gone", *[b"x" * 1000] * 100)


def test_a_full_disk_is_an_error_and_its_messages_are_handed_back(nsqd: DaemonProcess) -> None:
    nsqds.publish(nsqd, "full", b"one", b"two")
    args = ["nsq_tail", f"--nsqd-tcp-address={nsqd.tcp}", "--topic=full", "--channel=c"]
    with open("/dev/full", "wb") as full:
        done = nsqds.run_into(full, *args)
    assert done.returncode == 1
    assert b"ERROR: failed to write to os.Stdout - write /dev/stdout: no space left on device" in done.stderr
    counts = nsqds.counts(nsqd, "full", "c")
    assert (counts["depth"], counts["in_flight_count"]) == (2, 0)


def test_a_slow_reader_bounds_what_is_received_and_loses_nothing(nsqd: DaemonProcess) -> None:
    lines = [b"%05d" % n + b"x" * 5000 for n in range(2000)]
    for start in range(0, 2000, 500):
        nsqds.publish(nsqd, "slow", *lines[start : start + 500])
    args = (f"--nsqd-tcp-address={nsqd.tcp}", "--topic=slow", "--channel=c", "--max-in-flight=50")
    with nsqds.piped("nsq_tail", *args, "--consumer-opt=msg_timeout,1s") as (process, out):
        first = os.read(out, 100)
        nsqds.until(lambda: nsqds.counts(nsqd, "slow", "c")["in_flight_count"] == 50)
        begun = nsqds.counts(nsqd, "slow", "c")["message_count"]
        nsqds.pause(2.5)  # longer than the message timeout: what is held has to be touched
        counts = nsqds.counts(nsqd, "slow", "c")
        assert (counts["in_flight_count"], counts["timeout_count"]) == (50, 0)
        assert counts["depth"] > 1800
        assert begun == 2000
        rest = [first]
        while sum(map(len, rest)) < 2000 * 5006:
            rest.append(os.read(out, 1 << 16))
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert sorted(b"".join(rest).splitlines()) == lines


def test_a_reader_that_stands_still_does_not_keep_it_from_ending(nsqd: DaemonProcess) -> None:
    nsqds.publish(nsqd, "still", *[b"x" * 5000] * 100)
    with nsqds.piped("nsq_tail", f"--nsqd-tcp-address={nsqd.tcp}", "--topic=still", "--channel=c") as (
        process,
        out,
    ):
        os.read(out, 1)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    counts = nsqds.counts(nsqd, "still", "c")
    printed = 100 - counts["depth"] - counts["deferred_count"]
    assert counts["in_flight_count"] == 0
    assert printed * 5001 <= PIPE, "what the pipe took counts as printed, and nothing else"


# ---- on a terminal


def test_on_a_terminal_there_are_times_and_colours_and_nothing_moves_the_cursor(nsqd: DaemonProcess) -> None:
    nsqds.publish(nsqd, "seen", b"plain \x1b[2J\xff\nend")
    args = (f"--nsqd-tcp-address={nsqd.tcp}", "--topic=seen", "--channel=c", "-n", "1")
    status, shown = nsqds.on_terminal("nsq_tail", *args, env={"TERM": "xterm"})
    assert status == 0
    line = rb"\x1b\[36m\d\d:\d\d:\d\d\.\d{6}\x1b\[0m plain \\x1b\[2J\\xff\\nend\r\n"
    assert re.search(line, shown), shown


def test_on_a_terminal_that_wants_no_colour_there_is_none(nsqd: DaemonProcess) -> None:
    nsqds.publish(nsqd, "grey", b"x")
    args = (f"--nsqd-tcp-address={nsqd.tcp}", "--topic=grey", "--channel=c", "-n", "1", "--print-topic")
    status, shown = nsqds.on_terminal("nsq_tail", *args, env={"TERM": "xterm", "NO_COLOR": "1"})
    assert status == 0
    assert re.search(rb"\d\.\d{6} grey \| x\r\n", shown), shown
    assert b"\x1b[" not in shown
