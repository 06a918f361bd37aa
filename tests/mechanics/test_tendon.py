from __future__ import annotations

import numpy as np
import pytest

from napari_deepmtj.errors import ResultError
from napari_deepmtj.mechanics.mtu import grieve_change, hawkins_hull_length, partition
from napari_deepmtj.mechanics.names import Muscle
from napari_deepmtj.mechanics.tendon import (
    PassiveCurve,
    corrected_elongation,
    stiffness,
    strain,
    tendon_force,
)


def test_force_by_hand() -> None:
    assert tendon_force([0, 100.0], 50.0).tolist() == [0, 2000]
    assert tendon_force([100.0, 100], [50.0, 40], share=0.5).tolist() == [1000, 1250]


@pytest.mark.parametrize("wrong", [{"moment_arm_mm": 0.0}, {"moment_arm_mm": 5, "share": 1.1}])
def test_impossible_force(wrong: dict[str, float]) -> None:
    with pytest.raises(ResultError, match="moment arm|share"):  # noqa: RUF043
        tendon_force([1.0], **wrong)


def passive(angle: np.ndarray) -> np.ndarray:
    """Return MTJ displacement in mm, proximal, of a passive rotation; dorsiflexion positive."""
    return -0.4 * angle - 0.004 * angle**2 - 2e-5 * angle**3


def contraction() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return force (N), ankle angle, and MTJ displacement of an MVC whose heel lifts by 6 deg.

    The tendon is 200 N/mm throughout.
    """
    force = np.r_[np.linspace(0, 3000, 100), np.linspace(3000, 0, 60)]
    angle = -6 * force / 3000
    return force, angle, force / 200 + passive(angle) - passive(np.zeros(1))


def test_elongation_is_corrected_by_the_passive_trial_at_the_same_angle() -> None:
    swing = 15 * np.sin(np.linspace(0, 4 * np.pi, 300))
    rng = np.random.default_rng(0)
    curve = PassiveCurve.fit(swing, passive(swing) + rng.normal(0, 0.1, 300))
    force, angle, moved = contraction()
    stretched = corrected_elongation(moved, angle, curve)
    assert stretched.max() == pytest.approx(15, rel=0.02)
    assert moved.max() > 1.1 * 15  # what it would be without
    assert curve.residual_sd_mm == pytest.approx(0.1, rel=0.1)
    found = stiffness(force, stretched)
    assert found.n_per_mm == pytest.approx(200, rel=0.02)
    assert stiffness(force, moved).n_per_mm < 180
    assert strain(stretched, 200.0).max() == pytest.approx(0.075, rel=0.02)


def test_beyond_the_passive_trial_nothing_is_claimed() -> None:
    curve = PassiveCurve.fit(np.linspace(-3, 10, 50), passive(np.linspace(-3, 10, 50)))
    force, angle, moved = contraction()
    stretched = corrected_elongation(moved, angle, curve)
    assert np.isnan(stretched[angle < -3]).all()
    assert stretched[angle >= -3] == pytest.approx(force[angle >= -3] / 200, abs=1e-6)
    with pytest.raises(ResultError, match="passive"):
        PassiveCurve.fit([1.0, 1, 1, 1, 2], [0.0] * 5)


def test_stiffness_is_the_slope_of_its_range_on_loading() -> None:
    stretched = np.linspace(0, 10, 101)
    force = np.where(stretched < 5, 100 * stretched, 500 + 300 * (stretched - 5))
    unloading = np.r_[force, force[::-1] * 0.7], np.r_[stretched, stretched[::-1]]
    assert stiffness(*unloading, (0.5, 1.0)).n_per_mm == pytest.approx(300)
    low = stiffness(*unloading, (0, 500), absolute=True)
    assert low.n_per_mm == pytest.approx(100)
    assert (low.force_range_n, low.n, low.r2) == ((0, 500), 51, pytest.approx(1))


@pytest.mark.parametrize(
    ("force", "stretched", "span"),
    [([], [], (0.5, 1)), ([1.0, 2], [1.0, 2], (0, 1)), ([1.0, 2, 3], [1.0] * 3, (0, 1))],
)
def test_a_slope_needs_three_instants(
    force: list[float], stretched: list[float], span: tuple[float, float]
) -> None:
    with pytest.raises(ResultError, match="widen the range"):
        stiffness(force, stretched, span)


@pytest.mark.parametrize("slope", [-1.0, -20.0, -300.0])
def test_a_force_that_falls_with_length_is_no_stiffness(slope: float) -> None:
    stretched = np.linspace(5, 0, 50)
    with pytest.raises(ResultError, match="force falls as the tendon lengthens"):
        stiffness(2000 + slope * stretched, stretched, (0.0, 1.0))


@pytest.mark.parametrize("noise", [0.0, 10.0, 50.0])
@pytest.mark.parametrize("creep", [-10.0, 1.0])
def test_a_torque_that_only_falls_gives_no_stiffness(noise: float, creep: float) -> None:
    """A few rising instants of noise before the greatest force are no loading."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        force = np.linspace(2000, 500, 200) + rng.normal(0, noise, 200)
        stretched = np.linspace(10, 10 + creep, 200) + rng.normal(0, 0.1, 200)
        with pytest.raises(ResultError, match="the force falls"):
            stiffness(force, stretched)


