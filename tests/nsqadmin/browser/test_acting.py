"""Every action by hand, in a real browser on a live cluster, and what the daemons say of it afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from nsqadmin.access.accounts import Role
from tests.nsqadmin.access.hashes import account, write
from tests.support.chromium import quiet_page
from tests.support.shop import Shop


async def _confirm(page: Page, typed: str = "") -> None:
    """Says yes in the dialog; waits for what became of it, and closes it."""
    dialog = page.locator("dialog[open]")
    if typed:
        await dialog.get_by_label("To confirm, type").fill(typed)
    await dialog.locator("button[type=submit]").click()
    await expect(dialog.get_by_role("heading", level=1)).to_contain_text("Done")
    await dialog.locator("a.primary").click()


async def _on_node(page: Page, node: str, action: str, typed: str = "") -> None:
    row = page.locator("main tr", has_text=node)
    await row.locator("summary", has_text="Change").click()
    await row.get_by_role("link", name=action, exact=True).click()
    await _confirm(page, typed)


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
async def test_a_topic_and_a_channel_are_created_paused_emptied_and_deleted(
    site: Shop, browser: Browser, scripts: bool
) -> None:
    topic = f"acted-{'with' if scripts else 'without'}"
    await site.tell("/topic/create", topic=topic)
    await site.tell("/channel/create", topic=topic, channel="c")
    async with quiet_page(browser, java_script_enabled=scripts) as page:

        async def act(path: str, verb: str, query: str, typed: str = "") -> None:
            if scripts:
                await page.goto(f"{site.url}{path}")
                await page.locator(f"main a[href*='actions/{verb}?'][href$='{query}']").first.click()
                await _confirm(page, typed)
                return
            await page.goto(f"{site.url}actions/{verb}?{query}")
            if typed:
                await page.get_by_label("To confirm, type").fill(typed)
            await page.locator("main button[type=submit]").click()
            await expect(page.get_by_role("heading", level=1)).to_contain_text("Done")

        for path, query, name in (
            (f"topics/{topic}", f"topic={topic}", topic),
            (f"topics/{topic}/c", f"topic={topic}&channel=c", "c"),
        ):
            channel = "c" if name == "c" else ""
            await act(path, "pause", query)
            assert [one["paused"] for one in await site.stats(topic, channel)] == [True] * 3
            await site.publish(topic, 5)
            await act(path, "empty", query, name)
            assert [one["depth"] for one in await site.stats(topic, channel)] == [0] * 3
            await act(path, "unpause", query)
            assert [one["paused"] for one in await site.stats(topic, channel)] == [False] * 3
        await act(f"topics/{topic}/c", "delete", f"topic={topic}&channel=c", "c")
        assert await site.stats(topic, "c") == []
        await act(f"topics/{topic}", "delete", f"topic={topic}", topic)
        assert await site.stats(topic) == []


async def test_a_page_whose_topic_was_deleted_makes_way_for_the_list(site: Shop, page: Page) -> None:
    await site.tell("/topic/create", topic="leaving")
    await page.goto(f"{site.url}topics/leaving")
    await page.locator("main a[href*='actions/delete?']").first.click()
    await _confirm(page, "leaving")
    await page.keyboard.press("Escape")
    await expect(page).to_have_url(f"{site.url}topics")


async def test_a_wrong_name_deletes_nothing(site: Shop, browser: Browser) -> None:
    await site.tell("/topic/create", topic="kept")
    async with quiet_page(browser, may_fail=("/actions/delete",)) as page:
        await page.goto(f"{site.url}topics/kept")
        await page.locator("main a[href$='actions/delete?topic=kept']").click()
        dialog = page.locator("dialog[open]")
        await dialog.get_by_label("To confirm, type").fill("Kept")
        await dialog.locator("button[type=submit]").click()
        await expect(dialog).to_contain_text("That is not the name. Nothing was changed.")
    assert len(await site.stats("kept")) == 3


async def test_one_node_alone_can_be_paused_and_tombstoned(site: Shop, page: Page) -> None:
    await site.tell("/topic/create", topic="single")
    node = site.nsqds[1].http
    await page.goto(f"{site.url}topics/single")
    await _on_node(page, node, "Pause")
    assert sorted(one["paused"] for one in await site.stats("single")) == [False, False, True]
    await page.goto(f"{site.url}topics/single")
    await _on_node(page, node, "Tombstone", "single")
    assert len(await site.stats("single")) == 2


async def test_a_topic_is_created_and_published_to(site: Shop, page: Page) -> None:
    await page.goto(f"{site.url}topics")
    await page.locator("main a[href$='actions/create']").click()
    dialog = page.locator("dialog[open]")
    await dialog.get_by_label("Topic").fill("tried")
    await dialog.get_by_label("Channel").fill("first")
    await _confirm(page)
    await page.goto(f"{site.url}publish?topic=tried")
    await page.locator("#body").fill("line one\nline two")
    await page.locator("#node").select_option(site.nsqds[2].http)
    await page.locator("#copies").fill("3")
    await page.get_by_role("button", name="Publish").click()
    await expect(page.get_by_role("status")).to_contain_text("3 messages published to tried")
    await page.goto(f"{site.url}audit?topic=tried")
    await expect(page.locator("main tbody tr").first).to_contain_text("3 messages of 17 bytes")
    assert sum(one["message_count"] for one in await site.stats("tried")) == 3


async def test_a_reader_logs_in_and_can_change_nothing(site: Shop, browser: Browser, tmp_path: Path) -> None:
    await site.tell("/topic/create", topic="looked-at")
    file = write(tmp_path / "auth", account("ann", "ann's"), account("bob", "bob's", Role.READ))
    refused = ("/login", "/api/topics", "/actions/")
    async with site.admin(f"--auth-file={file}") as url, quiet_page(browser, may_fail=refused) as page:

        async def log_in(user: str, password: str) -> None:
            await page.get_by_label("User").fill(user)
            await page.get_by_label("Password").fill(password)
            await page.get_by_role("button", name="Log in").click()

        await page.goto(f"{url}topics/looked-at")
        await log_in("bob", "wrong")
        await expect(page.get_by_role("alert")).to_have_text("User or password is wrong.")
        await log_in("bob", "bob's")
        await expect(page).to_have_url(f"{url}topics/looked-at")
        await expect(page.locator("footer")).to_contain_text("user bob, who may read but not change")
        await expect(
            page.locator("a[href*='/actions/'], a[href$='/publish'], a[href$='/audit']")
        ).to_have_count(0)
        status = await page.evaluate(
            """async () => (await fetch("/api/topics/looked-at", {
                method: "POST", body: JSON.stringify({action: "pause"}),
            })).status"""
        )
        assert status == 403
        await page.goto(f"{url}actions/delete?topic=looked-at")
        await expect(page.get_by_role("heading", level=1)).to_have_text("You may not change things here")
        await page.get_by_role("link", name="Log out").click()
        await page.get_by_role("button", name="Log out").click()
        await expect(page).to_have_url(f"{url}login")
        await page.goto(f"{url}audit")
        await log_in("ann", "ann's")
        await expect(page.locator("main tbody tr").first).to_contain_text("log in")
        await page.goto(f"{url}topics/looked-at")
        await page.locator("main a[href$='actions/pause?topic=looked-at']").click()
        await _confirm(page)
    assert [one["paused"] for one in await site.stats("looked-at")] == [True] * 3
