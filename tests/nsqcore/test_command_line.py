"""The first lines on stderr are Go's, byte by byte: scripts and people compare them."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from nsqcore.command_line import CommandLine, Given
from nsqcore.durations import Duration
from nsqcore.logs import LogFormat, LogLevel
from nsqcore.options import BadConfig, at_least, option
from nsqcore.version import NSQ_VERSION


def _percentiles(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise BadConfig(f"Could not parse: {text}", "want numbers", plain=True) from None


def _fruit(text: str) -> str:
    if text not in ("true", "false", "apple"):
        raise ValueError(f"no fruit {text}")
    return text


@dataclass
class Options:
    log_level: LogLevel = option(LogLevel("INFO"), "the level", parse=LogLevel.parse)
    log_prefix: str = option("[nsqd] ", "the prefix")
    log_format: LogFormat = option(LogFormat("text"), "the format", parse=LogFormat.parse)
    mem_queue_size: int = option(10_000, "messages in memory", limit=at_least(0))
    node_id: int = option(7, "the node", key="id")
    msg_timeout: Duration = option(Duration.parse("60s"), "time for a message")
    snappy: bool = option(True, "offer snappy")
    deflate: bool = option(False, "offer deflate")
    addresses: list[str] = option(list[str](), "where to register", flag="lookupd-tcp-address")
    percentiles: list[float] = option(list[float](), "latencies", parse=_percentiles, arrange=sorted)
    fruit: str = option("false", "what to eat", parse=_fruit, bare="true")


LINE = CommandLine("nsqd", Options, about="It queues.", ignored=("verbose", "worker-id"))


@pytest.fixture(autouse=True)
def _root_logger() -> Iterator[None]:
    """``load`` configures the root logger, which is pytest's too."""
    root = logging.getLogger()
    before, level, raising = root.handlers, root.level, logging.raiseExceptions
    yield
    root.handlers, logging.raiseExceptions = before, raising
    root.setLevel(level)


def given(*argv: str) -> dict[str, object]:
    return LINE.parse(argv).options


# ---- flags ----


@pytest.mark.parametrize(
    "argv", [["-node-id=5"], ["--node-id=5"], ["-node-id", "5"], ["--node-id", "5"], ["--node-id=0x5"]]
)
def test_one_dash_or_two_with_a_sign_or_a_blank_are_equal(argv: list[str]) -> None:
    assert given(*argv) == {"node_id": 5}


@pytest.mark.parametrize(
    ("text", "number"),
    [("10", 10), ("0x10", 16), ("0X1F", 31), ("0b11", 3), ("0o7", 7), ("010", 8), ("1_000", 1000), ("+5", 5)],
)
def test_integers_are_read_with_their_base(text: str, number: int) -> None:
    assert given(f"--mem-queue-size={text}") == {"mem_queue_size": number}


@pytest.mark.parametrize("text", ["1", "t", "T", "true", "TRUE", "True"])
def test_a_boolean_is_set_by_a_sign(text: str) -> None:
    assert given(f"--deflate={text}") == {"deflate": True}


@pytest.mark.parametrize("text", ["0", "f", "F", "false", "FALSE", "False"])
def test_a_boolean_is_unset_by_a_sign(text: str) -> None:
    assert given(f"--snappy={text}") == {"snappy": False}


def test_a_boolean_takes_no_value_after_a_blank_and_that_word_ends_the_flags() -> None:
    assert given("--snappy", "false", "--node-id=5") == {"snappy": True}


@pytest.mark.parametrize("end", ["extra", "--", "-", ""])
def test_flags_end_at_the_first_other_word(end: str) -> None:
    assert given("--node-id=5", end, "--bogus") == {"node_id": 5}


def test_the_last_of_a_repeated_flag_wins() -> None:
    assert given("--node-id=5", "--node-id=6") == {"node_id": 6}


def test_a_list_flag_adds_with_each_use() -> None:
    assert given("--lookupd-tcp-address=a:1", "--lookupd-tcp-address", "b:2,c") == {
        "addresses": ["a:1", "b:2,c"]
    }
    assert given("--percentiles=0.99,0.5", "--percentiles=1") == {"percentiles": [0.5, 0.99, 1.0]}


def test_a_negative_number_may_follow_a_blank() -> None:
    assert given("--msg-timeout", "-1s") == {"msg_timeout": -1_000_000_000}


