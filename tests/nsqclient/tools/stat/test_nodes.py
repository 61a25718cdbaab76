from __future__ import annotations

import asyncio
import time

import pytest

from nsqclient.tools.stat.asking import LONG_S
from nsqcore.errors import HttpError
from tests.nsqclient.tools.stat.clusters import nobody, nodes_of, nsqd, running
from tests.support.fake_cluster import FakeLookupd, FakeNsqd, channel, topic


async def test_nsqds_that_are_named_are_asked_for_the_channel_and_nothing_that_is_not_needed() -> None:
    a, b = nsqd(message_count=1), nsqd(message_count=2)
    async with running(a, b), nodes_of(nsqds=[a.address, b.address, a.address]) as nodes:
        readings, gone = await nodes.poll()
        assert [r.channels["c"].message_count for r in readings] == [1, 2]
        assert (gone, nodes.count, nodes.missing, nodes.trouble()) == ([], 2, [], "")
    (question,) = a.questions
    assert question == "/stats?format=json&topic=t&channel=c&include_clients=false&include_mem=false"


async def test_all_nsqds_that_any_nsqlookupd_knows_are_asked_once_each() -> None:
    a, b, c = nsqd(), nsqd(), FakeNsqd(topic("other"))
    one, two = FakeLookupd(a, c), FakeLookupd(a, b)
    async with running(a, b, c, one, two), nodes_of(lookupds=[one.address, two.address]) as nodes:
        readings, _ = await nodes.poll()
        assert {r.node for r in readings} == {a.name, b.name}
        assert (len(a.questions), len(c.questions)) == (1, 0)


async def test_nsqds_come_and_go_with_their_registration_and_that_is_told() -> None:
    a, b = nsqd(), nsqd()
    lookupd = FakeLookupd(a)
    news: list[str] = []
    async with running(a, b, lookupd), nodes_of(lookupds=[lookupd.address], tell=news.append) as nodes:
        await nodes.poll()
        assert news == []
        lookupd.nodes.append(b)
        readings, gone = await nodes.poll()
        assert ([r.node for r in readings], gone) == ([a.name, b.name], [])
        lookupd.nodes.remove(a)
        readings, gone = await nodes.poll()
        assert ([r.node for r in readings], gone) == ([b.name], [a.name])
        assert news == [
            f"nsqd {b.name}: registered with topic t; counted from now on",
            f"nsqd {a.name}: not registered with topic t any more; left out",
        ]


async def test_a_nsqlookupd_that_fails_is_taken_at_its_last_word() -> None:
    a, b = nsqd(), nsqd()
    one, two = FakeLookupd(a), FakeLookupd(b)
    news: list[str] = []
    async with (
        running(a, b, one, two),
        nodes_of(lookupds=[one.address, two.address], tell=news.append) as nodes,
    ):
        await nodes.poll()
        await one.stop()
        readings, gone = await nodes.poll()
        assert {r.node for r in readings} == {a.name, b.name}
        assert (gone, nodes.trouble()) == ([], "")
        assert len(news) == 1
        assert news[0].startswith(f"nsqlookupd {one.address}: no answer (")


async def test_a_nsqlookupd_that_does_not_know_the_topic_is_no_failure() -> None:
    a = nsqd()
    one, two = FakeLookupd(), FakeLookupd(a)
    news: list[str] = []
    async with (
        running(a, one, two),
        nodes_of(lookupds=[one.address, two.address], tell=news.append) as nodes,
    ):
        readings, _ = await nodes.poll()
        assert ([r.node for r in readings], news) == ([a.name], [])


async def test_one_unreachable_nsqd_of_two_is_left_out_and_told_once() -> None:
    a, silent, news = nsqd(), nobody(), list[str]()
    async with running(a), nodes_of(nsqds=[silent, a.address], tell=news.append) as nodes:
        for _ in range(3):
            readings, _ = await nodes.poll()
            assert [r.node for r in readings] == [a.address]
            assert (nodes.missing, nodes.trouble()) == ([silent], "")
    assert len(news) == 1
    assert news[0].startswith(f"nsqd {silent}: no answer (")


