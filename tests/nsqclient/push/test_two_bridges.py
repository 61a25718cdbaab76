"""Two bridges that share nothing but NSQ, real sockets, no browser: who gets which message, and what becomes of it."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest

from nsqclient.content.envelope import wrap
from tests.nsqclient.push.browsers import Client, bridge, mail, up, welcomed
from tests.support.nsqd import Node, eventually


async def channels(node: Node, topic: str) -> dict[str, dict[str, Any]]:
    """Of a topic: in flight, depth and the like."""
    stats = await node.stats(f"&topic={topic}")
    return {c["channel_name"]: c for t in stats["topics"] for c in t["channels"]}


async def settled(node: Node, topic: str, count: int) -> None:
    """Until so many messages have come through, and none is held any more."""

    async def clean() -> bool:
        found = (await channels(node, topic)).values()
        return all(
            c["message_count"] >= count and not c["in_flight_count"] + c["depth"] + c["deferred_count"]
            for c in found
        )

    async with asyncio.timeout(10):
        while not await clean():  # noqa: ASYNC110 - nsqd tells of it only when it is asked
            await asyncio.sleep(0.01)


async def test_a_message_reaches_every_connection_of_its_user_on_every_bridge(
    node: Node, stack: AsyncExitStack
) -> None:
    one, two = [await stack.enter_async_context(bridge(node)) for _ in range(2)]
    await up(one, two)
    ann = [
        await welcomed(await stack.enter_async_context(Client(where, "user ann")))
        for where in (one, one, two)
    ]
    bob = await welcomed(await stack.enter_async_context(Client(two, "user bob")))
    await node.publish(
        "mail", mail("ann", "1"), mail("bob", "2"), mail(["ann", "bob"], "3"), mail("carl", "4")
    )
    for client in ann:
        bodies = [json.loads((await client.message())["body"])["text"] for _ in range(2)]
        assert sorted(bodies) == ["1", "3"]
    assert sorted([json.loads((await bob.message())["body"])["text"] for _ in range(2)]) == ["2", "3"]
    await settled(node, "mail", 4)
    found = await channels(node, "mail")
    assert len(found) == 2
    assert all(name.endswith("#ephemeral") and c["requeue_count"] == 0 for name, c in found.items())


async def test_the_messages_of_a_topic_reach_all_subscribers_and_only_them(
    node: Node, stack: AsyncExitStack
) -> None:
    one, two = [await stack.enter_async_context(bridge(node)) for _ in range(2)]
    here, there, other = [
        await welcomed(await stack.enter_async_context(Client(where, f"user {name}")))
        for where, name in ((one, "ann"), (two, "bob"), (two, "carl"))
    ]
    await here.subscribe("prices")
    await there.subscribe("prices", ref="r1")
    await other.subscribe("news")
    await node.publish("prices", b"42", b"\xff\x00")
    for client in (here, there):
        messages = [await client.message() for _ in range(2)]
        assert {m.get("body") or m["body64"] for m in messages} == {"42", "/wA="}
        assert {m["kind"] for m in messages} == {"topic"}
    await there.send(op="unsubscribe", topic="prices")
    await there.expect("unsubscribed")
    await node.publish("prices", b"43")
    assert (await here.message())["body"] == "43"
    await node.publish("news", b"extra")
    assert (await other.message())["topic"] == "news"
    assert there.other == []


async def test_work_goes_to_one_browser_of_all_and_comes_again_when_it_is_handed_back(
    node: Node, stack: AsyncExitStack
) -> None:
    one, two = [await stack.enter_async_context(bridge(node)) for _ in range(2)]
    workers = [
        await welcomed(await stack.enter_async_context(Client(where, f"user {name}")))
        for where, name in ((one, "ann"), (two, "bob"), (two, "carl"))
    ]
    for worker in workers:
        await worker.subscribe("jobs", channel="agents", max=2)
    await node.publish("jobs", *[b"%d" % n for n in range(60)])
    done: list[tuple[str, int]] = []

    async def work(client: Client) -> None:
        while True:
            message = await client.message(ack=False)
            if message["body"] == "7" and message["attempts"] == 1:
                await client.send(op="nack", seq=message["seq"], delay=0)
            else:
                done.append((message["body"], message["attempts"]))
                await client.send(op="ack", seq=message["seq"])

    tasks = [asyncio.create_task(work(client)) for client in workers]
    await eventually(lambda: len(done) >= 60)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert sorted(body for body, _ in done) == sorted(str(n) for n in range(60))
    assert ("7", 2) in done
    await settled(node, "jobs", 60)
    assert list(await channels(node, "jobs")) == ["agents"]


async def test_work_of_a_browser_that_leaves_goes_to_another_bridge_at_once(
    node: Node, stack: AsyncExitStack
) -> None:
    one, two = [await stack.enter_async_context(bridge(node)) for _ in range(2)]
    async with Client(one, "user ann") as leaver:
        await welcomed(leaver)
        await leaver.subscribe("jobs", channel="agents", max=5)
        await node.publish("jobs", b"1", b"2", b"3")
        for _ in range(3):
            await leaver.message(ack=False)
    stayer = await welcomed(await stack.enter_async_context(Client(two, "user bob")))
    await stayer.subscribe("jobs", channel="agents", max=5)
    again = [await stayer.message() for _ in range(3)]
    assert sorted((m["body"], m["attempts"]) for m in again) == [("1", 2), ("2", 2), ("3", 2)]


async def test_a_bridge_takes_no_more_work_than_its_browsers_want(node: Node, stack: AsyncExitStack) -> None:
    one = await stack.enter_async_context(bridge(node))
    ann = await welcomed(await stack.enter_async_context(Client(one, "user ann")))
    await ann.subscribe("jobs", channel="agents", max=2)
    await node.publish("jobs", *[b"x"] * 10)
    first = [await ann.message(ack=False) for _ in range(2)]
    found = (await channels(node, "jobs"))["agents"]
    assert (found["in_flight_count"], found["depth"]) == (2, 8)
    await ann.send(op="ack", seq=[m["seq"] for m in first])
    await ann.message()


async def test_who_has_acknowledged_does_not_get_it_again_when_another_hands_it_back(
    node: Node, stack: AsyncExitStack
) -> None:
    one = await stack.enter_async_context(bridge(node))
    await up(one)
    good, bad = [await welcomed(await stack.enter_async_context(Client(one, "user ann"))) for _ in range(2)]
    await node.publish("mail", mail("ann", "1"))
    await good.message()
    refused = await bad.message(ack=False)
    await bad.send(op="nack", seq=refused["seq"], delay=0.01)
    again = await bad.message()
    assert (again["id"], again["attempts"]) == (refused["id"], 2)
    await node.publish("mail", mail("ann", "2"))
    for client in (good, bad):
        assert json.loads((await client.message())["body"])["text"] == "2"
    await settled(node, "mail", 2)


async def test_a_page_that_is_loaded_anew_gets_what_the_old_one_did_not_acknowledge(
    node: Node, stack: AsyncExitStack
) -> None:
    one = await stack.enter_async_context(bridge(node, retry_delay=0.2))
    await up(one)
    async with Client(one, "user ann") as old:
        await welcomed(old)
        await node.publish("mail", mail("ann"))
        await old.message(ack=False)
    new = await welcomed(await stack.enter_async_context(Client(one, "user ann")))
    assert (await new.message())["attempts"] == 2
    await settled(node, "mail", 1)


async def test_a_message_that_is_not_answered_comes_again_and_is_given_up_in_the_end(
    node: Node, stack: AsyncExitStack
) -> None:
    one = await stack.enter_async_context(bridge(node, ack_timeout=0.1, send_timeout=0.1, attempts=2))
    await up(one)
    ann = await welcomed(await stack.enter_async_context(Client(one, "user ann")))
    await node.publish("mail", mail("ann"))
    assert (await ann.message(ack=False))["attempts"] == 1
    assert (await ann.message(ack=False))["attempts"] == 2
    await eventually(lambda: one.counters.given_up_total == 1)
    await settled(node, "mail", 1)
    assert one.counters.timed_out_total == 2


async def test_touching_gives_more_time_but_not_for_ever(node: Node, stack: AsyncExitStack) -> None:
    one = await stack.enter_async_context(
        bridge(node, ack_timeout=0.3, send_timeout=0.3, max_hold=0.9, attempts=1)
    )
    await up(one)
    ann = await welcomed(await stack.enter_async_context(Client(one, "user ann")))
    await node.publish("mail", mail("ann"))
    message = await ann.message(ack=False)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    while not one.counters.timed_out_total:
        await ann.send(op="touch", seq=message["seq"])
        await asyncio.sleep(0.02)
    assert 0.8 <= loop.time() - begun < 5


async def test_a_user_in_a_header_of_the_envelope(node: Node, stack: AsyncExitStack) -> None:
    one = await stack.enter_async_context(bridge(node, user_header="message-key"))
    await up(one)
    ann = await welcomed(await stack.enter_async_context(Client(one, "user ann")))
    await node.publish("mail", wrap({"message-key": "ann"}, b"for ann"))
    await node.publish("mail", wrap({"message-key": "bob"}, b"for bob"), mail("ann"), b"\xc1NSQ broken")
    assert (await ann.message())["body"] == "for ann"
    await settled(node, "mail", 4)
    assert (one.counters.unaddressed_total, one.counters.absent_total) == (1, 1)


async def test_what_names_nobody_or_somebody_absent_is_finished_at_once(
    node: Node, stack: AsyncExitStack
) -> None:
    one = await stack.enter_async_context(bridge(node, user_key="meta.user"))
    await up(one)
    bodies = [b"no json", b"{}", b'{"meta":{"user":7}}', b"[" * 5000, b'{"meta":{"user":true}}', b'"x"']
    await node.publish("mail", *bodies)
    await settled(node, "mail", len(bodies))
    assert (one.counters.unaddressed_total, one.counters.absent_total) == (5, 1)


async def test_a_bridge_that_ends_sends_browsers_away_and_hands_work_back(node: Node) -> None:
    async with bridge(node) as one, Client(one, "user ann") as ann:
        await welcomed(ann)
        await ann.subscribe("jobs", channel="agents", max=5)
        await node.publish("jobs", b"1", b"2")
        for _ in range(2):
            await ann.message(ack=False)
        closing = asyncio.create_task(one.close())
        assert await ann.closed() == 1001
        await closing
        found = (await channels(node, "jobs"))["agents"]
        assert (found["depth"], found["in_flight_count"]) == (2, 0)
        with pytest.raises(aiohttp.ClientError):
            async with Client(one, "user bob"):
                pass


async def test_bridges_survive_a_nsqd_that_is_started_anew(node: Node, stack: AsyncExitStack) -> None:
    one = await stack.enter_async_context(bridge(node))
    await up(one)
    ann = await welcomed(await stack.enter_async_context(Client(one, "user ann")))
    before = node.tcp
    await node.stop()
    await eventually(lambda: not one.hub.user_feeds[0].connected)
    async with aiohttp.ClientSession() as http, http.get(f"http://{one.admin_address}/health") as health:
        assert health.status == 503
    node.flags += (f"--tcp-address={before[0]}:{before[1]}",)
    await node.start()
    await up(one)
    await node.publish("mail", mail("ann"))
    await ann.message()


async def test_health_metrics_and_stats_tell_how_it_stands(node: Node, stack: AsyncExitStack) -> None:
    one = await stack.enter_async_context(bridge(node))
    await up(one)
    ann = await welcomed(await stack.enter_async_context(Client(one, "user ann")))
    await node.publish("mail", mail("ann"))
    await ann.message()
    await eventually(lambda: one.counters.acked_total == 1)
    async with aiohttp.ClientSession() as http:

        async def get(path: str) -> str:
            async with http.get(f"http://{one.admin_address}{path}") as answer:
                assert answer.status == 200
                return await answer.text()

        assert await get("/health") == "OK\n"
        metrics = await get("/metrics")
        assert "nsq_push_connections 1\n" in metrics
        assert "nsq_push_pushed_total 1\n" in metrics
        stats = json.loads(await get("/stats"))
        assert stats["topics"][0]["topic"] == "mail"
        assert '"ann"' not in json.dumps(stats)
        async with http.get(f"http://{one.address}/metrics") as hidden:
            assert hidden.status == 404
        async with http.get(f"http://{one.address}/nsq.js") as script:
            assert "class NsqPush" in await script.text()


async def test_a_topic_is_left_when_its_last_subscriber_goes(node: Node, stack: AsyncExitStack) -> None:
    one = await stack.enter_async_context(bridge(node))
    ann = await welcomed(await stack.enter_async_context(Client(one, "user ann")))
    await ann.subscribe("prices")
    assert len(one.hub.feeds) == 1
    await ann.send(op="unsubscribe", topic="prices")
    await ann.expect("unsubscribed")
    await eventually(
        lambda: not one.hub.feeds and "prices" in _names(node) and not node.topic("prices").channels
    )


def _names(node: Node) -> list[str]:
    return [name.decode() for name in node.broker.topics]
