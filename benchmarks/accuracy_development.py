"""The development set that decides which model ships: one line a model, real pictures only.

Stills in eight forms each, the clip, composites of pictures that no model has learned from, and
real pictures without an MTJ, some of a source that no model has learned from (`check`). REAL_TRAIN
is the folder of real pictures that training knows; only its `development` split is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image
from scipy.stats import spearmanr

import accuracy_phantom
import unfamiliar
from accuracy_frames import Judge, Piece
from accuracy_real import CUT, EVERY, PROXIMAL_UNTIL, REGION, STILLS, WITHOUT
from accuracy_spoil import Change, State, crop, flip, letterbox, level
from markdown_tables import markdown
from napari_deepmtj.evaluation.bootstrap import bootstrap
from napari_deepmtj.inference.setup import TOLERANCE_MM
from napari_deepmtj.training.mixture import StoredPictures
from napari_deepmtj.training.real import (
    RealPicture,
    find_real,
    make_composites,
    make_negatives,
    of_split,
)
from napari_deepmtj.training.sources import REAL_TRAIN
from napari_deepmtj.video.opening import open_video
from napari_deepmtj.video.stacks.stack import ArraySource

FloatArray = npt.NDArray[np.float64]
UInt8Array = npt.NDArray[np.uint8]

#: How many composites and pictures without an MTJ are made of the held-out sources, and the seed.
COMPOSITES, NEGATIVES, SEED = 400, 120, 43
#: Of these composites, on how many the nuisances and the stress are tried.
NUISANCE_COMPOSITES = 100
#: A position given for a picture without an MTJ is believed from this confidence on.
BELIEVED = 0.5
#: Names of the kinds of held-out pictures without an MTJ, by folder.
KINDS = {"dltrack": "calf and thigh", "usgra": "nerves, vessels", "rf": "rectus femoris"}


def _larger(picture: UInt8Array, xy: FloatArray, mm: tuple[float, float]) -> State:
    """1.75 times as many pixels on each side."""
    h, w = picture.shape
    size = (round(1.75 * w), round(1.75 * h))
    factor = np.array(size) / [w, h]
    shown = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))
    return shown, (xy + 0.5) * factor - 0.5, (mm[0] / factor[0], mm[1] / factor[1])


def _noisy(picture: UInt8Array, xy: FloatArray, mm: tuple[float, float]) -> State:
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
    """One line a model: stills, clip, composites, pictures without an MTJ, bias.

    The error of a mean over stills is the standard deviation between the forms; that of
    composites, half of the 95 % interval of a bootstrap over clusters of sources.
    """
    rows = [
        (
            judge.title,
            *_stills(judge, data),
            *_clip(judge, data),
            *_composites(judge, real_train),
            *_without(judge, data, real_train),
        )
        for judge in judges
    ]
    head = (
        *("model", "stills, mean (± SD of forms), mm", "worst, mm", "missed of 24"),
        *("bias a, b, c: distal; deep, mm", "clip missed of 44", "Spearman"),
        *("step back, px", "step, px"),
        *("composites within 5 mm of all", "MAE, mm", "median distal; deep, mm", "missed"),
        *("`check` refused", "believed", "held-out negatives refused", "believed"),
    )
    return markdown(head, rows)


def _stills(judge: Judge, data: Path) -> tuple[str, ...]:
    off, biases = [], []
    for name, (truth, _, px_per_mm) in STILLS.items():
        picture = np.asarray(Image.open(data / "mtj" / name).convert("L"))
        mm = (1 / px_per_mm,) * 2
        table = judge.track(ArraySource(picture[None], name)).table.iloc[0]
        distal = (table["x_px"] - truth[0]) / px_per_mm
        biases.append(f"{distal:+.1f}; {(table['y_px'] - truth[1]) / px_per_mm:+.1f}")
        errors = []
        for change in FORMS.values():
            shown, xy, scale = change(picture, np.array(truth), mm)
            row = judge.track(ArraySource(shown[None], name)).table.iloc[0]
            error = np.hypot((row["x_px"] - xy[0]) * scale[0], (row["y_px"] - xy[1]) * scale[1])
            errors.append(error if row["in_view"] > 0 else np.nan)
        off.append(errors)
    error = np.array(off)
    return (
        f"{np.nanmean(error):.2f} ± {np.nanstd(np.nanmean(error, axis=0)):.2f}",
        f"{np.nanmax(error):.1f}",
        str(np.isnan(error).sum()),
        ", ".join(biases),
    )


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
def _held_out(real_train: Path) -> tuple[RealPicture, ...]:
    """Return the pictures that no model has learned from or been fitted on."""
    return tuple(of_split(find_real(real_train, **REAL_TRAIN), "development"))


@cache
def held_out_composites(real_train: Path) -> tuple[Piece, ...]:
    """Return composites of held-out pictures, each a piece whose subject is its cluster."""
    made = make_composites(_held_out(real_train), COMPOSITES, SEED, out_of_view=0.0)
    assert made.cluster is not None
    return tuple(
        Piece(f"composite {number}", int(cluster), 0, picture[None], xy[None], (mm, mm))
        for number, (picture, xy, mm, cluster) in enumerate(
            zip(
                made.stored.numpy(),
                made.xy.double().numpy(),
                made.mm_per_px.tolist(),
                made.cluster.tolist(),
                strict=True,
            )
        )
    )


@cache
def _held_out_negatives(real_train: Path) -> dict[str, StoredPictures]:
    held = _held_out(real_train)
    kinds = sorted({picture.kind for picture in held})
    return {k: make_negatives(of_split(held, "development", k), NEGATIVES, SEED) for k in kinds}


def _composites(judge: Judge, real_train: Path) -> tuple[str, ...]:
    pieces = held_out_composites(real_train)
    table = judge.judge(pieces)
    given = table[table["in_view"]]
    within = (table["in_view"] & (table["error"] <= TOLERANCE_MM)).to_numpy(float)
    return (
        f"{within.mean():.1%} ± {_half(within, table['subject']):.1%}",
        f"{given['error'].mean():.2f} ± {_half(given['error'], given['subject']):.2f}",
        f"{given['dx'].median():+.2f}; {given['dy'].median():+.2f}",
        f"{1 - table['in_view'].mean():.1%}",
    )


def _half(values: Any, subjects: Any) -> float:
    """Return half of the 95 % interval of a mean."""
    interval = bootstrap(np.asarray(values, float), np.asarray(subjects))
    return (interval.high - interval.low) / 2


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
    for made in _held_out_negatives(real_train).values():
        for picture in made.stored.numpy():
            held += _refused(judge.track(ArraySource(picture[None], "negative")).table)
    return (*_shares(check), *_shares(held))


def _refused(table: pd.DataFrame) -> list[tuple[bool, bool]]:
    """Return for each row whether it is called out of view, and whether it is believed."""
    rows = []
    for _, row in table.iterrows():
        refused = not row["in_view"] > 0
        flagged = "unfamiliar" in str(row["flags"])
        rows.append((refused, not refused and not flagged and row["confidence"] >= BELIEVED))
    return rows


def _shares(rows: Sequence[tuple[bool, bool]]) -> tuple[str, str]:
    refused, believed = np.array(rows).mean(axis=0)
    doubt = np.sqrt(refused * (1 - refused) / len(rows))
    return f"{refused:.1%} ± {doubt:.1%} of {len(rows)}", f"{believed:.1%}"


def composite_nuisances(judges: Sequence[Judge], real_train: Path) -> str:
    """Error of every model against each nuisance, on composites of held-out pictures."""
    some = held_out_composites(real_train)[:NUISANCE_COMPOSITES]
    return accuracy_phantom.nuisances(judges, some)


def composite_stress(judges: Sequence[Judge], real_train: Path) -> str:
    """How honest confidence and regions are on spoilt composites of held-out pictures."""
    return accuracy_phantom.stress(judges, held_out_composites(real_train)[:NUISANCE_COMPOSITES])


def warnings(judges: Sequence[Judge], data: Path, real_train: Path) -> str:
    """Share of real pictures of each kind that a model warns of as unlike those it is meant for."""
    sets: dict[str, list[UInt8Array]] = {
        "composites": [piece.frames[0] for piece in held_out_composites(real_train)],
        **{name: list(pictures) for name, pictures in unfamiliar.real()},
        **{
            KINDS.get(kind, kind): list(made.stored.numpy())
            for kind, made in _held_out_negatives(real_train).items()
        },
        "ultrasound of other organs": list(_other_organs(data)),
        "photographs": list(unfamiliar.photographs()),
    }
    rows = []
    for judge in judges:
        told = [unfamiliar.rates(name, iter(p), judge.model) for name, p in sets.items()]
        cells = ["-" if each is None else f"{each.warned / each.pictures:.0%}" for each in told]
        rows.append((judge.title, *cells))
    return markdown(("model", *(f"{name} ({len(p)})" for name, p in sets.items())), rows)


def _other_organs(data: Path) -> Iterator[UInt8Array]:
    """Yield the first frame of each ultrasound DICOM, none of which shows a calf."""
    for path in sorted((data / "dicom").iterdir()):
        with open_video(path) as source:
            yield source.read(0).copy()
