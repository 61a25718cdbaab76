"""What a test speaks of: the texts in it and in the tables that it goes through."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parents[1]
Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def names_of(path: str) -> frozenset[str]:
    """Names of the tests in the file at ``path`` below ``tests``; none when there is no file."""
    tree = _tree(TESTS / path)
    return frozenset(name for name in _functions(tree) if name.startswith("test_")) if tree else frozenset()


@cache
def texts_of(path: str, test: str) -> frozenset[str]:
    """Every literal text of a test: its own, its parameters', and those of what it names in its module or imports.

    Bytes are taken for latin-1. What an f-string computes shows as ``*``.
    """
    found: set[str] = set()
    _collect(TESTS / path, test, found, set())
    return frozenset(found)


def _collect(file: Path, name: str, found: set[str], seen: set[tuple[Path, str]]) -> None:
    tree = _tree(file)
    if tree is None or (file, name) in seen:
        return
    seen.add((file, name))
    for node in _meaning(tree, name):
        found.update(_texts(node))
        for used in {n.id for n in ast.walk(node) if isinstance(n, ast.Name)} - {name}:
            if (origin := _imports(tree).get(used)) is not None:
                _collect(TESTS.parent / origin, used, found, seen)
            else:
                _collect(file, used, found, seen)


@cache
def _tree(file: Path) -> ast.Module | None:
    return ast.parse(file.read_text("utf-8")) if file.is_file() else None


def _functions(tree: ast.Module) -> dict[str, Function]:
    return {node.name: node for node in tree.body if isinstance(node, Function)}


def _meaning(tree: ast.Module, name: str) -> list[ast.AST]:
    """Where a module says what ``name`` is."""
    found: list[ast.AST] = []
    for node in tree.body:
        if isinstance(node, Function | ast.ClassDef):
            if node.name == name:
                found.append(node)
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(n, ast.Name) and n.id == name for t in targets for n in ast.walk(t)):
                found.append(node)
    return found


def _imports(tree: ast.Module) -> dict[str, str]:
    """Files of our own tests by the names imported from them."""
    return {
        alias.asname or alias.name: node.module.replace(".", "/") + ".py"
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module is not None and node.module.startswith("tests.")
        for alias in node.names
    }


def _texts(node: ast.AST) -> set[str]:
    found: set[str] = set()
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str | bytes):
            found.add(part.value if isinstance(part.value, str) else part.value.decode("latin-1"))
        elif isinstance(part, ast.JoinedStr):
            pieces = (piece.value if isinstance(piece, ast.Constant) else "*" for piece in part.values)
            found.add("".join(map(str, pieces)))
        elif isinstance(part, ast.keyword | ast.Attribute):
            name = part.arg if isinstance(part, ast.keyword) else part.attr
            found.update([name] if name else [])
    return found
