"""Photographs every page of nsqadmin, light and dark, wide and phone, on a live cluster: ``make screenshots``.

::

    python -m tests.support.screenshots docs/img [--full] [PAGE...]

The cluster is :func:`tests.support.shop.shop`; the hour before it began is made up, the same each time.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import random
import tempfile
import zlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, Page

from nsqadmin.daemon import NsqAdmin
from nsqadmin.history.ring import Past
from nsqadmin.history.sampler import Sampler, _figures
from nsqadmin.history.series import Key, Metric
from nsqadmin.options import Options
from nsqcore.durations import Duration
from tests.support.chromium import PHONE, WIDE, chromium, quiet_page
from tests.support.shop import Shop, shop

WARM_S = 25.0
"""Queues fill and rates settle meanwhile."""
STEP_S = 2.0
HOUR_S = 3600.0
GROWING = {Key("channel", "orders", "shipping"), Key("channel", "invoices.created", "archive")}
LEVELS = frozenset((Metric.DEPTH, Metric.IN_FLIGHT, Metric.DEFERRED))
STEADY = frozenset((Metric.CLIENTS,))


def made_up(key: Key, metric: Metric, now: float, ago_s: float) -> float:
    """What a figure may have been ``ago_s`` seconds before it was ``now``."""
    if metric in STEADY:
        return round(now)
    chance = random.Random(zlib.crc32(f"{key}{metric}{int(ago_s)}".encode()))
    phase = zlib.crc32(f"{key}{metric}".encode()) % 628 / 100
    wave = 1.0 + 0.22 * math.sin(phase + ago_s / 420) + 0.08 * math.sin(phase + ago_s / 61)
    noise = chance.uniform(0.9, 1.1)
    if metric in LEVELS and key in GROWING:
        return round(now * max(0.0, 1.0 - ago_s / 2700) * chance.uniform(0.98, 1.0))
    value = now * wave * noise
    return round(value) if metric in LEVELS else value


def fill(past: Past, figures: Mapping[Key, Mapping[Metric, float | None]], end: float) -> None:
    """An hour of samples that end in ``figures``."""
    for step in range(int(HOUR_S / STEP_S), 0, -1):
        ago = step * STEP_S
        then = {
            key: {metric: value and made_up(key, metric, value, ago) for metric, value in values.items()}
            for key, values in figures.items()
        }
        past.add(end - ago, then, STEP_S)


async def with_a_past(sampler: Sampler) -> None:
    """Gives a sampler, which has just begun, an hour that never was."""
    await asyncio.sleep(WARM_S)
    sampler.renew()
    snapshot = await sampler.latest()
    past = Past(*sampler._past.grains, memory=1 << 27)
    figures = dict(_figures(snapshot))
    fill(past, figures, snapshot.at)
    past.add(snapshot.at, figures, STEP_S)
    sampler._past = past


@asynccontextmanager
async def admin_of(cluster: Shop) -> AsyncIterator[str]:
    """A nsqadmin in this process; its URL."""
    admin = NsqAdmin(
        Options(
            http_address="127.0.0.1:0",
            lookupd_http_addresses=[node.http for node in cluster.topology.lookupds],
            sample_interval=Duration.parse(f"{STEP_S:.0f}s"),
        )
    )
    await admin.start()
    url = f"http://{admin.address}/"
    try:
        assert admin._sampler is not None
        await with_a_past(admin._sampler)
        for action in ("pause", "unpause"):  # for the audit
            await cluster.client.post(
                f"{url}api/topics/clicks/analytics", b'{"action":"%b"}' % action.encode()
            )
        yield url
    finally:
        await admin.stop()


async def addresses(page: Page, url: str) -> dict[str, str]:
    """Every page by its name in the menu, and those about one thing."""
    await page.goto(url)
    found = {}
    for link in await page.locator("a[data-go]").all():
        found[(await link.inner_text()).strip().lower()] = await link.get_attribute("href") or ""
    await page.goto(f"{url}nodes")
    node = await page.locator("tbody th a").first.get_attribute("href") or ""
    return found | {
        "topic": "/topics/orders",
        "channel": "/topics/orders/shipping",
        "node": node,
        "delete": "/topics/orders/shipping",
        "missing": "/topics/ordres",
    }


async def photograph(
    browser: Browser, url: str, pages: Mapping[str, str], folder: Path, *, full: bool = False
) -> None:
    """Four pictures of each page into ``folder``: ``NAME-light.png``, ``NAME-dark-phone.png`` and so on."""
    for scheme in ("light", "dark"):
        for suffix, viewport in (("", WIDE), ("-phone", PHONE)):
            async with quiet_page(
                browser,
                may_fail=("/topics/ordres",),
                viewport=viewport,
                color_scheme=scheme,
                locale="en-GB",
                reduced_motion="reduce",
            ) as page:
                for name, path in pages.items():
                    await page.goto(url.rstrip("/") + path)
                    if name == "delete":
                        await page.get_by_role("link", name="Delete").click()
                        await page.locator("dialog button[type=submit]").wait_for()
                    await page.locator("[data-tools] button").first.wait_for()
                    target = folder / f"{name}-{scheme}{suffix}.png"
                    await page.screenshot(path=target, full_page=full, animations="disabled")


async def run(folder: Path, wanted: Sequence[str], *, full: bool) -> None:
    """Starts everything, and takes the pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        async with shop(Path(scratch)) as cluster, admin_of(cluster) as url, chromium() as browser:
            async with quiet_page(browser) as page:
                pages = await addresses(page, url)
            chosen = {name: path for name, path in pages.items() if not wanted or name in wanted}
            await photograph(browser, url, chosen, folder, full=full)


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description="Photograph the pages of nsqadmin.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("pages", nargs="*", help="their names; all without one")
    parser.add_argument("--full", action="store_true", help="whole pages, however long")
    args = parser.parse_args()
    asyncio.run(run(args.folder, args.pages, full=args.full))


if __name__ == "__main__":
    main()
