"""Whether results are on disk: saving them, automatically where that loses nothing, and finding.

A result that is there already and does not come from this window is never replaced unless asked.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_deepmtj._napari.contributions.writer import save_result
from napari_deepmtj._napari.layers import convert
from napari_deepmtj._napari.layers.convert import Kind
from napari_deepmtj._napari.viewer import clips
from napari_deepmtj._napari.viewer.session import Question
from napari_deepmtj._napari.viewer.settings import read_settings
from napari_deepmtj.core.paths import CSV_SUFFIX, clip_stem, result_path
from napari_deepmtj.errors import DeepMTJError

if TYPE_CHECKING:
    from napari_deepmtj._napari.viewer.session import Session
    from napari_deepmtj.core.trajectory import Trajectory

#: Results that are offered, the newest first.
MOST = 3


@dataclass(frozen=True, slots=True)
class _File:
    """A result file as this window wrote or read it last."""

    path: Path
    trajectory: Trajectory
    modified: int


@dataclass(frozen=True, slots=True)
class Saved:
    """A result that lies beside its clip.

    Parameters
    ----------
    path : Path
        The `.mtj.csv`.
    trajectory : Trajectory
        What it holds.
    modified : float
        When it was written last, in seconds of the system's clock.
    """

    path: Path
    trajectory: Trajectory
    modified: float

    def describe(self) -> str:
        """Return "compact, 2026-11-02 14:05, 37 of 44 frames in view, 2 set by hand"."""
        result = self.trajectory
        when = datetime.fromtimestamp(self.modified).astimezone().strftime("%Y-%m-%d %H:%M")
        by_hand = int(result.by_hand.sum())
        parts = [
            model_of(result),
            when,
            f"{int(result.table['in_view'].sum())} of {len(result)} frames in view",
            f"{by_hand} set by hand" if by_hand else "",
        ]
        return ", ".join(filter(None, parts))


_FILES: weakref.WeakKeyDictionary[Any, _File] = weakref.WeakKeyDictionary()


def model_of(trajectory: Trajectory) -> str:
    """Return the id of the model that tracked last, empty if none did."""
    for operation in reversed(trajectory.provenance.operations):
        if operation.name == "track":
            model = operation.arguments.get("model", "")
            return str(model.get("id", "") if hasattr(model, "get") else model)
    return ""


# ----- saving ---------------------------------------------------------------------------------


def is_saved(layer: Any) -> bool:
    """Return True if what a result's layer shows is on disk."""
    file = _FILES.get(layer)
    return file is not None and file.trajectory is convert.trajectory_of(layer)


def path_of(layer: Any) -> Path | None:
    """Return the file that a result was written to or read from last, None if none."""
    return None if (file := _FILES.get(layer)) is None else file.path


def unsaved(session: Session) -> list[Any]:
    """Return the results of a viewer that are not on disk as they are shown."""
    layers = [] if session.viewer is None else session.viewer.layers
    found = (la for la in layers if convert.kind_of(la) is Kind.TRAJECTORY)
    return [la for la in found if len(convert.trajectory_of(la)) and not is_saved(la)]


def save(session: Session, layer: Any) -> Path:
    """Save a result beside its clip, or in the folder of the preferences.

    Raises
    ------
    ResultError
        If there is no place for it, or it cannot be written.
    """
    clip = session.clip_of(layer)
    source = None if clip is None else clips.source_of(clip).path
    path = save_result(layer, source, read_settings().folder, replace=_is_ours(layer))
    _remember(layer, path)
    session.signals.result_saved.emit(layer)
    return path


def autosave(session: Session, layer: Any) -> None:
    """Save a result by itself, unless that would replace one that does not come from here."""
    if not read_settings().autosave or is_saved(layer):
        return
    clip = session.clip_of(layer)
    source = None if clip is None else clips.source_of(clip).path
    if source is None:
        return
    path = result_path(source, read_settings().folder)
    if path.exists() and not _is_ours(layer):
        session.tell(f"Not saved: {path.name} is there already; Save merges this result into it.")
        return
    try:
        save(session, layer)
    except (DeepMTJError, OSError) as error:
        session.tell(f"Not saved: {error}")


