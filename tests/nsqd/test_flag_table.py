"""Every flag of nsqd with good, borderline and bad values: the first line and the status are the original's."""

from __future__ import annotations

from pathlib import Path

import pytest

from nsqd.checks import check
from nsqd.options import command_line
from tests.support.flag_table import SECOND_LINE, STAMP, Row, of_original, outcome, rows_of_kind
from tests.support.processes import run_to_end

LINE = command_line()
FATAL = "[nsqd] FATAL: failed to instantiate nsqd - "
UNKNOWN_LEVEL = "(debug, info, warn, error, fatal)"
OURS = ("log-format", "mem-queue-bytes", "portable-exit")


def refused(flag: str, text: str, why: str, *, ours: bool = False) -> Row:
    return Row((f"--{flag}={text}",), 2, f'invalid value "{text}" for flag -{flag}: {why}', ours)


def too_far(flag: str, *texts: str, must: str, ours: bool = True) -> list[Row]:
    return [Row((f"--{flag}={text}",), 1, f"{FATAL}--{flag} must be {must}", ours) for text in texts]


def taken(flag: str, *texts: str) -> list[Row]:
    return [Row((f"--{flag}={text}",)) for text in texts]


SPECIAL = [
    *taken("log-level", "debug", "INFO", "Warn", "error", "fatal"),
    *(refused("log-level", t, f"invalid log level '{t}' {UNKNOWN_LEVEL}") for t in ("", "bogus", "warning", "1")),
    *taken("log-format", "text", "json"),
    *(refused("log-format", t, f"invalid log format '{t}' (text, json)", ours=True) for t in ("", "JSON", "xml")),
    *taken("node-id", "0", "1023"),
    *too_far("node-id", "-1", "1024", must="[0,1024)", ours=False),
    *taken("max-deflate-level", "1", "9"),
    *too_far("max-deflate-level", "0", "10", "-1", must="[1,9]", ours=False),
    *taken("auth-http-request-method", "get", "post"),
    *(
        Row((f"--auth-http-request-method={text}",), 1, f"{FATAL}--auth-http-request-method must be post or get")
        for text in ("", "GET", "put")
    ),
    *taken("e2e-processing-latency-percentile", "1", "0.5,0.99", "1e-9", "+0.5"),
    *(
        Row((f"--e2e-processing-latency-percentile={text}",), 1, f"Could not parse: {part}")
        for text, part in (("abc", "abc"), ("", ""), ("0.5,,1", ""), (" 0.5", " 0.5"), ("0.5, 1", " 1"))
    ),
    *(
        Row(
            (f"--e2e-processing-latency-percentile={text}",),
            1,
            f"{FATAL}invalid E2E processing latency percentile: {shown}",
        )
        for text, shown in (("0", "0"), ("1.5", "1.5"), ("-0.5", "-0.5"), ("inf", "+Inf"), ("0.5,2", "2"))
    ),
    Row(("--e2e-processing-latency-percentile=nan",), 1, f"{FATAL}invalid E2E processing latency percentile: NaN", True),
    *taken("tls-required", "false", "F", "0"),
    *(
        Row(
            (f"--tls-required={text}",),
            2,
            f'invalid boolean value "{text}" for -tls-required: strconv.ParseBool: parsing "{text}": invalid syntax',
        )
        for text in ("", "bogus", "2", "tcp_https")
    ),
    *taken("tls-min-version", "tls1.0", "TLS1.1", "tls1.2", "tls1.3", ""),
    *(
        refused("tls-min-version", t, f'unknown tlsVersionOption "{t}"')
        for t in ("ssl3.0", "tls1.4", "1.2", "bogus")
    ),
    *taken("mem-queue-size", "0"),
    *too_far("mem-queue-size", "-1", must="0 or more"),
    *too_far("mem-queue-bytes", "-1", must="0 or more"),
    *taken("sync-every", "0", "-1"),
    *taken("sync-timeout", "1ns"),
    *too_far("sync-timeout", "0", "-1s", must="above 0"),
    *taken("max-bytes-per-file", "0", "1"),
    *taken("queue-scan-selection-count", "0"),
    *too_far("queue-scan-selection-count", "-1", must="0 or more"),
    *taken("queue-scan-worker-pool-max", "0", "-1"),
    *taken("msg-timeout", "1ns", "0", "-1s"),
    *taken("max-msg-timeout", "0", "-1s"),
    *taken("max-msg-size", "0", "-1"),
    *taken("max-req-timeout", "0", "-1s"),
    *taken("max-body-size", "0", "-1"),
    *taken("max-rdy-count", "0", "-1"),
    *too_far("output-buffer-timeout", "0", "-250ms", must="above 0"),
    *taken("max-channel-consumers", "0", "-1"),
    *taken("statsd-interval", "0", "-1s"),  # statsd is off
    *(
        Row(("--statsd-address=127.0.0.1:1", f"--statsd-interval={text}"), 1, f"{FATAL}--statsd-interval must be 1ms or more", True)
        for text in ("0", "-1s", "999us")
    ),
    *taken("log-prefix", "", "x"),
    *taken("tcp-address", "", "127.0.0.1:0", "/run/x", "localhost"),
    *taken("http-address", "", "x.sock"),
    *taken("broadcast-tcp-port", "-1"),
    *taken("data-path", ""),
    *taken("enable-experiment", "topology-aware-consumption", "anything"),
    # The order of what several wrong flags are answered.
    Row(("--node-id=5000", "--max-deflate-level=10"), 1, f"{FATAL}--max-deflate-level must be [1,9]"),
    Row(("--auth-http-request-method=x", "--node-id=5000"), 1, f"{FATAL}--node-id must be [0,1024)"),
    Row(
        ("--e2e-processing-latency-percentile=2", "--auth-http-request-method=x"),
        1,
        f"{FATAL}--auth-http-request-method must be post or get",
    ),
    Row(("--mem-queue-size=-1", "--node-id=5000"), 1, f"{FATAL}--node-id must be [0,1024)"),
    # What every command line has.
    Row(("--verbose", "--verbose=false", "-verbose=t")),
    Row(("--verbose=2",), 2, 'invalid boolean value "2" for -verbose: parse error'),
    Row(("--worker-id",)),
    Row(("--worker-id=5",), 2, 'invalid boolean value "5" for -worker-id: parse error'),
    Row(("--worker-id", "5", "--bogus")),
    Row(("--bogus",), 2, "flag provided but not defined: -bogus"),
    Row(("-bogus=1",), 2, "flag provided but not defined: -bogus"),
    Row(("---x",), 2, "bad flag syntax: ---x"),
    Row(("-=x",), 2, "bad flag syntax: -=x"),
    Row(("--config",), 2, "flag needs an argument: -config"),
    Row(("--config=",)),
    Row(("--config=/nope",), 1, "[nsqd] FATAL: failed to load config file /nope - open /nope: no such file or directory"),
    Row(("--config=/",), 1, "[nsqd] FATAL: failed to load config file / - read /: is a directory"),
    Row(("--strict-config",)),
    Row(("--strict-config=x",), 2, 'invalid boolean value "x" for -strict-config: parse error', True),
    Row(("extra", "--bogus")),
    Row(("--", "--bogus")),
    Row(("-h",), 0, "Usage of nsqd:"),
    Row(("--help",), 0, "Usage of nsqd:"),
    Row(("--bogus", "--help"), 2, "flag provided but not defined: -bogus"),
]  # fmt: skip
TABLE = [row for flag in LINE.flags.values() for row in rows_of_kind(flag)] + SPECIAL


