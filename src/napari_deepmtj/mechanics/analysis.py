"""All that is measured of one trial, in one table and a list of figures with unit and definition.

Which figures follow from what is given; the formulas are `mechanics`, `cycles`, `tendon` and `mtu`.
Files are read and written elsewhere.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from napari_deepmtj.core.trajectory import Trajectory
from napari_deepmtj.errors import ChannelError, ResultError
from napari_deepmtj.mechanics.channels import Channels
from napari_deepmtj.mechanics.cycles import Cycles, find_cycles, onset
from napari_deepmtj.mechanics.excursion import SUPPORT, Excursion, excursion
from napari_deepmtj.mechanics.motion import Motion, Side, motion
from napari_deepmtj.mechanics.mtu import grieve_change, hawkins_hull_length, partition
from napari_deepmtj.mechanics.names import MtuModel, Muscle
from napari_deepmtj.mechanics.positions import used_positions
from napari_deepmtj.mechanics.tendon import (
    PassiveCurve,
    corrected_elongation,
    stiffness,
    strain,
    tendon_force,
)
from napari_deepmtj.tracking.series import FloatArray

#: What a unit of a channel is worth, by the unit that is needed.
UNITS: dict[str, dict[str, float]] = {
    "deg": {"deg": 1.0, "degree": 1.0, "degrees": 1.0, "°": 1.0, "rad": 180 / np.pi},
    "N m": {"nm": 1.0, "n·m": 1.0, "n*m": 1.0, "n.m": 1.0, "nmm": 1e-3, "n·mm": 1e-3},
    "mm": {"mm": 1.0, "cm": 10.0, "m": 1000.0},
}

#: Columns of a passive trial's table that its curve is fitted to.
PASSIVE_COLUMNS = ("ankle_deg", "displacement_mm")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be measured, and with what; a channel goes by its name, a constant by its value.

    Parameters
    ----------
    distal : {"left", "right"}
        Side of the picture on which the tendon goes to the heel.
    rest : (int, int) or None
        First and last frame of a rest: zero displacement and elongation.
    cycles : bool
        Whether the movement repeats.
    hysteresis : float
        Of `find_cycles`.
    baseline : (float, float) or None
        First and last time of a rest before the onset, s (frames without times).
    ankle, knee : str, float or None
        Ankle dorsiflexion, knee flexion: a channel, for the knee also a constant in degrees.
    ankle_neutral : float
        What the ankle's channel, as it was recorded, has at right angles; degrees.
    flip : tuple of str
        Channels that count the other way round.
    shank_mm : float or None
        Length of the shank.
    model : MtuModel
        Of the MTU's length.
    muscle : Muscle
        Which head.
    torque : str or None
        Channel of the joint's torque, plantar flexors positive.
    moment_arm : str, float or None
        Channel, or a constant in mm.
    share : float
        Of the torque that this tendon carries.
    rest_length_mm : float or None
        Of the tendon.
    force_range : (float, float)
        For the stiffness, as shares of the greatest force, or in N if `force_in_n`.
    force_in_n : bool
        Unit of `force_range`.
    """

    distal: Side
    rest: tuple[int, int] | None = None
    cycles: bool = True
    hysteresis: float = 0.25
    baseline: tuple[float, float] | None = None
    ankle: str | None = None
    knee: str | float | None = None
    ankle_neutral: float = 0.0
    flip: tuple[str, ...] = ()
    shank_mm: float | None = None
    model: MtuModel = MtuModel.HAWKINS_HULL
    muscle: Muscle = Muscle.MEDIAL_GASTROCNEMIUS
    torque: str | None = None
    moment_arm: str | float | None = None
    share: float = 1.0
    rest_length_mm: float | None = None
    force_range: tuple[float, float] = (0.5, 1.0)
    force_in_n: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the parameters, JSON-serialisable."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class Figure:
    """One number, with what it is.

    Attributes
    ----------
    name, unit, definition : str
        As they are printed.
    value : float
        NaN where it cannot be said.
    """

    name: str
    value: float
    unit: str
    definition: str


