from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from deploy.local.ledger import Ledger, settle

PAIRS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 70)), max_size=60)


def ledger_of(pairs: list[tuple[str, int]]) -> Ledger:
    ledger = Ledger()
    for file, line in pairs:
        ledger.add(file, line)
    return ledger


@given(PAIRS)
def test_it_is_a_set_that_counts_what_was_added(pairs: list[tuple[str, int]]) -> None:
    ledger, model = Ledger(), set()
    for file, line in pairs:
        assert ledger.add(file, line) == ((file, line) not in model)
        model.add((file, line))
    assert (ledger.added, ledger.distinct) == (len(pairs), len(model))
    assert sorted(ledger) == sorted(model)


@given(PAIRS, PAIRS)
def test_merging_is_a_union_and_minus_a_difference(
    ours: list[tuple[str, int]], theirs: list[tuple[str, int]]
) -> None:
    rest = ledger_of(ours).minus(ledger_of(theirs))
    assert set(rest) == set(ours) - set(theirs)
    assert rest.added == rest.distinct == len(set(ours) - set(theirs))
    both = ledger_of(ours)
    both.merge(ledger_of(theirs))
    assert set(both) == set(ours) | set(theirs)
    assert (both.added, both.distinct) == (len(ours) + len(theirs), len(set(ours) | set(theirs)))


@given(PAIRS)
def test_a_dump_loads_as_it_was(pairs: list[tuple[str, int]]) -> None:
    ledger = ledger_of(pairs)
    again = Ledger.load(ledger.dump())
    assert (again.added, again.distinct, list(again)) == (ledger.added, ledger.distinct, list(ledger))


def test_a_million_lines_take_an_eighth_of_a_megabyte() -> None:
    ledger = ledger_of([("f", line) for line in range(1_000_000)])
    assert len(ledger.dump()) < 126_000


def test_all_delivered_once_is_a_clean_account() -> None:
    pairs = [("a", 1), ("a", 2), ("b", 1)]
    account = settle("c", ledger_of(pairs), [ledger_of(pairs[:1]), ledger_of(pairs[1:])])
    assert (account.published, account.delivered, account.duplicates, account.missing) == (3, 3, 0, 0)
    assert (account.unexpected, account.examples) == (0, ())


def test_a_message_delivered_to_two_consumers_is_a_duplicate() -> None:
    pairs = [("a", 1), ("a", 2)]
    account = settle("c", ledger_of(pairs), [ledger_of(pairs), ledger_of(pairs[:1] * 2)])
    assert (account.published, account.delivered, account.duplicates, account.missing) == (2, 4, 2, 0)


def test_what_was_published_and_never_came_is_missing_whatever_the_counts_say() -> None:
    published = ledger_of([("a", 1), ("a", 2), ("b", 9), ("c", 4)])
    account = settle("c", published, [ledger_of([("a", 1)] * 4)], examples=2)
    assert (account.delivered, account.duplicates, account.missing) == (4, 3, 3)
    assert account.examples == (("a", 2), ("b", 9))


def test_a_record_sent_twice_in_doubt_is_published_once() -> None:
    published = ledger_of([("a", 1), ("a", 1)])
    account = settle("c", published, [ledger_of([("a", 1)])])
    assert (account.published, account.missing) == (1, 0)


def test_what_nobody_published_is_told_apart_and_makes_up_for_nothing() -> None:
    account = settle("c", ledger_of([("a", 1)]), [ledger_of([("x", 1), ("a", 3)])])
    assert (account.missing, account.unexpected) == (1, 2)


def test_no_consumer_report_means_that_all_is_missing() -> None:
    account = settle("c", ledger_of([("a", 1)]), [])
    assert (account.delivered, account.missing) == (0, 1)
