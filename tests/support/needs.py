"""What a test needs and this machine may lack: a reason to skip, except where everything is promised.

With ``CI=true`` a client that can't be run is a failure: there the suite's promise is kept or broken.
The original programs are never demanded; a machine has them where ``NSQ_PEER_BIN`` names their folder.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

import pytest


def lacking(reason: str) -> NoReturn:
    """Ends a test whose client can't be run here: skipped, or failed in continuous integration."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI=true allows no skips: {reason}")
    pytest.skip(reason)


def original(program: str) -> Path:
    """An original program; skips the test where there is none."""
    folder = os.environ.get("NSQ_PEER_BIN")
    if not folder:
        pytest.skip("NSQ_PEER_BIN names no folder with the original programs")
    path = Path(folder) / program
    if not path.is_file():
        pytest.skip(f"there is no {path}")
    return path
