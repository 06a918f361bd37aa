"""How many threads compute on a CPU, and how many pictures at a time: fixed, so that runs repeat.

`NAPARI_DEEPMTJ_THREADS` and `NAPARI_DEEPMTJ_BACKEND` pin another choice on a machine.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from napari_deepmtj.errors import DeviceError

#: Environment variable naming how many threads compute, in place of the table's number.
THREADS_VARIABLE = "NAPARI_DEEPMTJ_THREADS"

#: Networks that compute a frame about as fast as one thread decodes it, so that decoding keeps a
#: core for itself. Others take all cores.
LIGHT = frozenset({"compact"})

#: Threads beyond which a light network gains nothing: its layers are too small to be shared out.
LIGHT_THREADS = 4

#: Pictures of one computation. With `compact` on one thread of the development machine, 1 to 8 cost
#: about the same processor time a frame (0.75 to 0.84 ms); more gain nothing.
PICTURES = 4


@dataclass(frozen=True, slots=True)
class Threads:
    """A way to compute on a CPU.

    Parameters
    ----------
    threads : int
        Threads of one computation.
    batch : int
        Pictures of one computation.
    """

    threads: int
    batch: int = PICTURES


def cores() -> int:
    """Return how many threads may run at once.

    `OMP_NUM_THREADS` if set, else the physical cores among those given to this process.
    """
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdigit() and int(asked) > 0:
        return int(asked)
    logical = os.cpu_count() or 1
    given = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else logical
    import psutil

    return max(1, min(given, psutil.cpu_count(logical=False) or given))


def threads_for(network: str) -> Threads:
    """Return how a network is computed here.

    Parameters
    ----------
    network : str
        Its name, as `WeightCard.network` has it.

    Raises
    ------
    DeviceError
        If `NAPARI_DEEPMTJ_THREADS` is set to no number of threads.
    """
    if asked := os.environ.get(THREADS_VARIABLE):
        if not asked.isdigit() or int(asked) < 1:
            raise DeviceError(
                f"{THREADS_VARIABLE} is {asked!r}; give a number of threads, 1 or more"
            )
        return Threads(int(asked))
    if network in LIGHT:
        return Threads(min(max(1, cores() - 1), LIGHT_THREADS))
    return Threads(cores())
