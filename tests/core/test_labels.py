"""Labels hold only what a file can hold; edits keep to one label and can be undone."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from napari_deepmtj.core.labels import Edit, Label, StateEdit
from napari_deepmtj.core.trajectory import Origin
from napari_deepmtj.errors import LabelError

LABEL = Label(clip="a.avi", clip_sha256="ff", frame=3, x_px=1.5, y_px=2.5, annotator="anna")


def changed(**changes: object) -> Label:
    return dataclasses.replace(LABEL, **changes)


def test_numbers_of_numpy_become_plain() -> None:
    label = changed(frame=np.int64(3), round=np.uint8(2), x_px=np.float32(1.5), y_px=2)
    assert (type(label.frame), type(label.round)) == (int, int)
    assert (type(label.x_px), type(label.y_px)) == (float, float)
    assert label == changed(round=2, y_px=2.0)
    assert changed(origin="CORRECTED").origin is Origin.CORRECTED


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"frame": 3.0}, "frame 3.0 is not a whole number"),
        ({"round": "1"}, "round '1' is not a whole number"),
        ({"origin": "GUESS"}, "origin 'GUESS' is not one of MANUAL"),
        ({"clip": "a\udcff.avi"}, r"clip 'a\\udcff.avi' is not valid text"),
        ({"annotator": "a\0b"}, "is not valid text"),
        ({"annotator": "a" * 1001}, "annotator is longer than 1000"),
        ({"y_px": None}, "belong together"),
    ],
)
def test_what_no_file_could_hold_is_refused(changes: dict[str, object], complaint: str) -> None:
    with pytest.raises(LabelError, match=complaint):
        changed(**changes)


def test_an_edit_keeps_the_key_and_its_inverse_undoes_it() -> None:
    moved = Edit(LABEL, changed(x_px=9.0))
    assert moved.key == LABEL.key == moved.inverse().key
    assert moved.inverse() == Edit(changed(x_px=9.0), LABEL)
    assert moved.inverse().inverse() == moved
    assert Edit(None, LABEL).key == Edit(LABEL, None).key == LABEL.key
    with pytest.raises(LabelError, match="keeps clip, frame, annotator and round"):
        Edit(LABEL, changed(frame=4))
    with pytest.raises(LabelError, match="before or after"):
        Edit(None, None)


def test_an_edit_of_the_state_can_be_undone() -> None:
    edit = StateEdit("position", 3, [1, {"a": None}])
    assert edit.inverse() == StateEdit("position", [1, {"a": None}], 3)
    with pytest.raises(LabelError, match="needs a name"):
        StateEdit("", None, 1)
