from __future__ import annotations

from pathlib import Path

import pytest

from nsqcore import resident
from nsqcore.resident import resident_bytes


def test_memory_that_is_used_is_resident_and_counts_for_the_most() -> None:
    block = b"x" * (1 << 27)
    now, most = resident_bytes()
    assert most >= now > len(block)


def test_without_proc_the_most_stands_for_both(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(resident, "_STATUS", str(tmp_path / "nothing"))
    now, most = resident_bytes()
    assert now == most > 1 << 20
