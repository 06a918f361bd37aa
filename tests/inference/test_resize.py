import numpy as np
import pytest
import torch

from napari_deepmtj.core.geometry import PixelMap, Roi, Scale
from napari_deepmtj.inference.backends.device_resize import DeviceResize, whole_weights
from napari_deepmtj.inference.preprocess import to_network_inputs
from napari_deepmtj.inference.resize import resize, triangle_weights


def same(roi, out, scale=None, stretch=False):
    """Compare; two pixels in a hundred may differ by a grey level."""
    pixel_map = PixelMap.fit(roi, *out, scale, stretch=stretch)
    seed = [roi.width, roi.height, *out]
    regions = np.random.default_rng(seed).integers(0, 256, (3, roi.height, roi.width), np.uint8)
    regions[1] = np.where(regions[1] > 127, 255, 0)
    resized = DeviceResize(pixel_map, torch.device("cpu"))(torch.from_numpy(regions))
    assert resized.dtype == torch.uint8
    off = np.abs(resized.numpy().astype(int) - to_network_inputs(regions, pixel_map))
    assert off.max() <= 1
    assert (off > 0).mean() < 0.02


@pytest.mark.parametrize("size", [(360, 720), (97, 201), (1080, 1920), (20, 30), (128, 300)])
def test_grey_levels_are_those_of_training(size):
    """Those of torch's filter, with which the bundled models were trained, to a level."""
    pictures = np.random.default_rng(size).integers(0, 256, (3, *size), dtype=np.uint8)
    ours = resize(pictures, 128, 256).astype(int)
    theirs = torch.nn.functional.interpolate(
        torch.from_numpy(pictures)[None], size=(128, 256), mode="bilinear", antialias=True
    )[0].numpy()
    assert np.abs(ours - theirs).max() <= 1
    assert (ours != theirs).mean() < 0.01


@pytest.mark.parametrize("roi", [(720, 360), (512, 256), (1000, 500), (580, 290), (201, 97)])
def test_a_device_gives_the_grey_levels_that_the_cpu_gives(roi):
    same(Roi(3, 5, *roi), (128, 256))


@pytest.mark.parametrize("stretch", [False, True])
def test_it_does_so_whatever_the_size(stretch):
    rng = np.random.default_rng(1)
    for _ in range(40):
        width, height = (int(side) for side in rng.integers(9, 800, 2))
        out = (int(rng.integers(8, 200)), int(rng.integers(8, 300)))
        same(Roi(0, 0, width, height), out, Scale(0.1, rng.uniform(0.05, 0.2), "file"), stretch)


def test_a_region_of_the_input_size_is_not_touched():
    same(Roi(0, 0, 256, 128), (128, 256))
    same(Roi(0, 0, 256, 100), (128, 256))


def test_a_very_large_picture_is_shrunk_the_same():
    same(Roi(0, 0, 2000, 1000), (17, 40))


def test_sums_of_weights_are_exact_in_single_precision():
    for size, resized in ((720, 256), (1000, 250), (90, 256), (513, 512)):
        weights, bits = whole_weights(triangle_weights(size, resized))
        assert weights.max() < 2**15
        assert 255 * weights.sum(axis=1).max() < 2**24
        assert 14 <= bits <= 16
