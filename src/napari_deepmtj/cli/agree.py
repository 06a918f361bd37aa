"""`napari-deepmtj agree`: how far raters agree on where the MTJ is.

What is compared is `evaluation.agreement`; here it is asked for, printed, drawn and saved.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_deepmtj.cli._console import print_line, print_notice
from napari_deepmtj.cli.track import parse_scale
from napari_deepmtj.errors import CalibrationError, LabelError, MissingExtraError, ResultError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from napari_deepmtj.core.geometry import Scale
    from napari_deepmtj.core.labels import Label
    from napari_deepmtj.core.trajectory import Trajectory
    from napari_deepmtj.evaluation.agreement import Agreement, Pair, Rater
    from napari_deepmtj.evaluation.reliability import Estimate

#: Files that are written: in sum, and every frame of every pair.
CSV_NAME, FRAMES_NAME = "agreement.csv", "agreement-frames.csv"
PLOT_NAME = "bland-altman"


def agree(
    files: Annotated[list[Path], typer.Argument(metavar="LABELS...", help=".mtj-labels.csv")],
    model: Annotated[
        list[Path] | None,
        typer.Option(metavar="CLIP.mtj.csv", help="A model's result as one more rater; repeatable"),
    ] = None,
    scale: Annotated[
        str | None, typer.Option(metavar="MM_PER_PX", help="Of all clips; X,Y where they differ.")
    ] = None,
    rater: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only this rater, named as printed; repeatable."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help=f"Folder for {CSV_NAME}, {FRAMES_NAME} and the plots.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace earlier ones.")] = False,
) -> None:
    """Print bias, limits of agreement, ICC(2,1), SEM and MDC of every two raters.

    Each annotator and round of the files is a rater. Scales come from --scale, else from the
    models' results and the side-cars beside the files; if one is lacking, all is in pixels.
    """
    from napari_deepmtj.evaluation.agreement import raters_of_labels, study
    from napari_deepmtj.io.exports import read_trajectory
    from napari_deepmtj.io.written import read_written

    given = None if scale is None else parse_scale(scale)
    labels = {path: read_written(path) for path in _different(files)}
    trajectories = [read_trajectory(path) for path in model or []]
    raters = raters_of_labels(_by_name(labels))
    raters += _models(trajectories)
    result = study(_chosen(raters, rater), _scales(labels, trajectories, given))
    if out is not None and not overwrite:
        for path in (out / CSV_NAME, out / FRAMES_NAME, *sorted(out.glob(f"{PLOT_NAME}*"))):
            if path.exists():
                raise ResultError("exists; add --overwrite or choose another --out", path=path)
    for pair in result.pairs:
        _print_table(
            f"{pair.second} minus {pair.first} ({pair.frames} frames, {result.clips} clips)",
            table_rows(pair),
        )
        if pair.table.empty:
            print_notice(f"{pair.first} and {pair.second} have no frame in common with positions")
    if result.together:
        _print_table("all raters together", together_rows(result))
    if result.frames > result.clips:
        print_notice(
            "frames of one clip are not independent: the intervals are narrower than they ought "
            "to be (docs/agreement.md)"
        )
    if result.unit == "px":
        print_notice("not every clip has a scale, so all is in pixels; give --scale")
    if out is not None:
        _save(result, out)


def table_rows(pair: Pair) -> list[tuple[str, ...]]:
    """Return what is printed of two raters: a name and the values of x, y and distance."""
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
    """Return what is printed of more than two raters: a name and the values of x and y."""
    x, y = result.together
    return [
        ("", f"x [{result.unit}]", f"y [{result.unit}]"),
        ("frames compared", str(x.n), str(y.n)),
        ("ICC(2,1)", _estimate(x.icc, 3), _estimate(y.icc, 3)),
        ("SEM", _number(x.sem), _number(y.sem)),
        ("MDC", _number(x.mdc), _number(y.mdc)),
    ]


def _different(files: Sequence[Path]) -> list[Path]:
    """Return each file once, however it is called."""
    return list({path.resolve(): path for path in reversed(files)}.values())[::-1]


def _chosen(raters: list[Rater], names: Sequence[str] | None) -> list[Rater]:
    """Return the raters of these names, all of them if none is named."""
    for name in names or ():
        if name not in {rater.name for rater in raters}:
            there = "; ".join(rater.name for rater in raters)
            raise LabelError(f"there is no rater {name!r}, only {there}")
    return [rater for rater in raters if not names or rater.name in names]


def _by_name(labels: dict[Path, list[Label]]) -> dict[str, list[Label]]:
    """Return the labels by what tells their files apart: the name, else the path as given."""
    names = [path.name for path in labels]
    return {
        path.name if names.count(path.name) == 1 else str(path): found
        for path, found in labels.items()
    }


def _models(trajectories: Sequence[Trajectory]) -> list[Rater]:
    """Return a rater for each model that made a trajectory."""
    from napari_deepmtj.evaluation.agreement import rater_of_trajectories

    of: dict[str, list[Trajectory]] = {}
    for trajectory in trajectories:
        same = of.setdefault(_model_name(trajectory), [])
        if any(t.provenance.clip_sha256 == trajectory.provenance.clip_sha256 for t in same):
            raise LabelError("was given twice of the same model", path=trajectory.provenance.clip)
        same.append(trajectory)
    return [rater_of_trajectories(name, found) for name, found in of.items()]


def _model_name(trajectory: Trajectory) -> str:
    """Return "model ID" as the newest tracking of the provenance says."""
    for operation in reversed(trajectory.provenance.operations):
        said = operation.arguments.get("model") if operation.name == "track" else None
        if isinstance(said, dict) and "id" in said:
            return f"model {said['id']}"
    return "model"


def _scales(
    labels: dict[Path, list[Label]], trajectories: Sequence[Trajectory], given: Scale | None
) -> dict[str, Scale]:
    """Return the scale of every clip that has one: that given, else those written down."""
    from napari_deepmtj.io.sidecar import read_sidecar

    hashes = {label.clip_sha256 for found in labels.values() for label in found}
    if given is not None:
        return dict.fromkeys(hashes | {t.provenance.clip_sha256 for t in trajectories}, given)
    said: list[tuple[str, str, Scale]] = [
        (t.provenance.clip_sha256, t.provenance.clip, t.provenance.scale)
        for t in trajectories
        if t.provenance.scale is not None
    ]
    beside: dict[Path, set[str]] = {}
    for path, found in labels.items():
        for label in found:
            beside.setdefault(path.parent / label.clip, set()).add(label.clip_sha256)
    for place, (sha256, *others) in sorted((place, list(of)) for place, of in beside.items()):
        info = None if others else read_sidecar(place)  # of clips of one name, whose is it?
        if info is not None and info.scale is not None:
            said.append((sha256, place.name, info.scale))
    scales: dict[str, Scale] = {}
    for sha256, clip, scale in said:
        known = scales.setdefault(sha256, scale)
        if (known.x_mm, known.y_mm) != (scale.x_mm, scale.y_mm):
            raise CalibrationError(
                f"has two scales, {known.x_mm:g} x {known.y_mm:g} mm ({known.source}) and "
                f"{scale.x_mm:g} x {scale.y_mm:g} mm ({scale.source}); give --scale",
                path=clip,
            )
    return scales


def _number(value: float, digits: int = 2) -> str:
    return "-" if value != value else f"{value:.{digits}f}"


def _estimate(found: Estimate, digits: int = 2) -> str:
    if found.low != found.low:
        return _number(found.value, digits)
    return f"{found.value:.{digits}f} ({found.low:.{digits}f} to {found.high:.{digits}f})"


def _print_table(title: str, rows: Sequence[tuple[str, ...]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*rows[0], title=title, title_justify="left")
    for row in rows[1:]:
        table.add_row(*row)
    Console(file=sys.stdout, highlight=False, markup=False).print(table)


def _save(result: Agreement, out: Path) -> None:
    import pandas as pd

    from napari_deepmtj.report.agreement import bland_altman_figure
    from napari_deepmtj.report.plots import save_figure

    _write_csv(result.to_frame(), out / CSV_NAME)
    frames = [
        pair.table.assign(first=pair.first, second=pair.second, unit=pair.unit)
        for pair in result.pairs
    ]
    _write_csv(pd.concat(frames, ignore_index=True), out / FRAMES_NAME)
    written = [CSV_NAME, FRAMES_NAME]
    try:
        for number, pair in enumerate(result.pairs, start=1):
            figure = bland_altman_figure(pair)
            stem = PLOT_NAME if len(result.pairs) == 1 else f"{PLOT_NAME}-{number}"
            for suffix in (".png", ".svg"):
                save_figure(figure, out / (stem + suffix))
                written.append(stem + suffix)
    except MissingExtraError as error:
        print_notice(str(error))
    print_line(f"{', '.join(written)}: {out}")


def _write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table whose names no spreadsheet takes for formulas."""
    from napari_deepmtj.io.atomic import atomic_write
    from napari_deepmtj.io.labels import guarded

    table = table.copy()
    for name in ("first", "second", "clip"):
        if name in table:
            table[name] = table[name].map(guarded)
    text = table.to_csv(index=False, lineterminator="\n", float_format="%.10g")
    atomic_write(path, text.encode("utf-8"))
