"""Moving composites, and composites written as files with their truth.

The wedge travels, muscle and tendon go along, soleus follows in part; so clips with real speckle
have an MTJ that is known in every frame.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from napari_deepmtj.core.atomic import atomic_write
from napari_deepmtj.core.geometry import Roi, Scale
from napari_deepmtj.core.jobs import Done, Failed, Notice, Progress
from napari_deepmtj.core.labels import PHANTOM, Label
from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.errors import DeepMTJError
from napari_deepmtj.labels.table import labels_path, write_labels
from napari_deepmtj.phantom.cohort import RATE
from napari_deepmtj.phantom.composites import (
    Belly,
    Displacement,
    Wedge,
    composite,
    mtj_of,
    read_bellies,
)
from napari_deepmtj.phantom.motion import Movement, course
from napari_deepmtj.video.opening import open_video
from napari_deepmtj.video.sidecar import ClipInfo, DistalSide, write_sidecar
from napari_deepmtj.video.source import BaseSource
from napari_deepmtj.video.writer import VideoWriter

FloatArray = npt.NDArray[np.float64]


class CompositeClip(BaseSource):
    """A composite that moves, drawn frame by frame when asked; distal is to the right.

    Parameters
    ----------
    belly : Belly
        The picture it is made of.
    seed : int
        From which wedge and movement follow.
    n_frames : int
        Length, at 25 frames a second.
    movement : Movement
        Passive range of motion, or a contraction.

    Attributes
    ----------
    truth : ndarray of float64, shape (n_frames, 2)
        (x, y) of the MTJ in frame pixels; NaN where it is outside the picture.
    """

    def __init__(
        self, belly: Belly, seed: int, n_frames: int, movement: Movement = Movement.PASSIVE_ROM
    ) -> None:
        rng = np.random.default_rng(seed)
        times = FrameTimes.from_rate(n_frames, RATE, "composite")
        drawn = course(movement, times.seconds, rng)
        wedge = Wedge.sample(belly, rng)
        width = belly.picture.shape[1] * belly.mm_per_px
        # the whole way of the tip lies in the picture, as whoever holds the probe sees to
        low, high = 0.2 * width - drawn.tip_mm.min(), 0.92 * width - drawn.tip_mm.max()
        tip = rng.uniform(low, high) if low < high else (low + high) / 2
        self._belly, self._grain = belly, int(rng.integers(2**31))
        self._soleus_mm = drawn.soleus_mm
        self._moved_mm = drawn.tip_mm
        self._wedges = [
            replace(wedge, tip_mm=float(tip + way), slope=float(wedge.slope * gain))
            for way, gain in zip(drawn.tip_mm, drawn.slope_gain, strict=True)
        ]
        between = belly.deep.bottom - belly.superficial.bottom
        self._rows = int(belly.picture.shape[0] - np.ceil(between.max()))
        super().__init__(
            f"{Path(belly.name).stem}_{movement.value}",
            None,
            self._rows,
            belly.picture.shape[1],
            times,
            scale=Scale.isotropic(belly.mm_per_px, "composite"),
            metadata={"composite": belly.name, "seed": seed},
        )
        self.roi = Roi(0, 0, self.width, self.height, "composite")
        self.distal_side: DistalSide = "right"
        places = [mtj_of(belly, each) for each in self._wedges]
        self.truth: FloatArray = np.array([(np.nan, np.nan) if p is None else p for p in places])
        self.truth[(self.truth[:, 1] > self.height - 1)] = np.nan

    def labels(self, clip: str, clip_sha256: str) -> list[Label]:
        """Return the truth as labels of the file it was written to."""
        return labels_of(self.truth, self.times, clip, clip_sha256)

    def _read(self, frame: int) -> npt.NDArray[np.uint8]:
        return composite(
            self._belly,
            self._wedges[frame],
            np.random.default_rng(self._grain),
            moved=Displacement(float(self._moved_mm[frame]), float(self._soleus_mm[frame])),
            rows=self._rows,
        ).picture

    def _hash(self) -> str:
        digest = hashlib.sha256(self._belly.picture.tobytes())
        digest.update(f"{self._grain} {[astuple(wedge) for wedge in self._wedges]}".encode())
        return digest.hexdigest()


def labels_of(truth: FloatArray, times: FrameTimes, clip: str, clip_sha256: str) -> list[Label]:
    """Return positions (n, 2), NaN where not in view, as labels of a clip's frames."""
    return [
        Label(
            clip=clip,
            clip_sha256=clip_sha256,
            frame=frame,
            time_s=float(times.seconds[frame]),
            x_px=None if np.isnan(x) else float(x),
            y_px=None if np.isnan(x) else float(y),
            annotator=PHANTOM,
        )
        for frame, (x, y) in enumerate(truth)
    ]


