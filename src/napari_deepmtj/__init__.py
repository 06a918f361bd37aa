"""Track the muscle-tendon junction in B-mode ultrasound videos.

Importing this loads neither torch nor Qt nor a video library; public names load when used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from napari_deepmtj.version import __version__

if TYPE_CHECKING:
    from napari_deepmtj.core.geometry import Roi as Roi
    from napari_deepmtj.core.geometry import Scale as Scale
    from napari_deepmtj.core.trajectory import Trajectory as Trajectory
    from napari_deepmtj.errors import DeepMTJError as DeepMTJError
    from napari_deepmtj.inference.predictor import track as track
    from napari_deepmtj.results.trajectory_file import read_trajectory as read_trajectory
    from napari_deepmtj.results.trajectory_file import write_trajectory as write_trajectory
    from napari_deepmtj.video.opening import open_video as open_video
    from napari_deepmtj.weights.store import load_model as load_model

_PUBLIC = {
    "Roi": "core.geometry",
    "Scale": "core.geometry",
    "Trajectory": "core.trajectory",
    "DeepMTJError": "errors",
    "track": "inference.predictor",
    "open_video": "video.opening",
    "read_trajectory": "results.trajectory_file",
    "write_trajectory": "results.trajectory_file",
    "load_model": "weights.store",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(f"{__name__}.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
