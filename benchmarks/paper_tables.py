"""The tables of P20 on the phantom cohort: who is in it, Table IV, Fig. 2B and Table III.

    python benchmarks/paper_tables.py --runs FOLDER [--only cohort iv iii] [--write]

P20 is Leitner et al., EMBC 2020, doi:10.1109/EMBC44109.2020.9176145. FOLDER holds one trained model
a recipe (`FOLDER/paper-vgg16/...`), made by the commands that are printed for those which are not
there; frames and clips are drawn into it once. `--write` puts the tables into the docs.
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from markdown_tables import markdown, write_between
from napari_deepmtj.cli._jobs import run_job
from napari_deepmtj.core.geometry import Roi, Scale
from napari_deepmtj.core.labels import Label
from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.evaluation.cases import Case
from napari_deepmtj.evaluation.comparison import Comparison, Evaluation
from napari_deepmtj.evaluation.literature import FIG_2B, INCONSISTENCIES, TABLE_IV
from napari_deepmtj.evaluation.methods import Method, Network, Tracker
from napari_deepmtj.evaluation.runner import evaluate
from napari_deepmtj.evaluation.summary import curve, summarise
from napari_deepmtj.labels.table import labels_path
from napari_deepmtj.phantom.cohort import RATE, write_clip
from napari_deepmtj.phantom.motion import Movement
from napari_deepmtj.phantom.study import Group, Part, Study, StudyClip, study
from napari_deepmtj.report.evaluation_tables import Table, published_iii, table_iii
from napari_deepmtj.tracking.flow import BlockMatching, LucasKanade
from napari_deepmtj.training.cohort import labelled
from napari_deepmtj.training.frames import FrameStore, cut
from napari_deepmtj.training.recipes import FrameRecipe, load_recipe
from napari_deepmtj.video.opening import VideoSource, open_video
from napari_deepmtj.video.stacks.stack import ArraySource
from napari_deepmtj.weights.store import Model, load_model

#: Of so many test subjects a whole clip is tracked.
WHOLE_CLIPS = 6

GROUPS = {Group.HEALTHY: "healthy", Group.IMPAIRED: "impaired-like"}

PAPER = Path(__file__).parents[1] / "docs" / "explanation" / "paper.md"


@dataclass(frozen=True)
class Row:
    """A model of Table IV.

    Parameters
    ----------
    title : str
        As P20 or this project calls it.
    model : str
        Its id.
    recipe : str
        What trains it; empty for weights that are shipped.
    start : str
        The model that training starts from; empty for none.
    """

    title: str
    model: str
    recipe: str = ""
    start: str = ""

    @property
    def command(self) -> str:
        """What trains it, and goes on where it was stopped."""
        start = f" --from {self.start}" if self.start else ""
        return (
            f"napari-deepmtj train --recipe {self.recipe}{start} --cohort --out FOLDER/{self.model}"
        )

    def load(self, runs: Path) -> Model | None:
        """Return the trained model, None if it is not there."""
        if not self.recipe:
            return load_model(self.model)
        path = runs / self.model / f"{self.model}.safetensors"
        return load_model(path) if path.exists() else None


def called(row: Row, model: Model) -> str:
    """Return what a trained model is called: a run shorter than its recipe says so."""
    if not row.recipe:
        return row.title
    recipe, ran = load_recipe(row.recipe), model.card.made_with["recipe"]["epochs"]
    assert isinstance(recipe, FrameRecipe)
    short = ran < recipe.epochs
    return f"{row.title}, {ran} of {recipe.epochs} epochs" if short else row.title


ROWS = (
    Row("VGG16", "paper-vgg16", "paper-vgg16"),
    Row("ResNet50", "paper-resnet50", "paper-resnet50"),
    Row("VGG-Attention-2", "paper-vgg-attention-2", "paper-vgg-attention-2"),
    Row("VGG-Attention-3", "paper-vgg-attention-3", "paper-vgg-attention-3"),
    Row("attention U-Net (P21)", "tbme-attention-unet", "tbme-attention-unet"),
    Row("compact, tuned on the cohort", "compact-finetuned", "finetune", "compact"),
    Row("compact, as shipped", "compact"),
)


def main() -> None:
    """Print, and on request write, what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=("cohort", "iv", "iii"))
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    asked = options.only or ("cohort", "iv", "iii")
    cohort = study()
    parts: dict[str, str] = {}
    if "cohort" in asked:
        parts["cohort"] = cohort_tables(cohort)
    if "iv" in asked:
        parts |= dict(table_iv(cohort, options.runs, options.workers))
    if "iii" in asked:
        parts["table-iii"] = table_iii_text(cohort, options.runs)
    for name, text in parts.items():
        print(f"\n## {name}\n\n{text}")
        if options.write:
            write_between(PAPER, name, text)


