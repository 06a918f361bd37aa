"""Attention maps lie exactly over what the network saw, are comparable, and may be chosen."""

import numpy as np
import pytest
import torch.nn.functional as F
from napari.layers import Image, Layer
from torch import nn

from napari_deepmtj._napari.contributions.reader import clip_layer
from napari_deepmtj._napari.layers import convert
from napari_deepmtj._napari.layers.convert import Kind
from napari_deepmtj._napari.layers.placement import Placement
from napari_deepmtj._napari.tracking import widget as track_module
from napari_deepmtj._napari.tracking.run import Request, TrackRun
from napari_deepmtj._napari.viewer.settings import Settings
from napari_deepmtj.core.geometry import Roi, Scale
from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.inference.predictor import Began, TrackedBatch, track
from napari_deepmtj.networks.build import build
from napari_deepmtj.networks.interface import NetworkOutput
from napari_deepmtj.networks.maps import MapNames
from napari_deepmtj.video.stacks.stack import ArraySource
from napari_deepmtj.weights.cards import WeightCard
from napari_deepmtj.weights.store import Model, save_model


class Hot(nn.Module):
    """A network whose only map has one hot cell: the brightest."""

    def __init__(self, rows, columns):
        super().__init__()
        self.size = (rows, columns)

    def forward(self, x):
        pooled = F.adaptive_avg_pool2d(x, self.size)[:, 0]
        hot = pooled == pooled.amax((1, 2), keepdim=True)
        return NetworkOutput(x[:, 0], None, x.amax((1, 2, 3)), (hot.float(),))


def card(**more):
    return WeightCard(
        version="1",
        licence="BSD-3-Clause",
        normalisation="minus-one-one",
        trained_on="nothing",
        label_definition="nowhere",
        **more,
    )


#: Region, whether it is stretched, and frame pixels per input pixel on y and x, of 64 x 128 px.
PLACES = {
    "padded at the sides": (Roi(30, 20, 160, 128), False, (2, 2)),
    "padded above and below": (Roi(30, 20, 128, 40), False, (1, 1)),
    "stretched": (Roi(30, 20, 256, 64), True, (1, 2)),
}
#: Input, and the sizes of all maps of the networks that take it.
SIZES = [(64, size) for size in ((8, 16), (16, 32), (32, 64), (64, 128))]
SIZES += [(128, size) for size in ((8, 16), (16, 32), (32, 64), (64, 128), (128, 256))]


@pytest.mark.parametrize("scale", [None, Scale(0.2, 0.2, "given by hand")])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("height", "size"), SIZES)
def test_the_hot_cell_lies_on_the_pixels_that_made_it_hot(monkeypatch, height, size, place, scale):
    roi, stretch, (per_y, per_x) = PLACES[place]
    zoom = height // 64  # a region so much larger, so that input pixels are whole frame pixels
    roi = Roi(roi.x, roi.y, roi.width * zoom, roi.height * zoom)
    rows, columns = np.array([height, 2 * height]) // size * [per_y, per_x]  # of one cell, in frame
    left = 0 if stretch else (2 * height * per_x - roi.width) // 2
    top = 0 if stretch else (height * per_y - roi.height) // 2
    r, c = size[0] // 2, size[1] // 2 + 1  # not in the middle on x
    y, x = roi.y + r * rows - top, roi.x + c * columns - left
    frames = np.zeros((2, 320, 600), np.uint8)
    frames[:, y : y + rows, x : x + columns] = 255
    source = ArraySource(frames, "clip", times=FrameTimes.from_rate(2, 25.0, "container"))
    monkeypatch.setattr(
        "napari_deepmtj.weights.cards.maps_of", lambda *_: MapNames(("gate-1",), "gate")
    )
    model = Model(
        card(id="hot", network="hot", input_height=height, input_width=2 * height, stretch=stretch),
        Hot(*size).eval(),
    )
    events = list(track(source, model, roi=roi, scale=scale, device="cpu", attention="gate-1"))
    (began,) = [e for e in events if isinstance(e, Began)]
    maps = np.concatenate([e.attention for e in events if isinstance(e, TrackedBatch)])
    assert [tuple(np.argwhere(m)[0]) for m in maps] == [(r, c)] * 2
    assert maps.sum() == 2
    placement = Placement.of(source.times, scale)
    affine = began.pixel_map.affine_of_map(*maps.shape[1:])
    made = convert.layer_of_attention(maps, affine, "clip", placement, "id", began.attention)
    layer = Layer.create(*made)
    picture = Image(frames, rgb=False, **placement.arguments())
    for cell, pixel in (
        ((r - 0.5, c - 0.5), (y - 0.5, x - 0.5)),
        ((r + 0.5, c + 0.5), (y + rows - 0.5, x + columns - 0.5)),
        ((r, c), (y + (rows - 1) / 2, x + (columns - 1) / 2)),
    ):
        np.testing.assert_allclose(
            layer.data_to_world((1, *cell)), picture.data_to_world((1, *pixel)), atol=1e-9
        )


