"""Light and dark."""

from __future__ import annotations

from playwright.async_api import Browser, Page, expect

from tests.support.chromium import quiet_page
from tests.support.shop import Shop

PAPER = "getComputedStyle(document.body).backgroundColor"
LIGHT, DARK = "rgb(245, 246, 244)", "rgb(19, 24, 26)"


async def test_colours_follow_the_system_until_somebody_chooses(site: Shop, page: Page) -> None:
    await page.emulate_media(color_scheme="dark")
    await page.goto(f"{site.url}topics")
    assert await page.evaluate(PAPER) == DARK
    switch = page.get_by_role("button", name="Colours")
    await expect(switch).to_have_attribute("aria-label", "Colours: follows the system")
    await switch.click()
    await expect(switch).to_have_attribute("aria-label", "Colours: light")
    assert await page.evaluate(PAPER) == LIGHT
    await page.goto(f"{site.url}nodes")
    assert await page.evaluate(PAPER) == LIGHT
    await switch.click()
    await expect(switch).to_have_attribute("aria-label", "Colours: dark")
    await page.emulate_media(color_scheme="light")
    await page.reload()
    assert await page.evaluate(PAPER) == DARK
    await switch.click()
    assert await page.evaluate(PAPER) == LIGHT
    assert await page.evaluate("localStorage.length") == 0


async def test_a_choice_is_there_before_anything_is_drawn(site: Shop, browser: Browser) -> None:
    async with quiet_page(browser, color_scheme="light") as page:
        await page.goto(f"{site.url}topics")
        await page.evaluate("localStorage.setItem('nsqadmin.theme', 'dark')")
        await page.add_init_script(
            "new MutationObserver((_, watch) => { if (!document.body) return; watch.disconnect();"
            "window.first = document.documentElement.dataset.theme; })"
            ".observe(document, {childList: true, subtree: true});"
        )
        await page.reload()
        assert await page.evaluate("window.first") == "dark"


async def test_other_tabs_follow_a_choice(site: Shop, page: Page) -> None:
    await page.goto(f"{site.url}topics")
    other = await page.context.new_page()
    await other.goto(f"{site.url}nodes")
    await page.get_by_role("button", name="Colours").click()
    await expect(other.locator("html")).to_have_attribute("data-theme", "light")
