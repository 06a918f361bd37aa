"""What a batch will do with each clip, settled before anything runs.

Nothing is computed and no clip is opened here: a plan of ten thousand clips takes seconds.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pandas as pd

from napari_deepmtj.batch.ledger import Ledger, Line
from napari_deepmtj.batch.study import Entry, columns_of
from napari_deepmtj.core.geometry import Scale
from napari_deepmtj.errors import DeepMTJError
from napari_deepmtj.io.paths import result_paths
from napari_deepmtj.io.sidecar import ClipInfo, read_sidecar, sidecar_path
from napari_deepmtj.weights.store import DEFAULT_MODEL, read_card, resolve_model

#: Changes when the same clip, weights and settings give other numbers than before.
PIPELINE = 1
#: Kinds of files that never hold millimetres of their own, by their usual extensions.
_WITHOUT_SCALE = tuple(
    ".avi .mp4 .mov .mkv .wmv .m4v .webm .mpg .mpeg .gif .png .jpg .jpeg .bmp .npy".split()  # noqa: SIM905
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is the same for all clips whose entry says nothing else.

    Parameters
    ----------
    out : Path
        Folder of the batch: results in the clips' own folders below it, tables, report, ledger.
    model, roi, scale
        As for a single clip; an entry's own stands above them.
    device : str
        As `inference.device.resolve_device` takes it.
    batch : int
        Frames computed at a time, at most.
    at_once : int
        Clips that are decoded at the same time, for one network.
    """

    out: Path
    model: str = DEFAULT_MODEL
    roi: str = "auto"
    scale: Scale | None = None
    device: str = "auto"
    batch: int = 16
    at_once: int = 2


@dataclass(frozen=True, slots=True)
class Task:
    """One clip, and all that its result depends on but its content.

    Parameters
    ----------
    entry : Entry
        The clip.
    result : Path
        Its `.mtj.csv`.
    name : str
        The result relative to the batch's folder, `/` between folders: its name in the ledger.
    model, roi, scale
        What is used for it.
    """

    entry: Entry
    result: Path
    name: str
    model: str
    roi: str
    scale: Scale | None

    @property
    def clip(self) -> Path:
        """The clip's file."""
        return self.entry.clip


@dataclass(frozen=True, slots=True)
class Plan:
    """A batch.

    Parameters
    ----------
    tasks : tuple of Task
        In the order of the study.
    options : Options
        What is common to them.
    """

    tasks: tuple[Task, ...]
    options: Options
    facts: tuple[str, ...] = field(default=())


def make_plan(entries: Sequence[Entry], options: Options) -> Plan:
    """Settle what is done with each clip.

    Raises
    ------
    ResultError
        If two clips would share a result.
    """
    out = Path(os.path.abspath(options.out))  # noqa: PTH100 - keeps links
    paths = result_paths([entry.clip for entry in entries], out)
    tasks = tuple(
        Task(
            entry,
            path,
            path.relative_to(out).as_posix(),
            entry.model or options.model,
            entry.roi or options.roi,
            entry.scale or options.scale,
        )
        for entry, path in zip(entries, paths, strict=True)
    )
    return Plan(tasks, options, tuple(columns_of(entries)))


def key_of(task: Task, sha256: str, weights_sha256: str) -> str:
    """Return what a result is a function of, as a hash.

    Content of the clip and of its side-car, weights, region, scale and frames.
    Device and batch size are not part of it: they change a result by rounding only.
    """
    scale = None if task.scale is None else [task.scale.x_mm, task.scale.y_mm]
    try:
        beside = hashlib.sha256(sidecar_path(task.clip).read_bytes()).hexdigest()
    except OSError:
        beside = ""
    entry = task.entry
    said = {
        "pipeline": PIPELINE,
        "clip": sha256,
        "sidecar": beside,
        "weights": weights_sha256,
        "roi": task.roi,
        "scale": scale,
        "frames": [entry.start, entry.stop],
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def known_sha256(line: Line | None, task: Task) -> str:
    """Return the hash of a clip that has not changed since the ledger's line, else ""."""
    if line is None or not line.sha256:
        return ""
    try:
        stat = task.clip.stat()
    except OSError:
        return ""
    same = (stat.st_size, stat.st_mtime_ns) == (line.size, line.modified_ns)
    # A folder's own date says nothing of the files in it.
    return line.sha256 if same and task.clip.is_file() else ""


def is_done(task: Task, ledger: Ledger, weights: Callable[[str], str]) -> bool:
    """Whether the result that is there is the one that running the task again would give.

    Parameters
    ----------
    task, ledger
        What is asked about.
    weights : callable
        Gives the hash of a model's weights by its id or file.
    """
    line = ledger.line(task.name)
    if line is None or line.failed or not task.result.is_file():
        return False
    sha256 = known_sha256(line, task)
    return bool(sha256) and line.key == key_of(task, sha256, weights(task.model))


def dry_run(plan: Plan) -> pd.DataFrame:
    """List what would be done, one row a clip.

    Returns
    -------
    pandas.DataFrame
        Columns `file`, the facts, `result`, `model`, `roi`, `scale` ("table", "options",
        "side-car", "in the file, perhaps", "none"), `state` ("done", "to do", "failed before",
        "changed", "no file", or what is wrong with its side-car).

    Raises
    ------
    ResultError, WeightsError
        If the ledger is damaged, or a model is not there.
    """
    ledger = Ledger.of(plan.options.out)
    known = cache(weights_sha256)
    for model in {task.model for task in plan.tasks}:
        known(model)
    rows = []
    for task in plan.tasks:
        info: ClipInfo | None = None
        problem = ""
        try:
            info = read_sidecar(task.clip)
        except DeepMTJError as error:
            problem = str(error)
        row: Mapping[str, object] = {
            "file": task.clip.as_posix(),
            **{name: task.entry.facts.get(name, "") for name in plan.facts},
            "result": task.name,
            "model": task.model,
            "roi": task.roi,
            "scale": _scale_from(task, info),
            "state": problem or _state(task, ledger, known),
        }
        rows.append(row)
    return pd.DataFrame(rows)


def _scale_from(task: Task, info: ClipInfo | None) -> str:
    if task.entry.scale is not None:
        return "table"
    if task.scale is not None:
        return "options"
    if info is not None and info.scale is not None:
        return "side-car"
    return "none" if task.clip.suffix.lower() in _WITHOUT_SCALE else "in the file, perhaps"


def _state(task: Task, ledger: Ledger, weights: Callable[[str], str]) -> str:
    line = ledger.line(task.name)
    if not task.clip.exists():
        return "no file"
    if line is None:
        return "to do"
    if line.failed:
        return "failed before"
    return "done" if is_done(task, ledger, weights) else "changed"


def weights_sha256(model: str) -> str:
    """Return the hash of a model's tensors, by its id or file, without loading them.

    Raises
    ------
    WeightsError
        If there is no such model.
    """
    return read_card(resolve_model(model)).sha256
