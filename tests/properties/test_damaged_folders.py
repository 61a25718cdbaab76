"""What a start finds in a folder that somebody or something has damaged: no exception, and no message lost that was whole."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import example, given

from nsqcore.errors import StartError
from nsqd.broker import Broker
from nsqd.options import Options
from nsqd.storage import metadata
from tests.properties.fuzzing import MEMORY, examples, property_test
from tests.properties.simulation import SimulatedLoop
from tests.support.disk import OVERHEAD, Rig, record

SIZE = OVERHEAD + 4
PER_FILE, FILES = 3, 4
MESSAGES = [b"%04d" % n for n in range(PER_FILE * FILES)]
NEW = b"new!"


@dataclass(frozen=True)
class Harm:
    """What happens to one segment."""

    segment: int
    at: int
    """First byte that is not as it was; all of it for a segment that is gone."""
    data: bytes
    """Written there; None of it: the segment ends there."""

    def do(self, rig: Rig) -> None:
        path = rig.segment(self.segment)
        with path.open("r+b") as file:
            file.seek(self.at)
            if self.data:
                file.write(self.data)
            else:
                file.truncate()

    @property
    def whole_before(self) -> list[bytes]:
        """The segment's messages that end before the damage."""
        first = self.segment * PER_FILE
        return MESSAGES[first : first + self.at // SIZE]

    @property
    def whole_behind(self) -> list[bytes]:
        """The segment's messages that begin behind the damage.

        None when a damaged length ends where a record does: what lies before that place looks like a body.
        """
        if not self.data:
            return []
        segment = bytearray(b"".join(map(record, MESSAGES[:PER_FILE])))
        segment[self.at : self.at + len(self.data)] = self.data
        for start in range(0, PER_FILE * SIZE, SIZE):
            length = int.from_bytes(segment[start : start + 4], signed=True) + 4
            if length > SIZE and start + length in range(SIZE, len(segment) + 1, SIZE):
                return []
        first = self.segment * PER_FILE
        return MESSAGES[first + -(-(self.at + len(self.data)) // SIZE) : first + PER_FILE]


HARMS = st.lists(
    st.builds(
        Harm,
        st.integers(0, FILES - 1),
        st.integers(0, PER_FILE * SIZE - 1),
        st.one_of(
            st.just(b""),
            st.binary(max_size=2 * SIZE),
            st.sampled_from(
                [b"\0\0\0\x1a", b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff", b"\0\0\0\0", b"\0" * SIZE]
            ),
        ),
    ),
    max_size=3,
    unique_by=lambda harm: harm.segment,
)
NUMBERS = st.one_of(st.integers(-3, 15), st.sampled_from([101, 102, 10**6, 1 << 31, 1 << 63, 10**30]))
POSITIONS = st.one_of(
    st.binary(max_size=20),
    st.builds(
        lambda depth, *at: f"{depth}\n{at[0]},{at[1]}\n{at[2]},{at[3]}\n".encode(),
        NUMBERS, NUMBERS, NUMBERS, NUMBERS, NUMBERS,
    ),
)  # fmt: skip


def fill(folder: Path, read: int) -> Rig:
    """A queue of four segments, of which some messages are read, ended in order."""
    rig = Rig(folder, max_bytes_per_file=PER_FILE * SIZE)
    queue = rig.open()
    for message in MESSAGES:
        rig.put(queue, message)
    if read:
        assert rig.take(queue, read) == MESSAGES[:read]
    rig.reopen(queue)
    rig._drop()
    return rig


def everything(rig: Rig) -> list[bytes]:
    """Opens the queue, takes what there is, writes one more and takes that."""
    queue = rig.open()
    found: list[bytes] = []
    for _ in range(100):
        taken = rig.take(queue, 5)
        rig.disk.work()
        found += taken
        if not taken:
            break
    else:
        raise AssertionError("there is no end")
    assert queue.depth == 0
    rig.put(queue, NEW)
    assert queue.depth == 1
    found += rig.take(queue)
    assert queue.depth == 0
    rig.reopen(queue)
    return found


def bad_segments(rig: Rig) -> set[int]:
    return {int(name.partition(".")[0]) for name in rig.files() if ".bad" in name}


@property_test()
@examples(300)
@given(
    read=st.integers(0, len(MESSAGES) - 1),
    harms=HARMS,
    positions=st.sampled_from(["kept", "gone", "garbage"]),
)
def test_damaged_segments_cost_what_is_damaged_and_nothing_else(
    read: int, harms: list[Harm], positions: str
) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder, fill(Path(folder), read) as rig:
        first = rig.files()[0]
        first_left = 0 if first.startswith("meta") else int(first.partition(".")[0])
        harms = [harm for harm in harms if harm.segment >= first_left]
        for each in harms:
            each.do(rig)
        if positions == "gone":
            rig.meta.unlink()
        elif positions == "garbage":
            rig.meta.write_bytes(b"12\n3,")
        harmed = {harm.segment: harm for harm in harms}
        found = everything(rig)
        if positions != "kept":
            read = first_left * PER_FILE
        kept = []
        for segment in range(FILES):
            messages = MESSAGES[segment * PER_FILE : (segment + 1) * PER_FILE]
            harm = harmed.get(segment)
            kept += [*harm.whole_before, *harm.whole_behind] if harm else messages
        unread = [message for message in kept if message in MESSAGES[read:]]
        delivered = iter(found)  # others may stand between: a changed body looks like any other
        assert all(message in delivered for message in unread)
        assert found[-1] == NEW
        assert len(found) - 1 <= len(MESSAGES), "nothing was made up"
        assert bad_segments(rig) <= set(harmed)


@property_test()
@examples(300)
@given(read=st.integers(0, len(MESSAGES) - 1), harms=HARMS, positions=POSITIONS)
@example(0, [], b"12\n0,0\n3,101\n")
@example(0, [], b"12\n0,0\n3,103\n")
@example(0, [], b"12\n3,0\n0,0\n")
@example(0, [], b"12\n0,7\n3,102\n")
@example(0, [], b"12\n0,7\n4,0\n")
@example(0, [], b"12\n0,103\n3,102\n")
@example(0, [], b"12\n0,100000000000000000000000000000\n3,102\n")
@example(0, [], b"12\n0,0\n3,100000000000000000000000000000\n")
@example(0, [], b"12\n100000000000000000000000000000,0\n100000000000000000000000000000,0\n")
def test_whatever_the_position_file_says_the_queue_works(
    read: int, harms: list[Harm], positions: bytes
) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder, fill(Path(folder), read) as rig:
        harms = [harm for harm in harms if rig.segment(harm.segment).exists()]
        for harm in harms:
            harm.do(rig)
        rig.meta.write_bytes(positions)
        assert everything(rig)[-1:] == [NEW]
        assert bad_segments(rig) <= {harm.segment for harm in harms}


@pytest.mark.parametrize("offset", [0, 1, 4, 33, 34, 35, 67, 68, 101, 102, 103])
def test_a_position_within_a_record_goes_back_to_its_start(tmp_path: Path, offset: int) -> None:
    with fill(tmp_path, 0) as rig:
        rig.meta.write_bytes(b"12\n0,%d\n3,%d\n" % (offset, PER_FILE * SIZE))
        first = offset // SIZE if offset <= PER_FILE * SIZE else 0
        assert everything(rig) == [*MESSAGES[first:], NEW]
        assert not bad_segments(rig)


# -- nsqd.dat --------------------------------------------------------------------------------------

NAMES = st.one_of(
    st.sampled_from(["t", "t:c", "e#ephemeral", "", "a/b", "..", "x" * 65, "\ud800", "%s"]),
    st.text(max_size=4),
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), NAMES),
    lambda v: st.lists(v, max_size=2) | st.dictionaries(st.text(max_size=2), v, max_size=2),
    max_leaves=4,
)
CHANNEL = st.one_of(st.fixed_dictionaries({}, optional={"name": NAMES, "paused": st.booleans()}), VALUES)
TOPIC = st.fixed_dictionaries(
    {},
    optional={
        "name": st.one_of(NAMES, VALUES),
        "paused": st.one_of(st.booleans(), VALUES),
        "channels": st.one_of(st.lists(CHANNEL, max_size=3), VALUES),
    },
)
DOCUMENT = st.one_of(
    st.fixed_dictionaries({}, optional={"topics": st.one_of(st.lists(st.one_of(TOPIC, VALUES), max_size=3), VALUES), "version": VALUES}),
    VALUES,
)  # fmt: skip
TEXTS = st.one_of(
    st.binary(max_size=40),
    DOCUMENT.map(lambda document: json.dumps(document).encode()),
    st.builds(lambda document, cut: json.dumps(document).encode()[:-cut], DOCUMENT, st.integers(1, 9)),
)


@property_test()
@examples(400)
@given(text=TEXTS)
@example(b"[" * 100_000)
@example(b'{"topics":[{"name":"t","channels":[{"name":"c"}]},{"name":"t","paused":true}]}')
@example(b'{"topics":[{"name":"\\ud800"}]}')
@example(b'{"topics":[{"name":"t","channels":[{"name":"\\udcff"}]}]}')
@example(b"\xef\xbb\xbf{}")
@example(b"9" * 5000)
def test_a_daemon_starts_on_any_metadata_or_says_why_not(text: bytes) -> None:
    loop = SimulatedLoop()
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        path = Path(name, metadata.FILE_NAME)
        path.write_bytes(text)

        def start() -> Broker | StartError:
            broker = Broker(Options(data_path=name))
            try:
                broker.load()
            except StartError as e:
                return e
            return broker

        broker = loop.perform(start)
        if isinstance(broker, StartError):
            assert str(path) in str(broker)
            assert path.read_bytes() == text, "somebody may still mend it"
        else:
            before = broker._metadata()
            loop.complete(broker.close())
            assert metadata.load(path.parent) == [
                {**topic, "channels": topic["channels"] or []} for topic in before
            ]
    loop.close()
