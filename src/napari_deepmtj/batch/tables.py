"""The tables of a whole batch: every frame, every clip, and excursions by subject and condition.

They are made from the results on disk, one clip after the other, so that they are the same however
often the batch was interrupted, and take the corrections that people made since.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Collection, Generator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
import pandas as pd
from markupsafe import Markup

from napari_deepmtj.batch.clip_figures import EXCURSION, FIGURES, measured
from napari_deepmtj.batch.external_channels import CHANNEL_COLUMNS, measured_beside
from napari_deepmtj.batch.ledger import Ledger, Line
from napari_deepmtj.batch.plan import Plan, Task
from napari_deepmtj.batch.study_figures import excursions
from napari_deepmtj.core.atomic import atomic_path, atomic_write
from napari_deepmtj.core.jobs import Notice, Progress
from napari_deepmtj.core.trajectory import COLUMNS, Trajectory
from napari_deepmtj.errors import DeepMTJError
from napari_deepmtj.labels.table import guarded
from napari_deepmtj.mechanics.positions import Used, used_positions
from napari_deepmtj.report.batch import BatchResults, write_batch_report
from napari_deepmtj.report.sparks import spark
from napari_deepmtj.results.trajectory_file import read_trajectory
from napari_deepmtj.video.opening import open_video

if TYPE_CHECKING:
    from napari_deepmtj.video.opening import VideoSource

#: Names of the tables in a batch's folder.
FRAMES_NAME, CLIPS_NAME, EXCURSIONS_NAME = "frames.csv", "clips.csv", "excursions.csv"

#: Columns of `clips.csv` after `file` and the facts; docs/how-to/batch.md says what they are.
CLIP_COLUMNS: tuple[str, ...] = (
    *("result", "status", "reason", "same_content_as"),
    *("frames", "duration_s", "in_view_percent"),
    *("confidence_median", "confidence_5_percent", "sd_mm_median", "by_hand", "flagged_percent"),
    *EXCURSION,
    *FIGURES.values(),
    *("scale_x_mm_per_px", "scale_y_mm_per_px", "scale_source"),
    *("positions", "roi", "model", "notices"),
)
#: A notice names so many clips at most.
MOST_NAMES = 5
#: All names that a column of facts cannot have.
CLIP_NAMES = frozenset({"file", *CLIP_COLUMNS, *CHANNEL_COLUMNS})
#: Those that are texts, "" where there is nothing to say.
TEXTS = frozenset(
    {"result", "status", "reason", "same_content_as", "scale_source", "positions", "roi", "model"}
    | {"notices", "excursion_reason", "external_file", "sync", "channels_problem"}
)


@dataclass(frozen=True, slots=True)
class Tables:
    """Where the tables are.

    Parameters
    ----------
    frames, clips, excursions : Path
        One row a frame; one row a clip, failed ones too; one row a subject and condition.
    report : Path or None
        The page about them; None if it was not asked for.
    """

    frames: Path
    clips: Path
    excursions: Path
    report: Path | None = None


def write_tables(plan: Plan) -> Generator[Progress | Notice, None, Tables]:
    """Write the tables of a batch, and its report, from the results on disk.

    Yields
    ------
    Progress
        In clips, then in pictures of the report.
    Notice
        Which external file could not be used.

    Returns
    -------
    Tables

    Raises
    ------
    ResultError
        If they cannot be written, or the ledger is damaged.
    """
    out = plan.options.out
    ledger = Ledger.of(out)
    rows: list[dict[str, object]] = []
    first_of: dict[str, str] = {}
    curves: dict[str, Markup] = {}
    flagged: dict[str, np.ndarray] = {}
    with (
        atomic_path(out / FRAMES_NAME) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        header = True
        for number, task in enumerate(plan.tasks, start=1):
            line = ledger.line(task.name)
            row = _about(plan, task, line)
            if line is not None and not line.failed:
                row["same_content_as"] = first_of.get(line.sha256, "")
                first_of.setdefault(line.sha256, task.name)
                try:
                    trajectory = read_trajectory(task.result)
                    used = used_positions(trajectory)
                    row |= _measured(plan, task, trajectory, used)
                except DeepMTJError as error:
                    row |= {"result": "", "status": "failed", "reason": str(error)}
                else:
                    if problem := row.get("channels_problem"):
                        yield Notice(f"{task.name}: {problem}")
                    flagged[task.name] = used.flagged
                    curves[task.name] = spark(trajectory, used.flagged)
                    _append_frames(file, plan, task, trajectory, header=header)
                    header = False
            rows.append(row)
            yield Progress(number, len(plan.tasks), "clip", "tables")
    there = {name for row in rows for name in row}  # of figures, those that any clip has
    columns = [*CLIP_COLUMNS, *(name for name in CHANNEL_COLUMNS if name in there)]
    facts = tuple(_free(name, CLIP_NAMES) for name in plan.facts)
    clips = pd.DataFrame(rows, columns=["file", *facts, *columns])
    texts = [name for name in columns if name in TEXTS]
    clips[texts] = clips[texts].astype(object).where(clips[texts].notna(), "")
    groups = excursions(clips, facts, with_partial=plan.options.with_partial)
    partial = clips.loc[clips["status"] == "partial", "file"].tolist()
    if partial and not plan.options.with_partial:
        names = ", ".join(partial[:MOST_NAMES]) + (", ..." if len(partial) > MOST_NAMES else "")
        yield Notice(
            f"{len(partial)} of {len(clips)} clips are partial (less than 90 % of the frames could "
            f"be read) and left out of {EXCURSIONS_NAME}: {names}"
        )
    atomic_write(out / CLIPS_NAME, _csv(clips).encode())
    atomic_write(out / EXCURSIONS_NAME, _csv(groups).encode())
    report = None
    if plan.options.report:
        about = BatchResults(out, clips, groups, facts, curves, flagged, _opener(plan))
        report = yield from write_batch_report(about)
    return Tables(out / FRAMES_NAME, out / CLIPS_NAME, out / EXCURSIONS_NAME, report)


def _opener(plan: Plan) -> Callable[[str], AbstractContextManager[VideoSource]]:
    """Return what opens the clip of a result, as a context manager."""
    tasks = {task.name: task for task in plan.tasks}

    def opened(name: str) -> AbstractContextManager[VideoSource]:
        task = tasks[name]
        if task.entry.source is not None:
            return nullcontext(task.entry.source)
        return open_video(task.clip, background=True)

    return opened


def _about(plan: Plan, task: Task, line: Line | None) -> dict[str, object]:
    """Return what is known of a clip without its result."""
    status = "not tracked yet"
    if line is not None:
        status = "failed" if line.failed else "partial" if line.partial else "done"
    notices = () if line is None else line.facts.get("notices", ())
    return {
        "file": task.clip.as_posix(),
        **{_free(name, CLIP_NAMES): task.entry.facts.get(name, "") for name in plan.facts},
        "result": task.name if status in ("partial", "done") else "",
        "status": status,
        "reason": "" if line is None else line.failed or line.partial,
        "same_content_as": "",
        "notices": " | ".join(notices),
    }


def _measured(plan: Plan, task: Task, trajectory: Trajectory, used: Used) -> dict[str, object]:
    side = task.distal_side
    if side is None:
        info = task.said()
        side = None if info is None else info.distal_side
    beside = measured_beside(task.entry, plan.options.beside, used.trajectory, side)
    return measured(trajectory, used, side) | beside


def _append_frames(
    file: IO[str], plan: Plan, task: Task, trajectory: Trajectory, *, header: bool
) -> None:
    table = trajectory.table.copy()
    table["in_view"] = table["in_view"].astype(int)
    facts = {"file": task.clip.as_posix()} | {n: task.entry.facts.get(n, "") for n in plan.facts}
    for place, (name, text) in enumerate(facts.items()):
        table.insert(place, _free(name, COLUMNS), guarded(text))
    table.to_csv(
        file,
        header=header,
        index=False,
        lineterminator="\n",
        float_format="%.10g",
        quoting=csv.QUOTE_MINIMAL,
    )


def _free(name: str, taken: Collection[str]) -> str:
    """Return a name for a fact's column that no other column has."""
    return f"study_{name}" if name in taken else name


def _csv(table: pd.DataFrame) -> str:
    text = io.StringIO()
    safe = table.copy()
    for name in safe.columns:
        if safe[name].dtype == object:
            safe[name] = [guarded(v) if isinstance(v, str) else v for v in safe[name]]
    safe.to_csv(text, index=False, lineterminator="\n", float_format="%.10g")
    return text.getvalue()
