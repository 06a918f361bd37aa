"""`napari-deepmtj export`: results as other programs and people read them.

Tables are `results.formats`, the video, the report and the methods `report`; here files are chosen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_deepmtj.cli._console import print_error, print_line, print_notice
from napari_deepmtj.cli._jobs import run_job
from napari_deepmtj.cli.track import expand
from napari_deepmtj.core.paths import CSV_SUFFIX
from napari_deepmtj.errors import DeepMTJError, ResultError

if TYPE_CHECKING:
    from napari_deepmtj.core.trajectory import Trajectory
    from napari_deepmtj.results.formats import Options

#: What `results.formats` offers, for the help, which loads none of it.
TABLES = ("tidy", "netcdf", "dlc-csv", "dlc-h5", "sto", "mot", "mot-us", "trc", "c3d")
UNITS, INTERPOLATIONS = ("px", "mm", "m"), ("cubic", "linear")
#: What is made for people, with what follows the clip's name.
FOR_PEOPLE = {
    "video": "-annotated.mp4",
    "report-pdf": "-report.pdf",
    "report-html": "-report.html",
    "methods": "-methods.md",
}
#: Extensions that a name given with --out may have.
ENDINGS = {
    "video": (".mp4", ".avi"),
    "report-pdf": (".pdf",),
    "report-html": (".html", ".htm"),
    "methods": (".md", ".txt"),
}


def export(
    results: Annotated[
        list[str], typer.Argument(metavar="RESULT", help=".mtj.csv files; patterns too.")
    ],
    to: Annotated[
        str,
        typer.Option(
            metavar="FORMAT",
            help=f"{', '.join([*TABLES, *FOR_PEOPLE])}. See docs/how-to/exports.md.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="File, or folder for several; beside each result by default."),
    ] = None,
    unit: Annotated[
        str | None,
        typer.Option(
            metavar="UNIT", help=f"Of positions: {', '.join(UNITS)}; the format's by default."
        ),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            metavar="HZ",
            help="Resample to this rate; for clips without times, the rate they are taken to have.",
        ),
    ] = None,
    interpolation: Annotated[
        str,
        typer.Option(metavar="KIND", help=f"When resampling: {' or '.join(INTERPOLATIONS)}."),
    ] = "cubic",
    leave_gaps_out: Annotated[
        bool,
        typer.Option(
            "--leave-gaps-out", help="sto, mot: leave out frames without a position, not refuse."
        ),
    ] = False,
    clip: Annotated[
        Path | None,
        typer.Option(help="Video and report: the clip, if it is not beside the result."),
    ] = None,
    trail: Annotated[
        int, typer.Option(min=0, metavar="FRAMES", help="Video: length of the trail.")
    ] = 25,
    attention: Annotated[
        bool,
        typer.Option("--attention", help="Video: overlay the .mtj-attention.tif of the result."),
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
) -> None:
    """Export results to other programs, or as a video, a one-page report, or a methods text."""
    from napari_deepmtj.results.formats import FORMATS, Options
    from napari_deepmtj.results.trajectory_file import read_trajectory

    if to not in TABLES and to not in FOR_PEOPLE:
        raise typer.BadParameter(
            f"{to!r} is no format; choose {', '.join([*TABLES, *FOR_PEOPLE])}", param_hint="--to"
        )
    files = expand(results)
    options = Options(unit, rate, interpolation, leave_gaps_out)  # type: ignore[arg-type]
    if to == "methods" or (to in FORMATS and FORMATS[to].write_several is not None):
        path = _one_path(files, to, out, overwrite)
        trajectories = [read_trajectory(file) for file in files]
        if to == "methods":
            _write_methods(trajectories, path)
        else:
            _write_table(trajectories, path, to, options)
        return
    if clip is not None and len(files) > 1:
        raise typer.BadParameter("is for one result", param_hint="--clip")
    job = _Job(to, options, clip, trail, attention)
    failures = 0
    for file, path in zip(files, _paths(files, to, out), strict=True):
        try:
            _require_new(path, overwrite)
            job.run(file, read_trajectory(file), path)
        except DeepMTJError as error:
            failures += 1
            print_error(_led_by(file.name, str(error)))
    if failures:
        if len(files) > 1:
            print_error(f"{failures} of {len(files)} results failed")
        raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class _Job:
    """What is the same for every result."""

    to: str
    options: Options
    clip: Path | None
    trail: int
    attention: bool

    def run(self, file: Path, trajectory: Trajectory, path: Path) -> None:
        """Export one result."""
        if self.to in TABLES:
            _write_table([trajectory], path, self.to, self.options)
            return
        makers: dict[str, Callable[[Path, Trajectory, Path], None]] = {
            "video": self._video,
            "report-pdf": self._report,
            "report-html": self._report,
        }
        makers[self.to](file, trajectory, path)
        print_line(f"{trajectory.provenance.clip} -> {path}")

    def _video(self, file: Path, trajectory: Trajectory, path: Path) -> None:
        from napari_deepmtj.core.paths import attention_path
        from napari_deepmtj.report.video import write_annotated_video
        from napari_deepmtj.video.finding import find_clip
        from napari_deepmtj.video.opening import open_video

        maps = attention_path(file) if self.attention else None
        with open_video(find_clip(trajectory.provenance, file.parent, self.clip)) as source:
            job = write_annotated_video(
                source, trajectory, path, trail_frames=self.trail, attention=maps
            )
            run_job(job, source.name)

    def _report(self, file: Path, trajectory: Trajectory, path: Path) -> None:
        from napari_deepmtj.report.quality import write_report
        from napari_deepmtj.video.finding import find_clip
        from napari_deepmtj.video.opening import open_video

        with open_video(find_clip(trajectory.provenance, file.parent, self.clip)) as source:
            run_job(write_report(source, trajectory, path), source.name)


def _write_table(trajectories: list[Trajectory], path: Path, to: str, options: Options) -> None:
    from napari_deepmtj.results import formats as interchange

    for notice in interchange.write(trajectories, path, to, options):
        print_notice(_led_by(_named(trajectories), notice))
    print_line(f"{_named(trajectories)} -> {path}")


def _write_methods(trajectories: list[Trajectory], path: Path) -> None:
    from napari_deepmtj.core.atomic import atomic_write
    from napari_deepmtj.report.methods import methods_text

    atomic_write(path, methods_text([t.provenance for t in trajectories]).encode())
    print_line(f"{_named(trajectories)} -> {path}")


def _named(trajectories: list[Trajectory]) -> str:
    if len(trajectories) == 1:
        return trajectories[0].provenance.clip
    return f"{len(trajectories)} results"


def _one_path(files: list[Path], to: str, out: Path | None, overwrite: bool) -> Path:
    """Return the one file that several results go into."""
    if out is None and len(files) > 1:
        raise typer.BadParameter("name the file that all results go into", param_hint="--out")
    (path,) = _paths(files[:1], to, out)
    _require_new(path, overwrite)
    return path


def _paths(files: list[Path], to: str, out: Path | None) -> list[Path]:
    """Return where each result goes.

    Raises
    ------
    ResultError
        If two would share a file.
    """
    if out is not None and len(files) == 1 and not out.is_dir() and out.suffix:
        _require_suffix(out, to)
        return [out]
    paths = [_default(file, to, out) for file in files]
    taken: dict[str, Path] = {}
    for file, path in zip(files, paths, strict=True):
        other = taken.setdefault(str(path).casefold(), file)
        if other is not file:
            raise ResultError(
                f"{other} and {file} would both be exported to {path.name}; export them apart"
            )
    return paths


def _require_suffix(path: Path, to: str) -> None:
    """Raise ResultError if a file's extension is not one of the format's."""
    from napari_deepmtj.results.formats import FORMATS, require_suffix

    if to in TABLES:
        require_suffix(path, FORMATS[to].title, (FORMATS[to].suffix,))
    else:
        require_suffix(path, f"a {to.replace('-', ' in ')}", ENDINGS[to])


def _default(file: Path, to: str, folder: Path | None) -> Path:
    if to in TABLES:
        from napari_deepmtj.results.formats import default_path

        return default_path(file, to, folder)
    stem = file.name.removesuffix(CSV_SUFFIX) if file.name.endswith(CSV_SUFFIX) else file.stem
    return (file.parent if folder is None else folder) / (stem + FOR_PEOPLE[to])


def _require_new(path: Path, overwrite: bool) -> None:
    if path.exists() and not overwrite:
        raise ResultError("exists; add --overwrite or choose another --out", path=path)


def _led_by(name: str, message: str) -> str:
    return message if name in message else f"{name}: {message}"
