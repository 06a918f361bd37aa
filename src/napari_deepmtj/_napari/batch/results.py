"""Results of a batch in the viewer: read in a worker, shown as layers, flagged frames first.

What a batch is and how it runs is `controller`. A result that a person has corrected here goes back
to its file with those corrections alone, so that no rerun's rows are replaced by older ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Layer
from psygnal import Signal

from napari_deepmtj._napari.contributions.reader import source_layer
from napari_deepmtj._napari.layers import convert
from napari_deepmtj._napari.layers.convert import Kind
from napari_deepmtj._napari.layers.placement import Placement
from napari_deepmtj._napari.viewer import clips
from napari_deepmtj.core.jobs import Done, Progress
from napari_deepmtj.errors import DeepMTJError, ResultError

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_deepmtj._napari.viewer.session import Session
    from napari_deepmtj.core.trajectory import Trajectory
    from napari_deepmtj.inference.attention import AttentionMap
    from napari_deepmtj.results.attention_file import AttentionInfo
    from napari_deepmtj.video.opening import VideoSource


@dataclass(frozen=True, slots=True)
class Flagged:
    """A frame that the quality gate does not trust.

    Parameters
    ----------
    frame : int
        Counted from 0.
    why : str
        The flags and their reasons, in words.
    """

    frame: int
    why: str


@dataclass(frozen=True, slots=True)
class Maps:
    """Attention maps that were saved with a result.

    Parameters
    ----------
    maps : ndarray of float32, shape (n, h, w)
        One a frame of `info.frames`.
    info : AttentionInfo
        Where they lie.
    what : AttentionMap
        What they are.
    """

    maps: npt.NDArray[np.float32]
    info: AttentionInfo
    what: AttentionMap


@dataclass(frozen=True, slots=True)
class Loaded:
    """A result that was read, ready to be shown.

    Parameters
    ----------
    name : str
        Its name in the batch.
    path : Path
        Its `.mtj.csv`.
    trajectory : Trajectory
        What it holds.
    flagged : tuple of Flagged
        Frames to look at first, in their order.
    maps : Maps or None
        Attention, if it was saved.
    source : VideoSource or None
        Its clip, opened; None where its layer is there already.
    """

    name: str
    path: Path
    trajectory: Trajectory
    flagged: tuple[Flagged, ...]
    maps: Maps | None = None
    source: VideoSource | None = None


def load(name: str, path: Path) -> Loaded:
    """Read a result, what the gate finds in it, and its attention; runs in a worker.

    Raises
    ------
    ResultError
        If it cannot be read.
    """
    from napari_deepmtj.results.trajectory_file import read_trajectory
    from napari_deepmtj.tracking.gate import gate

    trajectory = read_trajectory(path)
    found = gate(trajectory).findings
    why: dict[int, list[str]] = {}
    for frame, reason in zip(found["frame"], found["reason"], strict=True):
        why.setdefault(int(frame), []).append(str(reason))
    flagged = tuple(Flagged(frame, "; ".join(reasons)) for frame, reasons in sorted(why.items()))
    return Loaded(name, path, trajectory, flagged, _maps(path))


def _maps(result: Path) -> Maps | None:
    from napari_deepmtj.core.paths import attention_path
    from napari_deepmtj.inference.attention import AttentionMap
    from napari_deepmtj.results.attention_file import read_attention
    from napari_deepmtj.weights.store import read_card, resolve_model

    path = attention_path(result)
    if not path.is_file():
        return None
    maps, info = read_attention(path)
    card = read_card(resolve_model(info.model))
    return Maps(
        maps, info, AttentionMap(info.map, card.attention.kind, info.unit, card.id, card.sha256)
    )


def load_with_clip(name: str, path: Path, clip: Path | None) -> Iterator[Progress | Done[Loaded]]:
    """Read a result and open its clip; a job.

    Parameters
    ----------
    name, path
        As `Loaded` has them.
    clip : Path or None
        The file; None where its layer is there already.

    Raises
    ------
    DeepMTJError
        If one of them cannot be read, or the clip is not the one that was tracked.
    """
    from napari_deepmtj.video.opening import open_video

    loaded = load(name, path)
    if clip is None:
        yield Done(loaded)
        return
    source = open_video(clip)
    if source.sha256 != loaded.trajectory.provenance.clip_sha256:
        source.close()
        raise ResultError(
            f"{clip} has changed since it was tracked; run the batch again", path=path
        )
    yield Done(replace(loaded, source=source))


class Results:
    """The results of a batch that are shown in one viewer.

    Parameters
    ----------
    session : Session
        Where they are shown.
    """

    #: The list of flagged frames is another.
    changed = Signal()

    def __init__(self, session: Session) -> None:
        self._session = session
        self._clips: dict[str, Any] = {}
        self._paths: dict[str, Path] = {}
        self._flagged: dict[str, tuple[Flagged, ...]] = {}
        session.events.active.connect(self._on_active)

    # ----- which clip is whose ----------------------------------------------------------------

    def belongs(self, name: str, clip: Any) -> None:
        """Say that a result is of an open clip, whatever its file."""
        self._clips[name] = clip

    def clip(self, name: str, path: Path | None) -> Any:
        """Return the open clip of a result, by what was said of it or by its file; else None."""
        here = self._session.clips()
        known = self._clips.get(name)
        if known is not None and known in here:
            return known
        same = (c for c in here if path is not None and _is_of(c, path))
        return next(same, None)

    def knows(self, name: str) -> bool:
        """Whether a result is of a clip that is, or was, open here; from any thread."""
        return name in self._clips

    # ----- showing ----------------------------------------------------------------------------

    def steps(self, loaded: Loaded, *, look: bool = False) -> list[Callable[[], None]]:
        """Return what shows a result: one layer each, since napari needs its time for every one.

        Rows that a person made in a layer stay; the result of a clip that was closed meanwhile
        stays on disk.

        Parameters
        ----------
        loaded : Loaded
            The result.
        look : bool
            Whether its clip is then activated, at its first flagged frame.
        """
        made: list[Callable[[], None]] = [
            lambda: self._take(loaded),
            lambda: self._show_points(loaded),
        ]
        if loaded.maps is not None:
            made.append(lambda: self._show_attention(loaded))
        if look:
            made.append(lambda: self._look_at(loaded))
        return made

    def _take(self, loaded: Loaded) -> None:
        """Have the clip of a result, which comes as a layer if it is none yet."""
        clip = self.clip(loaded.name, None)
        if clip is not None and loaded.source is not None:
            loaded.source.close()  # it was opened by hand meanwhile
        elif clip is None and loaded.source is not None:
            clip = Layer.create(*source_layer(loaded.source))
            self._session.viewer.layers.append(clip)
            self._clips[loaded.name] = clip
        if clip is not None:
            key = clips.id_of(clip)
            self._paths[key], self._flagged[key] = loaded.path, loaded.flagged
            self.changed.emit()

    def _show_points(self, loaded: Loaded) -> None:
        session, trajectory = self._session, loaded.trajectory
        clip = self.clip(loaded.name, None)
        if clip is None:
            return
        layer = session.find(clip, Kind.TRAJECTORY)
        if layer is None:
            placement = Placement.of_layer(clip)
            made = convert.layer_of_trajectory(trajectory, placement, clips.id_of(clip))
            session.add(clip, made)
            return
        shown = convert.trajectory_of(layer)
        log = trajectory.provenance.operations
        if shown.provenance.operations[: len(log)] != log:  # else a later state of this result
            with session.updating():
                convert.show_trajectory(layer, shown.updated_by(trajectory))

    def _show_attention(self, loaded: Loaded) -> None:
        session, found = self._session, loaded.maps
        clip = self.clip(loaded.name, None)
        if clip is None or found is None:
            return
        frames, _, _ = clips.size_of(clip)
        maps = np.zeros((frames, *found.maps.shape[1:]), np.float32)
        maps[found.info.frames] = found.maps
        made = convert.layer_of_attention(
            maps,
            (found.info.step, found.info.origin),
            clip.name,
            Placement.of_layer(clip),
            clips.id_of(clip),
            found.what,
        )
        old = session.find(clip, Kind.ATTENTION)
        if old is not None:  # first, since no two layers have one name
            session.viewer.layers.remove(old)
        layer = session.add(clip, made, above=clip)
        convert.show_attention(layer, layer.data)
        if old is not None:
            layer.visible = old.visible

    def _look_at(self, loaded: Loaded) -> None:
        """Activate a clip with its points, and go to its first flagged frame."""
        session, clip = self._session, self.clip(loaded.name, None)
        if clip is None:
            return
        session.activate(clip)
        points = session.find(clip, Kind.TRAJECTORY)
        if points is not None:
            session.viewer.layers.selection.active = points
        if loaded.flagged:
            session.go_to(loaded.flagged[0].frame)

    # ----- flagged frames ---------------------------------------------------------------------

    def flagged(self) -> tuple[Flagged, ...]:
        """Return the flagged frames of the active clip's result."""
        clip = self._session.active
        return () if clip is None else self._flagged.get(clips.id_of(clip), ())

    def step(self, forward: bool) -> None:
        """Go to the next flagged frame of the active clip, or to the one before."""
        now = self._session.frame()
        frames = [one.frame for one in self.flagged()]
        after = [f for f in frames if f > now] if forward else [f for f in frames if f < now][::-1]
        if after:
            self._session.go_to(after[0])

    def _on_active(self, clip: Any) -> None:
        self.changed.emit()

    # ----- corrections ------------------------------------------------------------------------

    def corrected(self) -> list[tuple[Path, Trajectory]]:
        """Return what a person set in results that are shown: those rows alone, and their files."""
        found = []
        for clip in self._session.clips():
            path = self._paths.get(clips.id_of(clip))
            layer = self._session.find(clip, Kind.TRAJECTORY)
            if path is None or layer is None:
                continue
            trajectory = convert.trajectory_of(layer)
            if trajectory.by_hand.any():
                rows = trajectory.table[trajectory.by_hand].reset_index(drop=True)
                found.append((path, replace(trajectory, table=rows)))
        return found


def save(corrected: Iterable[tuple[Path, Trajectory]]) -> int:
    """Merge rows that a person made into their results; return how many results there were.

    Raises
    ------
    ResultError
        If one cannot be written.
    """
    from napari_deepmtj.results.trajectory_file import write_trajectory

    saved = 0
    for path, rows in corrected:
        write_trajectory(rows, path, overwrite=True)
        saved += 1
    return saved


def _is_of(clip: Any, path: Path) -> bool:
    """Whether a layer shows this file."""
    try:
        own = clips.source_of(clip).path
        return own is not None and path.exists() and own.samefile(path)
    except (DeepMTJError, OSError):
        return False
