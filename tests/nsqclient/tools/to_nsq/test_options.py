"""What nsq_to_nsq refuses before it begins, in which words, and with which exit status."""

from __future__ import annotations

import pytest

from nsqclient.tools.common.tool import run_tool
from nsqclient.tools.to_nsq.tool import TOOL

SOURCE = "--nsqd-tcp-address=127.0.0.1:1"
DESTINATION = "--destination-nsqd-tcp-address=127.0.0.1:2"
BOTH = (SOURCE, DESTINATION)


@pytest.fixture(autouse=True)
def no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NSQ_URL", raising=False)


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        ((), "--topic and --channel are required"),
        (("--topic=t", "--channel="), "--topic and --channel are required"),
        (("--topic=t", "--topic=a/b", "--destination-topic=!"), "--topic is invalid"),
        (("--topic=t", "--destination-topic=!", "--channel=!"), "--destination-topic is invalid"),
        (("--topic=t", "--channel=!"), "--channel is invalid"),
        (("--topic=t",), "--nsqd-tcp-address or --lookupd-http-address required"),
        (
            ("--topic=t", SOURCE, "--lookupd-http-address=127.0.0.1:3"),
            "use --nsqd-tcp-address or --lookupd-http-address not both",
        ),
        (("--topic=t", SOURCE), "--destination-nsqd-tcp-address required"),
        (
            ("--topic=t", *BOTH, "--mode=roundrobin"),
            "--mode is roundrobin, want round-robin, hostpool, epsilon-greedy or all",
        ),
        (("--topic=t", *BOTH, "--dead-letter-topic=a b"), "--dead-letter-topic is invalid"),
        (
            ("--topic=t", *BOTH, "--dead-letter-topic=t"),
            "--dead-letter-topic t is a topic that is read: its letters would come back",
        ),
        (
            ("--topic=t", SOURCE, "--destination-nsqd-tcp-address=127.0.0.1:1"),
            "127.0.0.1:1 is both source and destination of the same topic: give another --destination-topic",
        ),
        (("--topic=t", *BOTH, "--max-in-flight=-1"), "--max-in-flight must be 1 or more"),
        (("--topic=t", *BOTH, "--max-in-flight=0"), "--max-in-flight must be 1 or more"),
    ],
)
def test_a_setting_that_can_not_be_is_one_line_and_status_1(
    flags: tuple[str, ...], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_tool(TOOL, flags) == 1
    out, err = capsys.readouterr()
    assert out == ""
    date, time, told = err.split(" ", 2)
    assert told == f"{text}\n"
    assert (len(date), len(time)) == (len("2025/01/31"), len("12:00:00"))


def test_a_destination_without_port_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_tool(TOOL, ["--topic=t", SOURCE, "--destination-nsqd-tcp-address=localhost"]) == 1
    assert "localhost" in capsys.readouterr().err


@pytest.mark.parametrize(
    "flag",
    [
        "--no-such-flag",
        "--max-in-flight=many",
        "--status-every=often",
        "--consumer-opt=no_such_option,1",
        "--producer-opt=no_such_option,1",
        "--producer-opt=write_timeout,soon",
        "--log-level=loud",
    ],
)
def test_a_bad_flag_is_told_with_the_usage_and_status_2(
    flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_tool(TOOL, [flag]) == 2
    err = capsys.readouterr().err
    assert flag.partition("=")[0].lstrip("-") in err.splitlines()[0]
    assert "Usage of nsq_to_nsq:" in err


def test_help_teaches_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_tool(TOOL, ["--help"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "publishes each message to another" in err
    assert "--destination-nsqd-tcp-address" in err


def test_the_version_is_that_of_nsq(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_tool(TOOL, ["--version"]) == 0
    assert capsys.readouterr().out == "nsq_to_nsq v1.3.0\n"
