"""The page of the client's features: each row says what there is and names a test, or a reason why there is nothing."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from tests.docs.page import ROOT, proofs_in, tables
from tests.docs.proofs import names_of

PAGE = ROOT / "docs" / "client" / "features.md"
ASKED = {"P": 12, "C": 18, "X": 8}
"""How many requirements there are of each kind: publishing, receiving, and everything else."""


class Feature(NamedTuple):
    """One row."""

    section: str
    name: str
    answer: str
    proofs: tuple[tuple[str, str], ...]


FEATURES = [Feature(section, cells[0], cells[-2], proofs_in(cells[-1])) for section, cells in tables(PAGE)]


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_a_feature_is_proved_or_there_is_a_reason(feature: Feature) -> None:
    assert feature.name
    assert feature.answer
    if feature.answer.startswith("no"):
        assert "../differences.md#" in feature.answer, "why is it not there?"
    else:
        assert feature.proofs, "no test is named"
    for path, test in feature.proofs:
        assert test in names_of(path), f"tests/{path} has no {test}"


def test_what_was_asked_for_is_all_there_and_in_order() -> None:
    asked = [feature.name for feature in FEATURES if feature.section.startswith("What users asked for")]
    assert asked == [f"{kind}{number + 1}" for kind, count in ASKED.items() for number in range(count)]


def test_no_feature_is_there_twice() -> None:
    names = [feature.name for feature in FEATURES]
    assert sorted(set(names)) == sorted(names)
    assert len(names) > sum(ASKED.values()) + 50
