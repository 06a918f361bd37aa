from __future__ import annotations

import numpy as np
import pytest

from napari_deepmtj.tracking import chain
from napari_deepmtj.tracking.presence import probability_in_view


def test_the_path_is_that_of_weighted_least_squares() -> None:
    rng = np.random.default_rng(2)
    n = 12
    step, variance = rng.standard_normal((n - 1, 2)), rng.uniform(0.1, 2, (n - 1, 2))
    root = rng.standard_normal((n, 2, 2))
    covariance = root @ root.transpose(0, 2, 1) + 0.3 * np.eye(2)
    xy = rng.standard_normal((n, 2)) * 3
    xy[[0, 4, 5]] = np.nan
    links = chain.Links(step, variance, np.zeros(n - 1, bool))
    found, spread = chain.smooth(links, xy, covariance)
    information, right = np.zeros((2 * n, 2 * n)), np.zeros(2 * n)
    for i in range(n):
        a = slice(2 * i, 2 * i + 2)
        if np.isfinite(xy[i, 0]):
            weight = np.linalg.inv(covariance[i])
            information[a, a] += weight
            right[a] += weight @ xy[i]
        if i:
            both = np.hstack([-np.eye(2), np.eye(2)])
            weight = both.T @ np.diag(1 / variance[i - 1])
            pair = slice(2 * i - 2, 2 * i + 2)
            information[pair, pair] += weight @ both
            right[pair] += weight @ step[i - 1]
    dense = np.linalg.inv(information)
    np.testing.assert_allclose(found.ravel(), dense @ right, atol=1e-4)
    blocks = [dense[2 * i : 2 * i + 2, 2 * i : 2 * i + 2] for i in range(n)]
    np.testing.assert_allclose(spread, blocks, atol=1e-4)


def test_an_exact_point_is_met_exactly() -> None:
    xy = np.array([[0.0, 0.0], [5.0, 3.0], [1.0, 1.0]])
    covariance = np.stack([np.eye(2), np.zeros((2, 2)), np.eye(2)])
    links = chain.Links(np.zeros((2, 2)), np.full((2, 2), 0.1), np.zeros(2, bool))
    found, spread = chain.smooth(links, xy, covariance)
    np.testing.assert_allclose(found[1], [5.0, 3.0], rtol=1e-14)
    assert np.abs(spread[1]).max() < 1e-14


def test_nothing_is_weighed_across_a_cut() -> None:
    xy = np.array([[0.0, 0.0], [0.0, 0.0], [50.0, 9.0], [50.0, 9.0]])
    links = chain.Links(np.zeros((3, 2)), np.full((3, 2), 0.01), np.array([False, True, False]))
    found, _ = chain.smooth(links, xy, np.tile(np.eye(2), (4, 1, 1)))
    np.testing.assert_allclose(found, xy, atol=1e-3)
    assert list(links.parts()) == [slice(0, 2), slice(2, 4)]


@pytest.mark.parametrize(("length", "found"), [(1, True), (9, True), (40, False)])
def test_an_excursion_ends_with_its_return(length: int, found: bool) -> None:
    n = 90
    way = np.cumsum(np.random.default_rng(0).standard_normal((n, 2)), axis=0)
    xy = way + 0.1 * np.random.default_rng(1).standard_normal((n, 2))
    xy[30 : 30 + length] += [6, 0]
    links = chain.Links(np.diff(way, axis=0), np.ones((n - 1, 2)), np.zeros(n - 1, bool))
    off = chain.excursions(links, xy, np.arange(n) / 25, window=0.6, sigmas=3, least=0.3)
    assert off[30 : 30 + length].all() == found
    assert not off[:25].any()
    assert not off[30 + length + 5 :].any()


def seen(said: list[int], **given: object) -> np.ndarray:
    n = len(said)
    options = {
        "confidence": np.where(said, 0.9, 0.1),
        "inside": np.ones(n),
        "cut": np.zeros(n - 1, bool),
        "interval": np.full(n - 1, 0.04),
        "certain": np.zeros(n, np.int8),
    }
    return probability_in_view(np.array(said, bool), **{**options, **given}) > 0.5


def test_a_detector_that_is_silent_for_a_second_is_not_believed_unless_the_picture_changed() -> (
    None
):
    said = [1] * 40 + [0] * 25 + [1] * 40
    assert seen(said).all()
    cut = np.zeros(104, bool)
    cut[[39, 64]] = True
    assert seen(said, cut=cut).tolist() == [bool(s) for s in said]
    assert not seen([1] * 40 + [0] * 300)[45:].any()


def test_a_path_beyond_the_border_is_out_of_view_whatever_the_detector_says() -> None:
    inside = np.r_[np.ones(30), np.zeros(20), np.ones(30)]
    assert seen([1] * 80, inside=inside).tolist() == (inside > 0.5).tolist()


def test_what_a_person_says_is_certain() -> None:
    certain = np.zeros(60, np.int8)
    certain[[10, 50]] = -1, 1
    found = seen([1] * 30 + [0] * 30, certain=certain)
    assert not found[10]
    assert found[50]
