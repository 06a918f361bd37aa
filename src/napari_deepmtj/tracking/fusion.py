"""Detector and flow together: where the network says the MTJ is, moved as the tissue moves.

The network's positions are absolute and jitter, and hop where the picture is bad; what flow says
is smooth and drifts. `chain.py` weighs one against the other, `presence.py` says what is in view,
`flow.py` where tissue went. Nothing here looks at pictures itself.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_deepmtj.core.geometry import Roi
from napari_deepmtj.core.jobs import Done, Failed, Notice, Progress
from napari_deepmtj.core.trajectory import Flag, Origin, Trajectory, join_flags
from napari_deepmtj.errors import DeepMTJError, ResultError, VideoError
from napari_deepmtj.tracking import chain, flow, presence
from napari_deepmtj.tracking.series import BoolArray, FloatArray, Series, undone

if TYPE_CHECKING:
    from napari_deepmtj.video.opening import VideoSource

#: Time between frames of a clip without times, s: P20's 25 Hz. Only `Fusion` in seconds needs it.
INTERVAL_WITHOUT_TIMES_S = 0.04

#: Points over the whole picture, along x and y, of which a part comes back; less is a cut.
CUT_POINTS, CUT_PART = (16, 6), 0.3

#: Progress is told every so many frames.
TOLD_EVERY = 10


@dataclass(frozen=True, slots=True)
class Fusion:
    """Noise of detector and tissue. Fitted on phantom clips of other subjects than those reported.

    Parameters
    ----------
    white_noise_share : float
        Part of the detector's variance that is new in every frame; the rest lasts.
    measurement_noise_exponent : float
        The variance of a frame less confident than usual grows by the ratio of the odds to the
        clip's median odds, to this power.
    excursion_s : float
        A detection that leaves the way of its tissue and is back within this time is not used.
    sigmas, least_mm : float
        How far off the way that is: in the standard deviations of the frames around, and the
        least of those.
    drift_mm : float
        Standard deviation by which the MTJ leaves its tissue in a second.
    relative_process_noise : float
        The same as a part of each step: strain, and tissue of another speed among the points.
    flow_noise_factor : float
        Factor on the standard error that the flow states.
    lost_mm : float
        Standard deviation of a step on which flow says nothing, though the picture goes on.
    method : flow.Method
        How tissue is followed.
    """

    white_noise_share: float = 0.02
    measurement_noise_exponent: float = 2.0
    excursion_s: float = 1.25
    sigmas: float = 3.0
    least_mm: float = 0.15
    drift_mm: float = 0.3
    relative_process_noise: float = 0.1
    flow_noise_factor: float = 3.0
    lost_mm: float = 1.0
    method: flow.Method = field(default_factory=flow.LucasKanade)


@dataclass(frozen=True)
class Measured:
    """What flow says between the rows, each shape (n - 1, ...)."""

    step: FloatArray
    sd: FloatArray
    cut: BoolArray


@dataclass(frozen=True)
class Path:
    """Where the MTJ is, px, shape (n, 2), its covariance, and which detections were not used."""

    xy: FloatArray
    covariance: FloatArray
    off: BoolArray


FusionEvent = Progress | Notice | Done[Trajectory] | Failed


def fuse(
    trajectory: Trajectory, source: VideoSource, settings: Fusion | None = None
) -> Generator[FusionEvent]:
    """Fuse what the network said with the motion of the tissue; a job.

    `x_raw_px, y_raw_px` and what a person set stay, and the path goes through the latter.
    Frames out of view are without position; in frames in which only the detector sees nothing,
    flow carries the path on (`REFILLED`). A change of the whole picture ends the path and is
    flagged JUMP. Positions start from raw values, so fusing twice changes nothing. Standard
    deviations stay the network's, whose error lasts; a row of which its position was not used,
    or that had none, gets that of the rows around and of the way from them.

    Parameters
    ----------
    trajectory : Trajectory
        As tracked, whatever was done with it since.
    source : VideoSource
        The clip it is of; it stays open.
    settings : Fusion or None
        None is `Fusion()`.

    Yields
    ------
    Progress, Notice
        As it goes.
    Done of Trajectory, or Failed
        Last.
    """
    settings = Fusion() if settings is None else settings
    try:
        series = _detections(trajectory, source)
        frames = series.frames
        region = trajectory.provenance.roi or Roi.full(source.height, source.width)
        mm = flow.mm_per_px(trajectory.provenance.scale, region.width)
        guess = _through(series.xy, frames)
        measured: Measured | None = None
        for told, event in enumerate(_measure(source, frames, guess, region, mm, settings)):
            if isinstance(event, Measured):
                measured = event
            elif told % TOLD_EVERY == 0:
                yield event
        assert measured is not None
        path = _path(series, trajectory, measured, mm, settings)
        inside = _inside(path, region)
        in_view = presence.probability_in_view(
            series.measured,
            trajectory.table["confidence"].to_numpy(dtype=np.float64),
            inside,
            measured.cut,
            _seconds(series),
            _certain(series),
        )
        yield Progress(len(frames), len(frames))
        columns, counts = _columns(trajectory, series, path, in_view > 0.5, measured.cut)
        said = {**asdict(settings), "method": type(settings.method).__name__}
        said["flow"] = asdict(settings.method)  # type: ignore[call-overload]
        if counts["cuts"]:
            yield Notice(
                f"the picture changes altogether at frame "
                f"{', '.join(str(f) for f in frames[1:][measured.cut])}: nothing is followed across"
            )
        said["cut_frames"] = frames[1:][measured.cut].tolist()
        yield Done(trajectory.changed(columns, "fuse", **said, **counts))
    except DeepMTJError as error:
        yield Failed(error)


def _detections(trajectory: Trajectory, source: VideoSource) -> Series:
    """Return what the network and people said; rows that flow made before do not count."""
    if trajectory.provenance.clip_sha256 != source.sha256:
        raise ResultError(
            f"the trajectory is of another file named {trajectory.provenance.clip}; open the clip "
            "that it was tracked in"
        )
    if not len(trajectory):
        raise ResultError("the trajectory has no frame; track the clip first")
    undone(trajectory, "fusing")
    origin = trajectory.table["origin"].to_numpy(dtype=object).copy()
    refilled = origin == Origin.REFILLED
    origin[refilled] = Origin.PREDICTED.value
    spread = {
        name: np.where(refilled, np.nan, trajectory.table[name].to_numpy(dtype=np.float64))
        for name in ("sd_x_px", "sd_y_px", "cov_xy_px2")  # flow's, not the detector's
    }
    table = trajectory.table.assign(origin=origin, **spread)
    raw = table[["x_raw_px", "y_raw_px"]].to_numpy(dtype=np.float64)
    series = Series.of(replace(trajectory, table=table), exclude=())
    made_up = ~series.by_hand & ~np.isfinite(raw).all(axis=1)
    series.xy[made_up], series.covariance[made_up] = np.nan, np.nan
    return series


def _through(xy: FloatArray, frames: npt.NDArray[np.int64]) -> FloatArray:
    """Return a position for every row, straight across gaps; where to look at tissue."""
    seen = np.isfinite(xy[:, 0])
    if not seen.any():
        raise ResultError("no frame has a position; flow needs one to begin with")
    return np.stack([np.interp(frames, frames[seen], xy[seen, axis]) for axis in (0, 1)], axis=1)


def _measure(
    source: VideoSource,
    frames: npt.NDArray[np.int64],
    at: FloatArray,
    region: Roi,
    mm: FloatArray,
    settings: Fusion,
) -> Iterator[Progress | Measured]:
    """Yield progress, then what flow says of the tissue at `at` from each row to the next."""
    n = len(frames)
    measured = Measured(np.zeros((n - 1, 2)), np.full((n - 1, 2), np.nan), np.zeros(n - 1, bool))
    corner, size = np.array([region.x, region.y]), np.array([region.width, region.height])
    # Beyond the border it is the nearest tissue that says where the probe went.
    places = np.clip(at - corner, 2.0 / mm, size - 1 - 2.0 / mm)
    before, row = None, 0
    wanted = set(frames.tolist())
    for frame, picture in source.numbered(int(frames[0]), int(frames[-1]) + 1, roi=region):
        if frame not in wanted:
            continue
        if before is not None and picture is not None:
            step = settings.method.step(before, picture, places[row - 1], mm)
            if np.isfinite(step.sd).all():
                measured.step[row - 1], measured.sd[row - 1] = step.shift, step.sd
            if not step.quality > CUT_PART:
                measured.cut[row - 1] = _is_cut(before, picture, mm)
        before, row = picture, row + 1
        yield Progress(row, n)
    if row < n:
        raise VideoError("cannot be read", path=source.name, frame=int(frames[row]))
    yield measured


def _is_cut(before: flow.UInt8Array, after: flow.UInt8Array, mm: FloatArray) -> bool:
    """Whether hardly any point of the picture is found again."""
    height, width = before.shape
    x, y = (
        (np.arange(n) + 0.5) / n * side for n, side in zip(CUT_POINTS, (width, height), strict=True)
    )
    points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    _, error = flow.displacements(before, after, points, 3.2 / mm)
    return bool((error <= 0.3 / mm.min()).mean() < CUT_PART)


def _seconds(series: Series) -> FloatArray:
    """Return the time between rows in seconds, shape (n - 1,)."""
    unit = 1.0 if series.unit == "s" else INTERVAL_WITHOUT_TIMES_S
    intervals: FloatArray = np.diff(series.t) * unit
    return intervals


def _path(
    series: Series,
    trajectory: Trajectory,
    measured: Measured,
    mm: FloatArray,
    settings: Fusion,
) -> Path:
    """Return the path that detections and flow agree on."""
    from scipy import ndimage

    seconds = _seconds(series)
    lost = np.isnan(measured.sd[:, 0])
    # A step that the steps around it do not share is doubted.
    usual = ndimage.median_filter(measured.step, size=(5, 1), mode="nearest") if len(lost) else 0.0
    variance = (
        (settings.flow_noise_factor * np.where(lost[:, None], 0.0, measured.sd)) ** 2
        + (settings.drift_mm / mm) ** 2 * seconds[:, None]
        + (settings.relative_process_noise * measured.step) ** 2
        + (measured.step - usual) ** 2
    )
    variance[lost] += (settings.lost_mm / mm) ** 2
    links = chain.Links(measured.step, variance, measured.cut)
    clock = np.r_[0.0, np.cumsum(seconds)]
    off = chain.excursions(
        links,
        series.xy,
        clock,
        window=settings.excursion_s,
        sigmas=settings.sigmas,
        least=settings.least_mm / float(mm.mean()),
    )
    off &= ~series.by_hand
    confidence = trajectory.table["confidence"].to_numpy(dtype=np.float64)
    odds = np.clip(confidence, 0.02, 0.999) / (1 - np.clip(confidence, 0.02, 0.999))
    seen = series.measured
    said = seen & ~series.by_hand  # what a person set has a confidence of 1
    usual_odds = float(np.median(odds[said])) if said.any() else 1.0
    factor = np.maximum(usual_odds / odds, 1.0) ** settings.measurement_noise_exponent
    covariance = settings.white_noise_share * factor[:, None, None] * series.covariance
    xy, spread = chain.smooth(links, np.where(off[:, None], np.nan, series.xy), covariance)
    # What of the detector's error lasts, nothing takes away.
    used = np.flatnonzero(seen & ~off)
    around = np.stack(
        [
            np.interp(np.arange(len(xy)), used, series.covariance[used, i, j])
            for i in (0, 1)
            for j in (0, 1)
        ],
        axis=-1,
    ).reshape(-1, 2, 2)
    return Path(xy, spread + (1 - settings.white_noise_share) * around, off)


def _inside(path: Path, region: Roi) -> FloatArray:
    """Return the probability that the path lies in the region, shape (n,)."""
    from scipy.special import ndtr

    sd = np.sqrt(np.diagonal(path.covariance, axis1=1, axis2=2)) + 1e-3  # zero by hand
    low = np.array([region.x, region.y]) - 0.5
    high = low + [region.width, region.height]
    within = ndtr((high - path.xy) / sd) - ndtr((low - path.xy) / sd)
    probability: FloatArray = within.prod(axis=1)
    return probability


def _certain(series: Series) -> npt.NDArray[np.int8]:
    """Return 1 where a person says in view, -1 where out, else 0."""
    return (series.by_hand * np.where(series.measured, 1, -1)).astype(np.int8)


def _columns(
    trajectory: Trajectory, series: Series, path: Path, in_view: BoolArray, cut: BoolArray
) -> tuple[dict[str, Any], dict[str, int]]:
    """Return the table's new columns, rows by hand as they were, and what was counted."""
    table, free = trajectory.table, ~series.by_hand
    xy = np.where(in_view[:, None], path.xy, np.nan)
    xy[~free] = trajectory.xy_px[~free]
    carried = free & in_view & ~series.measured
    outlying = free & in_view & series.measured & path.off
    jump = np.r_[False, cut]
    origin = table["origin"].to_numpy(dtype=object).copy()
    origin[free] = Origin.PREDICTED.value
    origin[carried] = Origin.REFILLED.value
    ours = {Flag.NOT_IN_VIEW: free & ~in_view, Flag.OUTLIER: outlying, Flag.JUMP: jump}
    flags = table["flags"].fillna("").to_numpy(dtype=object).copy()
    for row in range(len(series)):
        kept = {Flag(name) for name in flags[row].split(";") if name}
        if free[row]:
            kept -= set(ours)
        kept |= {flag for flag, rows in ours.items() if rows[row]}
        flags[row] = join_flags(flag for flag in Flag if flag in kept)
    columns: dict[str, Any] = {"x_px": xy[:, 0], "y_px": xy[:, 1]}
    columns["in_view"] = np.where(free, in_view, table["in_view"].to_numpy(dtype=bool))
    refilled = free & series.measured & (table["origin"] == Origin.REFILLED).to_numpy(dtype=bool)
    detector, fused = _spreads(series.covariance), _spreads(path.covariance)
    for name in detector:
        said = np.where(refilled, detector[name], table[name].to_numpy(dtype=np.float64))
        said = np.where(carried | outlying, fused[name], said)
        columns[name] = np.where(free & ~in_view, np.nan, said)
    counts = {
        "cuts": int(cut.sum()),
        "out_of_view": int((~in_view).sum()),
        "carried": int(carried.sum()),
        "outlying": int(outlying.sum()),
    }
    return {**columns, "origin": origin, "flags": flags}, counts


def _spreads(covariance: FloatArray) -> dict[str, FloatArray]:
    """Return the table's columns of covariances, shape (n, 2, 2)."""
    return {
        "sd_x_px": np.sqrt(covariance[:, 0, 0]),
        "sd_y_px": np.sqrt(covariance[:, 1, 1]),
        "cov_xy_px2": covariance[:, 0, 1],
    }
