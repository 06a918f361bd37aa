"""Annotation's keys against every key that napari itself uses, but for its menus' (a window's)."""

from pathlib import Path

import pytest
from app_model.types import KeyBinding
from napari import layers
from napari.components import ViewerModel
from napari.utils.shortcuts import default_shortcuts

from napari_deepmtj._napari.annotation import shortcuts
from napari_deepmtj._napari.annotation.shortcuts import SHORTCUTS

KINDS = (
    layers.Layer,
    layers.Image,
    layers.Labels,
    layers.Points,
    layers.Shapes,
    layers.Surface,
    layers.Tracks,
    layers.Vectors,
)

#: Bound by Labels layers alone, whose own keys stand before the viewer's: there they undo paint.
UNDO_OF_PAINTING = {"Ctrl+Z", "Ctrl+Shift+Z"}


@pytest.fixture(scope="module")
def taken():
    """The keys of all actions, and those that classes of viewers and layers bind."""
    found = {KeyBinding.from_str(str(k)) for keys in default_shortcuts.values() for k in keys}
    for owner in (ViewerModel, *KINDS):
        found |= {KeyBinding.from_str(str(key)) for key in owner.class_keymap}
    return found


def test_the_list_of_taken_keys_is_napari_s(taken):
    known = ("Space", "Ctrl+R", "3", "P", "Delete", "Ctrl+C", "Ctrl+Z", "Shift+Up", "Shift+A")
    assert {KeyBinding.from_str(key) for key in known} <= taken
    assert len(taken) > 60


def test_no_key_means_something_else_in_napari(taken):
    clashing = [s.key for s in SHORTCUTS if KeyBinding.from_str(s.key) in taken]
    assert set(clashing) == UNDO_OF_PAINTING
    for kind in KINDS:
        own = {str(key) for key in kind.class_keymap}
        assert not own & UNDO_OF_PAINTING or kind is layers.Labels


def test_every_key_stands_once_in_the_table():
    keys = [KeyBinding.from_str(s.key) for s in SHORTCUTS]
    assert len(set(keys)) == len(keys)
    assert all(s.text for s in SHORTCUTS)


def test_the_manual_has_the_same_table():
    manual = Path(__file__).parents[3] / "docs" / "how-to" / "annotation.md"
    lines = manual.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith("| `")] == [
        f"| `{s.key}` | {s.text} |" for s in SHORTCUTS
    ]


def test_keys_are_bound_and_given_back():
    viewer, done = ViewerModel(), []

    class Recorder:
        def toggle(self, name):
            done.append(name)

        def __getattr__(self, name):
            return lambda *_: done.append(name)

    shortcuts.bind(viewer, Recorder())
    assert set(viewer.keymap) == {KeyBinding.from_str(s.key) for s in SHORTCUTS}
    for key in ("G", "9", "8"):
        viewer.keymap[KeyBinding.from_str(key)](viewer)
    assert done == ["accept", "contrast", "zoom_to_last"]
    shortcuts.unbind(viewer)
    assert not viewer.keymap
