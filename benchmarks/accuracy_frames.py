"""What `accuracy.py` measures on: made-up clips as pieces in memory, and a model's word on them."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from napari_deepmtj.core.geometry import Roi, Scale
from napari_deepmtj.core.jobs import Done, Failed
from napari_deepmtj.core.trajectory import Trajectory
from napari_deepmtj.inference.predictor import track
from napari_deepmtj.inference.runner import Runner
from napari_deepmtj.inference.setup import TOLERANCE_MM
from napari_deepmtj.video.opening import VideoSource
from napari_deepmtj.video.stacks.stack import ArraySource
from napari_deepmtj.weights.store import Model, load_model

FloatArray = npt.NDArray[np.float64]
UInt8Array = npt.NDArray[np.uint8]

#: Clips of a subject, their length, and which of their frames are drawn.
CLIPS, LENGTH, FRAMES = 2, 60, (0, 19, 38, 57)


@dataclass(frozen=True)
class Piece:
    """Frames of one clip, and where the MTJ is in them.

    Attributes
    ----------
    name : str
        Subject and clip.
    subject, style : int
        Whose it is, and which of the device styles of its set drew it.
    frames : ndarray of uint8, shape (n, h, w)
    xy : ndarray, shape (n, 2)
        (x, y) in pixels; NaN where the MTJ is not in the picture.
    mm : tuple of float
        Millimetres per pixel on x and y.
    """

    name: str
    subject: int
    style: int
    frames: UInt8Array
    xy: FloatArray
    mm: tuple[float, float]


def draw_pieces(n_subjects: int, seed: int, styles: str, workers: int) -> list[Piece]:
    """Draw the clips of made-up subjects, in processes of one thread each."""
    tasks = [(n_subjects, seed, styles, number) for number in range(n_subjects)]
    if workers == 1:
        return [piece for task in tasks for piece in _draw(task)]
    os.environ["OMP_NUM_THREADS"] = "1"
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        return [piece for pieces in pool.imap(_draw, tasks, chunksize=2) for piece in pieces]


def _draw(task: tuple[int, int, Any, int]) -> list[Piece]:
    from napari_deepmtj.phantom import devices
    from napari_deepmtj.phantom.cohort import subjects

    n_subjects, seed, styles, number = task
    subject = subjects(n_subjects, seed, styles)[number]
    known = devices.styles(styles).axial_mm
    made = []
    for index in range(CLIPS):
        clip = subject.clip(index, n_frames=LENGTH)
        style = int((known - clip.device.axial_mm).abs().argmin())
        frames = np.stack([clip.read(frame) for frame in FRAMES])
        scale = clip.scale
        assert scale is not None
        mm = (scale.x_mm, scale.y_mm)
        xy = clip.truth[list(FRAMES)]
        made.append(Piece(f"{number}/{clip.name}", number, style, frames, xy, mm))
    return made


class Judge:
    """One model, made ready once.

    Parameters
    ----------
    name : str
        Id or file of the model.
    backend : str
        What computes it; see `inference.backends.select`.
    everywhere : bool
        Whether to give a position for every picture, also where it is called out of view.
    title : str, optional
        Name in tables; id and version by default.
    """

    def __init__(
        self, name: str, backend: str = "torch", *, everywhere: bool = False, title: str = ""
    ) -> None:
        self.name = name
        self.model: Model = load_model(name)
        card = self.model.card
        self.title = title or f"{card.id} {card.version}"
        if everywhere:
            card = self.model.card
            always = card.decoding | {"presence_threshold": 0.0}
            self.model = self.model.with_card(replace(card, decoding=always))
        self.runner = Runner(self.model, "cpu", 16, backend)

    def track(
        self, source: VideoSource, roi: str | Roi = "full", frames: range | None = None
    ) -> Trajectory:
        """Track a clip as `napari-deepmtj track` does."""
        for event in track(source, self.model, roi=roi, frames=frames, runner=self.runner):
            if isinstance(event, Failed):
                raise event.error
            if isinstance(event, Done):
                return event.result
        raise AssertionError("a job ends in Done or Failed")

    def judge(self, pieces: Iterable[Piece], *, scale_known: bool = True) -> pd.DataFrame:
        """Track pieces; return one row a frame.

        Columns: subject, style, present, in_view, confidence, dx, dy and error in mm, and the
        covariance in mm^2 as xx, xy, yy.
        """
        rows = []
        for piece in pieces:
            scale = Scale(*piece.mm, "phantom")
            source = ArraySource(piece.frames, piece.name, scale=scale if scale_known else None)
            table = self.track(source).table
            off = (table[["x_px", "y_px"]].to_numpy(float) - piece.xy) * piece.mm
            sd = table[["sd_x_px", "sd_y_px"]].to_numpy(float) * piece.mm
            rows.append(
                pd.DataFrame(
                    {
                        "subject": piece.subject,
                        "style": piece.style,
                        "present": np.isfinite(piece.xy[:, 0]),
                        "in_view": table["in_view"].to_numpy() > 0,
                        "confidence": table["confidence"].to_numpy(float),
                        "dx": off[:, 0],
                        "dy": off[:, 1],
                        "error": np.hypot(*off.T),
                        "xx": sd[:, 0] ** 2,
                        "xy": table["cov_xy_px2"].to_numpy(float) * piece.mm[0] * piece.mm[1],
                        "yy": sd[:, 1] ** 2,
                    }
                )
            )
        return pd.concat(rows, ignore_index=True)


def covariances(table: pd.DataFrame) -> FloatArray:
    """Return the covariances (n, 2, 2) in mm^2 of what `Judge.judge` returns."""
    xx, xy, yy = (table[name].to_numpy(float) for name in ("xx", "xy", "yy"))
    found: FloatArray = np.stack([xx, xy, xy, yy], axis=1).reshape(-1, 2, 2)
    return found


def summary(table: pd.DataFrame) -> dict[str, float]:
    """Errors of the frames with the MTJ in the picture that are called so, in mm; shares."""
    present = table[table["present"]]
    found = present[present["in_view"]]
    error = found["error"].to_numpy(float)
    some = len(error) > 0
    return {
        "frames": len(present),
        "subjects": present["subject"].nunique(),
        "missed": int((~present["in_view"]).sum()),
        "mean": float(error.mean()) if some else np.nan,
        "median": float(np.median(error)) if some else np.nan,
        "within": float((error <= TOLERANCE_MM).mean()) if some else np.nan,
        "absent": int((~table["present"]).sum()),
        "invented": int((table["in_view"] & ~table["present"]).sum()),
    }


def changed(pieces: Sequence[Piece], change: Any) -> list[Piece]:
    """Return pieces whose frames are changed, each by `change(picture, xy, mm) -> the same`.

    A change keeps or alters the size of all frames of a piece alike.
    """
    out = []
    for piece in pieces:
        states = [change(*state, piece.mm) for state in zip(piece.frames, piece.xy, strict=True)]
        frames, xy, mm = zip(*states, strict=True)
        out.append(replace(piece, frames=np.stack(frames), xy=np.stack(xy), mm=mm[0]))
    return out
