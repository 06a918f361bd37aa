"""Tendon force, elongation, strain and stiffness. Displacements in mm, positive proximally.

- MP99: Maganaris and Paul, J Physiol 1999;521:307-313. Force from joint moment and moment arm,
  elongation from ultrasound, stiffness as a slope, strain by tendon length.
- H20: Holzer et al., Sci Rep 2020;10:19559. What the choice of moment arm does to the force.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_deepmtj.errors import ResultError
from napari_deepmtj.tracking.series import FloatArray

#: Share of the range of force that must be loaded where more force is lost afterwards.
LOADED = 0.5


def tendon_force(
    torque_nm: npt.ArrayLike, moment_arm_mm: npt.ArrayLike, share: float = 1.0
) -> FloatArray:
    """Return the tendon's force in N: torque over moment arm (MP99, H20), times a share.

    Parameters
    ----------
    torque_nm : array, shape (n,)
        Net joint torque in N m, of the plantar flexors positive.
    moment_arm_mm : float or array, shape (n,)
        In mm, at the same instants.
    share : float
        Of the torque that this tendon carries, 0 to 1; all unless a reason is given.

    Raises
    ------
    ResultError
        If a moment arm is not positive, or the share not in 0 to 1.
    """
    arm = np.asarray(moment_arm_mm, dtype=np.float64)
    if (arm <= 0).any():
        raise ResultError("a moment arm must be positive; give it in mm")
    if not 0 < share <= 1:
        raise ResultError(f"a share of {share} of the torque is impossible; give 0 to 1")
    force: FloatArray = share * np.asarray(torque_nm, dtype=np.float64) / (arm / 1000)
    return force


@dataclass(frozen=True)
class PassiveCurve:
    """MTJ displacement by ankle angle while the muscle is at rest, fitted by a polynomial.

    Attributes
    ----------
    polynomial : numpy.polynomial.Polynomial
        Displacement in mm by angle in degrees.
    range_deg : tuple of float
        Least and greatest angle that were measured.
    residual_sd_mm : float
        SD of the measurements about it.
    """

    polynomial: np.polynomial.Polynomial
    range_deg: tuple[float, float]
    residual_sd_mm: float

    @classmethod
    def fit(
        cls, angle_deg: npt.ArrayLike, displacement_mm: npt.ArrayLike, degree: int = 3
    ) -> PassiveCurve:
        """Fit the passive trial.

        Parameters
        ----------
        angle_deg, displacement_mm : array, shape (n,)
            Ankle angle and displacement at the same instants; NaN is left out.
        degree : int
            Of the polynomial.

        Raises
        ------
        ResultError
            If there are too few instants.
        """
        angle, moved = _both(angle_deg, displacement_mm)
        if len(np.unique(angle)) <= degree:
            raise ResultError(
                f"{len(np.unique(angle))} passive angles are too few for a polynomial of degree "
                f"{degree}; track a passive rotation"
            )
        polynomial = np.polynomial.Polynomial.fit(angle, moved, degree)
        left = moved - polynomial(angle)
        sd = float(np.sqrt((left**2).sum() / max(len(left) - degree - 1, 1)))
        return cls(polynomial, (float(angle.min()), float(angle.max())), sd)

    def __call__(self, angle_deg: npt.ArrayLike) -> FloatArray:
        """Return the displacement at angles; NaN beyond those measured."""
        angle = np.asarray(angle_deg, dtype=np.float64)
        inside = (angle >= self.range_deg[0]) & (angle <= self.range_deg[1])
        return np.where(inside, self.polynomial(angle), np.nan)


def corrected_elongation(
    displacement_mm: npt.ArrayLike, angle_deg: npt.ArrayLike, passive: PassiveCurve
) -> FloatArray:
    """Return the tendon's elongation in a contraction, less what the ankle's rotation explains.

    No dynamometer holds the heel still: as the foot plantar-flexes, the MTJ moves proximally
    without any stretch. That share is the passive displacement between the same angles.

    Parameters
    ----------
    displacement_mm : array, shape (n,)
        Of the MTJ in the contraction, positive proximally.
    angle_deg : array, shape (n,)
        Ankle angle at the same instants, in the convention of `passive`.
    passive : PassiveCurve
        From the passive trial.

    Returns
    -------
    ndarray, shape (n,)
        Elongation in mm from the first instant at which all is known; NaN at angles that the
        passive trial did not reach.
    """
    moved = np.asarray(displacement_mm, dtype=np.float64) - passive(angle_deg)
    known = np.flatnonzero(np.isfinite(moved))
    if not len(known):
        return moved
    stretched: FloatArray = moved - moved[known[0]]
    return stretched


def strain(elongation_mm: npt.ArrayLike, rest_length_mm: float) -> FloatArray:
    """Return elongation over rest length (0.05 is 5 %).

    Raises
    ------
    ResultError
        If the rest length is not positive.
    """
    if not rest_length_mm > 0:
        raise ResultError(f"a tendon {rest_length_mm} mm long is impossible; give its rest length")
    return np.asarray(elongation_mm, dtype=np.float64) / rest_length_mm


@dataclass(frozen=True, slots=True)
class Stiffness:
    """A tendon's stiffness over a range of force.

    Attributes
    ----------
    n_per_mm : float
        Slope of force on elongation.
    force_range_n : tuple of float
        The range, in N.
    n : int
        Instants in it.
    r2 : float
        Share of the force's variance that the line explains.
    """

    n_per_mm: float
    force_range_n: tuple[float, float]
    n: int
    r2: float


def stiffness(
    force_n: npt.ArrayLike,
    elongation_mm: npt.ArrayLike,
    force_range: tuple[float, float] = (0.5, 1.0),
    *,
    absolute: bool = False,
) -> Stiffness:
    """Return the least-squares slope of force on elongation over a range of force, on loading.

    Parameters
    ----------
    force_n, elongation_mm : array, shape (n,)
        At the same instants, in order; NaN is left out. Only instants up to the greatest force
        count: a tendon unloads on another path.
    force_range : (float, float)
        As shares of the greatest force, or in N if `absolute`.
    absolute : bool
        Whether the range is in N.

    Raises
    ------
    ResultError
        If the range is empty, or fewer than three instants of loading lie in it; if the force falls
        as the tendon lengthens, or falls by more than it rose before.
    """
    force, stretched = _both(force_n, elongation_mm)
    if not force_range[0] < force_range[1]:
        raise ResultError("the range of force for the stiffness must go from less to more")
    greatest = float(force.max()) if len(force) else 0.0
    low, high = force_range
    if not absolute and len(force):
        low, high = low * greatest, high * greatest
    used = (force >= low) & (force <= high)
    within, stretched = force[used], stretched[used]
    loading = np.flatnonzero(used) <= (int(force.argmax()) if len(force) else -1)
    unloading, force, stretched = within[~loading], within[loading], stretched[loading]
    rise = float(np.ptp(force)) if len(force) else 0.0
    fall = greatest - float(unloading.min()) if len(unloading) else 0.0
    if fall > rise and rise < LOADED * (min(high, greatest) - low):
        raise ResultError(
            f"the force falls by {fall:.0f} N from its greatest, and rose by {rise:.0f} N before "
            f"(between {low:.0f} and {high:.0f} N): stiffness is measured on loading; check the "
            "sign of the torque and the synchronisation, or use frames in which it rises"
        )
    if len(force) < 3 or np.ptp(stretched) == 0:
        raise ResultError(
            f"between {low:.0f} and {high:.0f} N there are {len(force)} instants of loading; a "
            "slope needs three with different elongations: widen the range"
        )
    slope = float(np.cov(stretched, force)[0, 1] / np.var(stretched, ddof=1))
    if slope <= 0:
        raise ResultError(
            f"the force falls as the tendon lengthens ({slope:.3g} N/mm between {low:.0f} and "
            f"{high:.0f} N), which is no stiffness: check the sign of torque and lengths, the "
            "synchronisation, and that the torque rises in the frames that are used"
        )
    r2 = float(np.corrcoef(stretched, force)[0, 1] ** 2)
    return Stiffness(slope, (low, high), len(force), r2)


def _both(a: npt.ArrayLike, b: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return two sequences where both are known."""
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape:
        raise ResultError(
            f"{len(first)} and {len(second)} values do not belong to the same instants"
        )
    known = np.isfinite(first) & np.isfinite(second)
    return first[known], second[known]
