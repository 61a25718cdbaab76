"""Records out of bytes, and bundles out of records."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nsqclient.tools.from_stdin.records import HEAD, Records, bundles

LINE = st.binary(max_size=6).map(lambda body: body.replace(b"\n", b""))


def test_records_come_without_delimiters_and_the_last_needs_none() -> None:
    records = Records(b",", 100)
    assert records.add(b"one,tw") == [b"one"]
    assert records.begun == 2
    assert records.add(b"o,three") == [b"two"]
    assert records.end() == [b"three"]
    assert (records.found, records.begun, records.refusal) == (3, 0, "")


def test_a_single_last_byte_is_a_record() -> None:
    records = Records(b"\n", 100)
    assert records.add(b"a\nb") == [b"a"]
    assert records.end() == [b"b"]


def test_empty_records_are_left_out() -> None:
    records = Records(b"\n", 100)
    assert records.add(b"\n\na\n\n\nb\n\n") == [b"a", b"b"]
    assert records.end() == []


@given(
    st.lists(LINE, max_size=20), st.booleans(), st.lists(st.integers(min_value=0, max_value=99), max_size=9)
)
def test_it_does_not_matter_in_which_pieces_they_are_read(
    lines: list[bytes], ended: bool, cuts: list[int]
) -> None:
    data = b"\n".join(lines) + (b"\n" if ended else b"")
    records, found, start = Records(b"\n", 100), list[bytes](), 0
    for cut in [*sorted(cuts), len(data)]:
        found += records.add(data[start:cut])
        start = max(start, cut)
    assert found + records.end() == [line for line in lines if line]
    assert not records.refusal


def test_one_that_is_too_large_is_told_by_its_number_and_those_before_it_count() -> None:
    records = Records(b"\n", 3)
    assert records.add(b"a\nbbb\ncccc\nd\n") == [b"a", b"bbb"]
    assert records.refusal == "record 3 has 4 bytes, the limit of a message is 3 bytes"
    assert records.add(b"e\n") == []
    assert records.end() == []
    assert records.found == 2


def test_no_more_is_kept_of_one_without_an_end_than_it_may_have() -> None:
    records = Records(b"\n", 3)
    assert records.add(b"a\nbb") == [b"a"]
    assert records.add(b"bb") == []
    assert records.refusal == "record 2 has 4 bytes or more, the limit of a message is 3 bytes"
    assert records.begun == 0


def test_a_last_one_that_is_too_large_is_refused_as_well() -> None:
    records = Records(b"\n", 3)
    assert records.add(b"aaa") == []
    assert records.end() == [b"aaa"]
    late = Records(b"\n", 3)
    assert late.add(b"aaa") == []
    assert late.add(b"a\n") == []
    assert "record 1 has 4 bytes" in late.refusal


@given(
    st.lists(st.binary(min_size=1, max_size=30), min_size=1, max_size=30),
    st.integers(min_value=9, max_value=80),
)
def test_bundles_keep_the_order_and_fit_a_command(records: list[bytes], limit: int) -> None:
    made = [list(bundle) for bundle in bundles(records, limit)]
    assert [record for bundle in made for record in bundle] == records
    for bundle, following in zip(made, [*made[1:], None], strict=True):
        size = HEAD + sum(HEAD + len(record) for record in bundle)
        assert bundle
        assert size <= limit or len(bundle) == 1
        if following is not None:  # it is as full as it may be
            assert size + HEAD + len(following[0]) > limit
