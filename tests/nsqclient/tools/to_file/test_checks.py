"""What nsq_to_file refuses before it begins: the original's texts, order and statuses, and what that found out too late."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nsqclient.errors import ConfigError
from nsqclient.tools.to_file.options import Options, settings_of
from tests.support.needs import original
from tests.support.tools import run_tool

NSQD = "--nsqd-tcp-address=127.0.0.1:1"
LOOKUPD = "--lookupd-http-address=127.0.0.1:1"
TOPIC = "--topic=t"

# Flags, text. Each has all that comes later in the order wrong as well, as far as that can be.
AS_THE_ORIGINAL: list[tuple[list[str], str]] = [
    (["--log-level=bad", "--version", "extra", "words"], "unknown arguments: [extra words]"),
    (["--log-level=bad", "--version", "--channel="], "--log-level is invalid"),
    (["--log-level=3", "--version"], "--log-level is invalid"),
    (["--channel=", "--http-client-connect-timeout=0"], "--channel is required"),
    (
        ["--http-client-connect-timeout=0", "--http-client-request-timeout=0"],
        "--http-client-connect-timeout should be positive",
    ),
    (["--http-client-request-timeout=-1s"], "--http-client-request-timeout should be positive"),
    (["--gzip-level=0"], "--nsqd-tcp-address or --lookupd-http-address required."),
    ([NSQD, LOOKUPD, "--gzip-level=0"], "use --nsqd-tcp-address or --lookupd-http-address not both"),
    ([NSQD, "--gzip-level=0"], "invalid --gzip-level value (0), should be 1-9"),
    ([NSQD, "--gzip-level=10", TOPIC], "invalid --gzip-level value (10), should be 1-9"),
    ([NSQD], "--topic or --topic-pattern required"),
    (
        [NSQD, "--topic-pattern=."],
        "--lookupd-http-address must be specified when no --topic specified",
    ),
]
BETTER: list[tuple[list[str], str]] = [
    ([LOOKUPD, "--topic-pattern=("], r"--topic-pattern is invalid: missing \): \("),
    ([LOOKUPD, TOPIC, "--topic-pattern=x"], "no --topic matches --topic-pattern x"),
    ([NSQD, "--topic=b!d"], "--topic is invalid: .*'b!d'.*"),
    ([NSQD, "--topic="], "--topic is invalid: .*''.*"),
    ([NSQD, TOPIC, "--channel=b!d"], "--channel is invalid: .*'b!d'.*"),
    ([NSQD, TOPIC, "--sync-interval=0"], "--sync-interval should be positive"),
    ([NSQD, TOPIC, "--max-in-flight=0"], "--max-in-flight should be positive"),
    ([LOOKUPD, "--topic-pattern=.", "--topic-refresh=-1s"], "--topic-refresh should not be negative"),
    ([NSQD, TOPIC, "--rotate-size=-1"], "--rotate-size should not be negative"),
    ([NSQD, TOPIC, "--rotate-interval=-1s"], "--rotate-interval should not be negative"),
    (["--nsqd-tcp-address=127.0.0.1", TOPIC], ".*127.0.0.1.*port.*"),
    (["--lookupd-http-address=127.0.0.1", TOPIC], ".*127.0.0.1.*missing port"),
    *(
        (
            [NSQD, TOPIC, "--filename-format=x.log", flag],
            "missing <REV> in --filename-format when gzip, rotation, or work dir enabled",
        )
        for flag in ("--gzip", "--rotate-size=1", "--rotate-interval=1s", "--work-dir=/nowhere")
    ),
]
MISUSE = [
    ["--no-such-flag"],
    ["--gzip=maybe"],
    ["--rotate-size=1k"],
    ["--sync-interval=5"],
    ["--max-in-flight"],
]


@pytest.mark.parametrize("program", ["ours", "original"])
@pytest.mark.parametrize(("flags", "text"), AS_THE_ORIGINAL)
def test_bad_options_are_refused_in_the_original_s_order_and_words(
    program: str, flags: list[str], text: str
) -> None:
    ended = run_tool("nsq_to_file" if program == "ours" else original("nsq_to_file"), *flags)
    assert (ended.status, ended.out) == (1, b"")
    assert re.fullmatch(rf"\d{{4}}/\d\d/\d\d \d\d:\d\d:\d\d {re.escape(text)}\n", ended.err)


@pytest.mark.parametrize(("flags", "text"), BETTER)
def test_what_the_original_would_run_with_is_refused_likewise(
    flags: list[str], text: str, tmp_path: Path
) -> None:
    ended = run_tool("nsq_to_file", f"--output-dir={tmp_path}", *flags)
    assert (ended.status, ended.out) == (1, b"")
    assert re.fullmatch(rf"\d{{4}}/\d\d/\d\d \d\d:\d\d:\d\d {text}\n", ended.err)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("program", ["ours", "original"])
@pytest.mark.parametrize("flags", MISUSE)
def test_a_flag_or_value_that_is_none_is_misuse(program: str, flags: list[str]) -> None:
    ended = run_tool("nsq_to_file" if program == "ours" else original("nsq_to_file"), *flags)
    assert (ended.status, ended.out) == (2, b"")
    assert "Usage of " in ended.err


def test_client_options_that_make_no_sense_are_misuse_and_not_ignored() -> None:
    for option in ("no_such_option,1", "max_in_flight,many", "heartbeat_interval,1ns"):
        ended = run_tool("nsq_to_file", NSQD, TOPIC, f"--consumer-opt={option}")
        assert ended.status == 2
        assert option.partition(",")[0] in ended.err


@pytest.mark.parametrize("program", ["ours", "original"])
def test_the_version_is_told_without_anything_else(program: str) -> None:
    ended = run_tool("nsq_to_file" if program == "ours" else original("nsq_to_file"), "--version")
    assert ended == (0, b"nsq_to_file v1.3.0\n", "")


def test_the_help_explains_all_and_is_no_failure() -> None:
    ended = run_tool("nsq_to_file", "--help")
    assert (ended.status, ended.out) == (0, b"")
    assert ended.err.startswith("Usage of nsq_to_file:\n")
    for word in ("--topic-pattern", "--consumer-opt", "nsqlookupd", "logrotate"):
        assert word in ended.err


def test_a_work_folder_that_is_the_output_folder_is_none(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    for other in (tmp_path, f"{tmp_path}/", tmp_path / "link"):
        assert not settings_of(Options(output_dir=str(tmp_path), work_dir=str(other))).separate_work_dir

    with pytest.raises(ConfigError, match="missing <REV>"):
        settings_of(Options(filename_format="x", output_dir=str(tmp_path), work_dir=f"{tmp_path}/w"))
