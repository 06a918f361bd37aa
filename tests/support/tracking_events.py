"""What the events of a tracking run come to, as its tests want it."""

from napari_deepmtj.core.jobs import Done, Failed, Notice
from napari_deepmtj.inference.predictor import TrackedBatch


def finish(events):
    """Return the trajectory, the batches and the notices of a run that must succeed."""
    events = list(events)
    assert isinstance(events[-1], Done), events[-1]
    batches = [event for event in events if isinstance(event, TrackedBatch)]
    notices = [event.message for event in events if isinstance(event, Notice)]
    assert len(batches) + len(notices) + 2 == len(events)  # and Began and Done
    return events[-1].result, batches, notices


def failure(events):
    events = list(events)
    assert isinstance(events[-1], Failed)
    assert not any(isinstance(event, Done | Failed) for event in events[:-1])
    return events[-1].error


def operation(trajectory):
    return trajectory.provenance.operations[-1]
