"""Fit a model's doubt, and its label offset, on a laboratory's own labels; the weights stay.

Split conformal prediction: what shapes the 90 % region comes from the model and one half of the
labels, its size from the other half, so that the coverage holds whatever the errors look like
(Lei et al. 2018, doi:10.1080/01621459.2017.1307116), as far as new clips are like those labelled.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_deepmtj.core.jobs import Done, Failed, Notice, Progress
from napari_deepmtj.errors import DeepMTJError, LabelError, WeightsError
from napari_deepmtj.evaluation.doubt import (
    calibration_error,
    conformal_rank,
    coverage_interval,
    squared_distance,
)
from napari_deepmtj.inference.decode import (
    COVERAGE,
    REGION,
    Decoding,
    calibrated_covariance,
    confidence_features,
)
from napari_deepmtj.labels.labelled import LabelledClip
from napari_deepmtj.training.fit import fit_logistic
from napari_deepmtj.training.lab_labels import LabLabels, halves, look_at
from napari_deepmtj.weights.cards import RECORDING, WeightCard
from napari_deepmtj.weights.download import target_of
from napari_deepmtj.weights.store import load_model, resolve_model, save_card

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

#: Labels with the MTJ in view, and found, without which nothing is fitted. With 40 the coverage of
#: a region from half of them is known to about 12 % (`evaluation.doubt.coverage_interval`).
FEWEST_LABELS, FEWEST_FOR_OFFSET = 40, 20
#: The same for a half of them: with fewer than 9 no region holds 90 %.
FEWEST_IN_HALF = 9
#: Shares of the tolerance at which the confidence is asked to be right.
TOLERANCE_SHARES = (0.5, 1.0, 2.0)
#: An axis of the region is changed by this factor at most before its size is fitted.
MOST_STRETCH = 4.0
#: Median of a chi-squared variable with one degree of freedom.
CHI_MEDIAN = 0.4549
#: Draws, of whole clips, and seed of the interval of the offset.
DRAWS, SEED = 2000, 1


@dataclass(frozen=True, slots=True)
class Fitted:
    """A model with doubt of its own, installed.

    Attributes
    ----------
    card : WeightCard
        Its card, whose `figures` hold what was measured under "laboratory".
    path : Path
        Where it is.
    """

    card: WeightCard
    path: Path


def fit_confidence(
    clips: Sequence[LabelledClip],
    model: str | Path,
    *,
    offset: bool = False,
    model_id: str | None = None,
    overwrite: bool = False,
) -> Generator[Progress | Notice | Done[Fitted] | Failed]:
    """Fit confidence and covariance, and the label offset if asked, and install the model.

    Parameters
    ----------
    clips : sequence of LabelledClip
        At least two; clips that the model learned from are refused.
    model : str or Path
        Whose weights to keep.
    offset : bool
        Whether to fit the label offset, too; with fewer labels than the confidence needs, that
        alone.
    model_id : str, optional
        Id of the new model; that of the model with "-lab" by default.
    overwrite : bool
        Whether a model of that id may be replaced.

    Yields
    ------
    Progress
        In labelled frames.
    Notice
        What a person must be told.
    Done of Fitted, or Failed
        Last.
    """
    try:
        source = resolve_model(model)
        loaded = load_model(source)
        card = loaded.card
        target = target_of(model_id or f"{card.id}-lab", overwrite=overwrite)
        _refuse_known(clips, card)
        labels = yield from look_at(clips, loaded)
        decoding = Decoding.from_card(card.decoding)
        figures: dict[str, Any] = {}
        found = _found(labels, decoding)
        if offset:
            decoding, figures["offset"] = fit_offset(found, decoding)
        if offset and found.seen.present.size < FEWEST_LABELS:
            yield Notice(
                f"the offset alone was fitted: the confidence needs {FEWEST_LABELS} labels that "
                f"the model finds, these are {found.seen.present.size}"
            )
        else:
            decoding, measured = fit_doubt(labels.shifted(decoding), decoding)
            figures |= measured
        new = _card(card, target.stem, decoding, figures, clips)
        yield Done(Fitted(save_card(source, target, new), target))
    except DeepMTJError as error:
        yield Failed(error)


def fit_offset(found: LabLabels, decoding: Decoding) -> tuple[Decoding, dict[str, Any]]:
    """Fit how much further distally and deeper than the network a laboratory labels.

    Medians over the labels, so that blunders of the network do not count; intervals by drawing
    whole clips with replacement.

    Raises
    ------
    LabelError
        If fewer than `FEWEST_FOR_OFFSET` labels lie in clips of known scale and distal side.
    """
    off = (found.seen.truth - found.seen.peak.xy) * found.seen.mm_per_px
    off = off * np.stack([found.towards, np.ones_like(found.towards)], axis=1)
    known = np.isfinite(off.sum(axis=1))
    if known.sum() < FEWEST_FOR_OFFSET:
        raise LabelError(
            f"the label offset needs {FEWEST_FOR_OFFSET} labels that the model finds, in clips "
            f"whose scale and distal side are known; these are {int(known.sum())} of {len(known)}. "
            "State both in the side-cars, or label more"
        )
    off, clip = off[known], found.clip[known]
    distal, deep = (round(float(value), 3) for value in np.median(off, axis=0))
    by_clip = [off[clip == one, 0] for one in np.unique(clip)]
    rng = np.random.default_rng(SEED)
    draws = rng.integers(len(by_clip), size=(DRAWS, len(by_clip)))
    medians = [np.median(np.concatenate([by_clip[k] for k in draw])) for draw in draws]
    low, high = np.quantile(medians, [0.025, 0.975])
    measured = {
        "labels": int(known.sum()),
        "clips": len(by_clip),
        "distal_mm": distal,
        "distal_interval_mm": [round(float(low), 2), round(float(high), 2)],
        "deep_mm": deep,
    }
    return replace(decoding, offset_distal_mm=distal, offset_deep_mm=deep), measured


def fit_doubt(labels: LabLabels, decoding: Decoding) -> tuple[Decoding, dict[str, Any]]:
    """Fit covariance and confidence, and measure both on halves that took no part.

    Raises
    ------
    LabelError
        If the labels are too few, or cannot be halved.
    """
    found = _found(labels, decoding)
    n = found.seen.present.size
    if n < FEWEST_LABELS:
        raise LabelError(
            f"the confidence needs {FEWEST_LABELS} labels with the MTJ in view that the model "
            f"finds; these are {n}. Label more frames, of other clips rather than of these"
        )
    group, unit = halves(labels)
    first, second = (_found(labels.where(group == k), decoding) for k in (0, 1))
    if min(len(half.clip) for half in (first, second)) < FEWEST_IN_HALF:
        raise LabelError(
            "nearly all of the labels that the model finds are in one clip; label other clips"
        )
    covered, told, right = 0, [], []
    for learn, test in ((0, 1), (1, 0)):  # each half, judged by what the other one says
        one, other = (_found(labels.where(group == k), decoding) for k in (learn, test))
        judged = _size(one, _axes(one, decoding))
        covered += int((_squares(other, judged) <= REGION).sum())
        judged = _confidence(_given(labels.where(group == learn), judged), judged)
        rest = _given(labels.where(group == test), judged)
        told.append(confidence_of(rest, judged))
        right.append(_right(rest))
    fitted = _size(second, _axes(first, decoding))
    given = _given(labels, fitted)
    fitted = _confidence(given, fitted)
    low, high = coverage_interval(len(second.clip))
    outcome = np.concatenate(right)
    in_view = _in_view(labels, decoding)
    present = labels.seen.present
    measured = {
        "labels": int(present.sum()),
        "labels_not_in_view": int((~present).sum()),
        "clips": len(np.unique(labels.clip)),
        "subjects": len(np.unique(labels.subject)),
        "halves_share_no": unit,
        "missed": _share(~in_view[present]),
        "invented": _share(in_view[~present]),
        "coverage_aimed_at": COVERAGE,
        "coverage_interval": [round(low, 3), round(high, 3)],
        "coverage_crossed": round(covered / n, 3),
        "coverage_before": _share(_squares(found, decoding) <= REGION),
        "region_scale_before_after": [
            round(value, 3) for value in (decoding.region_scale, fitted.region_scale)
        ],
        "right": _share(outcome),
        "confidence_error_before": round(
            calibration_error(confidence_of(given, decoding), _right(given)), 3
        ),
        "confidence_error_crossed": round(calibration_error(np.concatenate(told), outcome), 3),
    }
    return fitted, measured


def confidence_of(labels: LabLabels, decoding: Decoding) -> FloatArray:
    """Return the confidences (n,) that tracking would state."""
    features = confidence_features(
        labels.seen.peak,
        labels.seen.presence,
        calibrated_covariance(labels.seen.peak, decoding),
        labels.tolerance,
    )
    names = ("bias", "presence_weight", "mass_weight", "tolerance_weight")
    logit = features @ np.array([getattr(decoding, name) for name in names])
    stated: FloatArray = 1 / (1 + np.exp(-np.clip(logit, -60, 60)))
    return stated


def _in_view(labels: LabLabels, decoding: Decoding) -> BoolArray:
    called = 1 / (1 + np.exp(-np.clip(labels.seen.presence, -60, 60)))
    in_view: BoolArray = called >= decoding.presence_threshold
    return in_view


def _found(labels: LabLabels, decoding: Decoding) -> LabLabels:
    """Return the labels with the MTJ in view where the network calls it so."""
    return labels.where(labels.seen.present & _in_view(labels, decoding))


def _given(labels: LabLabels, decoding: Decoding) -> LabLabels:
    """Return the labels of frames for which a position is given, rightly or not."""
    return labels.where(_in_view(labels, decoding))


def _squares(labels: LabLabels, decoding: Decoding) -> FloatArray:
    covariance = calibrated_covariance(labels.seen.peak, decoding)
    return squared_distance(labels.seen.peak.xy - labels.seen.truth, covariance)


def _right(labels: LabLabels, share: float = 1.0) -> BoolArray:
    error = np.hypot(*(labels.seen.peak.xy - labels.seen.truth).T)
    right: BoolArray = labels.seen.present & (error <= share * labels.tolerance)
    return right


def _axes(labels: LabLabels, decoding: Decoding) -> Decoding:
    """Stretch the region along and across to the spread of these labels, by medians."""
    covariance = calibrated_covariance(labels.seen.peak, decoding)
    variance = np.diagonal(covariance, axis1=1, axis2=2)
    squares = (labels.seen.peak.xy - labels.seen.truth) ** 2 / variance
    factor = np.sqrt(np.median(squares, axis=0) / CHI_MEDIAN)
    x, y = (float(v) for v in np.clip(factor, 1 / MOST_STRETCH, MOST_STRETCH))
    return replace(
        decoding,
        sd_floor_x_px=decoding.sd_floor_x_px * x,
        sd_gain_x=decoding.sd_gain_x * x,
        sd_floor_y_px=decoding.sd_floor_y_px * y,
        sd_gain_y=decoding.sd_gain_y * y,
    )


def _size(labels: LabLabels, decoding: Decoding) -> Decoding:
    """Make the region just so large that it bounds the errors of these labels."""
    scores = np.sort(_squares(labels, decoding))
    bound = float(scores[conformal_rank(len(scores)) - 1])
    return replace(decoding, region_scale=decoding.region_scale * math.sqrt(bound / REGION))


def _confidence(labels: LabLabels, decoding: Decoding) -> Decoding:
    """Fit level and slopes of the confidence; the weights of its features keep their ratio."""
    seen = labels.seen
    covariance = calibrated_covariance(seen.peak, decoding)
    rows, outcomes = [], []
    for share in TOLERANCE_SHARES:
        features = confidence_features(
            seen.peak, seen.presence, covariance, share * labels.tolerance
        )
        base = features[:, 1:3] @ np.array([decoding.presence_weight, decoding.mass_weight])
        rows.append(np.stack([features[:, 0], base, features[:, 3]], axis=1))
        outcomes.append(_right(labels, share))
    bias, slope, tolerance = fit_logistic(np.concatenate(rows), np.concatenate(outcomes))
    return replace(
        decoding,
        bias=bias,
        presence_weight=slope * decoding.presence_weight,
        mass_weight=slope * decoding.mass_weight,
        tolerance_weight=tolerance,
    )


def _share(which: BoolArray) -> float | None:
    return round(float(which.mean()), 3) if which.size else None


def _refuse_known(clips: Sequence[LabelledClip], card: WeightCard) -> None:
    known = [clip.name for clip in clips if clip.sha256[:RECORDING] in card.recordings]
    if known:
        raise WeightsError(
            f"{card.id} learned from {known[0]}"
            + (f" and {len(known) - 1} more of these clips" if len(known) > 1 else "")
            + "; a confidence fitted there would be too good. Give clips that it has not seen"
        )


def _card(
    card: WeightCard,
    model_id: str,
    decoding: Decoding,
    figures: dict[str, Any],
    clips: Sequence[LabelledClip],
) -> WeightCard:
    annotators = sorted({label.annotator for clip in clips for label in clip.labels})
    definition = card.label_definition
    if "offset" in figures:
        definition += (
            f"; moved {decoding.offset_distal_mm:+.2f} mm distally and "
            f"{decoding.offset_deep_mm:+.2f} mm deeper, as {', '.join(annotators)} label it"
        )
    said = {
        "model": {"id": card.id, "sha256": card.sha256, "decoding": dict(card.decoding)},
        "annotators": annotators,
        "recordings": sorted(clip.sha256[:RECORDING] for clip in clips),
    }
    return replace(
        card,
        id=model_id,
        decoding=asdict(decoding),
        figures={**card.figures, "laboratory": figures},
        label_definition=definition,
        made_with={**card.made_with, "confidence_fitted_on": said},
        created="",
    )
