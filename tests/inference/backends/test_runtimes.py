"""Every network gives the same on every backend; which one is opened is test_backends."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from small_networks import SMALL, opened, small_model
from torch import nn

from napari_deepmtj.inference.backends.torch_cpu import folded, normalised
from napari_deepmtj.inference.decode import Decoding, observe
from napari_deepmtj.inference.predictor import track
from napari_deepmtj.inference.preprocess import normalise
from napari_deepmtj.weights.store import load_model

#: Pictures; with batches of 2 or 4 the last one is not full.
N = 5

#: By how much positions may differ, in pixels of the network's input.
SAME_PX = 0.02

NETWORKS = [*SMALL, "bundled"]


def made(which):
    return load_model("compact") if which == "bundled" else small_model(which)


def pictures(model, n=N, seed=1):
    """Return blurred noise, (n, H, W)."""
    rng = np.random.default_rng(seed)
    height, width = model.card.input_height, model.card.input_width
    coarse = torch.from_numpy(rng.uniform(0, 255, (n, 1, height // 4, width // 4)))
    fine = nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    return fine[:, 0].round().to(torch.uint8).numpy()


def eager(model, pixels, content=None):
    """Return what the network itself gives, nothing folded."""
    with torch.inference_mode():
        return model.network(normalise(pixels, model.card.normalisation, content=content))


def assert_same(model, found, expected, *, within=1e-3):
    """Positions within `SAME_PX`, and all tensors within a small share of their range."""
    card, fitted = model.card, Decoding.from_card(model.card.decoding)
    size = card.input_height, card.input_width
    xy, truth = (observe(output, fitted, *size)[0].xy for output in (found, expected))
    np.testing.assert_allclose(xy, truth, rtol=0, atol=SAME_PX)
    for name in found._fields:
        ours, theirs = getattr(found, name), getattr(expected, name)
        assert (ours is None) == (theirs is None), name
        both = zip(ours, theirs, strict=True) if name == "attention" else [(ours, theirs)]
        for one, other in both if ours is not None else ():
            span = max(1e-3, float(other.max() - other.min()))
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=within * span, err_msg=name)


@pytest.mark.parametrize("which", NETWORKS)
def test_folding_takes_all_batch_norms_away_and_changes_nothing(which):
    model = made(which)
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    network = folded(model.network)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    pixels = pictures(model)
    with torch.inference_mode():
        assert_same(
            model, network(normalise(pixels, model.card.normalisation)), eager(model, pixels)
        )
    for name, value in model.network.state_dict().items():
        assert torch.equal(value, before[name]), name


@pytest.mark.parametrize("which", NETWORKS)
@pytest.mark.parametrize(
    ("name", "package"),
    [("torch", "torch"), ("openvino", "openvino")],
)
def test_every_network_is_the_same_on_every_backend(name, package, which):
    pytest.importorskip(package)
    same_on(name, which)


@pytest.mark.parametrize(
    "which",
    [pytest.param(one, marks=pytest.mark.slow if one != "compact" else ()) for one in NETWORKS],
)
def test_every_network_is_the_same_on_onnxruntime(which):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    same_on("onnxruntime", which)


def same_on(name, which):
    model = made(which)
    backend, said = opened(model, name, "cpu")
    assert (backend.name, backend.device, backend.about["name"]) == (name, "cpu", name)
    assert len(said) == (name != "torch")  # of the export
    pixels = pictures(model)
    found = backend.infer(pixels)
    assert_same(model, found, eager(model, pixels))
    assert all(map(torch.isfinite, found.presence)) if found.presence is not None else True
    again, said = opened(model, name, "cpu")
    assert said == []  # it was kept
    one = again.infer(pixels[3:4])
    assert_same(model, one, eager(model, pixels[3:4]))
    assert len(backend.infer(np.concatenate([pixels] * 4)).attention) == len(found.attention)
    rows = slice(8, 24)
    inside = (rows, slice(0, pixels.shape[2]))
    assert_same(model, backend.infer(pixels, content=inside), eager(model, pixels, inside))


def test_other_weights_of_one_architecture_are_never_mixed_up():
    pytest.importorskip("openvino")
    pixels = pictures(small_model("vgg16"))
    for seed in (0, 1):
        model = small_model("vgg16", seed)
        assert_same(model, opened(model, "openvino", "cpu")[0].infer(pixels), eager(model, pixels))
    model = small_model("vgg16")
    with torch.no_grad():
        model.network.head.bias += 0.5  # same card, other weights, as in training
    assert_same(model, opened(model, "openvino", "cpu")[0].infer(pixels), eager(model, pixels))


def test_openvino_computes_a_picture_the_same_whatever_comes_with_it():
    pytest.importorskip("openvino")
    model = small_model("compact")
    backend, _ = opened(model, "openvino", "cpu")
    pixels = pictures(model, 7)
    whole = backend.infer(pixels)
    for i in range(7):
        assert torch.equal(backend.infer(pixels[i : i + 1]).heatmap[0], whole.heatmap[i])


def test_nothing_is_reported_to_anybody():
    """OpenVINO's package that reports imports to its maker is never loaded, nor is a socket."""
    pytest.importorskip("openvino")
    program = """
import socket, sys
def refuse(*_, **__): raise AssertionError("a connection")
socket.socket.connect = refuse
from napari_deepmtj.inference.backends.openvino import runtime
runtime()
assert sys.modules["openvino_telemetry"] is None
from openvino.tools.ovc import telemetry_utils
assert telemetry_utils.tm.__name__.endswith("telemetry_stub"), telemetry_utils.tm
assert not [name for name in sys.modules if name.startswith("openvino_telemetry.")]
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, timeout=900)


def test_a_clip_is_tracked_the_same_and_the_log_says_by_what(fakes):
    pytest.importorskip("openvino")
    model = small_model("vgg16")  # which always gives a position
    rng = np.random.default_rng(3)
    clip = fakes.ArrayClip(rng.integers(0, 256, (7, 100, 240), dtype=np.uint8))
    tracked = {}
    for name in ("torch", "openvino"):
        *_, done = track(clip, model, device="cpu", backend=name, batch=4, roi="full")
        tracked[name] = done.result
    ours, theirs = (tracked[name].table for name in ("openvino", "torch"))
    pixel = 240 / model.card.input_width  # of the network's input, in frame pixels
    for column in ("x_px", "y_px"):
        np.testing.assert_allclose(ours[column], theirs[column], rtol=0, atol=SAME_PX * pixel)
    np.testing.assert_allclose(ours["confidence"], theirs["confidence"], atol=1e-4)
    said = tracked["openvino"].provenance.operations[-1].arguments["backend"]
    assert said["name"] == "openvino"
    assert {"openvino", "threads", "streams", "batch"} <= said.keys()
    assert tracked["torch"].provenance.operations[-1].arguments["backend"]["name"] == "torch"


def test_grey_levels_are_normalised_by_one_thread(monkeypatch):
    seen, before = [], torch.get_num_threads()

    def watched(*arguments, **names):
        seen.append(torch.get_num_threads())
        return normalise(*arguments, **names)

    monkeypatch.setattr("napari_deepmtj.inference.backends.torch_cpu.normalise", watched)
    grey = np.arange(2 * 4 * 6, dtype=np.uint8).reshape(2, 4, 6)
    torch.set_num_threads(2)
    try:
        found = normalised(grey, "minus-one-one")
        assert (seen, torch.get_num_threads()) == ([1], 2)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found, normalise(grey, "minus-one-one"))
