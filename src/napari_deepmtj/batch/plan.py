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

from napari_deepmtj.batch import external_channels as beside
from napari_deepmtj.batch.external_channels import Beside
from napari_deepmtj.batch.ledger import Ledger, Line
from napari_deepmtj.batch.presets import Preset, preset_named, read_presets
from napari_deepmtj.batch.study import TABLE, Entry, columns_of
from napari_deepmtj.core.geometry import Roi, Scale
from napari_deepmtj.core.paths import (
    CSV_SUFFIX,
    attention_path,
    json_path,
    result_paths,
    shown_names,
    video_path,
)
from napari_deepmtj.errors import DeepMTJError, ResultError
from napari_deepmtj.inference.backends.base import BackendName
from napari_deepmtj.pipeline import outputs
from napari_deepmtj.pipeline.clip import Request
from napari_deepmtj.video.sidecar import ClipInfo, DistalSide, read_sidecar, sidecar_path
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
        As for a single clip; an entry's own stands above them, and its preset.
    preset : str
        Name of the preset that says what is said nowhere else; "" is none.
    presets : Path or None
        File of presets; a person's own by default.
    attention, fuse, subtract_slip, smooth, video
        As `clip.Request` takes them.
    report : bool
        Whether the report is written at the end.
    with_partial : bool
        Whether clips of which less than 90 % could be read count in means.
    beside : Beside
        How external files are read, and what is measured with them.
    device, backend
        As `inference.backends.select.open_backend` takes them.
    batch : int
        Frames computed at a time, at most.
    at_once : int
        Clips that are decoded at the same time, for one network.
    workers : int
        Processes on this machine that track, each with its own network; with 1 this one does.
    scheduler : str
        Address of a Dask scheduler whose workers track, or "local": a process for every core of
        this machine, or as many as `workers` says; "" is none.
    """

    out: Path
    model: str = DEFAULT_MODEL
    roi: str = "auto"
    scale: Scale | None = None
    preset: str = ""
    presets: Path | None = None
    attention: str | None = None
    fuse: bool = False
    subtract_slip: bool = False
    smooth: str = ""
    video: bool = False
    report: bool = True
    with_partial: bool = False
    beside: Beside = Beside()  # noqa: RUF009 - it is frozen
    device: str = "auto"
    backend: str = "auto"
    batch: int = 16
    at_once: int = 2
    workers: int = 1
    scheduler: str = ""


@dataclass(frozen=True, slots=True)
class Task:
    """One clip, and all that its result depends on but its content.

    Parameters
    ----------
    entry : Entry
        The clip.
    name : str
        The result relative to the batch's folder, `/` between folders: its name in the ledger.
    model : str
        Id or file of the weights.
    distal_side : {"left", "right"} or None
        What entry or preset say; None leaves it to the clip's side-car.
    request : Request
        What is done with it.
    backend : str
        What computes it.
    shown : str
        What messages call the clip.
    """

    entry: Entry
    name: str
    model: str
    distal_side: DistalSide | None
    request: Request
    backend: str = BackendName.AUTO
    shown: str = ""

    @property
    def clip(self) -> Path:
        """The clip's file; the name of an open clip without one."""
        return self.entry.clip

    @property
    def result(self) -> Path:
        """Its `.mtj.csv`."""
        return self.request.result

    @property
    def is_there(self) -> bool:
        """Whether all files of its result are."""
        files = [self.result, json_path(self.result)]
        if self.request.attention is not None:
            files.append(attention_path(self.result))
        if self.request.video:
            files.append(video_path(self.result))
        return all(file.is_file() for file in files)

    def said(self) -> ClipInfo | None:
        """Return what the clip's side-car says, None where there is none.

        Raises
        ------
        CalibrationError
            If it is not as documented.
        """
        return None if self.entry.source is not None else read_sidecar(self.clip)


@dataclass(frozen=True, slots=True)
class Plan:
    """A batch.

    Parameters
    ----------
    tasks : tuple of Task
        In the order of the study.
    options : Options
        What is common to them.
    facts : tuple of str
        Names of what is known about them.
    """

    tasks: tuple[Task, ...]
    options: Options
    facts: tuple[str, ...] = field(default=())


def make_plan(entries: Sequence[Entry], options: Options) -> Plan:
    """Settle what is done with each clip.

    Raises
    ------
    ResultError
        If two clips would share a result, there is no such smoothing or it would undo what else is
        asked for, or an external file could not be synchronised.
    CalibrationError
        If there is no such preset, or the file of presets is not as documented.
    """
    fuse, slip = options.fuse, options.subtract_slip
    outputs.require_sense(options.smooth, fuse=fuse, subtract_slip=slip)
    beside.require_sense(entries, options.beside)
    out = Path(os.path.abspath(options.out))  # noqa: PTH100 - keeps links
    named = options.preset or any(entry.preset for entry in entries)
    presets = read_presets(options.presets) if named else {}
    common = preset_named(options.preset, presets) if options.preset else _NOTHING
    tasks = []
    shown = shown_names([entry.clip for entry in entries])
    for entry, path, called in zip(entries, _results(entries, out), shown, strict=True):
        own = preset_named(entry.preset, presets) if entry.preset else _NOTHING
        request = Request(
            result=path,
            roi=entry.roi or own.roi or _unless_auto(options.roi) or common.roi or "auto",
            scale=entry.scale or own.scale or options.scale or common.scale,
            frames=slice(entry.start, entry.stop),
            attention=options.attention,
            fuse=options.fuse,
            subtract_slip=options.subtract_slip,
            smooth=options.smooth,
            video=options.video,
            overwrite=True,  # a batch runs only what has changed
        )
        side = entry.distal_side or own.distal_side or common.distal_side
        name = path.relative_to(out).as_posix()
        model = entry.model or options.model
        tasks.append(Task(entry, name, model, side, request, options.backend, called))
    return Plan(tuple(tasks), options, tuple(columns_of(entries)))


