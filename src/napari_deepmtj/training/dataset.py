"""Rendered scenes on disk: made once, in chunks, by several processes, resumable.

Pictures are stored wider than the network's input together with every parameter of their
scene, so that crops, degradations and the label definition can change without rendering again.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from napari_deepmtj.core.jobs import Progress
from napari_deepmtj.errors import DeepMTJError
from napari_deepmtj.phantom.anatomy import LABEL, LabelDefinition, Scene, mtj_mm, sample_scenes
from napari_deepmtj.phantom.devices import outside_fan
from napari_deepmtj.phantom.families import FAMILIES, family_of
from napari_deepmtj.phantom.materials import sample_materials
from napari_deepmtj.phantom.negatives import render_nothing
from napari_deepmtj.phantom.speckle import render
from napari_deepmtj.training.recipes import CHUNK, SceneSet

#: Scenes rendered at a time; small ones stay in the processor's cache.
_AT_ONCE = 4
#: Chunks of one seed lie less far apart than those of two families.
FAMILY_STEP = 50_021


def without_calf(what: SceneSet, index: int) -> bool:
    """Whether a chunk is one of those, evenly spread over the set, without any calf."""
    return math.floor((index + 1) * what.nothing) > math.floor(index * what.nothing)


def render_chunk(what: SceneSet, index: int) -> tuple[Tensor, Tensor, Tensor]:
    """Render one chunk.

    Returns
    -------
    pictures : Tensor, uint8, shape (CHUNK, H, W)
    scenes : Tensor, float32, shape (CHUNK, n_fields)
        `Scene.to_table`; for pictures without a calf those of a scene that was not drawn.
    present : Tensor, bool, shape (CHUNK,)
        Whether the MTJ is in the picture.
    """
    family = family_of(what.family)
    # The same numbers would put the tips of two families at the same places.
    own = FAMILY_STEP * list(FAMILIES).index(family.name)
    rng = torch.Generator().manual_seed(what.seed * 1_000_003 + own + index)
    pictures, scenes, present = [], [], []
    nothing = without_calf(what, index)
    for _ in range(CHUNK // _AT_ONCE):
        beyond = float(torch.rand(1, generator=rng)) < what.out_of_view / (1 - what.nothing)
        aspect = what.height / what.width
        scene = sample_scenes(_AT_ONCE, rng, aspect=aspect, in_view=not beyond, family=family)
        if nothing:
            drawn = render_nothing(_AT_ONCE, what.height, what.width, rng, styles=what.styles)
            there = torch.zeros(_AT_ONCE, dtype=torch.bool)
        else:
            materials = sample_materials(
                _AT_ONCE, what.height, what.width, rng, styles=what.styles, family=family
            )
            drawn = render(scene, materials, what.height, what.width)
            x, z = mtj_mm(scene).unbind(1)
            depth = scene.width_mm * what.height / what.width
            there = (x >= 0) & (x <= scene.width_mm) & (z >= 0) & (z <= depth)
            there &= ~outside_fan(materials.device, x / scene.width_mm, z / depth)
        pictures.append(drawn)
        scenes.append(scene.to_table())
        present.append(there)
    return torch.cat(pictures), torch.cat(scenes), torch.cat(present)


def _write_chunk(task: tuple[SceneSet, int, Path]) -> int:
    what, index, folder = task
    torch.set_num_threads(1)
    pictures, scenes, present = render_chunk(what, index)
    target = folder / f"chunk-{index:05d}.npz"
    temporary = target.with_suffix(".tmp")
    with temporary.open("wb") as file:
        np.savez(file, pictures=pictures.numpy(), scenes=scenes.numpy(), present=present.numpy())
    temporary.replace(target)
    return index


def ensure_rendered(what: SceneSet, folder: Path, workers: int) -> Iterator[Progress]:
    """Render the chunks that `folder` lacks, in `workers` processes of one thread each.

    Raises
    ------
    DeepMTJError
        If the folder holds scenes of another kind.
    """
    folder.mkdir(parents=True, exist_ok=True)
    description = json.dumps(asdict(what) | {"count": None}, sort_keys=True)
    marker = folder / "scenes.json"
    if marker.exists() and marker.read_text(encoding="utf-8") != description:
        raise DeepMTJError("holds scenes of another recipe; choose another folder", path=folder)
    marker.write_text(description, encoding="utf-8")
    missing = [i for i in range(what.chunks) if not (folder / f"chunk-{i:05d}.npz").exists()]
    done = what.chunks - len(missing)
    yield Progress(done * CHUNK, what.chunks * CHUNK, "scene")
    if not missing:
        return
    # Spawned, not forked: a forked process inherits torch's locks in an unknown state.
    environment = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS",)}
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        with multiprocessing.get_context("spawn").Pool(workers) as pool:
            tasks = [(what, index, folder) for index in missing]
            for _ in pool.imap_unordered(_write_chunk, tasks):
                done += 1
                yield Progress(done * CHUNK, what.chunks * CHUNK, "scene")
    finally:
        for name, value in environment.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class RenderedScenes:
    """Random access to what `ensure_rendered` made.

    Parameters
    ----------
    what : SceneSet
        What was rendered.
    folder : Path
        Where it is.
    """

    def __init__(self, what: SceneSet, folder: Path) -> None:
        self.what = what
        pictures, scenes, present = [], [], []
        for index in range(what.chunks):
            with np.load(folder / f"chunk-{index:05d}.npz") as chunk:
                pictures.append(torch.from_numpy(chunk["pictures"]))
                scenes.append(torch.from_numpy(chunk["scenes"]))
                present.append(torch.from_numpy(chunk["present"]))
        self._pictures = pictures
        self.scene = Scene.from_table(torch.cat(scenes))
        self.present = torch.cat(present)
        self.mm_per_px = self.scene.width_mm / what.width

    @property
    def without_calf(self) -> Tensor:
        """Whether no calf was drawn, bool (n,)."""
        chunks = torch.tensor([without_calf(self.what, k) for k in range(self.what.chunks)])
        return chunks.repeat_interleave(CHUNK)

    def __len__(self) -> int:
        return len(self.present)

    def pictures(self, indices: Tensor) -> Tensor:
        """Return the pictures at `indices` (B,) as uint8 (B, H, W)."""
        return torch.stack([self._pictures[i // CHUNK][i % CHUNK] for i in indices.tolist()])

    def positions(self, label: LabelDefinition = LABEL) -> Tensor:
        """MTJ of every scene by a label definition, shape (n, 2), in stored pixels."""
        return mtj_mm(self.scene, label) / self.mm_per_px[:, None] - 0.5
