from pathlib import Path

import pytest

from napari_deepmtj.batch.study import Entry, columns_of, entries_of_files, read_study
from napari_deepmtj.core.geometry import Scale
from napari_deepmtj.errors import ResultError


def written(tmp_path, text, name="study.csv", encoding="utf-8"):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return path


def test_only_the_file_is_required(tmp_path):
    (entry,) = read_study(written(tmp_path, "file\nS1/a.avi\n"))
    assert entry == Entry(clip=tmp_path / "S1" / "a.avi")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_known_columns_are_read_and_others_carried_through(tmp_path, separator):
    header = "File,Subject,movement,ROI,scale,distal side,start,stop,model,External file"
    header += ",sync offset,shoe size"
    row = "a.avi,S1,mvc,preset:telemed-artus,0.1 x 0.2,Left,2,100.0,other,f/force.csv,-0.25,43"
    text = "\n".join(line.replace(",", separator) for line in (header, row)) + "\n"
    (entry,) = read_study(written(tmp_path, text, encoding="utf-8-sig"))
    assert entry == Entry(
        clip=tmp_path / "a.avi",
        facts={"subject": "S1", "movement": "mvc", "shoe size": "43"},
        roi="preset:telemed-artus",
        scale=Scale(0.1, 0.2, "study table"),
        distal_side="left",
        start=2,
        stop=100,
        model="other",
        external_file=tmp_path / "f" / "force.csv",
        sync_offset_s=-0.25,
    )


def test_a_spreadsheet_s_decimal_comma_is_understood(tmp_path):
    (entry,) = read_study(written(tmp_path, "file;scale;sync_offset_s\na.avi;0,0883;1,5\n"))
    assert (entry.scale, entry.sync_offset_s) == (Scale(0.0883, 0.0883, "study table"), 1.5)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-8"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_encodings_of_spreadsheets_are_read(tmp_path, encoding, separator):
    path = tmp_path / "study.csv"
    text = "file,subject\nLäufer 1.avi,Müller\n".replace(",", separator)
    path.write_text(text, encoding=encoding)
    (entry,) = read_study(path)
    assert (entry.clip.name, entry.facts["subject"]) == ("Läufer 1.avi", "Müller")


def test_empty_rows_and_cells_say_nothing(tmp_path):
    entries = read_study(written(tmp_path, "file,subject,scale\na.avi,,\n,,\nb.avi,S2,\n"))
    assert [(e.clip.name, dict(e.facts), e.scale) for e in entries] == [
        ("a.avi", {}, None),
        ("b.avi", {"subject": "S2"}, None),
    ]


def test_a_formula_that_was_guarded_comes_back(tmp_path):
    (entry,) = read_study(written(tmp_path, "file,subject\na.avi,'=S1\n"))
    assert entry.facts == {"subject": "=S1"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("subject\nS1\n", "row 1 lacks the column file"),
        ("file,subject,subject\na,b,c\n", "row 1 has the column subject twice"),
        ("file\n", "has no row with a clip"),
        ("", "row 1 lacks the column file"),
        ("file,x\na,b,c\n", "row 2 has 3 cells, row 1 only 2"),
        ('file\n"a"b\n', "is no table"),
        ("file,scale\na.avi,-1\n", "row 2, column scale: '-1' is not a scale"),
        ("file,scale\na.avi,1x2x3\n", "row 2, column scale"),
        ("file,start\na.avi,1.5\n", "row 2, column start: '1.5' is not the number of a frame"),
        ("file,distal_side\na.avi,up\n", "column distal_side: 'up' is not left or right"),
        ("file,roi\na.avi,preset:nothing\n", "column roi: 'preset:nothing' is not auto, full"),
        ("file,roi\na.avi,1;2;0;4\n", "column roi"),
        ("file,sync offset\na.avi,soon\n", "column sync_offset_s: 'soon' is not a number"),
        ("file,subject\n,S1\n", "row 2, column file: is empty"),
        ("file\na.avi\nb.avi\na.avi\n", "row 4, column file: a.avi is in row 2 already"),
    ],
)
def test_what_is_wrong_is_told_with_row_and_column(tmp_path, text, complaint):
    with pytest.raises(ResultError, match=complaint) as caught:
        read_study(written(tmp_path, text))
    assert str(caught.value).startswith("study.csv: ")


def test_all_problems_are_told_at_once(tmp_path):
    rows = "".join(f"{i}.avi,x\n" for i in range(20))
    with pytest.raises(ResultError, match=r"row 2, .*row 9, .*\(and 12 more\)"):
        read_study(written(tmp_path, "file,start\n" + rows))


def test_a_pattern_reads_what_paths_say(tmp_path):
    clips = [Path("S1/pre/mvc_1.avi"), Path("S2/post/rom_3.avi")]
    pattern = r"(?P<subject>S\d+)/(?P<visit>\w+)/(?P<movement>[a-z]+)_(?P<trial>\d+)"
    entries = entries_of_files(clips, pattern)
    assert [dict(e.facts) for e in entries] == [
        {"subject": "S1", "visit": "pre", "movement": "mvc", "trial": "1"},
        {"subject": "S2", "visit": "post", "movement": "rom", "trial": "3"},
    ]
    assert columns_of(entries) == ["subject", "visit", "movement", "trial"]
    table = written(tmp_path, "file,visit\nS1/pre/mvc_1.avi,second\n")
    (entry,) = read_study(table, pattern)
    said = {"subject": "S1", "visit": "second", "movement": "mvc", "trial": "1"}
    assert entry.facts == said


@pytest.mark.parametrize("pattern", ["(", "S1", "(?P<file>.*)", "(?P<scale>.*)", "(?P<subject>X)"])
def test_a_pattern_that_cannot_be_is_refused(pattern):
    with pytest.raises(ResultError):
        entries_of_files([Path("S1/a.avi")], pattern)


def test_a_workbook_is_read(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in (["file", "subject", "start", "scale"], ["a.avi", 7, 100, 0.0883], ["b.avi"]):
        book.active.append(row)
    book.save(tmp_path / "study.xlsx")
    first, second = read_study(tmp_path / "study.xlsx")
    assert dict(first.facts) == {"subject": "7"}
    assert (first.start, first.scale) == (100, Scale(0.0883, 0.0883, "study table"))
    assert second == Entry(clip=tmp_path / "b.avi")
    with pytest.raises(ResultError, match="cannot be read"):
        read_study(written(tmp_path, "file\na.avi\n", "no.xlsx"))
