from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from napari_deepmtj.errors import LabelError
from napari_deepmtj.labels.formats.match import (
    ClipIndex,
    Found,
    Imported,
    match,
    picture_place,
)

MakeClip = Callable[..., Path]


def imported(rows: list[Found], *clips: Path) -> Imported:
    return match(rows, clips, path="labels.csv", annotator="anna")


def one(name: str, *clips: Path, frame: int = 0, xy: object = (1.0, 2.0)) -> str:
    """The clip that a name leads to, or why there is none."""
    result = imported([Found(3, name, frame, xy)], *clips)
    assert len(result.labels) + len(result.unmatched) == 1
    return result.labels[0].clip if result.labels else str(result.unmatched[0])


@pytest.mark.parametrize(
    "name",
    [
        "Müde 1.AVI",
        "müde 1.avi",
        "Müde 1",
        "müde 1",
        unicodedata.normalize("NFD", "Müde 1.AVI"),
    ],
)
def test_a_clip_is_found_by_its_name(make_clip: MakeClip, name: str) -> None:
    assert one(name, make_clip("Müde 1.AVI"), make_clip("Müde 10.AVI")) == "Müde 1.AVI"


def test_what_is_not_there_is_listed(make_clip: MakeClip) -> None:
    clip = make_clip("a.avi")
    assert one("b", clip) == "row 3, b: no clip of this name was given"
    assert "no clip of this name" in one("a.mp4", clip)  # another file of the same stem
    assert "frame 12 is beyond the clip's 12 frames, 0 to 11" in one("a", clip, frame=12)
    assert "lies outside the picture of 130 x 60 px" in one("a", clip, xy=(129.6, 5.0))
    assert "lies outside" in one("a", clip, xy=(5.0, -0.6))
    assert one("a", clip, xy=(129.5, -0.5), frame=11) == "a.avi"
    assert one("a", clip, xy=None, frame=11) == "a.avi"


def test_of_two_clips_none_is_chosen(make_clip: MakeClip) -> None:
    first, second = make_clip("a.avi", folder="s1"), make_clip("a.avi", folder="s2")
    assert one("a.avi", first, second) == (
        "row 3, a.avi: 2 clips go by this name (s1/a.avi, s2/a.avi)"
    )
    assert one("a", make_clip("a.avi"), make_clip("a.mp4")).count("2 clips go by") == 1
    assert one("a.mp4", make_clip("a.avi"), make_clip("a.mp4")) == "a.mp4"
    assert one("A.avi", make_clip("a.avi"), make_clip("A.avi")) == "A.avi"
    assert one("a.avi", first, first.parent / ".." / "s1" / "a.avi") == "a.avi"


def test_a_folder_is_searched_without_opening_what_is_not_meant(
    make_clip: MakeClip, tmp_path: Path
) -> None:
    make_clip("a.avi", folder="study/s1")
    (tmp_path / "study" / "s1" / "a.png").write_bytes(b"a plot")
    (tmp_path / "study" / "broken.avi").write_bytes(b"no clip")
    (tmp_path / "study" / ".a.avi").write_bytes(b"hidden")
    assert one("a", tmp_path / "study") == "a.avi"
    assert one("broken", tmp_path / "study").startswith(
        "row 3, broken: its clip cannot be opened (broken.avi: "
    )
    with pytest.raises(LabelError, match="no such clip or folder"):
        ClipIndex([tmp_path / "nowhere"])


def test_a_label_knows_its_clip(make_clip: MakeClip) -> None:
    result = match(
        [Found(1, "a", 4, (1.0, 2.0))], [make_clip("a.avi")], path="x", annotator="anna", round=2
    )
    (label,) = result.labels
    assert (label.clip, label.frame, label.annotator, label.round) == ("a.avi", 4, "anna", 2)
    assert len(label.clip_sha256) == 64
    assert label.time_s is None  # an array has no times


def test_a_frame_labelled_twice_is_an_error(make_clip: MakeClip) -> None:
    rows = [Found(1, "a", 4, (1.0, 2.0)), Found(2, "a.avi", 4, None)]
    with pytest.raises(LabelError, match=r"row 2 labels frame 4 of a.avi again \(row 1"):
        imported(rows, make_clip("a.avi"))


@pytest.mark.parametrize(
    ("picture", "place"),
    [
        ("labeled-data/My clip/img005.png", ("My clip", 5)),
        (r"labeled-data\My clip\img0123.jpg", ("My clip", 123)),
        ("My clip/00007.png", ("My clip", 7)),
        ("My_clip_frame_000012.png", ("My_clip", 12)),
        ("MG_012_00042.png", ("MG_012", 42)),
        ("a.b_frame_000001.png", ("a.b", 1)),
        ("img005.png", None),
        ("labeled-data/My clip/photo.png", None),
        ("", None),
    ],
)
def test_a_picture_says_its_clip_and_frame(picture: str, place: object) -> None:
    assert picture_place(picture) == place


@pytest.mark.parametrize("annotator", ["", "a\0b", "x" * 100_000])
def test_an_impossible_annotator_names_the_row(make_clip: MakeClip, annotator: str) -> None:
    with pytest.raises(LabelError, match=r"^labels.csv: row 3: annotator"):
        match(
            [Found(3, "a", 4, (1.0, 2.0))],
            [make_clip("a.avi")],
            path="labels.csv",
            annotator=annotator,
        )


def test_a_converted_copy_is_not_taken_for_the_clip(make_clip: MakeClip) -> None:
    """What leaves the extension out calls a.avi.mp4 "a.avi", as others call a.avi itself."""
    clip, copy = make_clip("a.avi"), make_clip("a.avi.mp4")
    assert one("a.avi", copy) == "a.avi.mp4"
    assert "2 clips go by this name (clips/a.avi, clips/a.avi.mp4)" in one("a.avi", clip, copy)
    assert one("a.avi.mp4", clip, copy) == "a.avi.mp4"
    assert one("a", clip, copy) == "a.avi"


def test_positions_in_a_picture_of_another_size_are_listed(make_clip: MakeClip) -> None:
    clip = make_clip("a.avi")
    rows = [
        Found(1, "a", 4, (1.0, 2.0), size=(30, 65)),
        Found(2, "a", 5, (1.0, 2.0), size=(60, 130)),
    ]
    result = imported(rows, clip)
    assert [label.frame for label in result.labels] == [5]
    assert str(result.unmatched[0]) == "row 1, a: its picture has 65 x 30 px, the clip 130 x 60"