def test_a_contraction_from_a_preload_is_loading() -> None:
    rng = np.random.default_rng(0)
    force = np.r_[np.linspace(1400, 2000, 100), np.linspace(2000, 0, 60)]
    found = stiffness(force, force / 200 + rng.normal(0, 0.02, 160))
    assert found.n_per_mm == pytest.approx(200, rel=0.03)


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ResultError, match="rest length"):
        strain([1.0], 0.0)
    with pytest.raises(ResultError, match="from less to more"):
        stiffness([1.0, 2, 3], [1.0, 2, 3], (1.0, 0.5))
    with pytest.raises(ResultError, match="same instants"):
        stiffness([1.0, 2, 3], [1.0, 2])
    with pytest.raises(ResultError, match="do not match"):
        partition([1.0, 2], [1.0])
    with pytest.raises(ResultError, match="shank"):
        grieve_change(0, 0, 0.0)


# ---- MTU -------------------------------------------------------------------------------------


def test_grieve_by_hand() -> None:
    # -22.18468 + 0.30141 * 90 - 0.00061 * 8100 = 0.00122 % of the shank
    assert grieve_change(0, 0, 400.0, Muscle.SOLEUS) == pytest.approx(0.00122 * 4, abs=1e-9)
    # knee straight: + 6.46251 %
    assert grieve_change(0, 0, 400.0) == pytest.approx((0.00122 + 6.46251) * 4)
    # 10 deg dorsiflexed: -22.18468 + 30.141 - 6.1 = 1.85632; knee at 90: 0.16521
    assert grieve_change(10, 90, 100.0) == pytest.approx(1.85632 + 0.16521)


def test_hawkins_and_hull_by_hand() -> None:
    assert hawkins_hull_length(0, 0, 400.0) == pytest.approx((0.9 + 0.00214 * 90) * 400)
    assert hawkins_hull_length(10, 30, 1.0) == pytest.approx(0.9 - 0.0186 + 0.214)
    assert hawkins_hull_length(0, 30, 1.0, Muscle.SOLEUS) == pytest.approx(0.563 + 0.1737)
    assert hawkins_hull_length(0, 10, 1.0, Muscle.LATERAL_GASTROCNEMIUS) == pytest.approx(
        0.894 - 0.005 + 0.1926
    )


def test_the_models_agree_on_what_anatomy_says() -> None:
    shank, ankle, knee = 400.0, np.linspace(-30, 30, 61), np.linspace(0, 90, 91)
    for change in (grieve_change, hawkins_hull_length):
        by_ankle, by_knee = change(ankle, 0, shank), change(0, knee, shank)
        assert (np.diff(by_ankle) > 0).all()  # dorsiflexion lengthens
        assert (np.diff(by_knee) < 0).all()  # flexing the knee shortens
        # tendon travel: the slope by angle in radians is a moment arm, 35 to 60 mm at the ankle
        # and 10 to 40 mm at the knee
        arms = np.diff(by_ankle) / np.deg2rad(1), -np.diff(by_knee) / np.deg2rad(1)
        assert 30 < arms[0].min() < arms[0].max() < 65
        assert 10 < arms[1].min() < arms[1].max() < 40
        assert np.ptp(change(0, knee, shank, Muscle.SOLEUS)) == 0


def test_muscle_and_tendon_share_the_change_of_the_whole() -> None:
    angle = np.linspace(-10, 20, 31)
    whole = hawkins_hull_length(angle, 0, 400.0)
    moved = -0.6 * (whole - whole[0])  # distally by 60 % of it
    done = partition(whole, moved)
    assert done.muscle_share == pytest.approx(0.6)
    assert done.tendon_share == pytest.approx(0.4)
    assert done.muscle_mm + done.tendon_mm == pytest.approx(whole - whole[0])
    assert done.muscle_mm[-1] == pytest.approx(0.6 * 0.00214 * 30 * 400)


def test_an_isometric_contraction_stretches_the_tendon_by_what_the_muscle_shortens() -> None:
    done = partition(np.full(5, 440.0), np.arange(5.0))
    assert done.tendon_mm.tolist() == [0, 1, 2, 3, 4]
    assert done.muscle_mm.tolist() == [0, -1, -2, -3, -4]
    assert np.isnan(done.muscle_share)


def test_missing_positions_have_no_share() -> None:
    moved = np.array([np.nan, 0, -1, np.nan, -3])
    done = partition(np.arange(5.0) * 2, moved)
    assert np.isnan(done.tendon_mm[[0, 3]]).all()
    assert done.tendon_mm[[1, 2, 4]] == pytest.approx([0, 1, 3])
    nothing = partition([1.0, 2], [np.nan, np.nan])
    assert np.isnan(nothing.muscle_mm).all()
