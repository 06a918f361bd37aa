"""The state of a run on disk, whole or not at all: tensors by part, and plain data beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from napari_deepmtj.core.atomic import atomic_path
from napari_deepmtj.errors import DeepMTJError

#: Name of the file in a run's folder.
NAME = "checkpoint.safetensors"

#: Part -> name -> tensor.
Parts = dict[str, dict[str, Tensor]]


def write_checkpoint(
    path: Path, identity: str, parts: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any]
) -> None:
    """Write everything that a run goes on from: temporary file, fsync, replace.

    Parameters
    ----------
    path : Path
        The file.
    identity : str
        What the run is known by; a run of another identity refuses the file.
    parts : mapping
        Tensors of any device.
    state : mapping
        JSON.
    """
    tensors = {
        f"{part}.{name}": value.detach().cpu().contiguous().clone()
        for part, named in parts.items()
        for name, value in named.items()
    }
    metadata = {"identity": identity, "state": json.dumps(dict(state))}
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata=metadata)


def read_checkpoint(path: Path, identity: str) -> tuple[Parts, dict[str, Any]]:
    """Read what `write_checkpoint` wrote.

    Raises
    ------
    DeepMTJError
        If it is damaged or of another run.
    """
    try:
        with safe_open(path, framework="pt") as opened:
            metadata = opened.metadata() or {}
            if metadata.get("identity") != identity:
                raise ValueError("its recipe or its data differ")  # noqa: TRY301
            parts: Parts = {}
            for name in opened.keys():  # noqa: SIM118 - it is no mapping
                part, _, rest = name.partition(".")
                # A copy: the file stays mapped, and on Windows locked, as long as tensors live.
                parts.setdefault(part, {})[rest] = opened.get_tensor(name).clone()
        return parts, json.loads(metadata["state"])
    except (OSError, KeyError, ValueError, RuntimeError, SafetensorError) as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception) -> DeepMTJError:
    """Return the error of a checkpoint that a run cannot go on from."""
    return DeepMTJError(
        f"belongs to another run or is damaged ({error}); choose another folder, or another name "
        "for the model",
        path=path,
    )


def moments_of(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return an optimiser's memory as named tensors."""
    return {
        f"{index}.{name}": value
        for index, moments in optimiser.state_dict()["state"].items()
        for name, value in moments.items()
        if isinstance(value, Tensor)
    }


def restore_moments(optimiser: torch.optim.Optimizer, saved: Mapping[str, Tensor]) -> None:
    """Give an optimiser its memory back, laid out as its parameters are.

    Sums over another memory layout may round otherwise, and the run would not be the same.
    """
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in saved.items():
        index, _, key = name.partition(".")
        like = parameters[int(index)]
        laid_out = value
        if value.shape == like.shape:
            laid_out = torch.empty_like(like.detach(), device="cpu").copy_(value)
        moments.setdefault(int(index), {})[key] = laid_out
    optimiser.load_state_dict(optimiser.state_dict() | {"state": moments})
