from __future__ import annotations

import dataclasses

import pytest

from napari_deepmtj.core.labels import Edit, Label
from napari_deepmtj.labels.formats import Format
from napari_deepmtj.labels.store import LabelStore
from napari_deepmtj.labels.table import read_labels, write_labels
from napari_deepmtj.video.opening import open_video

PLACES = {0: (40.25, 20.0), 5: (1 / 3, 7.5), 7: (None, None)}


@pytest.fixture
def ours(clip):
    """The clip's labels: two of anna's and one frame not visible."""
    with open_video(clip) as source:
        sha256 = source.sha256
    return write_labels(
        clip.with_name("mine.mtj-labels.csv"),
        [
            Label(clip=clip.name, clip_sha256=sha256, frame=f, x_px=x, y_px=y, annotator="anna")
            for f, (x, y) in PLACES.items()
        ],
    )


@pytest.mark.parametrize(
    ("form", "name", "extra"),
    [
        (Format.AUTHORS, "labels.csv", None),
        (Format.DEEPLABCUT, "CollectedData_anna.csv", None),
        (Format.DEEPLABCUT, "CollectedData_anna.h5", "tables"),
        (Format.DEEPLABCUT_PREDICTIONS, "clipDLC_net.csv", None),
        (Format.SLEAP, "x.slp", "sleap_io"),
        (Format.COCO, "coco.json", None),
        (Format.LABEL_STUDIO, "tasks.json", None),
    ],
)
def test_there_and_back(run, clip, ours, tmp_path, form, name, extra):
    if extra:
        pytest.importorskip(extra)
    code, out, err = run(
        "labels", "export", ours, "--to", form, "--out", tmp_path / name, "--clips", clip
    )
    assert code == 0
    assert out == f"3 labels: {tmp_path / name}\n"
    assert "note: " in err  # every one of them loses something
    back = tmp_path / "back.mtj-labels.csv"
    words = ("labels", "import", tmp_path / name, "--clips", tmp_path, "--out", back)
    code, out, err = run(*words, "--annotator", "anna")
    kept = 2 if form is Format.AUTHORS else 3
    assert (code, out) == (0, f"{kept} labels of 1 clip: {back}\n")
    found = {label.frame: (label.x_px, label.y_px) for label in read_labels(back)}
    assert found.keys() == set(list(PLACES)[:kept])
    for frame, (x, y) in found.items():
        assert (x, y) == pytest.approx(PLACES[frame], abs=1e-6)
    first = back.read_bytes()
    code, _, err = run(*words, "--annotator", "anna")
    assert (code, back.read_bytes()) == (1, first)
    assert "labels are never replaced" in err


def test_what_is_left_over_is_listed(run, clip, tmp_path):
    file, out = tmp_path / "labels.csv", tmp_path / "x.mtj-labels.csv"
    file.write_text("clip.avi_00001,3,4\nclip.avi_00099,3,4\nother.avi_00001,3,4\n")
    words = ("labels", "import", file, "--out", out, "--annotator", "anna", "--round", 2)
    code, said, err = run(*words, "--clips", clip)
    assert (code, said) == (1, f"1 labels of 1 clip: {out}\n")
    assert err.splitlines() == [
        "error: labels.csv: row 2, clip.avi: frame 99 is beyond the clip's 12 frames, 0 to 11",
        "error: labels.csv: row 3, other.avi: no clip of this name was given",
        "error: labels.csv: 2 rows became no label",
    ]
    assert [(i.frame, i.annotator, i.round) for i in read_labels(out)] == [(1, "anna", 2)]
    out.unlink()
    code, said, err = run(*words)
    assert (code, said, len(err.splitlines())) == (1, "", 4)
    assert not out.exists()


def test_one_annotator_of_several_is_chosen(run, clip, ours, tmp_path):
    labels = read_labels(ours)
    other = [
        Label(
            clip=i.clip, clip_sha256=i.clip_sha256, frame=i.frame, x_px=1, y_px=2, annotator="bert"
        )
        for i in labels
    ]
    write_labels(ours, [*labels, *other])
    words = ("labels", "export", ours, "--to", "authors", "--out", tmp_path / "labels.csv")
    code, _, err = run(*words)
    assert code == 1
    assert "has labels of several annotators or rounds" in err
    assert run(*words, "--annotator", "bert")[0] == 0
    assert (tmp_path / "labels.csv").read_text().splitlines()[0] == "clip.avi_00000,1,2"
    code, _, err = run(*words, "--annotator", "bert")
    assert (code, err) == (
        1,
        "error: labels.csv: exists; add --overwrite or choose another --out\n",
    )
    assert run(*words, "--annotator", "anna", "--overwrite")[0] == 0
    code, _, err = run(*words, "--annotator", "carl", "--overwrite")
    assert "has no such labels, only by anna, round 1; bert, round 1" in err


def test_an_export_never_takes_the_place_of_labels(run, ours):
    before = ours.read_bytes()
    code, _, err = run("labels", "export", ours, "--to", "authors", "--out", ours, "--overwrite")
    assert (code, ours.read_bytes()) == (2, before)
    assert "must not end in .mtj-labels.csv" in " ".join(err.split())


def test_labels_that_are_in_the_journal_only_are_not_left_out(run, ours, tmp_path):
    with LabelStore.open(ours) as store:
        first = store.labels[0]
        store.apply(Edit(first, dataclasses.replace(first, x_px=1.0)))
        words = ("labels", "export", ours, "--to", "authors", "--out", tmp_path / "labels.csv")
        code, _, err = run(*words)
        assert code == 1
        assert "mine.mtj-labels.csv: 1 labels that were edited are not in it yet" in err
    assert run(*words)[0] == 0


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("labels.csv", "clip.avi_00001,3,4", "labels.csv: does not say whose labels these are"),
        ("x.mtj-labels.csv", "clip,clip_sha256,frame,time_s", "is a .mtj-labels.csv already"),
        ("none.csv", None, "there is no such label file"),
    ],
)
def test_what_cannot_be_imported_is_one_line(run, tmp_path, name, content, complaint):
    if content is not None:
        (tmp_path / name).write_text(content)
    code, _, err = run("labels", "import", tmp_path / name, "--out", tmp_path / "y.mtj-labels.csv")
    assert code == 1
    assert err.startswith("error: ")
    assert complaint in err
    assert err.count("\n") == 1


def test_the_name_of_the_result_is_ours(run, tmp_path):
    code, _, err = run("labels", "import", tmp_path / "a.csv", "--out", tmp_path / "b.csv")
    assert code == 2
    assert "must end in .mtj-labels.csv" in " ".join(err.split())
