"""Methods beside each other: the same frames, differences by hand, examples by rule."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_deepmtj.core.geometry import Roi, Scale
from napari_deepmtj.errors import ResultError
from napari_deepmtj.evaluation.comparison import (
    ClipFacts,
    Comparison,
    Evaluation,
    drift,
    examples,
    marks_on,
    pair,
)
from napari_deepmtj.evaluation.methods import even_runs
from napari_deepmtj.evaluation.metrics import ERROR_COLUMNS
from napari_deepmtj.evaluation.summary import summarise

SCALE = Scale(0.1, 0.2, "test")


def evaluation(name: str, errors_mm: dict[str, list[float | None]], **more: object) -> Evaluation:
    """Make an evaluation of one clip a subject, its labels at (50, 50), errors to the right."""
    rows = []
    for subject, errors in errors_mm.items():
        for frame, error in enumerate(errors):
            x = math.nan if error is None else 50 + error / SCALE.x_mm
            rows.append(
                {
                    "subject": subject,
                    "clip": f"{subject}.avi",
                    "clip_sha256": subject * 2,
                    "frame": 10 * frame,
                    "time_s": 0.4 * frame,
                    "truth_visible": True,
                    "in_view": error is not None,
                    "x_true_px": 50.0,
                    "y_true_px": 50.0,
                    "x_px": x,
                    "y_px": math.nan if error is None else 50.0,
                    "error_px": x - 50,
                    "error_mm": math.nan if error is None else float(error),
                    "error_percent": x - 50,
                    "axis_from": "horizontal",
                    "distal": "",
                    "given": False,
                    "group": "",
                    "method": name,
                    **more,
                }
            )
    numbers = [c for c in ERROR_COLUMNS if c.endswith(("_px", "_mm", "_percent", "_degrees"))]
    table = pd.DataFrame(rows, columns=list(ERROR_COLUMNS)).astype(dict.fromkeys(numbers, float))
    return Evaluation(name, "network", {"id": name}, table, summarise(table, "mm"), 2.0, 100)


def comparison(*evaluations: Evaluation) -> Comparison:
    facts = {}
    for subject, clip, sha256 in {
        tuple(row)
        for row in evaluations[0].errors[["subject", "clip", "clip_sha256"]].itertuples(index=False)
    }:
        fact = ClipFacts(subject, clip, sha256, "", Roi(0, 0, 200, 100), SCALE)
        facts[fact.key] = fact
    return Comparison(evaluations, "real", ("anna",), facts)


A = {"s1": [1.0, 2.0, None, 8.0], "s2": [3.0, 4.0, 1.0, 1.0]}
B = {"s1": [2.0, 2.0, 1.0, 4.0], "s2": [None, 6.0, 1.0, 0.0]}


def test_differences_by_hand() -> None:
    found = pair(evaluation("a", A), evaluation("b", B), "mm")
    assert (found.subjects, found.frames, found.both) == (2, 8, 6)
    # Frames with both: 1, 0, -4 of s1 and 2, 0, -1 of s2.
    assert found.mean == pytest.approx(-2 / 6)
    assert (found.interval.low, found.interval.high) == pytest.approx((-1.0, 1 / 3))
    # Within 5 mm: a has 2 of 4 and 4 of 4, b 4 of 4 and 2 of 4.
    assert found.valid == pytest.approx(0)
    assert (found.valid_interval.low, found.valid_interval.high) == pytest.approx((-50, 50))
    back = pair(evaluation("b", B), evaluation("a", A), "mm")
    assert back.mean == pytest.approx(-found.mean)


def test_pairing_follows_frames_not_rows() -> None:
    a, b = evaluation("a", A), evaluation("b", B)
    shuffled = Evaluation(
        "b", "network", {}, b.errors.sample(frac=1, random_state=3), b.summary, 1.0, 1
    )
    assert pair(a, shuffled, "mm") == pair(a, b, "mm")


def test_what_one_of_them_was_given_counts_for_neither() -> None:
    a, b = evaluation("a", {"s1": [5.0, 1.0]}), evaluation("b", {"s1": [0.0, 3.0]})
    b.errors.loc[0, "given"] = True
    found = pair(a, b, "mm")
    assert (found.frames, found.mean) == (1, 2.0)


def test_seconds_per_200_frames() -> None:
    one = evaluation("a", A)
    assert one.ms_per_frame == pytest.approx(20)
    assert one.seconds_per_200 == pytest.approx(4)
    assert one.to_json()["seconds_per_200_frames"] == pytest.approx(4)


def test_examples_are_chosen_by_rule() -> None:
    many = {"s1": [float(i) for i in range(10)], "s2": [20.0 + i for i in range(10)]}
    found = examples(comparison(evaluation("a", many)))
    # Of twenty frames the 2nd, the 10th and the 18th.
    assert [(p, key[0], frame) for p, key, frame in found] == [
        (10.0, "s1", 10),
        (50.0, "s1", 90),
        (90.0, "s2", 70),
    ]
    # Only frames where all have a position: the third of s1 and the first of s2 drop out.
    both = comparison(evaluation("a", A), evaluation("b", B))
    chosen = {(key[0], frame) for _, key, frame in examples(both, tuple(range(1, 101)))}
    assert len(chosen) == 6
    assert not chosen & {("s1", 20), ("s2", 0)}
    assert examples(comparison(evaluation("a", {"s1": [None]}))) == []


def test_marks_are_where_all_methods_are() -> None:
    both = comparison(evaluation("a", A), evaluation("b", B))
    marks = marks_on(both, ("s1", "s1.avi", "s1s1"), 20)
    assert marks.label == (50, 50)
    assert list(marks.points) == ["a", "b"]
    assert marks.points["a"] is None
    assert marks.points["b"] == pytest.approx((60, 50))
    assert math.isnan(marks.errors["a"])
    assert (marks.errors["b"], marks.unit) == (1.0, "mm")
    # 5 mm are 50 px of 0.1 mm, and 25 px of 0.2 mm.
    assert marks.ring_px == pytest.approx((50, 25))
    with pytest.raises(ResultError, match=r"s1\.avi, frame 21: was not evaluated"):
        marks_on(both, ("s1", "s1.avi", "s1s1"), 21)
    with pytest.raises(ResultError, match="was not evaluated"):
        marks_on(both, ("s3", "s1.avi", "s1s1"), 20)


def test_drift_grows_with_the_time_since_the_start() -> None:
    rising = {f"s{k}": [0.0, *(float(i + k) for i in range(1, 11))] for k in range(3)}
    table = drift(comparison(evaluation("a", rising)), bins=5)
    assert table["unit"].unique().tolist() == ["s"]
    assert table["elapsed"].tolist() == pytest.approx([0.4, 1.2, 2.0, 2.8, 3.6])
    # Bins of two frames, the last of three: medians over three clips shifted by one.
    assert table["frames"].tolist() == [6, 6, 6, 6, 9]
    assert table["median"].tolist() == pytest.approx([0.5, 3.5, 5.5, 7.5, 10.0])
    untimed = evaluation("a", rising)
    untimed.errors["time_s"] = np.nan
    assert drift(comparison(untimed))["unit"].unique().tolist() == ["frames"]


def test_clips_that_start_later_start_at_zero() -> None:
    late = evaluation("a", {"s1": [1.0, 2.0], "s2": [1.0, 2.0]})
    late.errors.loc[late.errors["subject"] == "s2", "time_s"] += 60.0
    assert drift(comparison(late), bins=2)["elapsed"].tolist() == pytest.approx([0.1, 0.3])


@given(st.sets(st.integers(0, 300), max_size=40))
def test_even_runs_cover_every_frame_once(frames: set[int]) -> None:
    runs = list(even_runs(sorted(frames)))
    assert [frame for run in runs for frame in run] == sorted(frames)


def test_evenly_spaced_frames_are_one_run() -> None:
    assert list(even_runs([3, 10, 17, 24])) == [range(3, 25, 7)]
    assert list(even_runs([5])) == [range(5, 6)]
