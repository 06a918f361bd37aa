"""What was recorded beside the clips of a study: external files, brought to each clip's time.

Reading is `mechanics.channels`, clocks are `mechanics.sync`, figures `mechanics.analysis`; here
is what a study table and the options of a batch say of them, and which column each figure goes to.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deepmtj.batch.study import Entry
from napari_deepmtj.core.trajectory import Trajectory
from napari_deepmtj.errors import ChannelError, DeepMTJError, ResultError
from napari_deepmtj.mechanics.names import MtuModel, Muscle
from napari_deepmtj.tracking.steps import parse_settings

if TYPE_CHECKING:
    from napari_deepmtj.mechanics.analysis import Analysis, Plan
    from napari_deepmtj.mechanics.channels import Channels
    from napari_deepmtj.mechanics.motion import Side

#: What `measure` may name: channels and constants of `mechanics.analysis.Plan`.
MEASURED = (
    *("ankle", "ankle_neutral", "knee", "shank_mm", "model", "muscle"),
    *("torque", "moment_arm", "share", "rest_length_mm", "flip"),
)
#: Further columns of a study table that hold for one clip, above what `measure` says, and what
#: they are there.
OWN: dict[str, str] = {
    "shank_mm": "shank_mm",
    "moment_arm_mm": "moment_arm",
    "rest_length_mm": "rest_length_mm",
}

#: Columns of `clips.csv` for a study with external files, by the name of the figure.
FIGURES: dict[str, str] = {
    "MTU change": "mtu_change_mm",
    "muscle change": "muscle_change_mm",
    "tendon change": "tendon_change_mm",
    "muscle's share": "muscle_share_percent",
    "tendon's share": "tendon_share_percent",
    "MTU length, mean": "mtu_length_mm_mean",
    "muscle length, mean": "muscle_length_mm_mean",
    "tendon length, mean": "tendon_length_mm_mean",
    "elongation, greatest": "elongation_mm_greatest",
    "strain, greatest": "strain_percent_greatest",
    "force, greatest": "force_n_greatest",
    "elongation at the greatest force": "elongation_mm_at_greatest_force",
    "stiffness": "stiffness_n_per_mm",
    "stiffness, r^2": "stiffness_r2",
}
#: Least and greatest value of these columns of the analysis.
RANGES: tuple[str, ...] = ("ankle_deg", "torque_nm")
CHANNEL_COLUMNS: tuple[str, ...] = (
    *("external_file", "sync", "sync_offset_s", "channel_frames", "channels_problem"),
    *(f"{name}_{end}" for name in RANGES for end in ("least", "greatest")),
    *FIGURES.values(),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """How all external files of a batch are read, and what is measured with them.

    Parameters
    ----------
    read : str
        "rate_hz=1000,time=t": settings of `mechanics.channels.read_channels`.
    sync : str
        "clock:offset_s=0", "trigger:channel=NAME", "correlation:channel=NAME,sign=-1", for clips
        without a `sync_offset_s`; "" for none.
    lowpass_hz : float or None
        Of the channels, before they are brought to the frames' times.
    measure : str
        "ankle=Angle,torque=Torque,moment_arm=50": members of `MEASURED`, each the name of a
        channel or a number; several channels to `flip` are parted by "|".

    Raises
    ------
    ResultError
        If a text is none of these.
    """

    read: str = ""
    sync: str = ""
    lowpass_hz: float | None = None
    measure: str = ""

    def __post_init__(self) -> None:
        parse_settings(self.read)
        parse_settings(self.sync.partition(":")[2])
        _parsed(self.measure)

    def plan(self, distal: Side, facts: Mapping[str, str]) -> Plan:
        """Return what is measured of a clip whose row says `facts`.

        Raises
        ------
        ChannelError
            If a column of `OWN` holds no number.
        """
        from napari_deepmtj.mechanics.analysis import Plan

        said = _parsed(self.measure)
        for column, name in OWN.items():
            if text := facts.get(column, ""):
                said[name] = _length(column, text)
        return Plan(distal, **said)


def _parsed(text: str) -> dict[str, Any]:
    """Return settings of a `Plan`."""
    said = parse_settings(text)
    unknown = [name for name in said if name not in MEASURED]
    if unknown:
        raise ResultError(f"{unknown[0]!r} is not measured; there are {', '.join(MEASURED)}")
    for name, kind in (("model", MtuModel), ("muscle", Muscle)):
        if name in said:
            try:
                said[name] = kind(said[name])
            except ValueError as error:
                raise ResultError(
                    f"there is no {name} {said[name]!r}: {', '.join(kind)}"
                ) from error
    if "flip" in said:
        said["flip"] = tuple(str(said["flip"]).split("|"))
    for name in ("ankle_neutral", "shank_mm", "share", "rest_length_mm"):
        if name in said and not isinstance(said[name], int | float):
            raise ResultError(f"{name} cannot be {said[name]!r}; give a number")
    for name in ("ankle", "torque"):
        if name in said:
            said[name] = str(said[name])
    return said


def _length(column: str, text: str) -> float:
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise ChannelError(f"column {column}: {text!r} is no length in mm")
    return value


def require_sense(entries: Iterable[Entry], beside: Beside) -> None:
    """Refuse a study whose external files could not be brought to the clips' time.

    Raises
    ------
    ResultError
        If a clip has a file and no way to synchronise it, or an offset and no file.
    """
    problems = []
    for entry in entries:
        if entry.external_file is not None and entry.sync_offset_s is None and not beside.sync:
            problems.append(
                f"{entry.clip.name} has an external_file and no sync_offset_s; give it, 0 if they "
                "began together, or --sync"
            )
        elif entry.external_file is None and entry.sync_offset_s is not None:
            problems.append(f"{entry.clip.name} has a sync_offset_s and no external_file")
    if problems:
        more = f" (and {len(problems) - 4} more)" if len(problems) > 4 else ""
        raise ResultError("; ".join(problems[:4]) + more)


def measured_beside(
    entry: Entry, beside: Beside, trajectory: Trajectory, distal: Side | None
) -> dict[str, object]:
    """Return the columns that a clip's external file gives; `CHANNEL_COLUMNS` has their names.

    Parameters
    ----------
    entry : Entry
        The clip, with its file; without one nothing is returned.
    beside : Beside
        How it is read, and what is measured.
    trajectory : Trajectory
        The positions that are used.
    distal : {"left", "right"} or None
        Side of the picture that is distal.
    """
    if entry.external_file is None:
        return {}
    row: dict[str, object] = {"external_file": entry.external_file.as_posix()}
    try:
        if distal is None:
            raise ChannelError("the distal side is not known: give it in the column distal_side")
        plan = beside.plan(distal, entry.facts)
        channels, said = _at_frames(entry, beside, trajectory, plan)
        row |= said
        return row | _figures(trajectory, plan, channels)
    except DeepMTJError as error:
        return row | {"channels_problem": str(error)}


def _at_frames(
    entry: Entry, beside: Beside, trajectory: Trajectory, plan: Plan
) -> tuple[Channels, dict[str, object]]:
    """Return the channels at the times of the frames, and how their clock lies."""
    from napari_deepmtj.mechanics.channels import read_channels
    from napari_deepmtj.mechanics.motion import motion
    from napari_deepmtj.mechanics.resample import resample
    from napari_deepmtj.mechanics.sync import by_clock, find_sync

    assert entry.external_file is not None
    moved = motion(trajectory, plan.distal)
    if moved.time_unit != "s":
        raise ChannelError("the clip has no times, so no channel can be brought to them")
    try:
        channels = read_channels(entry.external_file, **parse_settings(beside.read))
        if entry.sync_offset_s is not None:
            found = by_clock(entry.sync_offset_s)
        else:
            how, _, rest = beside.sync.partition(":")
            found = find_sync(how, channels, moved, **parse_settings(rest))
    except TypeError as error:
        raise ChannelError(f"--read or --sync: {error}", path=entry.external_file) from error
    done = resample(channels, found.offset_s, moved.t, lowpass_hz=beside.lowpass_hz)
    seen = [np.isfinite(values) for values in done.channels.values.values()]
    return done.channels, {
        "sync": found.how,
        "sync_offset_s": found.offset_s,
        "channel_frames": int(np.logical_or.reduce(seen).sum()),
    }


def _figures(trajectory: Trajectory, plan: Plan, channels: Channels) -> dict[str, object]:
    from napari_deepmtj.mechanics.analysis import analyse

    done: Analysis = analyse(trajectory, replace(plan, cycles=False), channels=channels)
    row: dict[str, object] = {
        FIGURES[each.name]: each.value for each in done.figures if each.name in FIGURES
    }
    refused = [
        f"{each.name} {each.definition}"
        for each in done.figures
        if each.name in FIGURES and each.definition.startswith("refused")
    ]
    if refused:
        row["channels_problem"] = "; ".join(refused)
    for name in RANGES:
        if name in done.table and done.table[name].notna().any():
            row |= {f"{name}_least": done.table[name].min()}
            row |= {f"{name}_greatest": done.table[name].max()}
    return row
