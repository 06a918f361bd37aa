"""The report of an evaluation: whole, self-contained, and honest about what is beside what."""

from __future__ import annotations

import base64
import io
import json
import math
import re
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from napari_deepmtj.core.geometry import Roi, Scale
from napari_deepmtj.errors import ResultError
from napari_deepmtj.evaluation.comparison import ClipFacts, Comparison, Evaluation, marks_on
from napari_deepmtj.evaluation.gallery import Attention, Picture, Pictures, Worst
from napari_deepmtj.evaluation.literature import INCONSISTENCIES
from napari_deepmtj.evaluation.metrics import ERROR_COLUMNS
from napari_deepmtj.evaluation.summary import summarise
from napari_deepmtj.report import evaluation_tables as tables
from napari_deepmtj.report.evaluation import report_page, save_report
from napari_deepmtj.report.evaluation_files import (
    CSV_NAME,
    CURVE_NAME,
    JSON_NAME,
    NAMES,
    PAIRED_NAME,
    REPORT_NAME,
    SUMMARY_NAME,
    require_new,
    save_tables,
)
from napari_deepmtj.report.evaluation_pictures import example_figure, worst_figure

pytest.importorskip("matplotlib", reason="the report needs matplotlib (extra plots)")

SCALE = Scale(0.2, 0.2, "test")
ROI = Roi(20, 10, 120, 60)
SUBJECTS = ("s1", "s2", "s3")


def evaluation(
    name: str, *, unit: str = "mm", kind: str = "network", subjects: tuple[str, ...] = SUBJECTS
) -> Evaluation:
    """Four frames a subject: 1 mm, 6 mm, missed, and hidden but found; subject n adds n/10 mm."""
    rows = []
    for n, subject in enumerate(subjects):
        for frame, error in enumerate((1.0, 6.0, math.nan, 0.0)):
            seen, found = frame != 3, frame != 2
            mm = error + n / 10 if seen and found else math.nan
            x = 80.0 + (mm if seen else 0) / SCALE.x_mm if found else math.nan
            rows.append(
                {
                    "subject": subject,
                    "clip": "a.avi",
                    "clip_sha256": f"{n}a",
                    "frame": 5 * frame,
                    "time_s": frame / 5,
                    "truth_visible": seen,
                    "in_view": found,
                    "x_true_px": 80.0 if seen else math.nan,
                    "y_true_px": 40.0 if seen else math.nan,
                    "x_px": x,
                    "y_px": 40.0 if found else math.nan,
                    "error_px": 5 * mm,
                    "error_mm": mm if unit == "mm" else math.nan,
                    "error_percent": mm,
                    f"along_{unit}": mm,
                    f"across_{unit}": 0.0 * mm,
                    f"dx_{unit}": mm,
                    f"dy_{unit}": 0.0 * mm,
                    "axis_from": "labels",
                    "distal": "left",
                    "given": False,
                    "group": "impaired" if subject == "s3" else "healthy",
                    "method": name,
                }
            )
    numbers = [c for c in ERROR_COLUMNS if c.endswith(("_px", "_mm", "_percent", "_degrees"))]
    table = pd.DataFrame(rows, columns=list(ERROR_COLUMNS)).astype(dict.fromkeys(numbers, float))
    about = {"id": name}
    return Evaluation(name, kind, about, table, summarise(table, unit), 3.0, 400, "cpu")


def comparison(*found: Evaluation, data: str = "phantom") -> Comparison:
    scale = SCALE if found[0].summary.unit == "mm" else None
    subjects = found[0].errors["subject"].unique()
    facts = [ClipFacts(s, "a.avi", f"{n}a", "", ROI, scale) for n, s in enumerate(subjects)]
    return Comparison(found, data, ("anna",), {fact.key: fact for fact in facts})


def picture(result: Comparison, frame: int = 5, attention: Attention | None = None) -> Picture:
    grey = np.full((ROI.height, ROI.width), 60, np.uint8)
    return Picture(marks_on(result, ("s1", "a.avi", "0a"), frame), grey, 1.0, attention)


def pictures(result: Comparison) -> Pictures:
    shown = tuple((p, picture(result)) for p in (10.0, 50.0))
    worst = {
        result.evaluations[0].name: (
            Worst("far", picture(result)),
            Worst("missed", picture(result, 10)),
        )
    }
    return Pictures(shown, worst)


def page_of(result: Comparison) -> str:
    return report_page(result, Pictures((), {}), {"roi": "auto"}).decode("utf-8")


@pytest.fixture(scope="module")
def two() -> Comparison:
    return comparison(evaluation("net"), evaluation("flow", kind="tracker"))


@pytest.fixture(scope="module")
def page(two: Comparison) -> str:
    return report_page(two, pictures(two), {"roi": "auto"}).decode("utf-8")


