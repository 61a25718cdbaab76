"""Graphite's pictures in a real browser, which must be allowed to load them."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Locator, Page, expect

from tests.support.graphite import FakeGraphite
from tests.support.shop import Shop


@pytest.mark.parametrize("flags", [[], ["--proxy-graphite", "--base-path=/nsq"]], ids=["direct", "proxied"])
async def test_pictures_of_graphite_are_seen(site: Shop, page: Page, flags: list[str]) -> None:
    await site.tell("/topic/create", topic="graphed")
    await site.tell("/channel/create", topic="graphed", channel="c")
    async with FakeGraphite() as graphite, site.admin(f"--graphite-url={graphite.url}", *flags) as url:
        base = url + ("nsq" if flags else "")
        await page.goto(f"{base.rstrip('/')}/topics/graphed/c")
        menu = page.get_by_role("navigation", name="Period of the graphs")
        pictures = page.locator(".graphite > .pictures img")
        await expect(pictures).not_to_have_count(0)
        await _expect_drawn(pictures)
        node = page.locator(".graphite details").first
        await node.locator("summary").click()
        await _expect_drawn(node.locator("img"))
        await menu.get_by_role("link", name="12h").click()
        await expect(pictures.first).to_have_attribute("src", re.compile("from=-12h"))
        await menu.get_by_role("link", name="off").click()
        await expect(pictures).to_have_count(0)
        await page.goto(f"{base.rstrip('/')}/topics/graphed")
        await expect(menu.get_by_role("link", name="off")).to_have_attribute("aria-current", "true")
        await page.goto("about:blank")  # else it would miss its nsqadmin, which ends


async def _expect_drawn(pictures: Locator) -> None:
    for picture in await pictures.all():
        await picture.scroll_into_view_if_needed()
        await expect(picture).to_have_js_property("complete", True)
        await expect(picture).to_have_js_property("naturalWidth", 296)
