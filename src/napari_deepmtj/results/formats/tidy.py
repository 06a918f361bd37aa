"""Tidy CSV: one row a clip and frame, several clips below each other, every column documented.

What the columns of a `.mtj.csv` mean is `core.trajectory`; here they get their clip beside them.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from napari_deepmtj.core.atomic import atomic_write
from napari_deepmtj.core.trajectory import COLUMNS, Trajectory
from napari_deepmtj.errors import ResultError
from napari_deepmtj.labels.table import guarded, unguarded
from napari_deepmtj.results.formats.track import Options, Track
from napari_deepmtj.results.trajectory_file import DIGITS

#: What stands before the columns of the trajectory, and what behind.
CLIP_COLUMNS = ("clip", "clip_sha256")
SETTING_COLUMNS = ("x_mm_per_px", "y_mm_per_px", "scale_source", "times_source", "model")

#: Rows that a sheet of Excel and its kin has, the header included.
SHEET_ROWS = 1_048_576


def write(
    trajectories: Sequence[Trajectory], path: str | Path, options: Options
) -> tuple[str, ...]:
    """Write clips below each other; pixels and millimetres, raw and to use, all are in it.

    Returns
    -------
    tuple of str
        What a person must be told.

    Raises
    ------
    ResultError
        If a clip comes twice, or another unit or rate is asked for: every row is a frame.
    """
    if options.unit is not None or options.rate is not None:
        raise ResultError("a tidy table has every unit, and the clips' own frames; leave both out")
    seen: set[tuple[str, str]] = set()
    for trajectory in trajectories:
        said = trajectory.provenance
        key = (said.clip, said.clip_sha256)
        if key in seen:
            raise ResultError(f"{said.clip} comes twice; a tidy table has each clip once")
        seen.add(key)
    table = pd.concat([_rows(t) for t in trajectories], ignore_index=True)
    text = io.StringIO()
    table.to_csv(text, index=False, float_format=f"%.{DIGITS}g", lineterminator="\n")
    atomic_write(path, text.getvalue().encode())
    if len(table) < SHEET_ROWS:
        return ()
    return (
        f"the table has {len(table)} rows; a spreadsheet shows the first {SHEET_ROWS - 1} alone",
    )


def _rows(trajectory: Trajectory) -> pd.DataFrame:
    said, scale = trajectory.provenance, trajectory.provenance.scale
    settings: Mapping[str, Any] = {
        "x_mm_per_px": np.nan if scale is None else scale.x_mm,
        "y_mm_per_px": np.nan if scale is None else scale.y_mm,
        "scale_source": "" if scale is None else guarded(scale.source),
        "times_source": guarded(said.times_source),
        "model": guarded(_models(trajectory)),
    }
    rows = trajectory.table.assign(
        in_view=trajectory.table["in_view"].astype(int),
        clip=guarded(said.clip),
        clip_sha256=said.clip_sha256,
        **settings,
    )
    return rows[[*CLIP_COLUMNS, *COLUMNS, *SETTING_COLUMNS]]


def _models(trajectory: Trajectory) -> str:
    """Return the models that were run, oldest first: "compact 1"."""
    runs = [op for op in trajectory.provenance.operations if op.name == "track"]
    models = [op.arguments.get("model", {}) for op in runs]
    return "; ".join(dict.fromkeys(f"{m.get('id', '?')} {m.get('version', '?')}" for m in models))


def read(path: str | Path) -> tuple[Track, ...]:
    """Read a tidy table, one track a clip, in pixels.

    Raises
    ------
    ResultError
        If it cannot be read or lacks a column.
    """
    path = Path(path)
    try:
        table = pd.read_csv(path, keep_default_na=False, na_values=[""], encoding="utf-8-sig")
    except FileNotFoundError:
        raise ResultError("there is no such file", path=path) from None
    except (OSError, ValueError) as error:
        raise ResultError(f"cannot be read as CSV ({error})", path=path) from error
    wanted = [*CLIP_COLUMNS, *COLUMNS, *SETTING_COLUMNS]
    if missing := [name for name in wanted if name not in table.columns]:
        raise ResultError(f"is no tidy table: it lacks {', '.join(missing)}", path=path)
    for name in ("frame", "time_s", "x_px", "y_px", "confidence"):
        numbers = pd.to_numeric(table[name], errors="coerce")
        bad = np.flatnonzero(numbers.isna() & (table[name].notna() | (name == "frame")))
        if len(bad):
            raise ResultError(f"row {bad[0] + 2}, column {name}: must be a number", path=path)
        table[name] = numbers
    tracks = []
    names = table[list(CLIP_COLUMNS)].fillna("").astype(str)
    for key, rows in table.groupby([names[name] for name in CLIP_COLUMNS], sort=False):
        clip, sha256 = map(str, key)
        frames, seconds = rows["frame"].to_numpy(np.int64), rows["time_s"].to_numpy(float)
        known = bool(np.isfinite(seconds).all())
        xy = rows[["x_px", "y_px"]].to_numpy(float)
        confidence = np.where(np.isfinite(xy[:, 0]), rows["confidence"].to_numpy(float), 0.0)
        tracks.append(
            Track(
                clip=unguarded(clip),
                sha256=sha256,
                frames=frames,
                times=seconds if known else frames.astype(float),
                time_unit="s" if known else "frame",
                xy=xy,
                confidence=confidence,
                unit="px",
            )
        )
    return tuple(tracks)
