from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest

from napari_deepmtj.core.geometry import Scale
from napari_deepmtj.core.labels import Label
from napari_deepmtj.core.provenance import Provenance
from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.core.trajectory import FramePrediction, Trajectory
from napari_deepmtj.errors import LabelError
from napari_deepmtj.evaluation.agreement import (
    Agreement,
    rater_of_trajectories,
    raters_of_labels,
    study,
)

pytest.importorskip("pingouin", reason="the extra statistics is not installed")

SCALES = {"aa": Scale(0.1, 0.2, "test"), "bb": Scale(0.1, 0.2, "test")}


def label(frame: int, xy: tuple[float, float] | None, who: str, **more: object) -> Label:
    x, y = xy or (None, None)
    more = {"clip": "a.avi", "clip_sha256": "aa"} | more
    return Label(frame=frame, x_px=x, y_px=y, annotator=who, **more)


@pytest.fixture
def anna() -> list[Label]:
    """Eight frames, the sixth not visible."""
    return [
        label(f, None if f == 5 else (100 + 10 * f, 50 + 3 * (f % 3)), "anna") for f in range(8)
    ]


@pytest.fixture
def bert(anna: list[Label]) -> list[Label]:
    """Bert: 3 px to the right of anna and 1 px above or below; frame 2 hidden, frame 7 not done."""
    moved = [
        dataclasses.replace(
            found,
            annotator="bert",
            x_px=None if found.x_px is None else found.x_px + 3,
            y_px=None if found.y_px is None else found.y_px + (-1) ** found.frame,
        )
        for found in anna[:7]
    ]
    return [dataclasses.replace(m, x_px=None, y_px=None) if m.frame == 2 else m for m in moved]


@pytest.fixture
def both(anna: list[Label], bert: list[Label]) -> Agreement:
    return study(raters_of_labels({"a": anna, "b": bert}), SCALES)


def test_frames_are_counted(both: Agreement) -> None:
    (pair,) = both.pairs
    assert both.raters == ("anna", "bert")
    assert (both.unit, both.clips, both.frames) == ("mm", 1, 8)
    assert (pair.missing_first, pair.missing_second) == (0, 1)
    seen = pair.visibility
    assert (seen.both, seen.first_only, seen.second_only, seen.neither) == (5, 1, 0, 1)
    assert pair.table["frame"].tolist() == [0, 1, 3, 4, 6]
    assert sum([pair.missing_second, 5, 1, 0, 1]) == both.frames
    # 6 of 7 agree, (6 * 5 + 1 * 2) / 49 by chance: (42 - 32) / (49 - 32)
    assert seen.kappa.value == pytest.approx(10 / 17)


def test_figures_by_hand(both: Agreement) -> None:
    (pair,) = both.pairs
    x, y, distance = (pair.limits[axis] for axis in ("x", "y", "distance"))
    assert x.bias.value == pytest.approx(0.3)
    assert x.sd == pytest.approx(0, abs=1e-12)
    signs = np.array([1, -1, -1, 1, 1])
    assert y.bias.value == pytest.approx(0.2 * signs.mean())
    assert y.sd == pytest.approx(0.2 * signs.std(ddof=1))
    assert y.upper.value == pytest.approx(y.bias.value + 1.96 * y.sd)
    assert y.lower.low < y.lower.value < y.lower.high
    length = math.hypot(0.3, 0.2)
    assert distance.bias.value == pytest.approx(length)
    assert pair.median == pair.percentile_95 == pair.maximum == pytest.approx(length)
    assert pair.within == {1: 100, 2: 100, 3: 100, 5: 100}
    of_x, of_y = pair.reliability
    assert of_x.sem == pytest.approx(0.3 / math.sqrt(2))
    assert of_x.mdc == pytest.approx(1.96 * 0.3)
    assert of_y.sem == pytest.approx(0.2 / math.sqrt(2))
    assert of_x.n == of_y.n == 5
    true = np.var([10, 11, 13, 14, 16], ddof=1)
    assert of_x.icc.value == pytest.approx(true / (true + of_x.sem**2))
    assert of_y.icc.value < of_x.icc.value


def test_shares_within_radii() -> None:
    far = [0.5, 1.0, 1.5, 2.5, 4.0, 5.0, 6.0, 9.0]
    raters = raters_of_labels(
        {
            "a": [label(f, (10 + f, 5), "anna") for f in range(8)],
            "b": [label(f, (10 + f, 5 + mm / 0.2), "bert") for f, mm in enumerate(far)],
        }
    )
    (pair,) = study(raters, SCALES).pairs
    assert pair.within == {1: 25, 2: 37.5, 3: 50, 5: 75}
    assert pair.percentile_95 == pytest.approx(np.percentile(far, 95))


def test_without_every_scale_it_is_pixels(anna: list[Label], bert: list[Label]) -> None:
    more = [dataclasses.replace(anna[0], clip_sha256="cc", clip="c.avi")]
    result = study(raters_of_labels({"a": anna + more, "b": bert}), SCALES)
    (pair,) = result.pairs
    assert (result.unit, result.clips, result.frames) == ("px", 2, 9)
    assert pair.limits["x"].bias.value == pytest.approx(3)
    assert pair.within == {}
    assert pair.missing_second == 2


