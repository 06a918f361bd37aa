"""Bias along and across the tendon: the axis is the tendon's, the signs are anatomy's."""

from __future__ import annotations

import numpy as np
import pytest

from napari_deepmtj.evaluation.axis import clip_axis

TILT = np.deg2rad(20)
#: Ten positions over 18 mm, on a line whose right end lies deeper.
SLOPED = np.outer(np.arange(10) * 2.0, [np.cos(TILT), np.sin(TILT)]) + [30, 10]


@pytest.mark.parametrize(("distal", "proximal"), [("right", -1), ("left", 1), (None, -1)])
def test_moving_labels_give_the_axis(distal, proximal):
    axis = clip_axis(SLOPED, distal, 5.0)
    np.testing.assert_allclose(axis.along, proximal * np.array([np.cos(TILT), np.sin(TILT)]))
    # At a right angle, and down into the picture whichever side is distal.
    np.testing.assert_allclose(axis.across, [-np.sin(TILT), np.cos(TILT)])
    assert (axis.source, axis.distal) == ("labels", distal or "")
    assert axis.degrees == pytest.approx(20)


@pytest.mark.parametrize(
    "labels",
    [
        SLOPED * 0.2,
        np.random.default_rng(0).normal(0, 9, (30, 2)),
        np.array([[5.0, 0.0], [5.0, 30.0]]),
        SLOPED[:1],
        np.full((3, 2), np.nan),
        np.empty((0, 2)),
    ],
    ids=["still", "cloud", "up and down", "one", "never seen", "none"],
)
def test_labels_that_do_not_show_the_tendon_leave_the_horizontal(labels):
    axis = clip_axis(labels, "left", 5.0)
    np.testing.assert_array_equal(axis.along, [1, 0])
    np.testing.assert_array_equal(axis.across, [0, 1])
    assert axis.source == "horizontal"
    assert axis.degrees == 0


def test_hidden_labels_do_not_count():
    holes = np.insert(SLOPED, [2, 5], np.nan, axis=0)
    np.testing.assert_allclose(
        clip_axis(holes, "right", 5.0).along, clip_axis(SLOPED, "right", 5.0).along
    )


def test_a_difference_is_turned_and_keeps_its_length():
    axis = clip_axis(SLOPED, "right", 5.0)
    differences = np.random.default_rng(1).normal(size=(20, 2))
    turned = axis.project(differences)
    np.testing.assert_allclose(np.hypot(*turned.T), np.hypot(*differences.T))
    # 3 mm towards the heel along the tendon is -3 along, 0 across.
    np.testing.assert_allclose(axis.project([-3 * axis.along]), [[-3, 0]], atol=1e-12)
