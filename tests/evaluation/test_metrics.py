from __future__ import annotations

import json
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from napari_deepmtj.core.geometry import Roi, Scale
from napari_deepmtj.core.labels import Label
from napari_deepmtj.core.provenance import Provenance
from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.core.trajectory import FramePrediction, Trajectory
from napari_deepmtj.errors import LabelError
from napari_deepmtj.evaluation.metrics import ERROR_COLUMNS, compare, distances
from napari_deepmtj.evaluation.summary import curve, summarise

Point = tuple[float, float] | None


def trajectory(points: Sequence[Point], scale: Scale | None, sha: str = "aa") -> Trajectory:
    predictions = [
        FramePrediction(
            i,
            *(point or (math.nan, math.nan)),
            covariance=np.eye(2),
            confidence=0.5,
            in_view=point is not None,
        )
        for i, point in enumerate(points)
    ]
    roi = Roi(0, 0, 300, 400)
    provenance = Provenance("a.avi", sha, len(points), 480, 640, roi=roi, scale=scale)
    return Trajectory.from_predictions(
        predictions, FrameTimes.from_rate(len(points), 25, "container"), provenance
    )


def labels(points: Sequence[Point], sha: str = "aa", first: int = 0) -> list[Label]:
    return [
        Label(
            clip="a.avi",
            clip_sha256=sha,
            frame=first + i,
            x_px=None if point is None else point[0],
            y_px=None if point is None else point[1],
            annotator="anna",
        )
        for i, point in enumerate(points)
    ]


SCALE = Scale(0.1, 0.2, "test")


def worked_example() -> pd.DataFrame:
    """Three measured frames (5, 2.5 and 0 mm off), one missed, one invented, one rightly empty."""
    truth: list[Point] = [(100, 100), (100, 100), (100, 100), (100, 100), None, None]
    said: list[Point] = [(130, 120), (85, 110), (100, 100), None, (1, 1), None]
    return compare(trajectory(said, SCALE), labels(truth), "s1")


def test_distances_by_hand() -> None:
    points, truth = [[3, 4], [10, 0], [np.nan, 0]], [[0, 0], [0, 0], [0, 0]]
    np.testing.assert_allclose(distances(points, truth), [5, 10, np.nan])
    np.testing.assert_allclose(distances(points, truth, SCALE), [np.hypot(0.3, 0.8), 1, np.nan])


def test_rows_by_hand() -> None:
    errors = worked_example()
    assert tuple(errors.columns) == ERROR_COLUMNS
    np.testing.assert_allclose(errors["dx_px"], [30, -15, 0, np.nan, np.nan, np.nan])
    np.testing.assert_allclose(errors["dy_mm"], [4, 2, 0, np.nan, np.nan, np.nan])
    np.testing.assert_allclose(errors["error_mm"], [5, 2.5, 0, np.nan, np.nan, np.nan])
    # The region is 300 x 400 px, so its diagonal is 500 px.
    np.testing.assert_allclose(
        errors["error_percent"][:3], [np.hypot(30, 20) / 5, np.hypot(15, 10) / 5, 0]
    )
    assert errors["time_s"][1] == pytest.approx(0.04)


def test_summary_by_hand() -> None:
    s = summarise(worked_example())
    assert (s.unit, s.subjects, s.clips, s.frames) == ("mm", 1, 1, 6)
    assert (s.visible, s.hidden, s.missed, s.invented) == (4, 2, 1, 1)
    assert s.mean == pytest.approx(2.5)
    assert s.sd == pytest.approx(2.5)
    assert s.median == pytest.approx(2.5)
    assert s.rms == pytest.approx(math.sqrt((25 + 6.25) / 3))
    assert s.rms_percent == pytest.approx(math.sqrt((1300 + 325) / 3) / 5)
    assert s.bias_x == pytest.approx((3 - 1.5) / 3)
    assert s.bias_y == pytest.approx(2.0)
    # The missed frame counts as outside every radius.
    assert s.within == {1: 25.0, 2: 25.0, 3: 50.0, 5: 75.0, 10: 75.0}
    assert s.valid == 75.0
    assert s.subject_means == {"s1": pytest.approx(2.5)}
    assert math.isnan(s.mean_interval.low)


