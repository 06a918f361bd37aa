"""What a machine has that speed depends on: cores, instruction sets, memory, versions."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

#: Instruction sets that the libraries used here have code for.
SETS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "neon")

#: What the figures depend on.
LIBRARIES = ("torch", "onnxruntime", "av", "numpy", "opencv-python-headless")


def features() -> str:
    """Return one sentence: processor, cores, instruction sets, memory, versions."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    sets = [name for name in SETS if name in _flags()]
    import psutil

    memory = psutil.virtual_memory().total / 2**30
    libraries = []
    for name in LIBRARIES:
        try:
            libraries.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            libraries.append(f"no {name}")
    return (
        f"{cores} cores ({platform.machine()}; {', '.join(sets) or 'instruction sets unknown'}), "
        f"{memory:.0f} GB of memory, Python {platform.python_version()}, {', '.join(libraries)}"
    )


def _flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()
    named = (line for line in lines if line.startswith(("flags", "Features")))
    return set(next(named, "").partition(":")[2].split())
