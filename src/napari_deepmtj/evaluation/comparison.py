"""What methods come to beside each other, on the same frames of the same subjects.

Pure functions of the tables of errors: no clip is opened, nothing is drawn. The job is `runner`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import combinations
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from napari_deepmtj.core.geometry import Roi, Scale
from napari_deepmtj.core.provenance import Provenance
from napari_deepmtj.errors import ResultError
from napari_deepmtj.evaluation.bootstrap import Interval, bootstrap
from napari_deepmtj.evaluation.methods import Kind
from napari_deepmtj.evaluation.summary import VALID_MM, Summary, Unit, jsonable

FloatArray = npt.NDArray[np.float64]
ClipKey = tuple[str, str, str]  #: Subject, name and content hash of a clip.
Point = tuple[float, float]

#: Frames of P20's Table III over which seconds are given.
SECONDS_OF_FRAMES = 200
#: Example frames lie at these percentiles of the frames' mean error: a good, a usual, a poor one.
EXAMPLE_PERCENTILES: tuple[float, ...] = (10.0, 50.0, 90.0)
_FRAME = ["subject", "clip", "clip_sha256", "frame"]


@dataclass(frozen=True, slots=True)
class ClipFacts:
    """What is known of a clip that was evaluated on."""

    subject: str
    clip: str
    clip_sha256: str
    group: str
    roi: Roi
    scale: Scale | None

    @classmethod
    def of(cls, made: Provenance, subject: str, group: str) -> Self:
        """Take them from a trajectory's provenance."""
        roi = made.roi or Roi.full(made.height, made.width)
        return cls(subject, made.clip, made.clip_sha256, group, roi, made.scale)

    @property
    def key(self) -> ClipKey:
        """What tells it from other clips."""
        return self.subject, self.clip, self.clip_sha256


@dataclass(frozen=True)
class Evaluation:
    """How one method does on a set of labelled clips.

    Parameters
    ----------
    name : str
        The method's.
    kind : {"network", "tracker"}
        Whether it had to be started by hand.
    about : mapping
        Id, version and sha256 of the weights, or a tracker's settings.
    errors : pandas.DataFrame
        `metrics.ERROR_COLUMNS`, one row a labelled frame.
    summary : Summary
        What they come to.
    seconds : float
        Wall time of finding the positions, decoding included.
    frames : int
        Frames that were looked at in that time.
    device : str
        Where that was computed.
    known : int
        Clips that the method learned from, or was chosen on, as far as its card names them.
    """

    name: str
    kind: Kind
    about: Mapping[str, str]
    errors: pd.DataFrame
    summary: Summary
    seconds: float
    frames: int
    device: str = ""
    known: int = 0

    @property
    def ms_per_frame(self) -> float:
        """Wall time a frame in milliseconds, decoding included."""
        return 1000 * self.seconds / self.frames if self.frames else float("nan")

    @property
    def seconds_per_200(self) -> float:
        """Wall time of 200 frames, as P20's Table III has it."""
        return self.ms_per_frame * SECONDS_OF_FRAMES / 1000

    def to_json(self) -> dict[str, Any]:
        """Return what `evaluation.json` holds of one method."""
        about = (
            {"model": dict(self.about)} if self.kind == "network" else {"tracker": dict(self.about)}
        )
        return {
            "name": self.name,
            "kind": self.kind,
            **about,
            "ms_per_frame": jsonable(self.ms_per_frame),
            "seconds_per_200_frames": jsonable(self.seconds_per_200),
            "frames_timed": self.frames,
            "device": self.device,
            "clips_learned_from": self.known,
            "summary": self.summary.to_json(),
        }


@dataclass(frozen=True, slots=True)
class Paired:
    """How much two methods differ on the same frames: second minus first.

    Attributes
    ----------
    first, second : str
        Their names.
    subjects, frames : int
        Those with a visible label that count for both.
    both : int
        Frames of those in which both gave a position.
    mean : float
        Mean difference of the errors over the frames with both, in `unit`; negative where the
        second is nearer.
    interval : Interval
        Of it, 95 % bootstrap over subjects.
    valid : float
        Difference of the shares within 5 mm over all `frames`, in percentage points; NaN
        without millimetres.
    valid_interval : Interval
        Of it.
    unit : {"mm", "px"}
        That of `mean`.
    """

    first: str
    second: str
    subjects: int
    frames: int
    both: int
    mean: float
    interval: Interval
    valid: float
    valid_interval: Interval
    unit: Unit


