"""Faults of accessibility, as axe-core finds them in a page that a browser shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.async_api import Page

from tests.support.needs import lacking
from tests.support.processes import ROOT

SCRIPT = ROOT / ".venv" / "node" / "node_modules" / "axe-core" / "axe.min.js"
GRAVE = frozenset(("serious", "critical"))


def script() -> Path:
    """Where axe-core is; skips the test without it."""
    return SCRIPT if SCRIPT.is_file() else lacking("axe-core is not installed: npm ci in tests/system/node")


async def grave_faults(page: Page) -> list[str]:
    """What is serious or critical, each with the element; ``script()`` must be an init script of the page."""
    found: dict[str, Any] = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{fault['id']} ({fault['impact']}): {node['html'][:160]} {node['failureSummary']}"
        for fault in found["violations"]
        if fault["impact"] in GRAVE
        for node in fault["nodes"]
    ]