@dataclass(frozen=True)
class Analysis:
    """What was measured.

    Attributes
    ----------
    table : pandas.DataFrame
        One row a frame, units in the names of the columns.
    figures : tuple of Figure
        The trial in numbers.
    cycles : Cycles or None
        None if they were not asked for.
    motion : Motion
        Displacement and velocity.
    excursion : Excursion
        How far the MTJ moves, and whether that is reliable.
    raw : bool
        Positions are the network's, neither smoothed nor fused: all but the excursion follow
        its outliers.
    """

    table: pd.DataFrame
    figures: tuple[Figure, ...]
    cycles: Cycles | None
    motion: Motion
    excursion: Excursion
    raw: bool


def analyse(
    trajectory: Trajectory,
    plan: Plan,
    *,
    channels: Channels | None = None,
    reference: Trajectory | None = None,
    passive: PassiveCurve | None = None,
) -> Analysis:
    """Measure all that a plan asks for.

    Parameters
    ----------
    trajectory : Trajectory
        Smoothed or not.
    plan : Plan
        What to measure.
    channels : Channels or None
        At the times of the trajectory's rows (`resample`).
    reference : Trajectory or None
        From which the MTJ is measured.
    passive : PassiveCurve or None
        Of the passive trial, which corrects the elongation for the ankle's rotation.

    Raises
    ------
    ResultError
        If something that is needed is lacking, or in pixels.
    ChannelError
        If a channel is not there, or its unit is not of its kind.
    """
    moved = motion(trajectory, plan.distal, rest=plan.rest, reference=reference)
    trial = _Trial(plan, moved, channels)
    used = used_positions(trajectory)
    far = excursion(trajectory, plan.distal, axis=moved.axis, reference=reference, used=used)
    trial.kinematics(far)
    if plan.ankle is not None:
        neutral = -plan.ankle_neutral if plan.ankle in plan.flip else plan.ankle_neutral
        trial.table["ankle_deg"] = trial.channel(plan.ankle, "deg") - neutral
    if plan.shank_mm is not None:
        trial.lengths()
    if plan.torque is not None or passive is not None:
        trial.tendon(passive)
    return Analysis(trial.table, tuple(trial.figures), trial.cycles, moved, far, used.raw)


def passive_curve(table: pd.DataFrame) -> PassiveCurve:
    """Fit the passive curve to the table of a passive trial.

    Raises
    ------
    ResultError
        If it has no angles, or no millimetres.
    """
    lacking = [name for name in PASSIVE_COLUMNS if name not in table.columns]
    if lacking:
        raise ResultError(
            f"the passive trial's table lacks {', '.join(lacking)}; measure it with its ankle "
            "angle, and with a scale"
        )
    angle, moved = (table[name].to_numpy(dtype=np.float64) for name in PASSIVE_COLUMNS)
    return PassiveCurve.fit(angle, moved)


