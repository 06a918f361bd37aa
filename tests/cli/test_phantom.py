"""`napari-deepmtj phantom` writes clips of the cohort, too."""

from __future__ import annotations

from napari_deepmtj.labels.table import labels_path, read_labels
from napari_deepmtj.phantom import study as module
from napari_deepmtj.phantom.study import Design, Part, study

SMALL = Design(3, 2, 2, 4, 10, 30, 4, 12, n_frames=24)


def test_splits_are_named_as_in_the_cohort():
    from napari_deepmtj.cli.phantom import CohortPart

    assert [part.value for part in CohortPart] == [part.value for part in Part]


def test_clips_of_the_cohort_are_written(run, tmp_path, monkeypatch):
    made = study(1, SMALL)
    monkeypatch.setattr(module, "study", lambda: made)
    words = ("--subjects", 1, "--videos", 1, "--out", tmp_path)
    code, out, _ = run("phantom", "--cohort", "validation", *words)
    assert code == 0
    assert "1 clips" in out
    (clip,) = made.some("validation", 1, 1)
    labels = read_labels(labels_path(tmp_path / clip.subject / f"{clip.name}.avi"))
    assert tuple(label.frame for label in labels) == clip.frames


def test_the_cohort_has_its_own_length_and_seed(run, tmp_path):
    for words in (("--frames", 10), ("--seed", 0)):
        code, _, err = run("phantom", "--cohort", "test", *words, "--out", tmp_path)
        assert code == 2
        assert "leave --frames, --seed and --styles out" in " ".join(err.replace("│", " ").split())
    assert not list(tmp_path.iterdir())


def test_what_is_there_is_not_replaced(run, tmp_path):
    (tmp_path / "mine.avi").write_bytes(b"mine")
    words = ("phantom", "--out", tmp_path, "--subjects", 1, "--videos", 1, "--frames", 2)
    code, _, err = run(*words)
    assert (code, err.count("\n")) == (1, 1)
    assert "is not empty" in err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.avi"]
    assert run(*words, "--overwrite")[0] == 0
