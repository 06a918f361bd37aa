"""Results on disk: `.mtj.csv` with its `.mtj.json`, see docs/reference/results.md.

What the columns mean is `core.trajectory`; attention stacks are `attention.py`.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from napari_deepmtj.core.atomic import LockedError, atomic_path, atomic_write
from napari_deepmtj.core.paths import CSV_SUFFIX, json_path
from napari_deepmtj.core.provenance import Operation, Provenance
from napari_deepmtj.core.trajectory import COLUMNS, Flag, Origin, Trajectory
from napari_deepmtj.errors import CalibrationError, ResultError

#: Significant digits of numbers: 1e-6 px in pictures of up to 9999 px, and a file that is read
#: and written again stays the same to the byte.
DIGITS = 10


def write_trajectory(
    trajectory: Trajectory, csv_path: str | Path, *, overwrite: bool = False, merge: bool = True
) -> Path:
    """Write a trajectory and its provenance, merged with what is there already.

    Rows that a person made (MANUAL, CORRECTED) are never replaced by those of a model; rows of
    frames that `trajectory` does not have stay.

    Parameters
    ----------
    trajectory : Trajectory
        What to write.
    csv_path : str or Path
        The `.mtj.csv`; the `.mtj.json` goes beside it.
    overwrite : bool
        Replace rows that a model made before.
    merge : bool
        Keep what is there as said above; without, the file holds this trajectory alone, for
        callers that know it to hold an earlier state of the same trajectory.

    Returns
    -------
    Path
        The CSV file.

    Raises
    ------
    ResultError
        If existing rows would be replaced without `overwrite`, if the existing result belongs
        to another file or cannot be read, or if a file cannot be written.
    """
    path = Path(csv_path)
    trajectory = _merged(trajectory, path, overwrite) if merge else trajectory
    text = json.dumps(_jsonable(trajectory.provenance.to_json()), indent=2, allow_nan=False)
    beside, provenance = json_path(path), (text + "\n").encode()
    # The two belong together: the JSON lies ready before the CSV is replaced, and follows it.
    with atomic_path(beside) as ready:
        ready.write_bytes(provenance)
        try:
            atomic_write(path, _csv_text(trajectory.table).encode())
        except LockedError as error:
            kept = atomic_write(beside.with_suffix(f".new{beside.suffix}"), provenance)
            raise ResultError(
                f"is locked by another program ({error.why}); the new result stays as "
                f"{error.kept.name} and {kept.name}: close that program and rename both",
                path=path,
            ) from error
    return path


def check_overwrite(
    csv_path: str | Path, frames: npt.ArrayLike, clip_sha256: str, *, overwrite: bool = False
) -> Trajectory | None:
    """Raise if a result must not be written; ask before long work, `write_trajectory` does too.

    Parameters
    ----------
    csv_path : str or Path
        The `.mtj.csv` to be written.
    frames : array of int, shape (n,)
        Frames that the new result will have.
    clip_sha256 : str
        Hash of the clip it comes from.
    overwrite : bool
        As `write_trajectory` takes it.

    Returns
    -------
    Trajectory or None
        The result that is there already.

    Raises
    ------
    ResultError
        If existing rows would be replaced without `overwrite`, or if the existing result
        belongs to another file (with `overwrite`: and holds rows that a person made).
    """
    path = Path(csv_path)
    if not path.exists():
        return None
    old = read_trajectory(path)
    replaced = np.isin(old.frames[~old.by_hand], frames)
    if replaced.any() and not overwrite:
        raise ResultError(
            f"exists already, with {int(replaced.sum())} tracked frames that this run would "
            "replace; allow overwriting (--overwrite), or choose another output folder",
            path=path,
        )
    same = old.provenance.clip_sha256 == clip_sha256
    if not same and (old.by_hand.any() or not overwrite):
        raise ResultError(
            f"the existing result belongs to another file named {old.provenance.clip}; move it "
            "away or choose another output folder",
            path=path,
        )
    return old


def read_trajectory(csv_path: str | Path) -> Trajectory:
    """Read a `.mtj.csv` and the `.mtj.json` beside it.

    Without the JSON file the scale is unknown, so the millimetre columns are left out; the
    provenance says so in one operation, and 0 stands for the unknown size of the picture.

    Parameters
    ----------
    csv_path : str or Path
        The CSV file.

    Returns
    -------
    Trajectory
        Exactly what was written, to `DIGITS` digits.

    Raises
    ------
    ResultError
        If a file is missing or malformed; the message names file, row and column.
    """
    path = Path(csv_path)
    table = _read_table(path)
    beside = json_path(path)
    try:
        text = beside.read_text(encoding="utf-8")
    except FileNotFoundError:
        return _without_provenance(path, table)
    except (OSError, UnicodeDecodeError) as error:
        raise ResultError(
            f"cannot be read ({getattr(error, 'strerror', None) or error})", path=beside
        ) from error
    try:
        data = json.loads(text)
        if not isinstance(data, Mapping):
            raise TypeError("it is not an object in braces")  # noqa: TRY301
        provenance = Provenance.from_json(data)
        if provenance.scale is None and data["scale"] is not None:  # an impossible one
            table[["x_mm", "y_mm", "sd_mm"]] = np.nan
    except (ResultError, CalibrationError) as error:
        raise ResultError(error.message, path=beside) from error
    except (ValueError, TypeError) as error:
        raise ResultError(
            f"is no provenance ({error}); move it away to read the CSV without", path=beside
        ) from error
    return _trajectory(table, provenance, path)


def _merged(new: Trajectory, path: Path, overwrite: bool) -> Trajectory:
    """Return `new` with what must stay of the result that is there."""
    sha256 = new.provenance.clip_sha256
    old = check_overwrite(path, new.frames, sha256, overwrite=overwrite)
    if old is None or old.provenance.clip_sha256 != sha256:
        return new
    merged = old.updated_by(new)
    newest = new.table[new.by_hand]
    if not len(newest):
        return merged
    # A person's newer word replaces a person's older one.
    rest = merged.table[~merged.table["frame"].isin(newest["frame"])]
    parts = [part for part in (rest, newest) if len(part)]
    return replace(merged, table=pd.concat(parts).sort_values("frame"))


# ---- writing -------------------------------------------------------------------------------


def _csv_text(table: pd.DataFrame) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    columns = [[_cell(name, value) for value in table[name].tolist()] for name in COLUMNS]
    writer.writerows(zip(*columns, strict=True))
    return out.getvalue()


def _cell(name: str, value: Any) -> str:
    """Return one value as text; missing is empty, true is 1."""
    if name == "frame":
        return str(int(value))
    if name == "in_view":
        return str(int(bool(value)))
    if name in ("origin", "flags"):
        return str(value) if isinstance(value, str) else ""
    number = math.nan if value is None else float(value)
    return "" if math.isnan(number) else f"{number:.{DIGITS}g}"


def _jsonable(value: Any) -> Any:
    """Return provenance with numpy's numbers as Python's, and NaN as null."""
    if isinstance(value, Mapping):
        return {str(k): _jsonable(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(v) for v in value]
    if isinstance(value, np.generic | np.ndarray):
        return _jsonable(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


# ---- reading -------------------------------------------------------------------------------


def _read_table(path: Path) -> pd.DataFrame:
    """Return the table of a CSV file, every cell checked."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise ResultError("there is no such file; track the clip first", path=path) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ResultError(
            f"cannot be read ({getattr(error, 'strerror', None) or error})", path=path
        ) from error
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise ResultError(f"is no CSV ({error})", path=path) from error
    header = rows[0] if rows else []
    if header != list(COLUMNS):
        raise ResultError(_header_problem(header), path=path)
    values: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    for line, row in enumerate(rows[1:], start=2):
        if len(row) != len(COLUMNS):
            raise ResultError(
                f"row {line} has {len(row)} cells, the header {len(COLUMNS)}", path=path
            )
        for name, cell in zip(COLUMNS, row, strict=True):
            try:
                values[name].append(_PARSERS.get(name, _number)(cell))
            except ValueError as error:
                raise ResultError(
                    f"row {line}, column {name}: {cell!r} is not {error}", path=path
                ) from error
        _check_row(values, line, path)
    kinds = {"frame": np.int64, "in_view": np.bool_, "origin": object, "flags": object}
    return pd.DataFrame(
        {name: pd.Series(values[name], dtype=kinds.get(name, np.float64)) for name in COLUMNS}
    )


