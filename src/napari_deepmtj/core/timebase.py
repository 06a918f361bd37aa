"""When each frame was taken, in seconds. Rates are derived from times, never the reverse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_deepmtj.errors import VideoError

FloatArray = npt.NDArray[np.float64]

#: Largest departure of one interval from the median one, as a fraction of it, for a clip to
#: count as uniformly sampled. Containers store times in ticks of up to 1 ms (MKV), which at
#: 60 frames/s is 6 % of an interval; accumulated drift is tested apart.
UNIFORM_TOLERANCE = 0.10


@dataclass(frozen=True, slots=True)
class FrameTimes:
    """Seconds of every frame of a clip, as its file has them.

    Parameters
    ----------
    seconds : ndarray of float64, shape (n_frames,)
        Strictly increasing times in seconds; the first one is usually 0.
    source : str
        Where the times come from ("container", "frame time", "assumed 25 Hz", "none").
        With "none" the values are frame numbers and `known` is false.
    """

    seconds: FloatArray
    source: str = "container"

    def __post_init__(self) -> None:
        seconds = np.array(self.seconds, dtype=np.float64)
        if seconds.ndim != 1 or not np.isfinite(seconds).all():
            raise VideoError("frame times must be a finite, one-dimensional list of seconds")
        if (np.diff(seconds) <= 0).any():
            bad = int(np.flatnonzero(np.diff(seconds) <= 0)[0]) + 1
            raise VideoError("frame times do not increase", frame=bad)
        seconds.setflags(write=False)
        object.__setattr__(self, "seconds", seconds)

    @classmethod
    def from_rate(cls, n_frames: int, rate: float, source: str) -> FrameTimes:
        """Times of `n_frames` frames at a constant `rate` in frames per second."""
        if not rate > 0:
            raise VideoError(f"a frame rate must be positive, got {rate}")
        return cls(np.arange(n_frames) / rate, source)

    @classmethod
    def unknown(cls, n_frames: int) -> FrameTimes:
        """Frame numbers in place of times, for files that have none."""
        return cls(np.arange(n_frames, dtype=np.float64), "none")

    def __len__(self) -> int:
        return len(self.seconds)

    def __getitem__(self, frames: slice | Sequence[int]) -> FrameTimes:
        chosen = self.seconds[frames] if isinstance(frames, slice) else self.seconds[list(frames)]
        return FrameTimes(chosen, self.source)

    @property
    def known(self) -> bool:
        """Whether the values are seconds at all."""
        return self.source != "none"

    @property
    def interval(self) -> float:
        """Median time between frames in seconds; NaN for fewer than two frames."""
        return float(np.median(np.diff(self.seconds))) if len(self) > 1 else float("nan")

    @property
    def uniform(self) -> bool:
        """Whether the frames are evenly spaced, both step by step and end to end."""
        if len(self) < 3:
            return True
        steps = np.diff(self.seconds)
        mean = (self.seconds[-1] - self.seconds[0]) / (len(self) - 1)
        grid = self.seconds[0] + mean * np.arange(len(self))
        even = np.abs(steps - mean).max() <= UNIFORM_TOLERANCE * mean
        return bool(even and np.abs(self.seconds - grid).max() <= mean / 2)

    @property
    def rate(self) -> float | None:
        """Frames per second of a uniform clip with known times, else None."""
        if not self.known or len(self) < 2 or not self.uniform:
            return None
        return float((len(self) - 1) / (self.seconds[-1] - self.seconds[0]))
