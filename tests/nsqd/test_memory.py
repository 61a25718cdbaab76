"""The figures of memory and garbage collection."""

from __future__ import annotations

import gc
import time

from nsqd.memory import PAUSES_KEPT, Memory, _percentile


def test_figures_are_about_this_process() -> None:
    gc.collect()  # what earlier tests have left would make room meanwhile
    before = Memory().figures()
    block = b"x" * (1 << 27)
    objects = [(n, str(n)) for n in range(200_000)]
    after = Memory().figures()
    grown = after["heap_in_use_bytes"] - before["heap_in_use_bytes"]
    assert grown > len(block) // 2  # some was free, and is taken again
    assert after["heap_objects"] - before["heap_objects"] > 1.5 * len(objects)
    assert after["next_gc_bytes"] >= after["heap_in_use_bytes"]
    del block, objects


def test_memory_that_went_back_is_idle() -> None:
    block = bytearray(1 << 26)  # far above what malloc keeps
    del block
    figures = Memory().figures()
    assert figures["heap_idle_bytes"] == figures["heap_released_bytes"]
    assert figures["heap_released_bytes"] >= 0


def test_figures_are_cheap_with_very_many_objects() -> None:
    objects = [[n] for n in range(500_000)]
    began = time.thread_time()
    for _ in range(10):
        Memory().figures()
    took = (time.thread_time() - began) / 10
    assert took < 0.02, f"{took * 1000:.1f} ms"  # a walk over them takes longer
    del objects


def test_collections_are_timed_and_counted() -> None:
    memory = Memory()
    memory.watch()
    try:
        before = memory.figures()
        assert (before["gc_pause_usec_100"], before["gc_pause_usec_95"]) == (0, 0)
        objects = [[n] for n in range(100_000)]
        gc.collect()
        after = memory.figures()
        assert after["gc_total_runs"] > before["gc_total_runs"]
        assert after["gc_pause_usec_100"] > 100
        del objects
        for _ in range(2 * PAUSES_KEPT):
            gc.collect(0)
        assert len(memory._pauses) == PAUSES_KEPT
        latest = memory.figures()
        assert latest["gc_pause_usec_100"] >= latest["gc_pause_usec_99"] >= latest["gc_pause_usec_95"]
    finally:
        memory.close()


def test_it_leaves_the_collector_alone_when_closed() -> None:
    before = list(gc.callbacks)
    memory = Memory()
    memory.watch()
    assert len(gc.callbacks) == len(before) + 1
    memory.close()
    memory.close()
    assert gc.callbacks == before


def test_percentiles_of_pauses_are_whole_microseconds() -> None:
    pauses = [n * 1000 for n in range(1, 101)]
    assert [_percentile(pauses, part) for part in (1.0, 0.99, 0.95)] == [100, 99, 95]
    assert _percentile([], 1.0) == 0
