"""Every flag of nsqlookupd with good, borderline and bad values: the first line and the status are the original's."""

from __future__ import annotations

from pathlib import Path

import pytest

from nsqlookupd.options import command_line
from tests.support.flag_table import SECOND_LINE, STAMP, Row, of_original, outcome, rows_of_kind
from tests.support.processes import run_to_end

LINE = command_line()
LEVELS = "(debug, info, warn, error, fatal)"
SPECIAL = [
    *(Row((f"--log-level={text}",)) for text in ("debug", "INFO", "Warn", "error", "fatal")),
    *(
        Row((f"--log-level={t}",), 2, f"invalid value \"{t}\" for flag -log-level: invalid log level '{t}' {LEVELS}")
        for t in ("", "zzz", "warning")
    ),
    Row(("--log-format=json",)),
    Row(("--log-format=x",), 2, "invalid value \"x\" for flag -log-format: invalid log format 'x' (text, json)", True),
    Row(("--log-prefix=",)),
    Row(("--tcp-address=127.0.0.1:0",)),
    Row(("--http-address=127.0.0.1:0",)),
    Row(("--broadcast-address=",)),
    Row(("--inactive-producer-timeout=0",)),
    Row(("--inactive-producer-timeout=-1s",)),
    Row(("--tombstone-lifetime=0",)),
    Row(("--verbose",)),
    Row(("--verbose=x",), 2, 'invalid boolean value "x" for -verbose: parse error'),
    Row(("--bogus",), 2, "flag provided but not defined: -bogus"),
    Row(("--worker-id",), 2, "flag provided but not defined: -worker-id"),
    Row(("--config",), 2, "flag needs an argument: -config"),
    Row(("--config=/nope",), 1, "[nsqlookupd] FATAL: failed to load config file /nope - open /nope: no such file or directory"),
    Row(("extra", "--version")),
    Row(("--help",), 0, "Usage of nsqlookupd:"),
]  # fmt: skip
TABLE = [row for flag in LINE.flags.values() for row in rows_of_kind(flag)] + SPECIAL


def _named(row: Row) -> str:
    return " ".join(row.argv)


@pytest.mark.parametrize("row", TABLE, ids=_named)
def test_a_command_line_is_answered_as_the_original_does(
    row: Row, capsys: pytest.CaptureFixture[str]
) -> None:
    status, lines = outcome(LINE, lambda options: None, row.argv, capsys)
    assert (status, lines[0] if lines else "") == (row.status, row.line)
    if status == 2:
        assert lines[1] == SECOND_LINE.format("nsqlookupd")


def test_every_flag_has_its_rows() -> None:
    named = {word.lstrip("-").partition("=")[0] for row in TABLE for word in row.argv}
    assert set(LINE.flags) - named == set()


@pytest.mark.parametrize(
    "row",
    [r for r in TABLE if r.status is not None and not r.ours and not r.argv[0].startswith("--log-format")],
    ids=_named,
)
def test_the_original_answers_the_same(row: Row, tmp_path: Path) -> None:
    status, lines = of_original("nsqlookupd", row.argv, tmp_path)
    assert (status, lines[0]) == (row.status, row.line)


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("localhost", "listen tcp: address localhost: missing port in address"),
        ("a:b:1", "listen tcp: address a:b:1: too many colons in address"),
        ("127.0.0.1:99999", "listen tcp: address 99999: invalid port"),
        ("127.0.0.1:xyz", "listen tcp: address tcp/xyz: unknown port"),
    ],
)
@pytest.mark.parametrize("listener", ["tcp", "http"])
def test_an_address_that_can_not_be_had_ends_the_start(listener: str, address: str, why: str) -> None:
    free = {"tcp": "127.0.0.1:0", "http": "127.0.0.1:0"} | {listener: address}
    ended = run_to_end("nsqlookupd", *(f"--{name}-address={where}" for name, where in free.items()))
    assert (ended.returncode, ended.stdout) == (1, "")
    lines = [STAMP.sub("", text) for text in ended.stderr.splitlines()]
    assert (
        lines[-1]
        == f"[nsqlookupd] FATAL: failed to instantiate nsqlookupd - listen ({address}) failed - {why}"
    )
    assert "closing" not in ended.stderr
