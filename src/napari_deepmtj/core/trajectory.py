"""The MTJ over time: one row a frame, in pixels, millimetres and seconds, with uncertainty.

The table's columns are schema 1 of `.mtj.csv`. Missing is NaN, never (0, 0). Reading and
writing files is `results.trajectory_file`; turning it into layers is `_napari.layers.convert`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from napari_deepmtj.core.geometry import Scale
from napari_deepmtj.core.provenance import Provenance
from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.errors import ResultError

if TYPE_CHECKING:
    import pandas as pd

FloatArray = npt.NDArray[np.float64]


class Origin(StrEnum):
    """Who put a point where it is."""

    MANUAL = "MANUAL"
    PREDICTED = "PREDICTED"
    CORRECTED = "CORRECTED"
    REFILLED = "REFILLED"
    INTERPOLATED = "INTERPOLATED"


#: Origins that a person made; no model ever overwrites them.
BY_HAND = frozenset({Origin.MANUAL, Origin.CORRECTED})


class Flag(StrEnum):
    """What a reader should know about a row before using it."""

    NOT_IN_VIEW = "not_in_view"
    LOW_CONFIDENCE = "low_confidence"
    OUTSIDE_ROI = "outside_roi"
    #: The frame cannot be decoded: there is no position, and nobody knows what it showed.
    UNREADABLE = "unreadable"
    #: The picture is unlike what the model is meant for: its position is not to be believed.
    UNFAMILIAR = "unfamiliar"
    #: The standard deviation is too large (`tracking.gate`, as all that follow).
    HIGH_SD = "high_sd"
    #: Near the border of the region: the MTJ is leaving the field of view, or coming back.
    AT_EDGE = "at_edge"
    #: Off the path for a moment, faster than tissue, and back: not to be used.
    OUTLIER = "outlier"
    #: Reached faster than tissue moves, and stayed: a cut in the clip, or another structure.
    JUMP = "jump"
    #: The probe is far from where it was in the first frame (`tracking.slip`).
    PROBE_SLIP = "probe_slip"


COLUMNS: tuple[str, ...] = (
    "frame",
    "time_s",
    "x_px",
    "y_px",
    "x_mm",
    "y_mm",
    "confidence",
    "in_view",
    "sd_x_px",
    "sd_y_px",
    "cov_xy_px2",
    "sd_mm",
    "origin",
    "flags",
    "x_raw_px",
    "y_raw_px",
)

_XY = ["x_px", "y_px"]


@dataclass(frozen=True, slots=True)
class FramePrediction:
    """What the network says of one frame, in frame pixels.

    Parameters
    ----------
    frame : int
        Zero-based index in the clip.
    x_px, y_px : float
        Position (pixel centres at integers); NaN when not in view.
    covariance : ndarray, shape (2, 2)
        Covariance of (x, y) in px^2; NaN when not in view.
    confidence : float
        Calibrated probability of being within tolerance, 0..1.
    in_view : bool
        Whether the MTJ is in the picture.
    flags : tuple of Flag
        Remarks.
    """

    frame: int
    x_px: float
    y_px: float
    covariance: FloatArray
    confidence: float
    in_view: bool
    flags: tuple[Flag, ...] = ()


class PredictionColumns(NamedTuple):
    """What the network says of n frames, ascending, in frame pixels; see `FramePrediction`.

    Attributes
    ----------
    frames : ndarray of int, shape (n,)
    xy_px : ndarray of float64, shape (n, 2)
        As (x, y); of no meaning when not in view, as the covariance.
    covariance : ndarray of float64, shape (n, 2, 2)
    confidence : ndarray of float64, shape (n,)
    in_view : ndarray of bool, shape (n,)
    flags : sequence of str, length n
        As `join_flags` writes them.
    """

    frames: npt.NDArray[np.int64]
    xy_px: FloatArray
    covariance: FloatArray
    confidence: FloatArray
    in_view: npt.NDArray[np.bool_]
    flags: Sequence[str]

    @classmethod
    def joined(cls, parts: Sequence[PredictionColumns]) -> Self:
        """Return consecutive parts, at least one, as a whole."""
        *arrays, flags = zip(*parts, strict=True)
        joined = [np.concatenate(column) for column in arrays]
        return cls._make([*joined, [flag for part in flags for flag in part]])

    def without(self, unreadable: Collection[int]) -> Self:
        """Return the same columns without what was computed for frames that cannot be decoded."""
        lost = np.isin(self.frames, list(unreadable))
        if not lost.any():
            return self
        return self._replace(
            confidence=np.where(lost, np.nan, self.confidence),
            in_view=self.in_view & ~lost,
            flags=[
                Flag.UNREADABLE.value if gone else flag
                for gone, flag in zip(lost, self.flags, strict=True)
            ],
        )

    def rows(self) -> Iterator[FramePrediction]:
        """Return one prediction a frame."""
        for i, (frame, seen) in enumerate(zip(self.frames, self.in_view, strict=True)):
            nowhere = np.full(2, np.nan), np.full((2, 2), np.nan)
            (x, y), covariance = (self.xy_px[i], self.covariance[i]) if seen else nowhere
            flags = tuple(Flag(flag) for flag in self.flags[i].split(";") if flag)
            yield FramePrediction(
                int(frame),
                float(x),
                float(y),
                covariance,
                float(self.confidence[i]),
                bool(seen),
                flags,
            )


@dataclass(frozen=True)
class Trajectory:
    """The MTJ of one clip over time.

    Parameters
    ----------
    table : pandas.DataFrame
        One row a frame with `COLUMNS`, sorted by frame, each frame once.
    provenance : Provenance
        Where it comes from; its scale is the one behind the millimetre columns.
    """

    table: pd.DataFrame
    provenance: Provenance

    def __post_init__(self) -> None:
        missing = [name for name in COLUMNS if name not in self.table.columns]
        if missing:
            raise ResultError(f"a trajectory lacks the columns {', '.join(missing)}")
        table = self.table.loc[:, list(COLUMNS)].reset_index(drop=True)
        frames = table["frame"].to_numpy()
        if len(frames) and (np.diff(frames) <= 0).any():
            raise ResultError("the frames of a trajectory must increase, each one once")
        object.__setattr__(self, "table", table)

    @classmethod
    def from_predictions(
        cls,
        predictions: Iterable[FramePrediction],
        times: FrameTimes,
        provenance: Provenance,
    ) -> Self:
        """Collect per-frame predictions; `times` are those of the whole clip."""
        found = sorted(predictions, key=lambda p: p.frame)
        n = len(found)
        columns = PredictionColumns(
            np.fromiter((p.frame for p in found), np.int64, n),
            np.array([(p.x_px, p.y_px) for p in found], dtype=np.float64).reshape(n, 2),
            np.array([p.covariance for p in found], dtype=np.float64).reshape(n, 2, 2),
            np.fromiter((p.confidence for p in found), np.float64, n),
            np.fromiter((p.in_view for p in found), np.bool_, n),
            [join_flags(p.flags) for p in found],
        )
        return cls.from_columns(columns, times, provenance)

    @classmethod
    def from_columns(
        cls, found: PredictionColumns, times: FrameTimes, provenance: Provenance
    ) -> Self:
        """Make the table of what was predicted; `times` are those of the whole clip."""
        import pandas as pd  # not where only names are needed: it takes long

        seen = found.in_view
        x, y = np.where(seen[:, None], found.xy_px, np.nan).T
        covariance = np.where(seen[:, None, None], found.covariance, np.nan)
        table = pd.DataFrame(
            {
                "frame": found.frames,
                "time_s": times.seconds[found.frames] if times.known else np.nan,
                "x_px": x,
                "y_px": y,
                "confidence": found.confidence,
                "in_view": seen,
                "sd_x_px": np.sqrt(covariance[:, 0, 0]),
                "sd_y_px": np.sqrt(covariance[:, 1, 1]),
                "cov_xy_px2": covariance[:, 0, 1],
                "origin": [Origin.PREDICTED.value] * len(seen),
                "flags": list(found.flags),
                "x_raw_px": x,
                "y_raw_px": y,
            },
            columns=list(COLUMNS),
        )
        return cls(_with_mm(table, provenance.scale), provenance)

    def __len__(self) -> int:
        return len(self.table)

    @property
    def frames(self) -> npt.NDArray[np.int64]:
        """Frame numbers, shape (n,)."""
        return self.table["frame"].to_numpy(dtype=np.int64)

    @property
    def xy_px(self) -> FloatArray:
        """Positions to use, shape (n, 2) as (x, y) in frame pixels; NaN where not in view."""
        return self.table[_XY].to_numpy(dtype=np.float64)

    @property
    def by_hand(self) -> npt.NDArray[np.bool_]:
        """Which rows a person made, shape (n,)."""
        return np.asarray(self.table["origin"].isin(list(BY_HAND)), dtype=np.bool_)

    def rescaled(self, scale: Scale | None) -> Self:
        """Return the same pixels in the millimetres of another scale, and say so in the log.

        What depends on the scale is computed anew: `x_mm, y_mm, sd_mm`. A confidence is not: it
        stays the probability of being within the radius, in pixels, that was the tolerance when
        the frame was tracked; the log says how many millimetres that radius is now.

        Parameters
        ----------
        scale : Scale or None
            The new scale with its source; None leaves every millimetre empty.
        """
        said = self.provenance
        provenance = replace(said, scale=scale).and_then(
            "scale changed",
            old=None if said.scale is None else _scale_record(said.scale),
            new=None if scale is None else _scale_record(scale),
            confidence=[
                {
                    "tolerance_when_tracked": tolerance.definition,
                    "radius_px": [round(r, 6) for r in tolerance.radius_px],
                    "radius_mm": None if scale is None else round(tolerance.mm(scale), 6),
                }
                for tolerance in said.tolerances
            ],
        )
        return replace(self, table=_with_mm(self.table, scale), provenance=provenance)

    def changed(self, columns: Mapping[str, Any], operation: str, **arguments: Any) -> Self:
        """Return a copy with columns replaced, millimetres anew, and the operation in the log.

        Parameters
        ----------
        columns : mapping of str to array, shape (n,)
            New values by column; what a scale gives (`x_mm, y_mm, sd_mm`) follows by itself.
        operation : str
            What was done, as `Operation.name`.
        **arguments
            What it was done with, JSON-serialisable.

        Raises
        ------
        ResultError
            If a row that a person made would get another position, or a raw value would change.
        """
        table = self.table.assign(**columns)
        hand = self.by_hand
        before, now = (
            [t[names].to_numpy(dtype=np.float64) for names in (["x_raw_px", "y_raw_px"], _XY)]
            for t in (self.table, table)
        )
        raw_kept = np.array_equal(before[0], now[0], equal_nan=True)
        if not (raw_kept and np.array_equal(before[1][hand], now[1][hand], equal_nan=True)):
            raise ResultError(f"{operation} must not change raw values or what a person set")
        provenance = self.provenance.and_then(operation, **arguments)
        return replace(self, table=_with_mm(table, provenance.scale), provenance=provenance)

    def updated_by(self, newer: Trajectory) -> Self:
        """Return this trajectory with the rows of a newer run put in.

        Rows that a person made stay as they are; rows of frames that the newer run did not
        touch stay too, in the millimetres of the newer run's scale. Operations of the newer run
        are appended.

        Raises
        ------
        ResultError
            If the two are not of the same clip.
        """
        import pandas as pd

        ours, theirs = self.provenance, newer.provenance
        if ours.clip_sha256 != theirs.clip_sha256:
            raise ResultError(
                f"the existing result belongs to another file named {ours.clip}; "
                "move it away or choose another output folder"
            )
        same = theirs.scale is None if ours.scale is None else ours.scale.same_as(theirs.scale)
        # A later state of this very result says itself when its scale was changed.
        since, before = theirs.operations[len(ours.operations) :], ours.operations
        told = theirs.operations[: len(before)] == before and any(
            op.name == "scale changed" for op in since
        )
        if len(self) and not same and not told:
            return self.rescaled(theirs.scale).updated_by(newer)
        kept = self.table[self.by_hand | ~self.table["frame"].isin(newer.table["frame"])]
        fresh = newer.table[~newer.table["frame"].isin(kept["frame"])]
        table = pd.concat([part for part in (kept, fresh) if len(part)] or [fresh])
        table = _with_mm(table.sort_values("frame"), theirs.scale)
        log = ours.operations + tuple(op for op in theirs.operations if op not in ours.operations)
        return replace(self, table=table, provenance=replace(theirs, operations=log))

    def corrected(
        self, frame: int, xy_px: Sequence[float] | None, origin: Origin = Origin.CORRECTED
    ) -> Self:
        """Return a copy in which a person put the point of one frame elsewhere.

        Parameters
        ----------
        frame : int
            A frame the trajectory has.
        xy_px : (x, y) or None
            New position in frame pixels; None says that the MTJ is not in view.
        origin : Origin
            CORRECTED for a moved prediction, MANUAL for a point set by hand.

        Raises
        ------
        ResultError
            If the trajectory has no such frame.
        """
        row = np.flatnonzero(self.frames == frame)
        if not len(row):
            raise ResultError("the trajectory has no such frame", frame=frame)
        x, y = (np.nan, np.nan) if xy_px is None else (float(xy_px[0]), float(xy_px[1]))
        table = self.table.copy()
        table["flags"] = table["flags"].astype(object)
        values: dict[str, Any] = {"x_px": x, "y_px": y, "confidence": 1.0}
        values |= {"sd_x_px": np.nan, "sd_y_px": np.nan, "cov_xy_px2": np.nan}
        values |= {"origin": origin.value, "in_view": xy_px is not None}
        values |= {"flags": "" if xy_px is not None else Flag.NOT_IN_VIEW.value}
        for name, value in values.items():
            table.loc[row[0], name] = value
        where = None if xy_px is None else [x, y]
        provenance = self.provenance.and_then("correct", frame=int(frame), xy_px=where)
        return replace(self, table=_with_mm(table, provenance.scale), provenance=provenance)


def join_flags(flags: Iterable[Flag]) -> str:
    """Return flags as the `;`-list of the CSV."""
    return ";".join(flag.value for flag in flags)


def _scale_record(scale: Scale) -> dict[str, Any]:
    return {"x_mm_per_px": scale.x_mm, "y_mm_per_px": scale.y_mm, "source": scale.source}


def _with_mm(table: pd.DataFrame, scale: Scale | None) -> pd.DataFrame:
    """Return a copy whose millimetre columns follow from its pixels and `scale`."""
    table = table.copy()
    if scale is None:
        table[["x_mm", "y_mm", "sd_mm"]] = np.nan
        return table
    table["x_mm"] = table["x_px"].astype(float) * scale.x_mm
    table["y_mm"] = table["y_px"].astype(float) * scale.y_mm
    table["sd_mm"] = np.hypot(
        table["sd_x_px"].astype(float) * scale.x_mm, table["sd_y_px"].astype(float) * scale.y_mm
    )
    return table
