"""The key numbers of one tracked clip, in words, and the frames that a person should look at."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from napari_deepmtj.core.trajectory import Flag, Origin, Trajectory
from napari_deepmtj.errors import ResultError
from napari_deepmtj.mechanics.excursion import excursion
from napari_deepmtj.mechanics.motion import Side, motion
from napari_deepmtj.report.methods import card_of
from napari_deepmtj.tracking.series import times_of

#: Positions that are less probably within tolerance count as doubtful, as in tracking.
CONFIDENT = 0.5

#: Frames shown are apart from each other by this share of the clip, where there are enough.
APART = 0.05


@dataclass(frozen=True, slots=True)
class Shown:
    """A frame to look at, and why."""

    frame: int
    why: str


def numbers(trajectory: Trajectory, distal: Side | None = None) -> list[tuple[str, str]]:
    """Return the key numbers of a trajectory as rows of name and value.

    Parameters
    ----------
    trajectory : Trajectory
        Any with rows.
    distal : {"left", "right"} or None
        Side of the picture that is distal; the excursion does not need it.

    Raises
    ------
    ResultError
        If there is no row.
    """
    if not len(trajectory):
        raise ResultError(f"the result of {trajectory.provenance.clip} has no rows; track it first")
    table, said, n = trajectory.table, trajectory.provenance, len(trajectory)
    seen = np.isfinite(trajectory.xy_px[:, 0])
    free = seen & ~trajectory.by_hand
    confidence = table["confidence"].to_numpy(dtype=np.float64)[free]
    rows = [
        ("frames tracked", f"{n} of {said.n_frames}"),
        ("time", _time(trajectory)),
        ("MTJ in view", f"{seen.sum()} ({seen.mean():.1%})"),
    ]
    if len(confidence) and np.isfinite(confidence).any():
        rows += [
            ("confidence, median", f"{np.nanmedian(confidence):.2f}"),
            ("confidence, least", f"{np.nanmin(confidence):.2f}"),
            (f"confidence below {CONFIDENT:g}", f"{(confidence < CONFIDENT).sum()} frames"),
        ]
    rows.append(("flagged", _flags(trajectory)))
    origins = Counter(table["origin"])
    for origin in (Origin.CORRECTED, Origin.MANUAL, Origin.REFILLED, Origin.INTERPOLATED):
        if origins[origin]:
            rows.append((origin.value.lower(), f"{origins[origin]} frames"))
    return [*rows, *_lengths(trajectory, distal, seen)]


def _time(trajectory: Trajectory) -> str:
    t, unit = times_of(trajectory)
    if unit == "frame" or len(t) < 2:
        return "not known" if unit == "frame" else f"{t[0]:.2f} s"
    steps = np.diff(t) / np.diff(trajectory.frames)
    usual = float(np.median(steps))
    even = np.abs(steps - usual).max() <= 0.1 * usual
    how = f"{1 / usual:.4g} Hz" if even else f"uneven, median {1e3 * usual:.1f} ms a frame"
    return f"{t[-1] - t[0]:.2f} s ({how})"


def _flags(trajectory: Trajectory) -> str:
    counts = Counter(flag for text in trajectory.table["flags"].fillna("") for flag in _of(text))
    some = sum(bool(text) for text in trajectory.table["flags"].fillna(""))
    listed = ", ".join(f"{flag} {counts[flag]}" for flag in Flag if counts[flag])
    return f"{some} frames ({listed})" if some else "none"


def _of(text: str) -> list[str]:
    return [flag for flag in text.split(";") if flag]


def _lengths(
    trajectory: Trajectory, distal: Side | None, seen: np.ndarray
) -> list[tuple[str, str]]:
    scale = trajectory.provenance.scale
    unit, factors = ("px", 1.0) if scale is None else ("mm", np.array([scale.x_mm, scale.y_mm]))
    rows: list[tuple[str, str]] = []
    spread = trajectory.table[["sd_x_px", "sd_y_px"]].to_numpy(dtype=np.float64) * factors
    sd = np.hypot(*spread.T)
    if np.isfinite(sd).any():
        high = np.nanpercentile(sd, 95)
        rows.append(("SD of a position", f"median {np.nanmedian(sd):.2f}, 95 % {high:.2f} {unit}"))
    if seen.sum() < 2:
        return rows
    x, y = np.ptp(trajectory.xy_px[seen], axis=0) * factors
    rows.append(("range of x and y", f"{x:.1f} and {y:.1f} {unit}"))
    try:
        moved = motion(trajectory, distal or "left")  # its size does not depend on the side
        far = excursion(trajectory, distal)
    except ResultError as error:
        return [*rows, ("excursion", str(error))]
    rows.append(
        (
            "excursion along its axis",
            f"{far}; linearity {moved.axis.linearity:.2f}",
        )
    )
    if distal is not None and np.isfinite(moved.peak_velocity[0]):
        distally, proximally = moved.peak_velocity
        rows.append(
            (
                "peak velocity",
                f"{max(proximally, 0):.1f} proximally, {max(-distally, 0):.1f} distally "
                f"{unit}/{moved.time_unit}",
            )
        )
    return rows


def settings(trajectory: Trajectory) -> list[tuple[str, str]]:
    """Return what the numbers rest on as rows of name and value: scale, region, model, log."""
    said = trajectory.provenance
    scale, roi = said.scale, said.roi
    rows = [
        ("clip", f"{said.clip}, {said.width} x {said.height} px"),
        ("SHA-256", said.clip_sha256 or "not known"),
        (
            "scale",
            "none: pixels only"
            if scale is None
            else f"{scale.x_mm:.5g} x {scale.y_mm:.5g} mm/px, from: {scale.source}",
        ),
        ("region", "not known" if roi is None else f"{roi} px, from: {roi.source}"),
        ("frame times", said.times_source),
    ]
    models = {
        str(op.arguments.get("model", {}).get("sha256", "")): op.arguments.get("model", {})
        for op in said.operations
        if op.name == "track"
    }
    for sha256, model in models.items():
        card = card_of(sha256)
        about = (
            ""
            if card is None
            else f"\ntrained on: {card.trained_on}\nlabel: {card.label_definition}"
        )
        rows.append(
            ("model", f"{model.get('id', '?')} {model.get('version', '?')}, {sha256[:12]}{about}")
        )
    rows += [
        ("confidence is of", f"being within {tolerance.describe(scale)}")
        for tolerance in said.tolerances
    ]
    return [*rows, ("log", _log(trajectory))]


def _log(trajectory: Trajectory) -> str:
    """Return the operations in a line each, points set by hand taken together."""
    lines: list[str] = []
    by_hand = 0
    for op in trajectory.provenance.operations:
        if op.name == "correct":
            by_hand += 1
            continue
        said = op.arguments
        what = {
            "track": ", ".join(
                ("on " + said.get("device", "?"), said.get("backend", {}).get("name", "torch"))
            ),
            "smooth": f"{said.get('method', '?')}, gaps up to {said.get('max_gap', '?')}",
        }.get(op.name, "")
        when = op.when[:16].replace("T", " ")
        lines.append(f"{when} {op.name}{f' ({what})' if what else ''}, {op.software}")
    if by_hand:
        lines.append(f"{by_hand} points set by hand")
    return "\n".join(lines)


def to_look_at(trajectory: Trajectory, most: int = 6) -> list[Shown]:
    """Return frames that a person should see: the least confident, and some with each flag.

    Parameters
    ----------
    trajectory : Trajectory
        Any.
    most : int
        How many, at most; half of them for flags, the rest by confidence.
    """
    table, frames = trajectory.table, trajectory.frames
    apart = max(1, int(APART * len(frames)))
    flags = table["flags"].fillna("").to_numpy(dtype=object)
    chosen: dict[int, str] = {}

    def take(row: int, why: str) -> None:
        if all(abs(row - other) >= apart for other in chosen):
            chosen[row] = why

    queues = {
        flag: [row for row in range(len(frames)) if flag.value in _of(flags[row])] for flag in Flag
    }
    for turn in range(most):  # each flag in turn, spread over the clip
        for flag, rows in queues.items():
            if len(chosen) < most // 2 and turn < len(rows):
                take(rows[(turn * len(rows)) // most], flag.value.replace("_", " "))
    confidence = table["confidence"].to_numpy(dtype=np.float64).copy()
    confidence[trajectory.by_hand | np.isnan(trajectory.xy_px[:, 0])] = np.nan
    for row in np.argsort(confidence, kind="stable").tolist():
        if len(chosen) >= most or np.isnan(confidence[row]):
            break
        take(row, f"confidence {confidence[row]:.2f}")
    return [Shown(int(frames[row]), chosen[row]) for row in sorted(chosen)]
