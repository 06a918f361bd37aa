"""Labels are found with their clips and subjects; what is in doubt is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from napari_deepmtj.core.labels import CONSENSUS
from napari_deepmtj.errors import LabelError
from napari_deepmtj.labels.labelled import find_labelled
from napari_deepmtj.labels.subjects import ByPattern, ByTable, by_folder
from napari_deepmtj.labels.table import labels_path, read_labels, write_labels

Write = Callable[..., Path]


def test_folder_file_and_clip_mean_the_same(write_labelled: Write, tmp_path: Path) -> None:
    clip = write_labelled("s01/a.npy", 1)
    for given in (tmp_path, clip, labels_path(clip), clip.parent):
        (found,) = find_labelled([given])
        assert (found.name, found.subject, found.frames) == ("a.npy", "s01", (0, 1, 2, 3))
        with found.open() as source:
            assert source.sha256 == found.sha256


def test_one_file_of_several_clips(write_labelled: Write, tmp_path: Path) -> None:
    clips = [write_labelled("s01/a.npy", 1), write_labelled("s02/a.npy", 2)]
    labels = [label for clip in clips for label in read_labels(labels_path(clip))]
    for clip in clips:
        labels_path(clip).unlink()
    write_labels(tmp_path / "all.mtj-labels.csv", labels)
    found = find_labelled([tmp_path])  # two clips of one name, told apart by their contents
    assert [clip.subject for clip in found] == ["s01", "s02"]
    assert len({clip.sha256 for clip in found}) == 2


def test_given_twice_counts_once(write_labelled: Write, tmp_path: Path) -> None:
    clip = write_labelled("s01/a.npy", 1)
    assert len(find_labelled([tmp_path, clip])) == 1


def test_a_copy_of_a_recording_is_refused(write_labelled: Write, tmp_path: Path) -> None:
    write_labelled("s01/a.npy", 1)
    write_labelled("s02/b.npy", 1)
    with pytest.raises(LabelError, match="one recording, labelled twice"):
        find_labelled([tmp_path])


def test_missing_changed_and_empty(write_labelled: Write, tmp_path: Path) -> None:
    clip = write_labelled("s01/a.npy", 1)
    with pytest.raises(LabelError, match="no such clip"):
        find_labelled([tmp_path / "b.npy"])
    with pytest.raises(LabelError, match="there are no labels of B"):
        find_labelled([tmp_path], annotator="B")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(LabelError, match="has no"):
        find_labelled([empty])
    other = write_labelled("s02/b.npy", 2)
    clip.write_bytes(other.read_bytes())
    with pytest.raises(LabelError, match=r"labels belong to another file called a\.npy"):
        find_labelled([clip])
    clip.unlink()
    with pytest.raises(LabelError, match=r"clip a\.npy is not beside it"):
        find_labelled([labels_path(clip)])


def test_frame_beyond_the_end_names_its_row(write_labelled: Write) -> None:
    clip = write_labelled("s01/a.npy", 1)
    labels = read_labels(labels_path(clip))
    write_labels(labels_path(clip), [*labels, replace(labels[0], frame=4)])
    with pytest.raises(LabelError, match="row 6: frame 4 is beyond the end"):
        find_labelled([clip])


def test_annotators_and_rounds(write_labelled: Write) -> None:
    clip = write_labelled("s01/a.npy", 1)
    first = read_labels(labels_path(clip))[:1]
    again = [replace(first[0], round=2, x_px=50.0)]
    other = [replace(first[0], annotator="B", x_px=60.0)]
    settled = [replace(first[0], annotator=CONSENSUS, x_px=55.0)]

    write_labels(labels_path(clip), first + again)
    assert find_labelled([clip])[0].labels[0].x_px == 50.0
    write_labels(labels_path(clip), first + again + other)
    with pytest.raises(LabelError, match=r"a\.npy, frame 0: was labelled by A, B"):
        find_labelled([clip])
    assert find_labelled([clip], annotator="B")[0].labels[0].x_px == 60.0
    write_labels(labels_path(clip), first + again + other + settled)
    assert find_labelled([clip])[0].labels[0].x_px == 55.0


def test_subjects_by_folder_are_told_apart() -> None:
    clips = [Path("/data/one/s01/a.avi"), Path("/data/two/s01/a.avi")]
    assert by_folder(clips) == ["one/s01", "two/s01"]
    assert by_folder(clips[:1] * 2) == ["s01", "s01"]


def test_subjects_by_pattern() -> None:
    rule = ByPattern(r"(?P<subject>S[0-9]+)_")
    assert rule([Path("S01_a.avi"), Path("xS2_b.avi")]) == ["S01", "S2"]
    with pytest.raises(LabelError, match=r"b\.avi: the pattern .* finds no subject"):
        rule([Path("b.avi")])
    with pytest.raises(LabelError, match="no group named subject"):
        ByPattern("S[0-9]+")
    with pytest.raises(LabelError, match="cannot be read"):
        ByPattern("(?P<subject>")


def test_subjects_by_table(tmp_path: Path) -> None:
    table = tmp_path / "who.csv"
    table.write_text("clip,age,subject\na.avi,30,anna\nb,41,bert\n", encoding="utf-8-sig")
    rule = ByTable(table)
    assert rule([Path("x/a.avi"), Path("y/b.avi")]) == ["anna", "bert"]
    with pytest.raises(LabelError, match=r"no row for the clip c\.avi"):
        rule([Path("c.avi")])
    table.write_text("clip,subject\na.avi,anna\na.avi,bert\n", encoding="utf-8")
    with pytest.raises(LabelError, match="row 3 gives the clip"):
        rule([Path("a.avi")])
    table.write_text("clip,who\na.avi,anna\n", encoding="utf-8")
    with pytest.raises(LabelError, match="lacks the column subject"):
        rule([Path("a.avi")])
