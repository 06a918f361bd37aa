"""Moving phantom clips with stretches that a sonographer would call lost, made once and kept.

Each clip has three stretches of a second, in an order drawn by lot: a shadow over the junction, a
plane tilted out, and a junction out of view, because the probe slid on or was lifted. Where the
MTJ truly is stays known. What methods make of them is `corrupted_clips.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage

from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.phantom.cohort import RATE, PhantomClip, Subject, subjects
from napari_deepmtj.phantom.negatives import render_nothing
from napari_deepmtj.video.stacks.stack import ArraySource

FloatArray = npt.NDArray[np.float64]

#: Frames of a clip (8 s), of a stretch (1 s), and at least between two.
N_FRAMES, STRETCH, BETWEEN = 200, 25, 22
#: Frames in which a shadow or a tilt comes, and in which a probe slides away.
RISE, SLIDE = 3, 8
#: What happens in a stretch.
CLEAN, SHADOW, TILT, OUT = 0, 1, 2, 3
#: Standard deviation of the noise that every frame has anew, in grey levels.
NOISE = 4.0


@dataclass(frozen=True)
class Made:
    """A clip and what is true of it.

    Attributes
    ----------
    source : ArraySource
        The pictures.
    truth : ndarray, shape (n, 2)
        (x, y) of the MTJ in frame pixels; NaN while it is out of view.
    kind : ndarray of int, shape (n,)
        `CLEAN`, `SHADOW`, `TILT` or `OUT`.
    slip_px : ndarray, shape (n,)
        How far the probe has slipped, along x.
    """

    source: ArraySource
    truth: FloatArray
    kind: npt.NDArray[np.int64]
    slip_px: FloatArray


def make(seed: int, number: int, folder: Path) -> Made:
    """Return clip `number` of those of `seed`; its tissue is drawn once and kept in `folder`."""
    rng = np.random.default_rng([seed, number])
    index, lifted = int(rng.integers(2)), bool(rng.random() < 0.5)
    kind, strength = _stretches(rng)
    subject = subjects(number + 1, seed)[number]
    clip = subject.clip(index, n_frames=N_FRAMES)
    if not lifted:
        clip = _sliding(subject, index, clip, kind == OUT)
    assert clip.scale is not None
    mm, truth = clip.scale.x_mm, clip.truth.copy()
    pictures = _pictures(clip, folder / f"{seed}_{number:03d}.npy").astype(np.float32)
    # Where the junction is, or would be.
    at = np.array([np.interp(np.arange(N_FRAMES), *_known(truth[:, axis])) for axis in (0, 1)]).T
    _shadow(pictures, at[kind == SHADOW].mean(axis=0), strength[SHADOW], mm, rng)
    _tilt(pictures, at, strength[TILT], mm, rng)
    if lifted:
        truth[kind == OUT] = np.nan
        grain = torch.Generator().manual_seed(int(rng.integers(2**31)))
        pictures[kind == OUT] = render_nothing(1, *pictures.shape[1:], grain)[0].numpy()
    assert np.isnan(truth[kind == OUT]).all()
    kind[np.isnan(truth[:, 0])] = OUT  # sliding, it passes the edge a few frames before and after
    for picture in pictures:
        picture += NOISE * rng.standard_normal(picture.shape, dtype=np.float32)
    side = -1.0 if clip.distal_side == "left" else 1.0
    source = ArraySource(
        pictures.clip(0, 255).round().astype(np.uint8),
        f"corrupted_{seed}_{number:03d}",
        times=FrameTimes.from_rate(N_FRAMES, RATE, "phantom"),
        scale=clip.scale,
        roi=clip.roi,
    )
    return Made(source, truth, kind, side * clip.course.slip_mm / mm)


def _pictures(clip: PhantomClip, path: Path) -> npt.NDArray[np.uint8]:
    """Return all frames of a clip, from the file if they are there."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        half_done = path.with_suffix(".part.npy")
        np.save(half_done, np.stack(list(clip.frames())))
        half_done.replace(path)
    drawn: npt.NDArray[np.uint8] = np.load(path)
    return drawn


