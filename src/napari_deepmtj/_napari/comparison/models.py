"""Models beside each other on the labelled frames of a clip, as coloured points with the 5 mm ring.

As in P20's Fig. 2A (Leitner et al. 2020, doi:10.1109/EMBC44109.2020.9176145). One comparison a
viewer; the widget shows it. Models look at the frames in a worker. Needs no Qt.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_deepmtj._napari.annotation.controller import annotation_of
from napari_deepmtj._napari.annotation.label_file import files_at_hand, pause
from napari_deepmtj._napari.layers import styles
from napari_deepmtj._napari.layers.convert import Kind, stamp
from napari_deepmtj._napari.layers.placement import Placement
from napari_deepmtj._napari.viewer import clips
from napari_deepmtj._napari.viewer.jobs import Job
from napari_deepmtj._napari.viewer.session import Session, per_viewer
from napari_deepmtj.core.geometry import Roi
from napari_deepmtj.core.jobs import Done, Failed, Notice, Progress

if TYPE_CHECKING:
    from napari_deepmtj.evaluation.comparison import Comparison, Marks
    from napari_deepmtj.video.opening import VideoSource


NO_LABELS = "Label frames of this clip first, or put its label file beside it."
#: Name of the label among the models.
LABEL = "label"


class ModelComparison:
    """The models of one viewer on the labelled frames of its active clip.

    Attributes
    ----------
    result : Comparison or None
        What the models came to, when they were compared last.
    marks : tuple of Marks
        The same frame by frame, ascending.
    running : bool
        Whether a worker computes.
    message : str
        What a person must be told, one line each.
    """

    compared, told = Signal(), Signal()

    def __init__(self, session: Session) -> None:
        self.result: Comparison | None = None
        self.marks: tuple[Marks, ...] = ()
        self.running = False
        self.message = ""
        self._session = session
        self._clip: Any = None
        self._job: Job | None = None

    @property
    def session(self) -> Session:
        """The session of the viewer."""
        return self._session

    def compare(self, models: Sequence[str], device: str) -> None:
        """Let models look at the labelled frames of the active clip."""
        clip = self._session.active
        if self.running:
            return
        if clip is None or not models:
            self.tell("Open a clip, and choose models.")
            return
        annotation = annotation_of(self._session.viewer)
        pause(annotation)  # what was labelled until now is in the file
        source, files = clips.source_of(clip), files_at_hand(annotation)
        roi = clips.info_of(clip).roi or "auto"
        self.running, self._clip = True, clip
        self.tell("Reading labels...")
        self._job = Job(
            lambda: _compared(source, files, tuple(models), roi, device),
            self._take,
            self._end,
            f"Compare models in {clip.name}",
        )
        self._job.start()

    def stop(self) -> None:
        """Stop; what was shown before stays."""
        if self._job is not None:
            self._job.cancel()

    def look_at(self, frame: int) -> None:
        """Show a frame of the clip that was compared on."""
        if self._clip in self._session.clips():
            self._session.activate(self._clip)
            self._session.go_to(frame)

    def colour(self, model: str) -> str:
        """Return the colour of a model's points, and of the label's."""
        names = [] if self.result is None else [one.name for one in self.result.evaluations]
        return styles.MARKS.of(names, model)

    def tell(self, *messages: str) -> None:
        """Tell a person something, in place of what was told before."""
        self.message = "\n".join(messages)
        self.told.emit()

    def _take(self, group: list[Any]) -> None:
        for event in group:
            match event:
                case Failed(error):
                    self.tell(str(error))
                case Notice(message):
                    self.tell(message)
                case Progress(done, total, _, note):
                    self.tell(f"{note}: {done} of {total} frames")
                case Done((result, marks)):
                    self.result, self.marks = result, marks
                    self._show()
                    known = (one.name for one in result.evaluations if one.known)
                    self.tell(
                        f"{len(marks)} labelled frames compared.",
                        *(f"{name} learned from this clip: no test of it." for name in known),
                    )
                    self.compared.emit()

    def _end(self) -> None:
        self.running, self._job = False, None
        self.told.emit()

    def _show(self) -> None:
        """Put points and rings over the clip, in place of earlier ones."""
        session, clip = self._session, self._clip
        if session.viewer is None or clip not in session.clips():
            return
        with session.updating():
            for kind in (Kind.MARKS, Kind.RINGS):
                if (old := session.find(clip, kind)) is not None:
                    session.viewer.layers.remove(old)
        for made in layers_of_marks(self.marks, Placement.of_layer(clip), clips.id_of(clip)):
            session.add(clip, made)


def _compared(
    source: VideoSource, files: Sequence[Path], models: Sequence[str], roi: str | Roi, device: str
) -> Iterator[Any]:
    """Read the clip's labels and evaluate models on them; in a worker."""
    from functools import partial

    from napari_deepmtj.errors import LabelError
    from napari_deepmtj.evaluation.cases import Case
    from napari_deepmtj.evaluation.comparison import marks_on
    from napari_deepmtj.evaluation.methods import Network
    from napari_deepmtj.evaluation.runner import evaluate
    from napari_deepmtj.labels.labelled import find_labelled
    from napari_deepmtj.labels.written import read_written
    from napari_deepmtj.video.opening import open_video
    from napari_deepmtj.weights.store import load_model

    if source.path is None:
        raise LabelError(NO_LABELS)
    # Those of other clips are not opened, nor in the way.
    own = [f for f in files if any(k.clip_sha256 == source.sha256 for k in read_written(f))]
    mine = [clip for clip in find_labelled(own) if clip.sha256 == source.sha256] if own else []
    if not mine:
        raise LabelError(NO_LABELS)
    case = Case(source.name, mine[0].labels, mine[0].subject, partial(open_video, source.path))
    methods = [Network(load_model(name), device) for name in models]
    for event in evaluate([case], methods, roi=str(roi), labelled_only=True):
        if isinstance(event, Done):
            (key,) = event.result.clips
            marks = tuple(marks_on(event.result, key, label.frame) for label in case.labels)
            yield Done((event.result, marks))
        else:
            yield event


