from __future__ import annotations

from pathlib import Path

import pytest

from nsqcore import process_memory
from nsqcore.process_memory import limit_files, resident_bytes, usable_bytes


def test_memory_that_is_used_is_resident_and_counts_for_the_most() -> None:
    block = b"x" * (1 << 27)
    now, most = resident_bytes()
    assert most >= now > len(block)


def test_without_proc_the_most_stands_for_both(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(process_memory, "_STATUS", str(tmp_path / "nothing"))
    now, most = resident_bytes()
    assert now == most > 1 << 20


def test_a_container_may_have_less_than_the_machine(tmp_path: Path) -> None:
    for name, text in (("small", "1048576\n"), ("none", "max\n"), ("huge", "9223372036854771712\n")):
        (tmp_path / name).write_text(text)
    machine = usable_bytes([])
    assert machine > 1 << 28
    assert usable_bytes([str(tmp_path / "absent"), str(tmp_path / "none")]) == machine
    assert usable_bytes([str(tmp_path / "huge")]) == machine
    assert usable_bytes([str(tmp_path / "none"), str(tmp_path / "small")]) == 1 << 20


def test_limits_of_a_unit_and_of_all_groups_above_it_count() -> None:
    top = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
    assert limit_files("") == limit_files("0::/\n") == limit_files("3:memory:/docker/abc\n") == top
    assert limit_files("1:name=systemd:/x\n0::/nsq.slice/nsqd@1.service\n") == [
        *top,
        "/sys/fs/cgroup/nsq.slice/nsqd@1.service/memory.max",
        "/sys/fs/cgroup/nsq.slice/memory.max",
    ]
