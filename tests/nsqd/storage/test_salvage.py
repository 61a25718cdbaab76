"""What is taken for a record behind damage, and what is not."""

from __future__ import annotations

import os
from pathlib import Path
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqd.guid import Ids, made_at
from nsqd.storage.salvage import WINDOW, next_record
from tests.support.disk import record

NOW = 1_700_000_000_000_000_000


def genuine(body: bytes, now: int = NOW) -> bytes:
    """A record as nsqd makes them: its id tells the time of its timestamp."""
    ids = Ids(7)
    sequence = ids.at(now)
    return pack(">iqH", 26 + len(body), now, 0) + ids.prefix + b"%03x" % sequence + body


def find(tmp_path: Path, data: bytes, start: int = 0) -> int | None:
    """The first record in a file, looked for as far as it goes."""
    path = tmp_path / "segment"
    path.write_bytes(data)
    fd = os.open(path, os.O_RDONLY)
    try:
        while start < len(data):
            found = next_record(fd, start, len(data))
            if found is not None:
                return found
            start += WINDOW
        return None
    finally:
        os.close(fd)


def test_an_id_tells_when_it_was_made() -> None:
    assert 0 <= NOW - made_at(genuine(b"")[14:30]) < 1 << 20


@pytest.mark.parametrize(
    "noise",
    [b"", b"x", b"\0" * 50, b"0123456789abcdef" * 9, bytes(range(256))],
    ids=["none", "x", "zeros", "digits", "all bytes"],
)
def test_a_record_is_found_behind_noise(tmp_path: Path, noise: bytes) -> None:
    assert find(tmp_path, noise + record(b"body")) == len(noise), "the end vouches for it"
    assert find(tmp_path, noise + record(b"a") + record(b"b")) == len(noise), "another record does"
    assert find(tmp_path, noise + genuine(b"a") + b"\xff" * 9) == len(noise), "its own id does"


def test_a_record_is_found_wherever_a_window_ends(tmp_path: Path) -> None:
    for before in range(WINDOW - 40, WINDOW + 5):
        assert find(tmp_path, b"\xff" * before + genuine(b"x") + b"\xff" * 50) == before


IMPOSSIBLE = {
    "too short": pack(">iqH16s", 25, NOW, 0, b"0" * 16) + bytes(100),
    "beyond the end": pack(">iqH16s", 500, NOW, 0, b"0" * 16) + bytes(100),
    "an old time": record(b"x", timestamp=10**17),
    "a time to come": record(b"x", timestamp=4 * 10**18),
    "an id in capitals": record(b"x").replace(b"0" * 16, b"0" * 15 + b"A"),
    "nothing that vouches for it": record(b"x") + b"\xff" * 50,
    "a follower with an impossible length": record(b"x") + pack(">i", 5) + record(b"y")[4:] + b"\xff" * 50,
}


@pytest.mark.parametrize("data", IMPOSSIBLE.values(), ids=IMPOSSIBLE.keys())
def test_what_can_t_be_a_record_is_not_taken_for_one(tmp_path: Path, data: bytes) -> None:
    assert find(tmp_path, data) is None


def test_a_record_behind_which_the_file_was_cut_off_is_one(tmp_path: Path) -> None:
    for length in (1, 4, 29):
        assert find(tmp_path, b"\xff" + record(b"x") + record(b"y")[:length]) == 1


@given(st.text(max_size=2000), st.text('0123456789abcdef -:{}",\r\n', max_size=2000))
def test_no_text_is_a_record(text: str, digits: str) -> None:
    fd = os.memfd_create("segment")
    try:
        data = (text + digits).encode()
        os.write(fd, data)
        assert next_record(fd, 0, len(data)) is None
    finally:
        os.close(fd)
