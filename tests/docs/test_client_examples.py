"""Every Python example of the client's pages runs, against a real nsqd and nsqlookupd.

The blocks of a page run in order and share their names, ``await`` at the top level included. A block with
``asyncio.run`` or ``app.run`` is a program of its own. What can't be run so is fenced ```` ```python notest ````.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.processes import ROOT, spawn

PAGES = [*sorted((ROOT / "docs" / "client").glob("*.md")), ROOT / "client" / "README.md"]
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_PROGRAM = re.compile(r"^\s*(asyncio|app)\.run\(", re.MULTILINE)
TIMEOUT = 30.0
"""Seconds for the examples of one page."""


def blocks(page: Path) -> list[str]:
    """The code of each block; as many empty lines before it as it has in the page, so that errors tell where."""
    text = page.read_text("utf-8")
    return ["\n" * text.count("\n", 0, found.start(1)) + found[1] for found in _BLOCK.finditer(text)]


@pytest.fixture
def addresses(tmp_path: Path) -> Iterator[dict[str, str]]:
    """What the pages call the daemons, and where these are."""
    free = ("--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0")
    with spawn("nsqlookupd", *free) as lookup:
        registered = (f"--lookupd-tcp-address={lookup.tcp}", "--broadcast-address=127.0.0.1")
        with spawn("nsqd", *free, *registered, f"--data-path={tmp_path}") as nsqd:
            nsqd.wait_for_log("peer info")
            yield {
                "127.0.0.1:4150": nsqd.tcp,
                "127.0.0.1:4151": nsqd.http,
                "127.0.0.1:4160": lookup.tcp,
                "127.0.0.1:4161": lookup.http,
            }


@pytest.fixture
def logging_as_it_was() -> Iterator[None]:
    """Undoes what pages do to the client's loggers, as they show how to set them up."""
    yield
    names = [name for name in logging.root.manager.loggerDict if name.partition(".")[0] == "nsqclient"]
    for logger in map(logging.getLogger, names):
        logger.setLevel(logging.NOTSET)
        logger.handlers.clear()
        logger.propagate = True


@pytest.mark.usefixtures("logging_as_it_was")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
async def test_the_examples_of_a_page_run(
    page: Path, addresses: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await run_page(page, addresses, tmp_path / "work", monkeypatch)


async def run_page(
    page: Path, addresses: dict[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs the blocks of a page in a new folder; ``addresses`` are those that it names, and the real ones."""
    folder.mkdir()
    monkeypatch.chdir(folder)
    module = ModuleType("example")
    monkeypatch.setitem(sys.modules, "example", module)
    async with asyncio.timeout(TIMEOUT):
        for block in blocks(page):
            # in one pass: a real address may begin like one that is written
            source = re.sub("|".join(addresses), lambda found: addresses[found[0]], block)
            if _PROGRAM.search(source):
                await run_program(source, folder)
                continue
            code = compile(source, str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            result = eval(code, module.__dict__)
            if inspect.isawaitable(result):
                await result


async def run_program(source: str, folder: Path) -> None:
    """Runs a block in a process of its own, which has to end by itself with status 0."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-c", source, cwd=folder, stdout=-1, stderr=-2
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, output.decode()


def test_a_block_that_fails_would_be_noticed() -> None:
    assert sum(len(blocks(page)) for page in PAGES) > 0
    assert all("```python" not in block for page in PAGES for block in blocks(page))
