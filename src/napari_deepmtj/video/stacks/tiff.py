"""TIFF files as clips: stacks of pages, with the times and the scale ImageJ and OME record."""

from __future__ import annotations

import math
import re
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.errors import VideoError
from napari_deepmtj.video.grey import luma
from napari_deepmtj.video.source import reason
from napari_deepmtj.video.stacks.stack import StackSource, overheard, require_size

AnyArray = npt.NDArray[Any]

#: Millimetres in the units of length that ImageJ and OME write; a resolution in inches is a
#: printer's, not a scanner's, and is left out.
_MM = {
    "m": 1000.0,
    "cm": 10.0,
    "mm": 1.0,
    "um": 1e-3,
    "µm": 1e-3,
    "μm": 1e-3,
    "\\u00b5m": 1e-3,
    "micron": 1e-3,
    "microns": 1e-3,
    "nm": 1e-6,
}
#: Seconds in the units of time that ImageJ and OME write.
_SECONDS = {
    name: seconds
    for seconds, names in (
        (1e-9, "ns nsec"),
        (1e-6, "us µs μs \\u00b5s usec µsec microsec microsecond microseconds"),
        (1e-3, "ms msec millisec millisecond milliseconds"),
        (1.0, "s sec second seconds"),
        (60.0, "min minute minutes"),
        (3600.0, "h hr hrs hour hours"),
    )
    for name in names.split()
}


#: What tifffile's messages begin with: "<tifffile.TiffFile 'clip.tif'> ".
_LEAD = re.compile(r"^<[^>]*>\s*")


class TiffSource(StackSource):
    """A TIFF file: one picture, or a stack along one axis (time, depth or pages).

    Parameters
    ----------
    path : Path
        The file.
    """

    def __init__(self, path: Path) -> None:
        import tifffile

        with overheard("tifffile") as heard:
            self._begin(tifffile, path)
        told = dict.fromkeys(" ".join(_LEAD.sub("", text).split()) for text in heard)
        self.say(*(f"{path.name} is not quite as it should be: {text}" for text in list(told)[:3]))

    def _begin(self, tifffile: Any, path: Path) -> None:
        try:
            self._tiff = tifffile.TiffFile(path)
        except Exception as error:  # tifffile raises many things on damaged files
            raise VideoError(
                f"cannot be opened as TIFF ({reason(error, path)}); save it again", path=path
            ) from error
        weakref.finalize(self, self._tiff.close)  # a layer that is removed closes nothing itself
        try:
            self._open(path)
        except VideoError:
            self._tiff.close()
            raise
        except Exception as error:
            self._tiff.close()
            raise VideoError(
                f"its TIFF structure is damaged ({reason(error, path)}); save it again", path=path
            ) from error

    def _open(self, path: Path) -> None:
        series = self._tiff.series[0]
        sizes = dict(zip(series.axes, series.shape, strict=True))
        stack = [axis for axis, size in sizes.items() if axis not in "YXS" and size > 1]
        if len(stack) > 1:
            raise VideoError(
                f"has the axes {series.axes} of sizes {tuple(series.shape)}; save one channel as "
                "a stack along time alone",
                path=path,
            )
        n = sizes[stack[0]] if stack else 1
        page: Any = series.keyframe
        require_size(page.imagelength, page.imagewidth, n, path)
        order = [axis for axis in series.axes if axis in "YXS" and sizes[axis] >= 1]
        pages = list(series.pages)
        whole = None
        if len(pages) != n:
            if series.dataoffset is None:
                raise VideoError("holds several frames a page; save one frame a page", path=path)
            whole = np.memmap(
                path,
                dtype=page.dtype.newbyteorder(self._tiff.byteorder),
                mode="r",
                offset=series.dataoffset,
                shape=tuple(series.shape),
            ).reshape(n, *(sizes[axis] for axis in order))
        photometric = page.photometric.name
        colours = None
        if photometric == "PALETTE" and page.colormap is not None:
            colours = luma((np.asarray(page.colormap).T >> 8).astype(np.uint8))

        def load(frame: int) -> AnyArray:
            picture = whole[frame] if whole is not None else _page(pages[frame], path, frame)
            if whole is not None and picture.ndim == 3 and order.index("S") == 0:
                picture = np.moveaxis(picture, 0, -1)
            if colours is not None and picture.ndim == 2:
                return colours[picture]
            if photometric == "MINISWHITE":
                return np.array(~picture if picture.dtype == np.bool_ else _inverted(picture))
            return np.array(picture)

        ome = _ome_pixels(self._tiff.ome_metadata)
        imagej: Mapping[str, Any] = self._tiff.imagej_metadata or {}
        notices = []
        others = [s for s in self._tiff.series[1:] if not s.keyframe.is_reduced]  # no thumbnails
        if others:
            notices.append(
                f"{path.name} holds {len(others)} more series of pictures of another kind; "
                "the first series is used"
            )
        times, untimed = _stack_times(path, n, imagej, ome)
        notices += untimed
        super().__init__(
            path.name,
            path,
            load,
            times,
            metadata={
                "container": "tiff",
                "axes": series.axes,
                "pixel_format": f"{photometric.lower()} {page.dtype}",
            },
            notices=tuple(notices),
        )
        mm = _imagej_mm(imagej, page) or _ome_mm(ome)
        if mm is not None:
            self.take_scale(*mm, "file")

    def close(self) -> None:
        """Close the file."""
        super().close()
        with self._lock:
            self._tiff.close()


