"""What makes the pages live, in a real browser on a live cluster."""

from __future__ import annotations

from playwright.async_api import Page, expect

from tests.support.shop import Shop


async def test_a_number_changes_without_a_reload(site: Shop, page: Page) -> None:
    await site.tell("/topic/create", topic="counted")
    await page.goto(f"{site.url}topics/counted")
    await page.evaluate("window.notReloaded = true")
    messages = page.locator("dl.figures > div", has_text="Published").locator("dd")
    await expect(messages).to_contain_text("0 in all")
    await site.publish("counted", 7)
    await expect(messages).to_contain_text("7 in all")
    assert await page.evaluate("window.notReloaded") is True
