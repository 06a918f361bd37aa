"""An agreement study in words and files: rows of figures, remarks, CSV and plots of all pairs.

The figures are those of `evaluation.agreement`, the plots those of `report.agreement`.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from napari_deepmtj.core.atomic import atomic_write
from napari_deepmtj.errors import MissingExtraError, ResultError
from napari_deepmtj.evaluation.agreement import Agreement, Pair
from napari_deepmtj.evaluation.reliability import Estimate
from napari_deepmtj.labels.table import guarded
from napari_deepmtj.report.agreement import bland_altman_figure
from napari_deepmtj.report.plots import save_figure

#: Files that are written: in sum, every frame of every pair, and the plots.
CSV_NAME, FRAMES_NAME = "agreement.csv", "agreement-frames.csv"
PLOT_NAME = "bland-altman"


def table_rows(pair: Pair) -> list[tuple[str, ...]]:
    """Return what two raters come to: a name and the values of x, y and distance, headed so."""
    limits = [pair.limits[axis] for axis in ("x", "y", "distance")]
    x, y = pair.reliability
    seen = pair.visibility
    rows: list[tuple[str, ...]] = [
        ("", f"x [{pair.unit}]", f"y [{pair.unit}]", f"distance [{pair.unit}]"),
        ("bias (mean)", *(_estimate(found.bias) for found in limits)),
        ("SD", *(_number(found.sd) for found in limits)),
        ("lower limit", *(_estimate(found.lower) for found in limits[:2]), "-"),
        ("upper limit", *(_estimate(found.upper) for found in limits)),
        ("ICC(2,1)", _estimate(x.icc, 3), _estimate(y.icc, 3), ""),
        ("SEM", _number(x.sem), _number(y.sem), ""),
        ("MDC", _number(x.mdc), _number(y.mdc), ""),
        ("median", "", "", _number(pair.median)),
        ("95th percentile", "", "", _number(pair.percentile_95)),
    ]
    rows += [(f"within {r:g} mm", "", "", f"{share:.1f} %") for r, share in pair.within.items()]
    rows += [
        ("frames compared", str(len(pair.table)), "", ""),
        (f"not looked at by {pair.first}", str(pair.missing_first), "", ""),
        (f"not looked at by {pair.second}", str(pair.missing_second), "", ""),
        (f"visible to {pair.first} only", str(seen.first_only), "", ""),
        (f"visible to {pair.second} only", str(seen.second_only), "", ""),
        ("visible to neither", str(seen.neither), "", ""),
        ("kappa of visibility", _estimate(seen.kappa), "", ""),
    ]
    return rows


def together_rows(result: Agreement) -> list[tuple[str, ...]]:
    """Return what more than two raters come to: a name and the values of x and y, headed so."""
    x, y = result.together
    return [
        ("", f"x [{result.unit}]", f"y [{result.unit}]"),
        ("frames compared", str(x.n), str(y.n)),
        ("ICC(2,1)", _estimate(x.icc, 3), _estimate(y.icc, 3)),
        ("SEM", _number(x.sem), _number(y.sem)),
        ("MDC", _number(x.mdc), _number(y.mdc)),
    ]


def remarks(result: Agreement) -> list[str]:
    """Return what a person must be told before the figures are used, one line each."""
    said = [
        f"{pair.first} and {pair.second} have no frame in common with positions"
        for pair in result.pairs
        if pair.table.empty
    ]
    if result.frames > result.clips:
        said.append(
            "frames of one clip are not independent: the intervals are narrower than they ought "
            "to be (docs/how-to/agreement.md)"
        )
    if result.unit == "px":
        said.append(
            "not every clip has a scale, so all is in pixels; give --scale, or calibrate the clips"
        )
    return said


def worst_frames(pair: Pair, most: int) -> list[tuple[str, str, int, float, float, float]]:
    """Return clip, its content hash, frame, dx, dy and distance of the frames furthest apart.

    The furthest comes first; of frames equally far apart, the earlier one.
    """
    table = pair.table.sort_values("distance", ascending=False, kind="stable").head(most)
    columns = ["clip", "clip_sha256", "frame", "dx", "dy", "distance"]
    return [
        (str(clip), str(sha256), int(frame), float(dx), float(dy), float(distance))
        for clip, sha256, frame, dx, dy, distance in table[columns].itertuples(index=False)
    ]


def earlier_files(folder: Path) -> list[Path]:
    """Return what `save_study` would replace, and plots of an earlier, larger study."""
    named = [folder / CSV_NAME, folder / FRAMES_NAME]
    return [p for p in (*named, *sorted(folder.glob(f"{PLOT_NAME}*"))) if p.exists()]


def require_new(folder: Path, remedy: str) -> None:
    """Refuse a folder that holds a study.

    Raises
    ------
    ResultError
        Naming a file that is there, and the remedy.
    """
    for path in earlier_files(folder):
        raise ResultError(f"exists; {remedy}", path=path)


def save_study(result: Agreement, folder: Path) -> tuple[list[str], list[str]]:
    """Write all figures, every compared frame, and the plots of all pairs.

    Returns
    -------
    list of str
        Names of the files written.
    list of str
        What a person must be told: plots that could not be drawn.
    """
    _write_csv(result.to_frame(), folder / CSV_NAME)
    frames = [
        pair.table.assign(first=pair.first, second=pair.second, unit=pair.unit)
        for pair in result.pairs
    ]
    _write_csv(pd.concat(frames, ignore_index=True), folder / FRAMES_NAME)
    written = [CSV_NAME, FRAMES_NAME]
    try:
        for number, pair in enumerate(result.pairs, start=1):
            figure = bland_altman_figure(pair)
            stem = PLOT_NAME if len(result.pairs) == 1 else f"{PLOT_NAME}-{number}"
            for suffix in (".png", ".svg"):
                save_figure(figure, folder / (stem + suffix))
                written.append(stem + suffix)
    except MissingExtraError as error:
        return written, [str(error)]
    return written, []


def _write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table whose names no spreadsheet takes for formulas."""
    table = table.copy()
    for name in ("first", "second", "clip"):
        if name in table:
            table[name] = table[name].map(guarded)
    text = table.to_csv(index=False, lineterminator="\n", float_format="%.10g")
    atomic_write(path, text.encode("utf-8"))


def _number(value: float, digits: int = 2) -> str:
    return "-" if value != value else f"{value:.{digits}f}"


def _estimate(found: Estimate, digits: int = 2) -> str:
    if found.low != found.low:
        return _number(found.value, digits)
    return f"{found.value:.{digits}f} ({found.low:.{digits}f} to {found.high:.{digits}f})"
