"""The first import of torch, which is where a broken installation shows."""

from __future__ import annotations

import importlib

from napari_deepmtj.errors import DeviceError

_REMEDY = (
    "if this was inside napari on Windows, load torch before Qt: start napari with "
    '`python -c "import torch; from napari.__main__ import main; main()"`; else reinstall torch'
)


def require_torch() -> None:
    """Import torch, or say what to do.

    On Windows torch 2.9 and later may fail to load its libraries once Qt is loaded.

    Raises
    ------
    DeviceError
        If torch is installed but its libraries do not load, or if it is not installed.
    """
    try:
        importlib.import_module("torch")
    except OSError as error:
        raise DeviceError(f"torch cannot load its libraries ({error}); {_REMEDY}") from error
    except ImportError as error:
        raise DeviceError(f"torch cannot be imported ({error}); {_REMEDY}") from error
