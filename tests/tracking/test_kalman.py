"""The smoother against the same model as one dense Gaussian, written down apart from it."""

from __future__ import annotations

import numpy as np
import pytest

from napari_deepmtj.tracking import kalman


def dense(t, xy, covariance, density):  # type: ignore[no-untyped-def]
    """Return mean and covariance of all positions by Gaussian process regression.

    Covariance of positions of an integrated Wiener process from its first instant: with
    a = min(s, s') it is q (a^2 max(s, s') / 2 - a^3 / 6), plus the prior's line.
    """
    n, s = len(t), t - t[0]
    seen = np.flatnonzero(np.isfinite(xy[:, 0]))
    a, b = np.minimum.outer(s, s), np.maximum.outer(s, s)
    v0 = (kalman.PRIOR_SD_PX_PER_INTERVAL / np.median(np.diff(t))) ** 2
    line = kalman.PRIOR_SD_PX**2 + v0 * np.outer(s, s)
    prior = np.zeros((n, 2, n, 2))
    for k in (0, 1):
        prior[:, k, :, k] = density[k] * (a**2 * b / 2 - a**3 / 6) + line
    mean = np.tile(xy[seen][0], (n, 1))
    noise = np.zeros((len(seen), 2, len(seen), 2))
    for i, row in enumerate(seen):
        noise[i, :, i, :] = covariance[row]
    m = len(seen)
    total = (prior[seen][:, :, seen] + noise).reshape(2 * m, 2 * m)
    cross = prior[:, :, seen].reshape(2 * n, 2 * m)
    gain = np.linalg.solve(total, cross.T).T
    found = mean.ravel() + gain @ (xy[seen] - mean[seen]).ravel()
    left = prior.reshape(2 * n, 2 * n) - gain @ cross.T
    blocks = left.reshape(n, 2, n, 2)[np.arange(n), :, np.arange(n)]
    return found.reshape(n, 2), blocks


def uneven(n: int, rng: np.random.Generator) -> np.ndarray:
    return np.cumsum(rng.uniform(0.01, 0.09, n))


def correlated(n: int, rng: np.random.Generator) -> np.ndarray:
    root = rng.normal(size=(n, 2, 2))
    return root @ root.transpose(0, 2, 1) + 0.5 * np.eye(2)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_gaussian_process_of_the_same_model(seed: int) -> None:
    rng = np.random.default_rng(seed)
    t, covariance = uneven(40, rng), correlated(40, rng)
    xy = np.cumsum(rng.normal(size=(40, 2)), axis=0) + [300, 150]
    xy[[3, 4, 5, 20]] = np.nan
    density = (4e3, 9e2)
    done = kalman.smooth(t, xy, covariance, density)
    mean, blocks = dense(t, xy, covariance, density)
    assert done.xy == pytest.approx(mean, abs=1e-5)
    assert done.covariance == pytest.approx(blocks, abs=1e-4)


def test_points_without_error_are_met_exactly() -> None:
    rng = np.random.default_rng(1)
    t, covariance = uneven(30, rng), correlated(30, rng)
    covariance[[7, 8, 19]] = 0
    xy = rng.normal(size=(30, 2)) * 5
    done = kalman.smooth(t, xy, covariance, (100.0, 100.0))
    assert done.xy[[7, 8, 19]] == pytest.approx(xy[[7, 8, 19]], abs=1e-7)
    assert np.abs(done.xy - xy).max() > 1


def test_velocity_is_that_of_a_straight_line() -> None:
    t = uneven(50, np.random.default_rng(2))
    line = np.column_stack([20 + 7 * t, 50 - 3 * t])
    done = kalman.smooth(t, line, np.tile(np.eye(2), (50, 1, 1)), (1.0, 1.0))
    assert done.velocity == pytest.approx(np.tile([7.0, -3.0], (50, 1)), abs=1e-2)
    assert done.xy == pytest.approx(line, abs=1e-2)


def simulated(density: float, sd: float, rng: np.random.Generator, n: int = 1500):  # type: ignore[no-untyped-def]
    t = uneven(n, rng)
    truth, state = np.empty((n, 2)), np.zeros((2, 2))
    for i in range(n):
        if i:
            dt = t[i] - t[i - 1]
            q = density * np.array([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]])
            state = np.array([[1, dt], [0, 1]]) @ state
            state = state + np.linalg.cholesky(q) @ rng.normal(size=(2, 2))
        truth[i] = state[0]
    return t, truth, truth + rng.normal(0, sd, (n, 2))


def test_estimates_find_the_figures_that_made_the_data() -> None:
    t, _, xy = simulated(500.0, 1.0, np.random.default_rng(3))
    found = kalman.estimate([(t, xy, np.full((len(t), 2), 4.0))])  # claims twice the sd
    assert found is not None
    assert found.density == pytest.approx((500, 500), rel=0.35)
    assert found.noise == pytest.approx((0.25, 0.25), rel=0.1)


def test_the_estimate_is_of_greatest_likelihood_in_the_dense_model() -> None:
    from scipy.stats import multivariate_normal

    rng = np.random.default_rng(4)
    t, _, xy = simulated(300.0, 1.0, rng, n=60)
    variance = rng.uniform(0.5, 2.0, (60, 2))
    found = kalman.estimate([(t, xy, variance)])
    assert found is not None
    s = t - t[0]
    a, b = np.minimum.outer(s, s), np.maximum.outer(s, s)
    v0 = (kalman.PRIOR_SD_PX_PER_INTERVAL / np.median(np.diff(t))) ** 2

    def cost(q: float, r: float, k: int) -> float:
        # of all but the first two, given the first two: what the estimate maximises
        spread = q * (a**2 * b / 2 - a**3 / 6) + r * np.diag(variance[:, k])
        spread = spread + kalman.PRIOR_SD_PX**2 + v0 * np.outer(s, s)
        x = xy[:, k] - xy[0, k]
        first = multivariate_normal(np.zeros(2), spread[:2, :2], allow_singular=True)
        everything = multivariate_normal(np.zeros(60), spread, allow_singular=True)
        return float(first.logpdf(x[:2]) - everything.logpdf(x))

    for k in (0, 1):
        best = cost(found.density[k], found.noise[k], k)
        others = [(1.25, 1), (0.8, 1), (1, 1.2), (1, 0.8)]
        both = [(1.01, 1.01), (0.99, 0.99)]  # at a given ratio the best noise is exact
        for q, r in others + both:
            assert best < cost(q * found.density[k], r * found.noise[k], k)


def test_too_few_measurements_are_not_estimated_from() -> None:
    t = np.arange(11) * 0.04
    xy = np.random.default_rng(0).normal(size=(11, 2))
    assert kalman.estimate([(t, xy, np.ones((11, 2)))]) is None
    assert kalman.estimate([]) is None


def test_an_axis_along_which_nothing_moves_is_no_trouble() -> None:
    t = np.arange(60) / 25
    xy = np.column_stack([200 + 30 * np.sin(t), np.full(60, 80.0)])
    xy[20:24] = np.nan
    variance = np.full((60, 2), 4.0)
    model = kalman.estimate([(t, xy, variance)])
    assert model is not None
    covariance = np.tile(np.diag(4.0 * np.array(model.noise)), (60, 1, 1))
    done = kalman.smooth(t, xy, covariance, model.density)
    assert done.xy[:, 1] == pytest.approx(np.full(60, 80.0), abs=1e-6)
    assert np.isfinite(done.covariance).all()
