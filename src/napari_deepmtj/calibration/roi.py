"""Where the B-mode picture is in a frame: `resolve_roi` and the published presets.

How it is found by itself is in `picture.py`. Millimetres are the business of `scale.py`; what a
region is, of `core/geometry.py`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_deepmtj.core.geometry import Roi
from napari_deepmtj.errors import CalibrationError

if TYPE_CHECKING:
    from napari_deepmtj.video.opening import VideoSource


def _preset(name: str, x: int, y: int, width: int, height: int) -> tuple[str, Roi]:
    return name, Roi(x, y, width, height, f"preset:{name}")


#: Regions of known instruments at the frame size of the publications, in frame pixels.
PRESETS: dict[str, Roi] = dict(
    [
        # Leitner et al. 2020, doi:10.1109/EMBC44109.2020.9176145: crop of the Esaote recordings.
        _preset("esaote-2020", 210, 130, 512, 256),
        # Leitner et al. 2022, doi:10.1109/TBME.2021.3130548: crops of its instruments.
        _preset("esaote-mylab60", 185, 128, 580, 290),
        _preset("telemed-artus", 88, 120, 446, 223),
        _preset("telemed-artus-large", 140, 50, 720, 360),
        _preset("aixplorer-v6", 200, 261, 1000, 500),
        # Reported by users of the authors' program (github.com/luuleitner/deepMTJ).
        _preset("ultrasonix-sonixtouch", 113, 185, 500, 200),
        _preset("ultrasonix-rp", 126, 250, 490, 245),
    ]
)

#: Confidence from which a detected picture is used.
CONFIDENT = 0.4

_NUMBERS = re.compile(r"\s*(-?\d+)\s*,\s*(-?\d+)\s*,\s*(-?\d+)\s*,\s*(-?\d+)\s*", re.ASCII)


def resolve_roi(spec: str, source: VideoSource) -> tuple[Roi, tuple[str, ...]]:
    """Return the region of a clip that a person asked for.

    Parameters
    ----------
    spec : str
        "auto" (what the file or its side-car says, else the picture if it is detected with a
        confidence of `CONFIDENT`, else the whole picture; the last two with a notice), "full",
        "preset:NAME" with a name of `PRESETS`, or "x,y,width,height" in frame pixels.
    source : VideoSource
        The clip.

    Returns
    -------
    roi : Roi
        The region; its source says where it comes from.
    notices : tuple of str
        What a person must be told.

    Raises
    ------
    CalibrationError
        If `spec` is malformed, the preset unknown, or the region not inside the picture.
    """
    spec = spec.strip()
    if spec == "auto":
        if source.roi is not None:
            return _inside(source.roi, source), ()
        return _detected(source)
    if spec == "full":
        return Roi.full(source.height, source.width), ()
    if spec.startswith("preset:"):
        name = spec.removeprefix("preset:")
        if name not in PRESETS:
            raise CalibrationError(f"there is no preset {name!r}; there are {', '.join(PRESETS)}")
        return _inside(PRESETS[name], source), ()
    numbers = _NUMBERS.fullmatch(spec)
    if numbers is None:
        raise CalibrationError(
            f"the region {spec!r} is not understood; give auto, full, preset:NAME or "
            "x,y,width,height in whole pixels"
        )
    x, y, width, height = (int(number) for number in numbers.groups())
    return _inside(Roi(x, y, width, height), source), ()


def _detected(source: VideoSource) -> tuple[Roi, tuple[str, ...]]:
    """Return the picture that is detected with confidence, else the whole frame, and say so."""
    from napari_deepmtj.calibration.picture import detect_picture  # loads scipy: not for a form

    whole = Roi.full(source.height, source.width)
    found = detect_picture(source)
    used = f"the whole picture of {source.width} x {source.height} px is used"
    if found is None or found.confidence < CONFIDENT:
        notice = (
            f"where the B-mode picture lies is not known, {used}; give a region if it has margins"
        )
    elif str(found.roi) == str(whole):
        notice = f"the B-mode picture seems to fill the frame, {used}; give a region if it does not"
    else:
        notice = (
            f"the B-mode picture was detected at {found.roi} with a confidence of "
            f"{found.confidence:.2f} ({found.why}); give a region if it is elsewhere"
        )
        roi = replace(found.roi, source=f"detected ({found.confidence:.2f})")
        return _inside(roi, source), (f"{source.name}: {notice}",)
    return whole, (f"{source.name}: {notice}",)


def _inside(roi: Roi, source: VideoSource) -> Roi:
    try:
        return roi.inside(source.height, source.width)
    except CalibrationError as error:
        raise CalibrationError(error.message, path=source.name) from error
