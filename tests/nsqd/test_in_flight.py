"""What a client holds, beside a model with a deadline per message, which is what it stands for."""

from dataclasses import dataclass

import hypothesis.strategies as st
from hypothesis import given, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from nsqd.frames import FrameBuilder, id_of
from nsqd.guid import Ids
from nsqd.in_flight import SHORTEST_SPAN, InFlight

TIMEOUT, LONGEST = 1.0, 2.5
NEVER = b"0" * 16
builder = FrameBuilder(Ids(1))


def run_of(count: int) -> list[bytes]:
    return builder.many([b"x"] * count).frames


def holding(
    *times: float, timeout: float = TIMEOUT, longest: float = LONGEST
) -> tuple[InFlight, list[bytes]]:
    """One message delivered at each of the times; and their frames."""
    held = InFlight(timeout, longest)
    frames = run_of(len(times))
    for frame, now in zip(frames, times, strict=True):
        held.add([frame], now)
    return held, frames


def test_a_message_is_taken_out_once() -> None:
    held, (frame,) = holding(10.0)
    assert len(held) == 1
    assert held.pop(id_of(frame)) == frame
    assert held.pop(id_of(frame)) is None
    assert len(held) == 0
    assert held.next_deadline() is None


def test_a_deadline_can_not_be_taken_for_a_message() -> None:
    held, _ = holding(10.0)
    (mark,) = (key for key in held.messages if len(key) == 8)
    assert held.pop(mark) is None
    assert held.touch(mark, 10.0) is None
    assert held.next_deadline() is not None


def test_a_time_out_is_never_early_and_late_by_the_span_at_most() -> None:
    held, frames = holding(10.0, 10.04, 10.2)
    assert held.expired(11.0) == []
    deadline = held.next_deadline()
    assert deadline is not None
    assert 11.04 <= deadline <= 11.0 + SHORTEST_SPAN + 1e-9
    assert held.expired(deadline) == frames[:2]
    assert len(held) == 1


def test_messages_in_their_time_are_not_looked_at() -> None:
    held, _ = holding(*(10.0 + n / 100 for n in range(100)))
    assert held.expired(10.999) == []
    assert len(held) == 100


def test_a_client_that_holds_on_to_one_message_does_not_gather_deadlines() -> None:
    held, (first,) = holding(0.0, timeout=60.0)
    for n in range(10_000):
        (frame,) = run_of(1)
        held.add([frame], n / 100)
        held.pop(id_of(frame))
    assert held.marks < 300
    assert len(held) == 1
    assert held.pop(id_of(first)) == first


def test_touch_gives_a_message_its_time_again() -> None:
    held, (first, second) = holding(10.0, 10.0)
    assert held.touch(id_of(first), 10.5) == 11.5
    assert held.expired(11.1) == [second]
    assert held.expired(11.5) == []
    assert held.expired(11.56) == [first]


def test_touch_can_not_pass_the_limit() -> None:
    held, (frame,) = holding(10.0)
    for now in (10.9, 11.7, 12.4):
        held.touch(id_of(frame), now)
    assert held.expired(10.0 + LONGEST - 0.001) == []
    assert held.expired(10.0 + LONGEST + SHORTEST_SPAN) == [frame]


def test_a_redelivery_has_a_fresh_allowance() -> None:
    held, (frame,) = holding(10.0)
    held.touch(id_of(frame), 10.5)
    held.touch(id_of(frame), 12.0)
    held.pop(id_of(frame))
    held.add([frame], 12.1)
    assert held.expired(13.0) == []
    assert held.touch(id_of(frame), 13.0) == 14.0
    assert held.expired(14.06) == [frame]


def test_touch_of_a_message_that_is_not_held_tells_nothing() -> None:
    held, _ = holding(10.0)
    assert held.touch(NEVER, 10.0) is None


def test_clear_gives_everything_oldest_first() -> None:
    held, frames = holding(10.0, 10.2, 10.4)
    held.touch(id_of(frames[0]), 10.5)
    assert held.clear() == [frames[1], frames[2], frames[0]]
    assert len(held) == held.marks == 0
    assert held.next_deadline() is None
    held.add(frames, 10.6)
    assert held.expired(11.6) == []
    assert held.expired(11.7) == frames


