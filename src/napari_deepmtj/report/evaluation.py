"""`report.html` of an evaluation: its tables and figures on one page, beside the paper's.

The words of the tables are `evaluation_tables`, the drawings `evaluation_figures` and
`evaluation_pictures`, the page `page`.
"""

from __future__ import annotations

import datetime as dt
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from napari_deepmtj.core.atomic import atomic_write
from napari_deepmtj.errors import MissingExtraError
from napari_deepmtj.evaluation.bootstrap import BOOTSTRAP_SEED, RESAMPLES
from napari_deepmtj.evaluation.comparison import Comparison
from napari_deepmtj.evaluation.gallery import Pictures, Worst
from napari_deepmtj.evaluation.literature import INCONSISTENCIES, P20, P20_TEST
from napari_deepmtj.report.evaluation_figures import (
    curve_figure,
    direction_figure,
    drift_figure,
    subjects_figure,
)
from napari_deepmtj.report.evaluation_files import REPORT_NAME
from napari_deepmtj.report.evaluation_pictures import example_figure, worst_figure
from napari_deepmtj.report.evaluation_tables import (
    DATA_WORDS,
    FEW_SUBJECTS,
    Table,
    bias_table,
    by_group,
    paired_table,
    published_iii,
    published_iv,
    remarks,
    subject_table,
    table_iii,
    table_iv,
)
from napari_deepmtj.report.page import Page

_BADGES = {"phantom": "PHANTOM: made-up clips, not patients", "real": "REAL images"}


def save_report(
    comparison: Comparison, pictures: Pictures, settings: Mapping[str, Any], folder: Path
) -> tuple[list[str], list[str]]:
    """Write `report.html`, atomically.

    Parameters
    ----------
    comparison : Comparison
        What was measured.
    pictures : Pictures
        Frames of it, by `evaluation.gallery.gallery`.
    settings : mapping
        What it was measured with.
    folder : Path
        Made if it is not there.

    Returns
    -------
    list of str
        Names of the files written.
    list of str
        What a person must be told: that it could not be drawn.
    """
    try:
        page = report_page(comparison, pictures, settings)
    except MissingExtraError as error:
        return [], [str(error)]
    atomic_write(folder / REPORT_NAME, page)
    return [REPORT_NAME], []


def report_page(comparison: Comparison, pictures: Pictures, settings: Mapping[str, Any]) -> bytes:
    """Return the page."""
    page = Page(f"MTJ evaluation: {', '.join(one.name for one in comparison.evaluations)}")
    _opening(page, comparison, settings)
    _side_by_side(page, comparison)
    if comparison.unit == "mm":
        _curve(page, comparison)
    _examples(page, comparison, pictures)
    paired = paired_table(comparison)
    if paired is not None:
        _paired(page, paired)
    _trackers(page, comparison)
    _bias(page, comparison)
    _subjects(page, comparison)
    for name, worst in pictures.worst.items():
        _gallery(page, name, worst, comparison.unit)
    _definitions(page)
    return page.finish()


def _opening(page: Page, comparison: Comparison, settings: Mapping[str, Any]) -> None:
    from napari_deepmtj.version import __version__

    s = comparison.evaluations[0].summary
    page.heading(1, "Where the muscle-tendon junction was found, and where it is")
    page.badge(_BADGES[comparison.data], comparison.data)
    page.paragraph(
        f"Measured on {DATA_WORDS[comparison.data]}: {s.subjects} subjects, {s.clips} clips, "
        f"{len(comparison.evaluations[0].errors)} labelled frames; labelled by "
        f"{', '.join(comparison.annotators)}. Lengths are in {comparison.unit}."
    )
    if comparison.data == "phantom":
        page.paragraph(
            "The clips are drawn by the computer, and their truth is known exactly. What is "
            "measured on them says how methods compare on such pictures, and nothing about "
            "how they do on patients."
        )
    page.points(remarks(comparison))
    today = dt.datetime.now(dt.UTC).date().isoformat()
    page.paragraph(
        f"napari-deepmtj {__version__}, {today}, on {platform.system()} {platform.machine()}; "
        f"settings: {_words(settings)}.",
        "note",
    )
    page.table(
        ("method", "kind", "what it is"),
        [
            (one.name, one.kind, ", ".join(f"{key} {value}" for key, value in one.about.items()))
            for one in comparison.evaluations
        ],
        words=True,
    )


