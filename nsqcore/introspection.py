"""A look into this process for its operator: CPU time by stack, memory by type, tasks, threads, the collector."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import linecache
import signal
import sys
import threading
import time
import traceback
import tracemalloc
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import FrameType

from nsqcore.process_memory import resident_bytes

SAMPLE_S = 0.01
"""Time between two looks at what runs, as in Go."""
_MOST_DEEP = 100
_MOST_TYPES = 60
_MOST_LINES = 50


class CpuSampler:
    """Adds up the CPU time of each thread by the stack that it is found with; see :meth:`collapsed`.

    A timer of the process's CPU time interrupts the main thread. A thread that looked from outside would find
    it only where it lets others run, which is between two turns of the loop. What it costs is about a percent.
    """

    def __init__(self) -> None:
        self._spent: Counter[str] = Counter()
        self._before: dict[int, int] = {}

    def start(self) -> None:
        """Begins; must be called in the main thread."""
        self._before = _cpu_times()
        signal.signal(signal.SIGPROF, self._look)
        signal.setitimer(signal.ITIMER_PROF, SAMPLE_S, SAMPLE_S)

    def stop(self) -> None:
        """Ends."""
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, signal.SIG_IGN)  # the default would be to die of one that is on its way

    def collapsed(self) -> str:
        """Lines such as ``MainThread;run (daemon.py:12);serve (lane.py:34) 1500``: a stack and its microseconds."""
        return "".join(f"{stack} {spent}\n" for stack, spent in sorted(self._spent.items()) if spent)

    def _look(self, _: int, frame: FrameType | None) -> None:
        now, frames = _cpu_times(), sys._current_frames()  # noqa: SLF001 - documented, whatever its name
        for thread in threading.enumerate():
            ident = thread.ident or 0
            spent = now.get(ident, 0) - self._before.get(ident, 0)
            if spent > 0:
                found = frame if thread is threading.main_thread() else frames.get(ident)
                self._spent[_collapse(thread.name, found)] += spent
        self._before = now


def _cpu_times() -> dict[int, int]:
    """Microseconds of CPU by thread."""
    found = {thread.ident or 0: thread_cpu_ns(thread) for thread in threading.enumerate()}
    return {ident: spent // 1000 for ident, spent in found.items() if spent is not None}


def thread_cpu_ns(thread: threading.Thread) -> int | None:
    """CPU time of a thread; None when it is gone."""
    if thread.ident is None or not thread.is_alive():
        return None
    try:
        return time.clock_gettime_ns(time.pthread_getcpuclockid(thread.ident))
    except OSError:
        return None


def _collapse(name: str, frame: FrameType | None) -> str:
    parts: list[str] = []
    while frame is not None and len(parts) < _MOST_DEEP:
        parts.append(_place(frame))
        frame = frame.f_back
    return ";".join([name.replace(";", ","), *reversed(parts)])


def _place(frame: FrameType) -> str:
    code = frame.f_code
    return f"{code.co_qualname} ({_short(code.co_filename)}:{frame.f_lineno})".replace(";", ",")


def _short(filename: str) -> str:
    return "/".join(Path(filename).parts[-2:])


# -- memory ----------------------------------------------------------------------------------------


def memory() -> str:
    """What the process has, and the objects that the collector knows, by type. Made to run in a thread."""
    resident, most = resident_bytes()
    lines = [
        f"resident bytes       {resident}",
        f"most resident bytes  {most}",
        f"allocated blocks     {sys.getallocatedblocks()}",
        f"frozen objects       {gc.get_freeze_count()} (made before the daemon served; not below)",
        "",
    ]
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for kind, size in _sizes(gc.get_objects()):
        counts[kind] += 1
        sizes[kind] += size
    lines += [f"{'bytes':>12}  {'objects':>9}  type (without what it refers to)"]
    lines += [f"{size:>12}  {counts[kind]:>9}  {kind}" for kind, size in sizes.most_common(_MOST_TYPES)]
    lines += ["", *_allocations()]
    return "\n".join(lines) + "\n"


def _sizes(objects: Iterable[object]) -> Iterator[tuple[str, int]]:
    for one in objects:
        kind = type(one)
        try:
            size = sys.getsizeof(one)
        except Exception:  # noqa: BLE001 - whatever a type of somebody's does when it is asked, others follow
            size = 0
        yield f"{kind.__module__}.{kind.__qualname__}", size


def _allocations() -> list[str]:
    if not tracemalloc.is_tracing():
        return ["allocations by line: start the daemon with PYTHONTRACEMALLOC=1 in its environment"]
    top = tracemalloc.take_snapshot().statistics("lineno")[:_MOST_LINES]
    return ["allocations by line:", *(f"{s.size:>12}  {s.count:>9}  {s.traceback}" for s in top)]


def free_memory() -> None:
    """Collects garbage, and gives free memory back to the system where the C library can. Made to run in a thread.

    The collector holds up the process: about 0.1 s per million objects that were made since it began to serve.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def collector() -> dict[str, object]:
    """State of the garbage collector."""
    return {
        "enabled": gc.isenabled(),
        "thresholds": list(gc.get_threshold()),
        "counts": list(gc.get_count()),
        "frozen_objects": gc.get_freeze_count(),
        "uncollectable": len(gc.garbage),
        "generations": [dict(generation) for generation in gc.get_stats()],
    }