def test_what_touch_remembers_of_finished_messages_is_bounded() -> None:
    held, (first,) = holding(0.0, timeout=60.0)
    held.touch(id_of(first), 0.1)
    for _ in range(50):
        frames = run_of(100)
        held.add(frames, 0.2)
        for frame in frames:
            held.pop(id_of(frame))
    assert held._delivered is not None
    assert len(held._delivered) < 1200


@dataclass
class Held:
    """A message of the model: when it was delivered, and when its time is over at the earliest and at the latest."""

    frame: bytes
    delivered: float
    earliest: float
    latest: float


class InFlightMachine(RuleBasedStateMachine):
    """Time-outs are looked for when the channel would: at the next deadline, each time anew."""

    @initialize(timeout=st.sampled_from([0.001, 1.0, 60.0]), longest=st.sampled_from([0.0, 1.5, 900.0]))
    def start(self, timeout: float, longest: float) -> None:
        self.now = 100.0
        self.timeout, self.longest = timeout, longest
        self.span = max(SHORTEST_SPAN, timeout / 256)
        self.real = InFlight(timeout, longest)
        self.model: dict[bytes, Held] = {}
        self.known: list[bytes] = []

    def some_id(self, choice: int) -> bytes:
        return self.known[choice % len(self.known)] if self.known else NEVER

    @rule(count=st.integers(1, 4))
    def deliver(self, count: int) -> None:
        frames = run_of(count)
        self.known += map(id_of, frames)
        self.take(frames)

    @precondition(lambda self: self.known)
    @rule(choice=st.integers(0, 50))
    def deliver_again(self, choice: int) -> None:
        frame = self.real.pop(self.some_id(choice))
        if frame is not None:
            self.take([frame])

    def take(self, frames: list[bytes]) -> None:
        self.real.add(frames, self.now)
        over = self.now + self.timeout
        for frame in frames:
            self.model[id_of(frame)] = Held(frame, self.now, over, over + self.span)

    @rule(choice=st.integers(0, 50))
    def finish(self, choice: int) -> None:
        message_id = self.some_id(choice)
        held = self.model.pop(message_id, None)
        assert self.real.pop(message_id) == (held.frame if held else None)

    @rule(choice=st.integers(0, 50))
    def touch(self, choice: int) -> None:
        message_id = self.some_id(choice)
        deadline = self.real.touch(message_id, self.now)
        held = self.model.get(message_id)
        if held is None:
            assert deadline is None
            return
        assert deadline is not None
        limit, wished = held.delivered + self.longest, self.now + self.timeout
        assert min(limit, wished) <= deadline <= min(limit + self.span, wished)
        held.earliest = min(limit, wished)
        held.latest = held.earliest + 2 * self.span

    @rule(step=st.sampled_from([0.001, 0.03, 0.25, 1.0, 1.6, 30.0, 61.0]))
    def wait(self, step: float) -> None:
        end = self.now + step
        while (deadline := self.real.next_deadline()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            found = self.real.expired(self.now)
            for frame in found:
                assert self.model.pop(id_of(frame)).earliest <= self.now + 1e-9
            again = self.real.next_deadline()
            assert found or again is None or again > deadline
        self.now = end
        assert all(held.latest >= self.now - 1e-9 for held in self.model.values())

    @rule()
    def clear(self) -> None:
        frames = self.real.clear()
        assert sorted(frames) == sorted(held.frame for held in self.model.values())
        self.model.clear()

    @invariant()
    def holds_the_same(self) -> None:
        if not hasattr(self, "real"):
            return
        messages = {key: frame for key, frame in self.real.messages.items() if len(key) != 8}
        assert messages == {key: held.frame for key, held in self.model.items()}
        assert len(self.real) == len(self.model)
        assert self.real.marks == len(self.real.messages) - len(messages)
        assert (self.real.next_deadline() is None) == (not messages)


TestInFlightBesideAModel = InFlightMachine.TestCase
TestInFlightBesideAModel.settings = settings(max_examples=150, stateful_step_count=40)


@given(st.lists(st.integers(0, 200), min_size=1, max_size=60))
def test_time_outs_come_in_the_order_of_delivery(gaps: list[int]) -> None:
    now, times = 0.0, []
    for gap in gaps:
        now += gap / 1000
        times.append(now)
    held, frames = holding(*times)
    found = []
    while (deadline := held.next_deadline()) is not None:
        found += held.expired(deadline)
    assert found == frames