def test_raters_are_annotators_rounds_and_files(anna: list[Label], bert: list[Label]) -> None:
    second = [dataclasses.replace(found, round=2) for found in anna]
    names = [r.name for r in raters_of_labels({"x.csv": [*anna, *second, *bert]})]
    assert names == ["anna, round 1", "anna, round 2", "bert"]
    # one annotator's clips in two files are one rater, the same frames twice are two
    other = [dataclasses.replace(found, clip_sha256="bb", clip="b.avi") for found in anna]
    (one,) = raters_of_labels({"x.csv": anna, "y.csv": other})
    assert (one.name, len(one.positions)) == ("anna", 16)
    names = [r.name for r in raters_of_labels({"x.csv": anna, "y.csv": anna})]
    assert names == ["anna (x.csv)", "anna (y.csv)"]


def trajectory(clip_scale: Scale | None = None) -> Trajectory:
    """Frames 0 to 19, at anna's places but 1 px lower; nothing in frame 3; frame 4 by hand."""
    predictions = [
        FramePrediction(f, 100 + 10 * f, 51 + 3 * (f % 3), np.eye(2), 0.9, in_view=f != 3)
        for f in range(20)
    ]
    provenance = Provenance(
        clip="a.avi",
        clip_sha256="aa",
        n_frames=20,
        height=200,
        width=400,
        times_source="none",
        scale=clip_scale,
    )
    made = Trajectory.from_predictions(predictions, FrameTimes.unknown(20), provenance)
    return made.corrected(4, (0, 0))


def test_a_model_is_one_more_rater(anna: list[Label], bert: list[Label]) -> None:
    model = rater_of_trajectories("compact", [trajectory()])
    result = study([*raters_of_labels({"a": anna, "b": bert}), model], SCALES)
    assert result.raters == ("anna", "bert", "compact")
    assert [(p.first, p.second) for p in result.pairs] == [
        ("anna", "bert"),
        ("anna", "compact"),
        ("bert", "compact"),
    ]
    assert result.frames == 8  # not the twenty of the model
    pair = result.pairs[1]
    assert pair.missing_second == 1  # the one that a person corrected is not the model's
    seen = pair.visibility
    assert (seen.both, seen.first_only, seen.second_only, seen.neither) == (5, 1, 1, 0)
    assert pair.limits["x"].bias.value == pytest.approx(0)
    assert pair.limits["y"].bias.value == pytest.approx(0.2)
    assert [r.n for r in result.together] == [3, 3]  # frames 0, 1 and 6
    x = result.together[0]
    assert x.sem == pytest.approx(math.sqrt(np.var([0, 0.3, 0], ddof=1)))


def test_the_table_holds_everything(both: Agreement) -> None:
    table = both.to_frame()
    assert table["axis"].tolist() == ["x", "y", "distance"]
    row = table.set_index("axis").loc["y"]
    (pair,) = both.pairs
    assert row["bias"] == pair.limits["y"].bias.value
    assert row["icc_2_1"] == pair.reliability[1].icc.value
    assert row["visible_first_only"] == 1
    assert pd.isna(row["within_1_mm_percent"])
    assert table.set_index("axis").loc["distance", "within_1_mm_percent"] == 100
    assert {"lower_low", "upper_high", "sem", "mdc", "kappa", "missing_second"} <= set(table)


def test_three_raters_have_a_common_row(anna: list[Label], bert: list[Label]) -> None:
    carl = [dataclasses.replace(found, annotator="carl") for found in anna]
    table = study(raters_of_labels({"": [*anna, *bert, *carl]}), SCALES).to_frame()
    together = table[table["first"] == "all raters"]
    assert together["axis"].tolist() == ["x", "y"]
    assert together["n"].tolist() == [5, 5]
    assert together["icc_2_1"].notna().all()


def test_a_consensus_is_no_rater_beside_those_it_is_made_of(
    anna: list[Label], bert: list[Label]
) -> None:
    settled = [dataclasses.replace(found, annotator="consensus") for found in anna]
    result = study(raters_of_labels({"": [*anna, *bert, *settled]}), SCALES)
    assert len(result.pairs) == 3
    assert result.together == ()
    carl = [dataclasses.replace(found, annotator="carl") for found in anna]
    with_it = study(raters_of_labels({"": [*anna, *bert, *carl, *settled]}), SCALES)
    assert with_it.together == study(raters_of_labels({"": [*anna, *bert, *carl]}), SCALES).together


def test_nobody_to_compare_with(anna: list[Label]) -> None:
    with pytest.raises(LabelError, match="two raters at least, and these labels are by anna"):
        study(raters_of_labels({"a": anna}))
    with pytest.raises(LabelError, match="by nobody"):
        study([])
    with pytest.raises(LabelError, match="share a name"):
        study(raters_of_labels({"a": anna}) * 2)


def test_raters_without_a_common_frame(anna: list[Label]) -> None:
    other = [dataclasses.replace(found, annotator="bert", frame=found.frame + 50) for found in anna]
    (pair,) = study(raters_of_labels({"a": [*anna, *other]}), SCALES).pairs
    assert len(pair.table) == 0
    assert (pair.missing_first, pair.missing_second) == (8, 8)
    assert math.isnan(pair.limits["x"].bias.value)
    assert math.isnan(pair.reliability[0].icc.value)
    assert pair.within == {}
