from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from nsqclient.consumer.ready import ACTIVE, HOLD, LONGEST_REST, Plan, Share, plan


def make(*rdy: int, held: tuple[int, ...] = (), limit: int = 2500) -> list[Share]:
    shares = [Share(limit, rdy=count) for count in rdy]
    for share, count in zip(shares, held, strict=False):
        share.held = count
    return shares


def apply(shares: list[Share], made: Plan, now: float) -> list[int]:
    for index, rdy in made.changes:
        shares[index].set(rdy, now)
    return [share.rdy for share in shares]


def distribute(shares: list[Share], cap: int, now: float = 0.0) -> list[int]:
    return apply(shares, plan(shares, cap, cap, now), now)


def test_the_remainder_is_used() -> None:
    assert sorted(distribute(make(0, 0, 0, 0), 10)) == [2, 2, 3, 3]


def test_what_a_node_can_not_take_goes_to_the_others() -> None:
    shares = [Share(limit=2), Share(limit=100), Share(limit=100)]
    assert distribute(shares, 30) == [2, 14, 14]


def test_shares_stay_where_they_are() -> None:
    shares = make(2, 3, 2, 3)
    assert plan(shares, 10, 10, 0.0).changes == []


def test_lowering_the_cap_takes_effect() -> None:
    assert distribute(make(5, 5), 2) == [1, 1]


def test_a_cap_of_zero_stops_everything() -> None:
    assert distribute(make(5, 5, 0), 0) == [0, 0, 0]


def test_nobody_connected_is_no_case() -> None:
    assert plan([], 5, 5, 0.0) == Plan([], False, None)


def test_decreases_are_sent_before_increases() -> None:
    shares = make(0, 8)
    assert plan(shares, 8, 8, 0.0).changes == [(1, 4), (0, 4)]


def test_a_raise_waits_for_messages_held_from_others() -> None:
    shares = make(5, 0, held=(5, 0))
    first = plan(shares, 5, 5, 0.0)
    assert apply(shares, first, 0.0) == [3, 0]
    assert first.short
    shares[0].held = 4
    second = plan(shares, 5, 5, 0.0)
    assert apply(shares, second, 0.0) == [3, 1]
    assert second.short
    shares[0].held = 3
    third = plan(shares, 5, 5, 0.0)
    assert apply(shares, third, 0.0) == [3, 2]
    assert not third.short


def test_a_node_may_be_raised_up_to_what_it_holds() -> None:
    # RDY 1 brings nothing new while five messages are held, so it needs no room
    assert distribute(make(0, held=(5,)), 1) == [1]


def test_a_test_message_may_be_tried_while_older_ones_are_held() -> None:
    shares = make(0, 0, held=(3, 0))
    assert apply(shares, plan(shares, 1, 5, 0.0), 0.0) == [0, 1]


def test_who_brought_the_test_message_keeps_its_turn_until_that_is_answered() -> None:
    shares = make(0, 0)
    tried = apply(shares, plan(shares, 1, 9, 0.0, trying=True), 0.0).index(1)
    shares[tried].message(0.001)
    shares[tried].held = 1
    assert plan(shares, 1, 9, 100.0, trying=True).changes == []
    shares[tried].held = 0  # it was not answered, but handed back or lost
    assert len(plan(shares, 1, 9, 100.0, trying=True).changes) == 2


def test_with_more_nodes_than_the_cap_each_holder_has_one() -> None:
    assert sorted(distribute(make(0, 0, 0), 2)) == [0, 1, 1]


def test_a_node_that_brought_a_message_passes_its_turn_on_when_it_is_answered() -> None:
    shares = make(0, 0)
    assert distribute(shares, 1) == [1, 0]
    shares[0].message(0.001)
    shares[0].held = 1
    assert distribute(shares, 1, 0.001) == [0, 0]
    shares[0].held = 0
    assert distribute(shares, 1, 0.002) == [0, 1]


def test_a_silent_node_passes_its_turn_on_after_a_moment() -> None:
    shares = make(0, 0)
    distribute(shares, 1)
    made = plan(shares, 1, 1, 0.01)
    assert made.changes == []
    assert made.again_at == HOLD
    assert distribute(shares, 1, HOLD) == [0, 1]