async def test_a_nsqd_that_hangs_holds_up_one_round_by_its_timeout_and_no_other() -> None:
    a, hanging = nsqd(), nsqd()
    hanging.hanging = True
    timeout = LONG_S * 2
    async with (
        running(a, hanging),
        nodes_of(nsqds=[hanging.address, a.address], request_timeout=timeout) as nodes,
    ):
        begun = time.monotonic()
        await nodes.poll()
        assert time.monotonic() - begun >= timeout * 0.9
        begun, rounds = time.monotonic(), 0
        while rounds < 5:
            readings, _ = await nodes.poll()
            assert [r.node for r in readings] == [a.address]
            rounds += 1
        assert time.monotonic() - begun < timeout * 4  # each of the five would have taken the timeout
        hanging.hanging = False
        async with asyncio.timeout(10):
            while nodes.missing:
                await nodes.poll()


@pytest.mark.parametrize("hostile", [b"", b"null", b"[]", b"<html>", b'{"producers": 3}', b"\xff" * 100])
async def test_a_nsqlookupd_that_answers_nonsense_is_no_nsqlookupd(hostile: bytes) -> None:
    lookupd = FakeLookupd()
    lookupd.lies["/lookup"] = hostile
    async with running(lookupd), nodes_of(lookupds=[lookupd.address]) as nodes:
        assert (await nodes.poll())[0] == []
        assert nodes.trouble().startswith("failed to get topic producers - failed to query any nsqlookupd: ")


async def test_a_registration_that_is_no_address_harms_nobody_else() -> None:
    a, odd = nsqd(), nsqd()
    odd.info = {"http_port": -1}
    lookupd = FakeLookupd(a, odd)
    news: list[str] = []
    async with running(a, odd, lookupd), nodes_of(lookupds=[lookupd.address], tell=news.append) as nodes:
        readings, _ = await nodes.poll()
        assert [r.node for r in readings] == [a.name]
        assert len(news) == 1


async def test_what_is_wrong_is_said_in_the_words_of_the_original() -> None:
    silent = nobody()
    async with nodes_of(nsqds=[silent]) as nodes:
        await nodes.poll()
        assert nodes.trouble().startswith("failed to get topic producers - failed to query any nsqd: ")
    async with nodes_of(lookupds=[silent]) as nodes:
        await nodes.poll()
        assert nodes.trouble().startswith("failed to get topic producers - failed to query any nsqlookupd: ")
    a = nsqd()
    lookupd = FakeLookupd(registered={"t": []})
    async with running(a, lookupd), nodes_of(lookupds=[lookupd.address]) as nodes:
        await nodes.poll()
        assert nodes.trouble().endswith("no nsqd is registered with topic t")
        lookupd.nodes.append(a)
        await a.stop()
        await nodes.poll()
        assert nodes.trouble().startswith("failed to get nsqd stats - failed to query any nsqd: ")


async def test_of_many_reasons_a_line_names_the_first_few() -> None:
    async with nodes_of(nsqds=[nobody() for _ in range(5)]) as nodes:
        await nodes.poll()
        assert nodes.trouble().endswith("; and 2 more")


async def test_without_a_channel_all_are_read() -> None:
    a = FakeNsqd(topic("t", channel("x"), channel("y")))
    async with running(a), nodes_of(nsqds=[a.address], only="") as nodes:
        (reading,), _ = await nodes.poll()
        assert set(reading.channels) == {"x", "y"}


async def test_nothing_that_a_daemon_answers_steers_the_terminal() -> None:
    a, lookupd = nsqd(), FakeLookupd()
    odd = nsqd()
    odd.info = {"broadcast_address": "evil\x1b[2J\n"}
    lookupd.nodes = [a, odd]
    a.lies["/stats"] = HttpError(500, "\x1b[2Jno\nmore")
    news: list[str] = []
    async with running(a, odd, lookupd), nodes_of(lookupds=[lookupd.address], tell=news.append) as nodes:
        await nodes.poll()
        texts = [*news, nodes.trouble(), *nodes.missing]
    assert len(news) == 2
    assert all(text.isprintable() for text in texts)


@pytest.mark.parametrize(
    "hostile",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"topics": 3}',
        b"[" * 100_000,
        b'{"version": 1e999}',
        b"\xff\x00",
        b"<html>",
    ],
    ids=lambda data: repr(data[:20]),
)
async def test_a_nsqd_that_answers_nonsense_is_left_out(hostile: bytes) -> None:
    a, odd = nsqd(), nsqd()
    odd.lies["/stats"] = hostile
    async with running(a, odd), nodes_of(nsqds=[odd.address, a.address]) as nodes:
        readings, _ = await nodes.poll()
        assert [r.node for r in readings] == [a.address]
        assert nodes.missing == [odd.address]
