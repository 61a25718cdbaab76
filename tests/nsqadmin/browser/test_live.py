"""What makes the pages live, in a real browser on a live cluster."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

from playwright.async_api import Browser, Locator, Page, expect

from tests.support.chromium import quiet_page
from tests.support.shop import Shop, shop


def messages(page: Page) -> Locator:
    """How many were published in all, and the rate."""
    return page.locator("dl.figures > div", has_text="Published").locator("dd")


async def turn(page: Page, *, hidden: bool) -> None:
    """Tells a page that its tab was left, or is seen again: a browser without windows hides none."""
    await page.evaluate(
        "(hidden) => { Object.defineProperty(document, 'hidden', {configurable: true, get: () => hidden});"
        "document.dispatchEvent(new Event('visibilitychange')); }",
        hidden,
    )


async def test_a_number_changes_without_a_reload(site: Shop, page: Page) -> None:
    await site.tell("/topic/create", topic="counted")
    await page.goto(f"{site.url}topics/counted")
    await page.evaluate("window.notReloaded = true")
    await expect(messages(page)).to_contain_text("0 in all")
    await site.publish("counted", 7)
    await expect(messages(page)).to_contain_text("7 in all")
    assert await page.evaluate("window.notReloaded") is True


async def test_figures_that_are_held_stay_until_they_are_let_go(site: Shop, page: Page) -> None:
    await site.tell("/topic/create", topic="held")
    await page.goto(f"{site.url}topics/held")
    other = await page.context.new_page()
    await other.goto(f"{site.url}topics/held")
    await page.get_by_role("button", name="Live").click()
    await site.publish("held", 9)
    await expect(messages(other)).to_contain_text("9 in all")
    await expect(messages(page)).to_contain_text("0 in all")
    await page.get_by_role("button", name="Held").click()
    await expect(messages(page)).to_contain_text("9 in all")


async def test_a_hidden_tab_rests_and_catches_up_when_it_is_seen(site: Shop, page: Page) -> None:
    await site.tell("/topic/create", topic="hidden")
    await page.goto(f"{site.url}topics/hidden")
    await expect(page.get_by_role("button", name="Live")).to_be_visible()
    await turn(page, hidden=True)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    other = await page.context.new_page()
    await other.goto(f"{site.url}topics/hidden")
    for count in (5, 10):
        await site.publish("hidden", 5)
        await expect(messages(other)).to_contain_text(f"{count} in all")
    assert asked == []
    await turn(page, hidden=False)
    await expect(messages(page)).to_contain_text("10 in all")


async def test_a_page_says_when_nsqadmin_does_not_answer_any_more(site: Shop, browser: Browser) -> None:
    async with quiet_page(browser, may_fail=("",)) as page:
        async with site.admin() as url:
            await page.goto(f"{url}topics")
            await expect(page.locator("[data-state]")).to_contain_text("as of")
        await expect(page.locator("[data-state]")).to_contain_text("no answer since")


async def test_a_node_that_dies_is_shown_as_such(tmp_path: Path, browser: Browser) -> None:
    async with (
        shop(tmp_path, traffic=False) as small,
        small.admin("--http-client-request-timeout=1s") as url,
        quiet_page(browser) as page,
    ):
        victim = small.nsqds[2]
        await page.goto(url)
        await expect(page.locator("main")).to_contain_text("all answer")
        os.kill(victim.child.pid, signal.SIGSTOP)  # it accepts, and never answers
        try:
            await expect(page.get_by_role("region", name="Needs attention")).to_contain_text(victim.http)
            await expect(page.locator("main")).to_contain_text("of 3 answer")
        finally:
            os.kill(victim.child.pid, signal.SIGCONT)
        await expect(page.locator("main")).to_contain_text("all answer")
        await page.goto("about:blank")


async def test_how_long_something_lasts_counts_on(site: Shop, page: Page) -> None:
    node = site.nsqds[0].http
    await page.goto(f"{site.url}nodes/{node}")
    up = page.locator("dl.figures time[data-age]")
    await expect(up).to_have_attribute("title", re.compile("since .*20"))
    await page.get_by_role("button", name="Live").click()
    before = await up.inner_text()
    await expect(up).not_to_have_text(before)


async def test_a_page_that_changes_keeps_what_somebody_does_on_it(site: Shop, page: Page) -> None:
    await page.goto(f"{site.url}topics")
    kept = await page.evaluate(
        """async (root) => {
            const { morph } = await import(root + "static/morph.js");
            const make = (html) => {
                const box = document.createElement("section");
                box.innerHTML = html;
                return box;
            };
            const row = (key, text) => `<li data-key="${key}"><a href="#">${text}</a></li>`;
            const list = make(`<ul>${row("a", "1")}${row("b", "2")}${row("c", "3")}</ul>
                <details data-key="d"><summary>more</summary>x</details><input data-keep data-key="i">`);
            document.getElementById("main").append(list);
            const [a, b, c] = list.querySelectorAll("li");
            list.querySelector("details").open = true;
            list.querySelector("input").value = "typed";
            b.firstChild.focus();
            const moved = [];
            new MutationObserver((found) => moved.push(...found)).observe(list.firstChild, { childList: true });
            morph(list, make(`<ul>${row("b", "2")}${row("c", "4")}${row("e", "5")}</ul>
                <details data-key="d"><summary>more</summary>y</details><input data-keep data-key="i">`));
            await Promise.resolve();
            const after = [...list.querySelectorAll("li")];
            return {
                same: after[0] === b && after[1] === c && !a.isConnected,
                texts: after.map((li) => li.textContent).join(),
                focus: document.activeElement === b.firstChild,
                open: list.querySelector("details").open,
                typed: list.querySelector("input").value,
                changes: moved.length,
            };
        }""",
        site.url,
    )
    assert kept == {
        "same": True,
        "texts": "2,4,5",
        "focus": True,
        "open": True,
        "typed": "typed",
        "changes": 2,
    }
