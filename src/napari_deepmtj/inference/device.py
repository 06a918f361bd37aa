"""Which device computes. torch is asked only where there may be a GPU for it."""

from __future__ import annotations

import os
import platform
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from napari_deepmtj.errors import DeviceError
from napari_deepmtj.weights.runtime import require_torch

#: What drivers of GPUs that torch computes on leave on Linux (NVIDIA, WSL, ROCm).
_DRIVERS = ("/proc/driver/nvidia/version", "/dev/nvidiactl", "/dev/dxg", "/dev/kfd")


def resolve_device(spec: str = "auto") -> str:
    """Return the device asked for, or the best there is, as torch names it.

    Parameters
    ----------
    spec : str
        "auto" (CUDA, else Apple's MPS, else the CPU), "cuda", "cuda:N", "mps" or "cpu".

    Raises
    ------
    DeviceError
        If the device is unknown or absent, or torch is needed and cannot be loaded.
    """
    kind, _, index = spec.partition(":")
    if spec == "cpu" or (spec == "auto" and not gpu_possible()):
        return "cpu"
    if spec != "auto" and (
        kind not in ("cuda", "mps") or (index and (kind != "cuda" or not index.isdigit()))
    ):
        raise DeviceError(f"the device {spec!r} is unknown; choose auto, cuda, cuda:N, mps or cpu")
    require_torch()
    import torch

    if spec == "auto":
        kind = "cuda" if torch.cuda.is_available() else "mps" if _has_mps() else "cpu"
    if kind == "cuda":
        if not torch.cuda.is_available():
            raise DeviceError(
                "there is no CUDA device that torch can use; choose --device auto or cpu, or "
                "install a CUDA build of torch"
            )
        count = torch.cuda.device_count()
        if int(index or 0) >= count:
            raise DeviceError(f"there is no {spec}; the last CUDA device is cuda:{count - 1}")
    if kind == "mps" and not _has_mps():
        raise DeviceError("there is no MPS device that torch can use; choose --device auto or cpu")
    return f"{kind}:{index}" if index else kind


@cache
def gpu_possible() -> bool:
    """Return True if this machine may have a GPU that the installed torch computes on."""
    try:
        if version("torch").endswith("+cpu"):
            return False
    except PackageNotFoundError:
        return False
    if sys.platform == "darwin":
        return platform.machine() == "arm64"
    if sys.platform == "win32":
        return (Path(os.environ.get("SYSTEMROOT", r"C:\Windows")) / "System32/nvcuda.dll").exists()
    return any(Path(driver).exists() for driver in _DRIVERS)


def _has_mps() -> bool:
    import torch

    return torch.backends.mps.is_available()
