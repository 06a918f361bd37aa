"""The made-up half of `accuracy.py`: unseen subjects, unseen scanners, stress and nuisances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd

from accuracy_frames import CLIPS, Judge, Piece, changed, covariances, summary
from accuracy_spoil import NUISANCES, stressed
from markdown_tables import markdown
from napari_deepmtj.evaluation.doubt import (
    auroc,
    calibration_error,
    judge_regions,
    share_interval,
)
from napari_deepmtj.inference.setup import TOLERANCE_MM

#: Severities tried in this order; the first with at least this share of wrong positions counts.
SEVERITIES = (0.1, 0.2, 0.3, 0.4, 0.55, 0.7, 0.85, 1.0, 1.4, 2.0)
WRONG_AT_LEAST = 0.20
#: How often each frame is spoilt anew at the severity that counts, and the seed of it.
DRAWS, STRESS_SEED = 3, 77
#: Frames of a subject's first clip on which nuisances are tried.
NUISANCE_FRAMES = (0, 2)

HEAD = (
    *("model", "frames, subjects", "mean", "median", "within 5 mm"),
    *("in view, called out", "out of view, called in"),
)


def _rate(count: int, n: int) -> str:
    """Return a share with its interval, which takes frames for independent."""
    if n == 0:
        return "none"
    low, high = share_interval(count, n)
    return f"{count} of {n} ({count / n:.1%}; {low:.1%} to {high:.1%})"


def _row(title: str, table: pd.DataFrame) -> tuple[str, ...]:
    told = summary(table)
    return (
        title,
        f"{told['frames']:.0f}, {told['subjects']:.0f}",
        f"{told['mean']:.2f} mm",
        f"{told['median']:.2f} mm",
        f"{told['within']:.1%}",
        _rate(int(told["missed"]), int(told["frames"])),
        _rate(int(told["invented"]), int(told["absent"])),
    )


def accuracy(judges: Sequence[Judge], pieces: Sequence[Piece], *, by_style: bool = False) -> str:
    """Errors of every model; if asked, of every device style, too."""
    rows = []
    for judge in judges:
        table = judge.judge(pieces)
        rows.append(_row(judge.title, table))
        if by_style:
            rows += [
                _row(f"{judge.title}, style {style}", part)
                for style, part in table.groupby("style")
            ]
    return markdown(HEAD, rows)


def stress(judges: Sequence[Judge], pieces: Sequence[Piece]) -> str:
    """How honest confidence and regions are where a quarter of the positions is wrong.

    A position is read from every heat map, so that a model cannot do better by calling the hard
    pictures out of view, and again from those called in view alone.
    """
    rows = []
    for judge in judges:
        always = Judge(judge.name, everywhere=True)
        for severity in SEVERITIES:
            first = always.judge(_spoilt(pieces[::CLIPS], severity, draws=1))
            if _wrong(first) >= WRONG_AT_LEAST:
                break
        spoilt = _spoilt(pieces, severity, draws=DRAWS)
        for title, some in ((f"severity {severity:g}", spoilt), ("as drawn", pieces)):
            called = judge.judge(some)["in_view"]
            rows += _both(f"{judge.title}, {title}", always.judge(some), called)
    return markdown(
        (
            *("model, pictures", "positions", "off by > 5 mm", "ECE", "AUROC"),
            *("90 % region covers", "by third of sd", "median area", "Spearman of sd and error"),
        ),
        rows,
    )


def _spoilt(pieces: Sequence[Piece], severity: float, draws: int) -> list[Piece]:
    rng = np.random.default_rng(STRESS_SEED)
    change = partial(stressed, severity=severity, rng=rng)
    return [piece for _ in range(draws) for piece in changed(pieces, change)]


def _wrong(table: pd.DataFrame) -> float:
    return float((table.loc[table["present"], "error"] > TOLERANCE_MM).mean())


def _both(title: str, table: pd.DataFrame, called: pd.Series) -> list[tuple[str, ...]]:
    """Judge the frames with the MTJ in the picture, and those of them called in view."""
    there = table["present"]
    return [
        _honesty(f"{title}, every picture", table[there]),
        _honesty(f"{title}, called in view", table[there & called]),
    ]


def _honesty(title: str, found: pd.DataFrame) -> tuple[str, ...]:
    confidence = found["confidence"].to_numpy(float)
    right = found["error"].to_numpy(float) <= TOLERANCE_MM
    regions = judge_regions(found[["dx", "dy"]].to_numpy(float), covariances(found))
    thirds = ", ".join(f"{part:.1%}" for part in regions.by_tercile)
    return (
        title,
        str(len(found)),
        f"{1 - right.mean():.1%}",
        f"{calibration_error(confidence, right):.3f}",
        f"{auroc(confidence, right):.3f}",
        f"{regions.coverage:.1%}",
        thirds,
        f"{regions.median_area:.0f} mm²",
        f"{regions.spearman:.2f}",
    )


def some_frames(pieces: Sequence[Piece]) -> list[Piece]:
    """Return two frames of every subject's first clip."""
    first: dict[int, Piece] = {}
    for piece in pieces:
        first.setdefault(piece.subject, piece)
    frames = list(NUISANCE_FRAMES)
    return [replace(p, frames=p.frames[frames], xy=p.xy[frames]) for p in first.values()]


def nuisances(judges: Sequence[Judge], pieces: Sequence[Piece]) -> str:
    """Error of every model against each nuisance; no scale is told to the models."""
    rows = []
    for group, what, change in (("none", "as drawn", _as_is), *NUISANCES):
        spoilt = changed(pieces, change)
        cells = []
        for judge in judges:
            told = summary(judge.judge(spoilt, scale_known=False))
            lost = told["missed"] / told["frames"]
            cells += [f"{told['mean']:.2f} mm", f"{told['within']:.1%}", f"{lost:.1%}"]
        rows.append((group, what, *cells))
    head = ["nuisance", "how"]
    for judge in judges:
        name = judge.model.card.id
        head += [f"{name}: mean", "within 5 mm", "called out"]
    return markdown(head, rows)


def _as_is(picture, xy, mm):  # type: ignore[no-untyped-def]
    return picture, xy, mm
