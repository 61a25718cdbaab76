import sys
from pathlib import Path

import pytest

from nsqclient import Consumer, Producer
from nsqclient.testing import NsqdProcess, find_nsqd
from tests.support.needs import original


def program(which: str) -> Path:
    found = find_nsqd() if which == "ours" else original("nsqd")
    assert found is not None
    return found


@pytest.mark.parametrize("which", ["ours", "original"])
async def test_a_real_nsqd_keeps_its_ports_and_its_messages_over_a_restart(
    which: str, tmp_path: Path
) -> None:
    with NsqdProcess(program(which), tmp_path) as nsqd:
        async with Producer(nsqd.tcp_address) as producer:
            await producer.publish("t", b"kept")
        addresses = nsqd.tcp_address, nsqd.http_address
        nsqd.restart()
        assert (nsqd.tcp_address, nsqd.http_address) == addresses
        async with (
            Consumer("t", "c", nsqd.tcp_address) as consumer,
            await consumer.get(timeout=10) as message,
        ):
            assert message.body == b"kept"
        states = [nsqd.running]
        for _ in range(2):
            nsqd.kill()
            states.append(nsqd.running)
        assert states == [True, False, False]
    assert "TCP: listening on" in nsqd.log


def test_one_that_does_not_start_shows_what_it_said(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"does not listen; it says:\n.*no-such-flag"):
        NsqdProcess(program("ours"), tmp_path, "--no-such-flag").start()


def test_a_program_is_found_beside_this_python_or_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NSQD", raising=False)
    found = find_nsqd()
    assert found is not None
    assert found.name == "nsqd"
    monkeypatch.setenv("NSQD", sys.executable)
    assert find_nsqd() == Path(sys.executable)
    monkeypatch.setenv("NSQD", "/nonexistent")
    assert find_nsqd() is None
