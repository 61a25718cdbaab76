"""What the pages say of flags is what the programs say of themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from nsqcore.command_line import CommandLine
from tests.support.flag_docs import DOC, PROGRAMS, TOOLS_DOC, table_of, tables, tools, with_tables


@pytest.mark.parametrize("page", [DOC, TOOLS_DOC], ids=lambda page: page.stem)
def test_the_tables_of_flags_are_up_to_date(page: Path) -> None:
    text = page.read_text("utf-8")
    assert text == with_tables(text), "run python -m tests.support.flag_docs"


@pytest.mark.parametrize("line", PROGRAMS, ids=lambda line: line.program)
def test_every_flag_stands_in_a_table_with_its_key(line: CommandLine) -> None:
    text = DOC.read_text("utf-8")
    assert table_of(line) in text
    for flag in line.flags.values():
        assert f"| `--{flag.name}" in table_of(line)
        assert f"| `{flag.key}` |" in table_of(line)


@pytest.mark.parametrize("name", tools())
def test_a_tool_has_a_section_with_the_table_of_its_flags(name: str) -> None:
    text = TOOLS_DOC.read_text("utf-8")
    assert f"\n## {name}\n" in text
    assert f"<!-- flags of {name} -->\n{tables()[f'flags of {name}']}\n<!-- end -->" in text
