"""What the panel says of a clip, and which step it opens."""

import pytest
from napari.layers import Layer

from napari_deepmtj._napari.layers import convert
from napari_deepmtj._napari.layers.convert import Kind
from napari_deepmtj._napari.panel.overview import Overview, StepName, doubtful_frames
from napari_deepmtj._napari.tracking import saving
from napari_deepmtj.core.geometry import Scale

SCALE = Scale(0.1, 0.1, "file")


@pytest.mark.parametrize(
    ("known", "skipped", "step"),
    [
        ({}, False, None),
        ({"n_frames": 9}, False, StepName.SCALE),
        ({"n_frames": 9}, True, StepName.TRACK),
        ({"n_frames": 9, "scale": SCALE}, False, StepName.TRACK),
        ({"n_frames": 9, "labelling": True, "labelled": 1, "queued": 3}, False, StepName.LABEL),
        ({"n_frames": 9, "tracked": 9, "doubtful": (2,)}, False, StepName.CHECK),
        ({"n_frames": 9, "tracked": 9}, False, StepName.SAVE),
    ],
)
def test_the_next_step_is_the_sensible_one(known, skipped, step):
    assert Overview(**known).next_step(skipped_scale=skipped) is step


def test_a_result_is_counted_and_hidden_while_labelling(
    annotation, begin, session, tracked, viewer
):
    layer = session.find(tracked, Kind.TRAJECTORY)
    now = Overview.of(session, annotation)
    assert (now.n_frames, now.tracked, now.in_view, now.saved) == (8, 8, 7, False)
    assert now.doubtful == doubtful_frames(convert.trajectory_of(layer))
    saving.save(session, layer)
    assert "saved" in Overview.of(session, annotation).chips()
    text = viewer.canvas.overlays.text
    session.go_to(2)
    assert text.text.endswith("confidence 0.20")
    session.go_to(3)
    assert text.text.endswith("MTJ not in view (0.30)")
    begin()
    assert not layer.visible
    assert "MTJ" not in text.text
    assert Overview.of(session, annotation).tracked == 0
    late = convert.layer_of_trajectory(
        convert.trajectory_of(layer),
        convert.Placement.of_layer(tracked),
        convert.ours(layer)["clip"],
    )
    assert not viewer.add_layer(Layer.create(*late)).visible  # one that comes meanwhile, too
    layer.visible = True  # asked for by its eye
    assert layer.visible
    annotation.close()
    assert layer.visible


def test_a_blinded_round_shows_no_result_whatever_is_clicked(session, tracked):
    layer = session.find(tracked, Kind.TRAJECTORY)
    session.conceal("blinded")
    layer.visible = True
    assert not layer.visible
    assert "blinded" in session.message
    session.conceal("")
    assert layer.visible
