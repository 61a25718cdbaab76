"""``bench.check``: what it makes of ratios; its yardstick measures something; what is recorded is what is measured."""

from __future__ import annotations

import json
import re

import pytest

from bench.check import RECORDED, verdicts
from bench.others import Others
from bench.yardstick import yardstick
from tests.docs.page import ROOT


@pytest.mark.parametrize(
    ("now", "recorded", "kept", "words"),
    [
        (1.0, 1.0, True, "ok (+0 %)"),
        (1.19, 1.0, True, "ok (+19 %)"),
        (1.21, 1.0, False, "TOO MUCH (+21 %)"),
        (0.4, 1.0, True, "ok (-60 %)"),
    ],
)
def test_a_row_may_cost_a_fifth_more_than_was_recorded(
    now: float, recorded: float, kept: bool, words: str
) -> None:
    (verdict,) = verdicts({"mpub": now}, {"mpub": recorded})
    assert (verdict.kept, verdict.words()) == (kept, words)


def test_a_row_that_is_gone_fails_the_check_and_a_new_one_asks_to_be_recorded() -> None:
    new, gone = verdicts({"new": 1.0}, {"gone": 1.0})
    assert (new.row, new.kept, new.words()) == ("new", False, "NEW: record it")
    assert (gone.row, gone.kept, gone.words()) == ("gone", False, "GONE: it was not measured")


def test_rows_are_judged_in_the_order_in_which_they_were_measured() -> None:
    assert [each.row for each in verdicts({"b": 1, "a": 1}, {"a": 1, "c": 1, "b": 1})] == ["b", "a", "c"]


def test_the_yardstick_is_some_microseconds() -> None:
    assert 1 < yardstick() < 1000


def test_what_others_take_is_a_share_of_the_machine() -> None:
    others = Others()
    yardstick()
    assert 0 <= others.share() <= 1.1, "clocks of the system tick each 10 ms"


def test_every_row_of_the_benchmark_is_recorded() -> None:
    program = (ROOT / "bench" / "__main__.py").read_text("utf-8")
    named = re.findall(r'd\.load\(\s*"([^"]+)"', program)
    assert named
    assert set(named) <= set(json.loads(RECORDED.read_text("utf-8")))
