"""When 8 bits are used, and what is said of them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_networks import opened, small_model

from napari_deepmtj.inference.backends import int8_gate as backends_gate
from napari_deepmtj.inference.backends import openvino as backends_openvino
from napari_deepmtj.inference.backends.int8_gate import Gate, Sample, measured
from napari_deepmtj.networks.interface import NetworkOutput
from napari_deepmtj.weights.store import load_model

SIZE = 32, 64


@pytest.fixture
def few(monkeypatch, tmp_path):
    """Draw few pictures, with a cache of one's own."""
    monkeypatch.setenv("NAPARI_DEEPMTJ_CACHE", str(tmp_path))
    monkeypatch.setattr(backends_gate, "CALIBRATION_SUBJECTS", 2)
    monkeypatch.setattr(backends_gate, "TEST_SUBJECTS", 2)
    return tmp_path


class Pointer:
    """A backend that points (dx, dy) pixels beside what is written into a picture's corner."""

    name = device = "fake"
    about = {}  # noqa: RUF012

    def __init__(self, dx, dy=0.0):
        self.off = dx, dy
        self.contents = []

    def infer(self, pixels, *, content=None):
        self.contents.append(content)
        height, width = SIZE
        xy = (pixels[:, 0, :2] + np.array(self.off) + 0.0) / [width - 1, height - 1]
        return NetworkOutput(None, torch.from_numpy(xy).float(), None, ())


def sample(truth, mm=(0.2, 0.1)):
    pixels = np.zeros((len(truth), *SIZE), np.uint8)
    pixels[:, 0, :2] = np.nan_to_num(truth)
    contents = np.array([[i, 32, 0, 64] for i in range(len(truth))])
    return Sample(pixels, contents, np.array(truth, float), np.tile(mm, (len(truth), 1)))


def test_the_gate_measures_errors_in_millimetres_where_the_mtj_is_in_view():
    card = small_model("vgg16").card  # a regressor
    test = sample([[10, 20], [30, 8], [np.nan, np.nan]])
    plain, small = Pointer(1.0), Pointer(0.0, 4.0)
    gate = measured(card, test, plain, small)
    assert gate.pictures == 2
    assert gate.error_mm == pytest.approx(0.2, abs=1e-4)  # 1 px of 0.2 mm
    assert gate.error_int8_mm == pytest.approx(0.4, abs=1e-4)  # 4 px of 0.1 mm
    assert gate.moved_mm == pytest.approx(np.hypot(0.2, 0.4), abs=1e-4)
    assert gate.growth_mm == pytest.approx(0.2, abs=1e-4)
    assert not gate.passed
    assert plain.contents[1] == (slice(1, 32), slice(0, 64))


@pytest.mark.parametrize(("growth", "passes"), [(-0.2, True), (0.049, True), (0.051, False)])
def test_the_error_may_grow_by_a_twentieth_of_a_millimetre(growth, passes):
    gate = Gate(128, 1.0, 1.0 + growth, 0.1, 0.4)
    assert gate.passed is passes
    assert ("8 bits are used" in gate.said()) is passes
    assert ("refused; going on with OpenVINO in 32 bit" in gate.said()) is not passes
    assert f"{1 + growth:.3f} mm in 8 bit, 1.000 mm in 32 bit ({growth:+.3f} mm" in gate.said()
    assert Gate(**gate.to_json()).passed is passes


def test_the_pictures_are_of_other_subjects_and_drawn_once(few, monkeypatch):
    card = small_model("compact").card
    calibration, test = backends_gate.samples(card)
    for one in (calibration, test):
        assert one.pixels.shape == (4, 64, 128)
        assert np.isfinite(one.truth).all(axis=1).any()
        assert one.inputs("minus-one-one").shape == (4, 1, 64, 128)
    drawn = {clip.sha256 for clip in backends_gate._clips(backends_gate.CALIBRATION_SEED)}
    assert drawn.isdisjoint(clip.sha256 for clip in backends_gate._clips(backends_gate.TEST_SEED))
    monkeypatch.setattr(backends_gate, "_drawn", lambda *_: pytest.fail("drawn again"))
    again, _ = backends_gate.samples(card)
    np.testing.assert_array_equal(again.pixels, calibration.pixels)


def test_the_truth_lies_where_the_picture_shows_it(few):
    """Millimetres and truth of the sample are those of the clip, seen through the pixel map."""
    card = replace(small_model("compact").card, input_height=64, input_width=192)  # padded
    clip = backends_gate._clips(backends_gate.TEST_SEED)[0]
    rows = backends_gate._drawn(card, clip)
    _, content, truth, mm = rows[0]
    assert content.tolist() == [0, 64, 32, 160]
    frame = int(np.linspace(0, 59, 4)[1].round())
    in_mm = clip.truth[frame] * clip.scale.x_mm
    inside = (truth - [32, 0]) * mm
    np.testing.assert_allclose(inside, in_mm, atol=0.5 * clip.scale.x_mm + 0.5 * mm.max())


def test_8_bits_of_the_bundled_network_are_measured_once_and_said(few, monkeypatch):
    pytest.importorskip("openvino")
    pytest.importorskip("nncf")
    model = load_model("compact")
    backend, said = opened(model, "openvino-int8", "cpu")
    gate = Gate(**backend.about["gate"]) if backend.name == "openvino-int8" else None
    assert gate is None or gate.passed
    assert said[-1].startswith("compact: mean error on ")
    pixels = backends_gate.samples(model.card)[1].pixels
    plain, _ = opened(model, "openvino", "cpu")
    moved = (backend.infer(pixels).heatmap - plain.infer(pixels).heatmap).abs().max()
    assert (moved > 0) == (gate is not None)  # it is another computation, if it is used
    monkeypatch.setattr(backends_openvino, "quantised", lambda *_: pytest.fail("made again"))
    again, said_again = opened(model, "openvino-int8", "cpu")
    assert again.about == backend.about
    assert said_again == said[-1:]


def test_8_bits_that_are_refused_are_replaced_and_that_is_said(few, monkeypatch):
    pytest.importorskip("openvino")
    pytest.importorskip("nncf")
    monkeypatch.setattr(
        backends_gate, "measured", lambda *_: Gate(4, error_mm=1.0, error_int8_mm=1.06,
                                                   moved_mm=0.2, moved_most_mm=0.9)
    )  # fmt: skip
    model = small_model("compact")
    for _ in range(2):  # measured, then remembered
        backend, said = opened(model, "openvino-int8", "cpu")
        assert backend.name == "openvino"
        assert "(+0.060 mm, at most +0.050 mm allowed" in said[-1]
        assert said[-1].endswith("8 bits are refused; going on with OpenVINO in 32 bit")
    sizes = [path.stat().st_size for path in (few / "exports").glob("*int8*")]
    assert len(sizes) == 1
    assert sizes[0] < 2000  # figures, no weights