def remember_file(layer: Any) -> None:
    """Know a result that has just been read from a file as saved."""
    file = convert.ours(layer).get("file")
    if file is not None:
        _remember(layer, Path(file))


def _remember(layer: Any, path: Path) -> None:
    _FILES[layer] = _File(path, convert.trajectory_of(layer), path.stat().st_mtime_ns)


def _is_ours(layer: Any) -> bool:
    """Whether the file of a result holds what this window put into it or read from it."""
    file = _FILES.get(layer)
    try:
        return file is not None and file.path.stat().st_mtime_ns == file.modified
    except OSError:
        return False


def close_clip(session: Session, clip: Any) -> None:
    """Remove the layers of a clip that is gone; a result that cannot be saved stays."""
    for layer in session.layers_of(clip):
        holds = convert.kind_of(layer) is Kind.TRAJECTORY and len(convert.trajectory_of(layer))
        if holds and not is_saved(layer) and not _saved_at(session, layer, clip):
            session.tell(f"{layer.name} is not saved, so it stays; save or remove it.")
            continue
        session.viewer.layers.remove(layer)


def _saved_at(session: Session, layer: Any, clip: Any) -> bool:
    """Save a result of a clip that is no layer any more, where that replaces nothing."""
    source = clips.source_of(clip).path
    if not read_settings().autosave or source is None:
        return False
    folder = read_settings().folder
    if result_path(source, folder).exists() and not _is_ours(layer):
        return False
    try:
        save_result(layer, source, folder, replace=_is_ours(layer))
    except (DeepMTJError, OSError):
        return False
    return True


# ----- results that are there already ------------------------------------------------------------


def find_saved(clip: Any) -> list[Saved]:
    """Return the results of a clip that lie beside it or in the preferred folder, newest first.

    Those of other files are left out, and so is what cannot be read.
    """
    from napari_deepmtj.results.trajectory_file import read_trajectory

    source = clips.source_of(clip)
    if source.path is None or clips.is_provisional(clip):
        return []
    folders = {source.path.parent, read_settings().folder or source.path.parent}
    stem, found = clip_stem(source.path), []
    for folder in folders:
        for path in folder.glob("*" + CSV_SUFFIX) if folder.is_dir() else ():
            if not path.name.startswith(stem):
                continue
            try:
                trajectory = read_trajectory(path)
                modified = path.stat().st_mtime
            except (DeepMTJError, OSError):
                continue
            if trajectory.provenance.clip_sha256 == source.sha256:
                found.append(Saved(path, trajectory, modified))
    return sorted(found, key=lambda one: one.modified, reverse=True)[:MOST]


def offer_saved(session: Session, clip: Any) -> None:
    """Ask whether a result that lies beside a clip is to be opened."""
    found = [] if session.results_of(clip) else find_saved(clip)
    if not found or session.active is not clip:
        return
    lines = [f"{one.path.name}: {one.describe()}" for one in found]
    texts = ["Open it"] if len(found) == 1 else [f"Open {one.path.name}" for one in found]
    answers = [
        (text, lambda one=one: open_saved(session, clip, one))
        for text, one in zip(texts, found, strict=True)
    ]
    session.question = Question(
        "\n".join(["There is a result of this clip:", *lines]),
        (*answers, ("Not now", lambda: None)),
    )


def open_saved(session: Session, clip: Any, saved: Saved) -> Any:
    """Show a result on its clip, and return its layer."""
    from napari_deepmtj._napari.layers.placement import Placement

    made = convert.layer_of_trajectory(
        saved.trajectory, Placement.of_layer(clip), clips.id_of(clip), clip.name
    )
    layer = session.add(clip, made)
    _remember(layer, saved.path)
    session.viewer.layers.selection.active = layer
    session.signals.result_placed.emit(layer.name, saved.trajectory, clip)
    return layer