def test_the_published_rmse_percent_follows_from_the_published_mean_and_sd() -> None:
    # P20: 2.55 mm and a pooled SD of 2.14 mm are 3.33 mm RMS, 3.75 % of the 143.1 px diagonal of
    # 128 x 64 at 8.08 px for 5 mm.
    rng = np.random.default_rng(0)
    draw = rng.gamma(1.4, 1.8, 20_000)
    wanted = np.maximum(0, 2.55 + (draw - draw.mean()) / draw.std(ddof=1) * 2.14)
    px = wanted * 8.08 / 5
    errors = pd.DataFrame({name: [np.nan] * len(px) for name in ERROR_COLUMNS}).assign(
        subject="s",
        clip="c",
        clip_sha256="aa",
        truth_visible=True,
        in_view=True,
        given=False,
        distal="",
        group="",
        error_px=px,
        error_mm=wanted,
        error_percent=100 * px / math.hypot(128, 64),
    )
    s = summarise(errors)
    assert s.mean == pytest.approx(2.55, abs=0.02)
    assert s.rms == pytest.approx(3.33, abs=0.02)
    assert s.rms_percent == pytest.approx(3.75, abs=0.04)


def test_without_a_scale_everything_is_in_pixels() -> None:
    errors = compare(trajectory([(3, 4), (0, 0)], None), labels([(0, 0), (0, 0)]), "s1")
    s = summarise(errors)
    assert (s.unit, s.mean) == ("px", 2.5)
    assert s.within == {}
    assert math.isnan(s.valid)
    assert errors["error_mm"].isna().all()


def test_one_clip_without_a_scale_makes_all_pixels() -> None:
    with_mm = compare(trajectory([(3, 4)], SCALE), labels([(0, 0)]), "s1")
    without = compare(trajectory([(6, 8)], None, "bb"), labels([(0, 0)], "bb"), "s2")
    s = summarise(pd.concat([with_mm, without]))
    assert (s.unit, s.mean, s.subjects, s.clips) == ("px", 7.5, 2, 2)


def test_nothing_found_is_no_number() -> None:
    s = summarise(compare(trajectory([None, None], SCALE), labels([(1, 1), (2, 2)]), "s1"))
    assert s.missed == 2
    assert math.isnan(s.mean)
    assert s.valid == 0
    assert json.loads(json.dumps(s.to_json(), allow_nan=False))["mean"] is None


def test_json_holds_every_number() -> None:
    data = json.loads(json.dumps(summarise(worked_example()).to_json(), allow_nan=False))
    assert data["within"] == {"1": 25.0, "2": 25.0, "3": 50.0, "5": 75.0, "10": 75.0}
    assert data["mean_interval"] == {"low": None, "high": None}
    assert data["mean"] == pytest.approx(2.5)


@pytest.mark.parametrize(
    ("truth", "complaint"),
    [
        (labels([(1, 1)], sha="bb"), "another file named a.avi"),
        (labels([(1, 1)]) * 2, "frame 0: has labels of several"),
        (labels([(1, 1)], first=7), "frame 7: is labelled but was not tracked"),
        ([], "no labels"),
    ],
)
def test_labels_that_do_not_fit_are_refused(truth: list[Label], complaint: str) -> None:
    with pytest.raises(LabelError, match=complaint):
        compare(trajectory([(1, 1)], SCALE), truth, "s1")


def test_only_labelled_frames_count() -> None:
    errors = compare(trajectory([(9, 9)] * 5, SCALE), labels([(9, 9)], first=3), "s1")
    assert errors["frame"].tolist() == [3]


