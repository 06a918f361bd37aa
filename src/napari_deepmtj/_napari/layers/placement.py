"""Where the pixels of a clip lie in napari's world; what stands in the layers is `convert`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from napari_deepmtj.core.geometry import Scale
from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.core.trajectory import Trajectory
from napari_deepmtj.errors import CalibrationError

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Placement:
    """How the pixels of one clip lie in napari's world; every layer of the clip has the same.

    The axes are (t, y, x). A clip with more has them between t and y, its channels say; results
    then have one pixel there that is as thick as all channels, so that they are seen in each.

    Parameters
    ----------
    scale, translate : tuple of float, as (t, ..., y, x)
        World units per pixel, and where pixel (0, ..., 0, 0) lies.
    units : tuple of str, as (t, ..., y, x)
        "s" and "mm" where they are known, else "pixel".
    """

    scale: tuple[float, ...] = (1.0, 1.0, 1.0)
    translate: tuple[float, ...] = (0.0, 0.0, 0.0)
    units: tuple[str, ...] = ("pixel", "pixel", "pixel")

    @classmethod
    def of(cls, times: FrameTimes, scale: Scale | None) -> Self:
        """Place a clip by its own times and scale.

        A clip with an uneven or unknown rate has frames, not seconds, on its t axis.
        """
        step_t, start_t, unit_t = 1.0, 0.0, "pixel"
        if (rate := times.rate) is not None:
            step_t, start_t, unit_t = 1.0 / rate, float(times.seconds[0]), "s"
        y_mm, x_mm, unit = (1.0, 1.0, "pixel") if scale is None else (scale.y_mm, scale.x_mm, "mm")
        return cls((step_t, y_mm, x_mm), (start_t, 0.0, 0.0), (unit_t, unit, unit))

    @classmethod
    def of_layer(cls, layer: Any) -> Self:
        """Take over the placement of a layer with axes (t, ..., y, x), or only (y, x).

        What is in between of an Image is merged into one thick pixel; a layer without time is
        at frame 0.
        """
        scale, translate = (np.array(v, dtype=np.float64) for v in (layer.scale, layer.translate))
        units = [str(unit) for unit in layer.units]
        if layer.ndim == 2:
            scale, translate = np.append(1.0, scale), np.append(0.0, translate)
            units.insert(0, "pixel")
        elif hasattr(layer, "rgb"):
            lengths = np.array(layer.data.shape[1 : layer.ndim - 2])
            translate[1:-2] += scale[1:-2] * (lengths - 1) / 2
            scale[1:-2] *= lengths
        return cls(tuple(scale.tolist()), tuple(translate.tolist()), tuple(units))

    @classmethod
    def of_trajectory(cls, trajectory: Trajectory) -> Self:
        """Place a trajectory whose clip is not open, as its clip would be if the rows tell."""
        frames, seconds = trajectory.frames, trajectory.table["time_s"].to_numpy(dtype=np.float64)
        times = FrameTimes.unknown(0)
        if len(frames) and frames[0] == 0 and frames[-1] == len(frames) - 1:
            times = FrameTimes(seconds) if np.isfinite(seconds).all() else times
        return cls.of(times, trajectory.provenance.scale)

    def times(self, n_frames: int) -> FrameTimes:
        """Return the times of `n_frames` frames so placed; unknown if the t axis is no time."""
        if (second := _per_unit(self.units[0], "s")) is None:
            return FrameTimes.unknown(n_frames)
        frames = np.arange(n_frames, dtype=np.float64)
        seconds: FloatArray = (self.translate[0] + self.scale[0] * frames) * second
        return FrameTimes(seconds, "napari layer")

    def scale_mm(self, source: str) -> Scale | None:
        """Return the millimetres per pixel so placed; None if no B-mode picture has them."""
        y, x = (_per_unit(unit, "mm") for unit in self.units[-2:])
        if y is None or x is None:
            return None
        try:
            return Scale(self.scale[-1] * x, self.scale[-2] * y, source)
        except CalibrationError:
            return None

    def calibrated(self, scale: Scale | None) -> Placement:
        """Return the same with another scale; without one a pixel is one pixel again."""
        y, x, unit = (1.0, 1.0, "pixel") if scale is None else (scale.y_mm, scale.x_mm, "mm")
        origin = np.array(self.translate[-2:]) * (np.array([y, x]) / self.scale[-2:])
        return Placement(
            (*self.scale[:-2], y, x),
            (*self.translate[:-2], *origin.tolist()),
            (*self.units[:-2], unit, unit),
        )

    def following(self, old: Placement, new: Placement) -> Placement:
        """Return where a layer placed so goes when its clip goes from `old` to `new`.

        What lay over a pixel of the clip lies over it again, so that a map coarser than the clip
        and a rectangle in units of its own stay where they were on the picture.
        """
        ratio = np.array(new.scale[-2:]) / old.scale[-2:]
        origin = (np.array(self.translate[-2:]) - old.translate[-2:]) * ratio + new.translate[-2:]
        return Placement(
            (*self.scale[:-2], *(np.array(self.scale[-2:]) * ratio).tolist()),
            (*self.translate[:-2], *origin.tolist()),
            (*self.units[:-2], *new.units[-2:]),
        )

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.scale)

    @property
    def known_mm(self) -> bool:
        """Whether the picture has millimetres."""
        return _per_unit(self.units[-1], "mm") is not None

    def of_map(self, step: FloatArray, origin: FloatArray) -> Placement:
        """Place a coarser picture over the clip, by frame pixels per map pixel.

        Parameters
        ----------
        step, origin : ndarray, shape (2,)
            As (y, x), from `PixelMap.affine_of_map`.
        """
        own = np.array(self.scale[-2:])
        spatial = np.array(self.translate[-2:]) + origin * own
        return Placement(
            (*self.scale[:-2], *(float(v) for v in step * own)),
            (*self.translate[:-2], *(float(v) for v in spatial)),
            self.units,
        )

    def into(self, other: Placement, points: npt.ArrayLike) -> FloatArray:
        """Convert points of a layer placed so into pixels of a layer placed as `other`.

        Parameters
        ----------
        other : Placement
            That of the clip.
        points : array-like, shape (n, 2 or 3)
            As (..., y, x) in pixels of the layer that they were drawn in.

        Returns
        -------
        ndarray, shape (n, 2)
            As (y, x).
        """
        drawn = np.asarray(points, dtype=np.float64)[:, -2:]
        world = drawn * self.scale[-2:] + self.translate[-2:]
        found: FloatArray = (world - other.translate[-2:]) / other.scale[-2:]
        return found

    def arguments(self, ndim: int | None = None) -> dict[str, Any]:
        """Return the arguments of a layer with the last `ndim` of the axes, by default all."""
        axes = ("t", *(f"c{i}" for i in range(self.ndim - 3)), "y", "x")
        first = 0 if ndim is None else self.ndim - ndim
        return {
            "scale": self.scale[first:],
            "translate": self.translate[first:],
            "units": self.units[first:],
            "axis_labels": axes[first:],
        }

    def apply_to(self, layer: Any) -> None:
        """Move an existing layer of ours here."""
        for name, value in self.arguments(layer.ndim).items():
            setattr(layer, name, value)

    def apply_picture_to(self, layer: Any) -> None:
        """Move the axes y and x of any layer here, and leave its others where they are."""
        for name in ("scale", "translate", "units"):
            others = tuple(getattr(layer, name))[:-2]
            setattr(layer, name, (*others, *getattr(self, name)[-2:]))

    def apply_time_to(self, layer: Any) -> None:
        """Move the axis t of a layer of ours here, if it has one, and leave its others."""
        for name in ("scale", "translate", "units") if layer.ndim > 2 else ():
            setattr(layer, name, (getattr(self, name)[0], *tuple(getattr(layer, name))[1:]))


@cache
def _per_unit(unit: str, wanted: str) -> float | None:
    """Return how many `wanted` one `unit` is, None if it measures something else."""
    import pint

    registry = pint.get_application_registry()  # type: ignore[no-untyped-call]
    try:
        return float(registry.Quantity(1.0, unit).to(wanted).magnitude)
    except pint.DimensionalityError:
        return None
