"""Every network gives the same on every backend; which one is opened is test_backends."""

import numpy as np
import pytest
import torch
from small_networks import SMALL, small_model
from torch import nn

from napari_deepmtj.inference.backends.select import open_backend
from napari_deepmtj.inference.backends.torch_cpu import folded
from napari_deepmtj.inference.decode import Decoding, observe
from napari_deepmtj.inference.predictor import track
from napari_deepmtj.inference.preprocess import normalise
from napari_deepmtj.weights.store import load_model, save_model

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
        folded_output = network(normalise(pixels, model.card.normalisation))
        assert_same(model, folded_output, eager(model, pixels))
    for name, value in model.network.state_dict().items():
        assert torch.equal(value, before[name]), name


@pytest.fixture
def stored(tmp_path):
    """Return a function that gives a model as its file has it, with a graph."""

    def saved(which):
        model = made(which)
        if not model.graph:
            path = tmp_path / f"{which}.safetensors"
            save_model(path, model.network, model.card)
            model = load_model(path)
        return model

    return saved


@pytest.mark.parametrize("which", NETWORKS)
@pytest.mark.parametrize("name", ["torch", "onnxruntime"])
def test_every_network_is_the_same_on_every_backend(stored, name, which):
    model = stored(which)
    backend = open_backend(model, name, "cpu")
    assert (backend.name, backend.device, backend.about["name"]) == (name, "cpu", name)
    pixels = pictures(model)
    result = backend.infer(pixels)
    assert_same(model, result, eager(model, pixels))
    assert result.presence is None or np.isfinite(result.presence).all()
    assert_same(model, backend.infer(pixels[3:4]), eager(model, pixels[3:4]))
    inside = (slice(8, 24), slice(0, pixels.shape[2]))
    assert_same(model, backend.infer(pixels, content=inside), eager(model, pixels, inside))


@pytest.mark.parametrize("name", ["compact", "compact-fast"])
def test_a_clip_is_tracked_the_same_with_and_without_torch(fakes, name):
    """Positions, confidence, in view and flags, also of noise that is like no calf."""
    model = load_model(name)
    clip = fakes.ArrayClip(np.concatenate([pictures(model), pictures(model, seed=2) // 2]))
    tracked = {}
    for backend in ("torch", "onnxruntime"):
        *_, done = track(clip, model, device="cpu", backend=backend, roi="full")
        tracked[backend] = done.result
    ours, theirs = (tracked[backend].table for backend in ("onnxruntime", "torch"))
    for column in ("x_px", "y_px"):
        np.testing.assert_allclose(ours[column], theirs[column], rtol=0, atol=SAME_PX)
    np.testing.assert_allclose(ours["confidence"], theirs["confidence"], atol=1e-3)
    for column in ("sd_x_px", "sd_y_px"):
        np.testing.assert_allclose(ours[column], theirs[column], rtol=1e-3)
    assert list(ours["in_view"]) == list(theirs["in_view"])
    assert list(ours["flags"]) == list(theirs["flags"])
    about = tracked["onnxruntime"].provenance.operations[-1].arguments["backend"]
    assert {"name", "onnxruntime", "threads", "batch"} == set(about)
