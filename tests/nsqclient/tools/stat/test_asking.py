from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from nsqclient.errors import ApiBroken, ApiTimeout
from nsqclient.tools.stat import asking
from nsqclient.tools.stat.asking import Asked, ask_all


class Daemon:
    """Answers with the number of the question, fails, or hangs."""

    def __init__(self) -> None:
        self.questions = 0
        self.error: Exception | None = None
        self.open = asyncio.Event()
        self.open.set()
        self.asked = asyncio.Event()

    async def ask(self) -> int:
        self.questions += 1
        self.asked.set()
        await self.open.wait()
        if self.error is not None:
            raise self.error
        return self.questions


class Asking:
    """A daemon that is asked, and the news of it."""

    def __init__(self) -> None:
        self.daemon = Daemon()
        self.news: list[str] = []
        self.asked: Asked[int] = Asked("a:1", self.daemon.ask, self.news.append)


@pytest.fixture
async def one() -> AsyncIterator[Asking]:
    made = Asking()
    yield made
    await made.asked.close()


@pytest.fixture
async def other() -> AsyncIterator[Asking]:
    made = Asking()
    yield made
    await made.asked.close()


async def fail_slowly(one: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a round fail that counts as a long one."""
    monkeypatch.setattr(asking, "LONG_S", 0.0)
    one.daemon.error = ApiTimeout("http://a:1/stats", "timeout")
    await ask_all([one.asked])
    monkeypatch.undo()
    one.daemon.error = None


async def test_all_are_asked_at_once(one: Asking, other: Asking) -> None:
    one.daemon.open.clear()
    other.daemon.open.clear()
    round_ = asyncio.ensure_future(ask_all([one.asked, other.asked]))
    async with asyncio.timeout(5):
        await one.daemon.asked.wait()
        await other.daemon.asked.wait()
        one.daemon.open.set()
        other.daemon.open.set()
        await round_
    assert (one.asked.answer, other.asked.answer) == (1, 1)


async def test_a_failure_is_told_once_and_so_is_its_end(one: Asking) -> None:
    one.daemon.error = ApiBroken("http://a:1/stats", "the answer is not JSON")
    for _ in range(3):
        await ask_all([one.asked])
        assert one.asked.answer is None
    one.daemon.error = None
    for _ in range(2):
        await ask_all([one.asked])
    assert one.asked.answer == 5
    assert [line.partition(" (")[0] for line in one.news] == ["no answer", "answers again"]
    assert "the answer is not JSON" in one.news[0]


async def test_one_that_hangs_is_not_waited_for_again_until_it_answers(
    one: Asking, other: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fail_slowly(one, monkeypatch)
    one.daemon.open.clear()
    for n in range(1, 4):
        async with asyncio.timeout(5):
            await ask_all([one.asked, other.asked])
        assert (one.asked.answer, other.asked.answer) == (None, n)
    assert one.daemon.questions == 2  # never two questions at a time
    one.daemon.open.set()
    await asyncio.sleep(0)
    await ask_all([one.asked, other.asked])
    assert (one.asked.answer, other.asked.answer) == (2, 4)
    assert one.news[-1] == "answers again"
    await ask_all([one.asked])
    assert one.asked.answer == 3


async def test_one_that_fails_at_once_is_waited_for_beside_one_that_takes_long(
    one: Asking, other: Asking
) -> None:
    one.daemon.error = ApiBroken("http://a:1/stats", "no")
    other.daemon.open.clear()
    asyncio.get_running_loop().call_later(asking.LONG_S * 1.2, other.daemon.open.set)
    await ask_all([one.asked, other.asked])
    one.daemon.error = None
    await ask_all([one.asked])
    assert one.asked.answer == 2


async def test_faults_that_are_no_failures_of_the_daemon_are_not_hidden(one: Asking) -> None:
    one.daemon.error = ZeroDivisionError("ours")
    with pytest.raises(ZeroDivisionError):
        await ask_all([one.asked])


async def test_closing_ends_a_question(one: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    await fail_slowly(one, monkeypatch)
    one.daemon.open.clear()
    await ask_all([one.asked])
    await one.asked.close()
    await one.asked.close()
    assert len(asyncio.all_tasks()) == 1
