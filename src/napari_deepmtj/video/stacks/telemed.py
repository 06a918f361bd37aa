"""What converters of Telemed's EchoWave files (.tvd) leave: `.mat` side-cars and `.tvd.h5` clips.

The .tvd files themselves need the vendor's Windows library and are not read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_deepmtj.core.geometry import Roi
from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.errors import DeepMTJError, MissingExtraError, VideoError
from napari_deepmtj.video.source import BaseSource, reason
from napari_deepmtj.video.stacks.blocks import Blocks, require_blocks
from napari_deepmtj.video.stacks.stack import StackSource, require_size

#: Scales of a `.tvd.h5` file, cm per pixel: from the depth setting, and from the probe.
_SCALES = ("image_dx_cm_per_px", "physical_dx1_cm_per_px")

#: Most bytes of a block of pictures: HDF5 itself does not survive it if memory runs out.
_MOST_BLOCK = 2**28

#: Numbers of the panels of EchoWave's screen, one for each probe.
_PANELS = (1, 2, 3, 4)

#: Relative difference between the two from which a person is told.
_DIFFER = 0.005


def mat_path(clip: Path) -> Path | None:
    """Return the `.mat` file beside a clip; None if there is none."""
    path = clip.with_suffix(".mat")
    return path if path != clip and path.is_file() else None


def apply_mat(source: BaseSource, clip: Path) -> None:
    """Give a converted video the times and the scale of the `.mat` file of its name, if any.

    Times count only if there is one for each frame, the scale only if the pictures are of the
    size it was written for; otherwise a notice says why not. A `.mat` without `TVDdata` is
    another program's and is left alone.
    """
    path = mat_path(clip)
    if path is None:
        return
    from scipy.io import loadmat

    try:
        found: dict[str, Any] = loadmat(
            path, squeeze_me=True, struct_as_record=False, variable_names=["TVDdata"]
        )
    except Exception as error:  # scipy raises many things on damaged files
        version = "; if it holds TVDdata, save it with -v7" if "HDF" in str(error) else ""
        source.say(f"{source.name}: {path.name} beside it cannot be read and is not used{version}")
        return
    data = found.get("TVDdata")
    if data is None:
        return

    def value(name: str) -> float:
        return float(getattr(data, name, np.nan))

    try:
        seconds = np.atleast_1d(np.asarray(getattr(data, "Time", ()), dtype=np.float64))
        size = (value("Width"), value("Height"))
        mm = (10 * value("cmPerPixX"), 10 * value("cmPerPixY"))
    except (TypeError, ValueError):
        source.say(f"{source.name}: TVDdata in {path.name} is not made of numbers and is not used")
        return
    times, why = _times(seconds, source.n_frames, f"side-car {path.suffix}")
    if times is None:
        source.say(f"{source.name}: the times in {path.name} are not used: {why}")
    else:
        source.times = times
    if size != (source.width, source.height):
        source.say(
            f"{source.name}: the scale in {path.name} is not used: it is for pictures of "
            f"{size[0]:g} x {size[1]:g} px, these are {source.width} x {source.height}"
        )
        return
    source.take_scale(*mm, "side-car .mat (cmPerPixX, cmPerPixY)", path.name)


class TvdSource(StackSource):
    """A `.tvd.h5` clip: frames in `/frames/gray`, milliseconds in `/timing/time_ms`.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    MissingExtraError
        If h5py is not installed.
    """

    def __init__(self, path: Path) -> None:
        try:
            import h5py
        except ImportError:
            raise MissingExtraError("reading HDF5", "h5") from None
        try:
            self._file = h5py.File(path, "r")
        except OSError as error:
            raise VideoError(
                f"cannot be opened as HDF5 ({reason(error, path)}); copy or convert it again",
                path=path,
            ) from error
        try:
            self._open(path)
        except VideoError:
            self._file.close()
            raise
        except Exception as error:  # h5py raises many things on damaged files
            self._file.close()
            raise VideoError(
                f"its HDF5 structure is damaged ({reason(error, path)}); convert it again",
                path=path,
            ) from error

    def _open(self, path: Path) -> None:
        frames = self._file.get("frames/gray")
        if frames is None or len(getattr(frames, "shape", ())) != 3 or 0 in frames.shape:
            raise VideoError(
                "is HDF5 without pictures in /frames/gray; only the layout of .tvd.h5 is read",
                path=path,
            )
        n, height, width = frames.shape
        require_size(height, width, n, path)
        require_blocks(frames.chunks, frames.dtype, _MOST_BLOCK, path.name)
        pictures = Blocks(frames)
        milliseconds = self._file.get("timing/time_ms")
        seconds = np.zeros(0) if milliseconds is None else np.asarray(milliseconds).ravel() / 1000
        times, why = _times(seconds, n, "/timing/time_ms")
        notices = [] if times is not None else [f"{path.name}: its times are not used: {why}"]
        found: dict[str, float] = {}
        for holder in (self._file, self._file["frames"], frames):
            for name in _SCALES:
                if name in holder.attrs and name not in found:
                    found[name] = float(np.asarray(holder.attrs[name]).ravel()[0])
        used = next((name for name in _SCALES if name in found), None)
        values = list(found.values())
        if len(values) == 2 and abs(values[1] / values[0] - 1) > _DIFFER:
            notices.append(
                f"{path.name} has two scales, {10 * values[0]:.5g} and {10 * values[1]:.5g} mm per "
                f"pixel; {used}, the first, is used"
            )
        super().__init__(
            path.name,
            path,
            lambda frame: np.asarray(pictures[frame]),
            FrameTimes.unknown(n) if times is None else times,
            metadata={
                "container": "tvd.h5",
                "pixel_format": f"grey {frames.dtype}",
                "scale_from": used,
                **found,
            },
            notices=tuple(notices),
        )
        if used is not None:
            self.take_scale(10 * found[used], 10 * found[used], f"file ({used})")
        self._take_panel()

    def _take_panel(self) -> None:
        """Take the panel of the probe as the region, if there is one and it fits the picture."""
        panels = [edges for edges in map(self._edges, _PANELS) if edges is not None]
        if len(panels) > 1:
            self.say(
                f"{self.name} has {len(panels)} panels, none of which is taken as the B-mode "
                "picture; give a region"
            )
        elif panels:
            x1, y1, x2, y2 = panels[0]
            try:
                roi = Roi(x1 - 1, y1 - 1, x2 - x1 + 1, y2 - y1 + 1, "file (roi1)")
                self.roi = roi.inside(self.height, self.width)
            except DeepMTJError:
                self.say(
                    f"{self.name}: its panel, columns {x1} to {x2} and rows {y1} to {y2}, does not "
                    f"fit the picture of {self.width} x {self.height} px and is not used"
                )

    def _edges(self, panel: int) -> tuple[int, int, int, int] | None:
        """Return first column and row of a panel, and the last ones, counted from 1."""
        names = [f"roi{panel}_{edge}" for edge in ("x1", "y1", "x2", "y2")]
        if any(name not in self._file.attrs for name in names):
            return None
        x1, y1, x2, y2 = (int(np.asarray(self._file.attrs[name]).ravel()[0]) for name in names)
        return (x1, y1, x2, y2) if (x1, y1, x2, y2) != (0, 0, 0, 0) else None  # not in use

    def close(self) -> None:
        """Close the file."""
        super().close()
        with self._lock:
            self._file.close()


def _times(
    seconds: npt.NDArray[np.float64], n: int, source: str
) -> tuple[FrameTimes | None, str | None]:
    """Return the times of `n` frames, or None and why they are not used."""
    if len(seconds) != n:
        return None, f"there are {len(seconds)} for {n} frames"
    if not np.isfinite(seconds).all() or (np.diff(seconds) <= 0).any():
        return None, "they do not increase"
    return FrameTimes(seconds - seconds[0], source), None
