from __future__ import annotations

from pathlib import Path

from tests.nsqclient.producers import until
from tests.nsqclient.tools.to_file.archives import archiving
from tests.support.fake_nsqd import FakeNsqd


def read(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


async def test_half_of_what_may_be_in_flight_is_synced_and_then_finished(tmp_path: Path) -> None:
    async with FakeNsqd() as nsqd, archiving(nsqd, tmp_path):
        ids = [nsqd.message(b"one"), nsqd.message(b"two")]
        await nsqd.expect(*[f"FIN {i}" for i in ids])
        assert (tmp_path / "t.log").read_bytes() == b"one\ntwo\n"


async def test_stopping_finishes_what_came(tmp_path: Path) -> None:
    async with FakeNsqd() as nsqd, archiving(nsqd, tmp_path, max_in_flight=100) as (consumer, _, running):
        only = nsqd.message(b"only")
        await until(lambda: read(tmp_path / "t.log") == b"only\n")
        consumer.stop()
        await running
        await nsqd.expect("CLS", f"FIN {only}")