@dataclass(frozen=True, slots=True)
class Marks:
    """What is drawn on one frame: label, tolerance ring, and each method's position (Fig. 2A).

    Attributes
    ----------
    clip : ClipFacts
        Which clip.
    frame : int
        Which frame.
    label : (float, float) or None
        (x, y) in frame pixels; None where the MTJ is not visible.
    points : mapping of str to (float, float) or None
        The same of each method by name, in the order of the comparison; None where it has none.
    errors : mapping of str to float
        Distances to the label in `unit`, NaN where either is missing.
    unit : {"mm", "px"}
        "mm" where the clip has a scale.
    ring_px : (float, float) or None
        Half axes of the 5 mm ring along x and y in frame pixels; None without a scale.
    """

    clip: ClipFacts
    frame: int
    label: Point | None
    points: Mapping[str, Point | None]
    errors: Mapping[str, float]
    unit: Unit
    ring_px: tuple[float, float] | None


@dataclass(frozen=True)
class Comparison:
    """One or more methods on the same labelled clips.

    Parameters
    ----------
    evaluations : tuple of Evaluation
        In the order they were asked for.
    data : {"phantom", "real"}
        What was measured on.
    annotators : tuple of str
        Who labelled.
    clips : mapping
        Facts of each clip by its key.
    labelled_only : bool
        Whether networks looked at the labelled frames only.
    """

    evaluations: tuple[Evaluation, ...]
    data: str
    annotators: tuple[str, ...]
    clips: Mapping[ClipKey, ClipFacts]
    labelled_only: bool = False

    @property
    def unit(self) -> Unit:
        """Unit of the errors of all methods: "mm" if all clips have a scale."""
        return self.evaluations[0].summary.unit

    @cached_property
    def errors(self) -> pd.DataFrame:
        """All errors of all methods, one after the other."""
        return pd.concat([one.errors for one in self.evaluations], ignore_index=True)

    def paired(self) -> list[Paired]:
        """Return the differences of every two methods."""
        return [pair(a, b, self.unit) for a, b in combinations(self.evaluations, 2)]

    def to_json(self) -> dict[str, Any]:
        """Return what `evaluation.json` holds, schema 2.

        `model`, `ms_per_frame` and `summary` are those of the first method, where schema 1 had
        those of the only one.
        """
        from napari_deepmtj.version import __version__

        first, *_ = methods = [one.to_json() for one in self.evaluations]
        return {
            "schema": 2,
            "software": f"napari-deepmtj {__version__}",
            "data": self.data,
            "model": first.get("model"),
            "annotators": list(self.annotators),
            "ms_per_frame": first["ms_per_frame"],
            "summary": first["summary"],
            "labelled_only": self.labelled_only,
            "methods": methods,
            "paired": [jsonable(asdict(found)) for found in self.paired()],
        }


def pair(first: Evaluation, second: Evaluation, unit: Unit) -> Paired:
    """Compare two methods on the frames that count for both."""
    both = first.errors.merge(second.errors, on=_FRAME, suffixes=("_a", "_b"), validate="1:1")
    counted = both["truth_visible_a"] & ~both["given_a"] & ~both["given_b"]
    both = both[counted.to_numpy(dtype=bool)]
    error = both[[f"error_{unit}_a", f"error_{unit}_b"]].to_numpy(dtype=np.float64)
    difference = error[:, 1] - error[:, 0]
    found = np.isfinite(difference)
    valid, valid_interval = float("nan"), Interval()
    if unit == "mm" and len(both):
        gain = 100.0 * ((error[:, 1] <= VALID_MM).astype(float) - (error[:, 0] <= VALID_MM))
        valid, valid_interval = float(gain.mean()), bootstrap(gain, both["subject"])
    return Paired(
        first.name,
        second.name,
        both["subject"].nunique(),
        len(both),
        int(found.sum()),
        float(difference[found].mean()) if found.any() else float("nan"),
        bootstrap(difference[found], both["subject"][found]),
        valid,
        valid_interval,
        unit,
    )


