"""What every client library does all day, done by libraries that we did not write, against nsqd as a process."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.fetch import fetch_json
from tests.support.history import nsqd, post
from tests.support.processes import DaemonProcess, spawn
from tests.system.clients import Client, ForeignClient
from tests.system.cluster import topic_stats
from tests.system.waiting import until

BODIES = [b"", b"\x00", b"\n", b"V2", bytes(range(256)), "grüß".encode(), b"x" * 70_000]
NOT_EMPTY = [body for body in BODIES if body]


def channel_stats(daemon: DaemonProcess, topic: str) -> dict[str, Any]:
    """The channel of a topic that has one."""
    (channel,) = topic_stats(daemon, topic)["channels"]
    assert isinstance(channel, dict)
    return channel


def settled(daemon: DaemonProcess, topic: str) -> bool:
    """Everything that was published has been finished."""
    channel = channel_stats(daemon, topic)
    return not (channel["depth"] or channel["in_flight_count"] or channel["deferred_count"])


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    """A nsqd that waits for a second only; some clients insist on a minute unless told to ask for less."""
    with nsqd(tmp_path_factory.mktemp("hasty"), "--msg-timeout=1s", "--max-msg-timeout=1m") as d:
        yield d


def test_what_is_published_is_consumed(daemon: DaemonProcess, client: Client, topic: str) -> None:
    many = [b"%d" % n for n in range(500)]
    with ForeignClient(client, nsqd=[daemon.tcp], finish=True) as c:
        c.pub(topic, *NOT_EMPTY)
        c.mpub(topic, *NOT_EMPTY)
        c.mpub(topic, *many)
        c.subscribe(topic, "work", max_in_flight=50)
        assert c.bodies(2 * len(NOT_EMPTY) + len(many)) == Counter([*NOT_EMPTY, *NOT_EMPTY, *many])
        until(lambda: settled(daemon, topic))
        assert channel_stats(daemon, topic)["requeue_count"] == 0


def test_a_message_comes_no_earlier_than_it_was_deferred(
    daemon: DaemonProcess, client: Client, topic: str
) -> None:
    with ForeignClient(client, nsqd=[daemon.tcp], finish=True) as c:
        c.subscribe(topic, "work", max_in_flight=5)
        c.pub(topic, b"first")
        started = time.monotonic()
        c.dpub(topic, 300, b"later")
        c.pub(topic, b"now")
        assert c.bodies(2) == Counter([b"first", b"now"])
        assert c.message().body == b"later"
        assert time.monotonic() - started >= 0.299


def test_a_requeued_message_comes_again_and_counts_its_attempts(
    daemon: DaemonProcess, client: Client, topic: str
) -> None:
    with ForeignClient(client, nsqd=[daemon.tcp]) as c:
        c.pub(topic, b"again")
        c.subscribe(topic, "work")
        first = c.message()
        c.requeue(first)
        second = c.message()
        started = time.monotonic()
        c.requeue(second, 250)
        third = c.message()
        assert time.monotonic() - started >= 0.249
        c.finish(third)
        assert [m.attempts for m in (first, second, third)] == [1, 2, 3]
        assert {(m.id, m.body) for m in (first, second, third)} == {(first.id, b"again")}
        until(lambda: settled(daemon, topic))
        assert channel_stats(daemon, topic)["requeue_count"] == 2


def test_a_message_that_is_not_answered_in_time_comes_again(
    hasty: DaemonProcess, client: Client, topic: str
) -> None:
    with ForeignClient(client, nsqd=[hasty.tcp], msg_timeout=1000) as c:
        c.pub(topic, b"forgotten")
        c.subscribe(topic, "work")
        first, again = c.message(), c.message()
        c.finish(again)
        assert (first.id, first.body, first.attempts) == (again.id, b"forgotten", 1)
        assert again.attempts == 2
        until(lambda: settled(hasty, topic))
        assert channel_stats(hasty, topic)["timeout_count"] == 1


@pytest.mark.needs("msg_timeout")
def test_a_client_chooses_its_own_timeout(daemon: DaemonProcess, client: Client, topic: str) -> None:
    with ForeignClient(client, nsqd=[daemon.tcp], msg_timeout=1000) as c:
        c.pub(topic, b"x")
        c.subscribe(topic, "work")
        first = c.message()
        started = time.monotonic()
        second = c.message()
        assert time.monotonic() - started < 30, "the daemon's own is a minute"
        assert (first.id, first.attempts, second.attempts) == (second.id, 1, 2)


def test_touch_gives_a_message_more_time(hasty: DaemonProcess, client: Client, topic: str) -> None:
    with ForeignClient(client, nsqd=[hasty.tcp], msg_timeout=1000) as c:
        c.pub(topic, b"slow work")
        c.subscribe(topic, "work")
        message = c.message()
        started = time.monotonic()
        while time.monotonic() - started < 1.6:
            c.touch(message)
            time.sleep(0.1)
        c.finish(message)
        until(lambda: settled(hasty, topic))
        assert channel_stats(hasty, topic)["timeout_count"] == 0


def test_heartbeats_keep_an_idle_connection(daemon: DaemonProcess, client: Client, topic: str) -> None:
    """nsqd ends a connection that leaves two of them unanswered, here after two seconds."""
    with ForeignClient(client, nsqd=[daemon.tcp], heartbeat_interval=1000, finish=True) as c:
        c.subscribe(topic, "work")
        c.pub(topic, b"first")
        assert c.message().body == b"first"
        (before,) = channel_stats(daemon, topic)["clients"]
        c.dpub(topic, 2600, b"after a while")
        assert c.message().body == b"after a while"
        (after,) = channel_stats(daemon, topic)["clients"]
        assert after["remote_address"] == before["remote_address"]


def test_a_client_has_no_more_in_flight_than_it_wants(
    daemon: DaemonProcess, client: Client, topic: str
) -> None:
    with ForeignClient(client, nsqd=[daemon.tcp]) as c:
        c.mpub(topic, *(b"%d" % n for n in range(10)))
        c.subscribe(topic, "work", max_in_flight=3)
        seen = []
        for _ in range(10):
            seen.append(c.message())
            assert channel_stats(daemon, topic)["in_flight_count"] <= 3
            c.finish(seen[-1])
        assert Counter(m.body for m in seen) == Counter(b"%d" % n for n in range(10))


def test_a_client_that_pauses_gets_nothing_until_it_goes_on(
    daemon: DaemonProcess, client: Client, topic: str
) -> None:
    with ForeignClient(client, nsqd=[daemon.tcp]) as c:
        c.mpub(topic, b"1", b"2", b"3")
        c.subscribe(topic, "work", max_in_flight=1)
        first = c.message()
        c.max_in_flight(0)
        until(lambda: channel_stats(daemon, topic)["clients"][0]["ready_count"] == 0)
        c.finish(first)
        until(lambda: channel_stats(daemon, topic)["in_flight_count"] == 0)
        assert channel_stats(daemon, topic)["depth"] == 2
        c.max_in_flight(1)
        second = c.message()
        c.finish(second)
        third = c.message()
        assert {first.body, second.body, third.body} == {b"1", b"2", b"3"}


@pytest.mark.needs("changing max_in_flight")
def test_a_client_that_wants_more_in_flight_gets_it(
    daemon: DaemonProcess, client: Client, topic: str
) -> None:
    with ForeignClient(client, nsqd=[daemon.tcp]) as c:
        c.mpub(topic, *(b"%d" % n for n in range(10)))
        c.subscribe(topic, "work", max_in_flight=1)
        first = c.message()
        assert channel_stats(daemon, topic)["in_flight_count"] == 1
        c.max_in_flight(4)
        c.finish(first)
        for _ in range(4):
            c.message()
        assert channel_stats(daemon, topic)["in_flight_count"] == 4


def test_what_a_client_leaves_behind_goes_to_another(
    daemon: DaemonProcess, client: Client, topic: str
) -> None:
    with ForeignClient(client, nsqd=[daemon.tcp]) as leaving:
        leaving.pub(topic, b"1", b"2", b"3")
        leaving.subscribe(topic, "work", max_in_flight=1)
        done, held = leaving.message(), None
        leaving.finish(done)
        held = leaving.message()
        leaving.close()
        until(lambda: channel_stats(daemon, topic)["client_count"] == 0)
        with ForeignClient(client, nsqd=[daemon.tcp], finish=True) as c:
            c.subscribe(topic, "work", max_in_flight=1)
            came = [c.message() for _ in range(2)]
        assert Counter([done.body, *(m.body for m in came)]) == Counter([b"1", b"2", b"3"])
        assert {m.body: m.attempts for m in came}[held.body] == 2


def test_two_consumers_of_a_channel_share_and_two_channels_do_not(
    daemon: DaemonProcess, client: Client, topic: str
) -> None:
    bodies = [b"%d" % n for n in range(200)]
    with (
        ForeignClient(client, nsqd=[daemon.tcp], finish=True) as a,
        ForeignClient(client, nsqd=[daemon.tcp]) as b,
    ):
        assert post(daemon, f"/topic/create?topic={topic}")[0] == 200
        for channel in ("shared", "other"):
            assert post(daemon, f"/channel/create?topic={topic}&channel={channel}")[0] == 200
        a.mpub(topic, *bodies)
        b.subscribe(topic, "shared", max_in_flight=1)
        held = b.message()
        a.subscribe(topic, "shared", max_in_flight=10)
        got = a.bodies(len(bodies) - 1)
        b.finish(held)
        assert got + Counter([held.body]) == Counter(bodies)
        topics = fetch_json(daemon.http, f"/stats?format=json&topic={topic}")["topics"]
        depths = {c["channel_name"]: c["depth"] for c in topics[0]["channels"]}
        assert depths == {"shared": 0, "other": len(bodies)}


def test_a_client_that_samples_gets_its_share(daemon: DaemonProcess, client: Client, topic: str) -> None:
    bodies = [b"%d" % n for n in range(2000)]
    with ForeignClient(client, nsqd=[daemon.tcp], finish=True, sample_rate=25) as c:
        c.mpub(topic, *bodies)
        c.subscribe(topic, "work", max_in_flight=100)
        first = c.message()
        until(lambda: settled(daemon, topic))
        (consumer,) = channel_stats(daemon, topic)["clients"]
        count = consumer["message_count"]
        assert 380 <= count <= 620, "500 are expected, with a standard deviation of 19"
        assert Counter([first.body]) + c.bodies(count - 1) <= Counter(bodies)


def test_what_a_client_samples_away_goes_to_another(
    daemon: DaemonProcess, client: Client, topic: str
) -> None:
    bodies = [b"%d" % n for n in range(500)]
    with (
        ForeignClient(client, nsqd=[daemon.tcp], finish=True, sample_rate=10) as some,
        ForeignClient(client, nsqd=[daemon.tcp], finish=True) as others,
    ):
        for c in (some, others):
            c.subscribe(topic, "work", max_in_flight=20)
        until(lambda: len((topic_stats(daemon, topic).get("channels") or [{}])[0].get("clients", [])) == 2)
        others.mpub(topic, *bodies)
        until(lambda: channel_stats(daemon, topic)["message_count"] == 500 and settled(daemon, topic))
        counts = {c["sample_rate"]: c["message_count"] for c in channel_stats(daemon, topic)["clients"]}
        assert some.bodies(counts[10]) + others.bodies(counts[0]) == Counter(bodies)


def test_a_body_that_is_too_long_is_refused(daemon: DaemonProcess, client: Client, topic: str) -> None:
    with ForeignClient(client, nsqd=[daemon.tcp], finish=True) as c:
        c.pub(topic, b"x" * 1024 * 1024)
        error = c.refused(topic, b"x" * (1024 * 1024 + 1))
        assert "badmessage" in error.lower().replace("_", "")


def test_nsqlookupd_leads_a_client_to_every_node(
    tmp_path_factory: pytest.TempPathFactory, client: Client, topic: str
) -> None:
    with (
        spawn("nsqlookupd", "--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0") as lookupd,
        nsqd(tmp_path_factory.mktemp("a"), f"--lookupd-tcp-address={lookupd.tcp}") as a,
        nsqd(tmp_path_factory.mktemp("b"), f"--lookupd-tcp-address={lookupd.tcp}") as b,
    ):
        for node in (a, b):
            with ForeignClient(client, nsqd=[node.tcp]) as publisher:
                publisher.mpub(topic, *(node.tcp.encode() + b" %d" % n for n in range(20)))
        until(lambda: len(fetch_json(lookupd.http, f"/lookup?topic={topic}")["producers"]) == 2)
        with ForeignClient(client, lookupd=[lookupd.http], finish=True) as c:
            c.subscribe(topic, "work", max_in_flight=10)
            expected = Counter(node.tcp.encode() + b" %d" % n for node in (a, b) for n in range(20))
            assert c.bodies(40) == expected
