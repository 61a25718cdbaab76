"""What ``docs/configuration.md`` says of flags is what the programs say of themselves."""

from __future__ import annotations

import pytest

from nsqcore.command_line import CommandLine
from tests.support.flag_docs import DOC, PROGRAMS, table_of, with_tables


def test_the_tables_of_flags_are_up_to_date() -> None:
    text = DOC.read_text("utf-8")
    assert text == with_tables(text), "run python -m tests.support.flag_docs"


@pytest.mark.parametrize("line", PROGRAMS, ids=lambda line: line.program)
def test_every_flag_stands_in_a_table_with_its_key(line: CommandLine) -> None:
    text = DOC.read_text("utf-8")
    assert table_of(line) in text
    for flag in line.flags.values():
        assert f"| `--{flag.name}" in table_of(line)
        assert f"| `{flag.key}` |" in table_of(line)
