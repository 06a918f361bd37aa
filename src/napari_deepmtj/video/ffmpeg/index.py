"""Which frame is which: the table of a video's frames by the packets that they are stored in.

The truth is the order in which FFmpeg decodes the whole file. A table made from timestamps stands
for it as long as what is decoded agrees; see `decoder.py` and `scan.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from napari_deepmtj.video.ffmpeg.packets import NONE, Int64Array, Packets

#: Bytes of luma from which a picture is known again.
Sums = npt.NDArray[np.uint32]


@dataclass(frozen=True, eq=False)
class FrameIndex:
    """The frames of a video in the order of display.

    Parameters
    ----------
    packets : Packets
        All of the stream.
    order : ndarray of int64, shape (n_frames,)
        Packet that each frame is stored in; the frame's own number where `counted`.
    sums : ndarray of uint32, shape (n_frames,), optional
        Checksum of each frame as it was when the whole file was decoded in order; without, the
        table is made from timestamps and not proved.
    unreadable : frozenset of int
        Frames that cannot be decoded, or only with parts of others in their place.
    counted : bool
        The decoder does not tell packets apart: frames are counted from the beginning.
    """

    packets: Packets
    order: Int64Array
    sums: Sums | None = None
    unreadable: frozenset[int] = frozenset()
    counted: bool = False
    #: Frames that decoding can begin with, and their packets, both ascending.
    key_frames: Int64Array = field(init=False, repr=False)
    key_packets: Int64Array = field(init=False, repr=False)
    _frame_of: npt.NDArray[np.int32] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        number = np.full(len(self.packets), -1, dtype=np.int32)
        keys = np.zeros(0, dtype=np.int64)
        if not self.counted:
            number[self.order] = np.arange(len(self.order), dtype=np.int32)
            keys = self.packets.keys[number[self.packets.keys] >= 0]
        frames = number[keys].astype(np.int64)
        if len(keys):
            # all frames from a keyframe on must be stored from its packet on
            behind = np.minimum.accumulate(self.order[::-1])[::-1]
            keys = keys[behind[frames] == keys]
            frames = number[keys].astype(np.int64)
        object.__setattr__(self, "_frame_of", number)
        object.__setattr__(self, "key_frames", frames)
        object.__setattr__(self, "key_packets", keys)

    def __len__(self) -> int:
        return len(self.order)

    @classmethod
    def empty(cls) -> FrameIndex:
        """Return a table without frames."""
        none = np.zeros(0, dtype=np.int64)
        hidden = np.zeros(0, dtype=np.bool_)
        return cls(Packets(none, none, none, none, none, hidden, hidden), none)

    @classmethod
    def sorted(cls, packets: Packets, order: Int64Array) -> FrameIndex:
        """Return the table of frames in an order that timestamps give."""
        torn = np.flatnonzero(packets.torn[order])
        return cls(packets, order, unreadable=frozenset(torn.tolist()))

    @property
    def proved(self) -> bool:
        """Whether the whole file was decoded for it."""
        return self.sums is not None

    @property
    def times(self) -> Int64Array:
        """Timestamp of each frame; none where `counted`."""
        return self.packets.pts[:0] if self.counted else self.packets.pts[self.order]

    def frame_of(self, packet: int) -> int:
        """Return the frame that is stored in a packet; -1 for none."""
        return int(self._frame_of[packet]) if 0 <= packet < len(self._frame_of) else -1

    def key_before(self, frame: int) -> int:
        """Return which of `key_frames` is the last one not after `frame`; -1 for none."""
        return int(np.searchsorted(self.key_frames, frame, side="right")) - 1

    def lead(self) -> int:
        """Return by how many frames a frame is at most stored later than it is displayed.

        So many frames before the end of a cut-off file may lack a neighbour that would have
        been stored behind them.
        """
        rank = np.argsort(np.argsort(self.order))
        return int(max(0, (rank - np.arange(len(self))).max(initial=0)))

    def cut(self, start: int, stop: int) -> FrameIndex:
        """Return the table of frames `start` to `stop` alone."""
        sums = None if self.sums is None else self.sums[start:stop]
        order = np.arange(stop - start) if self.counted else self.order[start:stop]
        left = frozenset(frame - start for frame in self.unreadable if start <= frame < stop)
        return FrameIndex(self.packets, order, sums, left, self.counted)

    def begins_like(self, other: FrameIndex) -> bool:
        """Return True if all frames of `other` are the first ones of this table."""
        n = len(other)
        return self.counted == other.counted and np.array_equal(self.order[:n], other.order)


def with_lost(
    shown: Int64Array, lost: Int64Array, packets: Packets
) -> tuple[Int64Array, Int64Array]:
    """Return decoded packets in their order, and where those belong that gave no picture.

    Parameters
    ----------
    shown : ndarray of int64, shape (n,)
        Packets of the pictures in the order in which they were decoded.
    lost : ndarray of int64, shape (m,)
        Packets whose pictures could not be decoded, ascending.
    packets : Packets
        All of the stream.

    Returns
    -------
    ndarray of int64, shape (n + m,)
        All of them in order.
    ndarray of int64
        Those shown of which nothing says if they come before or after one that is lost.
    """
    none = np.zeros(0, dtype=np.int64)
    if not len(lost):
        return shown, none
    both = np.concatenate([shown, lost])
    times = packets.pts[both]
    own = len(np.unique(times)) == len(times) and NONE not in times
    if own and (np.diff(times[: len(shown)]) > 0).all():
        return both[np.argsort(times)], none
    # before the first frame from which on all are stored later
    behind = np.minimum.accumulate(shown[::-1])[::-1]
    before = np.maximum.accumulate(shown)
    last, first = np.searchsorted(behind, lost), np.searchsorted(before, lost)
    doubtful = [shown[a:b] for a, b in zip(first, last, strict=True)]
    return np.insert(shown, last, lost), np.concatenate([*doubtful, none])
