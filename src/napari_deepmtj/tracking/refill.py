"""What a correction means for the frames around it: the tissue's way from anchor to anchor.

Flow goes from the corrected frame to the next anchor and back from it, and the two are blended so
that both anchors are met exactly. How a correction is made, and shown, is others' business.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deepmtj.core.geometry import Roi
from napari_deepmtj.core.trajectory import Flag, Origin, Trajectory, join_flags
from napari_deepmtj.errors import ResultError
from napari_deepmtj.tracking import flow
from napari_deepmtj.tracking.series import BoolArray, FloatArray, flagged, undone

if TYPE_CHECKING:
    from napari_deepmtj.video.opening import VideoSource

#: Confidence from which predictions may be anchors, and how near the tissue's way must pass so
#: many of them in a row: what a person had to correct was confident too, perhaps. Choices.
CONFIDENT, AGREES_MM, IN_A_ROW = 0.8, 0.25, 3

#: Frames to either side in which an anchor is looked for; as many are in memory at most.
FURTHEST = 250

#: Standard deviation by which the MTJ leaves its tissue from frame to frame. A choice; it weighs
#: the two ways, of which each is the better one the nearer to its beginning.
DRIFT_MM = 0.05

#: How tissue is followed unless told: fewer points than usual, because a person waits.
METHOD = flow.LucasKanade(points=(11, 3))

#: What was said of a position that is no more.
_OUTDATED = {Flag.LOW_CONFIDENCE, Flag.HIGH_SD, Flag.OUTLIER, Flag.NOT_IN_VIEW, Flag.AT_EDGE}

#: A position, shape (2,) in px, and the variance of its error so far along x and y.
_Place = tuple[FloatArray, FloatArray]


def refill(
    trajectory: Trajectory,
    source: VideoSource,
    frame: int,
    *,
    method: flow.Method | None = None,
) -> Trajectory:
    """Fill the frames around a corrected one by following the tissue.

    On either side up to the next anchor: a frame that a person set, or the first of three
    confident predictions that the tissue's way from here passes within 0.25 mm. Only rows
    strictly between change; they become REFILLED, and what a person set never does. A side
    without an anchor within 250 frames, or before a jump or a person's "not in view", stays as
    it is, and so do rows between anchors that flow reaches from neither. Confidences stay the
    network's.

    Parameters
    ----------
    trajectory : Trajectory
        With the correction in it.
    source : VideoSource
        The clip it is of; it stays open.
    frame : int
        One that a person set.
    method : flow.Method or None
        None is `METHOD`.

    Raises
    ------
    ResultError
        If no person set that frame, or the clip is another one.
    MissingExtraError
        Without the extra `flow`.
    """
    if trajectory.provenance.clip_sha256 != source.sha256:
        raise ResultError(
            f"the trajectory is of another file named {trajectory.provenance.clip}; open the clip "
            "that it was tracked in"
        )
    undone(trajectory, "following the tissue")
    rows = np.flatnonzero(trajectory.frames == frame)
    if not (len(rows) and trajectory.by_hand[rows[0]]):
        raise ResultError("was not set by a person; correct it first", frame=frame)
    method = METHOD if method is None else method
    row, anchors = int(rows[0]), []
    places: dict[int, _Place] = {}
    if np.isfinite(trajectory.xy_px[row, 0]):
        for towards in (-1, 1):
            anchor, found = _Span(trajectory, source, method).fill(row, towards)
            anchors.append(None if anchor is None else int(trajectory.frames[anchor]))
            places |= found
    return trajectory.changed(
        _columns(trajectory, places),
        "refill",
        frame=int(frame),
        anchors=anchors,
        rows=len(places),
        method=type(method).__name__,
        parameters=asdict(method),  # type: ignore[call-overload]
    )


@dataclass(frozen=True)
class _Span:
    """Looks for the anchor on one side of a row, and fills what lies between."""

    trajectory: Trajectory
    source: VideoSource
    method: flow.Method

    def fill(self, row: int, towards: int) -> tuple[int | None, dict[int, _Place]]:
        """Return the anchor's row, None if there is none, and the places of rows before it."""
        frames, xy = self.trajectory.frames, self.trajectory.xy_px
        end = self._end(row, towards)
        numbers = range(int(frames[row]), int(frames[end]) + towards, towards)
        may_be = self._may_be_anchor()
        near = AGREES_MM / self._mm
        held: list[flow.UInt8Array] = []
        stream = _keep(flow.pictures(self.source, numbers[0], numbers[-1], self._region), held)
        there: dict[int, _Place] = {}
        anchor = end if end != row and self.trajectory.by_hand[end] else None
        agreed: list[int] = []
        for reached, place in self._walk(stream, numbers, xy[row]):
            there[reached] = place
            agrees = may_be[reached] and (np.abs(place[0] - xy[reached]) <= near).all()
            agreed = [*agreed, reached] if agrees else []
            if len(agreed) == IN_A_ROW:
                anchor = agreed[0]
                break
        if anchor is None:
            return None, {}
        wanted = abs(int(frames[anchor]) - numbers[0]) + 1
        deque(stream if len(held) < wanted else (), maxlen=0)  # where flow was lost on the way
        numbers_back = range(int(frames[anchor]), numbers[0] - towards, -towards)
        back = dict(self._walk(reversed(held[:wanted]), numbers_back, xy[anchor]))
        between = range(row + towards, anchor, towards)
        return anchor, {
            i: _blend(there.get(i), back.get(i)) for i in between if i in there or i in back
        }

    @property
    def _region(self) -> Roi:
        return self.trajectory.provenance.roi or Roi.full(self.source.height, self.source.width)

    @property
    def _mm(self) -> FloatArray:
        return flow.mm_per_px(self.trajectory.provenance.scale, self._region.width)

    def _walk(
        self, pictures: Iterable[flow.UInt8Array], numbers: range, start: FloatArray
    ) -> Iterator[tuple[int, _Place]]:
        """Yield row and place along the tissue's way through frames `numbers`."""
        rows = {int(frame): row for row, frame in enumerate(self.trajectory.frames)}
        variance = np.zeros(2)
        way = flow.walk(pictures, start, self._region, self._mm, self.method)
        for number, (at, step) in zip(numbers[1:], way, strict=False):
            variance = variance + step.sd**2 + (DRIFT_MM / self._mm) ** 2
            if number in rows:
                yield rows[number], (at, variance)

    def _end(self, row: int, towards: int) -> int:
        """Return the furthest row that flow may reach: one by hand, or before what parts."""
        frames, hand = self.trajectory.frames, self.trajectory.by_hand
        jump = flagged(self.trajectory, [Flag.JUMP])  # parts a row from the one before it
        end = row
        while 0 <= end + towards < len(frames):
            after = end + towards
            blind = hand[after] and np.isnan(self.trajectory.xy_px[after, 0])
            far = abs(int(frames[after] - frames[row])) > FURTHEST
            if blind or far or jump[max(end, after)]:
                break
            end = after
            if hand[end]:
                break
        return end

    def _may_be_anchor(self) -> BoolArray:
        table = self.trajectory.table
        confident = table["confidence"].to_numpy(dtype=np.float64) >= CONFIDENT
        predicted = (table["origin"] == Origin.PREDICTED).to_numpy(dtype=bool)
        result: BoolArray = confident & predicted & ~flagged(self.trajectory, [Flag.OUTLIER])
        return result


