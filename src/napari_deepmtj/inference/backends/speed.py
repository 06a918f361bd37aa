"""How many threads and pictures at a time are fastest here: short probes, remembered.

What is timed is given by the backends; nothing here knows a runtime.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from napari_deepmtj.inference.backends.cache import digest_of, store_figures, stored_figures

#: Pictures at a time that are tried. More do not pay on a CPU: what one layer hands to the next
#: no longer fits its caches.
BATCHES = (1, 2, 4, 8)
#: Seconds that one way is timed for, and that a probe of several takes, about.
TIMED_S, BUDGET_S = 0.1, 2.0
#: A larger batch is tried only while the last step made it this much faster.
WORTH = 1.03
#: Share of the time for which we had the processor, from which on a probe counts as undisturbed.
QUIET = 0.8

#: Prepares to compute with (threads, batch); what it returns computes and says how many pictures.
Prepare = Callable[[int, int], Callable[[], int]]


@dataclass(frozen=True, slots=True)
class Way:
    """A way to compute on a CPU.

    Parameters
    ----------
    threads : int
        Threads of one computation (torch, onnxruntime), or computations side by side with the
        cores shared among them (OpenVINO's streams).
    batch : int
        Pictures of one computation.
    """

    threads: int
    batch: int


def cores() -> int:
    """Return how many threads may run at once: `OMP_NUM_THREADS`, else the cores given to us."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdigit() and int(asked) > 0:
        return int(asked)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def thread_counts(most: int) -> tuple[int, ...]:
    """Return the numbers of threads that are tried: all, half, one."""
    return tuple(sorted({1, max(1, most // 2), most}, reverse=True))


@lru_cache(maxsize=1)
def processor() -> str:
    """Return what this processor is, as far as the system says."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def fastest(prepare: Prepare, threads: Sequence[int]) -> Way:
    """Try numbers of threads, in their order, and of pictures at a time; return the fastest way.

    What is expected to take longer than is left of `BUDGET_S` is not tried, so of a slow network
    the first number of threads is: give the largest one first.
    """
    began = time.perf_counter()
    best, speed = Way(threads[0], BATCHES[0]), 0.0
    for count in threads:
        before = 0.0
        for batch in BATCHES:
            expected = 2 * batch / speed if speed else 0.0
            if time.perf_counter() - began + expected > BUDGET_S:
                break
            (now,) = rates({"": prepare(count, batch)}, TIMED_S).values()
            if now > speed:
                best, speed = Way(count, batch), now
            if now < WORTH * before:
                break
            before = now
    return best


def rates(computes: Mapping[str, Callable[[], int]], seconds: float) -> dict[str, float]:
    """Return pictures a second of several, each in its least disturbed run.

    They run by turns for so many seconds, at least once after a first run that does not count,
    so that what else the machine does slows all of them.
    """
    for compute in computes.values():
        compute()
    best, began = dict.fromkeys(computes, 0.0), time.perf_counter()
    while not all(best.values()) or time.perf_counter() - began < seconds:
        for name, compute in computes.items():
            start = time.perf_counter()
            pictures = compute()
            best[name] = max(best[name], pictures / (time.perf_counter() - start))
    return best


def settled(
    what: Mapping[str, Any], threads: int, measure: Callable[[], Mapping[str, Any]]
) -> dict[str, Any]:
    """Return what was found to be fastest for `what` here, measuring if it is not known.

    It is kept for this kind of machine, unless others took the processor while it was measured;
    then it holds until the program ends.

    Parameters
    ----------
    what : mapping
        JSON-able: backend, versions, network and size of its input.
    threads : int
        That may be used.
    measure : callable
        Probes; returns what is JSON-able.
    """
    found = known(what, threads)
    if found is None:
        wall, used = time.perf_counter(), time.process_time()
        found = dict(measure())
        wall, used = time.perf_counter() - wall, time.process_time() - used
        key = _key(what, threads)
        _SETTLED[digest_of(key)] = found
        if used >= QUIET * wall:
            store_figures(key, found)
    return found


def known(what: Mapping[str, Any], threads: int) -> dict[str, Any] | None:
    """Return what was settled before, None if nothing was."""
    key = _key(what, threads)
    name = digest_of(key)
    if name not in _SETTLED and (stored := stored_figures(key)) is not None:
        _SETTLED[name] = stored
    return _SETTLED.get(name)


def fastest_way(
    what: Mapping[str, Any], most: int, prepare: Prepare, threads: Sequence[int]
) -> Way:
    """Return the fastest way for `what` here; see `settled` and `fastest`."""
    found = settled(what, most, lambda: asdict(fastest(prepare, threads)))
    return Way(int(found["threads"]), int(found["batch"]))


def _key(what: Mapping[str, Any], threads: int) -> dict[str, Any]:
    return {**what, "processor": processor(), "of_threads": threads}


#: What this program knows already.
_SETTLED: dict[str, dict[str, Any]] = {}
