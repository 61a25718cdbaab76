"""The file of the past: what comes back, and what a damaged one costs."""

from __future__ import annotations

import errno
import io
import logging
import math
import re
import time
import zlib
from array import array
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsqadmin.history import keeping
from nsqadmin.history.keeping import FILE, Keeper
from nsqadmin.history.ring import METRICS, Grain, Past
from nsqadmin.history.series import CLUSTER, Key, Metric

FINE, COARSE = Grain(5.0, 24), Grain(60.0, 30)
TOPIC = Key("topic", "t")


def a_past(fine: Grain = FINE, coarse: Grain = COARSE) -> Past:
    return Past(fine, coarse, memory=10 << 20)


def full(now: float) -> Past:
    """Ten minutes, every 5 s: the depth is 0, 1, 2 and so on."""
    past = a_past()
    for i in range(120):
        values = {Metric.DEPTH: i, Metric.PUBLISHED: 2.0}
        past.add(now - (119 - i) * 5, {TOPIC: values, CLUSTER: values, Key("channel", "t", "c"): values}, 5)
    return past


def depths(past: Past, now: float, seconds: float) -> list[float | None]:
    return list(past.series(TOPIC, Metric.DEPTH, now, seconds, 100).values)


async def written(folder: Path, now: float) -> bytes:
    await Keeper(full(now), folder).save()
    return (folder / FILE).read_bytes()


async def test_a_restart_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    now = time.time()
    await written(tmp_path, now)
    past = a_past()
    await Keeper(past, tmp_path).load()
    assert depths(past, now, 60) == depths(full(now), now, 60)
    assert depths(past, now, 1800) == depths(full(now), now, 1800)
    assert [value for value in depths(past, now, 1800) if value is not None][-1] == 119
    past.add(now + 30, {TOPIC: {Metric.DEPTH: 7}}, 5)
    assert depths(past, now + 30, 60)[-7:] == [119, None, None, None, None, None, 7]
    assert [one.name for one in tmp_path.iterdir()] == [FILE]


async def test_another_length_and_another_step_take_over_what_fits(tmp_path: Path) -> None:
    now = time.time()
    await written(tmp_path, now)
    past = a_past(Grain(10.0, 12), Grain(60.0, 5))
    await Keeper(past, tmp_path).load()
    assert depths(past, now, 60) == [None] * 6
    assert depths(past, now, 300) == depths(full(now), now, 1800)[-5:]


async def test_a_file_from_the_future_has_no_part_in_the_present(tmp_path: Path) -> None:
    now = time.time()
    await written(tmp_path, now + 86400)
    past = a_past()
    await Keeper(past, tmp_path).load()
    past.add(now, {TOPIC: {Metric.DEPTH: 3}}, 5)
    assert [value for value in depths(past, now, 1800) if value is not None] == [3]


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (lambda data: b"", "ends in the middle"),
        (lambda data: data[:-200], "ends in the middle"),
        (lambda data: b"\xff" * 1000, "is no history"),
        (lambda data: b"[history]\nkey = 1\n", "is no history"),
        (lambda data: data.replace(b"\xa7version\x01", b"\xa7version\x02"), "of version 2"),
        (lambda data: data.replace(b"x\x01", b"x\x02", 1), "incorrect header|invalid"),
        (lambda data: data[:-1] + b"\x07", "ends after 3 series with 7"),
        (lambda data: msgpack.packb(keeping._HEAD) + b"\xdd\xff\xff\xff\xff", "exceeds"),
        (lambda data: msgpack.packb(keeping._HEAD) + msgpack.packb([1, 2]), "not enough values"),
    ],
)
async def test_a_damaged_file_is_told_and_put_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, broken: Any, said: str
) -> None:
    data = broken(await written(tmp_path, time.time()))
    (tmp_path / FILE).write_bytes(data)
    past = a_past()
    await Keeper(past, tmp_path).load()
    [error] = [record for record in caplog.records if record.levelno > logging.INFO]
    assert re.search(said, error.getMessage()), caplog.messages
    assert (tmp_path / (FILE + ".damaged")).read_bytes() == data
    await Keeper(past, tmp_path).save()
    await Keeper(a_past(), tmp_path).load()
    assert [record for record in caplog.records if record.levelno > logging.INFO] == [error]


async def test_what_is_no_file_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / FILE).mkdir()
    await Keeper(a_past(), tmp_path).load()
    assert "no regular file" in caplog.text


async def test_a_full_disk_is_told_once_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    caplog.set_level(logging.INFO)
    now = time.time()
    good = await written(tmp_path, now)
    keeper = Keeper(full(now + 600), tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(keeping, "_settle", refuse)
        await keeper.save()
        await keeper.save()
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "No space left on device" in caplog.text
    assert (tmp_path / FILE).read_bytes() == good
    await keeper.save()
    assert caplog.records[-1].levelno == logging.INFO
    assert (tmp_path / FILE).read_bytes() != good


async def test_it_is_written_now_and_then_and_at_the_end(tmp_path: Path) -> None:
    past = full(time.time())
    keeper = Keeper(past, tmp_path, every=1000)
    keeper.start()
    await keeper.stop()
    await keeper.stop()
    again = a_past()
    await Keeper(again, tmp_path).load()
    assert again.keys() == past.keys()


def drain(data: bytes) -> int:
    """Reads all of it, as far as it is a history; anything but the errors that are expected is a fault."""
    count = 0
    try:
        for key, kept in keeping.read(io.BytesIO(data)):
            past = a_past()
            past.restore(key, kept, 1.8e9)
            past.series(key, Metric.DEPTH, 1.8e9, 1800, 30)
            count += 1
    except keeping._BAD:
        pass
    return count


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.floats()
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=20,
)


@given(st.lists(ANYTHING, max_size=4))
def test_any_msgpack_after_the_head_harms_nobody(items: list[Any]) -> None:
    drain(b"".join(msgpack.packb(item) for item in [keeping._HEAD, *items]))


@given(st.binary(max_size=300))
def test_any_bytes_after_the_head_harm_nobody(data: bytes) -> None:
    drain(msgpack.packb(keeping._HEAD) + data)


RINGS = st.lists(
    st.tuples(
        st.sampled_from([5.0, 60.0, math.nan, -1.0]),
        st.integers(-(1 << 63), (1 << 63) - 1),
        st.integers(0, 40),
        st.floats(width=32),
    ),
    max_size=3,
)


@settings(deadline=None)
@given(RINGS)
def test_rings_with_any_figures_are_read_to_figures_or_nothing(
    rings: list[tuple[float, int, int, float]],
) -> None:
    packed = [
        [step, last, zlib.compress(array("f", [value]) * (points * len(METRICS)))]
        for step, last, points, value in rings
    ]
    past = a_past()
    data = b"".join(msgpack.packb(item) for item in (keeping._HEAD, ["topic", "t", "", packed], 1))
    for key, kept in keeping.read(io.BytesIO(data)):
        past.restore(key, kept, 1.8e9)
    past.add(1.8e9, {TOPIC: {Metric.DEPTH: 1}}, 5)
    values = depths(past, 1.8e9, 1800)
    assert values[-1] is not None
    assert all(value is None or math.isfinite(value) for value in values)


def test_a_ring_that_opens_to_gigabytes_is_refused() -> None:
    bomb = zlib.compress(bytes(keeping._LONGEST + 40))
    data = b"".join(msgpack.packb(item) for item in (keeping._HEAD, ["topic", "t", "", [[5.0, 1, bomb]]]))
    with pytest.raises(ValueError, match="damaged"):
        list(keeping.read(io.BytesIO(data)))