def layers_of_marks(
    marks: Sequence[Marks], placement: Placement, clip: str
) -> Iterator[tuple[Any, dict[str, Any], str]]:
    """Yield the Shapes layer of the 5 mm rings, if there is a scale, and the Points layer."""
    rings = [
        _ring(mark.frame, mark.label, mark.ring_px)
        for mark in marks
        if mark.label is not None and mark.ring_px is not None
    ]
    look = styles.MARKS
    if rings:
        yield (
            rings,
            {
                "name": "5 mm around the labels",
                "shape_type": "ellipse",
                "edge_color": look.label,
                "edge_width": look.ring_width,
                "face_color": "transparent",
                "metadata": stamp(Kind.RINGS, clip),
                **placement.arguments(),
            },
            "shapes",
        )
    names = list(marks[0].points) if marks else []
    rows = [
        (mark.frame, *place[::-1], name)
        for mark in marks
        for name, place in ((LABEL, mark.label), *mark.points.items())
        if place is not None
    ]
    data = np.array([row[:3] for row in rows], dtype=np.float64).reshape(-1, 3)
    who = [row[3] for row in rows]
    arguments: dict[str, Any] = {
        "name": "label and models",
        "ndim": 3,
        "metadata": stamp(Kind.MARKS, clip),
        "size": look.size,
        "canvas_size_limits": look.canvas_size_limits,
        "border_width": 0.15,
        "border_color": "black",
        **placement.arguments(),
    }
    if rows:
        arguments |= {
            "features": {"model": who},
            "face_color": [look.of(names, name) for name in who],
            "symbol": ["cross" if name == LABEL else "disc" for name in who],
        }
    yield data, arguments, "points"


def _ring(frame: int, centre: tuple[float, float], half: tuple[float, float]) -> list[list[float]]:
    """Return the corners of the box around an ellipse, as (t, y, x)."""
    (x, y), (dx, dy) = centre, half
    return [[frame, y + a * dy, x + b * dx] for a, b in ((-1, -1), (-1, 1), (1, 1), (1, -1))]


#: The comparison of models of a viewer, the same one every time.
model_comparison_of = per_viewer(ModelComparison)
