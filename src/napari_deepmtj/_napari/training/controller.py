"""Training a model from a viewer: which labels, what the run will do, its curves and its model.

One training a viewer, like its session; the widget shows it. Labels are read, the run settled and
carried out in a worker, beside whatever job the session has. Needs no Qt.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_deepmtj._napari.annotation.controller import annotation_of
from napari_deepmtj._napari.annotation.label_file import files_at_hand, pause
from napari_deepmtj._napari.viewer.jobs import Job
from napari_deepmtj._napari.viewer.session import Session, per_viewer
from napari_deepmtj.core.jobs import Done, Failed, Notice, Progress
from napari_deepmtj.training.split import By
from napari_deepmtj.weights.store import DEFAULT_MODEL

if TYPE_CHECKING:
    from napari_deepmtj.training.events import Trained, Validated
    from napari_deepmtj.training.plan import Plan


#: The recipe that starts from a model; all others start anew.
FINETUNE = "finetune"


@dataclass(frozen=True)
class Choice:
    """What a person wants of a training.

    Parameters
    ----------
    recipe : str
        Name of a recipe for labelled frames.
    start : str
        Id or file of the model that `FINETUNE` starts from.
    by : {"subject", "clip", "paper"} or None
        What is kept apart; None is the recipe's own.
    pattern : str
        Regular expression with a group named subject, for names of clips; empty takes folders.
    annotator : str
        Whose labels; empty is everybody's.
    epochs : int
        0 is the recipe's own.
    name : str
        Id of the model; empty is the recipe's own.
    device : str
        As `inference.device.resolve_device` takes it.
    """

    recipe: str = FINETUNE
    start: str = DEFAULT_MODEL
    by: By | None = None
    pattern: str = ""
    annotator: str = ""
    epochs: int = 0
    name: str = ""
    device: str = "auto"


class TrainingController:
    """The training of one viewer.

    Attributes
    ----------
    files : tuple of Path
        Label files, and folders of them.
    choice : Choice
        What is wanted.
    plan : Plan or None
        What the run will do; None until the labels were read for this choice.
    curves : tuple of Validated
        One an epoch of the run that goes on, or of the last one.
    progress : Progress or None
        How far it is.
    rate : float
        Pictures a second that are learned from; 0 before.
    model : str
        Id of the model that was made last; empty before.
    running : bool
        Whether a worker reads or trains.
    message : str
        What a person must be told, one line each.
    """

    listed, planned, learned, told = Signal(), Signal(), Signal(), Signal()

    def __init__(self, session: Session) -> None:
        self.files: tuple[Path, ...] = ()
        self.choice = Choice()
        self.plan: Plan | None = None
        self.curves: tuple[Validated, ...] = ()
        self.progress: Progress | None = None
        self.rate = 0.0
        self.model = ""
        self.running = False
        self.message = ""
        self._session = session
        self._job: Job | None = None

    @property
    def session(self) -> Session:
        """The session of the viewer."""
        return self._session

    # ----- what is learned from ---------------------------------------------------------------

    def at_hand(self) -> list[Path]:
        """Return the label file that is being edited, else those beside the active clip."""
        return files_at_hand(annotation_of(self._session.viewer))

    def use(self, files: Iterable[Path]) -> None:
        """Learn from these label files and folders."""
        if self._busy():
            return
        self.files, self.plan = tuple(dict.fromkeys(files)), None
        self.listed.emit()
        self.planned.emit()

    def choose(self, choice: Choice) -> None:
        """Want something else; what was settled before no longer holds."""
        if choice != self.choice and not self.running:
            self.choice, self.plan = choice, None
            self.planned.emit()

    def settle(self) -> None:
        """Read the labels and settle the run, so that a person sees what it will do."""
        if self._busy():
            return
        pause(annotation_of(self._session.viewer))  # what was labelled until now is in the file
        files, choice = self.files, self.choice

        def events() -> Iterator[Any]:
            plan = _settled(files, choice)
            with suppress(ModuleNotFoundError):  # told where it is drawn
                importlib.import_module("matplotlib.backends.backend_qtagg")
            yield Done(plan)

        self._begin(events, "Read labels")

    # ----- the run ----------------------------------------------------------------------------

    def start(self) -> None:
        """Carry out what was settled; one that was stopped is gone on with."""
        plan, device = self.plan, self.choice.device
        if self._busy():
            return
        if plan is None:
            self.tell("Look first at what the run will do.")
            return
        self.curves, self.progress, self.rate = (), None, 0.0

        def events() -> Iterator[Any]:
            from napari_deepmtj.inference.device import resolve_device
            from napari_deepmtj.training.loop import train
            from napari_deepmtj.training.result import install, run_folder

            where, threads = resolve_device(device), os.cpu_count() or 1
            for event in train(plan, run_folder(plan), device=where, workers=threads):
                if isinstance(event, Done):
                    yield Done((event.result, install(event.result.path).card.id))
                else:
                    yield event

        self._begin(events, f"Train {plan.name}")

    def stop(self) -> None:
        """Stop before the next step; `start` goes on from the last checkpoint."""
        if self._job is not None:
            self._job.cancel()
            self.tell("Stopping; Train goes on where it was.")

    # ----- events -----------------------------------------------------------------------------

    def _begin(self, events: Callable[[], Iterator[Any]], what: str) -> None:
        self.running = True
        self.tell(f"{what}...")
        self._job = Job(events, self._take, self._end, what)
        self._job.start()

    def _take(self, group: list[Any]) -> None:
        for event in group:
            match event:
                case Notice(message):
                    self.tell(*filter(None, [self.message, message]))
                case Progress():
                    self.progress = event
                case Failed(error):
                    self.tell(str(error))
                case Done((trained, name)):
                    self._made(trained, name)
                case Done(plan):
                    self._take_plan(plan)
                case _:
                    self._follow(event)
        self.learned.emit()

    def _take_plan(self, plan: Plan) -> None:
        self.plan = plan
        self.tell(*plan.warnings)
        self.planned.emit()

    def _follow(self, event: Any) -> None:
        """Take what a run tells of itself."""
        from napari_deepmtj.training.events import Learned, Validated

        if isinstance(event, Learned):
            self.progress = Progress(event.step, event.steps, "step")
            self.rate = event.pictures_per_s
        elif isinstance(event, Validated):
            self.curves = (*(c for c in self.curves if c.epoch < event.epoch), event)

    def _made(self, trained: Trained, name: str) -> None:
        self.model, self.curves = name, trained.curves  # those before it was gone on with, too
        self.tell(
            f"The model {name} is ready, and chosen in Track MTJ.",
            f"Weights: {trained.path}",
        )
        self._session.made_model = name

    def _end(self) -> None:
        self.running, self._job = False, None
        self.told.emit()

    def tell(self, *messages: str) -> None:
        """Tell a person something, in place of what was told before."""
        self.message = "\n".join(messages)
        self.told.emit()

    def _busy(self) -> bool:
        if self.running:
            self.tell("Wait for what is running, or stop it.")
        return self.running


def _settled(files: tuple[Path, ...], choice: Choice) -> Plan:
    """Read labels and settle a run; in a worker."""
    from napari_deepmtj.labels.labelled import find_labelled
    from napari_deepmtj.labels.subjects import subject_rule
    from napari_deepmtj.training.plan import plan

    rule = subject_rule(pattern=choice.pattern)
    return plan(
        choice.recipe,
        find_labelled(files, rule, annotator=choice.annotator or None),
        split=choice.by,
        start=choice.start if choice.recipe == FINETUNE else None,
        epochs=choice.epochs or None,
        name=choice.name or None,
    )


#: The training of a viewer, the same one every time.
training_controller_of = per_viewer(TrainingController)