def test_flags_that_mean_nothing_any_more_are_accepted() -> None:
    assert given("--verbose", "-worker-id=true", "--verbose=0") == {}


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["--bogus"], "flag provided but not defined: -bogus"),
        (["-bogus=1"], "flag provided but not defined: -bogus"),
        (["---node-id"], "bad flag syntax: ---node-id"),
        (["-=x"], "bad flag syntax: -=x"),
        (["--=x"], "bad flag syntax: --=x"),
        (["-msg-timeout"], "flag needs an argument: -msg-timeout"),
        (["--config"], "flag needs an argument: -config"),
        (["--mem-queue-size=abc"], 'invalid value "abc" for flag -mem-queue-size: parse error'),
        (["--mem-queue-size="], 'invalid value "" for flag -mem-queue-size: parse error'),
        (["--mem-queue-size=08"], 'invalid value "08" for flag -mem-queue-size: parse error'),
        (["--mem-queue-size= 5"], 'invalid value " 5" for flag -mem-queue-size: parse error'),
        (["--mem-queue-size=1.5"], 'invalid value "1.5" for flag -mem-queue-size: parse error'),
        (
            ["--mem-queue-size=9223372036854775808"],
            'invalid value "9223372036854775808" for flag -mem-queue-size: value out of range',
        ),
        (["--msg-timeout=5"], 'invalid value "5" for flag -msg-timeout: parse error'),
        (["--msg-timeout", "xx"], 'invalid value "xx" for flag -msg-timeout: parse error'),
        (["--snappy=maybe"], 'invalid boolean value "maybe" for -snappy: parse error'),
        (["--snappy="], 'invalid boolean value "" for -snappy: parse error'),
        (["--worker-id=5"], 'invalid boolean value "5" for -worker-id: parse error'),
        (["--strict-config=5"], 'invalid boolean value "5" for -strict-config: parse error'),
        (["--fruit=kale"], 'invalid boolean value "kale" for -fruit: no fruit kale'),
        (["--version=5"], 'invalid boolean value "5" for -version: parse error'),
        (
            ["--log-level=bogus"],
            (
                'invalid value "bogus" for flag -log-level: '
                "invalid log level 'bogus' (debug, info, warn, error, fatal)"
            ),
        ),
        (["--version", "--bogus"], "flag provided but not defined: -bogus"),
    ],
)
def test_a_wrong_command_line_is_answered_in_gos_words(
    argv: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        LINE.load(argv)
    out, err = capsys.readouterr()
    assert end.value.code == 2
    assert out == ""
    assert err.splitlines()[:2] == [line, "Usage of nsqd:"]


@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        (["--mem-queue-size=abc"], "-mem-queue-size: want a whole number"),
        (["--msg-timeout=5"], "-msg-timeout: want a duration such as 250ms, 60s or 1h30m"),
        (["--snappy=maybe"], "-snappy: want true or false"),
    ],
)
def test_what_is_allowed_is_said_last(argv: list[str], hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        LINE.load(argv)
    assert capsys.readouterr().err.splitlines()[-1] == hint


def test_a_number_beyond_its_limit_is_left_to_the_start() -> None:
    assert given("--mem-queue-size=-1") == {"mem_queue_size": -1}


def test_a_flag_of_words_may_be_bare_like_a_boolean() -> None:
    assert given("--fruit") == {"fruit": "true"}
    assert given("--fruit=apple") == {"fruit": "apple"}
    assert given("--fruit", "apple", "--node-id=5") == {"fruit": "true"}


@pytest.mark.parametrize("flag", ["-h", "--h", "-help", "--help", "-h=3"])
def test_help_is_the_usage_on_stderr_and_status_0(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        LINE.load([flag])
    out, err = capsys.readouterr()
    assert end.value.code == 0
    assert out == ""
    assert err.startswith("Usage of nsqd:\n")
    assert "It queues." in err


def test_the_usage_lists_the_flags_in_order_with_their_defaults() -> None:
    usage = LINE.usage()
    flags = [line.split()[0] for line in usage.splitlines() if line.startswith("  --")]
    assert flags == sorted(flags)
    assert len(flags) == 11 + len(("config", "strict-config", "version", "verbose", "worker-id"))
    assert "  --msg-timeout duration\n    \ttime for a message (default 1m0s)" in usage
    assert '  --log-prefix string\n    \tthe prefix (default "[nsqd] ")' in usage
    assert "  --mem-queue-size int\n    \tmessages in memory (default 10000)" in usage
    assert "  --snappy\n    \toffer snappy (default true)" in usage
    assert "  --fruit\n    \twhat to eat (default false)" in usage
    assert "  --log-level value\n    \tthe level (default INFO)" in usage
    assert "  --deflate\n    \toffer deflate\n" in usage
    assert "  --lookupd-tcp-address value\n    \twhere to register (may be given several times)" in usage


def test_the_version_is_one_line_on_stdout_and_status_0(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        LINE.load(["--version"])
    out, err = capsys.readouterr()
    assert end.value.code == 0
    assert err == ""
    assert out.startswith(f"nsqd v{NSQ_VERSION} (built w/")
    assert out.endswith(")\n")
    assert out.count("\n") == 1


def test_the_version_can_be_declined() -> None:
    assert given("--version=false", "--node-id=5") == {"node_id": 5}


# ---- config file ----


def written(folder: Path, text: str) -> str:
    path = folder / "nsqd.toml"
    path.write_text(text, "utf-8")
    return str(path)


def test_a_flag_wins_over_the_file_and_the_file_over_the_default(tmp_path: Path) -> None:
    path = written(tmp_path, 'id = 5\nmem_queue_size = 6\nlog_prefix = "[x] "')
    options = LINE.load([f"--config={path}", "--node-id=8"])
    assert options == Options(node_id=8, mem_queue_size=6, log_prefix="[x] ")


@pytest.mark.parametrize("text", ["not toml", "a = 1\na = 2", "\x00"])
def test_a_file_that_is_no_toml_is_a_fatal_line_and_status_1(
    tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(SystemExit) as end:
        LINE.load(["--config", path, "--log-prefix=[other] "])
    err = capsys.readouterr().err
    assert end.value.code == 1
    assert err.startswith("[nsqd] ")
    assert f" FATAL: failed to load config file {path} - " in err


def test_a_file_that_is_not_there_is_too(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        LINE.load(["--config=/nowhere/nsqd.toml"])
    assert end.value.code == 1
    assert capsys.readouterr().err.endswith(
        " FATAL: failed to load config file /nowhere/nsqd.toml - "
        "open /nowhere/nsqd.toml: no such file or directory\n"
    )


def test_every_line_about_a_wrong_value_is_fatal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        LINE.load(["--config", written(tmp_path, 'log_level = "zzz"')])
    assert end.value.code == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("[nsqd] ") and " FATAL: " in line for line in lines)
    assert lines[0].endswith(" FATAL: failed parsing log_level zzz")


def test_what_the_original_leaves_to_gos_logger_has_the_date_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        LINE.load(["--config", written(tmp_path, 'mem_queue_size = "0x10"')])
    assert end.value.code == 1
    first, second = capsys.readouterr().err.splitlines()
    assert re.fullmatch(
        r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d ERROR: Resolve failed to coerce value 0x10 \(10000\) for field "
        r'MemQueueSize - strconv\.ParseInt: parsing "0x10": invalid syntax',
        first,
    )
    assert second.endswith(" mem_queue_size: want a whole number")


def test_so_has_what_is_wrong_with_a_list_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        LINE.load(["--percentiles=abc", "--bogus"])
    assert end.value.code == 1
    assert re.match(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d Could not parse: abc\n", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("key", "remark"),
    [
        ("node_id", "key node_id means nothing to nsqd (did you mean id?)"),
        ("mem-queue-size", "key mem-queue-size means nothing to nsqd (did you mean mem_queue_size?)"),
        ("lookupd_tcp_address", "key lookupd_tcp_address means nothing to nsqd (did you mean addresses?)"),
        ("snapy", "key snapy means nothing to nsqd (did you mean snappy?)"),
        ("LOG_LEVEL", "key LOG_LEVEL means nothing to nsqd (did you mean log_level?)"),
        ("verbose", "key verbose means nothing to nsqd"),
        ("version", "key version means nothing to nsqd"),
    ],
)
def test_a_key_that_means_nothing_is_named_in_the_log_or_refused(
    key: str, remark: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, f"{key} = 5\nmsg_timeout = 1000")
    assert LINE.load(["--config", path]) == Options(msg_timeout=Duration.parse("1s"))
    assert capsys.readouterr().err.endswith(f" WARNING: {path}: {remark}, and is ignored\n")
    with pytest.raises(SystemExit) as end:
        LINE.load(["--config", path, "--strict-config"])
    assert end.value.code == 1
    assert capsys.readouterr().err.endswith(f" FATAL: failed to load config file {path} - {remark}\n")


def test_a_strict_start_takes_a_file_of_known_keys(tmp_path: Path) -> None:
    path = written(tmp_path, "id = 5")
    assert LINE.parse(["--strict-config", "--config", path]) == Given({}, path, True)
    assert LINE.load(["--strict-config", "--config", path]) == Options(node_id=5)
    assert LINE.load(["--strict-config"]) == Options()


def test_lists_of_two_option_objects_are_not_shared() -> None:
    first, second = LINE.load([]), LINE.load([])
    first.addresses.append("a:1")
    assert second.addresses == []