def _side_by_side(page: Page, comparison: Comparison) -> None:
    page.heading(2, "Methods side by side (as P20, Table IV)")
    _add(page, table_iv(comparison))
    page.paragraph(
        "MAE: mean Euclidean distance to the label; SD: pooled over all frames, n − 1. A frame in "
        "which the junction is in view but not found counts as outside every radius. RMSE %: of "
        "the diagonal of the region used. Intervals are drawn over subjects.",
        "note",
    )
    groups = by_group(comparison)
    if groups is not None:
        page.heading(3, "By group")
        _add(page, groups)
    page.open("published")
    page.heading(3, "P20, Table IV, as printed there")
    _add(page, published_iv())
    page.paragraph(f"{P20}. Its test set: {P20_TEST}. {_apart(comparison)}", "note")
    page.paragraph("Known inconsistencies of the source:", "note")
    page.points(INCONSISTENCIES)
    page.close()


def _curve(page: Page, comparison: Comparison) -> None:
    page.heading(2, "Share of frames within a radius (as P20, Fig. 2B)")
    page.figure(
        curve_figure(comparison),
        "svg",
        "Percent of the frames in view whose position lies within a radius of the label; bands: "
        "95 % over subjects. Open circles: VGG-Attention-3 as published, on P20's own real test "
        "set, read off its Fig. 2B by eye, so to a percent or two. " + _apart(comparison),
    )


def _examples(page: Page, comparison: Comparison, pictures: Pictures) -> None:
    if not pictures.examples:
        return
    page.heading(2, "All methods on one frame (as P20, Fig. 2A)")
    page.paragraph(
        "Chosen by rule: of the frames in which every method has a position, those at these "
        "percentiles of the methods' mean error."
    )
    for percentile, picture in pictures.examples:
        clip = picture.marks.clip
        page.figure(
            example_figure(picture),
            "jpg",
            f"{percentile:g}th percentile: subject {clip.subject}, {clip.clip}, frame "
            f"{picture.marks.frame}{_at(picture.time_s)}.",
        )


def _paired(page: Page, table: Table) -> None:
    page.heading(2, "Differences between methods, on the same frames")
    _add(page, table)
    page.paragraph(
        "A − B: a negative difference of the error, or a positive one of valid %, says that A "
        "is nearer to the labels than B. The error is compared in the frames "
        "in which both have a position, valid % in all frames in view. Intervals: whole subjects "
        "drawn anew, the same for both methods; they are not corrected for the number of "
        "comparisons.",
        "note",
    )


def _trackers(page: Page, comparison: Comparison) -> None:
    trackers = [one for one in comparison.evaluations if one.kind == "tracker"]
    page.heading(2, "Errors and time beside classical tracking (as P20, Table III)")
    _add(page, table_iii(comparison))
    words = (
        "Seconds per 200 frames were measured in this run, one method after the other on this "
        "machine, reading the frames included."
    )
    if trackers:
        words += (
            " A tracker is put on the true position in the first frame with a visible label and "
            "follows every frame from there to the end; that first frame counts for no tracker. "
            "Where it loses the place it has none from then on."
        )
    page.paragraph(words, "note")
    if trackers:
        page.figure(
            drift_figure(comparison),
            "svg",
            "Median error over the time since the first visible label of the clip, in ten equal "
            "spans: what drifts, rises. Frames without a position are left out.",
        )
    page.open("published")
    page.heading(3, "P20, Table III, as printed there")
    _add(page, published_iii())
    page.paragraph(
        f"{P20}. Real images, each study on its own subjects, machines and years. "
        f"{_apart(comparison)} The ± of P20's own row is a mean of the SDs of batches; pooled it "
        "is 2.14 mm.",
        "note",
    )
    page.close()


