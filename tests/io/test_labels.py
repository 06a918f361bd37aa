from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import pytest

from napari_deepmtj.core.labels import LABEL_COLUMNS, Label
from napari_deepmtj.core.trajectory import Origin
from napari_deepmtj.errors import LabelError
from napari_deepmtj.io.labels import labels_path, read_labels, write_labels

ROW = "a.avi,ff,3,0.12,10.5,20.25,true,anna,1,MANUAL,2026-01-02T03:04:05+00:00"
HIDDEN = "a.avi,ff,4,,,,false,anna,1,MANUAL,2026-01-02T03:04:05+00:00"
HEADER = ",".join(LABEL_COLUMNS)


def label(**changes: object) -> Label:
    base = Label(
        clip="a.avi",
        clip_sha256="ff",
        frame=3,
        time_s=0.12,
        x_px=10.5,
        y_px=20.25,
        annotator="anna",
        timestamp="2026-01-02T03:04:05+00:00",
    )
    return dataclasses.replace(base, **changes)


def write_text(folder: Path, *rows: str) -> Path:
    path = folder / "a.mtj-labels.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_the_documented_file(tmp_path: Path) -> None:
    path = write_text(tmp_path, HEADER, ROW, HIDDEN)
    first, second = read_labels(path)
    assert first == label()
    assert first.visible
    assert second == label(frame=4, time_s=None, x_px=None, y_px=None)
    assert not second.visible
    again = write_labels(tmp_path / "b.mtj-labels.csv", [first, second])
    assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("seed", range(5))
def test_every_bit_survives_the_round_trip(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    names = ["Läufer, 1.avi", 'say "hi".avi', "two\nlines.avi", "=cmd|x.avi"]
    labels = [
        label(
            clip=rng.choice(names),
            frame=frame,
            time_s=rng.choice([None, rng.random() * 1e3]),
            x_px=None if frame % 3 == 0 else rng.uniform(-1, 2000),
            y_px=None if frame % 3 == 0 else rng.uniform(-1, 2000) / 3,
            annotator=rng.choice(["phantom", "Ånna; B"]),
            round=rng.randint(1, 3),
            origin=rng.choice(list(Origin)),
        )
        for frame in range(50)
    ]
    path = write_labels(tmp_path / "x.mtj-labels.csv", labels)
    assert read_labels(path) == labels


def test_columns_may_come_in_any_order_with_bom_and_crlf(tmp_path: Path) -> None:
    order = list(reversed(range(len(LABEL_COLUMNS))))
    lines = [",".join(line.split(",")[i] for i in order) for line in (HEADER, ROW, HIDDEN)]
    path = tmp_path / "a.mtj-labels.csv"
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    assert read_labels(path)[0] == label()


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ([], "the file is empty"),
        (["frame,x,y", "1,2,3"], r"row 1\) lacks clip, .* and has 'x', 'y' too many"),
        ([HEADER.replace(",", ";")], "semicolons"),
        ([HEADER.replace("clip_sha256", "clip")], "lacks clip_sha256"),
        ([HEADER + ",frame"], "repeats a column"),
        ([HEADER, ROW + ",more"], "row 2 has 12 cells in place of 11"),
        ([HEADER, ROW, ROW.replace(",3,", ",4.5,", 1)], "row 3, column frame: '4.5'"),
        ([HEADER, ROW.replace("10.5", "ten")], "row 2, column x_px: 'ten' is not a number"),
        ([HEADER, ROW.replace("10.5", "nan")], "row 2: x_px is nan"),
        ([HEADER, ROW.replace("10.5", "")], "row 2: x_px and y_px belong together"),
        ([HEADER, ROW.replace("true", "yes")], "column visible: 'yes' is not true or false"),
        ([HEADER, ROW.replace("true", "false")], "column visible: false needs no position"),
        ([HEADER, HIDDEN.replace("false", "true")], "column visible: true needs a position"),
        ([HEADER, ROW.replace("MANUAL", "GUESS")], "column origin: 'GUESS' is not one of MANUAL"),
        ([HEADER, ROW.replace(",3,", ",-3,", 1)], "row 2: frame -3 is negative"),
        ([HEADER, ROW.replace(",1,", ",0,")], "row 2: round 0"),
        ([HEADER, ROW.replace("anna", "")], "row 2: annotator is empty"),
        ([HEADER, ROW.replace("2026-01", "yesterday")], "timestamp"),
        ([HEADER, ROW, HIDDEN, ROW], r"row 4 labels frame 3 by anna, round 1, again \(row 2"),
        ([HEADER, ROW.replace("a.avi", "/home/x/a.avi")], "without folders"),
        ([HEADER, ROW.replace("a.avi", '"a.avi')], "cannot be read as CSV"),
    ],
)
def test_malformed_files_name_row_and_column(
    tmp_path: Path, rows: list[str], complaint: str
) -> None:
    path = tmp_path / "a.mtj-labels.csv"
    path.write_text("\n".join(rows), encoding="utf-8")
    with pytest.raises(LabelError, match=complaint) as caught:
        read_labels(path)
    assert str(caught.value).startswith("a.mtj-labels.csv: ")
    assert "\n" not in str(caught.value)


def test_what_is_no_text_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mtj-labels.csv"
    path.write_bytes(bytes(range(256)) * 4)
    with pytest.raises(LabelError, match="not a UTF-8 text file"):
        read_labels(path)
    with pytest.raises(LabelError, match="no such label file"):
        read_labels(tmp_path / "missing.mtj-labels.csv")
    with pytest.raises(LabelError, match="cannot be read"):
        read_labels(tmp_path)


def test_labels_of_two_rounds_live_together_but_not_the_same_one_twice(tmp_path: Path) -> None:
    path = tmp_path / "a.mtj-labels.csv"
    both = [label(), label(round=2, x_px=11.0), label(annotator="bert"), label(clip_sha256="ee")]
    write_labels(path, both)
    with pytest.raises(LabelError, match="share clip, frame, annotator and round"):
        write_labels(path, [*both, label(x_px=99.0)])
    assert read_labels(path) == both


@pytest.mark.parametrize(
    "changes",
    [{"x_px": None}, {"y_px": float("inf")}, {"time_s": float("nan")}, {"clip": ""}, {"frame": -1}],
)
def test_impossible_labels_cannot_be_made(changes: dict[str, object]) -> None:
    with pytest.raises(LabelError):
        label(**changes)


def test_labels_lie_beside_the_clip() -> None:
    assert labels_path("x/MG_012.avi") == Path("x/MG_012.mtj-labels.csv")
