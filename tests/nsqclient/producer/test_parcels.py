"""One publish, one batch, one copy: what is known of each at any time."""

from __future__ import annotations

import asyncio

from nsqclient import PublishNotSent
from nsqclient.producer.copies import Redundant
from nsqclient.producer.parcels import CHANGED, OVER, Fates, Gathered, Publish


class Log(Fates):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.good: list[Publish] = []
        self.bad: list[tuple[Publish, Exception]] = []
        self.late: list[str] = []

    def stored(self, publish: Publish, now: float) -> None:
        publish.state = OVER
        publish.acked_at = now
        self.good.append(publish)

    def failed(self, publish: Publish, error: Exception) -> None:
        publish.state = OVER
        publish.error = error
        self.bad.append((publish, error))

    def copy_ended(self, publish: Publish, error: Exception | None, node: str) -> None:
        self.late.append(f"{node} {error}")


def make(body: bytes = b"PUB t", key: str | None = None) -> Publish:
    return Publish("t", body, 2, key, "note", False, 1.5, 9.0)


def test_what_never_left_was_not_sent() -> None:
    assert make().outcome == "not_sent"


def test_what_is_written_or_lost_its_answer_before_is_unknown() -> None:
    publish = make()
    publish.on_wire = True
    assert publish.outcome == "unknown"
    publish.on_wire = False
    publish.maybe_stored = True
    assert publish.outcome == "unknown"


def test_the_receipt_tells_the_whole_way() -> None:
    publish = make(key="k")
    publish.node, publish.attempts = "a:1", 3
    publish.state, publish.acked_at = OVER, 2.5
    receipt = publish.receipt()
    assert (receipt.topic, receipt.nodes, receipt.count, receipt.attempts) == ("t", ("a:1",), 2, 3)
    assert (receipt.queued_at, receipt.acked_at, receipt.message_key) == (1.5, 2.5, "k")
    assert publish.acked_nodes == ("a:1",)


async def test_one_that_is_done_is_awaited_without_waiting() -> None:
    publish = make()
    publish.state, publish.acked_at = OVER, 2.5
    assert publish.done
    assert (await publish).acked_at == 2.5


async def test_several_may_wait_and_one_that_is_cancelled_harms_nobody() -> None:
    publish = make()

    async def wait() -> float:
        return (await publish).acked_at

    first, second = asyncio.create_task(wait()), asyncio.create_task(wait())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    publish.state, publish.acked_at = OVER, 2.5
    publish.wake()
    assert await second == 2.5
    assert first.cancelled()


def test_a_batch_leaves_out_who_is_not_there_any_more() -> None:
    members = [make(b"a"), make(b"b"), make(b"c")]
    batch = Gathered("t", members)
    members[1].state = OVER
    assert batch.refresh()
    assert batch.command == b"MPUB t\n\0\0\0\x0e\0\0\0\x02\0\0\0\x01a\0\0\0\x01c"
    members[0].give_up()
    assert batch.state == CHANGED
    members[0].state = members[2].state = OVER
    assert not batch.refresh()
    assert batch.state == OVER


def test_the_members_of_a_batch_share_its_fate_and_have_errors_of_their_own() -> None:
    log, members = Log(), [make(b"a"), make(b"b")]
    batch = Gathered("t", members)
    batch.on_wire = True
    assert members[0].outcome == "unknown"
    batch.fail(lambda: PublishNotSent("no"), log)
    assert [publish for publish, _ in log.bad] == members
    assert log.bad[0][1] is not log.bad[1][1]


def test_a_batch_falls_into_its_messages() -> None:
    members = [make(b"a"), make(b"b")]
    batch = Gathered("t", members)
    batch.attempts = 1
    parts = batch.parts()
    assert [part.command for part in parts] == [b"PUB t\n\0\0\0\x01a", b"PUB t\n\0\0\0\x01b"]
    assert [(part.carrier, part.attempts) for part in parts] == [(None, 1), (None, 1)]


def test_a_batch_has_keys_only_if_all_have() -> None:
    assert Gathered("t", [make(key="1"), make(key="2")]).keyed
    assert not Gathered("t", [make(key="1"), make()]).keyed


def copies(count: int, needed: int) -> Redundant:
    group = Redundant("t", b"PUB t", 1, "k", None, False, 1.5, 9.0)
    assert (group.outcome, group.acked_nodes, group.under_way) == ("not_sent", (), False)
    for n, copy in enumerate(group.split(count, needed, False)):
        copy.node = f"n{n}"
        copy.on_wire = True
    return group


def test_enough_copies_are_a_success_and_the_rest_is_told_later() -> None:
    log, group = Log(), copies(3, 2)
    group.copies[2].acked(2.0, log)
    assert (log.good, group.outcome) == ([], "unknown")
    group.copies[0].acked(3.0, log)
    assert log.good == [group]
    assert group.receipt().nodes == ("n2", "n0")
    assert group.under_way
    group.copies[1].fail(lambda: PublishNotSent("late"), log)
    assert log.late == ["n1 late"]
    assert not group.under_way


def test_too_few_copies_say_where_they_are() -> None:
    log, group = Log(), copies(2, 2)
    group.copies[0].acked(2.0, log)
    group.copies[1].on_wire = False
    group.copies[1].fail(lambda: PublishNotSent("no way"), log)
    ((publish, error),) = log.bad
    assert publish is group
    assert error.acked_nodes == ("n0",)  # type: ignore[attr-defined]
    assert error.outcome == "unknown"  # type: ignore[attr-defined]
    assert str(error) == "1 of 2 copies are stored, 2 are wanted: no way"