def marks_on(comparison: Comparison, clip: ClipKey, frame: int) -> Marks:
    """Return where label and methods have the MTJ in one labelled frame.

    Parameters
    ----------
    comparison : Comparison
        Of any number of methods.
    clip : ClipKey
        One of `comparison.clips`.
    frame : int
        One of its labelled frames.

    Raises
    ------
    ResultError
        If that frame was not evaluated.
    """
    facts = comparison.clips.get(clip)
    label: Point | None = None
    points: dict[str, Point | None] = {}
    errors: dict[str, float] = {}
    unit: Unit = "px" if facts is None or facts.scale is None else "mm"
    for one in comparison.evaluations:
        table = one.errors
        rows = table[(table["clip_sha256"] == clip[2]) & (table["frame"] == frame)]
        rows = rows[(rows["subject"] == clip[0]) & (rows["clip"] == clip[1])]
        if facts is None or len(rows) != 1:
            raise ResultError(
                "was not evaluated; choose a labelled frame", path=clip[1], frame=frame
            )
        row = rows.iloc[0]
        label = _point(row["x_true_px"], row["y_true_px"])
        points[one.name] = _point(row["x_px"], row["y_px"])
        errors[one.name] = float(row[f"error_{unit}"])
    assert facts is not None  # there is at least one method
    scale = facts.scale
    ring = None if scale is None else (VALID_MM / scale.x_mm, VALID_MM / scale.y_mm)
    return Marks(facts, frame, label, points, errors, unit, ring)


def examples(
    comparison: Comparison, percentiles: tuple[float, ...] = EXAMPLE_PERCENTILES
) -> list[tuple[float, ClipKey, int]]:
    """Choose frames to show the methods on, by rule and not by taste.

    Of the frames in which every method has a position that counts, those at percentiles of the
    methods' mean error; nearest rank, the first of equals.

    Returns
    -------
    list of (percentile, clip, frame)
        Empty if there is no such frame.
    """
    unit = comparison.unit
    errors = comparison.errors
    errors = errors[errors[f"error_{unit}"].notna() & ~errors["given"].to_numpy(dtype=bool)]
    of_frame = errors.groupby(_FRAME, sort=False)[f"error_{unit}"].agg(["mean", "size"])
    complete = of_frame[of_frame["size"] == len(comparison.evaluations)]
    ranked = complete.sort_values("mean", kind="stable").index.to_list()
    chosen = []
    for percentile in percentiles:
        if ranked:
            rank = max(0, int(np.ceil(percentile / 100 * len(ranked))) - 1)
            subject, clip, sha256, frame = ranked[rank]
            chosen.append((percentile, (subject, clip, sha256), int(frame)))
    return chosen


def drift(comparison: Comparison, bins: int = 10) -> pd.DataFrame:
    """Return how errors grow with the time since the first visible label of each clip.

    Returns
    -------
    pandas.DataFrame
        "method", "elapsed" (middle of the bin), "median", "frames"; elapsed in seconds if all
        frames have times, else in frames. Bins without a measured frame are left out.
    """
    errors = comparison.errors
    errors = errors[errors["truth_visible"].to_numpy(dtype=bool)]
    timed = bool(errors["time_s"].notna().all())
    clock = errors["time_s"] if timed else errors["frame"].astype(float)
    since = clock - clock.groupby([errors[name] for name in _FRAME[:3]]).transform("min")
    edges = np.linspace(0, float(since.max()) if len(since) else 0.0, bins + 1)
    value = errors[f"error_{comparison.unit}"]
    kept = value.notna() & ~errors["given"].to_numpy(dtype=bool)
    which = np.clip(np.searchsorted(edges, since, side="right") - 1, 0, bins - 1)
    table = pd.DataFrame({"method": errors["method"], "bin": which, "error": value, "counts": kept})
    rows = []
    for one in comparison.evaluations:
        mine = table[table["counts"].to_numpy(dtype=bool) & (table["method"] == one.name)]
        for index in range(bins):
            found = mine.loc[mine["bin"] == index, "error"]
            if len(found):
                middle = float(edges[index] + edges[index + 1]) / 2
                rows.append((one.name, middle, float(found.median()), len(found)))
    return pd.DataFrame(rows, columns=["method", "elapsed", "median", "frames"]).assign(
        unit="s" if timed else "frames"
    )


def _point(x: float, y: float) -> Point | None:
    return (float(x), float(y)) if np.isfinite(x) and np.isfinite(y) else None
