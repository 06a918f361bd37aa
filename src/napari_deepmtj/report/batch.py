"""`report.html` of a batch: what failed and why, what is lacking, and every clip, worst first.

It says what the batch's tables say, which `batch.tables` makes from the results on disk.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from markupsafe import Markup

from napari_deepmtj.core.atomic import atomic_write
from napari_deepmtj.core.jobs import Progress
from napari_deepmtj.core.paths import CSV_SUFFIX
from napari_deepmtj.core.trajectory import Trajectory
from napari_deepmtj.errors import DeepMTJError, ResultError, VideoError
from napari_deepmtj.report.facts import Shown, to_look_at
from napari_deepmtj.report.page import Page
from napari_deepmtj.report.sparks import STEP, spark
from napari_deepmtj.report.thumbnails import WIDTH, thumbnail
from napari_deepmtj.results.trajectory_file import read_trajectory

if TYPE_CHECKING:
    from napari_deepmtj.video.opening import VideoSource

REPORT_NAME = "report.html"
#: Clips of which a frame is shown, and how many names or rows a list has before it says "and".
PICTURES, NAMED, ROWS = 24, 12, 200
#: Columns of times of a picture's curve, which is as wide as the picture.
WIDE = WIDTH // STEP


@dataclass(frozen=True)
class BatchResults:
    """What the report is about.

    Parameters
    ----------
    folder : Path
        Of the batch; results are relative to it, and the report goes there.
    clips, excursions : pandas.DataFrame
        As `clips.csv` and `excursions.csv`.
    facts : tuple of str
        Columns of them that say whose clip it is and of what.
    curves : mapping of str to Markup
        By `result`: x over time, by `sparks.spark`.
    flagged : mapping of str to ndarray of bool, shape (n,)
        By `result`: rows that the quality gate flags.
    opened : callable
        Opens the clip of a `result`, as a context manager.
    """

    folder: Path
    clips: pd.DataFrame
    excursions: pd.DataFrame
    facts: tuple[str, ...]
    curves: Mapping[str, Markup]
    flagged: Mapping[str, npt.NDArray[np.bool_]]
    opened: Callable[[str], AbstractContextManager[VideoSource]]

    @property
    def done(self) -> pd.DataFrame:
        """Clips with a result: nothing in view first, then by `confidence_5_percent`, rising.

        Last are those that a person set whole, of which there is no confidence.
        """
        done = self.clips[self.clips["status"].isin(["done", "partial"])]
        done = done.assign(seen=done["in_view_percent"].astype(float) > 0)
        by = ["seen", "confidence_5_percent", "confidence_median", "result"]
        return done.sort_values(by, na_position="last", kind="stable").drop(columns="seen")


@dataclass(frozen=True)
class _Picture:
    """What is shown of a clip: a frame, or why there is none, and its curve."""

    row: Mapping[Any, Any]
    jpeg: bytes | None
    said: str
    curve: Markup


def write_batch_report(results: BatchResults) -> Generator[Progress, None, Path]:
    """Write the report, atomically.

    Yields
    ------
    Progress
        In clips of which a frame is drawn, `PICTURES` at most.

    Returns
    -------
    Path
        The page.
    """
    worst = results.done.head(PICTURES).to_dict("records")
    pictures = []
    for number, row in enumerate(worst, start=1):
        pictures.append(_picture(results, row))
        yield Progress(number, len(worst), "picture", "report")
    return atomic_write(results.folder / REPORT_NAME, batch_page(results, pictures))


def _picture(results: BatchResults, row: Mapping[Any, Any]) -> _Picture:
    """Read the frame of a clip that most needs to be looked at."""
    curve = Markup()
    try:
        trajectory = read_trajectory(results.folder / row["result"])
        flagged = results.flagged[row["result"]]
        if len(flagged) != len(trajectory):
            raise ResultError("has changed since the tables were made", path=row["result"])
        curve = spark(trajectory, flagged, WIDE)
        shown = _worst(trajectory)
        with results.opened(row["result"]) as source:
            grey = source.read(shown.frame)
        said = trajectory.provenance
        if said.height and grey.shape != (said.height, said.width):
            raise VideoError("has another size than when it was tracked", path=row["file"])
        jpeg = thumbnail(trajectory, shown.frame, grey)
        return _Picture(row, jpeg, f"frame {shown.frame}: {shown.why}", curve)
    except DeepMTJError as error:
        return _Picture(row, None, f"its frame cannot be shown: {error}", curve)


def _worst(trajectory: Trajectory) -> Shown:
    shown = to_look_at(trajectory, 1)
    return shown[0] if shown else Shown(int(trajectory.frames[0]), "no position by the model")


def batch_page(results: BatchResults, pictures: Sequence[_Picture]) -> bytes:
    """Return the page."""
    page = Page("MTJ tracking of a batch")
    _summary(page, results)
    _failed(page, results.clips)
    _lacking(page, results.clips)
    _notices(page, results.clips)
    _excursions(page, results)
    _worst_clips(page, pictures, len(results.done))
    _all_clips(page, results)
    return page.finish()


def _summary(page: Page, results: BatchResults) -> None:
    from napari_deepmtj.version import __version__

    clips, done = results.clips, results.done
    counts = clips["status"].value_counts()
    page.heading(1, "Tracking of the muscle-tendon junction: every clip of a batch")
    rows = [("clips", ", ".join(f"{n} {what}" for what, n in counts.items()))]
    if len(done):
        frames, seconds = int(done["frames"].sum()), float(done["duration_s"].sum())
        rows += [
            ("tracked", f"{frames} frames, {seconds / 60:.1f} min"),
            ("MTJ in view", f"{_mean(done['in_view_percent'], done['frames']):.1f} % of frames"),
            ("flagged", f"{_mean(done['flagged_percent'], done['frames']):.1f} % of frames"),
            (
                "confidence",
                f"median of the clips' medians {done['confidence_median'].median():.2f}",
            ),
            ("rows by hand", f"{int(done['by_hand'].sum())}"),
            ("models", _counted(done["model"])),
            ("scales from", _counted(done["scale_source"].replace("", "none: pixels only"))),
        ]
    today = dt.datetime.now(dt.UTC).date().isoformat()
    page.table(("", ""), [*rows, ("made", f"{today}, napari-deepmtj {__version__}")], words=True)
    page.paragraph(
        "Confidence and standard deviation are the model's own estimates; on images unlike its "
        "training they may be wrong. Look at the clips that are first below, and correct what is "
        "wrong: run the batch again, and tables and report have the corrections.",
        "note",
    )


def _failed(page: Page, clips: pd.DataFrame) -> None:
    """Add the reasons of failures, each once, with what to do and the clips it holds for."""
    failed = clips[clips["status"] == "failed"]
    if not len(failed):
        return
    page.heading(2, f"Failed: {_clips(len(failed))}")
    found: dict[tuple[str, str], list[str]] = {}
    for row in failed.to_dict("records"):
        name = Path(row["file"]).name
        said, _, remedy = str(row["reason"]).removeprefix(f"{name}: ").partition("; ")
        found.setdefault((said, remedy or "mend or replace it"), []).append(str(row["file"]))
    page.table(
        ("why", "what to do", "clips"),
        [(why, todo, _some(files)) for (why, todo), files in found.items()],
        words=True,
    )
    page.paragraph("Mended or replaced, run the same command again: only these are tracked.")


def _lacking(page: Page, clips: pd.DataFrame) -> None:
    """Add what is lacking, what is there twice, and channels that could not be used."""
    done = clips[clips["status"].isin(["done", "partial"])]
    no_scale = done[done["scale_x_mm_per_px"].isna()]
    no_velocity = done[done["excursion_mm"].notna() & done["peak_distal_velocity_mm_per_s"].isna()]
    unseen = done[done["in_view_percent"] == 0]
    copies = done[done["same_content_as"] != ""]
    waiting = clips[clips["status"] == "not tracked yet"]
    scale = "give scale in the table, --scale, or calibrate the clip"
    look = "look at them: another region, another model, or no MTJ"
    side = "give distal_side in the table; a clip without frame times has none"
    points = [
        _point(waiting, "not tracked yet", "run the batch again"),
        _point(
            clips[clips["status"] == "partial"],
            "partial: less than 90 % of the frames could be read",
            "export them again; they are in no mean unless --with-partial says so",
        ),
        _point(no_scale, "without a scale, so without millimetres", scale),
        _point(unseen, "with the MTJ in no frame", look),
        _point(no_velocity, "without velocities", side),
    ]
    if "channels_problem" in done:
        for text, group in done[done["channels_problem"] != ""].groupby(
            "channels_problem", sort=False
        ):
            points.append(_point(group, "whose external file was not used", str(text)))
    said = [text for text in points if text]
    if said or len(copies):
        page.heading(2, "Lacking")
        page.points(said)
    if len(copies):
        page.heading(3, f"The same recording again: {_clips(len(copies))}")
        page.table(
            ("clip", "has the content of"),
            [_names(row) for row in copies.head(ROWS).to_dict("records")],
            words=True,
        )
        page.paragraph(
            "They count in every table; take the rows that should not out of the study."
            + _more(len(copies))
        )


def _point(clips: pd.DataFrame, what: str, remedy: str) -> str:
    if not len(clips):
        return ""
    names = _some(map(_stem, clips["result"], clips["file"]))
    return f"{_clips(len(clips))} {what} ({remedy}): {names}"


def _notices(page: Page, clips: pd.DataFrame) -> None:
    found: dict[str, list[str]] = {}
    for row in clips.to_dict("records"):
        name = Path(row["file"]).name
        for text in filter(None, row["notices"].split(" | ")):
            plain = text.removeprefix(name).removeprefix(":").strip()
            found.setdefault(plain, []).append(_stem(row["result"], row["file"]))
    if found:
        page.heading(2, "Told while tracking")
        said = [f"{text} ({_clips(len(names))}: {_some(names)})" for text, names in found.items()]
        page.points(said[:ROWS])
        if len(said) > ROWS:
            page.paragraph(_more(len(said)).strip(), "note")


def _excursions(page: Page, results: BatchResults) -> None:
    table = results.excursions
    if not len(table):
        return
    page.heading(2, "Excursion by subject and condition")
    by = [name for name in table.columns if name in results.facts]
    shown = {
        "clips": ("clips", 0),
        "clips_with_mm": ("with mm", 0),
        "excursion_mm_mean": ("mean\nmm", 2),
        "excursion_mm_sd": ("SD (n − 1)\nmm", 2),
        "excursion_mm_min": ("least\nmm", 2),
        "excursion_mm_max": ("greatest\nmm", 2),
        "clips_excursion_unreliable": ("not\nreliable", 0),
        "in_view_percent_mean": ("in view\n%", 0),
    }
    rows = [
        [
            *(str(row[name]) for name in by),
            *(_number(row[name], digits) for name, (_, digits) in shown.items()),
        ]
        for row in table.head(ROWS).to_dict("records")
    ]
    page.table([*by, *(title for title, _ in shown.values())], rows)
    page.paragraph(f"More columns: excursions.csv.{_more(len(table))}", "note")


def _worst_clips(page: Page, pictures: Sequence[_Picture], n: int) -> None:
    if not pictures:
        return
    page.heading(2, "Least confident clips")
    page.paragraph(
        f"{len(pictures)} of {n} clips with a result, those in which the least confident "
        "twentieth of the positions is worst (first those without any). Of each the least "
        "confident frame, with the position and its ellipse of two standard deviations; below, x "
        "over time, and in red the rows that the quality gate flags."
    )
    page.open("grid")
    for each in pictures:
        row = each.row
        about = f"{_stem(row['result'], row['file'])}, {each.said}"
        numbers = f"in view {_number(row['in_view_percent'], 0)} %, flagged "
        numbers += f"{_number(row['flagged_percent'], 0)} %"
        if each.jpeg is None:
            page.open("cell")
            page.drawing(each.curve)
            page.paragraph(f"{about} ({numbers})", "note")
            page.close()
        else:
            page.picture(each.jpeg, "jpg", f"{about} ({numbers})", below=each.curve)
    page.close()


def _all_clips(page: Page, results: BatchResults) -> None:
    done = results.done
    if not len(done):
        return
    page.heading(2, "All clips, least confident first")
    facts = [name for name in results.facts if (done[name] != "").any()]
    numbers = {
        "frames": ("frames", 0),
        "in_view_percent": ("in view\n%", 0),
        "confidence_5_percent": ("confidence\n5 % are below", 2),
        "confidence_median": ("confidence\nmedian", 2),
        "flagged_percent": ("flagged\n%", 0),
        "sd_mm_median": ("SD, median\nmm", 2),
        "excursion_mm": ("excursion\nmm", 1),
        "excursion_raw_mm": ("raw\nmm", 1),
    }
    rows = []
    for row in done.to_dict("records"):
        facts_of = [str(row[name]) for name in facts]
        values = [_number(row[name], digits) for name, (_, digits) in numbers.items()]
        values.append(row["excursion_reason"])
        curve = results.curves.get(row["result"], Markup())
        rows.append([_stem(row["result"], row["file"]), curve, *facts_of, *values])
    header = ["clip", "x over time, flagged", *facts, *(title for title, _ in numbers.values())]
    page.table([*header, "excursion not\nreliable, because"], rows)
    page.paragraph(
        "The excursion is between places that several consecutive frames agree on; raw is the "
        "greatest less the least displacement, outliers included.",
        "note",
    )
    page.paragraph(
        "Each curve has its own range, from the least to the greatest x; hold the pointer over it "
        "to read them. clips.csv says more of each clip, and what the columns are is in "
        "docs/how-to/batch.md of napari-deepmtj.",
        "note",
    )


# ---- words ---------------------------------------------------------------------------------


def _stem(result: Any, file: Any) -> str:
    """Return what a clip is called: its result without the ending, else its file."""
    return str(result).removesuffix(CSV_SUFFIX) if result else str(file)


def _clips(n: int) -> str:
    return "1 clip" if n == 1 else f"{n} clips"


def _names(row: Mapping[Any, Any]) -> tuple[str, str]:
    return _stem(row["result"], ""), _stem(row["same_content_as"], "")


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - NAMED} more" if len(listed) > NAMED else ""
    return ", ".join(listed[:NAMED]) + more


def _more(n: int) -> str:
    return f" The first {ROWS} of {n} are listed; the tables have all." if n > ROWS else ""


def _number(value: Any, digits: int) -> str:
    return "" if pd.isna(value) or value == "" else f"{float(value):.{digits}f}"


def _counted(texts: pd.Series) -> str:
    return ", ".join(f"{text} ({n})" for text, n in texts.value_counts().items())


def _mean(values: pd.Series, weights: pd.Series) -> float:
    return float((values * weights).sum() / weights.sum())
