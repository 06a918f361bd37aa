from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from napari_deepmtj.core.geometry import Roi
from napari_deepmtj.core.labels import Label
from napari_deepmtj.core.trajectory import Origin
from napari_deepmtj.errors import LabelError
from napari_deepmtj.labels.formats import authors
from napari_deepmtj.video.sidecar import ClipInfo, write_sidecar

MakeClip = Callable[..., Path]


def written(tmp_path: Path, *rows: str) -> Path:
    path = tmp_path / "labels.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_the_published_example(tmp_path: Path, make_clip: MakeClip) -> None:
    path = written(tmp_path, "MG_012.avi_00042,118,51", "MG_012.avi_00007,1.5,2")
    result = authors.read(path, [make_clip("MG_012.avi", 50)], annotator="anna")
    assert [(i.frame, i.x_px, i.y_px) for i in result.labels] == [(42, 118, 51), (7, 1.5, 2)]
    assert result.unmatched == ()


@pytest.mark.parametrize("name", ["MG_012.avi", "mg_012", "MG_012", "mg_012.AVI"])
def test_both_versions_name_the_same_clip(tmp_path: Path, make_clip: MakeClip, name: str) -> None:
    path = written(tmp_path, f"{name}_00003,1,2")
    (label,) = authors.read(path, [make_clip("MG_012.avi")], annotator="anna").labels
    assert (label.clip, label.frame) == ("MG_012.avi", 3)


def test_round_trip(
    tmp_path: Path, clip: Path, labels: list[Label], same_places: Callable[..., None]
) -> None:
    path = tmp_path / "labels.csv"
    notices = authors.write(path, labels)
    assert path.read_text(encoding="utf-8").splitlines()[2] == "Läufer 1_MG_012.avi_00011,3,59.25"
    back = authors.read(path, [clip.parent], annotator="Ännä B")
    assert back.unmatched == ()
    same_places(back.labels, [label for label in labels if label.visible], abs=0)
    assert {label.clip_sha256 for label in back.labels} == {labels[0].clip_sha256}
    assert "1 labels 'not visible' are left out" in notices[1]


def test_what_has_no_clip_is_listed(tmp_path: Path, make_clip: MakeClip) -> None:
    path = written(tmp_path, "a.avi_00001,1,2", "b.avi_00001,1,2", "a.avi_00099,1,2")
    result = authors.read(path, [make_clip("a.avi")], annotator="anna")
    assert len(result.labels) == 1
    assert [(u.row, u.name) for u in result.unmatched] == [(2, "b.avi"), (3, "a.avi")]


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        (["a.avi_00001;1;2"], "row 1: cells are separated by semicolons"),
        (["a.avi_00001,1,2", "a.avi_00002,1"], "row 2 has 2 cells in place of 3"),
        (["a.avi_00001,1,2", "", "a.avi,1,2"], "row 3: 'a.avi' is not <clip>_<frame"),
        (["a.avi_00001,one,2"], "row 1: 'one' is not a number"),
        (["a.avi_00001,nan,2"], "row 1: a position that is no number"),
        (["a.avi_00001,,2"], "row 1: a position that is no number"),
        (["a.avi_00001,1,2", "a.avi_00001,1,3"], "row 2 labels frame 1 of a.avi again"),
        (['"a.avi_00001,1,2'], "cannot be read as CSV"),
    ],
)
def test_malformed_rows_are_named(
    tmp_path: Path, make_clip: MakeClip, rows: list[str], complaint: str
) -> None:
    with pytest.raises(LabelError, match=complaint) as caught:
        authors.read(written(tmp_path, *rows), [make_clip("a.avi")], annotator="anna")
    assert str(caught.value).startswith("labels.csv: ")
    assert "\n" not in str(caught.value)


def test_windows_files_are_read(tmp_path: Path, make_clip: MakeClip) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(b"\xef\xbb\xbfa.avi_00001,1,2\r\na.avi_00002,1,2\r\n")
    assert len(authors.read(path, [make_clip("a.avi")], annotator="anna").labels) == 2
    path.write_bytes(b"a\xff.avi_00001,1,2")
    with pytest.raises(LabelError, match="not a UTF-8 text file"):
        authors.read(path, [make_clip("a.avi")], annotator="anna")
    path.write_bytes(b"")
    with pytest.raises(LabelError, match="the file is empty"):
        authors.read(path, [make_clip("a.avi")], annotator="anna")


