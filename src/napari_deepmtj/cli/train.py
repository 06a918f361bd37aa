"""`napari-deepmtj train`: carry out a recipe, on rendered scenes or on labelled frames."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from napari_deepmtj.cli._options import AnnotatorOption, SubjectPatternOption, SubjectsOption

if TYPE_CHECKING:
    from napari_deepmtj.core.jobs import Progress
    from napari_deepmtj.training.events import Validated
    from napari_deepmtj.training.plan import Plan


def train(
    recipe: Annotated[
        str, typer.Option(help="Name of a recipe, or a TOML file; a wrong name lists them.")
    ] = "compact",
    data: Annotated[
        list[Path] | None,
        typer.Option(help="Labels: folders, label files, or clips with one. Repeatable."),
    ] = None,
    cohort: Annotated[
        bool, typer.Option("--cohort", help="Learn from the phantom cohort; no patient is in it.")
    ] = False,
    real: Annotated[
        Path | None,
        typer.Option(help="Folder of real pictures, for recipes of scenes that use some."),
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", help="Start from this model: an id, or a file.")
    ] = None,
    split: Annotated[
        Literal["subject", "clip", "paper"] | None,
        typer.Option(
            help="What is kept apart; the recipe's by default. `clip` is for one subject."
        ),
    ] = None,
    subjects: SubjectsOption = None,
    subject_pattern: SubjectPatternOption = None,
    annotator: AnnotatorOption = None,
    roi: Annotated[str, typer.Option(help="As `track` takes it.")] = "auto",
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Another length; the schedule in proportion.")
    ] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Frames a step.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Another seed.")] = None,
    name: Annotated[str | None, typer.Option(help="Id of the model that is made.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for pictures, checkpoints and the result; default runs/NAME."),
    ] = None,
    install: Annotated[
        bool, typer.Option("--install", help="Put the model among yours, chosen by its id.")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cuda, mps or cpu.")] = "auto",
    workers: Annotated[
        int, typer.Option(min=1, help="Processes that render, threads that learn.")
    ] = os.cpu_count() or 1,
) -> None:
    """Train a model by a recipe; an interrupted run in the same folder is resumed.

    Recipes for labelled frames need --data or --cohort; the subject of a clip is the name of its
    folder unless --subjects or --subject-pattern says otherwise. The result is
    OUT/NAME.safetensors, which --model takes, and OUT/curves.csv.
    """
    from napari_deepmtj.cli._console import print_line
    from napari_deepmtj.cli._jobs import run_job
    from napari_deepmtj.errors import DeepMTJError
    from napari_deepmtj.inference.device import resolve_device
    from napari_deepmtj.training.loop import train as carry_out
    from napari_deepmtj.training.plan import plan
    from napari_deepmtj.training.recipes import FrameRecipe, SceneRecipe, load_recipe

    chosen = load_recipe(recipe)
    what: Plan | SceneRecipe
    if isinstance(chosen, FrameRecipe):
        if real is not None:
            raise DeepMTJError(
                f"the recipe {chosen.id} learns from labelled frames; --real is for recipes of "
                "scenes, such as compact"
            )
        own = (split, subjects, subject_pattern, annotator)
        if cohort and (roi != "auto" or any(value is not None for value in own)):
            raise DeepMTJError(
                "the cohort has its own split, subjects, labels and regions; leave out --split, "
                "--subjects, --subject-pattern, --annotator and --roi"
            )
        clips = _clips(data, cohort, subjects, subject_pattern, roi=roi, annotator=annotator)
        what = plan(
            chosen,
            clips,
            split=split,
            start=start,
            epochs=epochs,
            batch=batch,
            seed=seed,
            name=name,
        )
        named = what.name
        for side, count in what.counts.items():
            print_line(
                f"{side}: {count.used} frames, {count.clips} clips, {count.subjects} subjects"
            )
    else:
        given = (data, start, split, subjects, subject_pattern, annotator, epochs, batch, seed)
        if cohort or any(value is not None for value in (*given, name)):
            raise DeepMTJError(
                f"the recipe {chosen.id} draws its own scenes, as it says; of these options it "
                "takes --real, --out, --install, --device and --workers"
            )
        what, named = chosen, chosen.id
    folder = out or Path("runs") / named
    job = carry_out(what, folder, device=resolve_device(device), workers=workers, real=real)
    result = run_job(job, "training", _tell)
    print_line(f"{result.path}")
    if result.curves:
        _draw_curves(folder, result.curves)
    for figure, value in result.card.figures.items():
        print_line(f"  {figure}: {value}")
    if install:
        from napari_deepmtj.training.result import install as put

        print_line(f"installed as {put(result.path).card.id}")


def _clips(
    data: list[Path] | None,
    cohort: bool,
    table: Path | None,
    pattern: str | None,
    *,
    roi: str,
    annotator: str | None,
) -> Any:
    """Return the labelled clips asked for, or the cohort's split of its own."""
    from napari_deepmtj.cli._jobs import run_job
    from napari_deepmtj.errors import DeepMTJError
    from napari_deepmtj.labels.labelled import find_labelled
    from napari_deepmtj.labels.subjects import subject_rule

    if bool(data) == cohort:
        raise DeepMTJError("give labels to learn from with --data, or --cohort for the phantom")
    if cohort:
        from napari_deepmtj.phantom.study import study
        from napari_deepmtj.training.cohort import study_split

        return run_job(study_split(study()), "the cohort")
    rule = subject_rule(table, pattern)
    return find_labelled(data or [], rule, roi=roi, annotator=annotator)


def _tell(event: object) -> Progress | None:
    """Print what a run tells as it goes."""
    from napari_deepmtj.cli._console import print_line
    from napari_deepmtj.core.jobs import Progress
    from napari_deepmtj.training.events import Learned, Validated

    if isinstance(event, Learned):
        if event.step % 100 == 0:
            print_line(
                f"step {event.step} of {event.steps}: loss {event.loss:.4g}, "
                f"{event.pictures_per_s:.0f} pictures/s"
            )
        return Progress(event.step, event.steps, "step")
    if isinstance(event, Validated):
        mm = "" if event.error_mm is None else f", {event.error_mm:.2f} mm"
        print_line(
            f"epoch {event.epoch} of {event.epochs}: loss {event.training_loss:.4g}, validation "
            f"{event.loss:.4g}, {event.error_px:.2f} px{mm}{', the best so far' * event.best}"
        )
    return None


def _draw_curves(folder: Path, curves: tuple[Validated, ...]) -> None:
    """Draw what `curves.csv` holds, where the extra for it is installed."""
    from napari_deepmtj.cli._console import print_notice
    from napari_deepmtj.errors import MissingExtraError
    from napari_deepmtj.report.curves import curves_figure
    from napari_deepmtj.report.plots import save_figure
    from napari_deepmtj.training.events import curves_table

    try:
        save_figure(curves_figure(curves_table(curves)), folder / "curves.png")
    except MissingExtraError as error:
        print_notice(str(error))
