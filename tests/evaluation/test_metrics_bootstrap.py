from __future__ import annotations

import numpy as np
import pytest

from napari_deepmtj.evaluation.bootstrap import bootstrap, bootstrap_columns


def test_bootstrap_draws_subjects_not_frames() -> None:
    # Two subjects: a draw has one of them twice (a quarter each) or both, so the middle 95 % of
    # the means reach from one subject's mean to the other's, however many frames there are.
    interval = bootstrap([1.0] * 500 + [3.0] * 500, ["a"] * 500 + ["b"] * 500)
    assert (interval.low, interval.high) == (1.0, 3.0)


def test_bootstrap_of_many_subjects_is_that_of_the_mean() -> None:
    rng = np.random.default_rng(5)
    values = rng.normal(2.0, 1.0, 400)
    interval = bootstrap(values, [f"s{i}" for i in range(400)])
    half = 1.96 * values.std() / 20
    assert interval.low == pytest.approx(values.mean() - half, abs=0.01)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.01)
    assert interval == bootstrap(values, [f"s{i}" for i in range(400)])


def test_bootstrap_weighs_frames_alike() -> None:
    # One of twenty subjects has nearly all frames: most draws have it, and are then near its 0. A
    # mean of the subjects' means would seldom fall below 8.
    values = [0.0] * 10_000 + [10.0] * 19
    interval = bootstrap(values, ["a"] * 10_000 + [f"b{i}" for i in range(19)])
    assert 0 < interval.low < 0.1
    assert interval.high == 10.0


def test_columns_are_drawn_together() -> None:
    # What is twice as large has twice the interval, and a difference of two columns that differ
    # by a constant in every subject has no width at all.
    rng = np.random.default_rng(2)
    subjects = np.repeat([f"s{i}" for i in range(12)], 5)
    error = rng.gamma(2.0, 1.0, 60)
    table = bootstrap_columns(np.stack([error, 2 * error, (error + 1) - error], 1), subjects)
    np.testing.assert_allclose(table[1], 2 * table[0])
    np.testing.assert_allclose(table[2], [1, 1])
    assert table[0].tolist() == [bootstrap(error, subjects).low, bootstrap(error, subjects).high]


def test_no_interval_of_one_subject_or_of_nothing() -> None:
    assert np.isnan(bootstrap([1.0, 2.0], ["a", "a"]).low)
    assert np.isnan(bootstrap([], []).high)
    assert bootstrap_columns(np.empty((4, 0)), ["a", "b", "a", "b"]).shape == (0, 2)


def test_many_subjects_are_drawn_in_parts_that_make_one_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values, subjects = np.random.default_rng(4).normal(size=90), np.repeat(np.arange(30), 3)
    whole = bootstrap(values, subjects)
    monkeypatch.setattr("napari_deepmtj.evaluation.bootstrap._VALUES", 30 * 777)
    assert bootstrap(values, subjects) == whole
