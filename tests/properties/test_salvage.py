"""Random damage to segments of records as nsqd makes them: what is whole is delivered, and nothing is made up."""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from random import Random
from struct import pack

import hypothesis.strategies as st
from hypothesis import given

from nsqd.guid import Ids
from tests.properties.fuzzing import MEMORY, examples, property_test
from tests.support.disk import Rig

NOW = 1_700_000_000_000_000_000
KINDS = ("letters", "hex", "noise", "zeros", "numbers")


@dataclass(frozen=True)
class Record:
    """A record and where it stands."""

    data: bytes
    begin: int

    @property
    def end(self) -> int:
        return self.begin + len(self.data)

    @property
    def name(self) -> bytes:
        return self.data[14:30]


def body(random: Random, kind: str) -> bytes:
    size = random.choice((0, 1, 17, 60, 300, 2000))
    match kind:
        case "letters":
            return bytes(random.choice(b"abcdefghijklmnopqrstuvwxyz \r\n\t") for _ in range(size))
        case "hex":
            return bytes(random.choice(b"0123456789abcdef") for _ in range(size))
        case "numbers":
            return b"".join(random.randrange(4000).to_bytes(4) for _ in range(size // 4))
        case "zeros":
            return bytes(size)
        case _:
            return random.randbytes(size)


def make(random: Random, kind: str, count: int) -> list[Record]:
    """Records one behind the other, with ids of their times."""
    ids, made, at, now = Ids(3), list[Record](), 0, NOW
    for _ in range(count):
        now += random.randrange(5_000_000)
        sequence = ids.at(now)
        ids.sequence = sequence + 1
        payload = pack(">qH", now, random.randrange(3)) + ids.prefix + b"%03x" % sequence + body(random, kind)
        made.append(Record(pack(">i", len(payload)) + payload, at))
        at = made[-1].end
    return made


@property_test()
@examples(400)
@given(
    seed=st.integers(0, 1 << 32),
    kind=st.sampled_from(KINDS),
    damages=st.integers(1, 3),
    how=st.sampled_from(["noise", "zeros", "ones", "a bit", "shifted"]),
    crash=st.booleans(),
    step=st.sampled_from([1, 3, 1000]),
)
def test_what_lies_before_and_behind_damage_is_delivered(
    seed: int, kind: str, damages: int, how: str, crash: bool, step: int
) -> None:
    random = Random(seed)
    records = make(random, kind, 40)
    data = bytearray(b"".join(record.data for record in records))
    harmed: list[range] = []
    for _ in range(damages):
        at = random.randrange(len(data))
        size = 1 if how == "a bit" else random.choice((1, 4, 30, 500))
        size = min(size, len(data) - at)
        old = data[at : at + size]
        new = {
            "noise": random.randbytes(size),
            "zeros": bytes(size),
            "ones": b"\xff" * size,
            "a bit": bytes([old[0] ^ 1 << random.randrange(8)]),
            "shifted": bytes(old[1:] + old[:1]),
        }[how]
        data[at : at + size] = new
        harmed.append(range(at, at + size))
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder, Rig(Path(folder)) as rig:
        queue = rig.open()
        queue.append([record.data for record in records], lambda _: None)
        rig.disk.write_now()
        rig.segment(0).write_bytes(data)
        if crash:
            queue = rig.crash()
        found: list[bytes] = []
        for _ in range(3 * len(records) + len(data) // 1000):
            taken = queue.take(step, 1 << 30).frames
            found += taken
            rig.disk.turn()
            if not taken and queue.depth == 0:
                break
        assert queue.depth == 0
    touched = [r for r in records if any(h.start < r.end and r.begin < h.stop for h in harmed)]
    whole = {(r.name, r.data[30:]) for r in records if r not in touched}
    delivered = Counter((frame[18:34], frame[34:]) for frame in found)
    missing = {name for name, text in whole if not delivered[name, text]}
    assert missing <= lengths_grew(records, data)
    others = {message: count for message, count in delivered.items() if message not in whole}
    assert sum(others.values()) <= len(touched), "nothing was made up"
    assert all(delivered[message] <= 1 for message in whole)


def lengths_grew(records: list[Record], data: bytearray) -> set[bytes]:
    """Ids of records that lie within another one whose damaged length fits exactly where a third begins."""
    begins = {r.begin for r in records} | {len(data)}
    found: set[bytes] = set()
    for r in records:
        end = r.begin + 4 + int.from_bytes(data[r.begin : r.begin + 4], signed=True)
        if end > r.end and end in begins:
            found |= {other.name for other in records if r.end <= other.begin < end}
    return found
