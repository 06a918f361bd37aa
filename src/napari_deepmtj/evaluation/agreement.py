"""How far raters agree on where the MTJ is: two or more people, rounds, or a model among them.

No clip is opened and nothing is drawn here. The statistics, with their sources, are
`evaluation.reliability`, the plot is `report.agreement`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pandas as pd

from napari_deepmtj.core.geometry import Scale
from napari_deepmtj.core.labels import CONSENSUS, Label
from napari_deepmtj.core.trajectory import Trajectory
from napari_deepmtj.errors import LabelError
from napari_deepmtj.evaluation.reliability import (
    BlandAltman,
    Estimate,
    bland_altman,
    cohens_kappa,
    icc_2_1,
    minimal_detectable_change,
    standard_error,
)

FloatArray = npt.NDArray[np.float64]
Place = tuple[str, int]  #: A clip's content hash and a frame of it.

#: Radii in mm within which the share of frames is given.
RADII_MM: tuple[float, ...] = (1.0, 2.0, 3.0, 5.0)
#: x runs along the picture, y into its depth; the distance is Euclidean.
AXES: tuple[str, ...] = ("x", "y", "distance")


@dataclass(frozen=True, slots=True)
class Rater:
    """Everything one person said in one round, or one model.

    Parameters
    ----------
    name : str
        Unlike that of any other rater.
    positions : mapping of Place to (x, y) or None
        In frame pixels; None where the MTJ is not visible.
    clips : mapping of str to str
        Content hash -> name of the clips concerned.
    sparse : bool
        Whether it chose frames, as people do; the frames of a study are theirs.
    settled : bool
        Whether it was made of other raters' labels.
    """

    name: str
    positions: Mapping[Place, tuple[float, float] | None]
    clips: Mapping[str, str]
    sparse: bool = True
    settled: bool = False


@dataclass(frozen=True, slots=True)
class Reliability:
    """How alike raters rate on one axis.

    Attributes
    ----------
    axis : str
        "x" or "y".
    n : int
        Frames that all raters gave a position for.
    icc : Estimate
        ICC(2,1): two-way random effects, absolute agreement, a single rater.
    sem : float
        Standard error of measurement; it contains the raters' bias, as ICC(2,1) does.
    mdc : float
        Minimal detectable change, 1.96 * sqrt(2) * SEM.
    """

    axis: str
    n: int
    icc: Estimate
    sem: float
    mdc: float


@dataclass(frozen=True, slots=True)
class Visibility:
    """In how many frames each of two raters saw the MTJ, of those that both looked at.

    Attributes
    ----------
    kappa : Estimate
        Cohen's kappa, by statsmodels; NaN where both raters say the same of all frames.
    both, first_only, second_only, neither : int
        The four cells.
    """

    kappa: Estimate
    both: int
    first_only: int
    second_only: int
    neither: int


@dataclass(frozen=True)
class Pair:
    """What two raters come to.

    Attributes
    ----------
    first, second : str
        Names; differences are second minus first.
    unit : str
        "mm" or "px".
    table : pandas.DataFrame
        One row a frame with both positions: clip, clip_sha256, frame, x_first, y_first,
        x_second, y_second, dx, dy, distance, in `unit`.
    limits : mapping
        "x", "y" and "distance" -> `BlandAltman`. A distance is never negative and seldom
        normal: of its limits only the upper one means anything; `percentile_95` says it better.
    reliability : tuple of Reliability
        Of x and of y.
    median, percentile_95, maximum : float
        Of the distances.
    within : mapping
        Radius in mm -> percentage of those frames with a distance of at most that; empty in px.
    frames : int
        Frames of the study.
    missing_first, missing_second : int
        Those that a rater did not look at, so that they are left out.
    visibility : Visibility
        The rest; only those that both saw have positions to compare.
    """

    first: str
    second: str
    unit: str
    table: pd.DataFrame = field(repr=False)
    limits: Mapping[str, BlandAltman]
    reliability: tuple[Reliability, Reliability]
    median: float
    percentile_95: float
    maximum: float
    within: Mapping[float, float]
    frames: int
    missing_first: int
    missing_second: int
    visibility: Visibility


@dataclass(frozen=True)
class Agreement:
    """A whole study.

    Attributes
    ----------
    raters : tuple of str
        Names, in the order given.
    unit : str
        "mm" if the scale of every clip is known, else "px".
    clips, frames : int
        What was studied: the frames that at least one rater chose.
    pairs : tuple of Pair
        Every two raters.
    together : tuple of Reliability
        Of x and y over all raters but a consensus, where there are more than two.
    """

    raters: tuple[str, ...]
    unit: str
    clips: int
    frames: int
    pairs: tuple[Pair, ...]
    together: tuple[Reliability, ...]

    def to_frame(self) -> pd.DataFrame:
        """Return one row for each pair and axis, and one an axis for all raters together."""
        rows = [_row(pair, axis) for pair in self.pairs for axis in AXES]
        rows += [
            {"first": "all raters", "second": "", "axis": r.axis, "unit": self.unit}
            | {"frames": self.frames, "n": r.n}
            | _reliability_cells(r)
            for r in self.together
        ]
        return pd.DataFrame(rows)


def raters_of_labels(files: Mapping[str, Iterable[Label]]) -> list[Rater]:
    """Return the raters of label files: one for each annotator and round.

    What one annotator and round has in several files is one rater, unless the files label the
    same frame: then they are two, told apart by the files' names.

    Parameters
    ----------
    files : mapping of str to iterable of Label
        Name of the file -> its labels.
    """
    parts: dict[tuple[str, int], dict[str, list[Label]]] = {}
    for file, labels in files.items():
        for label in labels:
            whose = parts.setdefault((label.annotator, label.round), {})
            whose.setdefault(file, []).append(label)
    rounds: dict[str, set[int]] = {}
    for annotator, number in parts:
        rounds.setdefault(annotator, set()).add(number)
    raters = []
    for (annotator, number), of_files in parts.items():
        name = annotator if len(rounds[annotator]) == 1 else f"{annotator}, round {number}"
        places = [(i.clip_sha256, i.frame) for found in of_files.values() for i in found]
        if len(set(places)) == len(places):
            raters.append(_rater(name, [i for found in of_files.values() for i in found]))
        else:
            raters += [_rater(f"{name} ({file})", found) for file, found in of_files.items()]
    return raters


def rater_of_trajectories(name: str, trajectories: Iterable[Trajectory]) -> Rater:
    """Return a model as a rater; rows that a person made are not the model's and are left out."""
    positions: dict[Place, tuple[float, float] | None] = {}
    clips = {}
    for trajectory in trajectories:
        sha256 = trajectory.provenance.clip_sha256
        clips[sha256] = trajectory.provenance.clip
        for frame, (x, y), by_hand in zip(
            trajectory.frames.tolist(),
            trajectory.xy_px.tolist(),
            trajectory.by_hand.tolist(),
            strict=True,
        ):
            if not by_hand:
                positions[sha256, frame] = None if math.isnan(x) else (x, y)
    return Rater(name, positions, clips, sparse=False)


