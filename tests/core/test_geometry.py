from __future__ import annotations

import numpy as np
import pytest

from napari_deepmtj.core.geometry import PixelMap, Roi, Scale
from napari_deepmtj.errors import CalibrationError


def random_map(seed: int) -> PixelMap:
    """Any region, any network size, equal or unequal pixels, fitted or stretched."""
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 400, 2)
    width, height = rng.integers(1, 900, 2)
    out_height, out_width = rng.integers(8, 300, 2)
    scale = None if seed % 2 else Scale(*rng.uniform(0.03, 0.3, 2), "test")
    roi = Roi(int(x), int(y), int(width), int(height))
    return PixelMap.fit(roi, int(out_height), int(out_width), scale, stretch=seed % 5 == 0)


@pytest.mark.parametrize("seed", range(40))
def test_to_frame_undoes_to_network(seed: int) -> None:
    pixel_map = random_map(seed)
    points = np.random.default_rng(seed + 1000).uniform(-50, 1200, (7, 3, 2))
    back = pixel_map.to_frame(pixel_map.to_network(points))
    np.testing.assert_allclose(back, points, atol=1e-9)


@pytest.mark.parametrize("seed", range(40))
def test_edges_of_the_region_meet_edges_of_the_content(seed: int) -> None:
    m = random_map(seed)
    roi = m.roi
    corners = [
        (roi.x - 0.5, roi.y - 0.5),
        (roi.x + roi.width - 0.5, roi.y + roi.height - 0.5),
    ]
    rows, cols = m.content
    expected = [(cols.start - 0.5, rows.start - 0.5), (cols.stop - 0.5, rows.stop - 0.5)]
    np.testing.assert_allclose(m.to_network(corners), expected, atol=1e-9)
    assert 0 <= rows.start < rows.stop <= m.out_height
    assert 0 <= cols.start < cols.stop <= m.out_width
    assert m.content_width == m.out_width or m.content_height == m.out_height


