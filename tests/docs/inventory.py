"""What the code has that ``docs/compatibility.md`` must name: found in the code, not kept by hand."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from nsqclient.tools.common.tool import Tool
from nsqcore.command_line import CommandLine
from nsqcore.options import flags_of
from tests.docs.page import ROOT, Row
from tests.docs.proofs import texts_of

MAKERS = ("Endpoint", "Route")
"""What endpoints are made by."""


def flags(command_line: CommandLine) -> set[str]:
    """Every flag that a daemon takes."""
    words = re.findall(r"^  --([\w-]+)", command_line.usage(), re.MULTILINE)
    return {f"--{name}" for name in words}


def flags_of_tool(tool: Tool) -> set[str]:
    """Every flag that a tool takes."""
    return {f"--{flag.name}" for flag in flags_of(tool.options)} | {"--version"}


def endpoints(package: str) -> set[str]:
    """Every method and path that the package serves, as ``GET /config/<opt>``."""
    found = set()
    for file in sorted((ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in MAKERS:
                method, path = (ast.literal_eval(argument) for argument in node.args[:2])
                found.add(f"{method} {path}")
    return found


def errors(package: str, *classes: str) -> list[re.Pattern[str]]:
    """What each error that the package can make looks like: ``CODE text``, or the code of an HTTP error.

    Parts that are only known when it happens match anything.
    """
    found = []
    for file in sorted((ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in classes:
                words = [_pattern(argument) for argument in node.args[:2]]
                found.append(re.compile(" ".join(word for word in words if word), re.DOTALL))
    return found


def _pattern(argument: ast.expr) -> str:
    """A regular expression for an argument; empty for a number, which is an HTTP status."""
    if isinstance(argument, ast.Constant):
        return re.escape(argument.value) if isinstance(argument.value, str) else ""
    if isinstance(argument, ast.JoinedStr):
        return "".join(_pattern(part) if isinstance(part, ast.Constant) else ".*" for part in argument.values)
    return ".*"


def example(item: str) -> str:
    """An error as it can be that is listed with ``%d``, ``%s`` or ``%q``."""
    return re.sub(r"%[dsq]", "1", item)


def keys(value: object, path: str) -> Iterator[str]:
    """Every key in a JSON value below ``path``, as ``/stats topics[].depth``."""
    if isinstance(value, dict):
        for key, item in value.items():
            name = f"{path}.{key}" if " " in path else f"{path} {key}"
            yield name
            yield from keys(item, name)
    elif isinstance(value, list):
        for item in value:
            yield from keys(item, f"{path}[]")


def speaks_of(row: Row) -> bool:
    """Whether the tests of a row have in them what the row is about, to its last word."""
    said, case = _said(row), example(row.item)
    return any(
        said.search(text) or _is_form_of(text, case)
        for path, test in row.proofs
        for text in texts_of(path, test)
    )


def _is_form_of(text: str, case: str) -> bool:
    """Whether ``text`` is an f-string that can make ``case``."""
    return "*" in text.strip("*") and re.fullmatch(re.escape(text).replace(r"\*", ".*"), case) is not None


def _said(row: Row) -> re.Pattern[str]:
    """What a text has to have in it to be about ``row``."""
    kind = row.section.partition(": ")[2]
    if kind == "flags":
        name = row.item.removeprefix("--")
        return re.compile(f"{name}|{name.replace('-', '_')}")
    if kind == "errors of the protocol":
        wanted = "|".join((row.item, row.item.partition(" ")[2] or row.item))
        return re.compile(re.sub(r"%[dsq]", ".*", re.sub(r"[()]", r"\\\g<0>", wanted)), re.DOTALL)
    if kind == "HTTP endpoints":
        path = row.item.partition(" ")[2].partition("{")[0]
        return re.compile(re.escape(path.removeprefix("/debug/pprof/") or path))
    if kind in ("JSON fields", "statsd keys"):
        return re.compile(re.escape(re.split(r"[ .]", row.item)[-1].removesuffix("[]").removesuffix("<p>")))
    if kind == "files":
        return re.compile(
            re.sub(r"<\w+>", r"\\w+", re.escape(row.item).replace("%06d", r"\d{6}").replace(r"\*", ""))
        )
    return re.compile(re.escape(row.item))
