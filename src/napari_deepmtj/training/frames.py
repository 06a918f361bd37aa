"""Labelled frames on disk, cut once to the picture that networks learn from; random access.

A cut is kept by what it is made from: content of the clip, how a person says to read its grey
levels, frames, region, aspect and size. What it is labelled as is not part of it, so labels can
move without cutting again. Geometry is `core.geometry.PixelMap` alone.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from napari_deepmtj.calibration.roi import resolve_roi
from napari_deepmtj.core.atomic import atomic_write
from napari_deepmtj.core.geometry import PixelMap
from napari_deepmtj.core.jobs import Done, Failed, Notice, Progress
from napari_deepmtj.errors import DeepMTJError, LabelError, VideoError
from napari_deepmtj.inference.preprocess import to_network_input
from napari_deepmtj.labels.labelled import LabelledClip
from napari_deepmtj.video.opening import VideoSource

UInt8Array = npt.NDArray[np.uint8]

#: Height and width of stored frames: P20's crop (Leitner et al. 2020,
#: doi:10.1109/EMBC44109.2020.9176145).
STORED = (256, 512)

#: Columns of `FrameStore.table`, one row a labelled frame. Positions are in stored pixels and NaN
#: where not visible; mm_x and mm_y are millimetres per stored pixel, NaN without a scale; top,
#: left, height and width say where the picture lies in the black frame around it.
FRAME_COLUMNS = (
    *("clip", "clip_sha256", "subject", "frame", "x", "y", "visible", "mm_x", "mm_y"),
    *("top", "left", "height", "width", "cut", "row"),
)

#: Changes with whatever changes the grey levels of a cut.
_VERSION = 1


def stored_size(height: int, width: int) -> tuple[int, int]:
    """Return the size of stored frames for an input of `height` x `width`: of the same aspect.

    A picture then fills as much of the input as it does when it is tracked.
    """
    return STORED[0], round(STORED[0] * width / height)


@dataclass(frozen=True)
class FrameStore:
    """Labelled frames that are cut and on disk.

    Parameters
    ----------
    folder : Path
        Where the cuts are.
    table : pandas.DataFrame
        `FRAME_COLUMNS`, the clips in the order given, each with its frames ascending.
    size : (int, int)
        Height and width of a stored frame.
    """

    folder: Path
    table: pd.DataFrame
    size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.table)

    @property
    def xy(self) -> npt.NDArray[np.float64]:
        """Positions, shape (n, 2) as (x, y) in stored pixels, NaN where not visible."""
        found: npt.NDArray[np.float64] = self.table[["x", "y"]].to_numpy(np.float64)
        return found

    @property
    def visible(self) -> npt.NDArray[np.bool_]:
        """Whether the MTJ was seen in each frame, shape (n,)."""
        seen: npt.NDArray[np.bool_] = self.table["visible"].to_numpy(np.bool_)
        return seen

    @property
    def mm_per_px(self) -> npt.NDArray[np.float64]:
        """Millimetres per stored pixel on x and y, shape (n, 2); NaN without a scale."""
        scale: npt.NDArray[np.float64] = self.table[["mm_x", "mm_y"]].to_numpy(np.float64)
        return scale

    @property
    def content(self) -> npt.NDArray[np.int64]:
        """Top, left, height and width of the pictures in their black frames, shape (n, 4)."""
        box: npt.NDArray[np.int64] = self.table[["top", "left", "height", "width"]].to_numpy(
            np.int64
        )
        return box

    @property
    def fingerprint(self) -> str:
        """Hash of which frames of whose recordings were cut, labelled and calibrated how."""
        columns = ["clip_sha256", "subject", "frame", "x", "y", "mm_x", "mm_y", "cut"]
        rows = self.table[columns].sort_values(["clip_sha256", "frame"])
        return hashlib.sha256(rows.to_csv(index=False, float_format="%.6f").encode()).hexdigest()

    def pictures(self, indices: Sequence[int] | npt.NDArray[np.int64]) -> UInt8Array:
        """Return the frames at rows of the table, shape (B, H, W), grey levels."""
        out = np.empty((len(indices), *self.size), np.uint8)
        cuts, rows = self.table["cut"].to_numpy(), self.table["row"].to_numpy()
        for place, index in enumerate(indices):
            path = self.folder / f"{cuts[index]}.npy"
            try:
                out[place] = np.load(path, mmap_mode="r")[rows[index]]
            except (OSError, EOFError, ValueError) as error:
                raise VideoError(
                    f"cannot be read ({error}); delete it and start again, it is then cut anew",
                    path=path,
                ) from error
        return out

    def where(self, subjects: Iterable[str]) -> npt.NDArray[np.int64]:
        """Return the rows of some subjects."""
        return np.flatnonzero(self.table["subject"].isin(set(subjects)))


def cut(
    clips: Sequence[LabelledClip],
    folder: Path,
    *,
    size: tuple[int, int] = STORED,
    stretch: bool = False,
    workers: int = 1,
) -> Generator[Progress | Notice | Done[FrameStore] | Failed]:
    """Cut the labelled frames that a folder lacks, and say where all of them are.

    Parameters
    ----------
    clips : sequence of LabelledClip
        In any order; the table keeps it.
    folder : Path
        Of the store; several sets of clips may share one.
    size : (int, int)
        Height and width of the stored frames.
    stretch : bool
        As in `PixelMap.fit`.
    workers : int
        Processes; above 1 for clips that are made as they are read.

    Yields
    ------
    Progress
        In labelled frames.
    Notice
        What a person must be told, once each, with the clips that it is of.
    Done of FrameStore, or Failed
        Last.
    """
    total = sum(len(clip.labels) for clip in clips)
    tasks = [_Task(clip, folder, size, stretch) for clip in clips]
    tables, done = [], 0
    told: dict[str, list[str]] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _carried_out(tasks, workers) as results:
            for clip, (table, notices) in zip(clips, results, strict=True):
                tables.append(table)
                done += len(table)
                for text in notices:
                    told.setdefault(text, []).append(clip.name)
                yield Progress(done, total, "labelled frame")
        for text, names in told.items():
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            yield Notice(f"{names[0]}{more}: {text}")
        if not tables:
            raise LabelError("there is no labelled clip")
        yield Done(FrameStore(folder, pd.concat(tables, ignore_index=True), size))
    except DeepMTJError as error:
        yield Failed(error)
    except OSError as error:
        said = error.strerror or error
        yield Failed(
            DeepMTJError(
                f"cannot be written to ({said}); choose a writable folder with space", path=folder
            )
        )


@dataclass(frozen=True)
class _Task:
    """One clip to be cut."""

    clip: LabelledClip
    folder: Path
    size: tuple[int, int]
    stretch: bool


@contextmanager
def _carried_out(
    tasks: Sequence[_Task], workers: int
) -> Iterator[Iterator[tuple[pd.DataFrame, tuple[str, ...]]]]:
    """Give the results of tasks in order, made here or by processes of one thread each."""
    if workers == 1 or len(tasks) == 1:
        yield map(_cut_clip, tasks)
        return
    # Spawned, not forked: a forked process inherits torch's locks in an unknown state.
    with (
        _one_thread(),
        multiprocessing.get_context("spawn").Pool(min(workers, len(tasks))) as pool,
    ):
        yield pool.imap(_cut_clip, tasks, chunksize=4)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let processes that are started compute in one thread each."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before


def _cut_clip(task: _Task) -> tuple[pd.DataFrame, tuple[str, ...]]:
    clip = task.clip
    with clip.open() as source:
        if source.sha256 != clip.sha256:
            raise LabelError("was changed since it was labelled", path=clip.name)
        if clip.frames[-1] >= source.n_frames:
            raise LabelError(
                f"is labelled, but the last frame is {source.n_frames - 1}",
                path=clip.name,
                frame=clip.frames[-1],
            )
        roi, notices = resolve_roi(clip.roi, source)
        pixel_map = PixelMap.fit(roi, *task.size, source.scale, stretch=task.stretch)
        key = _key(clip, source, pixel_map)
        path = task.folder / f"{key}.npy"
        if not _is_whole(path, (len(clip.labels), *task.size)):
            pictures = np.stack(
                [
                    to_network_input(source.read(frame)[roi.slices], pixel_map)
                    for frame in clip.frames
                ]
            )
            atomic_write(path, lambda file: np.save(file, pictures, allow_pickle=False))
        return _table(clip, source, pixel_map, key), notices


def _key(clip: LabelledClip, source: VideoSource, pixel_map: PixelMap) -> str:
    """Return the name of a cut, a function of everything that decides its grey levels."""
    roi = pixel_map.roi
    box = (pixel_map.top, pixel_map.left, pixel_map.content_height, pixel_map.content_width)
    size = (pixel_map.out_height, pixel_map.out_width)
    facts: tuple[object, ...] = (_VERSION, clip.sha256, clip.frames, str(roi), box, size)
    if source.metadata.get("colour_range_from") == "override":  # a side-car says so, not the file
        facts += (source.metadata["colour_range"],)
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


def _is_whole(path: Path, shape: tuple[int, ...]) -> bool:
    """Whether a cut is there, with all of its bytes."""
    try:
        there = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return False
    return bool(there.shape == shape and there.dtype == np.uint8)


def _table(clip: LabelledClip, source: VideoSource, pixel_map: PixelMap, key: str) -> pd.DataFrame:
    xy = np.array(
        [(label.x_px, label.y_px) if label.visible else (np.nan, np.nan) for label in clip.labels],
        dtype=np.float64,
    )
    stored = pixel_map.to_network(xy)
    scale = source.scale
    per_px = [np.nan] * 2 if scale is None else [scale.x_mm, scale.y_mm] / pixel_map.factors
    n = len(clip.labels)
    return pd.DataFrame(
        {
            "clip": [clip.name] * n,
            "clip_sha256": [clip.sha256] * n,
            "subject": [clip.subject] * n,
            "frame": clip.frames,
            "x": stored[:, 0],
            "y": stored[:, 1],
            "visible": [label.visible for label in clip.labels],
            "mm_x": [per_px[0]] * n,
            "mm_y": [per_px[1]] * n,
            "top": [pixel_map.top] * n,
            "left": [pixel_map.left] * n,
            "height": [pixel_map.content_height] * n,
            "width": [pixel_map.content_width] * n,
            "cut": [key] * n,
            "row": range(n),
        },
        columns=list(FRAME_COLUMNS),
    )
