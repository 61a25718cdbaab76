"""The ``nsq`` command itself: its list, its help, and the way to each command."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import tomllib
from importlib import import_module

import pytest

from nsqclient.cli import commands
from nsqclient.cli.commands import COMMANDS, DAEMONS, Command
from tests.nsqclient.cli.commands import CLEAN, TIMEOUT
from tests.support.flag_docs import tools
from tests.support.processes import ROOT
from tests.support.tools import command_of, run_tool

TOOLS = [command for command in COMMANDS if command.classic]
OWN = [command for command in COMMANDS if not command.classic]


def name_of(command: Command) -> str:
    return command.name


def test_alone_it_lists_everything_there_is() -> None:
    ended = run_tool("nsq")
    assert (ended.status, ended.err) == (0, "")
    text = ended.out.decode()
    lines = text.splitlines()
    assert lines[0] == "Usage: nsq COMMAND ..."
    for command in COMMANDS:
        (line,) = [line for line in lines if line.startswith(f"  {command.name} ")]
        assert command.summary in line
        assert command.classic in line
    for name, _ in DAEMONS:
        assert any(line.startswith(f"  {name} ") for line in lines)
    for group in ("Watch", "Archive and forward", "Publish", "Run apps", "Look after"):
        assert lines.count(group) == 1
    assert "\x1b" not in text
    assert max(map(len, lines)) <= 120
    for words in (["--help"], ["-h"], ["help"]):
        assert run_tool("nsq", *words) == ended


@pytest.mark.parametrize(("env", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_on_a_terminal_the_list_has_headings_that_stand_out(env: dict[str, str], coloured: bool) -> None:
    ours, theirs = pty.openpty()
    environ = {**CLEAN, "TERM": "xterm", **env}
    done = subprocess.run(command_of("nsq", []), stdout=theirs, timeout=TIMEOUT, check=True, env=environ)
    os.close(theirs)
    text = b""
    try:
        while data := os.read(ours, 1 << 16):
            text += data
    except OSError:  # the end, on Linux
        pass
    os.close(ours)
    assert done.returncode == 0
    assert (b"\x1b[1mWatch\x1b[0m" in text) == coloured
    assert b"Watch" in text


def test_every_tool_is_a_command_with_its_own_summary() -> None:
    assert {command.classic: command.summary for command in TOOLS} == {
        name: tool.summary for name, tool in tools().items()
    }
    assert {command.classic: command.name for command in TOOLS} == {
        name: tool.command for name, tool in tools().items()
    }


@pytest.mark.parametrize("command", TOOLS, ids=name_of)
def test_help_for_a_tool_is_printed_and_says_how_it_is_called(command: Command) -> None:
    called = f"nsq {command.name}"
    helped = run_tool("nsq", "help", command.name)
    assert (helped.status, helped.err) == (0, "")
    assert helped.out.decode().startswith(f"Usage of {called}:\n")
    # as the original's, its own --help goes to stderr
    assert run_tool("nsq", command.name, "--help") == (0, b"", helped.out.decode())
    by_name = run_tool(command.classic, "--help")
    assert by_name.err == helped.out.decode().replace(
        f"Usage of {called}:", f"Usage of {command.classic}:", 1
    )


@pytest.mark.parametrize("command", OWN, ids=name_of)
def test_help_for_a_command_of_ours_is_printed(command: Command) -> None:
    helped = run_tool("nsq", "help", command.name)
    assert (helped.status, helped.err) == (0, "")
    assert helped.out.decode().startswith(f"usage: nsq {command.name} ")
    assert run_tool("nsq", command.name, "--help") == helped


@pytest.mark.parametrize("command", TOOLS, ids=name_of)
def test_the_help_of_a_tool_teaches(command: Command) -> None:
    tool = import_module(command.module).TOOL
    about = tool.about.strip()
    examples = [line for line in about.splitlines() if line.startswith(f"  {command.classic} ")]
    examples += [line for line in about.splitlines() if f"| {command.classic} " in line]
    assert len(examples) >= 2, "two examples"
    assert "nsqd" in about or "NSQ" in about
    assert max(map(len, about.splitlines())) <= 120


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("tial", "nsq: 'tial' is no command; did you mean 'nsq tail'?"),
        ("publish", "nsq: 'publish' is no command; did you mean 'nsq pub'?"),
        ("xyz", "nsq: 'xyz' is no command; 'nsq' lists all there are"),
        ("--nsqd", "nsq: '--nsqd' is no command"),
    ],
)
def test_a_word_that_is_no_command_is_refused_with_what_was_meant(word: str, said: str) -> None:
    for words in ([word], ["help", word]):
        ended = run_tool("nsq", *words)
        assert (ended.status, ended.out) == (2, b"")
        assert ended.err.startswith(said)


def test_a_tool_may_be_called_by_its_classic_name_too() -> None:
    assert commands.find("nsq_to_nsq") is commands.find("to-nsq")
    assert commands.find("nsq_to_http") is commands.find("to-http")
    assert commands.find("to_http") is commands.find("to-http")


def test_to_nsq_explains_that_it_is_two_things() -> None:
    ended = run_tool("nsq", "to_nsq", "--topic=t")
    assert (ended.status, ended.out) == (2, b"")
    assert "'nsq from-stdin' publishes" in ended.err
    assert "'nsq to-nsq' passes messages on" in ended.err


def test_the_version_is_printed() -> None:
    for words in (["--version"], ["version"]):
        ended = run_tool("nsq", *words)
        assert (ended.status, ended.err) == (0, "")
        assert ended.out.startswith(b"nsq v1.3.0 (built w/nsq-suite-")


def test_the_list_is_there_at_once() -> None:
    """It needs no command, and so loads none."""
    code = (
        "import sys; from nsqclient.cli.command_line import main; main([]);"
        "print([m for m in ('argparse', 'uvloop', 'rich', 'aiohttp', 'nsqclient.tools') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=TIMEOUT)
    assert done.stdout.splitlines()[-1] == b"[]"


@pytest.mark.parametrize("command", TOOLS, ids=name_of)
def test_a_tool_loads_nothing_that_it_may_not_need(command: Command) -> None:
    """Starting it is quick: what costs much time comes when it is used."""
    code = (
        f"import sys; import {command.module};"
        "print([m for m in ('rich', 'cramjam', 'OpenSSL', 're2', 'msgpack', 'jinja2') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=TIMEOUT)
    assert done.stdout == b"[]\n"


def test_every_command_has_a_program_of_its_classic_name() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["scripts"]
    for command in TOOLS:
        module, _, function = scripts[command.classic].partition(":")
        assert module == f"{command.module.removesuffix('.tool')}.__main__"
        assert callable(getattr(import_module(module), function))
    assert scripts["nsq"] == "nsqclient.cli.command_line:program"
