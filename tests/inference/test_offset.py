"""A laboratory's label offset: where it moves positions, and what is said where it cannot."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_deepmtj.core.geometry import Scale
from napari_deepmtj.core.jobs import Done, Notice
from napari_deepmtj.inference.offset import offset_of
from napari_deepmtj.inference.predictor import track
from napari_deepmtj.video.sidecar import ClipInfo, write_sidecar

OFFSET = {"offset_distal_mm": 2.0, "offset_deep_mm": 0.5}


def outcome(events):
    *before, last = events
    assert isinstance(last, Done), last
    return last.result, [event.message for event in before if isinstance(event, Notice)]


@pytest.fixture
def moved(model):
    return model.with_card(replace(model.card, decoding={**model.card.decoding, **OFFSET}))


@pytest.mark.parametrize(("side", "sign"), [("right", 1.0), ("left", -1.0)])
def test_tracking_moves_every_position_distally_and_deeper(
    clip, model, moved, tmp_path, side, sign
):
    clip.scale = scale = Scale(0.2, 0.25, "given by hand")
    clip.path = tmp_path / "clip.avi"
    write_sidecar(clip.path, ClipInfo(distal_side=side))
    before, _ = outcome(track(clip, model, roi="full"))
    after, notices = outcome(track(clip, moved, roi="full"))
    expected = before.xy_px + [sign * 2.0 / scale.x_mm, 0.5 / scale.y_mm]
    np.testing.assert_allclose(after.xy_px, expected, atol=1e-9)
    np.testing.assert_allclose(after.table["sd_x_px"], before.table["sd_x_px"])
    assert not any("offset" in text for text in notices)
    told = after.provenance.operations[-1].arguments
    assert told["label_offset_px"] == [sign * 10.0, 2.0]
    assert told["decoding"]["offset_distal_mm"] == 2.0


def test_without_a_side_or_a_scale_it_is_left_out_and_said_so(clip, model, moved):
    before, quiet = outcome(track(clip, model, roi="full"))
    after, notices = outcome(track(clip, moved, roi="full"))
    np.testing.assert_array_equal(after.xy_px, before.xy_px)
    assert not any("offset" in text for text in quiet)
    assert any("+2.0 mm distally, is left out, because which side is distal" in n for n in notices)
    clip.scale = None
    _, (notice,) = offset_of(OFFSET, None, clip)
    assert "its scale and which side is distal is not known" in notice
