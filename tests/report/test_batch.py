from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from markupsafe import Markup
from PIL import Image

from napari_deepmtj.core.geometry import Scale
from napari_deepmtj.core.trajectory import Trajectory
from napari_deepmtj.errors import VideoError
from napari_deepmtj.report import batch
from napari_deepmtj.report.batch import PICTURES, BatchResults, write_batch_report
from napari_deepmtj.report.sparks import HEIGHT, STEP, spark
from napari_deepmtj.report.thumbnails import WIDTH, thumbnail
from napari_deepmtj.results.trajectory_file import write_trajectory

#: The frame of the fixture that is not in view.
HIDDEN = 12


class Clip:
    """A clip of grey frames."""

    def __enter__(self) -> Clip:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read(self, frame: int) -> np.ndarray:
        return np.full((96, 160), 60, np.uint8)


def row(result: str, **changes: Any) -> dict[str, Any]:
    """Return a row of `clips.csv` with the columns that the report needs."""
    return {
        "file": f"clips/{result.removesuffix('.mtj.csv')}.avi",
        "subject": "S1",
        "result": result,
        "status": "done",
        "reason": "",
        "same_content_as": "",
        "frames": 17,
        "duration_s": 0.76,
        "in_view_percent": 94.0,
        "confidence_median": 0.9,
        "confidence_5_percent": 0.5,
        "sd_mm_median": 0.5,
        "by_hand": 1,
        "flagged_percent": 6.0,
        "excursion_mm": 5.7,
        "excursion_raw_mm": 6.1,
        "excursion_reason": "",
        "peak_distal_velocity_mm_per_s": -7.5,
        "scale_x_mm_per_px": 0.1,
        "scale_source": "test",
        "model": "compact",
        "notices": "",
    } | changes


def failed(name: str, reason: str) -> dict[str, Any]:
    empty = dict.fromkeys(row("x"), np.nan)
    texts = dict.fromkeys(
        (
            *("subject", "result", "same_content_as", "scale_source", "model", "notices"),
            "excursion_reason",
        ),
        "",
    )
    return empty | texts | {"file": f"clips/{name}", "status": "failed", "reason": reason}


@pytest.fixture
def make_results(tmp_path: Path) -> Callable[..., BatchResults]:
    def make(
        rows: list[dict[str, Any]], opened: Any = None, curve: str = "<svg></svg>"
    ) -> BatchResults:
        clips = pd.DataFrame(rows)
        curves = {each["result"]: Markup(curve) for each in rows}
        flagged = dict.fromkeys(curves, np.zeros(17, dtype=bool))
        return BatchResults(
            tmp_path,
            clips,
            pd.DataFrame(),
            ("subject",),
            curves,
            flagged,
            opened or (lambda _: Clip()),
        )

    return make


def written(results: BatchResults) -> str:
    with closing(write_batch_report(results)) as job:
        while True:
            try:
                next(job)
            except StopIteration as end:
                return Path(end.value).read_text(encoding="utf-8")


def in_order(page: str, *texts: str) -> bool:
    places = [page.index(text) for text in texts]
    return places == sorted(places)


def test_failures_are_told_once_with_what_to_do(
    make_results: Callable[..., BatchResults], trajectory: Trajectory, tmp_path: Path
) -> None:
    write_trajectory(trajectory, tmp_path / "good.mtj.csv")
    page = written(
        make_results(
            [
                row("good.mtj.csv"),
                failed("a.avi", "a.avi: is empty (0 bytes); copy the clip again"),
                failed("b<i>.avi", "b<i>.avi: is empty (0 bytes); copy the clip again"),
            ]
        )
    )
    assert page.count("is empty (0 bytes)") == 1
    assert "<td>copy the clip again</td><td>clips/a.avi, clips/b&lt;i&gt;.avi</td>" in page
    assert "1 done, 2 failed" in page or "2 failed, 1 done" in page
    assert "<i>" not in page


def test_the_least_confident_clip_is_first_and_its_worst_frame_is_shown(
    make_results: Callable[..., BatchResults], trajectory: Trajectory, tmp_path: Path
) -> None:
    table = trajectory.table.copy()
    table.loc[table["frame"] == 11, "confidence"] = 0.2
    worst = Trajectory(table, trajectory.provenance)
    for name in ("sure", "unsure", "unseen", "by_hand"):
        write_trajectory(worst, tmp_path / f"{name}.mtj.csv")
    page = written(
        make_results(
            [
                row("sure.mtj.csv", confidence_5_percent=0.9),
                row("unsure.mtj.csv", confidence_5_percent=0.3),
                row("by_hand.mtj.csv", confidence_5_percent=np.nan, confidence_median=np.nan),
                row("unseen.mtj.csv", confidence_5_percent=np.nan, in_view_percent=0.0),
            ]
        )
    )
    captions = re.findall("<figcaption>(.*?)</figcaption>", page)
    assert [text.split(",")[0] for text in captions] == ["unseen", "unsure", "sure", "by_hand"]
    assert captions[1].startswith("unsure, frame 11: confidence 0.20")
    assert "4 of 4 clips" in page
    jpegs = re.findall('data:image/jpeg;base64,([^"]+)', page)
    assert len(jpegs) == 4
    with Image.open(io.BytesIO(base64.b64decode(jpegs[0]))) as picture:
        assert picture.size == (WIDTH, round(70 * WIDTH / 140 * 2))  # the region, 0.1 x 0.2 mm
    assert "with the MTJ in no frame" in page


