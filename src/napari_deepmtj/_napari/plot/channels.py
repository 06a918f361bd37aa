"""Signals of other devices that are shown with the clips of a viewer, and how they are in step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from napari_deepmtj._napari.viewer import clips
from napari_deepmtj.mechanics.channels import Channels, read_channels
from napari_deepmtj.mechanics.sync import Sync, by_clock, by_correlation, by_trigger
from napari_deepmtj.report.timeline import DISPLACEMENT, Timeline

How = Literal["shared clock", "trigger", "cross-correlation"]
WAYS: tuple[How, ...] = ("shared clock", "trigger", "cross-correlation")

NO_SIGNALS = "Add channels first."
NO_TIMES = "The clip has no times, so no channel can be brought to them."
NO_DISPLACEMENT = "Cross-correlation is with the displacement; say which side is distal first."


class Plot(Protocol):
    """What recordings need of the plot that they are shown in."""

    changed: Any

    def shown(self) -> Any:
        """Return the Points layer of the result that is shown, or None."""

    def timelines(self) -> list[Timeline]:
        """Return the curves that are shown, those of the active clip first."""

    def free(self) -> bool:
        """Return True if no job runs that the plot depends on."""

    def tell(self, *messages: str) -> None:
        """Show messages in place of those before."""

    def run(self, work: Callable[[], Any], take: Callable[[Any], None], what: str) -> None:
        """Do work in a worker and take its result on the main thread."""


@dataclass(frozen=True)
class Recording:
    """Channels of one clip and their sync.

    Parameters
    ----------
    channels : Channels
        On their own clock.
    sync : Sync
        How they are brought to the clip's time.
    shown : Channels
        The same at the clip's time.
    """

    channels: Channels
    sync: Sync
    shown: Channels

    @classmethod
    def of(cls, channels: Channels, sync: Sync) -> Recording:
        """Return channels in step with their clip."""
        return cls(channels, sync, channels.shifted(sync.offset_s))

    def describe(self) -> str:
        """Return by how much the channels were shifted, and how that was found."""
        said = f"{self.sync.how}: shifted by {self.sync.offset_s:+.4f} s"
        found = self.sync.how == "cross-correlation"
        return f"{said}, correlation {self.sync.peak:.3f}" if found else said


class Signals:
    """The recordings of a viewer's clips, at most one a clip.

    Parameters
    ----------
    plot : Plot
        Where they are shown.
    """

    def __init__(self, plot: Plot) -> None:
        self._plot = plot
        self._recordings: dict[str, Recording] = {}

    def of(self, layer: Any) -> Recording | None:
        """Return what was recorded with the clip of a result."""
        return None if layer is None else self._recordings.get(clips.id_of(layer))

    def shown(self) -> Recording | None:
        """Return what was recorded with the clip that is shown."""
        return self.of(self._plot.shown())

    def read(self, path: Path, rate_hz: float | None = None) -> None:
        """Read channels for the clip that is shown; until they are synchronised on its clock."""
        layer = self._plot.shown()

        def take(channels: Channels) -> None:
            self._keep(layer, Recording.of(channels, by_clock()))

        if layer is not None and self._plot.free():
            self._plot.run(lambda: read_channels(path, rate_hz=rate_hz), take, "Read channels")

    def synchronise(self, how: How, name: str, offset_s: float = 0.0) -> None:
        """Bring the channels to the clip's time.

        Parameters
        ----------
        how : str
            One of `WAYS`.
        name : str
            Channel of the trigger, or that looks like the displacement.
        offset_s : float
            Of the channels' zero in the clip's time, on a shared clock; of the trigger.
        """
        plot, recording = self._plot, self.shown()
        if recording is None:
            plot.tell(NO_SIGNALS)
            return
        layer, channels = plot.shown(), recording.channels
        timeline = plot.timelines()[0]
        if timeline.time_unit != "s":
            plot.tell(NO_TIMES)
            return
        moved = timeline.curves.get(DISPLACEMENT)
        if how == "cross-correlation" and moved is None:
            plot.tell(NO_DISPLACEMENT)
            return

        def found() -> Sync:
            if how == "trigger":
                return by_trigger(channels, name, clip_time_s=offset_s)
            if how == "cross-correlation":
                assert moved is not None
                return by_correlation(channels, name, moved.t, moved.values)
            return by_clock(offset_s)

        if plot.free():
            plot.run(
                found, lambda sync: self._keep(layer, Recording.of(channels, sync)), "Synchronise"
            )

    def remove(self) -> None:
        """Show the channels of the clip that is shown no more."""
        self._keep(self._plot.shown(), None)

    def _keep(self, layer: Any, recording: Recording | None) -> None:
        if layer is None:
            return
        if recording is None:
            self._recordings.pop(clips.id_of(layer), None)
        else:
            self._recordings[clips.id_of(layer)] = recording
        said = "" if recording is None else recording.describe()
        self._plot.tell(said)
        self._plot.changed.emit()