def study(raters: Sequence[Rater], scales: Mapping[str, Scale] | None = None) -> Agreement:
    """Compare raters on the frames that any of them chose.

    Parameters
    ----------
    raters : sequence of Rater
        At least two, of different names.
    scales : mapping of str to Scale, optional
        Content hash of a clip -> its scale. If one is lacking, all is in pixels.

    Raises
    ------
    LabelError
        If there are fewer than two raters, or two share a name.
    MissingExtraError
        If pingouin or statsmodels is not installed.
    """
    names = [rater.name for rater in raters]
    if len(raters) < 2:
        said = names[0] if names else "nobody"
        raise LabelError(f"agreement needs two raters at least, and these labels are by {said}")
    if len(set(names)) < len(names):
        raise LabelError(f"two raters share a name ({', '.join(sorted(names))}); rename one")
    choosing = [rater for rater in raters if rater.sparse] or list(raters)
    places = sorted({place for rater in choosing for place in rater.positions})
    clips = {sha256: name for rater in raters for sha256, name in rater.clips.items()}
    scales = scales or {}
    in_mm = bool(places) and all(sha256 in scales for sha256, _ in places)
    factors = np.array(
        [(scales[sha].x_mm, scales[sha].y_mm) if in_mm else (1.0, 1.0) for sha, _ in places]
    ).reshape(-1, 2)
    unit = "mm" if in_mm else "px"
    xy = {rater.name: _positions(rater, places) * factors for rater in raters}
    pairs = tuple(_pair(a, b, places, clips, xy, unit) for a, b in combinations(raters, 2))
    rated = [xy[rater.name] for rater in raters if not rater.settled]
    together = _reliabilities(np.stack(rated)) if len(rated) > 2 else ()
    return Agreement(
        tuple(names), unit, len({sha for sha, _ in places}), len(places), pairs, together
    )


def _rater(name: str, labels: Sequence[Label]) -> Rater:
    positions = {
        (label.clip_sha256, label.frame): None
        if label.x_px is None or label.y_px is None
        else (label.x_px, label.y_px)
        for label in labels
    }
    clips = {label.clip_sha256: label.clip for label in labels}
    return Rater(name, positions, clips, settled=labels[0].annotator == CONSENSUS)


