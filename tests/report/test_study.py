from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from napari_deepmtj.core.geometry import Scale
from napari_deepmtj.core.labels import Label
from napari_deepmtj.errors import ResultError
from napari_deepmtj.evaluation.agreement import Agreement, raters_of_labels, study
from napari_deepmtj.report.study import (
    earlier_files,
    remarks,
    require_new,
    save_study,
    table_rows,
    together_rows,
    worst_frames,
)

pytest.importorskip("pingouin", reason="the extra statistics is not installed")

#: How far to the right of anna's position bert has each frame, in px.
AWAY = [3.0, -1.0, 7.0, 0.0, 7.0]


def of(*people: str, scale: float | None = 0.5) -> Agreement:
    labels = [
        Label(
            clip="a.avi",
            clip_sha256="aa",
            frame=10 * i,
            x_px=50.0 + 10 * i + (away if who == "bert" else 0.0),
            y_px=20.0 + i,
            annotator=who,
        )
        for i, away in enumerate(AWAY)
        for who in people
    ]
    scales = {} if scale is None else {"aa": Scale(scale, 0.2, "test")}
    return study(raters_of_labels({"": labels}), scales)


def test_the_worst_frames_come_first() -> None:
    (pair,) = of("anna", "bert").pairs
    rows = worst_frames(pair, 3)
    assert [row[:3] for row in rows] == [
        ("a.avi", "aa", 20),
        ("a.avi", "aa", 40),
        ("a.avi", "aa", 0),
    ]
    assert [row[3:] for row in rows] == [(3.5, 0.0, 3.5), (3.5, 0.0, 3.5), (1.5, 0.0, 1.5)]
    assert len(worst_frames(pair, 50)) == len(AWAY)


def test_rows_say_what_the_study_found() -> None:
    (pair,) = of("anna", "bert").pairs
    rows = {row[0]: row[1:] for row in table_rows(pair)}
    assert rows[""] == ("x [mm]", "y [mm]", "distance [mm]")
    bias = pair.limits["x"].bias
    assert rows["bias (mean)"][0] == f"1.60 ({bias.low:.2f} to {bias.high:.2f})"
    assert rows["within 1 mm"] == ("", "", "40.0 %")
    assert rows["within 2 mm"] == ("", "", "60.0 %")
    assert rows["frames compared"] == ("5", "", "")
    assert rows["kappa of visibility"][0] == "-"
    three = dict(row[:2] for row in together_rows(of("anna", "bert", "carl")))
    assert three["frames compared"] == "5"


def test_what_must_be_told_is_told() -> None:
    (frames,) = remarks(of("anna", "bert"))
    assert frames.startswith("frames of one clip are not independent")
    assert remarks(of("anna", "bert", scale=None))[1].startswith("not every clip has a scale")


def test_a_study_is_saved_once(tmp_path: Path) -> None:
    written, notices = save_study(of("anna", "=bert"), tmp_path)
    assert notices == []
    assert {path.name for path in tmp_path.iterdir()} == set(written)
    assert {path.name for path in earlier_files(tmp_path)} == set(written)
    assert pd.read_csv(tmp_path / "agreement.csv")["second"].unique().tolist() == ["'=bert"]
    with pytest.raises(ResultError, match=r"agreement\.csv: exists; choose another"):
        require_new(tmp_path, "choose another")
