"""Where the time of tracking goes: all threads are looked at many times a second.

What a thread is at is told by the innermost of this package's functions that it is in. Native code
counts for the function that called it.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from types import FrameType

#: Seconds between two looks.
EVERY = 0.002

#: Part of a file's name, names of functions (all if empty), and what that is; the first that fits.
PARTS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("inference/backends", (), "network"),
    ("inference/accelerator", (), "network"),
    ("inference/decode", (), "decode of the maps"),
    ("inference/peak", (), "decode of the maps"),
    ("inference/published", (), "decode of the maps"),
    ("inference/preprocess", ("to_network_inputs",), "resize"),
    ("napari_deepmtj/video/", (), "decode of the clip"),
    ("inference/reading", (), "crop and queue"),
    ("inference/prefetch", (), "crop and queue"),
    ("core/trajectory", (), "table of results"),
    ("inference/", (), "everything else"),
)

#: Files in which a thread waits for another.
_WAITING = ("threading.py", "queue.py")


def shares(work: Callable[[], object]) -> dict[str, float]:
    """Return which share of the busy time of all threads each part takes while `work` runs."""
    seen: Counter[str] = Counter()
    stop = threading.Event()

    def look() -> None:
        own = threading.get_ident()
        while not stop.is_set():
            for thread, frame in sys._current_frames().items():
                if thread != own and (part := part_of(frame)) is not None:
                    seen[part] += 1
            time.sleep(EVERY)

    looking = threading.Thread(target=look, name="profile", daemon=True)
    looking.start()
    try:
        work()
    finally:
        stop.set()
        looking.join()
    total = seen.total()
    return {part: count / total for part, count in seen.most_common()}


def part_of(frame: FrameType | None) -> str | None:
    """Return what a thread is at; None where it waits, or is at something else."""
    if frame is not None and frame.f_code.co_filename.endswith(_WAITING):
        return None
    while frame is not None:
        file = frame.f_code.co_filename.replace("\\", "/")
        for place, functions, part in PARTS:
            if place in file and (not functions or frame.f_code.co_name in functions):
                return part
        frame = frame.f_back
    return None
