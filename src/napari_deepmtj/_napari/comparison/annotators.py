"""Comparing annotators in one viewer: which files, who of them, and what they come to.

One comparison a viewer, like its session; the widget shows it. Reading, the study and saving run
in a worker, beside whatever job the session has. Needs no Qt.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_deepmtj._napari.layers import convert
from napari_deepmtj._napari.layers.convert import Kind
from napari_deepmtj._napari.viewer import clips
from napari_deepmtj._napari.viewer.jobs import Job
from napari_deepmtj._napari.viewer.session import Session, per_viewer
from napari_deepmtj.core.jobs import Done, Failed
from napari_deepmtj.core.trajectory import Trajectory
from napari_deepmtj.labels.table import SUFFIX

if TYPE_CHECKING:
    from napari_deepmtj.evaluation.agreement import Agreement, Rater
    from napari_deepmtj.video.opening import VideoSource


class AnnotatorComparison:
    """The agreement study of one viewer.

    Attributes
    ----------
    files : tuple of Path
        Label files.
    raters : tuple of Rater
        Who is in them, and the models that tracked the open clips.
    chosen : set of str
        Names of those to compare: at first all people, no consensus and no model.
    result : Agreement or None
        What they came to, when they were compared last.
    running : bool
        Whether a worker reads, computes or saves.
    message : str
        What a person must be told, one line each.
    """

    listed, compared, told = Signal(), Signal(), Signal()

    def __init__(self, session: Session) -> None:
        self.files: tuple[Path, ...] = ()
        self.raters: tuple[Rater, ...] = ()
        self.chosen: set[str] = set()
        self.result: Agreement | None = None
        self.running = False
        self.message = ""
        self._session = session
        self._known: set[str] = set()
        self._remarks: tuple[str, ...] = ()

    @property
    def session(self) -> Session:
        """The session of the viewer."""
        return self._session

    # ----- what is compared -------------------------------------------------------------------

    def beside(self) -> list[Path]:
        """Return the label files beside the active clip."""
        clip = self._session.active
        path = None if clip is None else clips.source_of(clip).path
        return [] if path is None else sorted(path.parent.glob(f"*{SUFFIX}"))

    def use(self, files: Iterable[Path]) -> None:
        """Take these label files, and list who is in them."""
        if self._busy():
            return
        self.files, self.raters = tuple(dict.fromkeys(files)), ()
        self.listed.emit()
        self.read()

    def read(self) -> None:
        """List anew who is in the files, and the models whose results are open."""
        self._run(self._gather(), self._take_raters, "Read labels")

    def choose(self, name: str, wanted: bool) -> None:
        """Compare a rater, or leave it out."""
        (self.chosen.add if wanted else self.chosen.discard)(name)

    def compare(self) -> None:
        """Read everything anew and compare the chosen raters."""
        gather, names = self._gather(), frozenset(self.chosen)

        def made() -> tuple[Any, Agreement]:
            gathered = gather()
            result = gathered.compare(names)
            with suppress(ModuleNotFoundError):  # told where it is drawn
                importlib.import_module("matplotlib.backends.backend_qtagg")
            return gathered, result

        self._run(made, self._take_result, "Compare annotators")

    def _gather(self) -> Callable[[], Any]:
        """Return what reads everything, to be called in a worker."""
        files = self.files
        sources: list[VideoSource] = [clips.source_of(clip) for clip in self._session.clips()]
        trajectories = self._trajectories()

        def gathered() -> Any:
            from napari_deepmtj.evaluation.raters import gather

            return gather(files, trajectories, opened=sources)

        return gathered

    def _trajectories(self) -> list[Trajectory]:
        """Return what was tracked in the open clips."""
        layers = (self._session.find(c, Kind.TRAJECTORY) for c in self._session.clips())
        return [convert.trajectory_of(layer) for layer in layers if layer is not None]

    def _take_raters(self, gathered: Any) -> None:
        self.raters = gathered.raters
        names = {rater.name for rater in self.raters}
        people = {rater.name for rater in self.raters if rater.sparse and not rater.settled}
        self.chosen = (self.chosen & names) | (people - self._known)
        self._known = names
        self.listed.emit()

    def _take_result(self, made: tuple[Any, Agreement]) -> None:
        from napari_deepmtj.report.study import remarks

        gathered, self.result = made
        self._take_raters(gathered)
        self._remarks = tuple(remarks(self.result))
        self.tell()
        self.compared.emit()

    # ----- what is done with it ---------------------------------------------------------------

    def look_at(self, clip: str, sha256: str, frame: int) -> None:
        """Show a frame of a clip that is open, known by its content."""
        for layer in self._session.clips():
            source = clips.source_of(layer)
            if source.name == clip and source.sha256 == sha256:
                self._session.activate(layer)
                self._session.go_to(frame)
                self.tell()
                return
        self.tell(f"{clip} with the content that was labelled is not open; open it to see it.")

    def save(self, folder: Path) -> None:
        """Write figures, frames and plots into a folder; what a study left there is replaced."""
        result = self.result
        if result is None:
            return

        def saved() -> tuple[list[str], list[str]]:
            from napari_deepmtj.report.study import save_study

            return save_study(result, folder)

        def told(made: tuple[list[str], list[str]]) -> None:
            written, notices = made
            self.tell(f"Saved {', '.join(written)} in {folder}", *notices)

        self._run(saved, told, "Save the study")

    def tell(self, *messages: str) -> None:
        """Tell a person something, in place of what was told before, and remark on the result."""
        self.message = "\n".join((*messages, *self._remarks))
        self.told.emit()

    # ----- jobs -------------------------------------------------------------------------------

    def _busy(self) -> bool:
        if self.running:
            self.tell("Wait for what is being read or computed.")
        return self.running

    def _run(self, work: Callable[[], Any], take: Callable[[Any], None], what: str) -> None:
        """Do work in a worker and take its result on the main thread."""
        if self._busy():
            return

        def events() -> Iterator[Any]:
            yield Done(work())

        def on_events(group: list[Any]) -> None:
            for event in group:
                if isinstance(event, Failed):
                    self.tell(str(event.error))
                elif self._session.viewer is not None:
                    self.tell()
                    take(event.result)

        self.running = True
        self.tell(f"{what}...")
        Job(events, on_events, self._end, what).start()

    def _end(self) -> None:
        self.running = False
        self.told.emit()


#: The comparison of a viewer, the same one every time.
annotator_comparison_of = per_viewer(AnnotatorComparison)
