from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

import pytest

from nsqclient import Retry
from nsqclient.consumer.message import Message
from nsqclient.tools.common.outage import SHORTEST, Outage
from nsqclient.tools.common.picking import HostPool, RoundRobin
from nsqclient.tools.common.timings import Timings
from nsqclient.tools.to_http.connection import Answer, RequestFailed
from nsqclient.tools.to_http.delivery import Addresses, AllOf, Delivery, OneOf
from nsqclient.tools.to_http.requests import LONGEST_URL, Fields, Get, Post, Request
from tests.nsqclient.sources import RecordingSource

FIELDS = Fields({}, "t", "c", about_message=False)
URLS = ("http://a/", "http://b/", "http://c/")


class Endpoints:
    """Answer what a test says: a status, or no answer."""

    def __init__(self, *urls: str, kind: type[Post | Get] = Post) -> None:
        self.answers: dict[str, int | str] = dict.fromkeys(("a", "b", "c"), 200)
        self.asked: list[str] = []
        self.lines: list[str] = []
        self.timings = Timings(1, urls, self.lines.append)
        self.addresses = Addresses([kind(url, FIELDS) for url in urls], self.send, self.timings)

    async def send(self, request: Request) -> Answer:
        host = request.url.origin.host
        self.asked.append(host)
        await asyncio.sleep(0)
        answer = self.answers[host]
        if isinstance(answer, str):
            raise RequestFailed(answer)
        return Answer(answer, "")


def message(number: int = 1, body: bytes = b"hello") -> Message:
    return Message(RecordingSource(), bytes(8) + b"\0\1" + b"%016d" % number + body, 0.0)


def chances(*values: float) -> Callable[[], float]:
    left = list(values)
    return lambda: left.pop(0)


@pytest.mark.parametrize("status", [200, 201, 204, 299])
@pytest.mark.parametrize(("kind", "url"), [(Post, "http://a/"), (Get, "http://a/%s")])
async def test_any_status_of_success_is_success(kind: type[Post | Get], url: str, status: int) -> None:
    endpoints = Endpoints(url, kind=kind)
    endpoints.answers["a"] = status
    await OneOf(endpoints.addresses, RoundRobin([url]))(message())