def _header_problem(header: list[str]) -> str:
    if len(header) == 1 and ";" in header[0]:
        return (
            "has semicolons between its cells: a spreadsheet has saved it anew; save it as CSV "
            "with commas and decimal points"
        )
    missing = [name for name in COLUMNS if name not in header]
    extra = [name for name in header if name not in COLUMNS]
    if missing:
        return f"is no .mtj.csv: row 1 lacks the column {', '.join(missing)}"
    if extra:
        return f"row 1 has the unknown column {', '.join(extra)}; delete it"
    return f"row 1: the columns are out of order; they are {','.join(COLUMNS)}"


def _check_row(values: Mapping[str, list[Any]], line: int, path: Path) -> None:
    """Refuse rows whose cells contradict each other."""
    problem = None
    frames = values["frame"]
    if len(frames) > 1 and frames[-1] <= frames[-2]:
        problem = f"column frame: {frames[-1]} comes after {frames[-2]}; frames must increase"
    missing = [math.isnan(values[name][-1]) for name in ("x_px", "y_px")]
    if missing[0] != missing[1]:
        problem = "columns x_px and y_px: one is empty and the other is not"
    elif missing[0] == values["in_view"][-1]:
        problem = "column in_view: must be 1 with a position, and 0 without"
    confidence = values["confidence"][-1]
    if not (math.isnan(confidence) or 0 <= confidence <= 1):
        problem = f"column confidence: {confidence:g} is not between 0 and 1"
    if problem:
        raise ResultError(f"row {line}, {problem}", path=path)


