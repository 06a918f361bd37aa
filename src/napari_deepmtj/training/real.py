"""Real pictures to learn from: composites of bellies with masks, and pictures without an MTJ.

Which pictures are learned from and which are kept out is decided by scanner and by clusters of
near-duplicates, never by picture; so frames of one recording are never on both sides.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from scipy.sparse.csgraph import connected_components

from napari_deepmtj.errors import DeepMTJError
from napari_deepmtj.phantom.anatomy import LABEL, LabelDefinition
from napari_deepmtj.phantom.composites import (
    MASK_SUFFIX,
    PICTURES,
    Belly,
    Wedge,
    composite,
    read_belly,
    read_grey,
)
from napari_deepmtj.training.mixture import StoredPictures

UInt8Array = npt.NDArray[np.uint8]
Split = Literal["training", "fit", "development"]

#: Height and width of stored pictures, pixels; those of `recipes.SceneSet`.
STORED = (192, 384)
#: Pictures are near-duplicates from this correlation of their thumbnails on.
ALIKE = 0.92
#: Side of those thumbnails, pixels.
_THUMBNAIL = 24
#: Of 100 clusters, how many are for the fit of the doubt and how many are never touched.
_FIT, _DEVELOPMENT = 14, 12


@dataclass(frozen=True)
class RealPicture:
    """A real picture without an MTJ, and if it has masks the belly that is made into one.

    Parameters
    ----------
    path : Path
        The file.
    kind : str
        Name of its folder.
    cluster : str
        Name of the first picture of its cluster of near-duplicates.
    split : {"training", "fit", "development"}
        What it is for.
    mm_per_px : float or None
        Millimetres a pixel, if known.
    belly : Belly or None
        Its aponeuroses, if they are masked and a wedge can be made.
    no_belly : DeepMTJError or None
        Why the mask that it has cannot be used.
    """

    path: Path
    kind: str
    cluster: str
    split: Split
    mm_per_px: float | None
    belly: Belly | None
    no_belly: DeepMTJError | None = None

    def read(self) -> UInt8Array:
        """Return the grey levels, shape (height, width)."""
        return read_grey(self.path)


def find_real(
    folder: Path,
    *,
    leave_out: Sequence[str] = (),
    no_wedge: Sequence[str] = (),
    scales: dict[tuple[int, int], float] | None = None,
    trims: dict[tuple[int, int], int] | None = None,
    held_out: Sequence[tuple[int, int]] = (),
) -> list[RealPicture]:
    """Read what a folder of real pictures holds.

    Parameters
    ----------
    folder : Path
        With one folder for each kind of picture; `NAME_aponeuroses.png` beside a picture masks
        its aponeuroses.
    leave_out : sequence of str
        Stems of pictures that are not used at all, such as those with a curve drawn over them.
    no_wedge : sequence of str
        Stems of pictures that are only used as they are.
    scales, trims : dict
        Millimetres a pixel, and columns to leave out at either side, of the screens of one size
        (width, height).
    held_out : sequence of (int, int)
        Sizes of the screens of scanners that are for development only.

    Raises
    ------
    DeepMTJError
        If there is no picture, or one cannot be read.
    """
    paths = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in PICTURES
        and not path.name.endswith(MASK_SUFFIX)
        and path.stem not in leave_out
    )
    if not paths:
        raise DeepMTJError("holds no pictures; give the folder of real pictures", path=folder)
    leaders = clusters(paths)
    pictures = []
    for path, leader in zip(paths, leaders, strict=True):
        with Image.open(path) as picture:
            size = picture.size
        scale = (scales or {}).get(size)
        mask = path.with_name(path.stem + MASK_SUFFIX)
        belly, no_belly = None, None
        if mask.exists() and path.stem not in no_wedge:
            try:
                belly = read_belly(path, mask, scale, trim_px=(trims or {}).get(size, 3))
            except DeepMTJError as error:
                no_belly = error
        split: Split = "development" if size in held_out else split_of(leader)
        kind = path.relative_to(folder).parts[0]
        pictures.append(RealPicture(path, kind, leader, split, scale, belly, no_belly))
    return pictures


def clusters(paths: Sequence[Path]) -> list[str]:
    """Return for each picture the name of the first picture that it is nearly the same as.

    Pictures are joined where their thumbnails correlate by `ALIKE` or more, in one orientation or
    mirrored, directly or through others.
    """
    rows = []
    for path in paths:
        small = Image.fromarray(read_grey(path)).resize(
            (_THUMBNAIL, _THUMBNAIL), Image.Resampling.BOX
        )
        grey = np.asarray(small, dtype=float)
        rows.append([_standard(grey), _standard(grey[:, ::-1])])
    thumbs = np.asarray(rows)
    straight, mirrored = thumbs[:, 0], thumbs[:, 1]
    alike = np.maximum(straight @ straight.T, straight @ mirrored.T) >= ALIKE
    _, labels = connected_components(alike, directed=False)
    first: dict[int, str] = {}
    return [first.setdefault(int(k), path.name) for k, path in zip(labels, paths, strict=True)]


def split_of(cluster: str) -> Split:
    """Return what a cluster is for: the same on every machine, by a hash of its name."""
    number = int(hashlib.sha256(cluster.encode()).hexdigest(), 16) % 100
    if number < _FIT:
        return "fit"
    return "development" if number < _FIT + _DEVELOPMENT else "training"


def make_composites(
    pictures: Sequence[RealPicture],
    n: int,
    seed: int,
    *,
    out_of_view: float = 0.1,
    label: LabelDefinition = LABEL,
) -> StoredPictures:
    """Make `n` stored composites of the bellies among real pictures.

    Clusters are drawn alike, whatever their size.

    Parameters
    ----------
    pictures : sequence of RealPicture
        Of one split.
    n, seed : int
        How many; all of them follow from the seed.
    out_of_view : float
        Share whose wedge closes beyond the picture.
    label : LabelDefinition
        Where the MTJ is.
    """
    by_cluster: dict[str, list[Belly]] = {}
    for picture in pictures:
        if picture.belly is not None:
            by_cluster.setdefault(picture.cluster, []).append(picture.belly)
    names = sorted(by_cluster)
    if not names:
        raise DeepMTJError("there is no belly with masks to make composites of")
    rng = np.random.default_rng(seed)
    made: list[_Crop] = []
    of: list[int] = []
    while len(made) < n:
        cluster = int(rng.integers(len(names)))
        group = by_cluster[names[cluster]]
        belly = group[int(rng.integers(len(group)))]
        belly = belly.mirrored() if rng.random() < 0.5 else belly
        in_view = rng.random() >= out_of_view
        whole = composite(belly, Wedge.sample(belly, rng, in_view=in_view), rng, label)
        if whole.xy is not None and whole.xy[1] * whole.mm_per_px < 2.0:
            continue  # the line runs along the picture's upper edge
        if in_view and whole.xy is None:
            continue
        made.append(stored_crop(whole.picture, whole.xy, whole.mm_per_px, rng))
        of.append(cluster)
    return replace(_stacked(made), cluster=torch.tensor(of))


def make_negatives(pictures: Sequence[RealPicture], n: int, seed: int) -> StoredPictures:
    """Cut `n` stored pictures out of real ones without an MTJ, clusters drawn alike."""
    by_cluster: dict[str, list[RealPicture]] = {}
    for picture in pictures:
        by_cluster.setdefault(picture.cluster, []).append(picture)
    names = sorted(by_cluster)
    if not names:
        raise DeepMTJError("there are no pictures without an MTJ")
    rng = np.random.default_rng(seed)
    made: list[_Crop] = []
    while len(made) < n:
        group = by_cluster[names[int(rng.integers(len(names)))]]
        picture = group[int(rng.integers(len(group)))]
        cut = picture.belly is not None and rng.random() < 0.8
        grey = picture.belly.picture if cut and picture.belly is not None else picture.read()
        grey = np.ascontiguousarray(grey[:, ::-1]) if rng.random() < 0.5 else grey
        scale = picture.mm_per_px or 60.0 / grey.shape[1]
        made.append(stored_crop(grey, None, scale, rng))
    return _stacked(made)


@dataclass(frozen=True)
class _Crop:
    picture: UInt8Array
    xy: tuple[float, float] | None
    mm_per_px: float


def stored_crop(
    picture: UInt8Array,
    xy: tuple[float, float] | None,
    mm_per_px: float,
    rng: np.random.Generator,
) -> _Crop:
    """Cut a picture to the stored size: a 2:1 part of it, or all of it between black borders.

    Parameters
    ----------
    picture : ndarray of uint8, shape (height, width)
        Grey levels.
    xy : (float, float) or None
        The MTJ in its pixels.
    mm_per_px : float
        Its scale.
    rng : numpy.random.Generator
        Draws the part.
    """
    rows, columns = STORED
    height, width = picture.shape
    if rng.random() < 0.4 or height < 0.4 * width:  # all of it
        size = max(width, height * columns / rows)
        left, top = (width - size) / 2, (height - size * rows / columns) / 2
    else:
        size = width * rng.uniform(0.6, 1.0)
        high = size * rows / columns
        left = rng.uniform(0, width - size)
        lowest = max(height - high, 0.0)
        top = rng.uniform(0, min(lowest, 0.35 * height))
        if xy is not None:
            left = float(np.clip(left, xy[0] - 0.95 * size, xy[0] - 0.15 * size))
            left = float(np.clip(left, 0, width - size))
            top = min(top, max(xy[1] - 0.12 * high, 0.0))
            top = max(top, xy[1] - 0.9 * high)
    step = size / columns
    box = (left, top, left + size, top + size * rows / columns)
    inside = (max(box[0], 0), max(box[1], 0), min(box[2], width), min(box[3], height))
    target = [round((inside[i] - box[i % 2]) / step) for i in range(4)]
    shape = (max(target[2] - target[0], 1), max(target[3] - target[1], 1))
    image = Image.fromarray(picture).resize(
        shape, Image.Resampling.LANCZOS if step < 1 else Image.Resampling.BOX, box=inside
    )
    stored = np.zeros((rows, columns), dtype=np.uint8)
    stored[target[1] : target[1] + shape[1], target[0] : target[0] + shape[0]] = np.asarray(image)
    moved = None
    if xy is not None:
        moved = ((xy[0] + 0.5 - left) / step - 0.5, (xy[1] + 0.5 - top) / step - 0.5)
        if not (0 <= moved[0] <= columns - 1 and 0 <= moved[1] <= rows - 1):
            moved = None
    return _Crop(stored, moved, mm_per_px * step)


def of_split(pictures: Sequence[RealPicture], split: Split, *kinds: str) -> list[RealPicture]:
    """Return the pictures of one split, of some kinds or of all."""
    return [p for p in pictures if p.split == split and (not kinds or p.kind in kinds)]


def without_wedge(pictures: Sequence[RealPicture]) -> list[RealPicture]:
    """Return the same pictures as they were recorded."""
    return [replace(picture, belly=None) for picture in pictures]


def _stacked(crops: Sequence[_Crop]) -> StoredPictures:
    xy = [(np.nan, np.nan) if crop.xy is None else crop.xy for crop in crops]
    return StoredPictures(
        torch.from_numpy(np.stack([crop.picture for crop in crops])),
        torch.from_numpy(np.nan_to_num(np.asarray(xy, dtype=np.float32), nan=0.0)),
        torch.tensor([crop.xy is not None for crop in crops]),
        torch.tensor([crop.mm_per_px for crop in crops], dtype=torch.float32),
    )


def _standard(grey: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return a picture as a vector of mean 0 and length 1."""
    vector = grey.ravel() - grey.mean()
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9))
