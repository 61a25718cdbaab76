"""What the properties share."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from unittest.mock import patch

import pytest


@pytest.fixture(autouse=True)
def quick_disk() -> Iterator[None]:
    """A run makes thousands of files; that they are synced is tested elsewhere."""
    with patch.object(os, "fsync", lambda fd: None):
        yield


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Whatever goes wrong is logged, thousands of times here."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)
