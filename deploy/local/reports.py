"""What a consumer process tells the one that started it: counts on the way, and a report at its end."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import msgpack

from deploy.local.ledger import Ledger


@dataclass
class Counts:
    """How far a consumer is; it prints one such line whenever there is something new."""

    delivered: int = 0
    """Messages that were ours, repetitions included."""
    first: float = 0.0
    """When the first came, seconds since 1970."""
    last: float = 0.0
    """When the last came."""

    def line(self) -> str:
        """For :meth:`read`, with no line end."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, line: bytes) -> Counts:
        """The counts of such a line."""
        return cls(**json.loads(line))


@dataclass
class Report:
    """What a consumer has at its end."""

    ledger: Ledger = field(default_factory=Ledger)
    strange: int = 0
    """Messages that were no records of ours: finished, and not counted otherwise."""

    def save(self, path: Path) -> None:
        """Writes it whole or not at all."""
        part = path.with_suffix(".part")
        part.write_bytes(msgpack.packb([self.ledger.dump(), self.strange]))
        part.replace(path)

    @classmethod
    def load(cls, path: Path) -> Report:
        """The report that :meth:`save` wrote."""
        ledger, strange = msgpack.unpackb(path.read_bytes())
        return cls(Ledger.load(ledger), strange)
