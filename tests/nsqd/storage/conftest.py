"""The disk queue that this folder's tests turn by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.disk import SIZE, Rig


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """Segments of three records, synced only when asked."""
    with Rig(tmp_path, max_bytes_per_file=3 * SIZE) as made:
        yield made