@pytest.fixture
def clip(viewer, session, make_clip):
    return viewer.add_layer(Layer.create(*clip_layer(make_clip())))


@pytest.fixture
def run(session, clip, tiny_model, in_a_loop):
    def run(which, frames=None):
        request = Request(tiny_model, roi="full", device="cpu", attention=which, frames=frames)
        TrackRun(session, clip, request).start()
        return session.find(clip, Kind.ATTENTION)

    return run


def test_the_layer_holds_the_networks_own_values(run):
    layer = run("gate-1")
    assert layer.data.dtype == np.float32
    assert layer.metadata[convert.KEY]["attention"]["map"] == "gate-1"
    assert layer.metadata[convert.KEY]["attention"]["unit"] == "gate, 0 (closed) to 1 (open)"
    highest = layer.data.max(axis=(1, 2))
    assert len(np.unique(highest)) == 20  # no frame is scaled to the same maximum
    assert (highest < 1).all()
    # one display for all frames, of all frames: only the highest tenth is drawn
    low, high = layer.contrast_limits
    assert (layer.data <= low).mean() == pytest.approx(0.9, abs=0.02)
    assert high == pytest.approx(np.median(highest))
    assert layer.gamma == 1.0


def test_the_same_map_is_filled_and_another_begins_anew(run):
    before = run("gate-1").data.copy()
    layer = run("gate-1", range(5, 8))
    np.testing.assert_allclose(layer.data, before, atol=1e-5)
    layer.contrast_limits = (0.1, 0.2)
    assert run("gate-1", range(3)).contrast_limits == pytest.approx([0.1, 0.2])
    layer = run("combined", range(5, 8))  # as large as gate-1, but something else
    assert layer.data.shape == before.shape
    assert np.flatnonzero(layer.data.max(axis=(1, 2))).tolist() == [5, 6, 7]
    assert layer.metadata[convert.KEY]["attention"]["map"] == "combined"


def test_shares_are_shown_by_their_square_root():
    layer = Image(np.zeros((4, 2, 2), np.float32), rgb=False)
    layer.metadata = convert.stamp(Kind.ATTENTION, "id", attention={"kind": "share"})
    maps = np.random.default_rng(0).random((4, 2, 2)) * 1e-5
    convert.show_attention(layer, maps)
    assert layer.gamma == 0.5
    assert layer.contrast_limits_range == pytest.approx([0, maps.max()])


@pytest.mark.gui
def test_the_form_offers_the_maps_of_the_model(session, tiny_model, tmp_path, monkeypatch, qapp):
    plain = card(id="plain", network="vgg16", network_arguments={"channels": 0.02},
                 input_height=64, input_width=128)  # fmt: skip
    save_model(tmp_path / "models" / "plain.safetensors", build("vgg16", channels=0.02), plain)
    monkeypatch.setattr(track_module, "read_settings", lambda: Settings(tiny_model, "cpu"))
    widget = track_module.TrackWidget(session.viewer)

    def texts():
        box = widget.attention.native
        return [box.itemText(i) for i in range(box.count())]

    assert texts() == ["combined", "gate-1", "gate-2", "not shown"]
    assert widget.attention.value == "combined"
    widget.model.value = "plain"
    assert texts() == ["vgg16 has no attention"]
    widget.model.value = tiny_model
    assert widget.attention.value == "combined"
    widget.attention.value = track_module.NOT_SHOWN
    widget.model.value = "plain"
    widget.model.value = "compact"
    assert widget.attention.choices[0] == "combined"