@pytest.mark.parametrize("status", [304, 400, 404, 500, 503])
async def test_any_other_status_is_a_failure_and_logged(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    endpoints = Endpoints("http://a/")
    endpoints.answers["a"] = status
    with pytest.raises(Retry, match=f"^http://a/: got status code {status}$"):
        await OneOf(endpoints.addresses, RoundRobin(["http://a/"]))(message(7))
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == (
        f"message 0000000000000007 of 5 bytes was not sent at attempt 1 - http://a/: got status code {status}"
    )
    assert record.__dict__["topic"] == "t"


async def test_a_url_that_is_too_long_for_the_endpoint_is_told_with_its_length() -> None:
    endpoints = Endpoints("http://a/?q=%s", kind=Get)
    endpoints.answers["a"] = 414
    with pytest.raises(Retry, match="status code 414, its URL has 1004 bytes"):
        await OneOf(endpoints.addresses, RoundRobin(["http://a/?q=%s"]))(message(body=b"x" * 1000))


async def test_a_host_that_fails_is_left_alone_but_not_for_a_message_that_fits_no_url() -> None:
    urls = [f"{url}%s" for url in URLS]
    endpoints = Endpoints(*urls, kind=Get)
    endpoints.answers["b"] = "connection refused"
    one_of = OneOf(endpoints.addresses, HostPool(urls, lambda: 0.0))
    for n in range(6):
        with suppress(Retry):
            await one_of(message(n))
    assert endpoints.asked == ["a", "b", "c", "a", "c", "a"]
    for _ in range(4):
        with pytest.raises(Retry, match="makes a URL of"):
            await one_of(message(body=b"x" * LONGEST_URL))
    await one_of(message())
    await one_of(message())
    assert set(endpoints.asked[6:]) == {"a", "c"}


async def test_a_message_that_nobody_answers_comes_again_soon_and_one_that_is_refused_does_not() -> None:
    endpoints = Endpoints("http://a/", "http://b/")
    outage = Outage(lambda: 0.0)
    for send in (
        OneOf(endpoints.addresses, RoundRobin(["http://a/"]), outage),
        AllOf(endpoints.addresses, outage=outage),
    ):
        endpoints.answers |= {"a": "connection refused", "b": 200}
        with pytest.raises(Retry) as unanswered:
            await send(message())
        assert unanswered.value.after == SHORTEST
        endpoints.answers |= {"a": 500, "b": "connection refused"}
        with pytest.raises(Retry) as refused:
            await send(message(2))
        assert refused.value.after is None


@pytest.mark.parametrize("mode", ["one", "all"])
async def test_an_outage_is_over_when_a_message_is_sent(mode: str) -> None:
    endpoints = Endpoints("http://a/")
    times = iter([0.0, 40.0, 1000.0])
    outage = Outage(lambda: next(times))
    send = (
        AllOf(endpoints.addresses, outage=outage)
        if mode == "all"
        else OneOf(endpoints.addresses, RoundRobin(["http://a/"]), outage)
    )
    delays: list[object] = []
    answers: list[int | str] = ["connection lost", "connection lost", 200, "connection lost"]
    for endpoints.answers["a"] in answers:
        try:
            await send(message())
        except Retry as e:
            delays.append(e.after)
    assert delays == [1.0, 40.0, 1.0]


async def test_only_what_was_sent_is_timed() -> None:
    endpoints = Endpoints(*URLS[:2])
    endpoints.answers["b"] = 500
    one_of = OneOf(endpoints.addresses, RoundRobin(URLS[:2]))
    for n in range(6):
        with suppress(Retry):
            await one_of(message(n))
    assert [line.partition(":")[0] for line in endpoints.lines] == ["[aggregate]", "[http"] * 2


async def test_all_get_a_message() -> None:
    endpoints = Endpoints(*URLS)
    await AllOf(endpoints.addresses)(message())
    assert endpoints.asked == ["a", "b", "c"]


async def test_a_message_that_comes_again_goes_to_those_that_have_not_got_it() -> None:
    endpoints = Endpoints(*URLS)
    all_of = AllOf(endpoints.addresses)
    endpoints.answers |= {"b": 500, "c": "connection refused"}
    with pytest.raises(Retry, match=r"^http://b/: got status code 500; http://c/: connection refused$"):
        await all_of(message())
    endpoints.answers["b"] = 200
    with pytest.raises(Retry, match=r"^http://c/: connection refused$"):
        await all_of(message())
    endpoints.answers["c"] = 200
    await all_of(message())
    assert endpoints.asked == ["a", "b", "c", "b", "c", "c"]
    await all_of(message())  # published again under the same ID elsewhere, or delivered twice
    assert endpoints.asked[6:] == ["a", "b", "c"]


async def test_messages_of_different_nsqds_are_told_apart() -> None:
    endpoints = Endpoints(*URLS[:2])
    all_of = AllOf(endpoints.addresses)
    endpoints.answers["b"] = 500
    one, other = message(), message()
    other.source.node = "m:4150"
    for each in (one, other):
        with pytest.raises(Retry):
            await all_of(each)
    assert endpoints.asked == ["a", "b"] * 2


async def test_a_bounded_number_of_messages_is_remembered() -> None:
    endpoints = Endpoints(*URLS[:2])
    all_of = AllOf(endpoints.addresses, remembered=3)
    endpoints.answers["b"] = 500
    for n in (1, 2, 3, 4, 2):
        with pytest.raises(Retry):
            await all_of(message(n))
    assert endpoints.asked == ["a", "b"] * 4 + ["b"]
    endpoints.asked.clear()
    with pytest.raises(Retry):
        await all_of(message(1))
    assert endpoints.asked == ["a", "b"]


async def test_who_got_a_message_is_known_after_a_cancelled_call() -> None:
    endpoints = Endpoints(*URLS[:2])
    stuck = asyncio.Event()
    gate = asyncio.Event()

    async def half(request: Request) -> Answer:
        answer = await endpoints.send(request)
        if request.url.origin.host == "b":
            stuck.set()
            await gate.wait()
        return answer

    all_of = AllOf(Addresses([Post(url, FIELDS) for url in URLS[:2]], half, endpoints.timings))
    call = asyncio.create_task(all_of(message()))
    await stuck.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    gate.set()
    await all_of(message())
    assert endpoints.asked == ["a", "b", "b"]


async def test_a_share_of_the_messages_is_sent_and_the_rest_is_done() -> None:
    endpoints = Endpoints("http://a/")
    sent: list[tuple[int, int]] = []
    delivery = Delivery(
        OneOf(endpoints.addresses, RoundRobin(["http://a/"])),
        sample=0.25,
        chance=chances(0.0, 0.24, 0.25, 0.99),
        sent=lambda count, size: sent.append((count, size)),
    )
    for n in range(4):
        await delivery.handle(message(n))
    assert len(endpoints.asked) == 2
    assert sent == [(1, 5)] * 2


@pytest.mark.parametrize(("sample", "count"), [(0.0, 0), (1.0, 3)])
async def test_nothing_and_all_can_be_sampled(sample: float, count: int) -> None:
    endpoints = Endpoints("http://a/")
    one_of = OneOf(endpoints.addresses, RoundRobin(["http://a/"]))
    delivery = Delivery(one_of, sample=sample, chance=chances(0.0, 0.5, 0.99), sent=lambda count, size: None)
    for n in range(3):
        await delivery.handle(message(n))
    assert len(endpoints.asked) == count