def test_a_formula_is_not_written_as_one(tmp_path: Path, make_clip: MakeClip) -> None:
    clip = make_clip("=cmd|calc.avi")
    path = written(tmp_path, "=cmd|calc.avi_00001,1,2")
    labels = authors.read(path, [clip], annotator="anna").labels
    notices = authors.write(path, labels)
    assert path.read_text() == "'=cmd|calc.avi_00001,1,2\n"
    assert any("apostrophe" in notice for notice in notices)
    assert [i.clip for i in authors.read(path, [clip], annotator="anna").labels] == [clip.name]


def test_one_label_a_frame(tmp_path: Path, labels: list[Label]) -> None:
    path = tmp_path / "labels.csv"
    with pytest.raises(LabelError, match=r"frame 0: Läufer .* has labels of several annotators"):
        authors.write(path, [*labels, dataclasses.replace(labels[0], annotator="bert")])
    with pytest.raises(LabelError, match="two clips are called Läufer"):
        authors.write(path, [*labels, dataclasses.replace(labels[0], clip_sha256="00")])
    with pytest.raises(LabelError, match="no labels"):
        authors.write(path, [])
    assert not path.exists()


def test_predictions_of_the_second_version(tmp_path: Path, make_clip: MakeClip) -> None:
    clip = make_clip("MG_012.avi", 50)
    plain = written(tmp_path, "file,frame_num,x,y", "MG_012.avi,0,11.5,20", "MG_012.avi,1,nan,nan")
    result = authors.read(plain, [clip], annotator="unet")
    assert [(i.frame, i.x_px, i.y_px) for i in result.labels] == [(0, 11.5, 20), (1, None, None)]
    assert {i.origin for i in result.labels} == {Origin.PREDICTED}
    for rows in (
        [",file,frame_num,x,y", "0,C:\\clips\\MG_012.avi,0,11.5,20", "1,/clips/MG_012.avi,1,,"],
        ["file,frame_num,x,y", "MG_012,0.0,11.5,20", "MG_012,1.0,NaN,NaN"],
    ):
        other = authors.read(written(tmp_path, *rows), [clip], annotator="unet").labels
        assert [(i.frame, i.x_px) for i in other] == [(0, 11.5), (1, None)]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("MG_012.avi,x,1,2", "row 2"),
        ("MG_012.avi,1.5,1,2", "'1.5' is no frame number"),
        ("MG_012.avi,1,nan,2", "row 2: a position that is no number"),
        ("MG_012.avi,1,1", "row 2 has 3 cells, the header 4"),
    ],
)
def test_predictions_that_are_malformed(
    tmp_path: Path, make_clip: MakeClip, row: str, said: str
) -> None:
    path = written(tmp_path, "file,frame_num,x,y", row)
    with pytest.raises(LabelError, match=said):
        authors.read(path, [make_clip("MG_012.avi", 50)], annotator="unet")


@pytest.mark.parametrize("header", [[], ["x,y"]])
def test_predictions_of_the_first_version_begin_with_a_row_of_garbage(
    tmp_path: Path, make_clip: MakeClip, header: list[str]
) -> None:
    clip = make_clip("MG_012.avi", 3)
    path = written(tmp_path, *header, "6.9e-310,4.6e-310", "0,0", "127,63", "63.5,31.5")
    with pytest.raises(LabelError, match="avi its region first"):
        authors.read(path, [clip], annotator="vgg")
    roi = Roi(10, 4, 100, 50)
    write_sidecar(clip, ClipInfo(roi=roi))
    result = authors.read(path, [clip], annotator="vgg")
    assert result.unmatched == ()
    assert [i.frame for i in result.labels] == [0, 1, 2]
    step = 100 / 128
    wanted = [10 + 0.5 * step - 0.5, 10 + 127.5 * step - 0.5, 10 + 50 - 0.5]
    assert [i.x_px for i in result.labels] == pytest.approx(wanted)
    assert result.labels[2].y_px == pytest.approx(4 + 25 - 0.5)
    with pytest.raises(LabelError, match="give the one clip that it is of"):
        authors.read(path, [clip.parent], annotator="vgg")
