"""A laboratory's own labels: coverage, confidence and offset fitted from them, and refusals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from small_networks import write_tiny

from napari_deepmtj.core.geometry import Scale
from napari_deepmtj.core.jobs import Done, Failed
from napari_deepmtj.core.labels import Label
from napari_deepmtj.errors import LabelError, WeightsError
from napari_deepmtj.evaluation.doubt import coverage_interval, squared_distance
from napari_deepmtj.inference.decode import REGION, Decoding, calibrated_covariance
from napari_deepmtj.inference.peak import Peak
from napari_deepmtj.labels.labelled import LabelledClip
from napari_deepmtj.training.fit_confidence import (
    confidence_of,
    fit_confidence,
    fit_doubt,
    fit_offset,
)
from napari_deepmtj.training.lab_labels import LabLabels, halves
from napari_deepmtj.training.observed import Observed
from napari_deepmtj.video.stacks.stack import ArraySource
from napari_deepmtj.weights.store import MODELS_VARIABLE, load_model, read_card

CARD = Decoding(
    sd_floor_x_px=2.0,
    sd_floor_y_px=2.0,
    reach_power=1.0,
    presence_weight=0.3,
    mass_weight=0.3,
    tolerance_weight=1.0,
)


def laboratory(
    n_clips: int = 40,
    each: int = 10,
    *,
    sd: tuple[float, float] = (6.0, 1.5),
    offset: tuple[float, float] = (0.0, 0.0),
    seed: int = 0,
) -> LabLabels:
    """Return labels about predictions, with errors that grow with what the map says, in px."""
    rng = np.random.default_rng(seed)
    n = n_clips * each
    truth = rng.uniform([40, 30], [200, 100], (n, 2))
    doubt = np.exp(rng.normal(0.0, 0.5, n))
    towards = np.where(rng.random(n_clips) < 0.5, -1.0, 1.0).repeat(each)
    shift = np.stack([towards * offset[0], np.full(n, offset[1])], axis=1) / 0.25
    error = rng.normal(size=(n, 2)) * sd * doubt[:, None] - shift
    peak = Peak(truth + error, np.zeros((n, 2, 2)), np.full(n, 0.8), 5 * 2**0.5 * doubt)
    return LabLabels(
        Observed(peak, np.full(n, 4.0), truth, np.ones(n, bool), np.full((n, 2), 0.25)),
        np.array([f"clip {k}" for k in range(n_clips)]).repeat(each),
        np.array([f"subject {k // 2}" for k in range(n_clips)]).repeat(each),
        np.full(n, 20.0),
        towards,
    )


def test_regions_cover_what_they_say_on_labels_never_seen() -> None:
    fitted, figures = fit_doubt(laboratory(seed=1), replace(CARD, target_sigma_px=5.0))
    low, high = figures["coverage_interval"]
    assert low < 0.9 < high
    later = laboratory(n_clips=400, seed=2).seen
    squares = squared_distance(
        later.peak.xy - later.truth, calibrated_covariance(later.peak, fitted)
    )
    assert low <= (squares <= REGION).mean() <= high
    assert abs(figures["coverage_crossed"] - 0.9) < 0.06
    assert figures["coverage_before"] < 0.8  # what there was to mend


def test_along_and_across_are_told_apart() -> None:
    fitted, _ = fit_doubt(laboratory(), CARD)
    assert fitted.sd_floor_x_px / fitted.sd_floor_y_px == pytest.approx(4.0, rel=0.2)


def test_confidence_means_what_it_says() -> None:
    fitted, figures = fit_doubt(laboratory(seed=3), CARD)
    assert figures["confidence_error_crossed"] < 0.05
    assert figures["confidence_error_crossed"] < figures["confidence_error_before"]
    later = laboratory(n_clips=200, seed=4)
    right = np.hypot(*(later.seen.peak.xy - later.seen.truth).T) <= later.tolerance
    assert confidence_of(later, fitted).mean() == pytest.approx(right.mean(), abs=0.04)


@pytest.mark.parametrize("truth", [(2.0, 0.4), (-1.5, 0.0)])
def test_the_offset_is_found_from_twenty_labels_whichever_side_is_distal(
    truth: tuple[float, float],
) -> None:
    lab = laboratory(4, 5, sd=(2.0, 0.5), offset=truth, seed=5)
    assert set(lab.towards) == {-1.0, 1.0}
    fitted, figures = fit_offset(lab, CARD)
    assert fitted.offset_distal_mm == pytest.approx(truth[0], abs=0.4)
    assert fitted.offset_deep_mm == pytest.approx(truth[1], abs=0.1)
    low, high = figures["distal_interval_mm"]
    assert low <= fitted.offset_distal_mm <= high
    moved = lab.shifted(fitted).seen
    assert np.abs(np.median(moved.truth - moved.peak.xy, axis=0)).max() < 1.0


def test_halves_share_no_subject_or_at_least_no_clip() -> None:
    many, few = laboratory(12, 3), laboratory(6, 3)
    part, unit = halves(many)
    assert unit == "subject"
    for k in (0, 1):
        assert not set(many.subject[part == k]) & set(many.subject[part != k])
        assert (part == k).sum() == 18
    part, unit = halves(few)
    assert unit == "clip"
    assert not set(few.clip[part == 0]) & set(few.clip[part == 1])


@pytest.mark.parametrize(
    ("n_clips", "each", "message"),
    [(39, 1, "needs 40 labels .* these are 39"), (1, 50, "of one clip")],
)
def test_too_few_labels_are_refused(n_clips: int, each: int, message: str) -> None:
    with pytest.raises(LabelError, match=message):
        fit_doubt(laboratory(n_clips, each), CARD)


def test_an_offset_needs_twenty_labels_with_scale_and_side() -> None:
    lab = laboratory(4, 5)
    lost = replace(lab, towards=np.where(np.arange(20) < 1, np.nan, lab.towards))
    with pytest.raises(LabelError, match="these are 19 of 20"):
        fit_offset(lost, CARD)


def test_the_interval_of_the_coverage_narrows_with_labels() -> None:
    few, many = coverage_interval(20), coverage_interval(2000)
    assert few[1] - few[0] > 0.2
    assert many[1] - many[0] < 0.03


def made_clip(number: int, n: int = 24) -> LabelledClip:
    frames = np.random.default_rng(number).integers(0, 256, (n, 32, 64), dtype=np.uint8)
    opened = partial(
        ArraySource, frames, name=f"c{number}", scale=Scale.isotropic(0.5, "given by hand")
    )
    with opened() as source:
        sha256 = source.sha256
    labels = tuple(
        Label(
            clip=f"c{number}",
            clip_sha256=sha256,
            frame=k,
            x_px=20.0 + k,
            y_px=15.0,
            annotator="A",
        )
        for k in range(n)
    )
    return LabelledClip(f"c{number}", sha256, f"s{number}", labels, opened, "full")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a small model of random weights that sees an MTJ in everything."""
    folder = tmp_path_factory.mktemp("models")
    write_tiny(folder, decoding={"presence_threshold": 0.0, "sd_floor_px": 2.0})
    return folder


