"""A batch from a viewer: which clips, what is done with them, how far each is, what came of it.

One batch a viewer, like its session; the widget shows it. Planned and carried out in a worker,
beside whatever job the session has; results as layers are `batch_results`. Needs no Qt.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_deepmtj._napari import clips
from napari_deepmtj._napari.batch_gather import Opened, Wanted, gather, options_of
from napari_deepmtj._napari.batch_results import Loaded, Results, load, load_with_clip, save
from napari_deepmtj._napari.batch_rows import Rows, rows_of
from napari_deepmtj._napari.jobs import Job
from napari_deepmtj._napari.session import Session, session_of
from napari_deepmtj.batch.control import Control
from napari_deepmtj.batch.events import ClipDone, ClipKept, Finished, Paused
from napari_deepmtj.core.jobs import Done, Failed, Notice, Progress
from napari_deepmtj.errors import DeepMTJError

if TYPE_CHECKING:
    from napari_deepmtj.batch.plan import Plan, Task

_BATCHES: weakref.WeakKeyDictionary[Any, Batching] = weakref.WeakKeyDictionary()

BUSY = "Wait for what is running, or cancel it."
NOTHING = "Add opened layers, files, a folder or a study table first."
NO_FOLDER = "Choose a folder for the results first."
#: Messages that are kept on the screen.
MOST_MESSAGES = 12


@dataclass(frozen=True, slots=True)
class Planned:
    """What will be done, settled in a worker.

    Parameters
    ----------
    plan : Plan
        The batch.
    rows : Rows
        Its dry run.
    """

    plan: Plan
    rows: Rows


class Batching:
    """The batch of one viewer.

    Attributes
    ----------
    layers : tuple of Image
        Opened clips that are part of it.
    paths : tuple of Path
        Files, folders and study tables that are part of it.
    wanted : Wanted
        What is done with all of them.
    plan : Plan or None
        What will be done; None until it was listed for these clips and this choice.
    rows : Rows
        One a clip of the plan.
    progress : Progress or None
        How many clips are done; its note is how long the rest takes.
    results : Results
        Those that are shown as layers.
    running, paused, opening : bool
        Whether a worker lists or tracks; whether it waits for a person; whether another one opens
        a result.
    message : str
        What a person must be told, one line each.
    """

    #: Clips are others; the plan is; rows (their places) are; how far it is; what is told.
    listed, planned, changed = Signal(), Signal(), Signal(object)
    progressed, told = Signal(), Signal()

    def __init__(self, session: Session) -> None:
        self.layers: tuple[Any, ...] = ()
        self.paths: tuple[Path, ...] = ()
        self.wanted = Wanted()
        self.plan: Plan | None = None
        self.rows = Rows()
        self.progress: Progress | None = None
        self.results = Results(session)
        self.running = self.paused = self.opening = False
        self.message = ""
        self._session = session
        self._tasks: dict[str, Task] = {}
        self._job: Job | None = None
        self._control: Control | None = None
        session.viewer.layers.events.removed.connect(self._on_removed, position="last")

    @property
    def window(self) -> Session:
        """The session of the viewer."""
        return self._session

    @property
    def can_pause(self) -> bool:
        """Whether there is a run that can be held."""
        return self.running and self._control is not None

    # ----- which clips ------------------------------------------------------------------------

    def add_layers(self) -> None:
        """Add the layers that can be clips: those selected if they are several, else all."""
        viewer = self._session.viewer
        able = [la for la in viewer.layers if clips.can_be_clip(la)]
        chosen = [la for la in able if la in viewer.layers.selection]
        self.use((*self.layers, *(chosen if len(chosen) > 1 else able)), self.paths)
        if not able:
            self.tell("No layer that is open can be a clip.")

    def add_paths(self, paths: Iterable[Path]) -> None:
        """Add files, folders and study tables."""
        self.use(self.layers, (*self.paths, *paths))

    def use(self, layers: Iterable[Any], paths: Iterable[Path]) -> None:
        """Take these clips and no others."""
        if self._busy():
            return
        self.layers, self.paths = tuple(dict.fromkeys(layers)), tuple(dict.fromkeys(paths))
        self._forget_plan()
        self.listed.emit()

    def choose(self, wanted: Wanted) -> None:
        """Want something else; what was listed before no longer holds."""
        if wanted != self.wanted and not self.running:
            self.wanted = wanted
            self._forget_plan()

    def _forget_plan(self) -> None:
        if self.plan is not None:
            self.plan = None
            self.planned.emit()

    def _on_removed(self, event: Any) -> None:
        if event.value in self.layers and not self.running:
            self.use((la for la in self.layers if la is not event.value), self.paths)

    # ----- the dry run and the run ------------------------------------------------------------

    def look(self) -> None:
        """List what would be done with each clip; nothing is computed."""
        if self._may_begin():
            settle = self._settling()
            self._begin(lambda: iter([settle()]), "List clips")

    def start(self) -> None:
        """Track every clip that has no valid result yet; list them first if that was not done."""
        if not self._may_begin():
            return
        try:
            saved = self.save_corrections()
        except DeepMTJError as error:
            self.tell(str(error))
            return
        self.layers = tuple(self._session.adopt(layer) for layer in self.layers)
        settle, plan, results = self._settling(), self.plan, self.results
        self._know_layers(plan)
        self._control = control = Control()
        self.progress = None

        def events() -> Iterator[Any]:
            from napari_deepmtj.batch.run import run

            todo = plan
            if todo is None:
                found = settle()
                yield found
                todo = found.plan
            shown = {t.name for t in todo.tasks if t.entry.source is not None}
            for event in run(todo, control):
                if isinstance(event, ClipDone | ClipKept):
                    name = event.task.name
                    yield event
                    if name in shown or results.is_shown(name):
                        yield load(name, event.task.result)
                else:
                    if isinstance(event, Done):
                        yield from self._kept(todo, shown)
                    yield event

        self._begin(events, "Batch track")
        if saved:
            self.tell(saved, self.message)

    def pause(self) -> None:
        """Hold the run between two frames; what is loaded stays loaded."""
        if self._control is not None and self.running:
            self._control.pause()
            self.paused = True
            self.told.emit()

    def go_on(self) -> None:
        """Go on after `pause`."""
        if self._control is not None:
            self._control.resume()
        self.paused = False
        self.told.emit()

    def cancel(self) -> None:
        """Stop before the next frame; what is finished stays, and `start` does the rest."""
        if self._job is not None:
            self._job.cancel()
            self.go_on()
            self.tell("Stopping; finished clips stay.")

    def _may_begin(self) -> bool:
        """Say whether there is something to be done and a place for it; tell if not."""
        if self._busy():
            return False
        if not (self.layers or self.paths):
            self.tell(NOTHING)
        elif self.wanted.out is None:
            self.tell(NO_FOLDER)
        return bool(self.layers or self.paths) and self.wanted.out is not None

    def _settling(self) -> Callable[[], Planned]:
        """Return what makes the plan, for a worker; what it takes of the layers is as of now."""
        opened, paths = tuple(Opened.of(layer) for layer in self.layers), self.paths
        wanted = self.wanted

        def settle() -> Planned:
            from napari_deepmtj.batch.ledger import Ledger
            from napari_deepmtj.batch.plan import dry_run, make_plan

            plan = make_plan(gather(opened, paths, wanted), options_of(wanted))
            return Planned(plan, rows_of(dry_run(plan), plan.facts, Ledger.of(plan.options.out)))

        return settle

    def _kept(self, plan: Plan, layers: set[str]) -> Iterator[Loaded]:
        """Yield results of layers that were valid before the run, and so are not shown yet."""
        for task in plan.tasks:
            if task.name in layers and self.rows[self.rows.find(task.name)].has_result:
                yield load(task.name, task.result)

    # ----- events, on the main thread ---------------------------------------------------------

    def _begin(self, events: Callable[[], Iterator[Any]], what: str) -> None:
        self.running = True
        self.message = ""
        self.tell(f"{what}...")
        self._job = Job(events, self._take, self._end, what)
        self._job.start()

    def _take(self, group: list[Any]) -> None:
        changed: set[int] = set()
        for event in group:
            match event:
                case Planned():
                    self._take_plan(event)
                case Loaded():
                    self._show(event)
                case Progress():
                    self.progress = event
                case Notice(message):
                    self._say(message)
                case Failed(error):
                    self._say(str(error))
                case Done(Finished() as finished):
                    self._finish(finished)
                case Paused():
                    pass
                case _:
                    changed.add(self.rows.follow(event))
        if changed := changed - {-1}:
            self.changed.emit(changed)
        self.progressed.emit()

    def _take_plan(self, event: Planned) -> None:
        self.plan, self.rows = event.plan, event.rows
        self._tasks = {task.name: task for task in event.plan.tasks}
        self._know_layers(event.plan)
        counts = self.rows.counts()
        self.tell(
            f"{len(self.rows)} clips: {counts['with a result']} done already, "
            f"{counts['without a scale']} without a scale, {counts['failed']} failed before."
        )
        self.planned.emit()

    def _know_layers(self, plan: Plan | None) -> None:
        """Tie the results of the layers to them; they are the first tasks of a plan."""
        for task, layer in zip(() if plan is None else plan.tasks, self.layers, strict=False):
            self.results.belongs(task.name, layer)

    def _show(self, loaded: Loaded) -> Any:
        """Show a result and return its clip; of one that was closed meanwhile, nothing."""
        clip = self.results.clip(loaded.name, None)
        if clip is None and loaded.source is None:
            return None
        try:
            return self.results.show(loaded, clip)
        except DeepMTJError as error:
            self._say(str(error))
            return None

    def _finish(self, finished: Finished) -> None:
        self._say(
            f"{finished.done} clips tracked, {finished.kept} kept, {finished.failed} failed; "
            f"tables and results are in {finished.plan.options.out}"
        )

    def _end(self) -> None:
        job, self._job = self._job, None
        self.running = self.paused = False
        self._control = None
        self.rows.settle()
        if job is not None and job.cancelled:
            self.tell("Stopped; finished clips stay, and Run does the rest.")
        self.changed.emit(set(range(len(self.rows))))
        self.told.emit()

    # ----- results ----------------------------------------------------------------------------

    def open(self, place: int) -> None:
        """Open the clip of a row with its result, at the first flagged frame."""
        row = self.rows[place]
        task = self._tasks[row.name]
        path = None if task.entry.source is not None else task.clip
        clip = self.results.clip(row.name, path)
        if not row.has_result:
            self.tell(f"{row.short} has no result yet.")
        elif clip is None and path is None:
            self.tell(f"The layer {row.short} is no longer open; open it again and list anew.")
        elif self.opening:
            self.tell("Wait for the clip that is being opened.")
        else:
            if clip is not None:
                self.results.belongs(row.name, clip)
            wanted = path if clip is None else None
            self.opening = True
            self.told.emit()
            Job(
                lambda: load_with_clip(row.name, task.result, wanted),
                self._take_opened,
                self._end_opening,
                f"Open {row.short}",
            ).start()

    def _take_opened(self, group: list[Any]) -> None:
        for event in group:
            match event:
                case Done(loaded):
                    clip = self._show(loaded)
                    if clip is not None:
                        self.results.look_at(clip)
                case Failed(error):
                    self._say(str(error))

    def _end_opening(self) -> None:
        self.opening = False
        self.told.emit()

    def save_corrections(self) -> str:
        """Put what a person corrected in results shown here into their files; return what to say.

        Raises
        ------
        DeepMTJError
            If a file cannot be written.
        """
        saved = save(self.results.corrected())
        return f"Saved the corrections of {saved} clips." if saved else ""

    # ----- what is told -----------------------------------------------------------------------

    def tell(self, *messages: str) -> None:
        """Tell a person something, in place of what was told before."""
        self.message = "\n".join(filter(None, messages))
        self.told.emit()

    def _say(self, message: str) -> None:
        """Tell a person something, after what was told since the run began."""
        lines = [line for line in self.message.split("\n") if line and line != message]
        self.tell(*[*lines, message][-MOST_MESSAGES:])

    def _busy(self) -> bool:
        if self.running:
            self.tell(BUSY)
        return self.running


def batching_of(viewer: Any) -> Batching:
    """Return the batch of a viewer, the same one every time."""
    viewer = getattr(viewer, "__wrapped__", viewer)
    if viewer not in _BATCHES:
        _BATCHES[viewer] = Batching(session_of(viewer))
    return _BATCHES[viewer]