def test_the_page_needs_nothing_beside_it(page: str) -> None:
    assert "default-src 'none'" in page
    assert "<script" not in page
    assert not re.search(r"(?:src|href)=\"(?!data:)", page)
    assert "url(" not in page
    ElementTree.fromstring(re.sub(r"<!DOCTYPE html>|<(meta|img)\b[^>]*>|<br>", "", page))


def test_every_picture_is_inside_and_is_one(page: str) -> None:
    found = re.findall(r'<img alt="([^"]+)" src="data:image/([a-z+]+);base64,([^"]+)"', page)
    kinds = [kind for _, kind, _ in found]
    # Curve, drift, direction, subjects; two examples and two of the gallery.
    assert (kinds.count("svg+xml"), kinds.count("jpeg"), len(kinds)) == (4, 4, 8)
    for _, kind, data in found:
        content = base64.b64decode(data)
        if kind == "svg+xml":
            assert ElementTree.fromstring(content).tag.endswith("svg")
        else:
            assert np.asarray(Image.open(io.BytesIO(content))).std() > 5


def test_made_up_is_said_and_real_is_said(page: str) -> None:
    assert "PHANTOM: made-up clips, not patients" in page
    assert "nothing about how they do on patients" in page
    assert "not the same task as the phantom above" in page
    real = page_of(comparison(evaluation("net"), data="real"))
    assert "REAL images" in real
    assert "PHANTOM" not in real


def test_the_papers_numbers_come_with_what_is_wrong_with_them(page: str) -> None:
    text = page.replace("&#39;", "'")
    assert "2.55 ± 1.00" in text
    for sentence in INCONSISTENCIES:
        assert sentence in text
    # Table III prints it, too, and says there again what it is.
    third = text[text.index("P20, Table III, as printed there") :]
    assert "2.55 ± 1.00" in third
    assert "a mean of the SDs of batches; pooled it is 2.14 mm" in third
    assert "read off its Fig. 2B by eye" in text


def test_names_are_words_not_markup() -> None:
    evil = "<img src=x onerror=alert(1)>$\\alpha"
    made = comparison(evaluation(evil))
    text = page_of(replace(made, annotators=("<i>anna",)))
    assert "<img src=x" not in text
    assert "<i>anna" not in text
    assert "&lt;i&gt;anna" in text


def test_pixels_have_no_curve_and_no_valid_share() -> None:
    result = comparison(evaluation("net", unit="px"))
    text = page_of(result)
    assert "Share of frames within a radius" not in text
    assert "all lengths are in pixels" in text
    assert "Differences between methods" not in text  # there is one only


def test_groups_are_shown_apart(two: Comparison) -> None:
    found = tables.by_group(two)
    assert found is not None
    assert [row[0] for row in found.rows] == [
        "net, healthy",
        "net, impaired",
        "flow, healthy",
        "flow, impaired",
    ]
    assert found.rows[1][2].startswith("3.70 ± 3.54")
    assert tables.by_group(comparison(evaluation("net", subjects=("s1", "s2")))) is None


def test_the_table_says_what_was_measured(two: Comparison) -> None:
    rows = {name: value for name, value, _ in tables.overview(two).rows}
    assert rows["mean error"] == "3.60 mm (3.50 to 3.70, 95 % over subjects)"
    assert rows["mean of subjects"] == "3.60 ± 0.10 mm"
    assert rows["bias along, across"] == "+3.60, +0.00 mm"
    assert rows["within 1 mm"] == "11.1 %"
    assert rows["within 5 mm"] == "33.3 % (33.3 to 33.3, 95 % over subjects)"
    assert rows["in view but missed"] == "3 of 9 frames"
    assert rows["not in view but invented"] == "3 of 3 frames"
    assert rows["time of 200 frames"] == "1.50 s"


def test_no_interval_from_one_subject() -> None:
    alone = comparison(evaluation("net", subjects=("s1",)))
    rows = dict(tables.overview(alone).rows)
    assert rows["mean error"] == "3.50 mm"
    assert "no interval over subjects" in tables.remarks(alone)[0]


def test_what_must_be_told_is_told() -> None:
    one = evaluation("net")
    one.errors.loc[one.errors["subject"] == "s2", ["distal", "axis_from"]] = ["", "horizontal"]
    said = " ".join(tables.remarks(comparison(one)))
    assert "3 subjects: intervals over so few" in said
    assert "Of 1 of 3 clips nobody said which side is distal" in said
    assert "In 1 of 3 clips the labels move too little" in said