def test_bias_along_the_tendon_is_positive_proximally() -> None:
    # Labels go 6 mm along a line that falls to the right; all positions are 1.5 mm further left
    # on it and 0.5 mm deeper at a right angle. Pixels are twice as tall as wide.
    scale = Scale(0.3, 0.6, "test")
    line, right_angle = np.array([0.8, 0.6]), np.array([-0.6, 0.8])
    truth_mm = np.array([[30.0, 30.0]]) + np.linspace(0, 6, 7)[:, None] * line
    said_mm = truth_mm - 1.5 * line + 0.5 * right_angle
    factors = np.array([0.3, 0.6])
    truth = [(x, y) for x, y in truth_mm / factors]
    said = [(x, y) for x, y in said_mm / factors]
    for distal, along in (("right", 1.5), ("left", -1.5)):
        errors = compare(trajectory(said, scale), labels(truth), "s1", distal=distal)
        assert errors["axis_from"].unique().tolist() == ["labels"]
        assert errors["axis_degrees"][0] == pytest.approx(np.rad2deg(np.arctan(0.75)))
        s = summarise(errors)
        assert s.along.mean == pytest.approx(along)
        assert s.along.mean_absolute == pytest.approx(1.5)
        assert s.across.mean == pytest.approx(0.5)
        assert s.along.sd == pytest.approx(0, abs=1e-9)
        assert s.along.frames == 7


def test_without_a_distal_side_bias_along_has_no_sign() -> None:
    unknown = compare(trajectory([(13, 4), (7, 0)], SCALE), labels([(10, 0), (10, 0)]), "s1")
    known = compare(trajectory([(10, 0)], SCALE, "bb"), labels([(0, 0)], "bb"), "s2", distal="left")
    s = summarise(pd.concat([unknown, known]))
    # Only the second clip has a sign: 1 mm to the right, which is proximal there.
    assert (s.along.frames, s.across.frames) == (1, 3)
    assert s.along.mean == pytest.approx(1.0)
    assert s.along.mean_absolute == pytest.approx((0.3 + 0.3 + 1.0) / 3)
    assert s.across.mean == pytest.approx(0.8 / 3)


def test_a_given_position_counts_nowhere() -> None:
    truth: list[Point] = [(100, 100), (100, 100), (100, 100)]
    said: list[Point] = [(100, 100), (130, 120), None]
    errors = compare(trajectory(said, SCALE), labels(truth), "s1", given={0})
    assert errors["given"].tolist() == [True, False, False]
    s = summarise(errors)
    assert (s.frames, s.visible, s.missed) == (2, 2, 1)
    assert s.mean == pytest.approx(5)
    assert s.valid == 50
    assert s.per_subject[0].frames == 2
    assert curve(errors)["percent"].iloc[-1] == 50


def test_the_curve_holds_the_shares() -> None:
    errors = pd.concat([worked_example(), worked_example().assign(subject="s2")])
    s, table = summarise(errors), curve(errors)
    by_radius = table.set_index("radius_mm")
    for radius, share in s.within.items():
        assert by_radius.loc[radius, "percent"] == pytest.approx(share)
        assert by_radius.loc[radius, "low"] == pytest.approx(s.within_intervals[radius].low)
    assert by_radius.loc[0.0, "percent"] == 25  # one is exactly there
    assert table["percent"].is_monotonic_increasing
    assert by_radius.loc[2.4, "percent"] == 25
    assert by_radius.loc[2.5, "percent"] == 50


def test_subjects_by_hand() -> None:
    far = compare(
        trajectory([(40, 0), None], SCALE, "bb"), labels([(0, 0), (0, 0)], "bb"), "s2"
    ).assign(group="impaired")
    s = summarise(pd.concat([worked_example().assign(group="healthy"), far]))
    first, second = s.per_subject
    assert (first.subject, first.group, first.clips, first.frames) == ("s1", "healthy", 1, 6)
    assert (first.mean, first.median, first.valid) == pytest.approx((2.5, 2.5, 75.0))
    assert (second.group, second.visible, second.missed) == ("impaired", 2, 1)
    assert (second.mean, second.valid) == pytest.approx((4.0, 50.0))
    assert math.isnan(second.sd)
    # Subjects weigh alike here: (2.5 + 4) / 2, while the pooled mean is (5 + 2.5 + 0 + 4) / 4.
    assert s.subjects_mean == pytest.approx(3.25)
    assert s.subjects_sd == pytest.approx(np.std([2.5, 4.0], ddof=1))
    assert s.mean == pytest.approx(2.875)
