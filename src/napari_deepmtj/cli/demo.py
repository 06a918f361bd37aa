"""`napari-deepmtj demo`: the main job on a made-up clip, with its error against the truth."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_deepmtj.cli._console import print_line
from napari_deepmtj.cli._jobs import run_job
from napari_deepmtj.core.jobs import Done, Progress
from napari_deepmtj.errors import ResultError

if TYPE_CHECKING:
    from napari_deepmtj.core.trajectory import Trajectory
    from napari_deepmtj.evaluation.cases import Case
    from napari_deepmtj.evaluation.comparison import Comparison, Evaluation
    from napari_deepmtj.weights.store import Model


def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything.")] = Path("demo-output"),
    frames: Annotated[int, typer.Option(min=2, help="Length of the clip, at 25 Hz.")] = 150,
    model: Annotated[
        str, typer.Option(metavar="ID|FILE", help="See `napari-deepmtj models`.")
    ] = "compact",
    device: Annotated[
        str, typer.Option(metavar="DEVICE", help="auto, cuda, cuda:N, mps or cpu.")
    ] = "auto",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier demonstration there.")
    ] = False,
) -> None:
    """Make a moving ultrasound clip, track it, and compare with where its MTJ truly is."""
    from napari_deepmtj.core.paths import json_path, result_path
    from napari_deepmtj.evaluation.cases import find_cases
    from napari_deepmtj.report.plots import save_figure, time_plot
    from napari_deepmtj.report.video import write_annotated_video
    from napari_deepmtj.results.trajectory_file import write_trajectory
    from napari_deepmtj.video.opening import open_video
    from napari_deepmtj.weights.store import load_model

    clip = out / "demo.avi"
    results = result_path(clip)
    if results.exists() and not overwrite:
        raise ResultError("exists; add --overwrite or choose another --out", path=results)

    loaded = load_model(model)
    print_line(f"Drawing a made-up ultrasound clip of {frames} frames ...")
    run_job(_drawing(clip, frames), "drawing")
    print_line("Tracking its muscle-tendon junction ...")
    (case,) = find_cases([clip])
    trajectory, evaluation = _tracked(case, loaded, device)
    write_trajectory(trajectory, results, overwrite=overwrite)
    print_line("Drawing what was found ...")
    video = out / "demo-annotated.mp4"
    with open_video(clip) as source:
        run_job(write_annotated_video(source, trajectory, video, case.labels), "annotating")
    plot = save_figure(time_plot(trajectory, case.labels), out / "demo-over-time.png")

    s = evaluation.summary
    print_line()
    print_line(f"mean error   {s.mean:.2f} {s.unit} against the clip's truth ({s.visible} frames)")
    print_line(f"within 5 mm  {s.valid:.1f} % of the frames")
    print_line(f"time         {evaluation.ms_per_frame:.1f} ms a frame, decoding included")
    print_line("This clip is made up, of a subject chosen for a clear junction; others are harder.")
    print_line()
    for name, path in (
        ("clip", clip),
        ("positions", results),
        ("how they were made", json_path(results)),
        ("over time", plot),
        ("annotated video", video),
    ):
        print_line(f"{name + ':':20}{path}")


def _drawing(clip: Path, frames: int) -> Iterator[Progress | Done[Path]]:
    from napari_deepmtj.phantom import demo_clip, write_clip

    yield from write_clip(demo_clip(frames), clip)
    yield Done(clip)


def _tracked(case: Case, model: Model, device: str) -> tuple[Trajectory, Evaluation]:
    """Track the clip through the one pipeline and compare with its truth."""
    from napari_deepmtj.evaluation.methods import Network
    from napari_deepmtj.evaluation.runner import CaseDone, evaluate
    from napari_deepmtj.inference.device import resolve_device

    found: list[Trajectory] = []

    def keep(event: CaseDone) -> None:
        found.append(event.trajectory)

    device = resolve_device(device)
    job = evaluate([case], [Network(model, device)])
    comparison: Comparison = run_job(job, "tracking", keep)
    return found[0], comparison.evaluations[0]
