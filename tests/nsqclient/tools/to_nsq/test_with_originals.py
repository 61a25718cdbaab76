"""nsq_to_nsq with the original daemons, and beside the original nsq_to_nsq."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from nsqclient import Consumer
from tests.support.fetch import post
from tests.support.needs import original
from tests.support.processes import spawn
from tests.support.tools import start_tool

LOCAL = ("--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--broadcast-address=127.0.0.1")


class Originals(NamedTuple):
    """Where the daemons listen."""

    lookup: str
    source: str
    source_http: str
    destination: str


@pytest.fixture
def originals(tmp_path: Path) -> Iterator[Originals]:
    with ExitStack() as stack:
        lookupd = stack.enter_context(spawn(original("nsqlookupd"), *LOCAL))
        nsqds = []
        for name in ("source", "destination"):
            (folder := tmp_path / name).mkdir()
            flags = [f"--data-path={folder}", f"--lookupd-tcp-address={lookupd.tcp}"]
            nsqds.append(stack.enter_context(spawn(original("nsqd"), *LOCAL, *flags)))
        source, destination = nsqds
        yield Originals(lookupd.http, source.tcp, source.http, destination.tcp)


def publish(daemons: Originals, topic: str, *bodies: bytes) -> None:
    post(daemons.source_http, f"/topic/create?topic={topic}")
    post(daemons.source_http, f"/channel/create?topic={topic}&channel=nsq_to_nsq")
    for body in bodies:
        post(daemons.source_http, f"/pub?topic={topic}", body)


async def received(address: str, topic: str, count: int) -> list[bytes]:
    bodies = []
    async with Consumer(topic, "test", address, max_in_flight=100, drain=0) as consumer:
        for _ in range(count):
            (message := await consumer.get(20)).finish()
            bodies.append(message.body)
    return bodies


@pytest.mark.parametrize("found", [True, False])
async def test_it_relays_between_original_nsqds(originals: Originals, found: bool) -> None:
    bodies = [b"%d" % number for number in range(100)]
    publish(originals, "orders", *bodies)
    where = (
        f"--lookupd-http-address={originals.lookup}" if found else f"--nsqd-tcp-address={originals.source}"
    )
    flags = [
        "--topic=orders",
        "--destination-topic=copy",
        f"--destination-nsqd-tcp-address={originals.destination}",
    ]
    with start_tool("nsq_to_nsq", *flags, where) as tool:
        assert sorted(await received(originals.destination, "copy", 100)) == sorted(bodies)
        assert await asyncio.to_thread(tool.stop) == 0


NUMBERS = b"1 1.0 1e3 -2.25E-1 0.0 1e20 1e21 1.5e300 0.000001 1e-7 9007199254740992 [1.0,-0,1e21]".split()
TEXTS = [
    b'"<b> & \\u2028 \\b\\f\\n \\u0001\\u007f \\/ \\"\\\\"',
    b'"\\ud83d\\ude00"',
    b'"\xc3\xa9 \xff\xfe"',
    b'{"z":1,"b":{"y":null,"c":true},"a":[{},[],false]}',
]
ALIKE = [
    *(b'{"x": 1, "kind": 1, "a": %b}' % value for value in [*NUMBERS, *TEXTS]),
    *(b'{"x": 1, "kind": %b}' % value for value in b'1.0 "1" "2" 2 true null [1] {}'.split()),
    b'{"a":2,"kind":1}',
    b' {"kind": 1, "A": 2}',
    b'{"kind": 1, "a": NaN}',
    b'\xef\xbb\xbf{"kind": 1}',
    b"[1]",
    b"no json",
]
"""Bodies that the original passes on as ours does, or drops."""


async def test_what_is_filtered_and_rebuilt_is_what_the_original_makes_of_it(originals: Originals) -> None:
    program = original("nsq_to_nsq")
    last = b'{"a":"the last","kind":1}'
    results = []
    for name, tool in (("ours", "nsq_to_nsq"), ("theirs", program)):
        publish(originals, name, *ALIKE, last)
        flags = [
            f"--topic={name}",
            f"--nsqd-tcp-address={originals.source}",
            f"--destination-nsqd-tcp-address={originals.destination}",
            "--require-json-field=kind",
            "--require-json-value=1",
            "--whitelist-json-field=kind",
            "--whitelist-json-field=a",
            "--max-in-flight=1",
        ]
        got: list[bytes] = []
        with start_tool(tool, *flags):
            async with Consumer(name, "test", originals.destination, drain=0) as consumer:
                while last not in got:
                    (message := await consumer.get(20)).finish()
                    got.append(message.body)
        results.append(sorted(got))
    ours, theirs = results
    assert ours == theirs
    assert len(ours) == len([*NUMBERS, *TEXTS]) + 2 + 3