def _positions(rater: Rater, places: Sequence[Place]) -> FloatArray:
    """Return positions, shape (n, 2) in px; NaN where there is none."""
    nowhere = (math.nan, math.nan)
    return np.array([rater.positions.get(place) or nowhere for place in places]).reshape(-1, 2)


def _pair(
    first: Rater,
    second: Rater,
    places: Sequence[Place],
    clips: Mapping[str, str],
    xy: Mapping[str, FloatArray],
    unit: str,
) -> Pair:
    a, b = xy[first.name], xy[second.name]
    looked_a = np.array([place in first.positions for place in places], dtype=bool)
    looked_b = np.array([place in second.positions for place in places], dtype=bool)
    seen_a, seen_b = np.isfinite(a[:, 0]), np.isfinite(b[:, 0])
    both = seen_a & seen_b
    looked = looked_a & looked_b
    yes_no = (True, False)
    cells = [int((looked & (seen_a == i) & (seen_b == j)).sum()) for i in yes_no for j in yes_no]
    d = b[both] - a[both]
    distance = np.hypot(d[:, 0], d[:, 1])
    used = [place for place, seen in zip(places, both, strict=True) if seen]
    table = pd.DataFrame(
        {
            "clip": [clips[sha256] for sha256, _ in used],
            "clip_sha256": [sha256 for sha256, _ in used],
            "frame": [frame for _, frame in used],
            "x_first": a[both, 0],
            "y_first": a[both, 1],
            "x_second": b[both, 0],
            "y_second": b[both, 1],
            "dx": d[:, 0],
            "dy": d[:, 1],
            "distance": distance,
        }
    )
    radii = RADII_MM if unit == "mm" and len(distance) else ()
    x, y = _reliabilities(np.stack([a, b]))
    return Pair(
        first=first.name,
        second=second.name,
        unit=unit,
        table=table,
        limits=dict(zip(AXES, map(bland_altman, (d[:, 0], d[:, 1], distance)), strict=True)),
        reliability=(x, y),
        median=float(np.median(distance)) if len(distance) else math.nan,
        percentile_95=float(np.percentile(distance, 95)) if len(distance) else math.nan,
        maximum=float(distance.max()) if len(distance) else math.nan,
        within={r: float(100 * (distance <= r).mean()) for r in radii},
        frames=len(places),
        missing_first=int((~looked_a).sum()),
        missing_second=int((~looked_b).sum()),
        visibility=Visibility(cohens_kappa(np.reshape(cells, (2, 2))), *cells),
    )


def _reliabilities(xy: FloatArray) -> tuple[Reliability, Reliability]:
    """Return those of x and y from positions, shape (raters, n, 2), NaN where there is none."""
    complete = xy[:, np.isfinite(xy).all(axis=(0, 2))]
    found = []
    for number, axis in enumerate(AXES[:2]):
        ratings = complete[:, :, number].T
        sem = standard_error(ratings)
        mdc = minimal_detectable_change(sem)
        found.append(Reliability(axis, len(ratings), icc_2_1(ratings), sem, mdc))
    return found[0], found[1]


def _row(pair: Pair, axis: str) -> dict[str, object]:
    """Return what `to_frame` says of a pair on an axis."""
    limits, seen = pair.limits[axis], pair.visibility
    row: dict[str, object] = {
        "first": pair.first,
        "second": pair.second,
        "axis": axis,
        "unit": pair.unit,
        "frames": pair.frames,
        "n": limits.n,
        **_cells("bias", limits.bias),
        "sd": limits.sd,
        **_cells("lower", limits.lower),
        **_cells("upper", limits.upper),
    }
    if axis == "distance":
        row |= {"median": pair.median, "percentile_95": pair.percentile_95, "max": pair.maximum}
        row |= {f"within_{radius:g}_mm_percent": share for radius, share in pair.within.items()}
    else:
        row |= _reliability_cells(pair.reliability[AXES.index(axis)])
    return row | {
        "missing_first": pair.missing_first,
        "missing_second": pair.missing_second,
        "visible_both": seen.both,
        "visible_first_only": seen.first_only,
        "visible_second_only": seen.second_only,
        "visible_neither": seen.neither,
        **_cells("kappa", seen.kappa),
    }


def _reliability_cells(found: Reliability) -> dict[str, object]:
    return {**_cells("icc_2_1", found.icc), "sem": found.sem, "mdc": found.mdc}


def _cells(name: str, estimate: Estimate) -> dict[str, object]:
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
