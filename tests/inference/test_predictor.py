"""Positions, flags and the record of a tracked clip; how runs end is `test_predictor_ends.py`."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from tracking_events import finish, operation

from napari_deepmtj.core.geometry import PixelMap, Roi, Scale
from napari_deepmtj.core.jobs import Notice
from napari_deepmtj.core.provenance import Provenance
from napari_deepmtj.core.trajectory import Flag, Trajectory
from napari_deepmtj.inference.predictor import track
from napari_deepmtj.networks.build import build
from napari_deepmtj.weights.store import Model


@pytest.mark.parametrize(
    ("roi", "scale"),
    [
        ("full", None),
        ("10,5,220,90", None),
        (Roi(31, 8, 179, 84), Scale(0.2, 0.3, "phantom")),
        (Roi(21, 2, 199, 97), Scale(0.3, 0.2, "phantom")),
    ],
)
def test_positions_come_back_in_frame_pixels(clip, model, path, roi, scale):
    clip.scale = None
    trajectory, _, _ = finish(track(clip, model, roi=roi, scale=scale))
    assert np.abs(trajectory.xy_px - path).max() < 0.1
    assert trajectory.table["in_view"].all()
    assert trajectory.table["sd_x_px"].to_numpy() == pytest.approx(6.0, rel=0.1)
    assert trajectory.table["sd_y_px"].to_numpy() == pytest.approx(6.0, rel=0.1)


def test_a_stretched_network_is_mapped_back_too(clip, model, path):
    stretched = model.with_card(replace(model.card, stretch=True, input_height=96))
    trajectory, _, _ = finish(track(clip, stretched, roi="full"))
    assert np.abs(trajectory.xy_px - path).max() < 0.1
    assert operation(trajectory).arguments["pixel_map"]["content_height"] == 96


def test_millimetres_come_from_the_argument_else_from_the_clip(clip, model, path):
    own, _, _ = finish(track(clip, model, roi="full"))
    np.testing.assert_allclose(own.table[["x_mm", "y_mm"]], own.xy_px * 0.2)
    given, _, _ = finish(track(clip, model, roi="full", scale=Scale(0.1, 0.15, "given by hand")))
    np.testing.assert_allclose(given.table[["x_mm", "y_mm"]], given.xy_px * [0.1, 0.15])
    assert given.provenance.scale.source == "given by hand"
    clip.scale = None
    bare, _, _ = finish(track(clip, model, roi="full"))
    assert bare.table[["x_mm", "y_mm", "sd_mm"]].isna().all(axis=None)


def test_times_are_those_of_the_frames(clip, model):
    trajectory, _, _ = finish(track(clip, model, roi="full", frames=range(3, 30, 7)))
    assert trajectory.frames.tolist() == [3, 10, 17, 24]
    np.testing.assert_allclose(trajectory.table["time_s"], np.array([3, 10, 17, 24]) / 25)


@pytest.mark.parametrize("frames", [range(5, 20, 3), range(17, 4, -3)])
def test_a_range_of_frames_reads_only_those(clip, model, path, frames):
    trajectory, _, _ = finish(track(clip, model, roi="full", frames=frames))
    assert clip.given == trajectory.frames.tolist() == [5, 8, 11, 14, 17]
    assert np.abs(trajectory.xy_px - path[clip.given]).max() < 0.1


def test_one_frame_only(clip, model, path):
    trajectory, batches, _ = finish(track(clip, model, roi="full", frames=range(7, 8)))
    assert len(trajectory) == len(batches) == 1
    assert np.abs(trajectory.xy_px[0] - path[7]).max() < 0.1


def test_batches_tell_how_far_they_are(clip, model):
    trajectory, batches, _ = finish(track(clip, model, roi="full", batch=16))
    assert [len(batch.predictions) for batch in batches] == [2, 4, 8, 12, 4, 4, 3, 2, 1]
    assert [batch.done for batch in batches] == [2, 6, 14, 26, 30, 34, 37, 39, 40]
    assert {batch.total for batch in batches} == {40}
    seconds = [batch.seconds for batch in batches]
    assert seconds == sorted(seconds)
    assert seconds[0] > 0
    assert [p.frame for batch in batches for p in batch.predictions] == list(range(40))
    assert {type(p.x_px) for batch in batches for p in batch.predictions} == {float}
    assert isinstance(trajectory, Trajectory)


def test_the_batch_does_not_change_the_result(clip, card):
    torch.manual_seed(0)
    network = build("compact", channels=(4, 4, 4)).eval()
    arguments = {"channels": [4, 4, 4]}
    card = replace(card, network="compact", network_arguments=arguments, decoding={})
    model = Model(card, network)
    tables, found = [], []
    for batch in (1, 7, 64):
        trajectory, batches, _ = finish(track(clip, model, roi="full", batch=batch, attention=True))
        assert max(len(b.predictions) for b in batches) == min(batch, 12)
        tables.append(trajectory.table)
        maps = np.concatenate([b.attention for b in batches])
        assert maps.dtype == np.float32
        assert maps.shape == (40, 16, 32)
        found.append(maps)
    numbers = ["x_raw_px", "y_raw_px", "confidence", "sd_x_px"]
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], atol=1e-4)
    for table in tables[1:]:
        np.testing.assert_allclose(table[numbers], tables[0][numbers], atol=1e-4)


def test_attention_only_when_asked_for(clip, model, path):
    _, batches, _ = finish(track(clip, model, roi="full"))
    assert {batch.attention for batch in batches} == {None}
    trajectory, batches, _ = finish(track(clip, model, roi="full", attention=True))
    maps = np.concatenate([batch.attention for batch in batches])
    assert maps.shape == (40, 64, 128)
    assert maps.max() > 200  # raw: this network's attention is the grey itself
    step, origin = PixelMap.fit(trajectory.provenance.roi, 64, 128).affine_of_map(64, 128)
    peaks = np.array([np.unravel_index(m.argmax(), m.shape) for m in maps]) * step + origin
    assert np.abs(peaks[:, ::-1] - path).max() < 1.5 * step.max()


def test_darkness_is_not_in_view(model, fakes):
    array = np.stack([fakes.spot(60, 50), np.zeros((100, 240), np.uint8), fakes.spot(70, 50)])
    trajectory, batches, _ = finish(track(fakes.ArrayClip(array), model, roi="full"))
    table = trajectory.table
    assert table["in_view"].tolist() == [True, False, True]
    assert table.loc[1, ["x_px", "y_px", "x_raw_px", "sd_x_px", "cov_xy_px2"]].isna().all()
    assert table["flags"].tolist() == ["", "not_in_view", ""]
    dark = batches[0].predictions[1]
    assert np.isnan([dark.x_px, dark.y_px]).all()
    assert dark.flags == (Flag.NOT_IN_VIEW,)


def test_a_position_in_the_padding_is_flagged(clip, model, monkeypatch, fakes):
    def shifted(output, decoding, **settings):
        decoded = fakes.centroid_decode(output, decoding, **settings)
        decoded.xy[:, 1] -= 40 * np.arange(len(decoded.xy))
        return decoded

    monkeypatch.setattr("napari_deepmtj.inference.decode.decode", shifted)
    trajectory, _, _ = finish(track(clip, model, roi="full", frames=range(2)))
    assert trajectory.table["flags"].tolist() == ["", "outside_roi"]
    assert trajectory.table["y_px"][1] < -0.5


@pytest.mark.parametrize(
    ("x", "y", "flags"),
    [
        (9.6, 40, ""),
        (9.4, 40, "outside_roi"),
        (109.4, 40, ""),
        (109.6, 40, "outside_roi"),
        (50, 4.6, ""),
        (50, 4.4, "outside_roi"),
        (50, 94.4, ""),
        (50, 94.6, "outside_roi"),
    ],
)
def test_the_region_ends_half_a_pixel_beyond_its_pixels(
    clip, model, monkeypatch, fakes, x, y, flags
):
    roi = Roi(10, 5, 100, 90)
    there = PixelMap.fit(roi, 64, 128).to_network((x, y))

    def fixed(output, decoding, **settings):
        decoded = fakes.centroid_decode(output, decoding, **settings)
        return replace(decoded, xy=there[None], in_view=np.array([True]))

    monkeypatch.setattr("napari_deepmtj.inference.decode.decode", fixed)
    clip.scale = None
    trajectory, _, _ = finish(track(clip, model, roi=roi, frames=range(1)))
    assert trajectory.table["flags"][0].removeprefix("low_confidence").strip(";") == flags
    assert trajectory.xy_px[0] == pytest.approx((x, y))


def test_low_confidence_is_flagged_and_depends_on_the_tolerance(clip, model):
    sure, _, _ = finish(track(clip, model, roi="full", scale=Scale(0.2, 0.2, "phantom")))
    assert (sure.table["flags"] == "").all()
    unsure, _, _ = finish(track(clip, model, roi="full", scale=Scale(1.2, 1.2, "phantom")))
    assert (unsure.table["flags"] == "low_confidence").all()
    assert (unsure.table["confidence"] < 0.5).all()


@pytest.mark.parametrize(
    ("scale", "roi", "definition", "network_px"),
    [
        (Scale(0.25, 0.25, "phantom"), "full", "5.0 mm", 5 / 0.25 * 128 / 240),
        (Scale(0.25, 0.5, "phantom"), "20,0,200,50", "5.0 mm", 5 / 0.25 * 128 / 200),
        (None, "full", "0.063 of the region's width", 0.063 * 128),
        (None, "0,0,100,100", "0.063 of the region's width", 0.063 * 64),
    ],
)
def test_the_tolerance_is_5_mm_or_a_share_of_the_width(
    clip, model, scale, roi, definition, network_px
):
    clip.scale = None
    trajectory, _, _ = finish(track(clip, model, roi=roi, scale=scale))
    tolerance = operation(trajectory).arguments["tolerance"]
    assert tolerance["definition"] == definition
    assert tolerance["network_px"] == pytest.approx(network_px, rel=0.01)


def test_the_tolerance_of_a_stretched_network_has_the_area_of_the_true_one(clip, model):
    stretched = model.with_card(replace(model.card, stretch=True))
    trajectory, _, _ = finish(track(clip, stretched, roi="full", scale=Scale(0.25, 0.25, "file")))
    radii = 5 / 0.25 * np.array([128 / 240, 64 / 100])
    tolerance = operation(trajectory).arguments["tolerance"]["network_px"]
    assert tolerance**2 == pytest.approx(radii.prod())


def test_padding_is_left_out_of_standardisation(clip, model, fakes):
    seen = []

    class Recorder(fakes.SpotNetwork):
        def forward(self, x):
            seen.append(x)
            return super().forward(x)

    card = replace(model.card, normalisation="standardise")
    trajectory, _, _ = finish(track(clip, Model(card, Recorder()), roi="80,0,100,100"))
    content = PixelMap.fit(trajectory.provenance.roi, 64, 128).content
    pictures = torch.cat(seen)[:, 0, content[0], content[1]].flatten(1)
    assert pictures.shape == (40, 64 * 64)
    lit = pictures.std(dim=1) > 0
    assert lit.sum() > 20
    assert pictures.mean(dim=1).abs().max() < 1e-4
    assert (pictures[lit].std(dim=1, correction=0) - 1).abs().max() < 1e-4


def test_provenance_holds_all_that_a_number_depends_on(clip, model):
    clip.metadata = {"colour_range": "limited"}
    trajectory, _, _ = finish(track(clip, model, roi="10,5,220,90", frames=range(0, 20, 2)))
    provenance = trajectory.provenance
    assert provenance.clip == "clip.avi"
    assert provenance.clip_sha256 == "ab" * 32
    assert str(provenance.roi) == "10,5,220,90"
    assert provenance.times_source == "container"
    said = operation(trajectory).arguments
    assert operation(trajectory).name == "track"
    assert said["model"] == {
        "id": "spot",
        "version": "1",
        "sha256": "cd" * 32,
        "licence": "BSD-3-Clause",
    }
    assert said["frames"] == {"start": 0, "stop": 20, "step": 2}
    assert (said["device"], said["batch"]) == ("cpu", 16)
    assert said["pixel_map"]["content_width"] == 128
    assert said["normalisation"] == "minus-one-one"
    assert said["clip_metadata"] == {"colour_range": "limited"}
    assert said["libraries"]["numpy"] == np.__version__
    assert said["backend"]["torch"] == torch.__version__
    assert Provenance.from_json(json.loads(json.dumps(provenance.to_json()))) == provenance


def test_what_is_settled_is_told_before_the_first_frame(clip, model):
    events = list(track(clip, model, roi="10,5,220,90", frames=range(9, 2, -2)))
    began, result = events[0], events[-1].result
    assert began.frames == range(3, 10, 2)
    assert began.pixel_map == PixelMap.fit(Roi(10, 5, 220, 90), 64, 128, clip.scale)
    ours, theirs = began.provenance, result.provenance
    assert replace(ours, operations=()) == replace(theirs, operations=())
    assert [op.arguments for op in ours.operations] == [op.arguments for op in theirs.operations]


def test_notices_come_first(clip, model):
    clip.notices = ("times are assumed",)
    events = list(track(clip, model, roi="auto"))
    assert events[0] == Notice("times are assumed")
    assert isinstance(events[1], Notice)  # auto without a side-car says what it took
    assert "whole picture" in events[1].message