def test_a_busy_node_keeps_its_turn_while_the_idle_ones_rest() -> None:
    shares = make(0, 0, 0)
    now, brought, turns_of_idle = 0.0, 0, 0
    while now < 60:
        before = [share.rdy for share in shares]
        after = distribute(shares, 1, now)
        if after[0]:
            brought += 1
            shares[0].message(now)
        turns_of_idle += sum(after[i] > before[i] for i in (1, 2))
        now += 0.01
    # the idle ones get HOLD each at most every LONGEST_REST
    assert brought > 0.9 * 6000
    assert 60 < turns_of_idle * LONGEST_REST + 2 < 80 * 2


def test_a_node_that_was_idle_is_asked_again_in_time() -> None:
    shares = make(0, 0, 0)
    now, last = 0.0, 0.0
    longest = 0.0
    while now < 30:
        before = shares[2].rdy
        after = distribute(shares, 1, now)
        if after[2] > before:
            longest = max(longest, now - last)
            last = now
        if after[0]:
            shares[0].message(now)
        now += 0.01
    assert 0 < longest < LONGEST_REST + 3 * HOLD


def test_a_silent_turn_does_not_count_while_messages_are_held() -> None:
    shares = make(0, held=(2,))
    shares[0].set(1, 0.0)
    shares[0].set(0, 1.0)
    assert shares[0].silent_turns == 0


def test_those_who_still_hold_messages_take_no_turn_from_others() -> None:
    shares = make(0, 0, 0, held=(1, 0, 0))
    assert distribute(shares, 2, 1.0) == [0, 1, 0]  # one place is taken by what is held
    shares[0].released_at = -5.0
    shares[1].message(1.1)
    assert distribute(shares, 2, 1.1) == [0, 0, 1]


def test_waiting_longest_comes_first() -> None:
    shares = make(0, 0, 0)
    for share, when in zip(shares, (3.0, 1.0, 2.0), strict=True):
        share.released_at = when
    assert distribute(shares, 1, 5.0) == [0, 1, 0]


events = st.lists(
    st.tuples(st.sampled_from(["cap", "message", "answer", "wait", "join", "leave"]), st.integers(0, 12)),
    max_size=60,
)


@settings(deadline=None)
@given(cap=st.integers(0, 12), events=events)
def test_no_history_exceeds_the_cap_or_starves_it(cap: int, events: list[tuple[str, int]]) -> None:
    shares: list[Share] = []
    now = 0.0
    for event, number in events:
        chosen = shares[number % len(shares)] if shares else None
        if event == "cap":
            cap = number
        elif event == "join":
            shares.append(Share(limit=6))
        elif event == "wait":
            now += number / 50
        elif chosen is not None and event == "message" and chosen.held < chosen.rdy:
            chosen.held += 1
            chosen.message(now)
        elif chosen is not None and event == "answer" and chosen.held:
            chosen.held -= 1
        elif chosen is not None and event == "leave":
            shares.remove(chosen)
        for _ in range(len(shares) + 1):
            made = plan(shares, cap, cap, now)
            used = sum(max(share.rdy, share.held) for share in shares)
            apply(shares, made, now)
            # what was held when the cap was cut stays held; nothing is added to that
            assert sum(max(share.rdy, share.held) for share in shares) <= max(cap, used)
            assert sum(share.rdy for share in shares) <= max(cap, 0)
            if made.again_at is None or made.again_at > now:
                break
        else:
            raise AssertionError("turns are passed on without end")
        held = sum(share.held for share in shares)
        if shares and not held:
            wanted = min(cap, sum(share.limit for share in shares))
            assert sum(share.rdy for share in shares) == wanted, "the cap is not used"


def test_what_was_lowered_counts_until_nsqd_has_heard_of_it() -> None:
    shares = [Share(100, settle=0.1, rdy=4), Share(100, settle=0.1)]
    shares[0].held = 1
    first = plan(shares, 4, 4, 0.0)
    assert apply(shares, first, 0.0) == [2, 0]
    assert first.again_at == 0.1
    assert plan(shares, 4, 4, 0.05).changes == []
    assert apply(shares, plan(shares, 4, 4, 0.1), 0.1) == [2, 2]


def test_what_was_lowered_may_be_raised_again_at_once() -> None:
    shares = [Share(100, settle=0.1, rdy=4)]
    apply(shares, plan(shares, 0, 4, 0.0), 0.0)
    assert apply(shares, plan(shares, 4, 4, 0.0), 0.0) == [4]


def test_a_node_that_used_up_its_share_can_not_send_more_after_it_was_lowered() -> None:
    shares = [Share(100, settle=0.1, rdy=1, held=1), Share(100, settle=0.1, released_at=-1.0)]
    shares[0].brought = True
    apply(shares, plan(shares, 1, 1, 0.0), 0.0)
    shares[0].held = 0
    assert apply(shares, plan(shares, 1, 1, 0.01), 0.01) == [0, 1]