def header_of(path: Path) -> tuple[int, int, int, str]:
    """Return the number of pictures, height, width and number type of a file, from its headers."""
    import tifffile

    try:
        with overheard("tifffile"), tifffile.TiffFile(path) as tiff:
            series = tiff.series[0]
            sizes = zip(series.axes, series.shape, strict=True)
            n = math.prod(size for axis, size in sizes if axis not in "YXS")
            page: Any = series.keyframe
            return n, page.imagelength, page.imagewidth, str(page.dtype)
    except Exception as error:  # tifffile raises many things on damaged files
        raise VideoError(
            f"cannot be opened as TIFF ({reason(error, path)}); save it again", path=path
        ) from error


def _inverted(picture: AnyArray) -> AnyArray:
    """Return a picture in which 0 meant white with 0 meaning black."""
    return np.asarray(np.iinfo(picture.dtype).max - picture, dtype=picture.dtype)


def _page(page: Any, path: Path, frame: int) -> AnyArray:
    """Return the pixels of one page, (H, W) or (H, W, samples)."""
    if page is None:
        raise VideoError("is missing in the file; save the stack again", path=path, frame=frame)
    with overheard("tifffile"):
        planes = np.asarray(page.asarray(squeeze=False))[:, 0]  # (planes, H, W, samples)
    colours = planes[0] if len(planes) == 1 else np.moveaxis(planes[..., 0], 0, -1)
    return colours[..., 0] if colours.shape[-1] == 1 else colours


def _stack_times(
    path: Path, n: int, imagej: Mapping[str, Any], ome: Mapping[str, str]
) -> tuple[FrameTimes, list[str]]:
    """Return times from a recorded frame interval, and why it is not used where it cannot be.

    ImageJ's `fps` is only how fast it plays.
    """
    if "TimeIncrement" in ome:
        value, unit = ome["TimeIncrement"], ome.get("TimeIncrementUnit", "s")
    else:
        value, unit = imagej.get("finterval", 0), str(imagej.get("tunit") or "sec")
    interval = _number(value)
    if n == 1 or not np.isfinite(interval) or interval <= 0:
        return FrameTimes.unknown(n), []
    seconds = _SECONDS.get(unit.strip().rstrip(".").casefold())
    if seconds is None:
        return FrameTimes.unknown(n), [
            f"{path.name}: its frame interval of {interval:g} {unit!r} is in no known unit of "
            "time; no frame times are used"
        ]
    return FrameTimes(np.arange(n, dtype=np.float64) * interval * seconds, "container"), []


def _number(value: object) -> float:
    """Return a value as a number, NaN if it is none."""
    try:
        return float(str(value))
    except ValueError:
        return float("nan")


def _imagej_mm(imagej: Mapping[str, Any], page: Any) -> tuple[float, float] | None:
    """Return x and y millimetres per pixel that ImageJ wrote, if its unit is one of length."""
    mm = _MM.get(str(imagej.get("unit", "")).lower())
    if mm is None or "XResolution" not in page.tags or "YResolution" not in page.tags:
        return None
    steps = []
    for tag in ("XResolution", "YResolution"):
        pixels, units = page.tags[tag].value
        if not pixels or not units:
            return None
        steps.append(mm * units / pixels)
    return steps[0], steps[1]


def _ome_pixels(xml: str | None) -> Mapping[str, str]:
    """Return the attributes of the first OME `Pixels` element."""
    if not xml:
        return {}
    for element in ElementTree.fromstring(xml).iter():
        if element.tag.rpartition("}")[2] == "Pixels":
            return dict(element.attrib)
    return {}


def _ome_mm(ome: Mapping[str, str]) -> tuple[float, float] | None:
    """Return x and y millimetres per pixel of an OME file; its default unit is the micrometre."""
    steps = []
    for axis in "XY":
        mm = _MM.get(ome.get(f"PhysicalSize{axis}Unit", "µm"))
        if f"PhysicalSize{axis}" not in ome or mm is None:
            return None
        steps.append(float(ome[f"PhysicalSize{axis}"]) * mm)
    return steps[0], steps[1]
