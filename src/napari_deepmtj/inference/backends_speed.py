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

from napari_deepmtj.inference.backends_cache import kept_figures

#: Pictures at a time that are tried. More do not pay on a CPU: what one layer hands to the next
#: no longer fits its caches.
BATCHES = (1, 2, 4, 8)
#: Seconds that one way is timed for, and after which no further way is tried.
TIMED_S, BUDGET_S = 0.1, 2.0
#: A larger batch is tried only while the last step made it this much faster.
WORTH = 1.03

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
    per_second : float
        Pictures a second, when it was probed; 0 where it was not.
    """

    threads: int
    batch: int
    per_second: float = 0.0


def cores() -> int:
    """Return how many threads may run at once: `OMP_NUM_THREADS`, else the cores given to us."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdigit() and int(asked) > 0:
        return int(asked)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def thread_counts(most: int) -> tuple[int, ...]:
    """Return the numbers of threads that are tried: one, half, all."""
    return tuple(sorted({1, max(1, most // 2), most}))


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
    """Try numbers of threads and of pictures at a time, and return the fastest way."""
    began = time.perf_counter()
    best = Way(threads[0], BATCHES[0])
    for count in threads:
        before = 0.0
        for batch in BATCHES:
            if best.per_second and time.perf_counter() - began > BUDGET_S:
                return best
            now = rate(prepare(count, batch))
            if now > best.per_second:
                best = Way(count, batch, now)
            if now < WORTH * before:
                break
            before = now
    return best


def rate(compute: Callable[[], int], seconds: float = TIMED_S) -> float:
    """Return pictures a second of the least disturbed of several runs, the first one left out."""
    compute()
    best, began = 0.0, time.perf_counter()
    while best == 0.0 or time.perf_counter() - began < seconds:
        start = time.perf_counter()
        pictures = compute()
        best = max(best, pictures / (time.perf_counter() - start))
    return best


def remembered(what: Mapping[str, Any], most: int, measure: Callable[[], Way]) -> Way:
    """Return the fastest way for `what` here, measured once on this kind of machine.

    Parameters
    ----------
    what : mapping
        JSON-able: backend, versions, network and size of its input.
    most : int
        Threads that may be used.
    measure : callable
        Probes.
    """
    key = {**what, "processor": processor(), "threads": most}
    figures = kept_figures(key, lambda: asdict(measure()))
    return Way(int(figures["threads"]), int(figures["batch"]), float(figures["per_second"]))
