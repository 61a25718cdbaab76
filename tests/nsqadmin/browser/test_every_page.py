"""What holds for every page, wherever it is looked at."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import Browser, expect

from tests.support import axe
from tests.support.chromium import PATIENCE_MS, PHONE, WIDE, quiet_page
from tests.support.screenshots import addresses
from tests.support.shop import Shop

MISSING = "/topics/ordres"


@pytest.mark.parametrize("viewport", [WIDE, PHONE], ids=["wide", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_no_page_has_a_serious_fault_of_accessibility(
    site: Shop, browser: Browser, scheme: str, viewport: dict[str, int]
) -> None:
    script = axe.script()
    faults: dict[str, list[str]] = {}
    async with quiet_page(
        browser, may_fail=(MISSING,), color_scheme=scheme, viewport=viewport, reduced_motion="reduce"
    ) as page:
        await page.add_init_script(path=script)
        for name, path in (await addresses(page, site.url)).items():
            await page.goto(site.url.rstrip("/") + path)
            if name == "delete":
                await page.get_by_role("link", name="Delete").click()
                await page.locator("dialog button[type=submit]").wait_for()
            if found := await axe.grave_faults(page):
                faults[name] = found
        await page.goto(f"{site.url}topics")
        if viewport is WIDE:
            await page.keyboard.press("?")
            await expect(page.get_by_role("dialog")).to_be_visible()
            if found := await axe.grave_faults(page):
                faults["keys"] = found
    assert faults == {}


async def test_no_page_is_wider_than_a_phone(site: Shop, browser: Browser) -> None:
    async with quiet_page(browser, may_fail=(MISSING,), viewport=PHONE) as page:
        for path in (await addresses(page, site.url)).values():
            await page.goto(site.url.rstrip("/") + path)
            await page.locator("[data-tools] button").first.wait_for()
            wide = await page.evaluate("document.documentElement.scrollWidth")
            assert wide <= PHONE["width"], path


async def test_every_page_reads_without_scripts_and_has_a_title_of_its_own(
    site: Shop, browser: Browser
) -> None:
    async with quiet_page(browser) as page:
        pages = await addresses(page, site.url)
    titles: dict[str, str] = {}
    async with quiet_page(browser, may_fail=(MISSING,), java_script_enabled=False) as page:
        for name, path in pages.items():
            await page.goto(site.url.rstrip("/") + path)
            await expect(page.locator("h1")).to_be_visible()
            await expect(page.locator("main h1")).to_have_count(1)
            if name != "delete":
                titles[name] = await page.title()
    assert len(set(titles.values())) == len(titles), titles


async def test_a_change_can_be_made_without_scripts(site: Shop, browser: Browser) -> None:
    await site.tell("/topic/create", topic="plain")
    await site.tell("/channel/create", topic="plain", channel="c")
    async with quiet_page(browser, java_script_enabled=False) as page:
        await page.goto(f"{site.url}topics")
        await page.get_by_label("Find a topic").fill("plain")
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/topics?q=plain*")
        link = page.locator("main").get_by_role("link", name="plain", exact=True)
        async with asyncio.timeout(PATIENCE_MS / 1000):
            while not await link.count():  # it comes with the next sample, and nothing here tells of that
                await page.reload()
        await link.click()
        await page.get_by_role("link", name="Pause", exact=True).click()
        await page.get_by_role("button", name="Pause").click()
        await expect(page.locator("h1")).to_contain_text("Done")
    assert [topic["paused"] for topic in await site.stats("plain")] == [True, True, True]
