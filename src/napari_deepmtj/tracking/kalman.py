"""Kalman filter and Rauch-Tung-Striebel smoother of a moving point, on arrays and true times.

Model: on each axis the acceleration is white noise of spectral density q (px^2/s^3), so the
velocity is a Wiener process; frame i measures the position with the covariance N R_i N, R_i being
the network's and N = diag(sqrt(noise_x), sqrt(noise_y)) common to all frames. Between frames dt
apart the state (x, y, vx, vy) moves with F = [[I, dt I], [0, I]] and gains the covariance
[[dt^3/3, dt^2/2], [dt^2/2, dt]] x diag(q): exact for any spacing of the frames.

- RTS65: Rauch, Tung, Striebel, AIAA J 1965;3:1445-1450.
- BS01: Bar-Shalom, Li, Kirubarajan, Estimation with Applications, 2001, section 6.2.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

#: Prior SD of the first position, about the first measurement, and of the velocity, about zero,
#: the latter in pixels per usual interval. Wide: they move nothing by more than 1e-4 of its sd.
PRIOR_SD_PX = 1000.0
PRIOR_SD_PX_PER_INTERVAL = 100.0

#: Fewest innovations (measurements, less two a stretch) from which q and noise are estimated.
LEAST_INNOVATIONS = 10

#: Least noise, as a multiple of the network's variance: an axis along which nothing moves has none,
#: and no covariance could be inverted.
LEAST_NOISE = 1e-6


@dataclass(frozen=True)
class Smoothed:
    """What the smoother says of every row.

    Attributes
    ----------
    xy, velocity : ndarray, shape (n, 2)
        Position (px) and velocity (px per unit of time) as (x, y).
    covariance : ndarray, shape (n, 2, 2)
        Of the position under the model, px^2.
    """

    xy: FloatArray
    velocity: FloatArray
    covariance: FloatArray


@dataclass(frozen=True, slots=True)
class Estimate:
    """The model's two figures on each axis, as (x, y).

    Attributes
    ----------
    density : tuple of float
        Spectral density q of the acceleration, px^2 per cubed unit of time.
    noise : tuple of float
        Variance of the frame-to-frame error as a multiple of the network's.
    """

    density: tuple[float, float]
    noise: tuple[float, float]


def smooth(
    t: FloatArray, xy: FloatArray, covariance: FloatArray, density: Sequence[float]
) -> Smoothed:
    """Return the positions given all measurements, before and after (RTS65).

    Parameters
    ----------
    t : ndarray, shape (n,)
        Increasing times.
    xy : ndarray, shape (n, 2)
        Measurements in px, NaN where there is none; at least one.
    covariance : ndarray, shape (n, 2, 2)
        Of the measurements, px^2; zero is a point to be met exactly.
    density : sequence of float, (x, y)
        q, px^2 per cubed unit of time.
    """
    n = len(t)
    seen = np.isfinite(xy[:, 0])
    eye, steps = np.eye(4), np.diff(t, prepend=t[:1])
    usual = float(np.median(steps[1:])) if n > 1 else 1.0
    prior = [PRIOR_SD_PX**2] * 2 + [(PRIOR_SD_PX_PER_INTERVAL / usual) ** 2] * 2
    state = np.r_[xy[seen][0], 0.0, 0.0]
    spread = np.diag(prior)
    predicted, predicted_cov = np.empty((n, 4)), np.empty((n, 4, 4))
    filtered, filtered_cov = np.empty((n, 4)), np.empty((n, 4, 4))
    moves, gained = np.tile(eye, (n, 1, 1)), np.zeros((n, 4, 4))
    for axis, q in enumerate(density):
        moves[:, axis, axis + 2] = steps
        gained[:, axis, axis] = q * steps**3 / 3
        gained[:, axis, axis + 2] = gained[:, axis + 2, axis] = q * steps**2 / 2
        gained[:, axis + 2, axis + 2] = q * steps
    for i in range(n):
        if i:
            state = moves[i] @ state
            spread = moves[i] @ spread @ moves[i].T + gained[i]
        predicted[i], predicted_cov[i] = state, spread
        if seen[i]:
            gain = np.linalg.solve(spread[:2, :2] + covariance[i], spread[:2]).T
            state = state + gain @ (xy[i] - state[:2])
            kept = eye.copy()
            kept[:, :2] -= gain
            spread = kept @ spread @ kept.T + gain @ covariance[i] @ gain.T  # Joseph's form
        filtered[i], filtered_cov[i] = state, spread
    gains = np.linalg.solve(predicted_cov[1:], moves[1:] @ filtered_cov[:-1]).swapaxes(1, 2)
    for i in range(n - 2, -1, -1):
        filtered[i] += gains[i] @ (filtered[i + 1] - predicted[i + 1])
        filtered_cov[i] += gains[i] @ (filtered_cov[i + 1] - predicted_cov[i + 1]) @ gains[i].T
    return Smoothed(filtered[:, :2], filtered[:, 2:], filtered_cov[:, :2, :2])


def estimate(parts: Sequence[tuple[FloatArray, FloatArray, FloatArray]]) -> Estimate | None:
    """Return q and noise of greatest likelihood over all stretches, each axis by itself.

    With q = noise * ratio the likelihood of a ratio is known but for the noise, whose best
    value is the mean squared normalised innovation; the ratio is searched on a grid that is
    refined twice. The two innovations with which a stretch begins only fix its state and are
    left out.

    Parameters
    ----------
    parts : sequence of (t, xy, variance)
        Of each stretch the times, shape (n,), the measurements, shape (n, 2), NaN where there
        is none, and their variances, shape (n, 2), in px^2.

    Returns
    -------
    Estimate or None
        None with fewer than `LEAST_INNOVATIONS` innovations.
    """
    kept = []
    for t, xy, variance in parts:
        seen = np.isfinite(xy[:, 0])
        if seen.sum() > 2:
            kept.append((t[seen], xy[seen], variance[seen]))
    if sum(len(t) - 2 for t, _, _ in kept) < LEAST_INNOVATIONS:
        return None
    usual = float(np.median(np.concatenate([np.diff(t) for t, _, _ in kept])))
    longest = max(t[-1] - t[0] for t, _, _ in kept)
    # The smoother's corner frequency w = (q / (variance dt))^(1/4): from half a turn in the
    # longest stretch to where nothing is smoothed any more.
    corner = np.geomspace(np.pi / longest, 10.0 / usual, 33)
    scale = np.median(np.concatenate([v for _, _, v in kept]), axis=0) * usual
    ratios = corner[None, :] ** 4 * scale[:, None]
    for _ in range(3):
        cost, noise = _profile(kept, ratios)
        best = cost.argmin(axis=1)
        low = np.take_along_axis(ratios, np.maximum(best - 1, 0)[:, None], 1)
        high = np.take_along_axis(ratios, np.minimum(best + 1, ratios.shape[1] - 1)[:, None], 1)
        chosen = np.take_along_axis(ratios, best[:, None], 1)[:, 0]
        found = np.take_along_axis(noise, best[:, None], 1)[:, 0]
        ratios = np.geomspace(low[:, 0], high[:, 0], 17, axis=1)
    density = chosen * found
    return Estimate((float(density[0]), float(density[1])), (float(found[0]), float(found[1])))


def _profile(
    parts: Sequence[tuple[FloatArray, FloatArray, FloatArray]], ratios: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return -2 log likelihood and best noise of every ratio, both shape (2 axes, k)."""
    logs, squares, count = np.zeros_like(ratios), np.zeros_like(ratios), 0
    for t, xy, variance in parts:
        usual = float(np.median(np.diff(t)))
        x, v = np.broadcast_to(xy[0][:, None], ratios.shape), np.zeros_like(ratios)
        a = np.full_like(ratios, PRIOR_SD_PX**2)  # variances: position, both, velocity
        b, c = np.zeros_like(ratios), np.full_like(ratios, (PRIOR_SD_PX_PER_INTERVAL / usual) ** 2)
        for i in range(len(t)):
            if i:
                dt = t[i] - t[i - 1]
                x = x + dt * v
                a = a + 2 * dt * b + dt**2 * c + ratios * dt**3 / 3
                b = b + dt * c + ratios * dt**2 / 2
                c = c + ratios * dt
            spread = a + variance[i][:, None]
            error = xy[i][:, None] - x
            if i > 1:
                logs += np.log(spread)
                squares += error**2 / spread
                count += 1
            x, v = x + a / spread * error, v + b / spread * error
            c = c - b**2 / spread
            a, b = a * (1 - a / spread), b * (1 - a / spread)
    noise = np.maximum(squares / count, LEAST_NOISE)
    return logs + count * np.log(noise), noise