def _whole(cell: str) -> int:
    if not (cell.isascii() and cell.isdigit()):
        raise ValueError("a whole number")
    return int(cell)


def _number(cell: str) -> float:
    if not cell:
        return math.nan
    try:
        number = float(cell)
    except ValueError:
        raise ValueError("a number with a decimal point, or empty") from None
    if not math.isfinite(number):
        raise ValueError("a finite number, or empty")
    return number


def _bit(cell: str) -> bool:
    if cell not in ("0", "1"):
        raise ValueError("0 or 1")
    return cell == "1"


def _origin(cell: str) -> str:
    if cell not in set(Origin):
        raise ValueError(f"one of {', '.join(Origin)}")
    return cell


def _flags(cell: str) -> str:
    if cell and not set(cell.split(";")) <= set(Flag):
        raise ValueError(f"a list, with ; between, of {', '.join(Flag)}")
    return cell


_PARSERS: dict[str, Callable[[str], Any]] = {
    "frame": _whole,
    "in_view": _bit,
    "origin": _origin,
    "flags": _flags,
}


def _without_provenance(path: Path, table: pd.DataFrame) -> Trajectory:
    had_mm = bool(table[["x_mm", "y_mm", "sd_mm"]].notna().to_numpy().any())
    table[["x_mm", "y_mm", "sd_mm"]] = np.nan
    provenance = Provenance(
        clip=path.name.removesuffix(CSV_SUFFIX),
        clip_sha256="",
        n_frames=int(table["frame"].iloc[-1]) + 1 if len(table) else 0,
        height=0,
        width=0,
        times_source="none" if table["time_s"].isna().all() else "unknown",
        operations=(
            Operation.now(
                "read without provenance",
                missing=json_path(path).name,
                millimetres_left_out=had_mm,
            ),
        ),
    )
    return _trajectory(table, provenance, path)


def _trajectory(table: pd.DataFrame, provenance: Provenance, path: Path) -> Trajectory:
    try:
        return Trajectory(table, provenance)
    except ResultError as error:
        raise ResultError(error.message, path=path) from error
