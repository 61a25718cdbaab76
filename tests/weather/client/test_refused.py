"""nsqds that have no TLS, and permissions that run out while connections are in use."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from nsqclient import (
    ConnectionOptions,
    Consumer,
    FlowControl,
    FullJitter,
    Message,
    NoNodes,
    Producer,
    PublishError,
    RetryPolicy,
    Tls,
    TlsRefused,
)
from tests.support.auth_server import ALL, AuthServer, permissions
from tests.weather.client.ledger import Ledger
from tests.weather.client.site import Site

QUICK = FullJitter(0.01, cap=0.1)


@pytest.mark.parametrize("mode", ["require", "prefer"])
async def test_refused_tls_keeps_the_secret_and_the_messages_here(
    program: str | Path, tmp_path: Path, mode: str
) -> None:
    async with AuthServer() as auth, Site(program, tmp_path / "n", auth.flag) as site:
        auth.answers["s3cret"] = permissions(ALL)
        tls = Tls(mode="require") if mode == "require" else Tls(mode="prefer")
        options = ConnectionOptions(tls=tls, auth="s3cret")
        async with Producer(site.address, options=options, retry=RetryPolicy(backoff=QUICK)) as producer:
            with pytest.raises(NoNodes) as raised:
                await producer.publish("t", b"x", timeout=0.5)
            assert isinstance(raised.value.__cause__, TlsRefused)
        with pytest.raises(TlsRefused):
            async with Consumer("t", "c", site.address, options=options, reconnect=QUICK):
                pass
        said = {line.text for lines in site.conversations for line in lines if line.who == ">"}
        assert said == {"IDENTIFY"}
        assert site.proxy.accepted >= 2
        assert not auth.asked


async def test_permissions_that_run_out_in_the_middle(program: str | Path, tmp_path: Path) -> None:
    """nsqd asks again after a second, hears no, and ends the connections; a new secret brings them back."""
    ledger = Ledger()
    secret = "old"
    async with AuthServer() as auth, Site(program, tmp_path / "n", auth.flag, "--msg-timeout=2s") as site:
        auth.answers["old"] = permissions(ALL, ttl=1)
        options = ConnectionOptions(auth=lambda: secret)
        async with (
            Producer(
                site.address, options=options, retry=RetryPolicy(backoff=QUICK), timeout=0.5
            ) as producer,
            Consumer(
                "t",
                "c",
                site.address,
                options=options,
                max_in_flight=5,
                flow=FlowControl(backoff=None),
                reconnect=QUICK,
            ) as consumer,
        ):

            async def handler(message: Message) -> None:
                ledger.seen[message.body] += 1

            working = asyncio.create_task(consumer.run(handler))
            await publish(ledger, producer, 20)
            assert not ledger.absent
            assert not ledger.unknown
            auth.answers["old"] = permissions()
            async with asyncio.timeout(10):
                while not ledger.absent:
                    await publish(ledger, producer, 1)
                    await asyncio.sleep(0.05)
            assert not ledger.unknown
            auth.answers["new"] = permissions(ALL)
            with pytest.raises(PublishError) as raised:
                await producer.publish("t", b"refused")
            assert raised.value.outcome in ("not_sent", "rejected")
            secret = "new"
            stored = len(ledger.stored)
            async with asyncio.timeout(10):
                while len(ledger.stored) < stored + 20:
                    await publish(ledger, producer, 1)
                while not ledger.stored.keys() <= ledger.seen.keys():  # noqa: ASYNC110 - handlers only count
                    await asyncio.sleep(0.01)
            consumer.stop()
            await working
        assert b"refused" not in ledger.seen
    ledger.check()


async def publish(ledger: Ledger, producer: Producer, count: int) -> None:
    for body in ledger.bodies(count):
        await ledger.record([body], producer.publish("t", body))