#: The preset of clips that have none.
_NOTHING = Preset("")


def _unless_auto(roi: str) -> str | None:
    return None if roi == "auto" else roi


def _results(entries: Sequence[Entry], out: Path) -> list[Path]:
    """Return where results go: those of files in their folders, of open clips directly in `out`."""
    files = iter(result_paths([entry.clip for entry in entries if entry.source is None], out))
    paths = [
        next(files) if entry.source is None else out / (entry.clip.name + CSV_SUFFIX)
        for entry in entries
    ]
    taken: dict[str, Entry] = {}
    for entry, path in zip(entries, paths, strict=True):
        other = taken.setdefault(str(path).casefold(), entry)
        if other is not entry:
            raise ResultError(
                f"{entry.clip.name} and {other.clip.name} would both be saved as {path.name}; "
                "rename one, or run them in separate output folders"
            )
    return paths


def key_of(task: Task, sha256: str, weights_sha256: str) -> str:
    """Return what a result is a function of, as a hash.

    Content of the clip and of its side-car, weights, region, scale, frames, and what is done with
    the positions. Device, batch size and backend are not part of it, since they change a result by
    rounding only.
    """
    request, source = task.request, task.entry.source
    said: dict[str, object] = {
        "pipeline": PIPELINE,
        "clip": sha256,
        "weights": weights_sha256,
        "roi": str(request.roi),
        "scale": _numbers(request.scale),
        "frames": [request.frames.start, request.frames.stop],
        "fuse": request.fuse,
        "subtract_slip": request.subtract_slip,
        "smooth": outputs.smooth_key(request.smooth),
    }
    if source is None:
        said["sidecar"] = _sha256_of(sidecar_path(task.clip))
    else:
        said["open"] = {
            "times": hashlib.sha256(source.times.seconds.tobytes()).hexdigest(),
            "scale": _numbers(source.scale),
            "roi": None if source.roi is None else str(source.roi),
        }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _numbers(scale: Scale | None) -> list[float] | None:
    return None if scale is None else [scale.x_mm, scale.y_mm]


def _sha256_of(path: Path) -> str:
    """Return the hash of a small file, "" where there is none."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def known_sha256(line: Line | None, task: Task) -> str:
    """Return the hash of a clip that has not changed since the ledger's line, else ""."""
    if line is None or not line.sha256 or task.entry.source is not None:
        return ""
    try:
        stat = task.clip.stat()
    except OSError:
        return ""
    same = (stat.st_size, stat.st_mtime_ns) == (line.size, line.modified_ns)
    # A folder's own date says nothing of the files in it.
    return line.sha256 if same and task.clip.is_file() else ""


def is_valid(task: Task, line: Line | None, key: str) -> bool:
    """Whether the result that is there is the one of a key, with all that is wanted beside it."""
    return (
        line is not None
        and not line.failed
        and line.key == key
        and task.request.attention in (None, line.facts.get("attention"))
        and (not task.request.video or bool(line.facts.get("video")))
        and task.is_there
    )


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
    sha256 = known_sha256(line, task)
    return bool(sha256) and is_valid(task, line, key_of(task, sha256, weights(task.model)))


def dry_run(plan: Plan) -> pd.DataFrame:
    """List what would be done, one row a clip.

    Returns
    -------
    pandas.DataFrame
        Columns `file`, the facts, `result`, `model`, `roi`, `scale` ("table", "options",
        "side-car", "preset:NAME", what an open clip says, "in the file, perhaps", "none"), `state`
        ("done", "to do", "failed before", "changed", "no file", "done, unless its frames changed"
        of an open clip, or what is wrong with its side-car).

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
            info = task.said()
        except DeepMTJError as error:
            problem = str(error)
        row: Mapping[str, object] = {
            "file": task.clip.as_posix(),
            **{name: task.entry.facts.get(name, "") for name in plan.facts},
            "result": task.name,
            "model": task.model,
            "roi": roi.source if isinstance(roi := task.request.roi, Roi) else roi,
            "scale": _scale_from(task, info),
            "state": problem or _state(task, ledger, known),
        }
        rows.append(row)
    return pd.DataFrame(rows)


def _scale_from(task: Task, info: ClipInfo | None) -> str:
    source = task.entry.source
    if task.request.scale is not None:
        said = task.request.scale.source
        return "table" if said == TABLE else said if said.startswith("preset:") else "options"
    if info is not None and info.scale is not None:
        return "side-car"
    if source is not None:
        return "none" if source.scale is None else source.scale.source
    return "none" if task.clip.suffix.lower() in _WITHOUT_SCALE else "in the file, perhaps"


def _state(task: Task, ledger: Ledger, weights: Callable[[str], str]) -> str:
    line = ledger.line(task.name)
    if task.entry.source is None and not task.clip.exists():
        return "no file"
    if line is None:
        return "to do"
    if line.failed:
        return "failed before"
    if task.entry.source is not None:
        return "done, unless its frames changed"
    return "done" if is_done(task, ledger, weights) else "changed"


def weights_sha256(model: str) -> str:
    """Return the hash of a model's tensors, by its id or file, without loading them.

    Raises
    ------
    WeightsError
        If there is no such model.
    """
    return read_card(resolve_model(model)).sha256