def write_composites(
    folder: Path, out: Path, *, stills: int, clips: int, seed: int, n_frames: int = 60
) -> Generator[Progress | Notice | Done[list[Path]] | Failed, None, None]:
    """Write composites of the bellies in a folder, each with its scale and its truth beside it.

    Parameters
    ----------
    folder : Path
        Pictures and masks, see `composites.read_bellies`.
    out : Path
        Gets `composite_0001.png` and `composite_clip_0001.avi`, and so on.
    stills, clips : int
        How many of either; bellies take turns in a drawn order.
    seed : int
        From which all of them follow.
    n_frames : int
        Length of a clip, at 25 frames a second.

    Yields
    ------
    Notice
        For each picture that cannot be used, with the reason.
    Progress
        In files.
    Done of list of Path, or Failed
        What was written, last.
    """
    written: list[Path] = []
    try:
        bellies, unusable = read_bellies(folder)
        for error in unusable:
            yield Notice(f"left out: {error}")
        out.mkdir(parents=True, exist_ok=True)
        _refuse_taken(out)
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(bellies))
        for number in range(stills + clips):
            belly = bellies[order[number % len(bellies)]]
            belly = belly.mirrored() if rng.random() < 0.5 else belly
            if number < stills:
                path = out / f"composite_{number + 1:04d}.png"
                _write_still(belly, rng, path)
            else:
                path = out / f"composite_clip_{number - stills + 1:04d}.avi"
                movement = list(Movement)[number % len(Movement)]
                clip = CompositeClip(belly, int(rng.integers(2**31)), n_frames, movement)
                _write_clip(clip, path)
            written.append(path)
            yield Progress(len(written), stills + clips, "file", path.name)
        yield Done(written)
    except DeepMTJError as error:
        yield Failed(error)


def _refuse_taken(out: Path) -> None:
    taken = [path.name for path in out.glob("composite_*") if path.suffix in (".png", ".avi")]
    if taken:
        raise DeepMTJError(
            f"holds composites already ({min(taken)}); choose another folder", path=out
        )


def _write_still(belly: Belly, rng: np.random.Generator, path: Path) -> None:
    made = composite(belly, Wedge.sample(belly, rng), rng)
    picture = Image.fromarray(made.picture)
    atomic_write(path, lambda file: picture.save(file, "PNG"))
    truth = np.array([(np.nan, np.nan) if made.xy is None else made.xy])
    _write_beside(path, made.mm_per_px, made.picture.shape, truth)


def _write_clip(clip: CompositeClip, path: Path) -> None:
    with VideoWriter(path, clip.height, clip.width, RATE) as writer:
        for frame in clip.frames():
            writer.add(frame)
    scale = clip.scale
    assert scale is not None
    _write_beside(path, scale.x_mm, (clip.height, clip.width), clip.truth)


def _write_beside(path: Path, mm_per_px: float, shape: tuple[int, ...], truth: FloatArray) -> None:
    roi = Roi(0, 0, shape[1], shape[0], "composite")
    scale = Scale.isotropic(mm_per_px, "composite")
    write_sidecar(path, ClipInfo(scale, roi, "right"))
    with open_video(path) as source:
        labels = labels_of(truth, source.times, path.name, source.sha256)
    write_labels(labels_path(path), labels)
