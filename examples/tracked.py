"""Track a clip without its events: what the other examples begin with."""

from napari_deepmtj import Trajectory, load_model, track
from napari_deepmtj.core.jobs import Done, Failed
from napari_deepmtj.phantom.cohort import PhantomClip


def tracked(clip: PhantomClip, model: str = "compact-fast") -> Trajectory:
    """Return the trajectory of a clip, whose whole frame is the B-mode picture."""
    for event in track(clip, load_model(model), roi="full"):
        if isinstance(event, Failed):
            raise event.error
        if isinstance(event, Done):
            return event.result
    raise AssertionError("a job ends with Done or Failed")
