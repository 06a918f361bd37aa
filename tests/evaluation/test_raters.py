from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from napari_deepmtj.core.geometry import Scale
from napari_deepmtj.core.labels import Label
from napari_deepmtj.errors import CalibrationError, LabelError
from napari_deepmtj.evaluation.raters import gather
from napari_deepmtj.labels.table import write_labels
from napari_deepmtj.video.sidecar import ClipInfo, write_sidecar
from napari_deepmtj.video.stacks.stack import ArraySource


def label(who: str, frame: int = 0, clip: str = "a.avi", sha256: str = "aa") -> Label:
    return Label(clip=clip, clip_sha256=sha256, frame=frame, x_px=1.0, y_px=2.0, annotator=who)


def opened(name: str, scale: Scale | None) -> ArraySource:
    return ArraySource(np.zeros((2, 8, 8), np.uint8), name=name, scale=scale)


def test_the_scale_that_is_shown_counts_before_the_side_car(tmp_path: Path) -> None:
    source = opened("a.avi", Scale(0.3, 0.4, "calibration line"))
    labels = [label("anna", sha256=source.sha256)]
    path = write_labels(tmp_path / "x.mtj-labels.csv", labels)
    write_sidecar(tmp_path / "a.avi", ClipInfo(Scale(0.1, 0.1, "calibration line")))
    (beside,) = gather([path]).scales.values()
    assert (beside.x_mm, beside.y_mm) == (0.1, 0.1)
    assert gather([path], opened=[source]).scales == {source.sha256: source.scale}
    given = Scale(0.5, 0.5, "given by hand")
    assert gather([path], scale=given, opened=[source]).scales == {source.sha256: given}
    source.scale = None
    assert gather([path], opened=[source]).scales == {source.sha256: beside}


def test_a_clip_nobody_labelled_is_not_read_to_know_its_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_labels(tmp_path / "x.mtj-labels.csv", [label("anna")])
    source = opened("another.avi", Scale(0.3, 0.4, "calibration line"))
    monkeypatch.setattr(ArraySource, "_hash", lambda self: pytest.fail("was hashed"))
    assert gather([path], opened=[source]).scales == {}


def test_two_side_cars_that_contradict_each_other_are_told(tmp_path: Path) -> None:
    paths = []
    for name, mm in (("one", 0.1), ("two", 0.2)):
        (tmp_path / name).mkdir()
        write_sidecar(tmp_path / name / "a.avi", ClipInfo(Scale(mm, mm, "calibration line")))
        paths.append(write_labels(tmp_path / name / "x.mtj-labels.csv", [label(name)]))
    with pytest.raises(CalibrationError, match=r"a\.avi: has two scales, 0\.1 x 0\.1 mm"):
        gather(paths)
    assert gather(paths, scale=Scale(1, 1, "given by hand")).scales["aa"].x_mm == 1


def test_raters_of_files_are_told_apart_and_chosen(tmp_path: Path) -> None:
    two = [label("anna"), dataclasses.replace(label("anna"), round=2), label("bert")]
    path = write_labels(tmp_path / "x.mtj-labels.csv", two)
    again = write_labels(tmp_path / "y.mtj-labels.csv", [label("bert")])
    found = gather([path, tmp_path / "." / path.name, again])
    assert [rater.name for rater in found.raters] == [
        "anna, round 1",
        "anna, round 2",
        "bert (x.mtj-labels.csv)",
        "bert (y.mtj-labels.csv)",
    ]
    with pytest.raises(LabelError, match="there is no rater 'carl', only anna, round 1; anna"):
        found.compare(["carl"])
    with pytest.raises(LabelError, match="these labels are by anna, round 1"):
        found.compare(["anna, round 1"])
    with pytest.raises(LabelError, match="these labels are by nobody"):
        found.compare([])
