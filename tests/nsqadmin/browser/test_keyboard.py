"""The pages without a mouse."""

from __future__ import annotations

import re

from playwright.async_api import Page, expect

from tests.support.shop import Shop


async def tab_to(page: Page, text: str) -> None:
    """Presses Tab until what has the focus reads so."""
    for _ in range(80):
        await page.keyboard.press("Tab")
        if (await page.evaluate("document.activeElement.textContent.trim()")) == text:
            return
    raise AssertionError(f"no way to {text!r} by keyboard")


async def test_a_topic_is_found_and_paused_by_keyboard_alone(site: Shop, page: Page) -> None:
    await site.tell("/topic/create", topic="typed")
    await page.goto(site.url)
    await page.keyboard.press("g")
    await page.keyboard.press("t")
    await expect(page).to_have_url(re.compile("/topics$"))
    await expect(page.locator("button.keys")).to_be_visible()
    await page.keyboard.press("/")
    await page.keyboard.type("typed")
    await expect(page.locator("main tbody tr")).to_have_count(1)
    await tab_to(page, "typed")
    await page.keyboard.press("Enter")
    await expect(page.locator("h1")).to_have_text("typed")
    await tab_to(page, "Pause")
    await page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Pause topic typed?")
    await expect(dialog).to_be_visible()
    for _ in range(6):  # however often, the focus stays in the dialog
        await page.keyboard.press("Tab")
        assert await page.evaluate(
            "document.activeElement.closest('dialog, body') !== document.querySelector('main')"
        )
        assert not await page.evaluate("document.querySelector('main').contains(document.activeElement)")
    await tab_to(page, "Pause")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("dialog").locator("h1")).to_contain_text("Done")
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await expect(page.locator(".title .badges")).to_contain_text("paused")
    assert [topic["paused"] for topic in await site.stats("typed")] == [True, True, True]


async def test_a_dialog_that_is_closed_gives_the_focus_back(site: Shop, page: Page) -> None:
    await page.goto(f"{site.url}topics/orders")
    await tab_to(page, "Empty")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("link", name="Empty").first).to_be_focused()


async def test_a_question_mark_tells_of_the_keys(site: Shop, page: Page) -> None:
    await page.goto(f"{site.url}nodes")
    await expect(page.locator("button.keys")).to_be_visible()
    await page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keyboard")
    await expect(dialog).to_contain_text("Topics")
    await page.keyboard.press("Escape")
    await expect(dialog).to_have_count(0)


async def test_a_slash_leads_to_the_search_from_anywhere(site: Shop, page: Page) -> None:
    await page.goto(f"{site.url}nodes")
    await expect(page.locator("button.keys")).to_be_visible()
    await page.keyboard.press("/")
    await expect(page.get_by_label("Find a topic")).to_be_focused()


async def test_the_first_tab_leads_past_the_menu(site: Shop, page: Page) -> None:
    await page.goto(f"{site.url}topics")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator("main")).to_be_focused()
