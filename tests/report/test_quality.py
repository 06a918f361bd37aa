from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from napari_deepmtj.core.geometry import Scale
from napari_deepmtj.core.jobs import Done, Failed, Progress
from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.core.trajectory import Trajectory
from napari_deepmtj.mechanics.excursion import excursion
from napari_deepmtj.report.facts import numbers, settings, to_look_at
from napari_deepmtj.report.quality import write_report

pytest.importorskip("matplotlib", reason="the extra plots is not installed")


class Clip:
    """A clip of grey frames, its number in the grey level."""

    name, path, sha256 = "clip.avi", None, "aa" * 32

    def __init__(self) -> None:
        self.read_frames: list[int] = []

    def read(self, frame: int) -> np.ndarray:
        self.read_frames.append(frame)
        return np.full((96, 160), 10 * frame % 256, np.uint8)


def with_columns(trajectory: Trajectory, **columns: dict[int, object]) -> Trajectory:
    """Return it with cells changed: column -> frame -> value."""
    table = trajectory.table.copy()
    table["flags"] = table["flags"].astype(object)
    for name, cells in columns.items():
        for frame, value in cells.items():
            table.loc[table["frame"] == frame, name] = value
    return replace(trajectory, table=table)


def test_the_numbers(trajectory: Trajectory) -> None:
    """Frames 0..19 without 6..8; 12 out of view, 15 by hand; x moves 57 px of 0.1 mm."""
    flagged = with_columns(
        trajectory, flags={2: "low_confidence;high_sd", 3: "high_sd"}, confidence={2: 0.4}
    )
    found = dict(numbers(flagged))
    assert found["frames tracked"] == "17 of 20"
    assert found["time"] == "0.76 s (25 Hz)"
    assert found["MTJ in view"] == "16 (94.1%)"
    assert found["confidence, least"] == "0.40"
    assert found["confidence below 0.5"] == "1 frames"
    assert found["flagged"] == "2 frames (low_confidence 1, high_sd 2)"
    assert found["corrected"] == "1 frames"
    assert found["SD of a position"].startswith("median 0.50, ")  # 3 px of 0.1, 2 px of 0.2 mm
    assert found["range of x and y"] == "5.7 and 4.0 mm"
    assert "peak velocity" not in found
    assert "peak velocity" in dict(numbers(flagged, "right"))


def test_excursion_is_that_of_the_mechanics(make_trajectory: Callable[..., Trajectory]) -> None:
    trajectory = make_trajectory(Scale(0.1, 0.1, "test"))
    table = trajectory.table[trajectory.frames != 15]  # on a line without the one by hand
    found = dict(numbers(replace(trajectory, table=table)))
    wanted = 0.1 * 19 * np.hypot(3.0, 0.5)
    said = found["excursion along its axis"]
    assert said == f"{excursion(replace(trajectory, table=table))}; linearity 1.00"
    assert f"(raw {wanted:.1f}" in said


def test_without_scale_and_times(make_trajectory: Callable[..., Trajectory]) -> None:
    bare = make_trajectory(None, FrameTimes.unknown(20))
    found, about = dict(numbers(bare)), dict(settings(bare))
    assert found["time"] == "not known"
    assert found["range of x and y"].endswith(" px")
    assert about["scale"] == "none: pixels only"


def test_uneven_times_are_told(make_trajectory: Callable[..., Trajectory]) -> None:
    times = FrameTimes(np.cumsum(np.linspace(0.02, 0.08, 20)), "container")
    assert "uneven, median" in dict(numbers(make_trajectory(None, times)))["time"]


def test_frames_to_look_at(trajectory: Trajectory) -> None:
    doubtful = with_columns(
        trajectory,
        confidence={1: 0.3, 2: 0.31, 5: 0.2, 15: 0.0},
        flags={0: "jump", 18: "at_edge", 19: "at_edge"},
    )
    shown = {s.frame: s.why for s in to_look_at(doubtful, 6)}
    assert shown[0] == "jump"
    assert shown[18] == "at edge"
    assert shown[5] == "confidence 0.20"
    assert shown[1] == "confidence 0.30"
    assert 15 not in shown  # a person's point is not doubtful
    assert len(shown) == 6
    assert list(shown) == sorted(shown)
    one = with_columns(trajectory, flags={12: "not_in_view"})
    assert {s.frame: s.why for s in to_look_at(one, 2)}[12] == "not in view"


class Strict(HTMLParser):
    """Holds every tag to its partner, and collects what is loaded and said."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loaded: list[str] = []
        self.said = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)
        self.loaded += [v or "" for k, v in attrs if k in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.said += data


def test_html_needs_nothing_beside_it(tmp_path: Path, trajectory: Trajectory) -> None:
    clip = Clip()
    *_, last = write_report(clip, trajectory, tmp_path / "a.html")
    assert last == Done(tmp_path / "a.html")
    page = Strict()
    page.feed((tmp_path / "a.html").read_text(encoding="utf-8"))
    assert page.open == []
    assert len(page.loaded) == 1 + len(clip.read_frames)
    assert all(source.startswith("data:image/") for source in page.loaded)
    for words in ("17 of 20", "0.1 x 0.2 mm/px, from: test", "10,20,140,70 px", "Look at"):
        assert words in page.said


def test_pdf_is_one_page(tmp_path: Path, trajectory: Trajectory) -> None:
    events = list(write_report(Clip(), trajectory, tmp_path / "a.pdf"))
    assert [e.done for e in events if isinstance(e, Progress)] == [1, 2, 3, 4, 5, 6]
    data = (tmp_path / "a.pdf").read_bytes()
    assert data.startswith(b"%PDF")
    assert len(re.findall(rb"/Type /Page\b(?!s)", data)) == 1
    again = tmp_path / "b.pdf"
    list(write_report(Clip(), trajectory, again))
    assert again.read_bytes() == data  # nothing in it says when it was written


@pytest.mark.parametrize("change", ["name", "clip", "rows"])
def test_what_cannot_be_reported(tmp_path: Path, trajectory: Trajectory, change: str) -> None:
    clip, path = Clip(), tmp_path / "a.pdf"
    if change == "name":
        path = tmp_path / "a.txt"
    elif change == "clip":
        clip.sha256 = "bb" * 32
    else:
        trajectory = replace(trajectory, table=trajectory.table.iloc[:0])
    (event,) = write_report(clip, trajectory, path)
    assert isinstance(event, Failed)
    said = {"name": "name it so", "clip": "of another file", "rows": "has no rows"}
    assert said[change] in str(event.error)
    assert list(tmp_path.iterdir()) == []
