"""What `benchmarks/accuracy.py` rests on: changes that move the truth with the picture, counts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from small_networks import write_tiny

import accuracy
import accuracy_development as development
import accuracy_phantom as phantom
import accuracy_spoil as spoil
from napari_deepmtj.weights.store import load_model, read_card

MM = (0.2, 0.2)
SPOT = np.array([150.3, 60.8])


def picture() -> np.ndarray:
    """Return a dark picture with one bright spot, as wide as a tip is long."""
    y, x = np.mgrid[:160, :300]
    far = (x - SPOT[0]) ** 2 + (y - SPOT[1]) ** 2
    return (20 + 180 * np.exp(-far / (2 * 6.0**2))).round().astype(np.uint8)


def spot_near(shown: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Return where the spot is about a place; it must be far brighter than what is about it."""
    left, top = np.maximum(np.round(xy).astype(int) - 25, 0)
    smooth = ndimage.gaussian_filter(shown.astype(float), 3)[top : top + 51, left : left + 51]
    y, x = np.unravel_index(smooth.argmax(), smooth.shape)
    assert smooth.max() > 1.5 * (np.median(smooth) + 5)
    return np.array([left + x, top + y], float)


CHANGES = {f"{n[0]}-{n[1]}": n[2] for n in spoil.NUISANCES} | development.FORMS


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_the_truth_moves_with_the_picture(change: spoil.Change) -> None:
    shown, xy, mm = change(picture(), SPOT, MM)
    assert shown.dtype == np.uint8
    assert np.abs(spot_near(shown, xy) - xy).max() < 1.5
    assert shown.shape != (160, 300) or mm == MM
    if mm != MM:  # the same millimetres from another number of pixels
        np.testing.assert_allclose(shown.shape[1] * mm[0], 300 * 0.2, rtol=0.02)


def test_a_picture_without_an_mtj_stays_without_one() -> None:
    for _, _, change in spoil.NUISANCES:
        assert np.isnan(change(picture(), np.full(2, np.nan), MM)[1]).all()


def test_stress_grows_with_severity_and_follows_its_seed() -> None:
    def spoilt(severity: float, seed: int = 1) -> list[np.ndarray]:
        rng = np.random.default_rng(seed)
        shots = (spoil.stressed(picture(), SPOT, MM, severity=severity, rng=rng) for _ in range(30))
        return [shot[0] for shot in shots]

    np.testing.assert_array_equal(spoilt(0.6), spoilt(0.6))
    assert any((a != b).any() for a, b in zip(spoilt(0.6), spoilt(0.6, 2), strict=True))
    assert all((shot == picture()).all() for shot in spoilt(0.0))
    off = [np.mean([np.abs(s.astype(float) - picture()) for s in spoilt(v)]) for v in (0.2, 0.5, 1)]
    assert off[0] < off[1] < off[2]


def test_only_positions_that_are_given_count_and_the_others_are_counted() -> None:
    n = 12
    table = pd.DataFrame(
        {
            "subject": np.arange(n) // 3,
            "style": 0,
            "present": np.arange(n) < 10,
            "in_view": np.isin(np.arange(n), [0, 1, 2, 3, 4, 5, 6, 7, 11]),
            "confidence": 0.5,
            "dx": np.where(np.arange(n) < 6, 1.0, 9.0),
            "dy": 0.0,
            "error": np.where(np.arange(n) < 6, 1.0, 9.0),
            "xx": 4.0,
            "xy": 0.0,
            "yy": 4.0,
        }
    )
    told = phantom.summary(table)
    assert (told["frames"], told["missed"], told["absent"], told["invented"]) == (10, 2, 2, 1)
    assert told["within"] == pytest.approx(6 / 8)
    everything, row = phantom._both("m", table, table["in_view"])
    assert everything[1:3] == ("10", "40.0%")
    assert row[1:3] == ("8", "25.0%")
    assert row[3] == "0.250"  # 0.5 told, 0.75 true
    assert row[5] == "75.0%"  # 1 mm is inside of 2 sd, 9 mm are not


def test_weights_of_a_commit_are_taken_from_its_blob(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*arguments: str) -> str:
        who = ("-c", "user.name=a", "-c", "user.email=a@b")
        done = subprocess.run(
            ["git", "-C", str(tmp_path), *who, *arguments], capture_output=True, check=True
        )
        return done.stdout.decode().strip()

    weights = write_tiny(tmp_path, "spot")
    kept = read_card(weights).sha256
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "Keep weights")
    weights.unlink()
    monkeypatch.setattr(accuracy, "ROOT", tmp_path)
    (out := tmp_path / "out").mkdir()
    commit = git("rev-parse", "--short=8", "HEAD")
    title, file = accuracy.model_file(f"{commit}:spot", out)
    assert commit in title
    assert load_model(file).card.sha256 == kept
    with pytest.raises(SystemExit, match="no weights of other"):
        accuracy.model_file(f"{commit}:other", out)


def test_what_is_refused_and_what_is_believed_is_counted() -> None:
    table = pd.DataFrame(
        {
            "in_view": [0, 1, 1, 1],
            "confidence": [0.9, 0.9, 0.9, 0.1],
            "flags": ["", "", "unfamiliar", ""],
        }
    )
    rows = development._refused(table)
    assert rows == [(True, False), (False, True), (False, False), (False, False)]