# -- what runs -------------------------------------------------------------------------------------


def stacks() -> str:
    """All tasks of the running loop and all threads; those with equal stacks together."""
    tasks: dict[str, list[str]] = {}
    for task in asyncio.all_tasks():
        shown = "".join(f"  {place}\n" for place in _awaited(task.get_coro())) or "  (runs now)\n"
        tasks.setdefault(shown, []).append(task.get_name())
    lines = [f"{sum(map(len, tasks.values()))} tasks\n\n"]
    for shown, names in sorted(tasks.items(), key=lambda item: -len(item[1])):
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        lines.append(f"{len(names)} @ {', '.join(names[:3])}{more}\n{shown}\n")
    frames = sys._current_frames()  # noqa: SLF001 - documented, whatever its name
    lines.append(f"{threading.active_count()} threads\n\n")
    for thread in threading.enumerate():
        lines.append(f"{thread.name}\n")
        if thread.ident in frames:
            found = traceback.extract_stack(frames[thread.ident])
            lines += [f"  {f.name} ({_short(f.filename)}:{f.lineno}) {f.line}\n" for f in reversed(found)]
        lines.append("\n")
    linecache.clearcache()
    return "".join(lines)


def _awaited(coroutine: object) -> list[str]:
    """The places in which a suspended coroutine, and those that it awaits, wait; the innermost first."""
    places: list[str] = []
    while (frame := getattr(coroutine, "cr_frame", None)) is not None and not coroutine.cr_running:  # type: ignore[attr-defined]
        places.append(_place(frame))
        coroutine = getattr(coroutine, "cr_await", None)
    return places[::-1]


def threads() -> str:
    """Threads by name, with system id and CPU seconds."""
    rows = [f"{threading.active_count()} threads", ""]
    for thread in threading.enumerate():
        spent = thread_cpu_ns(thread) or 0
        rows.append(f"{thread.native_id or 0:>9}  {spent / 1e9:>10.3f} s  {thread.name}")
    return "\n".join(rows) + "\n"


async def measure_delays(seconds: float) -> list[float]:
    """Seconds that a callback had to wait for the loop, measured again and again for so long; sorted."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    found: list[float] = []
    while loop.time() < end:
        due = time.perf_counter() + SAMPLE_S
        await asyncio.sleep(SAMPLE_S)
        found.append(max(time.perf_counter() - due, 0.0))
    return sorted(found)


def delays(found: list[float]) -> str:
    """Median, 99th percentile and maximum, as text."""
    rows = [("median", 0.5), ("99 %", 0.99), ("most", 1.0)]
    shown = [
        f"{name:<8}{found[min(int(len(found) * q), len(found) - 1)] * 1e3:>10.3f} ms" for name, q in rows
    ]
    return "\n".join([f"delays of the event loop, {len(found)} samples", "", *shown]) + "\n"
