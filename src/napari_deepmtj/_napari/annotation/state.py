"""The state of a viewer's annotation, below everything that shows or changes it.

Keys, mouse, label file and queue act on it; `annotation.controller` shows it on layers.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

from napari.layers import Layer
from psygnal import EventedModel
from pydantic import ConfigDict, PrivateAttr

from napari_deepmtj._napari.viewer.session import Question, Session
from napari_deepmtj.annotation.session import AnnotationSession
from napari_deepmtj.errors import DeepMTJError


class AnnotationState(EventedModel):
    """The annotation of one viewer; each field has an event of the same name in `events`.

    Parameters
    ----------
    core : AnnotationSession or None
        The round that is open.
    label_mode : bool
        Whether a click on the picture labels.
    others, predictions, contrast : bool
        Whether to show others' labels, predictions, and more local contrast.
    message : str
        What a person must be told, one line each; empty is nothing.
    question : Question or None
        What a person must decide.
    shown : int
        Counts what was shown: whoever shows the state of `core` looks again when it changes.
    views : int
        How many widgets show it; the last one that goes closes it.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    core: AnnotationSession | None = None
    label_mode: bool = True
    others: bool = False
    predictions: bool = False
    contrast: bool = False
    message: str = ""
    question: Question | None = None
    shown: int = 0
    views: int = 0

    _session: Session = PrivateAttr()
    _searched: set[str] = PrivateAttr(default_factory=set)
    _looks: dict[tuple[str, int], Any] = PrivateAttr(default_factory=dict)

    @property
    def session(self) -> Session:
        """The session of the viewer."""
        return self._session

    @property
    def searched(self) -> set[str]:
        """Content hashes of the clips beside which a saved prediction was looked for."""
        return self._searched

    @property
    def looks(self) -> dict[tuple[str, int], Any]:
        """Thumbnails that were made, kept for the next most useful frame."""
        return self._looks

    def tell(self, *messages: str) -> None:
        """Tell a person something, after what was told before."""
        lines = [*filter(None, self.message.split("\n")), *messages]
        self.message = "\n".join(dict.fromkeys(lines))

    def answer(self, text: str) -> None:
        """Answer the question."""
        if (question := self.question) is not None:
            self.question = None
            dict(question.answers)[text]()

    def do(self, act: Callable[[AnnotationSession], Any], if_false: str = "") -> None:
        """Do something with the round; tell what cannot be done, and show what is so now.

        Parameters
        ----------
        act : callable
            Does it.
        if_false : str
            What to tell if it returns False: there was nothing to do.
        """
        if (core := self.core) is None:
            self.message = "Open a label file first."
            return
        try:
            self.message = if_false if act(core) is False else ""
        except DeepMTJError as error:
            self.message = str(error)
        self.show()

    def accept(self) -> None:
        """Accept what is proposed; where annotators are settled between, the first of them."""
        self.do(lambda s: s.settle(s.choices[0]) if s.choices else s.accept())

    def toggle(self, name: str) -> None:
        """Turn `label_mode`, `others`, `predictions` or `contrast` on or off, and show it."""
        setattr(self, name, not getattr(self, name))
        self.show()

    # ----- what the controller does with layers, mouse and keys ---------------------------------

    @abstractmethod
    def begin(self, core: AnnotationSession) -> None:
        """Show a round and listen to keys and mouse."""

    @abstractmethod
    def close(self, *, keep_layers: bool = False) -> None:
        """Put everything into the label file and give it back; label layers go with it."""

    @abstractmethod
    def show(self) -> None:
        """Show the frame to be labelled, with its labels."""

    @abstractmethod
    def do_at(self, layer: Layer, frame: int, act: Callable[[AnnotationSession], Any]) -> None:
        """Do something in a frame of the clip that a layer belongs to."""

    @abstractmethod
    def point_at(self, position: Any, *, go_on: bool) -> None:
        """Label the shown frame at a place on the picture, in world coordinates."""

    @abstractmethod
    def may_move(self, row: int) -> bool:
        """Return True if a point of the label layer may be moved."""

    @abstractmethod
    def middle(self) -> tuple[float, float] | None:
        """Return the middle of the region of the active clip, (x, y) in pixels."""

    @abstractmethod
    def zoom_to_last(self) -> None:
        """Bring the newest label near."""

    @abstractmethod
    def forget_closed(self) -> None:
        """Let the round know only the clips that are still open."""

    @property
    @abstractmethod
    def label_layer(self) -> Any:
        """The label layer of the active clip, None where there is none."""

    @property
    @abstractmethod
    def takes_clicks(self) -> bool:
        """True if a click on the picture is for labelling, and for no tool of napari."""
