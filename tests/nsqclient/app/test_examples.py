"""The examples of apps do what they say."""

from __future__ import annotations

import importlib.util
import sqlite3
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from nsqclient import App
from tests.support.processes import spawn

EXAMPLES = Path(__file__).parents[3] / "client" / "examples"


@pytest.fixture(autouse=True)
def somewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NSQ_URL", "nsqd://127.0.0.1:1")


def load(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The example, fresh."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, f"example_{name}", module)
    spec.loader.exec_module(module)
    return module


async def test_the_shop(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = load("shop", monkeypatch)
    app: App = shop.make()
    shop.frozen.add("bob")
    async with app.test() as t:
        await t.publish("shop.orders", shop.Order("ann", "book", 1200))
        await t.publish("shop.orders", shop.Order("ann", "gift", 0))
        await t.publish("shop.orders", shop.Order("ann", "joke", -1))
        await t.publish("shop.orders", shop.Order("bob", "pen", 100))
        assert shop.archive == shop.file.calls == [shop.Invoice("ann", "book: 12.00")]
        assert t.published("shop.orders.dead", shop.Order) == [shop.Order("ann", "joke", -1)]
        shop.frozen.clear()
        await t.clock.advance(30)
        await t.settle()
        assert shop.archive[-1] == shop.Invoice("bob", "pen: 1.00")


async def test_storing_in_a_database(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DATABASE", str(tmp_path / "readings.db"))
    example = load("to_database", monkeypatch)
    app: App = example.app
    async with app.test() as t:
        await t.producer.publish_many("readings", [{"sensor": "a", "value": n} for n in range(700)])
        await t.publish("readings", b"no reading")
        assert t.published("readings.dead") == [b"no reading"]
    database = sqlite3.connect(tmp_path / "readings.db")
    assert database.execute("SELECT count(*), sum(value) FROM readings").fetchone() == (700, sum(range(700)))
    database.close()
    assert len(example.store.calls) < 20


def test_a_request_and_its_context(tmp_path: Path) -> None:
    free = ("--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0")
    with spawn("nsqd", *free, f"--data-path={tmp_path}") as nsqd:
        ended = subprocess.run(
            [sys.executable, str(EXAMPLES / "request_context.py"), nsqd.tcp],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert ended.stdout == "HELLO for acme, request r-1, in time\n", ended.stderr