def _named(row: Row) -> str:
    return " ".join(row.argv)


@pytest.mark.parametrize("row", TABLE, ids=_named)
def test_a_command_line_is_answered_as_the_original_does(
    row: Row, capsys: pytest.CaptureFixture[str]
) -> None:
    status, lines = outcome(LINE, check, row.argv, capsys)
    assert (status, lines[0] if lines else "") == (row.status, row.line)
    if status == 2:
        assert lines[1] == SECOND_LINE.format("nsqd")


def test_a_folder_that_is_missing_is_told_before_everything_else(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    ended = run_to_end("nsqd", f"--data-path={missing}", "--max-deflate-level=10")
    assert ended.returncode == 1
    assert [STAMP.sub("", line) for line in ended.stderr.splitlines()] == [
        f"{FATAL}failed to lock data-path: open {missing}: no such file or directory"
    ]


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        ("--max-deflate-level=10", f"{FATAL}--max-deflate-level must be [1,9]"),
        ("--mem-queue-size=-1", f"{FATAL}--mem-queue-size must be 0 or more"),
    ],
)
def test_a_value_beyond_its_limit_ends_the_process_with_that_line_alone(
    argv: str, line: str, tmp_path: Path
) -> None:
    ended = run_to_end("nsqd", f"--data-path={tmp_path}", "--tcp-address=x.sock", argv)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert [STAMP.sub("", text) for text in ended.stderr.splitlines()] == [line]
    assert not (tmp_path / "nsqd.dat").exists()


def test_every_flag_has_its_rows() -> None:
    named = {word.lstrip("-").partition("=")[0] for row in TABLE for word in row.argv}
    assert set(LINE.flags) - named == set()


@pytest.mark.parametrize(
    "row",
    [r for r in TABLE if r.status is not None and not r.ours and not r.argv[0].lstrip("-").startswith(OURS)],
    ids=_named,
)
def test_the_original_answers_the_same(row: Row, tmp_path: Path) -> None:
    status, lines = of_original("nsqd", row.argv, tmp_path)
    assert (status, lines[0]) == (row.status, row.line)
    if status == 2:
        assert lines[1] == SECOND_LINE.format("nsqd")
