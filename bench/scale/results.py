"""What was measured, as JSON, so that plots can be drawn again without measuring."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.scale.ranges import Point

RESULTS = Path(__file__).with_name("results.json")

Points = dict[str, list[Point]]
"""The points of ranges by their names."""


def load(path: Path = RESULTS) -> Points:
    """What the file has; nothing where there is none."""
    if not path.exists():
        return {}
    told = json.loads(path.read_text("utf-8"))
    return {
        name: [Point(point["x"], point["values"]) for point in points]
        for name, points in told["ranges"].items()
    }


def save(points: Mapping[str, Sequence[Point]], path: Path = RESULTS) -> None:
    """Replaces the file."""
    told = {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "ranges": {
            name: [
                {"x": point.x, "values": {key: float(f"{value:.4g}") for key, value in point.values.items()}}
                for point in found
            ]
            for name, found in sorted(points.items())
        },
    }
    path.write_text(json.dumps(told, indent=1) + "\n", "utf-8")
