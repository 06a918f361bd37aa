from __future__ import annotations

import csv
import dataclasses
import random
import re
import string
from pathlib import Path

import pytest

from napari_deepmtj.core.labels import LABEL_COLUMNS, Label
from napari_deepmtj.core.trajectory import Origin
from napari_deepmtj.errors import LabelError
from napari_deepmtj.labels.table import (
    guarded,
    label_bytes,
    labels_path,
    read_labels,
    unguarded,
    write_labels,
)

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
        ([HEADER.replace(",", ";")], "semicolons; save with commas and decimal points"),
        ([HEADER.replace(",", "\t")], "tabs"),
        (['"' + HEADER.replace(",", '";"') + '"'], "semicolons"),
        ([HEADER.replace("clip_sha256", "clip")], "lacks clip_sha256"),
        ([HEADER + ",frame"], "repeats a column"),
        ([HEADER, ROW + ",more"], "row 2 has 12 cells in place of 11"),
        ([HEADER, ROW, ROW.replace(",3,", ",4.5,", 1)], "row 3, column frame: '4.5'"),
        ([HEADER, ROW.replace("10.5", "ten")], "row 2, column x_px: 'ten' is not a number"),
        ([HEADER, ROW.replace("10.5", "nan")], "row 2: x_px is nan"),
        ([HEADER, ROW.replace("20.25", "-inf")], "row 2: y_px is -inf"),
        ([HEADER, ROW.replace("10.5", "1_0")], "row 2, column x_px: '1_0' is not a number"),
        ([HEADER, ROW.replace("10.5", "\u0663")], "row 2, column x_px: '\u0663' is not a number"),
        ([HEADER, ROW.replace("10.5", '"10,5"')], "'10,5' is not a number .*a decimal point"),
        ([HEADER, ROW.replace("10.5", "10,5")], "row 2 has 12 cells .*a decimal point"),
        ([HEADER, ROW.replace("10.5", "9" * 999)], "row 2: x_px is inf"),
        ([HEADER, ROW.replace("10.5", "z" * 999)], r"x_px: 'z{37}\.\.\.' is not"),
        ([HEADER, ROW.replace("anna", "a" * 200_000)], "line 2: field larger than field limit"),
        ([HEADER, ROW.replace("anna", "a" * 2000)], "row 2: annotator is longer than 1000"),
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


def test_other_encodings_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.mtj-labels.csv"
    text = "\n".join([HEADER, ROW, HIDDEN.replace("anna", "Ånna")])
    for encoding in ("utf-16", "utf-16-le"):
        path.write_bytes(text.encode(encoding))
        with pytest.raises(LabelError, match=r"is UTF-16 text|is not a UTF-8 text file"):
            read_labels(path)
    path.write_bytes(text.encode("cp1252"))
    with pytest.raises(LabelError, match=r'line 3 is not UTF-8 text .*save it as "CSV UTF-8"'):
        read_labels(path)
    path.write_bytes(text.replace("\n", "\r").encode())  # an old Mac's
    assert len(read_labels(path)) == 2
    path.write_text(HEADER, encoding="utf-8")
    assert read_labels(path) == []


def test_a_frame_beyond_its_clip_is_told_where_the_clip_is_known(tmp_path: Path) -> None:
    path = write_text(tmp_path, HEADER, ROW, HIDDEN)
    assert len(read_labels(path, n_frames={"ff": 5, "ee": 1})) == 2
    with pytest.raises(LabelError, match=r"row 3: frame 4 is beyond the end of a.avi, whose last"):
        read_labels(path, n_frames={"ff": 4})


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
        ("+1", "'+1"),
        ("-anna", "'-anna"),
        ("@sum", "'@sum"),
        ("＝1", "'＝1"),
        ("  =1", "'  =1"),
        ("\t=1", "'\t'=1"),
        ("\rx", "'\rx"),
        ("a;=1", "a;'=1"),
        ("a\n@b", "a\n'@b"),
        ("'=1", "''=1"),
        ("''=1", "'''=1"),
        ("'t Hooft", "'t Hooft"),
        ("anna-maria = @", "anna-maria = @"),
        ("", ""),
    ],
)
def test_formulas_are_guarded_and_come_back(text: str, written: str) -> None:
    assert guarded(text) == written
    assert unguarded(written) == text


def test_no_text_is_a_formula_in_the_file_and_every_text_comes_back(tmp_path: Path) -> None:
    rng = random.Random(0)
    texts = {"".join(rng.choices("'=+;, \t\n\r\"a|", k=rng.randint(1, 7))) for _ in range(3000)}
    texts |= {sign + rng.choice(string.printable) + "x" for sign in "=+-@\t\r\n'" for _ in range(9)}
    labels = [
        label(annotator=text, clip="=" + re.sub(r"[/\\]", "", text)) for text in sorted(texts)
    ]
    path = write_labels(tmp_path / "x.mtj-labels.csv", labels)
    assert read_labels(path) == labels
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.reader(file):
            for cell in row:
                for part in re.split("[;\t\r\n]", cell):
                    assert not part.lstrip(" ").startswith(("=", "+", "-", "@"))
                assert not cell.startswith(("\t", "\r", "\n"))
    assert all(unguarded(guarded(text)) == text for text in texts)


def test_a_time_with_odd_separators_comes_back(tmp_path: Path) -> None:
    odd = [label(frame=n, timestamp=f"2026-01-02{s}03:04:05,5") for n, s in enumerate("T,\n\"' ")]
    assert read_labels(write_labels(tmp_path / "x.mtj-labels.csv", odd)) == odd


def test_a_large_file_is_read_to_the_bad_row_with_each_text_kept_once(tmp_path: Path) -> None:
    path = tmp_path / "a.mtj-labels.csv"
    rows = label_bytes(label(frame=n, clip="Läufer.avi") for n in range(20_000))
    path.write_bytes(rows)
    assert len({id(entry.clip) for entry in read_labels(path)}) == 1
    path.write_bytes(rows + ROW.replace("10.5", "NaN").encode())
    with pytest.raises(LabelError, match="row 20002: x_px is nan"):
        read_labels(path)


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
    # Scanners number their files where others have an extension: each has labels of its own.
    assert labels_path("x/IM.0001") == Path("x/IM.0001.mtj-labels.csv")
