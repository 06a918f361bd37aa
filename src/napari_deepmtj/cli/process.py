"""`napari-deepmtj process`: gate, smooth and fill results that were saved.

What the steps do is `tracking`; how results are written is `results.trajectory_file`.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_deepmtj.cli._console import print_error, print_line, print_notice
from napari_deepmtj.errors import DeepMTJError, ResultError

if TYPE_CHECKING:
    from collections.abc import Collection

    import pandas as pd

    from napari_deepmtj.core.trajectory import Flag, Trajectory
    from napari_deepmtj.tracking.gate import Limits
    from napari_deepmtj.tracking.series import Duration
    from napari_deepmtj.tracking.smooth import Method

#: Beside a result: one row a flag.
FINDINGS_SUFFIX = ".mtj-findings.csv"


def process(
    results: Annotated[
        list[str], typer.Argument(metavar="CLIP.mtj.csv", help="Results; patterns too.")
    ],
    gate: Annotated[
        bool, typer.Option("--gate", help="Flag what is not to be trusted, with the reason.")
    ] = False,
    limits: Annotated[
        str | None,
        typer.Option(metavar="NAME=VALUE,...", help="Limits of the gate, such as edge_mm=none."),
    ] = None,
    smooth: Annotated[
        str | None,
        typer.Option(
            metavar="METHOD[:NAME=VALUE,...]",
            help="kalman, butterworth, savitzky-golay, hampel, authors, fill; or none, which "
            "takes smoothing away.",
        ),
    ] = None,
    max_gap: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Longest gap to fill: 0.2s or 5f. [default: 0.2s]"),
    ] = None,
    exclude: Annotated[
        str, typer.Option(metavar="FLAG,...", help="Rows that smoothing takes as not measured.")
    ] = "outlier",
    findings: Annotated[
        bool,
        typer.Option("--findings", help=f"Write what the gate found as *{FINDINGS_SUFFIX}."),
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for new results; in place by default.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace results in --out that exist.")
    ] = False,
) -> None:
    """Gate and smooth saved results, in place: raw values and what a person set stay.

    Smoothing starts from the raw values, so it may be done again with other settings.
    """
    from napari_deepmtj.tracking.series import Duration
    from napari_deepmtj.tracking.steps import parse_limits, parse_method

    gate = gate or limits is not None
    if not gate and smooth is None:
        raise typer.BadParameter("give --gate, --smooth METHOD, or both")
    if findings and not gate:
        raise typer.BadParameter("--findings are those of the gate: add --gate")
    files = _files(results, out)
    settings = _Settings(
        parse_limits(limits or "") if gate else None,
        None if smooth in (None, "none") else parse_method(str(smooth)),
        smooth == "none",
        None if max_gap is None else Duration.parse(max_gap),
        _flags(exclude),
    )
    failures = 0
    for path in files:
        try:
            print_line(_process_one(path, settings, findings, out, overwrite))
        except DeepMTJError as error:
            failures += 1
            told = str(error)
            print_error(told if told.startswith(path.name) else f"{path.name}: {told}")
    if failures:
        raise typer.Exit(1)


class _Settings:
    """What is the same for every result of a run."""

    def __init__(
        self,
        limits: Limits | None,
        method: Method | None,
        undo: bool,
        max_gap: Duration | None,
        exclude: Collection[Flag],
    ) -> None:
        self.limits, self.method, self.undo = limits, method, undo
        self.max_gap, self.exclude = max_gap, exclude

    def apply(self, trajectory: Trajectory) -> tuple[Trajectory, pd.DataFrame | None, list[str]]:
        """Return the trajectory afterwards, the gate's findings, and what was done in words."""
        from napari_deepmtj.tracking.gate import gate
        from napari_deepmtj.tracking.smooth import smooth
        from napari_deepmtj.tracking.unsmooth import unsmooth

        found, said = None, []
        name = trajectory.provenance.clip
        if self.limits is not None:
            gated = gate(trajectory, self.limits)
            trajectory, found = gated.trajectory, gated.findings
            for notice in gated.notices:
                print_notice(f"{name}: {notice}")
            counts = Counter(found["flag"])
            listed = ", ".join(f"{n} {flag}" for flag, n in counts.items())
            said.append(
                f"{len(set(found['frame']))} rows flagged" + (f" ({listed})" * bool(listed))
            )
        if self.undo:
            trajectory = unsmooth(trajectory)
            said.append("raw positions again")
        elif self.method is not None:
            done = smooth(trajectory, self.method, max_gap=self.max_gap, exclude=self.exclude)
            trajectory = done.trajectory
            for notice in done.notices:
                print_notice(f"{name}: {notice}")
            said.append(f"{self.method.name}, {done.filled} rows filled, {done.left} without")
        return trajectory, found, said


def _process_one(
    path: Path, settings: _Settings, findings: bool, out: Path | None, overwrite: bool
) -> str:
    """Process one result and return the line that says what was done."""
    from napari_deepmtj.core.atomic import atomic_write
    from napari_deepmtj.core.paths import CSV_SUFFIX, json_path
    from napari_deepmtj.results.trajectory_file import read_trajectory, write_trajectory

    if path.exists() and not json_path(path).exists():
        raise ResultError(
            f"lacks its {json_path(path).name}, which says in which scale it was tracked; put it "
            "beside the result",
            path=path,
        )
    done, found, said = settings.apply(read_trajectory(path))
    target = path if out is None else out / path.name
    write_trajectory(done, target, overwrite=out is None or overwrite)
    if findings and found is not None:
        text = found.to_csv(index=False, lineterminator="\n", float_format="%.10g")
        beside = target.with_name(target.name.removesuffix(CSV_SUFFIX) + FINDINGS_SUFFIX)
        atomic_write(beside, text.encode())
        said.append(beside.name)
    return f"{target.name}: {'; '.join(said)}"


def _files(results: list[str], out: Path | None) -> list[Path]:
    """Return the results that are meant, none of which shares a name in `out`."""
    from napari_deepmtj.cli.track import expand
    from napari_deepmtj.core.paths import CSV_SUFFIX

    files = expand(results)
    for path in files:
        if not path.name.endswith(CSV_SUFFIX):
            raise ResultError(f"is no {CSV_SUFFIX}; give results of tracking", path=path)
    if out is not None:
        names = Counter(path.name.casefold() for path in files)
        twice = [path for path in files if names[path.name.casefold()] > 1]
        if twice:
            raise ResultError(
                "is the name of several of these results; process them in separate runs",
                path=twice[0],
            )
    return files


def _flags(text: str) -> list[Flag]:
    from napari_deepmtj.core.trajectory import Flag

    names = [name.strip() for name in text.split(",") if name.strip() not in ("", "none")]
    wrong = [name for name in names if name not in set(Flag)]
    if wrong:
        raise typer.BadParameter(
            f"{wrong[0]!r} is none of {', '.join(Flag)}", param_hint="--exclude"
        )
    return [Flag(name) for name in names]