def _keep(
    pictures: Iterable[flow.UInt8Array], held: list[flow.UInt8Array]
) -> Iterator[flow.UInt8Array]:
    for picture in pictures:
        held.append(picture)
        yield picture


def _blend(one: _Place | None, other: _Place | None) -> _Place:
    """Return the mean of two places weighted by inverse variance, or the only one."""
    if one is None or other is None:
        place = one or other
        assert place is not None
        return place
    share = other[1] / (one[1] + other[1])
    return share * one[0] + (1 - share) * other[0], share * one[1]


def _columns(trajectory: Trajectory, places: dict[int, _Place]) -> dict[str, Any]:
    """Return the table's new columns."""
    table = trajectory.table
    names = ("x_px", "y_px", "sd_x_px", "sd_y_px", "cov_xy_px2", "in_view", "origin", "flags")
    columns: dict[str, Any] = {name: table[name].to_numpy(copy=True) for name in names}
    columns["origin"], columns["flags"] = (columns[n].astype(object) for n in ("origin", "flags"))
    for row, (xy, variance) in places.items():
        columns["x_px"][row], columns["y_px"][row] = xy
        columns["sd_x_px"][row], columns["sd_y_px"][row] = np.sqrt(variance)
        columns["cov_xy_px2"][row], columns["in_view"][row] = 0.0, True
        columns["origin"][row] = Origin.REFILLED.value
        kept = {Flag(name) for name in str(columns["flags"][row] or "").split(";") if name}
        columns["flags"][row] = join_flags(flag for flag in Flag if flag in kept - _OUTDATED)
    return columns


def frames_set(before: Trajectory, after: Trajectory) -> list[int]:
    """Return the frames in which a person set a position that was not so before."""
    was = dict(zip(before.frames.tolist(), before.xy_px.tolist(), strict=True))
    hand = dict(zip(before.frames.tolist(), before.by_hand.tolist(), strict=True))
    rows = zip(after.frames.tolist(), after.xy_px.tolist(), after.by_hand.tolist(), strict=True)
    return [
        frame
        for frame, xy, set_ in rows
        if set_ and np.isfinite(xy).all() and not (hand.get(frame) and xy == was.get(frame))
    ]
