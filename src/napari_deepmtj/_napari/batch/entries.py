"""What a person chose for a batch, as the entries and options of the core; for a worker.

What is then done with them is `batch`; who chooses is `controller`. Needs no Qt.
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_deepmtj._napari.batch.rows import Rows, rows_of
from napari_deepmtj._napari.viewer import clips
from napari_deepmtj.errors import CalibrationError
from napari_deepmtj.video.sidecar import ClipInfo
from napari_deepmtj.weights.store import DEFAULT_MODEL

if TYPE_CHECKING:
    from napari_deepmtj.batch.plan import Options, Plan
    from napari_deepmtj.batch.study import Entry
    from napari_deepmtj.video.opening import VideoSource

#: Endings of files that are study tables.
TABLES = (".csv", ".tsv", ".xlsx", ".xlsm")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a person wants of a batch.

    Parameters
    ----------
    out : Path or None
        Folder for the results; must be chosen before anything runs.
    include : str
        Of folders, only files with names such as these, separated by spaces; empty is all.
    pattern : str
        Regular expression with named groups: what paths say of their clips; empty is nothing.
    model, device, backend : str
        As `batch.plan.Options` takes them.
    roi, preset : str
        Region and preset of clips of which nothing else is said.
    attention : str
        Which attention map is saved; empty is none.
    fuse : bool
        Whether positions are fused with the motion of the tissue.
    video, report : bool
        Whether an annotated video of each clip is made, and a report on all.
    """

    out: Path | None = None
    include: str = ""
    pattern: str = ""
    model: str = DEFAULT_MODEL
    device: str = "auto"
    backend: str = "auto"
    roi: str = "auto"
    preset: str = ""
    attention: str = ""
    fuse: bool = False
    video: bool = False
    report: bool = True


@dataclass(frozen=True, slots=True)
class Opened:
    """A layer, as a worker needs it.

    Parameters
    ----------
    source : VideoSource
        The clip behind it.
    info : ClipInfo
        What is known of it in the window: scale, region, distal side.
    """

    source: VideoSource
    info: ClipInfo

    @classmethod
    def of(cls, layer: Any) -> Opened:
        """Return what is behind a layer; on the main thread."""
        return cls(clips.source_of(layer), clips.info_of(layer))


@dataclass(frozen=True, slots=True)
class Planned:
    """What will be done.

    Parameters
    ----------
    plan : Plan
        The batch; the tasks of layers are its first ones.
    rows : Rows
        Its dry run.
    """

    plan: Plan
    rows: Rows


def settled(opened: Sequence[Opened], paths: Iterable[Path], wanted: Wanted) -> Planned:
    """Settle what will be done with each clip; nothing is computed.

    Raises
    ------
    DeepMTJError
        If a table, folder, pattern, preset, model or ledger cannot be read, or two clips would
        share a result.
    """
    from napari_deepmtj.batch.ledger import Ledger
    from napari_deepmtj.batch.plan import dry_run, make_plan

    plan = make_plan(gather(opened, paths, wanted), options_of(wanted))
    return Planned(plan, rows_of(dry_run(plan), plan.facts, Ledger.of(plan.options.out)))


def options_of(wanted: Wanted) -> Options:
    """Return the options of a batch; its folder is chosen."""
    from napari_deepmtj.batch.plan import Options

    assert wanted.out is not None
    return Options(
        out=wanted.out,
        model=wanted.model,
        device=wanted.device,
        backend=wanted.backend,
        roi=wanted.roi,
        preset=wanted.preset,
        attention=wanted.attention or None,
        fuse=wanted.fuse,
        video=wanted.video,
        report=wanted.report,
    )


def gather(opened: Sequence[Opened], paths: Iterable[Path], wanted: Wanted) -> list[Entry]:
    """Return all clips that are meant, each once: layers first, then tables, then files.

    Raises
    ------
    DeepMTJError
        If a table, folder or pattern cannot be read.
    """
    from napari_deepmtj.batch.study import entries_of_files, read_study

    pattern = wanted.pattern or None
    entries = [_entry_of(one) for one in opened]
    files: list[Path] = []
    for path in paths:
        if path.suffix.lower() in TABLES:
            entries += read_study(path, pattern)
        else:
            files += _clips_in(path, wanted)
    there = {_real(entry.clip) for entry in entries if entry.source is None}
    new = {real: file for file in files if (real := _real(file)) not in there}
    return entries + entries_of_files(new.values(), pattern)


def _entry_of(opened: Opened) -> Entry:
    """Return the entry of a layer: what the window knows and its file does not goes with it."""
    from napari_deepmtj.batch.study import entry_of_source
    from napari_deepmtj.video.opening import open_video

    source, info = opened.source, opened.info
    if source.path is None:
        said = ClipInfo(info.scale)  # which the source has from its layer
    else:
        with open_video(source.path, background=True) as own:
            said = ClipInfo(own.scale, own.roi)
    return entry_of_source(
        source,
        scale=None if info.scale == said.scale else info.scale,
        roi=None if info.roi == said.roi else info.roi,
        distal_side=info.distal_side,
    )


def _clips_in(path: Path, wanted: Wanted) -> Iterator[Path]:
    """Yield the clips of a folder but those in the batch's own; a file as it is."""
    from napari_deepmtj.video.folders import find_clips

    if not path.is_dir():
        yield path
        return
    names = wanted.include.split() or ["*"]
    out = None if wanted.out is None else Path(_real(wanted.out))
    found = find_clips(path)
    for clip in found or [path]:
        ours = out is not None and Path(_real(clip)).is_relative_to(out)
        if not ours and any(fnmatch.fnmatch(clip.name, name) for name in names):
            yield clip


def _real(path: Path) -> str:
    return os.path.realpath(path)


def presets() -> list[str]:
    """Return the names of the presets that there are.

    Raises
    ------
    CalibrationError
        If a person's own cannot be read.
    """
    from napari_deepmtj.batch.presets import read_presets

    return list(read_presets())


def keep_preset(name: str, info: ClipInfo) -> str:
    """Keep what is known of a clip as a person's own preset; return what to say.

    Raises
    ------
    CalibrationError
        If nothing is known of it, or presets cannot be read.
    """
    from napari_deepmtj.batch.presets import Preset, read_presets, write_presets
    from napari_deepmtj.calibration.roi import PRESETS

    if info == ClipInfo():
        raise CalibrationError(
            "of the active clip neither region, scale nor distal side is known; calibrate it first"
        )
    kept = read_presets() | {name: Preset(name, info.roi, info.scale, info.distal_side)}
    own = [p for n, p in kept.items() if p != Preset(n, PRESETS.get(n))]
    return f"Kept the preset {name} in {write_presets(own)}"