def test_a_ceiling_leaves_the_rest_to_others() -> None:
    shares = make(0, 0, 0)
    shares[0].ceiling, shares[1].ceiling = 0, 1
    assert distribute(shares, 9) == [0, 1, 8]
    shares[2].ceiling = 0
    assert distribute(shares, 9) == [0, 1, 0]
    shares[1].ceiling = 0
    assert distribute(shares, 9) == [0, 0, 0]


def test_nodes_with_a_ceiling_of_zero_take_no_turns() -> None:
    shares = make(0, 0, 0)
    shares[0].ceiling = 0
    for now in range(6):
        assert distribute(shares, 1, float(now))[0] == 0


def test_eagerly_an_active_node_has_all_of_the_cap() -> None:
    shares = make(0, 0, 0)

    def eagerly(now: float) -> list[int]:
        return apply(shares, plan(shares, 6, 6, now, eager=True), now)

    assert eagerly(0.0) == [2, 2, 2]
    shares[1].message(0.1)
    assert eagerly(0.1) == [1, 6, 1]
    shares[2].message(0.2)
    assert eagerly(0.2) == [1, 3, 3]
    assert eagerly(0.3 + ACTIVE) == [2, 2, 2]


@dataclass
class Node:
    """A nsqd behind a slow line, with times in milliseconds."""

    share: Share
    waiting: int
    latency: int
    rdy: int = 0
    unfinished: int = 0
    arriving: list[int] = field(default_factory=list)
    """When messages reach the consumer."""
    commands: list[tuple[int, int | None]] = field(default_factory=list)
    """When a RDY, or None for a FIN, reaches nsqd."""

    def step(self, now: int) -> None:
        while self.commands and self.commands[0][0] <= now:
            rdy = self.commands.pop(0)[1]
            if rdy is None:
                self.unfinished -= 1
            else:
                self.rdy = rdy
        while self.waiting and self.unfinished < self.rdy:
            self.waiting -= 1
            self.unfinished += 1
            self.arriving.append(now + self.latency)


@settings(deadline=None, max_examples=60)
@given(
    cap=st.integers(1, 8),
    nodes=st.lists(
        st.tuples(st.integers(0, 12), st.integers(0, 30), st.integers(0, 200)), min_size=1, max_size=5
    ),
    work=st.lists(st.integers(0, 30), min_size=1, max_size=10),
    eager=st.booleans(),
)
def test_behind_slow_lines_the_cap_holds_and_everything_comes(
    cap: int, nodes: list[tuple[int, int, int]], work: list[int], eager: bool
) -> None:
    # 2.5 round trips to settle, and a clock that starts late, as real ones do
    joining = [
        (1000 + born, Node(Share(2500, settle=latency * 5 / 1000), count, latency))
        for count, latency, born in nodes
    ]
    line: list[Node] = []
    total, answered, handed = sum(count for count, _, _ in nodes), 0, 0
    running: list[tuple[int, Node]] = []
    again: float | None = 0.0
    full = False
    now = 1000
    while answered < total:
        now += 1
        assert now < 60_000, "it is stuck"
        changed = again is not None and now / 1000 >= again
        for entry in [entry for entry in joining if entry[0] <= now]:
            joining.remove(entry)
            line.append(entry[1])
            changed = True
        for node in line:
            node.step(now)
            while node.arriving and node.arriving[0] <= now:
                node.arriving.pop(0)
                node.share.held += 1
                node.share.message(now / 1000)
                running.append((now + work[handed % len(work)], node))
                handed += 1
                changed = True
        for done in [done for done in running if done[0] <= now]:
            running.remove(done)
            done[1].share.held -= 1
            done[1].commands.append((now + done[1].latency, None))
            answered += 1
            changed = True
        if changed:
            held = len(running)
            full = eager and (held > cap // 2 if full else held >= cap)
            made = plan([n.share for n in line], 0 if full else cap, cap, now / 1000, eager=eager)
            again = made.again_at
            for index, rdy in made.changes:
                line[index].commands.append((now + line[index].latency, rdy))
                line[index].share.set(rdy, now / 1000)
        unanswered = len(running) + sum(len(node.arriving) for node in line)
        assert unanswered <= cap + (max(0, len(line) - 1) if eager else 0)
