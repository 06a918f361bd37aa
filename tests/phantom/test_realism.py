"""What `benchmarks/realism.py` rests on: one scale, statistics of known textures, fair folds."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import realism_critic as critic
import realism_pictures as pictures
import realism_stats as stats
from realism import compare
from realism_pictures import PX_PER_MM, Picture
from realism_sheet import sheet

DATA = Path(__file__).parents[3] / "shared" / "data" / "real"


def texture(seed: int, axial_px: float, lateral_px: float, size: int = 128) -> np.ndarray:
    """Return blurred noise about a middle grey, uint8."""
    noise = np.random.default_rng(seed).normal(size=(size, size))
    noise = ndimage.gaussian_filter(noise, (axial_px, lateral_px), mode="wrap")
    return (110 + 25 * noise / noise.std()).clip(0, 255).astype(np.uint8)


def side(device: str, n: int, seed: int, axial_px: float) -> list[Picture]:
    """Return pictures of one device."""
    return [Picture(f"{device} {i}", device, texture(seed + i, axial_px, 2.0)) for i in range(n)]


def test_the_width_of_the_autocorrelation_is_that_of_blurred_noise() -> None:
    rows = ndimage.gaussian_filter1d(np.random.default_rng(0).normal(size=(200, 2048)), 3.0, axis=1)
    # Noise blurred by a Gaussian of s is correlated as one of s * sqrt(2).
    assert stats._half_width(rows) == pytest.approx(
        2 * 3.0 * math.sqrt(math.log(2)) / PX_PER_MM, rel=0.03
    )


def test_statistics_know_along_from_across_and_fine_from_coarse() -> None:
    fine, coarse = (stats.statistics(texture(1, px, 2.5)) for px in (0.5, 1.5))
    assert fine["axial mm top"] < 0.7 * coarse["axial mm top"]
    assert fine["lateral mm top"] == pytest.approx(coarse["lateral mm top"], rel=0.25)
    assert fine["fine axial dB"] > coarse["fine axial dB"] + 5
    turned = stats.statistics(texture(1, 1.5, 2.5).T)
    assert turned["lateral mm top"] < turned["axial mm top"]
    black = stats.statistics(np.zeros((64, 64), np.uint8))
    assert black["black share"] == 1
    assert all(map(math.isfinite, black.values()))


def test_fully_developed_speckle_has_its_signal_to_noise_ratio() -> None:
    rng = np.random.default_rng(2)
    # Rayleigh amplitude, as the statistics undo the compression: mean over sd is 1.91.
    decibel = 20 * np.log10(rng.rayleigh(size=(256, 256))) + 40
    grey = (decibel / stats.WINDOW_DB * 255).clip(0, 255).astype(np.uint8)
    assert stats.statistics(grey)["snr median"] == pytest.approx(1.91, abs=0.08)


def lines_at(angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Return distances along and across lines of an angle, positive going deeper to the right."""
    z, x = np.mgrid[:120, :240].astype(float)
    c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    return x * c + z * s, z * c - x * s


@pytest.mark.parametrize("angle", [0.0, 15.0, -30.0])
def test_directions_are_those_of_the_lines(angle: float) -> None:
    _, across = lines_at(angle)
    grey = (100 + 60 * np.sin(across / 1.5)).astype(np.uint8)
    found = stats.statistics(grey)
    assert found["direction angle median"] == pytest.approx(abs(angle), abs=2)
    assert found["direction spread"] < 8
    assert found["coherence median"] > 0.9


@pytest.mark.parametrize("angle", [0.0, 15.0, -30.0])
def test_streaks_are_counted_and_measured(angle: float) -> None:
    along, across = lines_at(angle)
    lengths = []
    for length in (16, 32):
        picture = np.full(along.shape, 30.0)
        for here in ((z, x) for z in (35, 60, 85) for x in (50, 120, 190)):
            near, off = along - along[here], across - across[here]
            picture += 150 * np.exp(-((off / 1.5) ** 2)) * (abs(near) < length / 2)
        found = stats.statistics(picture.clip(0, 255).astype(np.uint8))
        lengths.append(found["streak length q50"])
        area_cm2 = picture.size / PX_PER_MM**2 / 100
        assert found["streaks a cm2"] == pytest.approx(9 / area_cm2, rel=0.01)
    # Ends blur alike, to within a pixel; the ellipse of a line is 2 / sqrt(3) as long.
    assert np.diff(lengths)[0] == pytest.approx(16 * 2 / math.sqrt(3) / PX_PER_MM, rel=0.15)


def test_pictures_are_brought_to_one_scale() -> None:
    z, x = np.mgrid[:200, :400]
    spots = 200 * np.exp(-((x - 100) ** 2 + (z - 100) ** 2) / 200)
    spots += 200 * np.exp(-((x - 300) ** 2 + (z - 100) ** 2) / 200)
    grey = pictures.common(Image.fromarray(spots.astype(np.uint8)), px_per_mm=10.0)
    assert grey.shape == (80, 160)
    columns = grey.max(axis=0)
    assert abs(columns[:80].argmax() - 39.5) <= 1
    assert abs(80 + columns[80:].argmax() - 119.5) <= 1