class _Trial:
    """The table and the figures as they grow."""

    def __init__(self, plan: Plan, moved: Motion, channels: Channels | None) -> None:
        self.plan, self.motion, self.channels = plan, moved, channels
        self.table, self.figures = moved.to_frame(), list[Figure]()
        self.cycles: Cycles | None = None
        if channels is not None and (
            moved.time_unit != "s" or not np.array_equal(channels.times_s, moved.t)
        ):
            raise ChannelError("the channels are not at the frames' times; resample them first")

    def add(self, name: str, value: float, unit: str, definition: str) -> None:
        self.figures.append(Figure(name, float(value), unit, definition))

    def channel(self, name: str, unit: str) -> FloatArray:
        """Return a channel in the unit that is needed."""
        if self.channels is None:
            raise ChannelError(f"{name!r} is a channel, and no file of channels is given")
        values = self.channels[name]
        has = self.channels.units[name]
        worth = UNITS[unit].get(has.lower().replace(" ", ""))
        if worth is None:
            what = f"is in {has!r}" if has else "has no unit"
            raise ChannelError(
                f"{name!r} {what}, but {unit} is needed; write it into the header, as in "
                f"'{name} ({unit})'",
                path=self.channels.name or None,
            )
        return values * (-worth if name in self.plan.flip else worth)

    def millimetres(self, what: str) -> FloatArray:
        """Return the displacement in mm."""
        if self.motion.length_unit != "mm":
            raise ResultError(f"{what} needs millimetres: the result has no scale")
        return self.motion.displacement

    def kinematics(self, moved: Excursion) -> None:
        """Add excursion, velocities, cycles and onset."""
        plan, m = self.plan, self.motion
        length, speed = m.length_unit, f"{m.length_unit}/{m.time_unit}"
        seen = int(np.isfinite(m.displacement).sum())
        self.add("positions", seen, f"of {len(m.frames)} rows", "rows with a displacement")
        definition = f"between places that {SUPPORT} consecutive frames agree on, without outliers"
        if moved.reason:
            definition += f"; not reliable: {moved.reason}"
        self.add("excursion", moved.value, length, definition)
        self.add("excursion, SD", moved.sd, length, "of the positions at both ends")
        definition = "greatest less least displacement, outliers included"
        self.add("excursion, raw", m.excursion, length, definition)
        distally, proximally = m.peak_velocity
        self.add("peak velocity, proximally", proximally, speed, "greatest velocity along the axis")
        self.add("peak velocity, distally", distally, speed, "least velocity along the axis")
        self.add(
            "linearity", m.axis.linearity, "", "share of the positions' variance along the axis"
        )
        if plan.cycles:
            self.cycles = c = find_cycles(m.t, m.displacement, plan.hysteresis)
            said = "from one rise through the middle of the range to the next"
            self.add("cycles", len(c), f"and {c.dropped} with gaps left out", said)
            for name, values, unit in (
                ("cycle excursion", c.excursions, length),
                ("cycle duration", c.durations, m.time_unit),
            ):
                mean = values.mean() if len(c) else np.nan
                sd = values.std(ddof=1) if len(c) > 1 else np.nan
                self.add(f"{name}, mean", mean, unit, "over the cycles")
                self.add(f"{name}, SD", sd, unit, "between cycles, n - 1")
        if plan.baseline is not None:
            at = onset(m.t, m.displacement, plan.baseline)
            said = "beyond 3 SDs of the rest, and 2 % of the range, for 0.1 s"
            self.add("onset", at, m.time_unit, said)

    def lengths(self) -> None:
        """Add length of MTU, muscle and tendon."""
        plan, table = self.plan, self.table
        d = self.millimetres("the length of muscle and tendon")
        if "ankle_deg" not in table:
            raise ResultError("the length of the muscle-tendon unit needs the ankle's angle")
        if plan.knee is None and plan.muscle is not Muscle.SOLEUS:
            raise ResultError(f"the length of the {plan.muscle} needs the knee's angle")
        ankle = table["ankle_deg"].to_numpy(dtype=np.float64)
        knee: FloatArray | float
        if isinstance(plan.knee, str):
            knee = self.channel(plan.knee, "deg")
            table["knee_deg"] = knee
        else:
            knee = 0.0 if plan.knee is None else plan.knee
        assert plan.shank_mm is not None
        absolute = plan.model is MtuModel.HAWKINS_HULL
        predict = hawkins_hull_length if absolute else grieve_change
        mtu = predict(ankle, knee, plan.shank_mm, plan.muscle)
        parts = partition(mtu, d)
        whole = parts.muscle_mm + parts.tendon_mm
        for name, column in (
            ("mtu", whole), ("muscle", parts.muscle_mm), ("tendon", parts.tendon_mm),
        ):  # fmt: skip
            table[f"{name}_change_mm"] = column
            said = f"greatest less least change of the {name.replace('mtu', 'MTU')}'s length"
            self.add(f"{name.replace('mtu', 'MTU')} change", _range(column), "mm", said)
        said = "slope of its change on the MTU's"
        self.add("muscle's share", 100 * parts.muscle_share, "%", said)
        self.add("tendon's share", 100 * parts.tendon_share, "%", said)
        if absolute:
            table["mtu_mm"] = mtu
            self.add("MTU length, mean", _mean(mtu), "mm", f"{plan.model}, by the joints' angles")
            if plan.rest_length_mm is not None:
                table["tendon_mm"] = plan.rest_length_mm + parts.tendon_mm
                table["muscle_mm"] = mtu - table["tendon_mm"]
                for name in ("tendon", "muscle"):
                    said = "from the tendon's rest length at the first instant"
                    self.add(f"{name} length, mean", _mean(table[f"{name}_mm"]), "mm", said)

    def tendon(self, passive: PassiveCurve | None) -> None:
        """Add force, elongation, strain and stiffness."""
        plan, table = self.plan, self.table
        d = self.millimetres("the tendon's elongation")
        if passive is None:
            elongation, said = d, "displacement, not corrected for the ankle's rotation"
        elif "ankle_deg" in table:
            elongation = corrected_elongation(d, table["ankle_deg"].to_numpy(float), passive)
            said = "displacement less the passive one between the same angles"
            beyond = int((np.isfinite(d) & ~np.isfinite(elongation)).sum())
            self.add("rows without elongation", beyond, "", "angles the passive trial did not have")
            self.add("passive curve, SD", passive.residual_sd_mm, "mm", "of the trial about it")
        else:
            raise ResultError("the passive correction needs the ankle's angle")
        elongation = elongation - self._zero(elongation)
        table["elongation_mm"] = elongation
        self.add("elongation, greatest", _greatest(elongation), "mm", said)
        if plan.rest_length_mm is not None:
            table["strain_percent"] = 100 * strain(elongation, plan.rest_length_mm)
            greatest = _greatest(table["strain_percent"].to_numpy(float))
            self.add("strain, greatest", greatest, "%", "elongation over the rest length")
        if plan.torque is None:
            return
        if plan.moment_arm is None:
            raise ResultError("the tendon's force needs a moment arm: a channel, or millimetres")
        torque = self.channel(plan.torque, "N m")
        arm = plan.moment_arm
        arm_mm = self.channel(arm, "mm") if isinstance(arm, str) else arm
        force = tendon_force(torque, arm_mm, plan.share)
        table["torque_nm"], table["force_n"] = torque, force
        self.add("force, greatest", _greatest(force), "N", f"{plan.share:g} x torque / moment arm")
        known = np.isfinite(force) & np.isfinite(elongation)
        if known.any():
            at = int(np.flatnonzero(known)[force[known].argmax()])
            self.add("elongation at the greatest force", elongation[at], "mm", "same instant")
        try:
            slope = stiffness(force, elongation, plan.force_range, absolute=plan.force_in_n)
        except ResultError as error:  # all else is still true
            self.add("stiffness", float("nan"), "N/mm", f"refused: {error.message}")
            return
        low, high = slope.force_range_n
        said = f"slope of force on elongation, loading, {low:.0f} to {high:.0f} N, n = {slope.n}"
        self.add("stiffness", slope.n_per_mm, "N/mm", said)
        self.add("stiffness, r^2", slope.r2, "", "of that line")

    def _zero(self, elongation: FloatArray) -> float:
        """Return the elongation at rest, else at the first instant at which it is known."""
        known = np.isfinite(elongation)
        if self.plan.rest is not None:
            first, last = self.plan.rest
            known &= (self.motion.frames >= first) & (self.motion.frames <= last)
            if not known.any():
                raise ResultError(f"there is no elongation in frames {first} to {last}, the rest")
            return float(elongation[known].mean())
        return float(elongation[known][0]) if known.any() else 0.0


def _range(values: FloatArray) -> float:
    seen = values[np.isfinite(values)]
    return float(np.ptp(seen)) if len(seen) else float("nan")


def _greatest(values: FloatArray) -> float:
    seen = values[np.isfinite(values)]
    return float(seen.max()) if len(seen) else float("nan")


def _mean(values: Any) -> float:
    seen = np.asarray(values, dtype=np.float64)
    seen = seen[np.isfinite(seen)]
    return float(seen.mean()) if len(seen) else float("nan")
