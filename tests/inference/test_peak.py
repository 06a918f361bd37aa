"""What is read off a heat map, against the definitions written out pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_deepmtj.inference.peak import PEAK_RADIUS, SPREAD_RADIUS, find_peak

#: Maps of other sizes than a square's, one smaller than the window of the spread.
SIZES = [(16, 32), (32, 64), (11, 9)]


def heat(rows: int, columns: int, seed: int) -> torch.Tensor:
    """Return a broad spot, often near the border, a lower one, and noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:rows, :columns]
    logits = rng.normal(size=(rows, columns))
    for height in (6.0, 4.0):
        at = rng.uniform(-1, [columns, rows])
        logits += height * np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / 8)
    return torch.from_numpy(logits).float()


def by_pixel(logits: torch.Tensor, step: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Return centroid and spread in input pixels, and mass, by loops over the pixels."""
    weight = np.exp(logits.double().numpy())
    weight /= weight.sum()
    rows, columns = weight.shape

    def window(cx: int, cy: int, radius: int) -> list[tuple[int, int]]:
        return [
            (x, y)
            for y in range(max(cy - radius, 0), min(cy + radius + 1, rows))
            for x in range(max(cx - radius, 0), min(cx + radius + 1, columns))
        ]

    def moments(places: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray, float]:
        w = np.array([weight[y, x] for x, y in places])
        xy = np.array(places, dtype=float)
        mean = w @ xy / w.sum()
        off = xy - mean
        return mean, (w[:, None] * off).T @ off / w.sum(), float(w.sum())

    every = [(x, y) for y in range(rows) for x in range(columns)]
    best = max(every, key=lambda at: np.mean([weight[y, x] for x, y in window(*at, 1)]))
    centre, _, mass = moments(window(*best, PEAK_RADIUS))
    around = (int(np.rint(centre[0])), int(np.rint(centre[1])))
    _, spread, _ = moments(window(*around, SPREAD_RADIUS))
    return (centre + 0.5) * step - 0.5, spread * step**2, mass


@pytest.mark.parametrize(("rows", "columns"), SIZES)
def test_it_is_the_definition_to_a_millionth_of_a_pixel(
    rows: int, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(  # what is undone at the border is tested in test_decode.py
        "napari_deepmtj.inference.peak._unpushed", lambda seen, size, cells, sigma_px: seen
    )
    step = 8
    maps = torch.stack([heat(rows, columns, seed) for seed in range(20)])
    found = find_peak(maps, rows * step, columns * step, 8.0)
    for n, logits in enumerate(maps):
        xy, spread, mass = by_pixel(logits, step)
        # single precision in the exponential is what is left
        np.testing.assert_allclose(found.xy[n], xy, rtol=0, atol=2e-6)
        np.testing.assert_allclose(found.spread[n], spread, rtol=1e-6, atol=1e-4)
        assert found.mass[n] == pytest.approx(mass, rel=1e-6)
        weight = np.exp(logits.double().numpy())
        y, x = (np.mgrid[:rows, :columns] + 0.5) * step - 0.5
        squares = (x - xy[0]) ** 2 + (y - xy[1]) ** 2
        assert found.reach[n] == pytest.approx(np.sqrt(np.average(squares, weights=weight)))


def test_what_comes_of_a_map_does_not_depend_on_the_others() -> None:
    maps = torch.stack([heat(16, 32, seed) for seed in range(5)])
    together = find_peak(maps, 128, 256, 8.0)
    for n in range(len(maps)):
        alone = find_peak(maps[n : n + 1], 128, 256, 8.0)
        for field in ("xy", "spread", "mass", "reach"):
            np.testing.assert_array_equal(getattr(alone, field)[0], getattr(together, field)[n])