class Smaller(Clip):
    def read(self, frame: int) -> np.ndarray:
        return np.zeros((10, 10), np.uint8)


def test_a_clip_that_is_gone_or_another_leaves_its_curve(
    make_results: Callable[..., BatchResults], trajectory: Trajectory, tmp_path: Path
) -> None:
    def gone(_: str) -> Clip:
        raise VideoError("there is no such file", path="clips/good.avi")

    write_trajectory(trajectory, tmp_path / "good.mtj.csv")
    page = written(make_results([row("good.mtj.csv")], gone))
    assert "its frame cannot be shown: good.avi: there is no such file" in page
    assert "data:image/jpeg" not in page
    assert page.count("<svg width") == 1  # besides the one in the list of all clips
    page = written(make_results([row("good.mtj.csv")], lambda _: Smaller()))
    assert "another size than when it was tracked" in page


def test_what_is_lacking_is_listed_by_clip(
    make_results: Callable[..., BatchResults], trajectory: Trajectory, tmp_path: Path
) -> None:
    for name in "abcd":
        write_trajectory(trajectory, tmp_path / f"{name}.mtj.csv")
    problem = "force.csv: has no channel 'x'"
    page = written(
        make_results(
            [
                row("a.mtj.csv", scale_x_mm_per_px=np.nan, excursion_mm=np.nan, scale_source=""),
                row("b.mtj.csv", peak_distal_velocity_mm_per_s=np.nan),
                row("c.mtj.csv", same_content_as="a.mtj.csv"),
                row("d.mtj.csv", notices="d.avi: cut off | d.avi ends early"),
            ]
            + [row("d.mtj.csv", channels_problem=problem)]
        )
    )
    assert re.search("1 clip without a scale[^<]*: a<", page)
    assert re.search("1 clip without velocities[^<]*: b<", page)
    assert "<td>c</td><td>a</td>" in page
    assert "<li>cut off (1 clip: d)</li>" in page
    assert "none: pixels only (1)" in page


def test_two_thousand_clips_are_a_small_page(
    make_results: Callable[..., BatchResults],
    trajectory: Trajectory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn = spark(trajectory)
    monkeypatch.setattr(batch, "read_trajectory", lambda _: trajectory)
    rows = [row(f"S/clip_{i:04}.mtj.csv", confidence_5_percent=i / 2000) for i in range(2000)]
    page = written(make_results(rows, curve=drawn))
    assert page.count("<figcaption>") == PICTURES
    assert f"{PICTURES} of 2000 clips" in page
    assert page.count("<svg") == 2000 + PICTURES
    assert len(page) < 4_000_000
    assert in_order(page, "S/clip_0000", "S/clip_0001", "S/clip_1999")


def paths(drawn: str) -> list[str]:
    return re.findall('<path d="([^"]*)"', drawn)


def test_a_curve_is_broken_at_gaps_and_keeps_extremes(trajectory: Trajectory) -> None:
    """Frames 0..19 without 6..8, 12 not in view: x rises from frame to frame, 15 by hand."""
    line, marks = paths(spark(trajectory, trajectory.frames == HIDDEN, columns=40))
    assert line.count("M") == 3
    heights = [int(y) for _, y in re.findall(r"(\d+) (\d+)", line)]
    assert (max(heights), min(heights)) == (HEIGHT - 1, 1)  # the least and greatest x
    assert heights[0] == HEIGHT - 1
    assert marks == f"M{STEP * int(HIDDEN / 19 * 40)} {HEIGHT + 2}h{STEP}"


def test_a_jump_of_one_frame_is_seen_in_few_columns(trajectory: Trajectory) -> None:
    jumped = trajectory.corrected(4, (600, 60))
    line, marks = paths(spark(jumped, columns=2))
    assert marks == ""
    heights = [int(y) for _, y in re.findall(r"(\d+) (\d+)", line)]
    assert heights.count(1) == 1
    assert sum(y > HEIGHT - 7 for y in heights) == len(heights) - 1
    assert "of 17 rows flagged" in spark(trajectory)


def test_a_trajectory_without_positions_has_no_line(trajectory: Trajectory) -> None:
    for frame in trajectory.frames.tolist():
        trajectory = trajectory.corrected(frame, None)
    assert paths(spark(trajectory))[0] == ""


def test_a_thumbnail_marks_the_position(
    make_trajectory: Callable[..., Trajectory],
) -> None:
    trajectory = make_trajectory(Scale(0.1, 0.1, "test"))
    jpeg = thumbnail(trajectory, 3, np.zeros((96, 160), np.uint8))
    with Image.open(io.BytesIO(jpeg)) as picture:
        rgb = np.asarray(picture).astype(int)
    zoom = WIDTH / 140
    x, y = (69 - 10 + 0.5) * zoom, (41.5 - 20 + 0.5) * zoom
    rows, columns = np.nonzero(rgb[..., 0] - rgb[..., 2] > 100)  # yellow
    assert abs(columns.mean() - x) < 2
    assert abs(rows.mean() - y) < 2
    bare = thumbnail(trajectory, 12, np.zeros((96, 160), np.uint8))
    with Image.open(io.BytesIO(bare)) as picture:
        assert np.asarray(picture).max() == 0