def _bias(page: Page, comparison: Comparison) -> None:
    page.heading(2, "Bias along and across the tendon")
    _add(page, bias_table(comparison))
    sources = _clip_axes(comparison)
    page.paragraph(
        "Along: positive proximally; across: positive deeper. The tendon's axis is that of each "
        f"clip's own labels where they travel at least 5 mm along a line ({sources['labels']} "
        f"clips), else the picture's horizontal ({sources['horizontal']} clips); the CSV says "
        "which for every frame. Which way is proximal comes from the clip's distal side; clips "
        "without one count for the mean without sign only.",
        "note",
    )
    if any(one.summary.along.frames for one in comparison.evaluations):
        page.figure(
            direction_figure(comparison),
            "svg",
            "Each point is a frame, seen from its label in the middle; green: 5 mm; cross: the "
            "mean. Clips with a known distal side; the axes hold 98 % of the frames.",
        )


def _subjects(page: Page, comparison: Comparison) -> None:
    page.heading(2, "By subject")
    means = [
        f"{one.name} {one.summary.subjects_mean:.2f} ± {one.summary.subjects_sd:.2f}"
        for one in comparison.evaluations
    ]
    page.paragraph(
        f"Mean ± SD of the subjects' mean errors, each subject weighing alike: {'; '.join(means)} "
        f"{comparison.unit}."
    )
    page.figure(
        subjects_figure(comparison),
        "svg",
        "Mean error of each subject, joined over the methods; bar: mean of the subjects.",
    )
    page.paragraph(
        f"Each cell: MAE ± SD and median in {comparison.unit} of the subject's frames, and valid % "
        "(5 mm).",
        "note",
    )
    _add(page, subject_table(comparison))


def _gallery(page: Page, name: str, worst: tuple[Worst, ...], unit: str) -> None:
    if not worst:
        return
    page.heading(2, f"Where {name} did worst (as P20, Fig. 3)")
    page.paragraph(
        "The frames farthest from their label, then those missed or invented; every clip in its "
        "turn, and frames of one clip at least a tenth of it apart. Above: green, the label with "
        "its 5 mm ring; ×, the position. Below: the same under the network's combined attention, "
        "each map scaled to its own maximum.",
        "note",
    )
    page.open("grid")
    for each in worst:
        marks = each.picture.marks
        what = {
            "far": f"{marks.errors[name]:.1f} {marks.unit} off",
            "missed": "in view, not found",
            "invented": "not in view, but found",
        }[each.why]
        where = f"{marks.clip.subject}, {marks.clip.clip}, frame {marks.frame}"
        maps = "" if each.picture.attention is not None else "; this network has no attention"
        page.figure(
            worst_figure(each.picture, name),
            "jpg",
            f"{what}: {where}{_at(each.picture.time_s)}{maps}",
        )
    page.close()


def _definitions(page: Page) -> None:
    page.heading(2, "How this was computed")
    page.points(
        [
            f"Intervals: 95 % percentile bootstrap, {RESAMPLES} draws of whole subjects with "
            f"replacement, seed {BOOTSTRAP_SEED}; frames of one subject are not independent. Below "
            f"about {FEW_SUBJECTS} subjects they are too narrow.",
            "Every figure can be computed again from evaluation.csv, which has one row a labelled "
            "frame and method. Definitions: docs/explanation/evaluation.md of napari-deepmtj.",
            f"P20: {P20}.",
        ]
    )


def _add(page: Page, table: Table) -> None:
    page.table(table.header, table.rows)


def _apart(comparison: Comparison) -> str:
    """Say how the paper's figures and these relate."""
    if comparison.data == "phantom":
        return "Real images of patients and volunteers: not the same task as the phantom above."
    return "Other images than those above, unless these are that very test set."


def _clip_axes(comparison: Comparison) -> dict[str, int]:
    """Count the clips whose axis came from their labels, and the others."""
    errors: pd.DataFrame = comparison.evaluations[0].errors
    clips = errors[["subject", "clip", "clip_sha256", "axis_from"]].drop_duplicates()
    counts = clips["axis_from"].value_counts()
    return {name: int(counts.get(name, 0)) for name in ("labels", "horizontal")}


def _at(seconds: float) -> str:
    return "" if seconds != seconds else f" ({seconds:.2f} s)"


def _words(settings: Mapping[str, Any]) -> str:
    said = []
    for key, value in settings.items():
        inner = f"({_words(value)})" if isinstance(value, Mapping) else str(value)
        said.append(f"{key.replace('_', ' ')} {inner}")
    return ", ".join(said)
