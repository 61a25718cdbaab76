"""The first lines on stderr are Go's, byte by byte: scripts and people compare them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from nsqcore.durations import Duration
from nsqcore.errors import StartError
from nsqcore.logs import LogLevel
from nsqcore.options import CommandLine, UsageError, at_least, between, option
from nsqcore.version import NSQ_VERSION


def _percentiles(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


@dataclass
class Options:
    log_level: LogLevel = option(LogLevel("INFO"), "the level", parse=LogLevel.parse)
    log_prefix: str = option("[nsqd] ", "the prefix")
    mem_queue_size: int = option(10_000, "messages in memory", check=at_least(0))
    node_id: int = option(7, "the node", key="id", check=between(0, 1023))
    msg_timeout: Duration = option(Duration.parse("60s"), "time for a message")
    snappy: bool = option(True, "offer snappy")
    deflate: bool = option(False, "offer deflate")
    addresses: list[str] = option(list[str](), "where to register", flag="lookupd-tcp-address")
    percentiles: list[float] = option(list[float](), "latencies", parse=_percentiles)


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
    return LINE.parse(argv)[0]


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
    assert given("--percentiles=0.99,0.5", "--percentiles=1") == {"percentiles": [0.99, 0.5, 1.0]}


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


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        ("--mem-queue-size=-1", "want 0 or more"),
        ("--node-id=1024", "want 0 to 1023"),
        ("--node-id=-1", "want 0 to 1023"),
    ],
)
def test_a_number_that_makes_no_sense_is_refused_at_once(argv: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        given(argv)


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
    assert len(flags) == 9 + len(("config", "version", "verbose", "worker-id"))
    assert "  --msg-timeout duration\n    \ttime for a message (default 1m0s)" in usage
    assert '  --log-prefix string\n    \tthe prefix (default "[nsqd] ")' in usage
    assert "  --mem-queue-size int\n    \tmessages in memory (default 10000)" in usage
    assert "  --snappy\n    \toffer snappy (default true)" in usage
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


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("snappy = false", "snappy", False),
        ('snappy = "f"', "snappy", False),
        ("snappy = 0", "snappy", False),
        ("deflate = 1", "deflate", True),
        ("mem_queue_size = 7", "mem_queue_size", 7),
        ('mem_queue_size = "7"', "mem_queue_size", 7),
        ("msg_timeout = 5000", "msg_timeout", Duration.parse("5s")),
        ('msg_timeout = "10s"', "msg_timeout", Duration.parse("10s")),
        ('log_level = "DEBUG"', "log_level", "DEBUG"),
        ('addresses = ["a:1", "b:2"]', "addresses", ["a:1", "b:2"]),
        ('addresses = "a:1,b:2"', "addresses", ["a:1", "b:2"]),
        ('addresses = ""', "addresses", []),
        ("percentiles = [0.99, 1]", "percentiles", [0.99, 1.0]),
        ('percentiles = "0.99, 0.5"', "percentiles", [0.99, 0.5]),
        ("percentiles = 0.5", "percentiles", [0.5]),
    ],
)
def test_a_toml_value_is_taken_in_every_form_that_makes_sense(
    tmp_path: Path, text: str, field: str, value: object
) -> None:
    assert LINE.read_config(written(tmp_path, text)) == ({field: value}, [])


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (
            'log_level = "zzz"',
            [
                "failed parsing log_level zzz",
                (
                    'log_level: invalid value "zzz" for flag -log-level: '
                    "invalid log level 'zzz' (debug, info, warn, error, fatal)"
                ),
            ],
        ),
        ("log_level = 5", ["failed parsing log_level 5", "log_level: want text"]),
        (
            "mem_queue_size = 1.5",
            ["failed parsing mem_queue_size 1.5", "mem_queue_size: want a whole number"],
        ),
        (
            "mem_queue_size = true",
            ["failed parsing mem_queue_size true", "mem_queue_size: want a whole number"],
        ),
        (
            'msg_timeout = "5"',
            ["failed parsing msg_timeout 5", "msg_timeout: want a duration such as 250ms, 60s or 1h30m"],
        ),
        ("snappy = 1.0", ["failed parsing snappy 1.0", "snappy: want true or false"]),
        ("addresses = [1]", ["failed parsing addresses [1]", "addresses: want text"]),
        ("addresses = 1", ["failed parsing addresses 1", "addresses: want text"]),
        ("log_prefix = 1", ["failed parsing log_prefix 1", "log_prefix: want text"]),
    ],
)
def test_a_toml_value_that_makes_none_is_refused_with_what_is_allowed(
    tmp_path: Path, text: str, lines: list[str]
) -> None:
    with pytest.raises(StartError) as refused:
        LINE.read_config(written(tmp_path, text))
    assert str(refused.value).splitlines() == lines


def test_a_number_out_of_bounds_is_refused_in_the_file_too(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"failed parsing id 1024\nid: .* want 0 to 1023"):
        LINE.read_config(written(tmp_path, "id = 1024"))


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
    assert "FATAL: failed to load config file /nowhere/nsqd.toml - " in capsys.readouterr().err


def test_every_line_about_a_wrong_value_is_fatal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        LINE.load(["--config", written(tmp_path, 'log_level = "zzz"')])
    assert end.value.code == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("[nsqd] ") and " FATAL: " in line for line in lines)
    assert lines[0].endswith(" FATAL: failed parsing log_level zzz")


def test_keys_that_mean_nothing_are_named_in_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, "node_id = 5\nmsg_timeout = 1000")
    options = LINE.load(["--config", path])
    assert options == Options(msg_timeout=Duration.parse("1s"))
    assert f"WARNING: {path}: key node_id means nothing to nsqd and is ignored" in capsys.readouterr().err


def test_lists_of_two_option_objects_are_not_shared() -> None:
    first, second = LINE.load([]), LINE.load([])
    first.addresses.append("a:1")
    assert second.addresses == []
