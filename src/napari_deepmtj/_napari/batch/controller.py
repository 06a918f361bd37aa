"""A batch from a viewer: which clips, what is done with them, how far each is, what came of it.

One batch a viewer, like its session; the widget shows it. Planned and carried out in a worker,
beside whatever job the session has; results as layers are `batch_results`. Needs no Qt.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_deepmtj._napari.batch.entries import Opened, Planned, Wanted, settled
from napari_deepmtj._napari.batch.results import Loaded, Results, load, load_with_clip, save
from napari_deepmtj._napari.batch.rows import Rows
from napari_deepmtj._napari.viewer import clips
from napari_deepmtj._napari.viewer.jobs import Job, later
from napari_deepmtj._napari.viewer.session import Session, per_viewer
from napari_deepmtj.batch.control import Control
from napari_deepmtj.batch.events import ClipEnded, ClipFailed, Finished, Paused
from napari_deepmtj.core.jobs import Done, Failed, Notice, Progress
from napari_deepmtj.errors import DeepMTJError

if TYPE_CHECKING:
    from napari_deepmtj.batch.plan import Plan, Task


BUSY = "Wait for what is running, or cancel it."
NOTHING = "Add opened layers, files, a folder or a study table first."
NO_FOLDER = "Choose a folder for the results first."
OUTDATED = "The list below is of another choice; List makes it anew."
#: Messages that are kept on the screen; those of a clip stand in its row too.
MOST_MESSAGES = 2


class BatchController:
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
        Those shown as layers.
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
        self._due: deque[Callable[[], None]] = deque()
        self._job: Job | None = None
        self._control: Control | None = None
        session.viewer.layers.events.removed.connect(self._on_removed, position="last")

    @property
    def session(self) -> Session:
        """The session of the viewer."""
        return self._session

    @property
    def showing(self) -> bool:
        """Whether layers of results are still to come."""
        return bool(self._due)

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
            self.message = OUTDATED
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
        # what the window knows of layers may be other than when they were listed
        settle, plan = self._settling(), None if self.layers else self.plan
        self._control = control = Control()
        self.progress, layers = None, len(self.layers)

        def events() -> Iterator[Any]:
            todo = plan
            if todo is None:
                found = settle()
                yield found
                todo = found.plan
            yield from self._running(todo, {task.name for task in todo.tasks[:layers]}, control)

        self._begin(events, "Batch track", saved)

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
        lacking = "" if self.layers or self.paths else NOTHING
        if not lacking and self.wanted.out is None:
            lacking = NO_FOLDER
        if lacking:
            self.tell(lacking)
        return not lacking

    def _settling(self) -> Callable[[], Planned]:
        """Return what makes the plan, for a worker; what it takes of the layers is as of now."""
        opened = tuple(Opened.of(layer) for layer in self.layers)
        return partial(settled, opened, self.paths, self.wanted)

    def _running(self, plan: Plan, layers: set[str], control: Control) -> Iterator[Any]:
        """Yield the events of a run and the results of clips that are open; in a worker."""
        from napari_deepmtj.batch.run import run

        ended: set[str] = set()
        with closing(run(plan, control)) as events:
            for event in events:
                if isinstance(event, Done):  # some layers' results were there before
                    rest = (t for t in plan.tasks if t.name in layers and t.name not in ended)
                    yield from map(_loaded, rest)
                yield event
                if isinstance(event, ClipEnded):
                    ended.add(event.task.name)
                    if not isinstance(event, ClipFailed) and (
                        event.task.name in layers or self.results.knows(event.task.name)
                    ):
                        yield _loaded(event.task)

    # ----- events, on the main thread ---------------------------------------------------------

    def _begin(self, events: Callable[[], Iterator[Any]], what: str, said: str = "") -> None:
        self.running = True
        self.tell(said, f"{what}...")
        self._job = Job(events, self._take, self._end, what)
        self._job.start()

    def _take(self, group: list[Any]) -> None:
        changed: set[int] = set()
        for event in group:
            match event:
                case Planned():
                    self._take_plan(event)
                case Loaded():
                    self._show(self.results.steps(event))
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
        self.told.emit()

    def _take_plan(self, event: Planned) -> None:
        self.plan, self.rows = event.plan, event.rows
        self._tasks = {task.name: task for task in event.plan.tasks}
        self._know_layers(event.plan)
        counts = self.rows.counts()
        self._say(
            f"{len(self.rows)} clips: {counts['with a result']} done already, "
            f"{counts['without a scale']} without a scale, {counts['failed']} failed before."
        )
        self.planned.emit()

    def _know_layers(self, plan: Plan | None) -> None:
        """Tie the results of the layers to them; they are the first tasks of a plan."""
        for task, layer in zip(() if plan is None else plan.tasks, self.layers, strict=False):
            self.results.belongs(task.name, layer)

    def _show(self, steps: Iterable[Callable[[], None]]) -> None:
        """Make layers one in a turn of the window, which stays alive between them."""
        idle = not self._due
        self._due.extend(steps)
        if idle and self._due:
            later(self._show_next)

    def _show_next(self) -> None:
        try:
            if self._session.viewer is not None:
                self._due[0]()
        except DeepMTJError as error:
            self.tell(str(error))
        finally:
            self._due.popleft()
            if self._due:
                later(self._show_next)

    def _finish(self, finished: Finished) -> None:
        total = len(finished.plan.tasks)
        self.progress = Progress(total, total, "clip")
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
            self.message = "Stopped; finished clips stay, and Run does the rest."
        self.changed.emit(set(range(len(self.rows))))
        viewer = self._session.viewer
        there = [la for la in self.layers if viewer is not None and la in viewer.layers]
        if len(there) < len(self.layers):  # closed while it ran
            self.use(there, self.paths)
        self.told.emit()

    # ----- results ----------------------------------------------------------------------------

    def open(self, place: int) -> None:
        """Open the clip of a row with its result, at the first flagged frame."""
        row = self.rows[place]
        task = self._tasks[row.name]
        path = task.clip if task.entry.source is None else None
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
            load_it = partial(load_with_clip, row.name, task.result, path if clip is None else None)
            self.opening = True
            self.told.emit()
            Job(load_it, self._take_opened, self._end_opening, f"Open {row.short}").start()

    def _take_opened(self, group: list[Any]) -> None:
        for event in group:
            match event:
                case Done(loaded):
                    self._show(self.results.steps(loaded, look=True))
                case Failed(error):
                    self.tell(str(error))

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
        """Have something to tell, after what was told since the run began."""
        before = self.message.split("\n")
        lines = [line for line in before if line and line != message and line[-3:] != "..."]
        self.message = "\n".join([*lines, message][-MOST_MESSAGES:])

    def _busy(self) -> bool:
        if self.running:
            self.tell(BUSY)
        return self.running


def _loaded(task: Task) -> Loaded | Notice:
    """Read a result that is to be shown; what cannot be read stops nothing."""
    try:
        return load(task.name, task.result)
    except DeepMTJError as error:
        return Notice(str(error))


#: The batch of a viewer, the same one every time.
batch_controller_of = per_viewer(BatchController)
