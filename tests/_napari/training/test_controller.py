"""Training from a viewer: below Qt, and once in a real window."""

import dataclasses

import pytest

from napari_deepmtj._napari.contributions.reader import clip_layer
from napari_deepmtj._napari.training import controller as module
from napari_deepmtj._napari.training.controller import Choice, training_controller_of
from napari_deepmtj._napari.viewer.session import session_of
from napari_deepmtj.core.labels import Label
from napari_deepmtj.labels.table import write_labels
from napari_deepmtj.video.opening import open_video
from napari_deepmtj.weights.store import list_models, load_model

QUICK = Choice(start="tiny", epochs=2)


@pytest.fixture
def labelled(make_clip, tmp_path, scale, monkeypatch):
    """Write a clip of each of three subjects, and one file with labels of every other frame."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    labels = []
    for name in ("S1/S1.avi", "S2/S2.avi", "S3/S3.avi"):
        (tmp_path / name).parent.mkdir()
        clip = make_clip(name, n_frames=12, scale=scale)
        with open_video(clip) as source:
            labels += [
                Label(
                    clip=clip.name,
                    clip_sha256=source.sha256,
                    frame=frame,
                    x_px=10.0 + 2 * frame,
                    y_px=20.0,
                    annotator="Ann",
                )
                for frame in range(0, 12, 2)
            ]
            # One content each: a clip is known by it.
        clip.write_bytes(clip.read_bytes() + name.encode())
    found = []
    for label in labels:
        with open_video(tmp_path / label.clip.removesuffix(".avi") / label.clip) as source:
            found.append(dataclasses.replace(label, clip_sha256=source.sha256))
    path = tmp_path / "study.mtj-labels.csv"
    write_labels(path, found)
    return path


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """Two threads of so small a network wait for each other most of the time."""
    monkeypatch.setattr(module.os, "cpu_count", lambda: 1)


@pytest.fixture
def training(viewer, in_a_loop, monkeypatch, tiny_model):
    monkeypatch.setattr(module, "Job", in_a_loop)
    return training_controller_of(viewer)


def test_labels_are_settled_trained_on_and_the_model_is_at_hand(training, viewer, labelled):
    assert training_controller_of(viewer) is training
    training.use([labelled])
    training.choose(QUICK)
    training.settle()
    assert training.plan is not None, training.message
    counts = {side: count.subjects for side, count in training.plan.counts.items()}
    assert counts == {"training": 2, "validation": 1, "test": 0}
    assert "2 epochs in place of the recipe's 60" in training.message

    training.start()
    assert training.model == "tiny-finetuned", training.message
    assert [row.epoch for row in training.curves] == [1, 2]
    assert training.progress.done == training.progress.total
    assert not training.running
    assert session_of(viewer).made_model == "tiny-finetuned"
    assert "tiny-finetuned" in [card.id for card in list_models()]
    card = load_model("tiny-finetuned").card
    assert card.made_with["started_from"]["id"] == "tiny"


def test_what_was_settled_holds_for_one_choice_only(training, labelled):
    training.use([labelled])
    training.choose(QUICK)
    training.settle()
    training.choose(dataclasses.replace(QUICK, epochs=3))
    assert training.plan is None
    training.start()
    assert "Look first" in training.message


def test_what_cannot_be_is_told(training, labelled, tmp_path):
    training.use([tmp_path / "nowhere"])
    training.choose(QUICK)
    training.settle()
    assert "no such clip, label file or folder" in training.message
    training.use([labelled])
    training.choose(dataclasses.replace(QUICK, pattern="(?P<subject>X)"))
    training.settle()
    assert "finds no subject" in training.message
    training.choose(dataclasses.replace(QUICK, annotator="Bea"))
    training.settle()
    assert "no labels of Bea" in training.message
    assert training.plan is None


def test_a_run_that_was_stopped_is_gone_on_with(training, labelled, monkeypatch):
    training.use([labelled])
    training.choose(QUICK)
    training.settle()

    def stop_early(job):
        if training.curves:
            training.stop()

    with monkeypatch.context() as patch:
        patch.setattr(module.Job, "between", staticmethod(stop_early))
        training.start()
    assert training.model == ""
    assert [row.epoch for row in training.curves] == [1]
    training.start()
    assert training.model == "tiny-finetuned", training.message


def test_labels_at_hand_are_those_beside_the_clip(training, viewer, labelled):
    from napari.layers import Layer

    clip = labelled.parent / "S1" / "S1.avi"
    viewer.add_layer(Layer.create(*clip_layer(clip)))
    assert training.at_hand() == []
    (clip.parent / "S1.mtj-labels.csv").touch()
    assert training.at_hand() == [clip.parent / "S1.mtj-labels.csv"]


@pytest.mark.gui
def test_the_form_shows_plan_curves_and_gives_the_model_to_tracking(
    make_napari_viewer, qtbot, labelled, tiny_model
):
    viewer = make_napari_viewer()
    _, train = viewer.window.add_plugin_dock_widget("napari-deepmtj", "Train MTJ model")
    _, track = viewer.window.add_plugin_dock_widget("napari-deepmtj", "Track MTJ")
    training = training_controller_of(viewer)
    assert not train.look.isEnabled()
    training.use([labelled])
    train.start.setCurrentText("tiny")
    train.epochs.setValue(2)
    train.look.click()
    qtbot.waitUntil(lambda: not training.running, timeout=60_000)
    assert "training: 12 frames, 2 clips, 2 subjects" in train.summary.text()
    train.run.click()
    assert train.stop.isEnabled()
    qtbot.waitUntil(lambda: not training.running, timeout=60_000)
    assert track.model.value == training.model == "tiny-finetuned", training.message
    assert train.start.currentText() == "tiny-finetuned"
    assert len(train._canvas.figure.axes) == 2
    train.remove.click()
    assert train.files.count() == 1
