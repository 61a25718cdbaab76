import hypothesis.strategies as st
from hypothesis import given

from nsqd.guid import EPOCH, SEQUENCES, SUFFIXES, Ids

TICK_NS = 1 << 20
NOW = (EPOCH + 1_000_000) << 20


def take(ids: Ids, now: int) -> int:
    sequence = ids.at(now)
    ids.sequence = sequence + 1
    return int(ids.prefix + SUFFIXES[sequence], 16)


def test_an_id_is_ticks_node_and_sequence() -> None:
    ids = Ids(1023)
    made = [take(ids, NOW), take(ids, NOW)]
    assert made == [1_000_000 << 22 | 1023 << 12 | n for n in (0, 1)]


def test_an_id_has_16_lower_case_hex_digits_however_small_its_number() -> None:
    ids = Ids(0)
    sequence = ids.at((EPOCH + 1) << 20)
    assert ids.prefix + SUFFIXES[sequence] == b"0000000000400000"
    assert SUFFIXES[0xABC] == b"abc"


def test_the_sequence_begins_again_with_every_tick() -> None:
    ids = Ids(5)
    assert [take(ids, NOW) & 0xFFF for _ in range(3)] == [0, 1, 2]
    assert take(ids, NOW + TICK_NS) == (1_000_001 << 22 | 5 << 12)


def test_more_ids_than_a_tick_has_are_taken_from_the_next_one() -> None:
    ids = Ids(5)
    made = [take(ids, NOW) for _ in range(2 * SEQUENCES + 1)]
    assert made == sorted(set(made))
    assert made[-1] >> 22 == 1_000_002


@given(
    st.integers(0, 1023),
    st.lists(st.tuples(st.integers(-3 * TICK_NS, 3 * TICK_NS), st.sampled_from([1, 5, SEQUENCES]))),
)
def test_ids_only_grow_whatever_the_clock_does(node: int, moves: list[tuple[int, int]]) -> None:
    ids, now, last = Ids(node), NOW, 0
    for move, count in moves:
        now += move
        for _ in range(count):
            made = take(ids, now)
            assert made > last
            assert made >> 12 & 1023 == node
            last = made


@given(st.integers(-(1 << 62), 1 << 62))
def test_a_clock_far_from_the_epoch_still_gives_ids(now: int) -> None:
    ids = Ids(7)
    first, second = take(ids, now), take(ids, now)
    assert 0 < first < second < 1 << 64