def test_patches_cover_a_picture_and_leave_black_out() -> None:
    grey = texture(3, 1, 2, size=160)
    grey[:, :70] = 0
    cut = list(Picture("a", "b", grey).patches(32))
    assert len(cut) == 4 * 3  # the left column of four is black
    assert all(patch.shape == (64, 64) for patch in cut)
    assert not list(Picture("a", "b", grey[:50]).patches(32))


def test_phantoms_are_drawn_anew_from_a_seed_and_never_enlarged() -> None:
    drawn, px_per_mm = pictures.render_phantoms(4, torch.Generator().manual_seed(5))
    again, _ = pictures.render_phantoms(4, torch.Generator().manual_seed(5))
    assert drawn.shape == (4, pictures.HEIGHT, pictures.WIDTH)
    assert torch.equal(drawn, again)
    assert float(px_per_mm.min()) >= PX_PER_MM


def test_auc_counts_pairs() -> None:
    rng = np.random.default_rng(4)
    real, phantom = rng.integers(0, 6, 30).astype(float), rng.integers(0, 5, 20).astype(float)
    pairs = (real[:, None] > phantom).mean() + 0.5 * (real[:, None] == phantom).mean()
    assert critic.auc(real, phantom) == pytest.approx(pairs)


@pytest.fixture(scope="module")
def three_devices() -> list[Picture]:
    return side("a", 4, 10, 1.0) + side("b", 1, 20, 1.0) + side("c", 2, 30, 1.0)


def test_a_critic_never_learns_from_a_device_it_is_tested_on(three_devices: list[Picture]) -> None:
    patches = critic.Patches.of(three_devices, side("phantom", 6, 40, 1.0))
    tested: list[set[str]] = []

    def spy(known: critic.Patches, learn: np.ndarray, seed: int) -> np.ndarray:
        assert not set(known.source[learn]) & set(known.source[~learn])
        tested.append(set(known.device[~learn & known.real]))
        assert not tested[-1] & set(known.device[learn & known.real])
        return np.zeros(len(learn))

    verdict = critic.judge(patches, spy, seed=0, resamples=50)
    assert sorted(map(tuple, tested)) == [("a",), ("b",), ("c",)]
    assert (verdict.auc, verdict.low, verdict.high) == (0.5, 0.5, 0.5)
    assert len(verdict.of_source) == 7


def test_devices_weigh_the_same_and_so_do_the_sides(three_devices: list[Picture]) -> None:
    patches = critic.Patches.of(three_devices, side("phantom", 6, 40, 1.0))
    weight = patches.weights(patches.device != "c")
    for device, share in (("a", 0.25), ("b", 0.25), ("c", 0.0), ("phantom", 0.5)):
        assert weight[patches.device == device].sum() == pytest.approx(share)


@pytest.mark.parametrize(("axial_px", "low", "high"), [(1.0, 0.3, 0.7), (1.6, 0.98, 1.0)])
def test_the_fast_critic_tells_what_differs_and_only_that(
    three_devices: list[Picture], axial_px: float, low: float, high: float
) -> None:
    patches = critic.Patches.of(three_devices, side("phantom", 9, 40, axial_px))
    names, table = critic.feature_table(patches)
    verdict = critic.judge(patches, critic.fast_critic(table), seed=0, resamples=200)
    assert low <= verdict.auc <= high
    assert verdict.low <= verdict.auc <= verdict.high
    if axial_px > 1:
        first = [name for name, _ in critic.separating(patches, names, table)[:8]]
        assert any("axial" in name for name in first)


def test_the_network_is_resnet_18_and_learns(
    three_devices: list[Picture], monkeypatch: pytest.MonkeyPatch
) -> None:
    # As published 11,689,512; less two input channels and 999 classes.
    count = sum(p.numel() for p in critic.resnet18().parameters())
    assert count == 11_689_512 - 2 * 64 * 49 - 999 * 513
    monkeypatch.setattr(critic, "STEPS", 8)
    patches = critic.Patches.of(three_devices, side("phantom", 6, 40, 4.0))
    learn = patches.fold != 0
    scores = critic.resnet_critic(patches, learn, seed=0)
    assert np.isfinite(scores).all()
    assert np.ptp(scores[~learn]) > 0
    assert not scores[learn].any()


def test_the_table_marks_what_is_out_of_range(three_devices: list[Picture]) -> None:
    rows = {row[0]: row for row in compare(three_devices, side("phantom", 4, 40, 3.0))}
    assert rows["axial mm top"][-1] == "OUT"
    assert rows["black share"][-1] == ""


def test_a_sheet_shows_every_picture_where_it_belongs(three_devices: list[Picture]) -> None:
    paper = sheet([three_devices[:4], three_devices[4:]])
    assert np.array_equal(paper[4:132, 4:132], three_devices[0].grey)
    assert np.array_equal(paper[4:132, 264:392], three_devices[4].grey)


def test_missing_real_pictures_are_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"dltrack_img_00001\.tif is missing"):
        pictures.real_pictures(tmp_path)


@pytest.mark.skipif(not DATA.is_dir(), reason="the real reference pictures are not here")
def test_rectangles_hold_b_mode_only() -> None:
    for picture in pictures.real_pictures(DATA):
        assert min(picture.grey.shape) >= pictures.PATCH
        # Nothing of the black or white around it: every border column and row has texture.
        for edge in (picture.grey[:, :2], picture.grey[:, -2:], picture.grey[:2]):
            assert edge.std() > 3, picture.source
