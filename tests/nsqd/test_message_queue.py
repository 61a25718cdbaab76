from collections import deque
from collections.abc import Sequence

import hypothesis.strategies as st
from hypothesis import given, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from nsqd.frames import FrameBuilder, frame_of_record
from nsqd.guid import Ids
from nsqd.message_queue import FLUSH_RUN, Budget, MessageQueue
from nsqd.storage.backend import NullBackend, Stored, Taken

builder = FrameBuilder(Ids(1))
MANY = 1 << 40


class ListBackend(NullBackend):
    """Keeps records in a list; they can be taken once :meth:`write` was called, as on a real disk."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[tuple[Sequence[bytes], Stored]] = []
        self.written: list[bytes] = []

    def append(self, records: Sequence[bytes], stored: Stored) -> None:
        self.waiting.append((records, stored))
        self.pending += len(records)

    def write(self, error: OSError | None = None) -> None:
        waiting, self.waiting, self.pending = self.waiting, [], 0
        for records, stored in waiting:
            if error is None:
                self.written += records
            stored(error)
        self.depth = len(self.written)

    def take(self, count: int, size: int) -> Taken:
        frames = [frame_of_record(record) for record in self.written[:count]]
        del self.written[:count]
        self.depth = len(self.written)
        return Taken(frames, None)

    def empty(self) -> None:
        self.waiting.clear()
        self.written.clear()
        self.depth = self.pending = 0


def queue(limit: int = 100, budget: Budget | None = None) -> tuple[MessageQueue, ListBackend]:
    backend = ListBackend()
    return MessageQueue(backend, limit=limit, budget=budget or Budget(MANY)), backend


def put(queue: MessageQueue, count: int, size: int = 1) -> list[bytes]:
    """Publishes so many messages; returns their frames."""
    batch = builder.many([b"x" * size] * count)
    spilled = queue.put(batch)
    if spilled:
        queue.spill(spilled, lambda error: None)
    return batch.frames


def take_all(queue: MessageQueue, backend: ListBackend) -> list[bytes]:
    frames = []
    while queue.memory:
        run = queue.take(len(queue.memory), MANY)
        queue.released(sum(map(len, run)))
        frames += run
    return frames + backend.take(backend.depth, MANY).frames


def test_memory_takes_what_fits_and_the_disk_the_rest() -> None:
    filled, backend = queue(limit=3)
    frames = put(filled, 5)
    backend.write()
    assert list(filled.memory) == frames[:3]
    assert (filled.depth, filled.backend_depth) == (5, 2)
    assert take_all(filled, backend) == frames


def test_memory_gets_nothing_new_while_there_is_a_backlog_behind_it() -> None:
    filled, backend = queue(limit=3)
    frames = put(filled, 4)
    backend.write()
    filled.released(sum(map(len, filled.take(3, MANY))))
    frames += put(filled, 1)
    assert not filled.memory
    backend.write()
    assert backend.take(9, MANY).frames == frames[3:]
    put(filled, 1)
    assert len(filled.memory) == 1


def test_what_is_still_to_be_written_is_a_backlog_too() -> None:
    filled, _ = queue(limit=2)
    put(filled, 3)
    filled.released(sum(map(len, filled.take(2, MANY))))
    put(filled, 1)
    assert not filled.memory
    assert (filled.depth, filled.backend_depth) == (2, 2)


def test_without_memory_everything_goes_to_disk() -> None:
    filled, backend = queue(limit=0)
    frames = put(filled, 2)
    backend.write()
    assert not filled.memory
    assert take_all(filled, backend) == frames


def test_the_byte_budget_is_shared_by_all_queues() -> None:
    budget = Budget(3 * 40)
    one, other = queue(budget=budget)[0], queue(budget=budget)[0]
    put(one, 2, size=6)
    put(other, 1, size=6)
    put(one, 1, size=6)
    assert (one.backend_depth, other.backend_depth) == (1, 0)
    assert budget.used == 120
    other.released(len(other.take(1, MANY)[0]))
    put(other, 1, size=6)
    assert other.backend_depth == 0


def test_a_batch_above_the_budget_goes_to_disk_as_a_whole() -> None:
    filled, _ = queue(budget=Budget(100))
    put(filled, 3, size=6)
    assert (len(filled.memory), filled.backend_depth) == (0, 3)


def test_takes_runs_bounded_by_count_and_by_bytes() -> None:
    filled, _ = queue()
    frames = put(filled, 10, size=6)
    assert filled.take(1, MANY) == frames[:1]
    assert filled.take(3, MANY) == frames[1:4]
    assert filled.take(6, 80) == frames[4:6]
    assert filled.take(4, 1) == frames[6:7]


def test_what_the_disk_failed_is_kept_whatever_the_limits_say() -> None:
    filled, backend = queue(limit=1, budget=Budget(1))
    batch = builder.many([b"abc"] * 3)
    spilled = filled.put(batch)
    assert spilled == batch.frames
    filled.spill(spilled, lambda error: filled.keep(batch.frames))
    backend.write(OSError("full"))
    assert list(filled.memory) == batch.frames
    assert filled.bytes == batch.size
    assert filled.take(3, 40) == batch.frames[:2]


def test_emptying_drops_memory_and_disk_and_frees_the_budget() -> None:
    budget = Budget(MANY)
    filled, backend = queue(limit=2, budget=budget)
    frames = put(filled, 3)
    backend.write()
    put(filled, 1)
    assert filled.drop() == deque(frames[:2])
    assert (filled.depth, filled.bytes, budget.used, filled.largest) == (0, 0, 0, 0)
    assert put(filled, 1) == list(filled.memory)


def test_flushing_moves_memory_behind_the_disk_in_order() -> None:
    filled, backend = queue(limit=FLUSH_RUN + 5)
    frames = put(filled, FLUSH_RUN + 7)
    backend.write()
    answers: list[OSError | None] = []
    filled.flush(answers.append)
    backend.write()
    assert answers == [None] * 2
    assert filled.bytes == len(filled.memory) == 0
    assert take_all(filled, backend) == frames[-2:] + frames[:-2]


def test_flushing_tells_of_every_part_that_could_not_be_stored() -> None:
    filled, backend = queue(limit=2 * FLUSH_RUN)
    put(filled, FLUSH_RUN + 1)
    answers: list[OSError | None] = []
    filled.flush(answers.append)
    full = OSError("full")
    backend.write(full)
    assert answers == [full] * 2


class QueueMachine(RuleBasedStateMachine):
    """Two queues that share a budget, beside two lists."""

    @initialize(limit=st.integers(0, 4), budget=st.sampled_from([0, 150, 400, MANY]))
    def start(self, limit: int, budget: int) -> None:
        self.limit, self.budget = limit, Budget(budget)
        self.queues = [queue(limit, self.budget) for _ in range(2)]
        self.models: list[deque[bytes]] = [deque(), deque()]

    @rule(which=st.integers(0, 1), sizes=st.lists(st.integers(1, 60), min_size=1, max_size=4))
    def publish(self, which: int, sizes: list[int]) -> None:
        filled, backend = self.queues[which]
        batch = builder.many([b"x" * size for size in sizes])
        behind = backend.depth + backend.pending or self.budget.used + batch.size > self.budget.limit
        room = 0 if behind else max(0, self.limit - len(filled.memory))
        spilled = filled.put(batch) or []
        assert spilled == batch.frames[room:]
        if spilled:
            filled.spill(spilled, lambda error: None)
        self.models[which] += batch.frames

    @rule(which=st.integers(0, 1))
    def write(self, which: int) -> None:
        self.queues[which][1].write()

    @precondition(lambda self: any(filled.memory for filled, _ in self.queues))
    @rule(which=st.integers(0, 1), count=st.integers(1, 4), size=st.sampled_from([1, 90, 200, MANY]))
    def take(self, which: int, count: int, size: int) -> None:
        filled, _ = self.queues[which]
        count = min(count, len(filled.memory))
        if not count:
            return
        run = filled.take(count, size)
        assert 1 <= len(run) <= count
        assert sum(map(len, run[:-1])) < size
        assert len(run) == count or sum(map(len, run)) >= size
        assert run == [self.models[which].popleft() for _ in run]
        filled.released(sum(map(len, run)))

    @rule(which=st.integers(0, 1), count=st.integers(1, 4))
    def take_from_disk(self, which: int, count: int) -> None:
        filled, backend = self.queues[which]
        if not filled.memory:
            frames = backend.take(count, MANY).frames
            assert frames == [self.models[which].popleft() for _ in frames]

    @rule(which=st.integers(0, 1))
    def empty(self, which: int) -> None:
        self.queues[which][0].drop()
        self.models[which].clear()

    @invariant()
    def the_books_are_right(self) -> None:
        if not hasattr(self, "queues"):
            return
        used = 0
        for (filled, backend), model in zip(self.queues, self.models, strict=True):
            waiting = [record for records, _ in backend.waiting for record in records]
            on_disk = [frame_of_record(record) for record in (*backend.written, *waiting)]
            assert [*filled.memory, *on_disk] == list(model)
            assert (filled.depth, filled.backend_depth) == (len(model), len(on_disk))
            assert len(filled.memory) <= self.limit
            assert filled.bytes == sum(map(len, filled.memory))
            assert filled.largest >= max(map(len, filled.memory), default=0)
            used += filled.bytes
        assert used == self.budget.used <= self.budget.limit


TestQueuesBesideLists = QueueMachine.TestCase
TestQueuesBesideLists.settings = settings(max_examples=150, stateful_step_count=40)


@given(st.lists(st.integers(1, 50), max_size=30), st.integers(0, 10))
def test_fresh_messages_come_out_in_the_order_of_publishing(sizes: list[int], limit: int) -> None:
    filled, backend = queue(limit)
    frames = [frame for size in sizes for frame in put(filled, 1, size)]
    backend.write()
    assert take_all(filled, backend) == frames
