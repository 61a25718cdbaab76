"""A pipe whose ends may be closed by a test, and are closed by its end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from typing import NamedTuple


class Pipe(NamedTuple):
    """Both ends."""

    out: FileIO
    into: FileIO


@contextmanager
def pipe() -> Iterator[Pipe]:
    """A new one."""
    reading, writing = os.pipe()
    with FileIO(reading, "rb") as out, FileIO(writing, "wb") as into:
        yield Pipe(out, into)
