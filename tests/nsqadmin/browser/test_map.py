"""The map in a real browser."""

from __future__ import annotations

from playwright.async_api import Page, expect

from tests.support.shop import Shop


async def test_what_leads_to_a_box_and_on_from_it_stands_out(site: Shop, page: Page) -> None:
    await site.tell("/topic/create", topic="mapped")
    await site.tell("/channel/create", topic="mapped", channel="here")
    await page.goto(f"{site.url}topics?q=mapped")
    await expect(page.get_by_role("link", name="mapped")).to_be_visible()  # nsqadmin has seen it
    await page.goto(f"{site.url}map?topic=mapped")
    box = page.locator('[data-box="channel mapped/here"]')
    await expect(box).to_be_visible()
    await box.hover()
    await expect(page.locator("[data-map]")).to_have_class("tracing")
    await expect(page.locator('[data-box="topic mapped"]')).to_have_class("box on")
    await expect(page.locator(".band.on")).to_have_count(4)  # from three nodes, and to the channel
    await page.locator("h1").hover()
    await expect(page.locator("[data-map]")).not_to_have_class("tracing")
    await box.focus()
    await expect(page.locator(".band.on")).to_have_count(4)
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(f"{site.url}topics/mapped/here")
    await page.goto("about:blank")