def test_files_hold_every_figure(two: Comparison, tmp_path: Path) -> None:
    names = save_tables(two, {"roi": "auto"}, tmp_path)
    assert set(names) == {CSV_NAME, JSON_NAME, SUMMARY_NAME, CURVE_NAME, PAIRED_NAME}
    data = json.loads((tmp_path / JSON_NAME).read_text())
    assert (data["schema"], data["data"], data["settings"]) == (2, "phantom", {"roi": "auto"})
    assert data["summary"] == data["methods"][0]["summary"]
    assert data["model"] == {"id": "net"}
    assert data["methods"][1]["tracker"] == {"id": "flow"}
    errors = pd.read_csv(tmp_path / CSV_NAME)
    assert tuple(errors.columns) == ERROR_COLUMNS
    assert errors["method"].value_counts().to_dict() == {"net": 12, "flow": 12}
    summary = pd.read_csv(tmp_path / SUMMARY_NAME)
    assert summary["over"].value_counts().to_dict() == {"subject": 6, "group": 4, "all": 2}
    first = summary.iloc[0]
    s = two.evaluations[0].summary
    assert first["mean"] == pytest.approx(s.mean)
    assert first["within_5_mm_low"] == pytest.approx(s.within_intervals[5.0].low)
    assert first["along_mean"] == pytest.approx(s.along.mean)
    curve = pd.read_csv(tmp_path / CURVE_NAME)
    assert curve["method"].unique().tolist() == ["net", "flow"]
    assert pd.read_csv(tmp_path / PAIRED_NAME).loc[0, "mean"] == 0


def test_a_spreadsheet_takes_no_name_for_a_formula(tmp_path: Path) -> None:
    save_tables(comparison(evaluation("=1+1")), {}, tmp_path)
    for name in (CSV_NAME, SUMMARY_NAME, CURVE_NAME):
        assert not re.search(r"(^|,)=", (tmp_path / name).read_text(), flags=re.MULTILINE)


@pytest.mark.parametrize("name", NAMES)
def test_an_earlier_evaluation_is_not_replaced_unasked(tmp_path: Path, name: str) -> None:
    require_new(tmp_path, "choose")
    (tmp_path / name).write_text("mine")
    with pytest.raises(ResultError, match=rf"{name}: exists; choose"):
        require_new(tmp_path, "choose")


def test_without_matplotlib_the_missing_extra_is_named(
    two: Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    written, (notice,) = save_report(two, pictures(two), {}, tmp_path)
    assert written == []
    assert not (tmp_path / REPORT_NAME).exists()
    assert "napari-deepmtj[plots]" in notice


def colours(figure) -> tuple[np.ndarray, object]:
    """Return a figure's pixels, shape (H, W, 3), rows from the top."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].astype(int), canvas


def test_ring_and_positions_lie_where_they_are(two: Comparison) -> None:
    figure = example_figure(picture(two))
    pixels, _ = colours(figure)
    axes = figure.axes[0]

    def at(x: float, y: float) -> np.ndarray:
        column, row = axes.transData.transform((x, y))
        return pixels[pixels.shape[0] - 1 - round(row), round(column)]

    green = [0, 158, 115]
    # 5 mm are 25 px: the ring stands left and right of the label at (80, 40), not nearer.
    for x, y in ((55, 40), (105, 40), (80, 15), (80, 65)):
        assert np.abs(at(x, y) - green).max() < 60, (x, y)
    assert np.abs(at(80, 40) - green).max() < 60
    assert np.ptp(at(65, 50)) == 0  # grey, between label and ring
    # 6 mm to the right: the last of the methods drawn, an orange-yellow square.
    assert np.abs(at(110, 40) - [230, 159, 0]).max() < 60


def test_attention_is_drawn_over_its_pixels(two: Comparison) -> None:
    # One hot pixel of 8 x 16 that cover the region of 60 x 120: pixel (row 6, column 3).
    values = np.zeros((8, 16), np.float32)
    values[6, 3] = 0.01
    step, origin = (7.5, 7.5), (10 + 3.25, 20 + 3.25)
    shown = picture(two, attention=Attention(values, step, origin))
    figure = worst_figure(shown, "net")
    pixels, _ = colours(figure)
    plain, overlaid = figure.axes
    colourful = np.ptp(pixels, axis=2) > 40
    rows, columns = np.nonzero(colourful)
    at = np.stack([columns, pixels.shape[0] - 1 - rows], axis=1)
    xy = overlaid.transData.inverted().transform(at)
    hot = (np.abs(xy[:, 1] - 58) < 8) & (xy[:, 0] < 60)
    centre = xy[hot].mean(axis=0)
    assert np.abs(centre - [20 + 3.25 + 3 * 7.5, 10 + 3.25 + 6 * 7.5]).max() < 1.5
    there = plain.transData.inverted().transform(at)
    assert not ((np.abs(there[:, 1] - 58) < 3) & (there[:, 0] < 50) & (there[:, 0] > 40)).any()
    assert overlaid.get_xlim() == plain.get_xlim()
    assert overlaid.get_ylim() == plain.get_ylim()
    assert overlaid.get_aspect() == plain.get_aspect() == 1.0


def test_what_an_earlier_evaluation_left_is_taken_away(two: Comparison, tmp_path: Path) -> None:
    save_tables(two, {}, tmp_path)
    (tmp_path / REPORT_NAME).write_text("of the one before")
    (tmp_path / "mine.txt").write_text("kept")
    names = save_tables(comparison(evaluation("net", unit="px")), {}, tmp_path)
    assert PAIRED_NAME not in names
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*names, "mine.txt"])
