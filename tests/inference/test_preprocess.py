import numpy as np
import pytest
import torch
from PIL import Image

from napari_deepmtj.core.geometry import PixelMap, Roi, Scale
from napari_deepmtj.errors import VideoError, WeightsError
from napari_deepmtj.inference.preprocess import (
    normalise,
    to_network_input,
    to_network_inputs,
)


def centroid(picture):
    rows, columns = np.indices(picture.shape)
    mass = picture.astype(float)
    return np.array([(columns * mass).sum(), (rows * mass).sum()]) / mass.sum()


def spot(height, width, x, y, sd):
    rows, columns = np.mgrid[:height, :width]
    light = np.exp(-(((columns - x) ** 2) / sd[0] ** 2 + ((rows - y) ** 2) / sd[1] ** 2) / 2)
    return np.round(255 * light).astype(np.uint8)


@pytest.mark.parametrize("stretch", [False, True])
@pytest.mark.parametrize("aspect", [None, 0.6, 1.7])
def test_a_spot_lands_where_the_pixel_map_says(aspect, stretch):
    rng = np.random.default_rng(7)
    scale = None if aspect is None else Scale(0.1, 0.1 * aspect, "phantom")
    worst = 0.0
    for _ in range(25):
        roi = Roi(*rng.integers(0, 60, 2), *rng.integers(90, 700, 2))
        out = [(64, 128), (128, 256), (101, 203)][rng.integers(3)]
        pixel_map = PixelMap.fit(roi, *out, scale, stretch=stretch)
        sd = np.maximum(3.0, 3.0 / pixel_map.factors)
        if (5 * sd > np.array([roi.width, roi.height]) / 2).any():
            continue  # the spot would be cut at the border, and its centroid move
        inside = rng.uniform(5 * sd, [roi.width, roi.height] - 5 * sd)
        picture = spot(roi.height, roi.width, *inside, sd)
        seen = centroid(to_network_input(picture, pixel_map))
        expected = pixel_map.to_network(inside + [roi.x, roi.y])
        worst = max(worst, *np.abs(seen - expected))
    assert 0 < worst < 0.05


def test_padding_is_black_and_the_content_fills_its_place():
    pixel_map = PixelMap.fit(Roi(0, 0, 100, 100), 64, 128)
    out = to_network_input(np.full((100, 100), 200, np.uint8), pixel_map)
    assert out.dtype == np.uint8
    assert (out[pixel_map.content] == 200).all()
    assert out.sum() == 200 * 64 * 64


def test_a_region_of_the_input_size_is_not_touched():
    picture = np.random.default_rng(0).integers(0, 256, (64, 128), dtype=np.uint8)
    assert (to_network_input(picture, PixelMap.fit(Roi(5, 6, 128, 64), 64, 128)) == picture).all()


def test_a_fine_pattern_turns_grey_instead_of_aliasing():
    picture = np.tile(np.array([[0, 255], [255, 0]], np.uint8), (128, 256))
    out = to_network_input(picture, PixelMap.fit(Roi(0, 0, 512, 256), 60, 120))
    inner = out[2:-2, 2:-2]
    assert abs(inner.mean() - 127.5) < 1
    assert inner.std() < 12


def test_slices_and_read_only_frames_are_fine():
    frame = np.random.default_rng(0).integers(0, 256, (200, 300), dtype=np.uint8)
    frame.setflags(write=False)
    roi = Roi(10, 20, 256, 128)
    pixel_map = PixelMap.fit(roi, 64, 128)
    whole = to_network_input(np.ascontiguousarray(frame[roi.slices]), pixel_map)
    assert (to_network_input(frame[roi.slices], pixel_map) == whole).all()


@pytest.mark.parametrize("size", [(360, 720), (97, 201), (64, 128), (40, 90)])
def test_frames_that_come_together_are_resized_as_if_alone(size):
    regions = np.random.default_rng(3).integers(0, 256, (7, *size), dtype=np.uint8)
    pixel_map = PixelMap.fit(Roi(4, 2, *size[::-1]), 64, 128)
    together = to_network_inputs(regions, pixel_map)
    alone = [to_network_input(region, pixel_map) for region in regions]
    np.testing.assert_array_equal(together, np.stack(alone))


def test_the_filter_is_the_triangle_of_pillow():
    region = np.random.default_rng(5).integers(0, 256, (300, 600), dtype=np.uint8)
    ours = to_network_input(region, PixelMap.fit(Roi(0, 0, 600, 300), 128, 256)).astype(int)
    theirs = Image.fromarray(region).resize((256, 128), Image.Resampling.BILINEAR)
    off = np.abs(ours - np.asarray(theirs))
    assert off.max() <= 1
    assert (off > 0).mean() < 0.01  # where both round half a grey level


def test_a_frame_of_another_size_is_refused():
    with pytest.raises(VideoError, match=r"\(50, 60\).*\(100, 200\)"):
        to_network_input(np.zeros((50, 60), np.uint8), PixelMap.fit(Roi(0, 0, 200, 100), 64, 128))


def test_minus_one_one_maps_the_grey_scale():
    batch = np.array([0, 51, 255], np.uint8).reshape(3, 1, 1)
    out = normalise(batch, "minus-one-one")
    assert out.shape == (3, 1, 1, 1)
    assert out.dtype == torch.float32
    assert torch.allclose(out.flatten(), torch.tensor([-1.0, -0.6, 1.0]))


def test_standardise_is_per_picture():
    batch = np.random.default_rng(0).integers(0, 256, (3, 20, 40)).astype(np.uint8)
    batch[1] //= 4
    out = normalise(batch, "standardise").numpy()
    expected = (batch - batch.mean((1, 2), keepdims=True)) / batch.std((1, 2), keepdims=True)
    np.testing.assert_allclose(out[:, 0], expected, atol=1e-5)


def test_padding_does_not_shift_a_standardised_picture():
    roi = Roi(0, 0, 40, 40)
    pixel_map = PixelMap.fit(roi, 40, 80)
    picture = np.random.default_rng(0).integers(0, 256, (40, 40)).astype(np.uint8)
    picture[0, 0] = 0
    padded = to_network_input(picture, pixel_map)[None]
    out = normalise(padded, "standardise", content=pixel_map.content)
    alone = normalise(picture[None], "standardise")
    assert torch.allclose(out[0, 0][pixel_map.content], alone[0, 0])
    assert torch.allclose(out[0, 0, :, :20], alone[0, 0, 0, 0])  # padding is as black as black
    assert not torch.allclose(normalise(padded, "standardise"), out, atol=0.1)


def test_a_picture_of_one_grey_becomes_zero():
    assert (normalise(np.full((1, 4, 4), 77, np.uint8), "standardise") == 0).all()


def test_an_unknown_normalisation_is_refused():
    with pytest.raises(WeightsError, match="zscore"):
        normalise(np.zeros((1, 2, 2), np.uint8), "zscore")
