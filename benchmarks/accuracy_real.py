"""The real half of `accuracy.py`: published stills and a clip, and muscle without an MTJ.

DATA holds `mtj/still_*.png`, `mtj/mtj_clip.avi`, `muscle_still` and `muscle_video`, which are not
part of this repository. The stills' positions are those of their makers' raters; the clip has no
truth, only a course. Of the pictures without an MTJ only counts are printed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.stats import spearmanr

from accuracy_frames import Judge
from accuracy_spoil import Change, flip, level
from markdown_tables import markdown
from napari_deepmtj.video.opening import open_video
from napari_deepmtj.video.stacks.stack import ArraySource

#: x, y and their uncertainty in pixels, pixels per mm.
STILLS = {
    "still_a.png": ((104.6, 24.3), (1.2, 1.2), 3.1),
    "still_b.png": ((341.0, 52.0), (15.0, 5.0), 6.5),
    "still_c.png": ((437.0, 56.0), (15.0, 5.0), 6.5),
}
#: The clip's course: proximally, which is to the left, until this frame; a cut at the other one.
PROXIMAL_UNTIL, CUT = 33, 39
#: Pictures without a junction by folder, and of the videos the B-mode region and every how manieth
#: frame.
WITHOUT = {
    "muscle_still/timtrack_gastroc": "muscle_still/timtrack_gastroc_*",
    "muscle_still/timtrack_GM": "muscle_still/timtrack_GM_*",
    "muscle_video": "muscle_video/*.mp4",
}
REGION, EVERY = "215,45,720,574", 20


def _cropped(
    picture: npt.NDArray[np.uint8], xy: npt.NDArray[np.float64], mm: tuple[float, float]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float64], tuple[float, float]]:
    """A tenth of width and height less, evenly from both sides."""
    h, w = picture.shape
    y, x = round(0.05 * h), round(0.05 * w)
    return picture[y : h - y, x : w - x].copy(), xy - [x, y], mm


CHANGES: dict[str, Change] = {
    "as it is": lambda picture, xy, mm: (picture, xy, mm),
    "cropped by 10 %": _cropped,
    "mirrored": flip,
    "gamma 0.7": partial(level, gamma=0.7),
    "gamma 1.4": partial(level, gamma=1.4),
}


def stills(judges: Sequence[Judge], data: Path) -> str:
    """Distance from the raters in mm, every still in every version."""
    rows = []
    for name, (truth, doubt, px_per_mm) in STILLS.items():
        picture = np.asarray(Image.open(data / "mtj" / name).convert("L"))
        mm = (1 / px_per_mm,) * 2
        for judge in judges:
            cells = []
            for change in CHANGES.values():
                shown, xy, _ = change(picture, np.array(truth), mm)
                row = judge.track(ArraySource(shown[None], name)).table.iloc[0]
                if row["in_view"] > 0:
                    off = np.hypot(row["x_px"] - xy[0], row["y_px"] - xy[1]) / px_per_mm
                    cells.append(f"{off:.1f} mm ({row['confidence']:.2f})")
                else:
                    cells.append(f"not in view ({row['confidence']:.2f})")
            about = f"±{doubt[0] / px_per_mm:.1f}, ±{doubt[1] / px_per_mm:.1f} mm"
            rows.append((name.removesuffix(".png"), about, judge.title, *cells))
    return markdown(("still", "raters differ by", "model", *CHANGES), rows)


def clip(judges: Sequence[Judge], data: Path) -> str:
    """The course of the real clip, raw: no smoothing, no gate."""
    rows = []
    for judge in judges:
        with open_video(data / "mtj" / "mtj_clip.avi") as source:
            table = judge.track(source).table
        x = table["x_px"].to_numpy(float)
        first = x[: PROXIMAL_UNTIL + 1]
        found = spearmanr(np.arange(len(first)), first, nan_policy="omit").statistic
        steps = np.abs(np.diff(x))
        steps[CUT - 1] = np.nan
        rows.append(
            (
                judge.title,
                f"{int((table['in_view'] > 0).sum())} of {len(table)}",
                f"{found:.3f}",
                f"{np.nanmax(np.diff(first)):.1f} px",
                f"{np.nanmax(steps):.1f} px",
                f"{x[CUT] - x[CUT - 1]:+.1f} px",
            )
        )
    return markdown(
        (
            *("model", "in view", f"Spearman of x and frame, 0 to {PROXIMAL_UNTIL}"),
            *("greatest step back", "greatest step but the cut", "step at the cut"),
        ),
        rows,
    )


def without(judges: Sequence[Judge], data: Path) -> str:
    """Share of the pictures without an MTJ that each model calls "not in view", by folder."""
    rows = []
    totals = np.zeros((len(judges), 2), int)
    for folder, pattern in WITHOUT.items():
        cells = []
        for number, judge in enumerate(judges):
            absent: list[bool] = []
            for path in sorted(data.glob(pattern)):
                video = path.suffix == ".mp4"
                with open_video(path) as source:
                    frames = range(0, source.n_frames, EVERY if video else 1)
                    table = judge.track(source, REGION if video else "full", frames).table
                absent += (table["in_view"] == 0).tolist()
            totals[number] += (sum(absent), len(absent))
            cells.append(f"{sum(absent)} of {len(absent)}")
        rows.append((folder, *cells))
    rows.append(("all", *(f"{a} of {n} ({a / n:.0%})" for a, n in totals)))
    return markdown(("pictures without an MTJ", *(judge.title for judge in judges)), rows)