def cohort_tables(cohort: Study) -> str:
    """Return who is in the cohort, and what it is split into, measured from its clips."""
    columns = [_measured([c for c in cohort.clips if c.group is group]) for group in Group]
    who = markdown(
        ("", *GROUPS.values()),
        [(what, *(column[what] for column in columns)) for what in columns[0]],
    )

    def of(part: Part) -> list[object]:
        clips = cohort.of(part)
        subjects = {clip.subject: clip.group for clip in clips}
        healthy = sum(group is Group.HEALTHY for group in subjects.values())
        frames = sum(len(clip.frames) for clip in clips)
        return [part.value, f"{healthy} / {len(subjects) - healthy}", len(clips), frames]

    split = markdown(
        ("split", "subjects, healthy / impaired-like", "videos", "annotated frames"),
        [of(part) for part in Part],
    )
    note = "Median (quartiles), measured from the clips; fat at the junction, once a subject."
    return f"{who}\n\n{note}\n\n{split}"


def _measured(clips: list[StudyClip]) -> dict[str, str]:
    """Return what the clips of one group are like, in words."""
    sources = [(clip, clip.source()) for clip in clips]
    firsts = {clip.subject: source for clip, source in reversed(sources)}
    fat = [float(one.scene.fascia_mm - one.scene.skin_mm) for one in firsts.values()]
    contrast = [one.traits.contrast for one in firsts.values()]
    found = {
        "subjects": str(len(firsts)),
        "subcutaneous fat [mm]": _spread(fat),
        "differences between tissues, as drawn in dB, times": _spread(contrast, 2),
    }
    for movement in Movement:
        tips = [source.course.tip_mm for clip, source in sources if clip.movement is movement]
        name = {Movement.MVC: "MVC", Movement.PASSIVE_ROM: "passive ROM"}[movement]
        found[f"{name}: videos"] = str(len(tips))
        found[f"{name}: range of the junction [mm]"] = _spread(map(np.ptp, tips))
        found[f"{name}: peak speed [mm/s]"] = _spread(
            np.abs(np.diff(tip)).max() * RATE for tip in tips
        )
    return found


def _spread(values: Iterable[float], digits: int = 1) -> str:
    low, middle, high = np.percentile(list(values), [25, 50, 75])
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def table_iv(cohort: Study, runs: Path, workers: int) -> Iterator[tuple[str, str]]:
    """Give how models were trained, Table IV, the same by group, and Fig. 2B's curve, by name."""
    cases = test_cases(cohort, runs, workers)
    models = {row: row.load(runs) for row in ROWS}
    methods = [
        Network(model, "cpu", label=called(row, model))
        for row, model in models.items()
        if model is not None
    ]
    found: Comparison = run_job(evaluate(cases, methods), "evaluating", lambda _: None)
    found.errors.to_csv(runs / "table-iv-errors.csv", index=False)
    by_name = {one.name: one for one in found.evaluations}
    yield "training", _training(models)
    yield "table-iv", _iv(by_name, models)
    yield "groups", _groups(found)
    yield "curve", _curve(found)


def test_cases(cohort: Study, runs: Path, workers: int) -> list[Case]:
    """Return the annotated frames of the test subjects, each video's as one clip.

    They are brought to 512 x 256 px first, P20's crop, as those that are learned from are.
    """
    clips = cohort.of(Part.TEST)
    wanted = [labelled(clip) for clip in clips]
    store: FrameStore = run_job(cut(wanted, runs / "frames", workers=workers), "drawing")
    tables = dict(iter(store.table.groupby("clip", sort=False)))
    cases = []
    for clip, known in zip(clips, wanted, strict=True):
        rows = tables[clip.name]
        seconds = np.array([label.time_s for label in known.labels])
        scale = Scale(float(rows["mm_x"].iloc[0]), float(rows["mm_y"].iloc[0]), "phantom")
        opened = partial(_opened, store, rows.index.to_numpy(), clip.name, seconds, scale)
        sha256 = opened().sha256
        labels = tuple(
            Label(
                clip=clip.name,
                clip_sha256=sha256,
                frame=place,
                time_s=float(time),
                x_px=float(x),
                y_px=float(y),
                annotator="phantom",
            )
            for place, (time, x, y) in enumerate(zip(seconds, rows["x"], rows["y"], strict=True))
        )
        side = clip.source().distal_side
        cases.append(Case(clip.name, labels, clip.subject, opened, side, clip.group.value))
    return cases


def _opened(
    store: FrameStore, rows: np.ndarray, name: str, seconds: np.ndarray, scale: Scale
) -> VideoSource:
    source = ArraySource(
        store.pictures(rows), name, times=FrameTimes(seconds, "phantom"), scale=scale
    )
    source.roi = Roi(0, 0, source.width, source.height, "phantom")
    return source


def _training(models: dict[Row, Model | None]) -> str:
    """Return what the cards of the models say of their training on the cohort."""
    rows = []
    for row, model in models.items():
        if model is None or not row.recipe:
            continue
        made = model.card.made_with
        curves, recipe = made["curves"], made["recipe"]
        kept = next(one for one in curves if one["epoch"] == made["epoch"])
        size = sum(value.numel() for value in model.network.parameters()) / 1e6
        rows.append(
            [
                row.title,
                f"{size:.1f} M",
                recipe["epochs"],
                f"{recipe['optimiser']['kind']}, {recipe['optimiser']['learning_rate']:g}",
                recipe["seed"],
                f"{curves[-1]['epoch']}, {made['epoch']}",
                f"{kept['error_mm']:.2f}",
                model.card.sha256[:12],
            ]
        )
    head = ("model", "weights", "epochs", "optimiser, rate", "seed", "epochs run, kept")
    return markdown((*head, "validation mm", "sha256"), rows)


