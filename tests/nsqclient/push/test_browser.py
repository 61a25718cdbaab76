"""A real browser with the client that bridges serve, on two bridges that share nothing but nsqd."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from nsqclient.push import Bridge, Grant, Permission, Settings
from nsqclient.push.protocol import Close
from tests.nsqclient.push.browsers import Tokens, mail, up
from tests.support.browser import Chromium, Page
from tests.support.nsqd import Node, eventually

COLLECT = """
(async () => {
  const { NsqPush } = await import("/nsq.js");
  window.got = [];
  window.errors = [];
  window.states = [];
  window.push = new NsqPush({ token: () => %s, minPause: 0.05, maxPause: 0.2 });
  const keep = (message) => { got.push([message.topic, message.body, message.attempts]); };
  window.keep = keep;
  push.onmessage = keep;
  push.onerror = (error) => errors.push(error.code ?? error.message);
  push.onstate = (state) => states.push(state);
  return true;
})()
"""


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Chromium]:
    async with Chromium(tmp_path) as made:
        yield made


def bridge(
    node: Node, name: str, address: str = "127.0.0.1:0", auth: Tokens | None = None, **more: Any
) -> Bridge:
    given = {"user_topics": ("mail",), "retry_delay": 0.05, "linger": 0, "shutdown_timeout": 3, **more}
    target, settings = "{}:{}".format(*node.tcp), Settings(node=name, **given)
    return Bridge(target, auth or Tokens(), settings=settings, address=address, demo=True)


async def connect(browser: Chromium, where: Bridge, user: str) -> Page:
    """A page of this user, connected."""
    page = await browser.page(f"http://{where.address}/")
    await page.evaluate(COLLECT % json.dumps(f"user {user}"))
    await page.until("push.state === 'open'")
    return page


async def got(page: Page, count: int) -> list[Any]:
    """What has come, once it is so much."""
    await page.until(f"got.length >= {count}")
    messages = await page.evaluate("got")
    assert isinstance(messages, list)
    return messages


async def test_browsers_on_two_bridges_get_what_is_theirs(node: Node, browser: Chromium) -> None:
    async with bridge(node, "one") as one, bridge(node, "two") as two:
        await up(one, two)
        ann_here, ann_there = await connect(browser, one, "ann"), await connect(browser, two, "ann")
        bob = await connect(browser, two, "bob")
        for page in (ann_here, bob):
            await page.evaluate("push.subscribe('prices', keep)")
        await eventually(lambda: len(one.hub.feeds) == len(two.hub.feeds) == 1)
        await eventually(lambda: all(f.connected for b in (one, two) for f in b.hub.feeds.values()))

        await node.publish("mail", mail("ann", "grüß dich"), mail("bob", "for bob"))
        await node.publish("prices", b"42")

        wanted = ["mail", mail("ann", "grüß dich").decode(), 1]
        assert await got(ann_there, 1) == [wanted]
        assert sorted(await got(ann_here, 2)) == sorted([wanted, ["prices", "42", 1]])
        assert sorted(await got(bob, 2)) == sorted(
            [["mail", mail("bob", "for bob").decode(), 1], ["prices", "42", 1]]
        )
        await eventually(lambda: one.counters.acked_total == 2 and two.counters.acked_total == 3)
        held = [f for b in (one, two) for f in (*b.hub.user_feeds, *b.hub.feeds.values()) if f.desk.held]
        assert held == []


async def test_a_handler_that_throws_hands_work_to_a_browser_of_the_other_bridge(
    node: Node, browser: Chromium
) -> None:
    async with bridge(node, "one") as one, bridge(node, "two") as two:
        breaks, works = await connect(browser, one, "ann"), await connect(browser, two, "bob")
        broken = "push.subscribe('jobs', () => { throw new Error('no') }, { channel: 'agents', max: 1 })"
        await breaks.evaluate(broken)
        await eventually(lambda: any(feed.connected for feed in one.hub.feeds.values()))
        await node.publish("jobs", b"do it")
        await breaks.until("errors.includes('no')")
        await works.evaluate("push.subscribe('jobs', keep, { channel: 'agents', max: 5 })")
        await breaks.evaluate("push.unsubscribe('jobs', 'agents')")
        ((topic, body, attempts),) = await got(works, 1)
        assert (topic, body) == ("jobs", "do it")
        assert attempts >= 2
        await eventually(lambda: two.counters.acked_total == 1)


async def test_a_page_connects_again_and_subscribes_again_when_its_bridge_is_replaced(
    node: Node, browser: Chromium
) -> None:
    async with bridge(node, "old") as old:
        await up(old)
        page = await connect(browser, old, "ann")
        await page.evaluate("push.subscribe('prices', keep)")
        await eventually(lambda: any(feed.connected for feed in old.hub.feeds.values()))
    await page.until("push.state !== 'open'")
    async with bridge(node, "new", old.address) as new:
        await up(new)
        await page.until("push.state === 'open'")
        await eventually(lambda: any(feed.connected for feed in new.hub.feeds.values()))
        await node.publish("prices", b"43")
        await node.publish("mail", mail("ann", "still there"))
        assert sorted(await got(page, 2)) == [
            ["mail", mail("ann", "still there").decode(), 1],
            ["prices", "43", 1],
        ]


async def test_what_is_refused_is_told_to_the_page(node: Node, browser: Chromium) -> None:
    async with bridge(node, "one") as one:
        page = await connect(browser, one, "eve")
        await page.evaluate("push.subscribe('mail', keep)")
        await page.until("errors.includes('FORBIDDEN')")


async def test_a_topic_that_can_not_be_had_is_asked_for_again(node: Node, browser: Chromium) -> None:
    async with bridge(node, "one", max_topics=1) as one:
        page = await connect(browser, one, "ann")
        await page.evaluate("push.subscribe('first', keep)")
        await eventually(lambda: any(feed.connected for feed in one.hub.feeds.values()))
        await page.evaluate("push.subscribe('second', keep)")
        await page.until("errors.includes('UNAVAILABLE')")
        await page.evaluate("push.unsubscribe('first')")
        await eventually(lambda: ("second", "") in one.hub.feeds)
        await eventually(lambda: one.hub.feeds[("second", "")].connected)
        await node.publish("second", b"2")
        assert await got(page, 1) == [["second", "2", 1]]


async def test_a_page_is_told_when_its_token_stops_to_allow_a_topic(node: Node, browser: Chromium) -> None:
    tokens = Tokens()
    tokens.grants["t"] = Grant("ann", (Permission("^prices$", (".*",)),), ttl=0.5)
    async with bridge(node, "one", auth=tokens) as one:
        page = await browser.page(f"http://{one.address}/")
        await page.evaluate(COLLECT % json.dumps("t"))
        await page.until("push.state === 'open'")
        await page.evaluate("push.onerror = (error) => errors.push(error.reason)")
        await page.evaluate("push.subscribe('prices', keep)")
        tokens.grants["t"] = Grant("ann", ttl=60)
        await page.until("errors.includes('FORBIDDEN')")


async def test_a_page_that_waits_connects_as_soon_as_the_network_is_back(
    node: Node, browser: Chromium
) -> None:
    async with bridge(node, "old") as old:
        page = await browser.page(f"http://{old.address}/")
        patient = (COLLECT % json.dumps("user ann")).replace(
            "minPause: 0.05, maxPause: 0.2", "minPause: 600, maxPause: 600"
        )
        await page.evaluate(patient)
        await page.until("push.state === 'open'")
    await page.until("push.state === 'closed'")
    async with bridge(node, "new", old.address):
        await page.evaluate("window.dispatchEvent(new Event('online'))")
        await page.until("push.state === 'open'")


async def test_connections_that_end_as_soon_as_they_are_open_are_made_less_and_less_often(
    node: Node, browser: Chromium
) -> None:
    async with bridge(node, "one") as one:
        page = await browser.page(f"http://{one.address}/")
        await page.evaluate((COLLECT % json.dumps("user ann")).replace("maxPause: 0.2", "maxPause: 3600"))
        for failures in range(1, 4):
            await page.until("push.state === 'open'")
            for session in list(one.hub.sessions):
                session.close(Close.TOO_SLOW, "for the test")
            await page.until(f"push._failures === {failures}")  # its state may be closed for a moment only


async def test_the_demonstration_page_shows_messages_and_their_answers(
    node: Node, browser: Chromium, tmp_path: Path
) -> None:
    async with bridge(node, "one") as one:
        await up(one)
        page = await browser.page(f"http://{one.address}/")
        fill = "document.getElementById({!r}).value = {!r}".format
        await page.evaluate(fill("token", "user ann"))
        await page.evaluate("document.querySelector('#connect button').click()")
        await page.until("document.getElementById('state').textContent === 'open: ann at one'")
        await page.evaluate(fill("topic", "prices"))
        await page.evaluate("document.querySelector('#subscribe button').click()")
        await eventually(lambda: any(feed.connected for feed in one.hub.feeds.values()))
        await node.publish("prices", b"<b>42</b>", b"\xff\x00")
        await node.publish("mail", mail("ann", "hello"))
        await page.until("document.querySelectorAll('#messages tr').length === 3")
        text = await page.evaluate("document.getElementById('messages').textContent")
        for part in ("<b>42</b>", "2 bytes", "hello", "acknowledged"):
            assert part in text
        await page.evaluate("document.getElementById('refuse').click()")
        await node.publish("prices", b"43")
        await page.until("document.getElementById('messages').textContent.includes('handed back')")
        await eventually(lambda: one.counters.nacked_total == 1)
        await page.screenshot(tmp_path / "demo.png")
        assert (tmp_path / "demo.png").stat().st_size > 5000