def _stretches(
    rng: np.random.Generator,
) -> tuple[npt.NDArray[np.int64], dict[int, FloatArray]]:
    """Return the kind of each frame, and how strong (0 to 1) each kind is in each frame."""
    free = N_FRAMES - 3 * STRETCH - 4 * BETWEEN
    waits = BETWEEN + np.diff(np.r_[0, np.sort(rng.integers(0, free + 1, 3))])
    kind, ramps, frame = np.zeros(N_FRAMES, dtype=np.int64), {}, 0
    for what, wait in zip(rng.permutation([SHADOW, TILT, OUT]), waits, strict=True):
        frame += int(wait)
        kind[frame : frame + STRETCH] = what
        inside = np.minimum(np.arange(1, STRETCH + 1), np.arange(STRETCH, 0, -1))
        ramp = np.zeros(N_FRAMES)
        ramp[frame : frame + STRETCH] = np.minimum(inside / RISE, 1.0)
        ramps[int(what)] = ramp
        frame += STRETCH
    return kind, ramps


def _sliding(
    subject: Subject, index: int, plain: PhantomClip, out: npt.NDArray[np.bool_]
) -> PhantomClip:
    """Return the clip whose probe slides until the junction is beyond the nearer edge."""
    assert plain.scale is not None
    mm, last = plain.scale.x_mm, plain.width - 1
    x = plain.truth[:, 0]
    near_left = np.nanmean(x[out]) < last / 2
    furthest = np.nanmax(x[out]) if near_left else last - np.nanmin(x[out])
    way_mm = furthest * mm + 4.0
    side = -1.0 if plain.distal_side == "left" else 1.0
    first, stop = np.flatnonzero(out)[[0, -1]] + [0, 1]
    frames = np.arange(len(out))
    rise = np.clip((frames - (first - SLIDE)) / SLIDE, 0, 1)
    fall = np.clip((stop - 1 + SLIDE - frames) / SLIDE, 0, 1)
    share = np.minimum(rise, fall)
    share = share**2 * (3 - 2 * share)
    direction = -1.0 if near_left else 1.0
    return subject.clip(index, n_frames=len(out), slip_mm=side * direction * way_mm * share)


def _known(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    rows = np.flatnonzero(np.isfinite(values))
    return rows.astype(np.float64), values[rows]


def _shadow(
    pictures: npt.NDArray[np.float32],
    at: FloatArray,
    ramp: FloatArray,
    mm: float,
    rng: np.random.Generator,
) -> None:
    """Darken columns around `at`, as a hair or poor contact does: the shadow stands still."""
    half, edge = rng.uniform(3.0, 7.0) / mm, rng.uniform(0.5, 1.5) / mm
    middle = at[0] + rng.uniform(-2.0, 2.0) / mm
    away = np.abs(np.arange(pictures.shape[2]) - middle)
    profile = 1 / (1 + np.exp((away - half) / edge))
    depth = rng.uniform(80, 200)  # grey levels: 14 to 50 dB of what a screen shows
    for frame in np.flatnonzero(ramp):
        pictures[frame] = (pictures[frame] - depth * ramp[frame] * profile).clip(0)


def _tilt(
    pictures: npt.NDArray[np.float32],
    at: FloatArray,
    ramp: FloatArray,
    mm: float,
    rng: np.random.Generator,
) -> None:
    """Blur, flatten and decorrelate, as a plane does that is tilted away."""
    blur, flat = rng.uniform(0.5, 1.2) / mm, rng.uniform(0.3, 0.7)
    grain = rng.standard_normal(pictures.shape[1:])
    for frame in np.flatnonzero(ramp):
        part = ramp[frame]
        picture = ndimage.gaussian_filter(pictures[frame], [0.5 * blur * part, blur * part])
        picture = picture + flat * part * (picture.mean() - picture)
        # Speckle of another plane, whose tissue moves along too, and of yet another.
        moved = ndimage.shift(grain, (at[frame] - at[frame - 1])[::-1], order=1, mode="grid-wrap")
        moved /= moved.std()
        grain = 0.9 * moved + np.sqrt(1 - 0.9**2) * rng.standard_normal(grain.shape)
        speckle = ndimage.gaussian_filter(grain, [0.15 / mm, 0.35 / mm])
        pictures[frame] = picture * (1 + 0.15 * part * speckle / speckle.std())


if __name__ == "__main__":
    import argparse

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--clips", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for clip_number in range(asked.clips):
        made = make(asked.seed, clip_number, asked.folder)
        print(made.source.name, np.bincount(made.kind, minlength=4), flush=True)