def _iv(by_name: dict[str, Evaluation], models: dict[Row, Model | None]) -> str:
    published = {row.name: row for row in TABLE_IV}
    rows = []
    for row, model in models.items():
        paper = published.get(row.title)
        cells = ["-"] * 3
        if paper is not None:
            cells = [
                f"{paper.mean_mm:.2f} ± {paper.sd_mm:.2f}",
                f"{paper.valid_percent:.2f}",
                f"{paper.rms_percent:.2f}",
            ]
        if model is None:
            rows.append([row.title, *cells, f"not trained here: `{row.command}`", *["-"] * 5])
            continue
        s = by_name[called(row, model)].summary
        rows.append(
            [
                called(row, model),
                *cells,
                f"{s.mean:.2f} ± {s.sd:.2f}",
                f"{s.mean_interval.low:.2f} to {s.mean_interval.high:.2f}",
                f"{s.median:.2f}",
                f"{s.valid:.2f} ({s.valid_interval.low:.1f} to {s.valid_interval.high:.1f})",
                f"{s.rms_percent:.2f}",
                s.missed,
            ]
        )
    head = ["model", *(f"P20, patients: {name}" for name in ("MAE ± SD mm", "valid %", "RMSE %"))]
    head += [
        "phantom, not patients: MAE ± SD mm",
        "95 % interval",
        "median mm",
        "valid % (5 mm)",
        "RMSE %",
        "missed",
    ]
    said = "\n".join(f"- {text}" for text in INCONSISTENCIES)
    return f"{markdown(head, rows)}\n\nNot consistent in P20 itself:\n\n{said}"


def _groups(found: Comparison) -> str:
    rows = []
    for one in found.evaluations:
        for group in Group:
            s = summarise(one.errors[one.errors["group"] == group.value], found.unit)
            rows.append(
                [
                    one.name,
                    GROUPS[group],
                    f"{s.subjects} / {s.visible}",
                    f"{s.mean:.2f} ± {s.sd:.2f}",
                    f"{s.median:.2f}",
                    f"{s.valid:.2f}",
                    s.missed,
                ]
            )
    head = ("model", "group", "subjects / frames", "MAE ± SD mm", "median mm", "valid %", "missed")
    return markdown(head, rows)


def _curve(found: Comparison) -> str:
    radii = tuple(radius for radius, _ in FIG_2B)
    paper = [
        "P20, VGG-Attention-3, patients, read by eye",
        *(f"{value:.0f}" for _, value in FIG_2B),
    ]
    rows = [
        [f"{one.name}, phantom", *(f"{v:.0f}" for v in curve(one.errors, radii)["percent"])]
        for one in found.evaluations
    ]
    return markdown(["% of frames within", *(f"{r:g} mm" for r in radii)], [paper, *rows])


def table_iii_text(cohort: Study, runs: Path) -> str:
    """Return Table III: networks and trackers over whole clips of test subjects."""
    methods: list[Method] = [
        Tracker("pyramidal Lucas-Kanade", LucasKanade()),
        Tracker("block matching", BlockMatching()),
    ]
    for row in ROWS:
        model = row.load(runs)
        if model is not None:
            methods.append(Network(model, "cpu", label=called(row, model)))
    cases = [whole_case(clip, runs / "clips") for clip in whole_clips(cohort)]
    found: Comparison = run_job(evaluate(cases, methods), "tracking", lambda _: None)
    ours = _table(table_iii(found))
    return (
        f"Phantom, not patients; {len(cases)} clips of 15 s, MJPEG, one thread of "
        f"{platform.processor() or platform.machine()}:\n\n{ours}\n\n"
        f"As P20 prints it, each study on its own patients and machine:\n\n"
        f"{_table(published_iii())}"
    )


def whole_clips(cohort: Study) -> list[StudyClip]:
    """Return one clip of each of some test subjects: in turn the first passive ROM and MVC."""
    clips = cohort.some(Part.TEST, WHOLE_CLIPS, len(Movement))
    return [clips[2 * number + number % 2] for number in range(len(clips) // 2)]


def whole_case(clip: StudyClip, folder: Path) -> Case:
    """Return a whole clip with the truth of every frame, written once."""
    path = folder / clip.subject / f"{clip.name}.avi"
    source = clip.source()
    if not labels_path(path).exists():  # written last
        for _ in write_clip(source, path):
            pass
    with open_video(path) as written:
        labels = tuple(source.labels(path.name, written.sha256))
    return Case(
        clip.name,
        labels,
        clip.subject,
        partial(open_video, path),
        source.distal_side,
        clip.group.value,
    )


def _table(table: Table) -> str:
    return markdown([name.replace("\n", " ") for name in table.header], table.rows)


if __name__ == "__main__":
    main()