@pytest.fixture
def fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, models: Path) -> Callable[..., object]:
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path / "mine"))

    def call(clips: list[LabelledClip], **options: object) -> object:
        *_, last = fit_confidence(clips, models / "tiny.safetensors", **options)  # type: ignore[arg-type]
        if isinstance(last, Failed):
            raise last.error
        assert isinstance(last, Done)
        return last.result

    return call


def test_the_new_model_has_the_same_weights_and_says_where_it_comes_from(
    fit: Callable[..., object], models: Path
) -> None:
    clips = [made_clip(1), made_clip(2)]
    before = read_card(models / "tiny.safetensors")
    fit(clips)
    card = load_model("tiny-lab").card
    assert card.sha256 == before.sha256
    assert card.decoding["region_scale"] != before.decoding.get("region_scale", 1.0)
    assert card.recordings == {clip.sha256[:16] for clip in clips}
    assert card.made_with["confidence_fitted_on"]["model"]["id"] == "tiny"
    assert card.figures["laboratory"]["labels"] == 48
    with pytest.raises(WeightsError, match="there is such a model already"):
        fit(clips)
    fit(clips, overwrite=True)


def test_a_clip_that_was_fitted_on_is_refused(fit: Callable[..., object]) -> None:
    clips = [made_clip(1), made_clip(2)]
    fit(clips)
    *_, last = fit_confidence(clips, "tiny-lab", model_id="again")
    assert isinstance(last, Failed)
    assert "learned from c1 and 1 more" in str(last.error)
