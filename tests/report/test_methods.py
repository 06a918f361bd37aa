from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from napari_deepmtj.core.geometry import Scale
from napari_deepmtj.core.provenance import Provenance
from napari_deepmtj.core.trajectory import Trajectory
from napari_deepmtj.errors import ResultError
from napari_deepmtj.report.methods import REFERENCES, methods_text
from napari_deepmtj.tracking.gate import gate
from napari_deepmtj.tracking.smooth import Butterworth, smooth
from napari_deepmtj.weights.store import read_card, resolve_model

TRACK = {
    "model": {"id": "compact", "version": "1", "sha256": "", "licence": "BSD-3-Clause"},
    "roi": {"x_y_width_height": "10,20,140,70", "source": "given"},
    "pixel_map": {"out_width": 64, "out_height": 32, "content_width": 60, "content_height": 30},
    "normalisation": "minus-one-one",
    "decoding": {"presence_threshold": 0.25},
    "tolerance": {"definition": "5.0 mm", "network_px": 3.0},
    "device": "cpu",
    "libraries": {"torch": "2.0", "av": "18"},
}


@pytest.fixture
def tracked(trajectory: Trajectory) -> Trajectory:
    """As `compact` would have tracked it; frame 15 was corrected afterwards."""
    sha256 = read_card(resolve_model("compact")).sha256
    said = trajectory.provenance
    run = replace(said, operations=()).and_then(
        "track", **TRACK | {"model": TRACK["model"] | {"sha256": sha256}}
    )
    operations = (*run.operations, *said.operations)
    return replace(trajectory, provenance=replace(said, operations=operations))


def test_another_runtime_is_named_with_its_version(tracked: Trajectory) -> None:
    first, *rest = tracked.provenance.operations
    by = {"name": "onnxruntime", "onnxruntime": "1.32.0", "threads": 2}
    first = replace(first, arguments={**first.arguments, "backend": by})
    text = methods_text([replace(tracked.provenance, operations=(first, *rest))])
    assert "(torch 2.0, av 18, onnxruntime 1.32.0; computed on cpu)" in text


def test_everything_of_the_log_is_said(tracked: Trajectory) -> None:
    done = smooth(gate(tracked).trajectory, Butterworth(4.0, 2)).trajectory
    text = methods_text([done.provenance])
    for words in (
        "napari-deepmtj 0.1.0 (torch 2.0, av 18; computed on cpu)",
        f"SHA-256 {read_card(resolve_model('compact')).sha256}, BSD-3-Clause",
        "presence_threshold = 0.25",
        f"trained on: {read_card(resolve_model('compact')).trained_on}.",
        "made up, by a simulation (phantom) or out of real muscle (composites); the accuracy",
        "x,y,width,height = 10,20,140,70 px (source: given) of frames of 160 x 96 px was scaled to "
        "60 x 30 px within the network's input of 64 x 32 px",
        "0.1 x 0.2 mm/px (source: test)",
        "within 5.0 mm of the label",
        "Positions of 1 frames were set or corrected by hand.",
        "max_sd_mm = 5, max_speed_mm_s = 500",
        "zero-lag Butterworth low-pass filter [W09] (cutoff_hz = 4, order = 2",
        "max_gap = 0.2 s, excluded = outlier",
        f"- W09: {REFERENCES['W09']}",
        "doi:10.1109/EMBC44109.2020.9176145",
    ):
        assert words in text, words
    assert "not smoothed" not in text
    assert "RTS65" not in text  # only what was used is cited


def test_estimated_parameters_are_given(tracked: Trajectory) -> None:
    text = methods_text([smooth(tracked).trajectory.provenance])
    assert "[RTS65] (density = estimated from the clip" in text
    assert "density_px2 = " in text
    assert "noise_used = " in text


def test_smoothing_that_was_taken_away_is_not_told(tracked: Trajectory) -> None:
    from napari_deepmtj.tracking.unsmooth import unsmooth

    text = methods_text([unsmooth(smooth(tracked).trajectory).provenance])
    assert "Positions were not smoothed." in text
    assert "RTS65" not in text


def test_what_differs_between_clips_is_counted(tracked: Trajectory) -> None:
    said = tracked.provenance
    others = [said, said, replace(said, scale=None, times_source="none")]
    text = methods_text(others)
    assert "0.1 x 0.2 mm/px (source: test). (This holds for 2 of 3 clips.)" in text
    assert "No scale was known; positions are in pixels. (This holds for 1 of 3 clips.)" in text
    assert text.count("The network was compact") == 1
    assert "compact, version 1 (weights'" in text


def test_a_changed_scale_and_unknown_weights_are_told(trajectory: Trajectory) -> None:
    changed = trajectory.rescaled(Scale(0.3, 0.3, "line"))
    said = changed.provenance.and_then("track", **TRACK)
    text = methods_text([said])
    assert "The scale was changed after tracking" in text
    assert "state what they were trained on" in text


def test_nothing_to_describe() -> None:
    with pytest.raises(ResultError, match="no result"):
        methods_text([])


def test_a_log_that_says_little_is_no_error(make_trajectory: Callable[..., Trajectory]) -> None:
    bare = Provenance("a.avi", "", 0, 0, 0, "none", operations=())
    text = methods_text([bare])
    assert "No position was corrected by hand." in text
    assert "The clips have no frame times" in text


def test_what_flow_did_is_said_with_its_source(tracked: Trajectory) -> None:
    flow = {"method": "LucasKanade", "parameters": {"window_mm": 2.4}}
    said = tracked.provenance.and_then("refill", frame=15, anchors=[3, 20], rows=15, **flow)
    said = said.and_then("estimate slip", bands=["skin"], most_mm=3.0, limit_mm=2.0)
    text = methods_text([said.and_then("subtract slip", slip_px=[[0.0, 0.0]], bands=["skin"])])
    for words in (
        "From 1 of these frames the tissue was followed to the next anchor and back by optical "
        "flow [BO00], which gave the positions between (method = LucasKanade, parameters = "
        "(window_mm = 2.4)).",
        "flagged (bands = skin, limit_mm = 2)",
        "The slip of the probe was subtracted from all positions (bands = skin).",
        f"- BO00: {REFERENCES['BO00']}",
    ):
        assert words in text


def test_what_was_done_before_tracking_again_is_not_said(tracked: Trajectory) -> None:
    done = smooth(gate(tracked).trajectory).trajectory.provenance
    text = methods_text([done.and_then("track", **TRACK)])
    assert "Positions were not smoothed." in text
    assert "were checked" not in text
    assert "RTS65" not in text


@pytest.mark.parametrize("order", [("fuse", "smooth"), ("smooth", "fuse")])
def test_only_the_last_that_begins_with_raw_positions_is_said(
    tracked: Trajectory, order: tuple[str, str]
) -> None:
    said = tracked.provenance
    for name in order:
        said = said.and_then(name, method="LucasKanade" if name == "fuse" else "kalman")
    text = methods_text([said])
    assert ("were fused" in text, "were smoothed" in text) == (
        order[-1] == "fuse", order[-1] == "smooth",
    )  # fmt: skip
    assert ("- BO00" in text, "- RTS65" in text) == (order[-1] == "fuse", order[-1] == "smooth")
