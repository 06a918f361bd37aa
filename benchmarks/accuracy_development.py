"""The development set that decides which model ships: one line a model, real pictures only.

Stills in eight forms each, the clip, composites of pictures that no model has learned from, and
real pictures without an MTJ, some of a source that no model has learned from (`check`). REAL_TRAIN
is the folder of real pictures that training knows; only its `development` split is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.stats import spearmanr

from accuracy_frames import Judge
from accuracy_real import CUT, EVERY, PROXIMAL_UNTIL, REGION, STILLS, WITHOUT
from accuracy_spoil import Change, crop, flip, letterbox, level
from markdown_tables import markdown
from napari_deepmtj.core.geometry import Scale
from napari_deepmtj.training.mixture import StoredPictures
from napari_deepmtj.training.real import find_real, make_composites, make_negatives, of_split
from napari_deepmtj.training.sources import REAL_TRAIN
from napari_deepmtj.video.opening import open_video
from napari_deepmtj.video.stacks.stack import ArraySource

FloatArray = npt.NDArray[np.float64]

#: How many composites and pictures without an MTJ are made of the held-out sources, and the seed.
COMPOSITES, NEGATIVES, SEED = 400, 120, 43
#: A position given for a picture without an MTJ is believed from this confidence on.
BELIEVED = 0.5
TOLERANCE_MM = 5.0


def _larger(
    picture: npt.NDArray[np.uint8], xy: FloatArray, mm: tuple[float, float]
) -> tuple[npt.NDArray[np.uint8], FloatArray, tuple[float, float]]:
    """1.75 times as many pixels on each side."""
    h, w = picture.shape
    size = (round(1.75 * w), round(1.75 * h))
    factor = np.array(size) / [w, h]
    shown = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))
    return shown, (xy + 0.5) * factor - 0.5, (mm[0] / factor[0], mm[1] / factor[1])


def _noisy(
    picture: npt.NDArray[np.uint8], xy: FloatArray, mm: tuple[float, float]
) -> tuple[npt.NDArray[np.uint8], FloatArray, tuple[float, float]]:
    """Grey noise of 12 levels."""
    noise = np.random.default_rng(7).normal(0, 12, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8), xy, mm


FORMS: dict[str, Change] = {
    "mirror": flip,
    "gamma 0.7": partial(level, gamma=0.7),
    "gamma 1.4": partial(level, gamma=1.4),
    "crop": partial(crop, share=0.8, where=0.5),
    "pad": partial(letterbox, sides=0.15, ends=0.1),
    "1.75 x larger": _larger,
    "noise": _noisy,
    "half contrast": partial(level, contrast=0.5),
}


def development(judges: Sequence[Judge], data: Path, real_train: Path) -> str:
    """One line a model: stills, clip, composites, pictures without an MTJ, bias."""
    rows = [
        (
            f"{judge.title} `{judge.model.card.sha256[:8]}`",
            *_stills(judge, data),
            *_clip(judge, data),
            *_composites(judge, real_train),
            *_without(judge, data, real_train),
        )
        for judge in judges
    ]
    head = (
        *("model", "stills, mean (± SE)", "worst", "missed of 24"),
        *("bias a, b, c: distal; deep, mm", "clip missed of 44", "Spearman"),
        *("step back, px", "step, px"),
        *("composites within 5 mm of all", "MAE, mm (± SE)", "missed"),
        *("`check` refused", "believed", "held-out negatives refused", "believed"),
    )
    return markdown(head, rows)


def _stills(judge: Judge, data: Path) -> tuple[str, ...]:
    off, biases, missed = [], [], 0
    for name, (truth, _, px_per_mm) in STILLS.items():
        picture = np.asarray(Image.open(data / "mtj" / name).convert("L"))
        mm = (1 / px_per_mm,) * 2
        table = judge.track(ArraySource(picture[None], name)).table.iloc[0]
        distal = (table["x_px"] - truth[0]) / px_per_mm
        biases.append(f"{distal:+.1f}; {(table['y_px'] - truth[1]) / px_per_mm:+.1f}")
        for change in FORMS.values():
            shown, xy, scale = change(picture, np.array(truth), mm)
            row = judge.track(ArraySource(shown[None], name)).table.iloc[0]
            if row["in_view"] > 0:
                error = np.hypot((row["x_px"] - xy[0]) * scale[0], (row["y_px"] - xy[1]) * scale[1])
                off.append(float(error))
            else:
                missed += 1
    mean, error = np.mean(off), np.std(off) / np.sqrt(len(off))
    return f"{mean:.2f} ± {error:.2f} mm", f"{max(off):.1f}", str(missed), ", ".join(biases)


def _clip(judge: Judge, data: Path) -> tuple[str, ...]:
    with open_video(data / "mtj" / "mtj_clip.avi") as source:
        table = judge.track(source).table
    x = table["x_px"].to_numpy(float)
    first = x[: PROXIMAL_UNTIL + 1]
    order = spearmanr(np.arange(len(first)), first, nan_policy="omit").statistic
    steps = np.abs(np.diff(x))
    steps[CUT - 1] = np.nan
    missed = int((table["in_view"] == 0).sum())
    return (
        str(missed),
        f"{order:.3f}",
        f"{np.nanmax(np.diff(first)):.1f}",
        f"{np.nanmax(steps):.1f}",
    )


@cache
def _held_out(real_train: Path) -> tuple[StoredPictures, list[StoredPictures]]:
    real = find_real(real_train, **REAL_TRAIN)
    held = of_split(real, "development")
    kinds = sorted({picture.kind for picture in held})
    negatives = [make_negatives(of_split(held, "development", k), NEGATIVES, SEED) for k in kinds]
    return make_composites(held, COMPOSITES, SEED, out_of_view=0.0), negatives


def _composites(judge: Judge, real_train: Path) -> tuple[str, ...]:
    made, _ = _held_out(real_train)
    errors = []
    for number in range(len(made)):
        mm = float(made.mm_per_px[number])
        source = ArraySource(
            made.stored[number].numpy()[None], "composite", scale=Scale.isotropic(mm, "known")
        )
        row = judge.track(source).table.iloc[0]
        x, y = made.xy[number].tolist()
        errors.append(
            float(np.hypot(row["x_px"] - x, row["y_px"] - y)) * mm if row["in_view"] > 0 else np.nan
        )
    error = np.array(errors)
    there = error[np.isfinite(error)]
    return (
        f"{np.count_nonzero(error <= TOLERANCE_MM) / len(error):.1%}",
        f"{there.mean():.2f} ± {there.std() / np.sqrt(len(there)):.2f}",
        f"{np.isnan(error).mean():.1%}",
    )


def _without(judge: Judge, data: Path, real_train: Path) -> tuple[str, ...]:
    check: list[tuple[bool, bool]] = []
    for pattern in WITHOUT.values():
        for path in sorted(data.glob(pattern)):
            video = path.suffix == ".mp4"
            with open_video(path) as source:
                frames = range(0, source.n_frames, EVERY if video else 1)
                table = judge.track(source, REGION if video else "full", frames).table
            check += _refused(table)
    held: list[tuple[bool, bool]] = []
    for made in _held_out(real_train)[1]:
        for picture in made.stored.numpy():
            held += _refused(judge.track(ArraySource(picture[None], "negative")).table)
    return (*_shares(check), *_shares(held))


def _refused(table: object) -> list[tuple[bool, bool]]:
    """Return for each row whether it is called out of view, and whether it is believed."""
    rows = []
    for _, row in table.iterrows():  # type: ignore[attr-defined]
        refused = not row["in_view"] > 0
        flagged = "unfamiliar" in str(row["flags"])
        rows.append((refused, not refused and not flagged and row["confidence"] >= BELIEVED))
    return rows


def _shares(rows: Sequence[tuple[bool, bool]]) -> tuple[str, str]:
    refused, believed = np.array(rows).mean(axis=0)
    return f"{refused:.1%} of {len(rows)}", f"{believed:.1%}"
