"""How the calf moves: displacement of muscle, soleus and probe over time.

Positive is distal. A passive stretch takes the junction distally and back; a maximum voluntary
contraction (MVC) pulls it proximally, holds and lets go.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

#: Amplitudes of the junction's movement in mm. Passive rotation of the ankle moves the
#: gastrocnemius MTJ by one to two centimetres, an MVC by about one.
PASSIVE_MM = (6.0, 20.0)
MVC_MM = (4.0, 15.0)


class Movement(StrEnum):
    """The two movements of P20."""

    PASSIVE_ROM = "passive-rom"
    MVC = "mvc"


@dataclass(frozen=True)
class Course:
    """A movement over time, all in mm and of shape (n_frames,), but the last.

    Parameters
    ----------
    tip_mm : ndarray
        Displacement of the junction and its muscle.
    soleus_mm : ndarray
        Displacement of the soleus, a share of it.
    slip_mm : ndarray
        Displacement of everything because the probe slips.
    slope_gain : ndarray
        Factor on the wedge's opening: a contracting muscle is steeper.
    """

    tip_mm: FloatArray
    soleus_mm: FloatArray
    slip_mm: FloatArray
    slope_gain: FloatArray


def course(
    movement: Movement,
    seconds: FloatArray,
    rng: np.random.Generator,
    *,
    reach: float = 1.0,
    pace: float = 1.0,
) -> Course:
    """Draw a movement.

    Parameters
    ----------
    movement : Movement
        Which kind.
    seconds : ndarray, shape (n_frames,)
        Times of the frames; the movement fills them.
    rng : numpy.random.Generator
        Source of all randomness.
    reach : float
        Factor on how far the junction moves.
    pace : float
        Factor on how fast: on the number of passive cycles, and on how quickly a contraction
        rises and falls.
    """
    span = max(float(seconds[-1]), 1e-6)
    share = seconds / span
    if movement is Movement.PASSIVE_ROM:
        # Half a cycle at least: the whole way distally.
        cycles = max(0.5, pace * rng.uniform(1.0, 1.0 + span / 4.0))
        swing = 0.5 * (1 - np.cos(2 * math.pi * cycles * share))
        tip = reach * rng.uniform(*PASSIVE_MM) * swing ** rng.uniform(0.8, 1.4)
        gain = 1.0 - rng.uniform(0.0, 0.12) * swing
    else:
        on, off = rng.uniform(0.08, 0.25), rng.uniform(0.65, 0.9)
        rise, fall = rng.uniform(0.02, 0.06) / pace, rng.uniform(0.02, 0.08) / pace
        effort = _logistic((share - on) / rise * 2) * _logistic((off - share) / fall * 2)
        tremor = 1 + 0.02 * np.sin(2 * math.pi * rng.uniform(5, 9) * seconds)
        tip = -reach * rng.uniform(*MVC_MM) * effort * tremor
        gain = 1.0 + rng.uniform(0.0, 0.35) * effort
    drift = rng.uniform(-1.2, 1.2) * np.sin(math.pi * share * rng.uniform(0.3, 1.5))
    return Course(tip, rng.uniform(0.2, 0.8) * tip, drift, gain)


def _logistic(value: FloatArray) -> FloatArray:
    risen: FloatArray = 1 / (1 + np.exp(-np.clip(value, -60, 60)))
    return risen
