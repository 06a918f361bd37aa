"""Length of the muscle-tendon unit (MTU) from joint angles, and what muscle and tendon give to it.

Angles here: ankle 0 with the foot at right angles to the shank, dorsiflexion positive; knee 0 when
straight, flexion positive; degrees. The published models count the ankle's neutral position as 90.

- G78: Grieve, Pheasant, Cavanagh, Prediction of gastrocnemius length from knee and ankle joint
  posture, in Biomechanics VI-A, 1978, 405-412.
- HH90: Hawkins and Hull, J Biomech 1990;23:487-494.

The coefficients were read in published analysis programs that cite these papers, not in the papers:
docs/explanation/tracking.md says which were found how often.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_deepmtj.errors import ResultError
from napari_deepmtj.mechanics.names import Muscle
from napari_deepmtj.tracking.series import FloatArray

#: G78: change in percent of shank length, constant, linear and quadratic, by ankle angle (neutral
#: 90, more is dorsiflexed) and by knee flexion. The soleus has no term of the knee.
GRIEVE_ANKLE = (-22.18468, 0.30141, -0.00061)
GRIEVE_KNEE = (6.46251, -0.07987, 0.00011)


#: HH90: length over shank length (lateral malleolus to lateral epicondyle): constant, and per
#: degree of knee flexion and of ankle angle (neutral 90, more is dorsiflexed).
HAWKINS_HULL = {
    Muscle.MEDIAL_GASTROCNEMIUS: (0.900, -0.00062, 0.00214),
    Muscle.LATERAL_GASTROCNEMIUS: (0.894, -0.00050, 0.00214),
    Muscle.SOLEUS: (0.563, 0.0, 0.00193),
}


def grieve_change(
    ankle_deg: npt.ArrayLike,
    knee_deg: npt.ArrayLike,
    shank_mm: float,
    muscle: Muscle = Muscle.MEDIAL_GASTROCNEMIUS,
) -> FloatArray:
    """Return the MTU's change of length in mm from G78's reference posture.

    The reference is ankle and knee at right angles, where the fit is 0.2 % of the shank off
    zero: use differences between postures.

    Parameters
    ----------
    ankle_deg, knee_deg : float or array
        Dorsiflexion, and flexion of the knee; the soleus does not look at the knee.
    shank_mm : float
        Length of the shank in mm.
    muscle : Muscle
        G78 does not tell the heads of the gastrocnemius apart.
    """
    ankle = 90 + np.asarray(ankle_deg, dtype=np.float64)
    percent = np.polynomial.polynomial.polyval(ankle, GRIEVE_ANKLE)
    if muscle is not Muscle.SOLEUS:
        knee = np.asarray(knee_deg, dtype=np.float64)
        percent = percent + np.polynomial.polynomial.polyval(knee, GRIEVE_KNEE)
    change: FloatArray = percent / 100 * _positive(shank_mm)
    return change


def hawkins_hull_length(
    ankle_deg: npt.ArrayLike,
    knee_deg: npt.ArrayLike,
    shank_mm: float,
    muscle: Muscle = Muscle.MEDIAL_GASTROCNEMIUS,
) -> FloatArray:
    """Return the MTU's length in mm after HH90.

    Parameters
    ----------
    ankle_deg, knee_deg : float or array
        Dorsiflexion, and flexion of the knee.
    shank_mm : float
        From the lateral malleolus to the lateral epicondyle, in mm.
    muscle : Muscle
        Which head.
    """
    constant, per_knee, per_ankle = HAWKINS_HULL[muscle]
    ankle = 90 + np.asarray(ankle_deg, dtype=np.float64)
    knee = np.asarray(knee_deg, dtype=np.float64)
    length: FloatArray = (constant + per_knee * knee + per_ankle * ankle) * _positive(shank_mm)
    return length


@dataclass(frozen=True)
class Partition:
    """What muscle and tendon each give to a change of the MTU.

    Attributes
    ----------
    muscle_mm, tendon_mm : ndarray, shape (n,)
        Change of the length of each from the first instant; together the MTU's.
    muscle_share, tendon_share : float
        Slope of each on the MTU's change, by least squares; they add up to 1. NaN if the MTU
        does not change.
    """

    muscle_mm: FloatArray
    tendon_mm: FloatArray
    muscle_share: float
    tendon_share: float


def partition(mtu_mm: npt.ArrayLike, displacement_mm: npt.ArrayLike) -> Partition:
    """Split the MTU's change of length at the MTJ.

    With the probe fixed to the shank, the muscle between knee and MTJ shortens by what the MTJ
    moves proximally; the tendon from MTJ to heel takes the rest of the MTU's change.

    Parameters
    ----------
    mtu_mm : array, shape (n,)
        Length of the MTU, or its change from any posture.
    displacement_mm : array, shape (n,)
        Of the MTJ at the same instants, positive proximally; NaN where missing.

    Raises
    ------
    ResultError
        If the two do not have the same instants.
    """
    whole = np.asarray(mtu_mm, dtype=np.float64)
    moved = np.asarray(displacement_mm, dtype=np.float64)
    if whole.shape != moved.shape:
        raise ResultError(f"{len(whole)} lengths and {len(moved)} displacements do not match")
    known = np.flatnonzero(np.isfinite(whole) & np.isfinite(moved))
    if not len(known):
        return Partition(np.full_like(whole, np.nan), np.full_like(whole, np.nan), np.nan, np.nan)
    whole, muscle = whole - whole[known[0]], -(moved - moved[known[0]])
    tendon = whole - muscle
    about = whole[known] - whole[known].mean()
    spread = float((about**2).sum())
    share = float((about * muscle[known]).sum() / spread) if spread > 0 else float("nan")
    return Partition(muscle, tendon, share, 1 - share)


def _positive(shank_mm: float) -> float:
    if not shank_mm > 0:
        raise ResultError(f"a shank of {shank_mm} mm is impossible; give its length in mm")
    return shank_mm