@pytest.mark.parametrize("seed", [s for s in range(40) if s % 5])
def test_the_physical_aspect_is_kept_to_half_a_network_pixel(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scale = Scale(*rng.uniform(0.05, 0.2, 2), "test")
    width, height = (int(v) for v in rng.integers(60, 900, 2))
    m = PixelMap.fit(Roi(3, 4, width, height), 128, 256, scale)
    physical = (width * scale.x_mm) / (height * scale.y_mm)
    if m.content_width == 256:
        assert abs(m.content_height - 256 / physical) <= 0.5 + 1e-9
    else:
        assert abs(m.content_width - 128 * physical) <= 0.5 + 1e-9


def test_halving_by_hand() -> None:
    m = PixelMap.fit(Roi.full(256, 512), 128, 256)
    assert (m.content_width, m.content_height, m.left, m.top) == (256, 128, 0, 0)
    # Pixels 0 and 1 make network pixel 0, so their common edge 0.5 is its centre.
    np.testing.assert_allclose(m.to_network([[0.5, 0.5], [0, 1]]), [[0, 0], [-0.25, 0.25]])
    np.testing.assert_allclose(m.to_frame([255, 127]), [510.5, 254.5])


def test_padding_by_hand() -> None:
    m = PixelMap.fit(Roi(10, 20, 100, 100), 128, 256)
    assert (m.content_width, m.content_height, m.left, m.top) == (128, 128, 64, 0)
    np.testing.assert_allclose(m.to_network([9.5, 19.5]), [63.5, -0.5])
    assert m.content == (slice(0, 128), slice(64, 192))


def test_tall_pixels_are_made_square() -> None:
    # 200 x 50 px of 0.1 x 0.2 mm are 20 x 10 mm: a picture of 2:1.
    m = PixelMap.fit(Roi(0, 0, 200, 50), 128, 256, Scale(0.1, 0.2, "test"))
    assert (m.content_width, m.content_height) == (256, 128)
    np.testing.assert_allclose(m.factors, [1.28, 2.56])
    square = PixelMap.fit(Roi(0, 0, 200, 50), 128, 256)
    assert (square.content_width, square.content_height, square.top) == (256, 64, 32)


def test_stretching_fills_the_input() -> None:
    m = PixelMap.fit(Roi(5, 5, 100, 100), 64, 128, stretch=True)
    assert (m.content_height, m.content_width, m.top, m.left) == (64, 128, 0, 0)


@pytest.mark.parametrize("seed", range(8))
def test_covariances_follow_points(seed: int) -> None:
    m = random_map(seed)
    rng = np.random.default_rng(seed)
    points = rng.normal([60, 30], [4, 2], (500, 2)) @ np.array([[1, 0.3], [0, 1]])
    mapped = np.cov(m.to_frame(points).T)
    np.testing.assert_allclose(m.covariance_to_frame(np.cov(points.T)), mapped, rtol=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_affine_of_a_pooled_map_puts_each_cell_where_its_pixels_are(seed: int) -> None:
    m = random_map(seed)
    map_height, map_width = max(1, m.out_height // 4), max(1, m.out_width // 8)
    step, origin = m.affine_of_map(map_height, map_width)
    pooled_y, pooled_x = m.out_height / map_height, m.out_width / map_width
    for row, col in [(0, 0), (map_height - 1, map_width - 1), (map_height // 2, 0)]:
        # The centre of a cell is the mean of the network pixels it pools.
        centre = [(col + 0.5) * pooled_x - 0.5, (row + 0.5) * pooled_y - 0.5]
        x, y = m.to_frame(centre)
        np.testing.assert_allclose(origin + step * [row, col], [y, x], atol=1e-9)


def test_affine_of_a_map_by_hand() -> None:
    # A 512 x 256 picture, halved, pooled by 4: cells of 8 px whose first centre is at 3.5.
    step, origin = PixelMap.fit(Roi(100, 50, 512, 256), 128, 256).affine_of_map(32, 64)
    np.testing.assert_allclose(step, [8, 8])
    np.testing.assert_allclose(origin, [53.5, 103.5])


def test_scale_converts_points_and_covariances() -> None:
    scale = Scale(0.1, 0.2, "test")
    np.testing.assert_allclose(scale.to_mm([[10, 10], [0, 0]]), [[1, 2], [0, 0]])
    np.testing.assert_allclose(
        scale.covariance_to_mm([[4, 1], [1, 9]]), [[0.04, 0.02], [0.02, 0.36]]
    )
    assert Scale.isotropic(0.5, "test") == Scale(0.5, 0.5, "test")


@pytest.mark.parametrize("value", [0, -1, np.nan, np.inf])
def test_impossible_scales_are_refused(value: float) -> None:
    with pytest.raises(CalibrationError, match="impossible"):
        Scale(0.1, value, "test")


def test_a_scale_without_a_source_is_refused() -> None:
    with pytest.raises(CalibrationError, match="source"):
        Scale(0.1, 0.1, "")


def test_roi_cuts_the_rectangle_it_names() -> None:
    frame = np.arange(12 * 10).reshape(12, 10)
    roi = Roi(2, 3, 4, 5)
    cut = frame[roi.slices]
    assert cut.shape == (5, 4)
    assert cut[0, 0] == frame[3, 2]
    assert str(roi) == "2,3,4,5"
    assert frame[Roi.full(12, 10).slices].shape == (12, 10)


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (-3, 4)])
def test_empty_regions_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(CalibrationError, match="empty"):
        Roi(0, 0, *size)


def test_a_region_that_fits_to_the_pixel_is_inside() -> None:
    roi = Roi(2, 3, 8, 9)
    assert roi.inside(12, 10) is roi


@pytest.mark.parametrize(
    "roi", [Roi(-1, 0, 5, 5), Roi(0, -1, 5, 5), Roi(6, 0, 5, 5), Roi(0, 8, 5, 5)]
)
def test_a_region_beyond_the_picture_is_refused(roi: Roi) -> None:
    with pytest.raises(CalibrationError, match="beyond the 10 x 12 px picture"):
        roi.inside(12, 10)
