"""The published network one click away: a button that fetches it, converts it and has it chosen."""

from __future__ import annotations

from typing import Any

from magicgui.widgets import PushButton

from napari_deepmtj._napari.viewer.jobs import Job
from napari_deepmtj._napari.viewer.session import Session
from napari_deepmtj.core.jobs import Done, Failed, Notice, Progress
from napari_deepmtj.weights.download import Imported, download, not_fetched
from napari_deepmtj.weights.remote import Remote


class Fetch:
    """Fetches a published network; once it is converted and checked it is the model made last.

    Parameters
    ----------
    session : Session
        Shows progress and messages, and may cancel; what arrived is gone on with next time.
    remote : Remote
        Which network.
    """

    def __init__(self, session: Session, remote: Remote) -> None:
        self._session, self._remote = session, remote
        self._job = Job(
            lambda: download(remote), self._take, session.release, f"Fetch {remote.title}"
        )

    def start(self) -> None:
        """Begin; returns at once."""
        self._session.take(self._job, f"Fetching {self._remote.title}...")
        self._job.start()

    def _take(self, events: list[Any]) -> None:
        for event in events:
            match event:
                case Progress():
                    self._session.progress = event
                case Notice(message):
                    self._session.tell(message)
                case Failed(error):
                    self._session.tell(str(error))
                case Done(Imported() as made):
                    self._session.tell(f"{made.card.id} is ready, and chosen.")
                    self._session.made_model = made.card.id


def fetch_button(session: Session) -> PushButton:
    """Return a button that fetches a published network; hidden where there is none to fetch."""
    waiting = not_fetched()
    offer = waiting[0].offer if waiting else ""
    button = PushButton(
        text=f"Get the {offer}",
        visible=bool(waiting),
        tooltip="Download, convert and choose the network that its authors trained on real "
        "recordings; without internet it says what to do.",
    )

    def fetch() -> None:
        if not session.running:
            Fetch(session, waiting[0]).start()

    def hide(_: str) -> None:
        button.visible = bool(not_fetched())

    button.changed.connect(fetch)
    session.events.made_model.connect(hide)
    button.native.destroyed.connect(
        lambda: session.events.made_model.disconnect(hide, missing_ok=True)
    )
    return button
