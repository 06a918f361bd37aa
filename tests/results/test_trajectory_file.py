"""Results on disk: exact, strict, and never over a person's rows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from napari_deepmtj.core.geometry import Roi, Scale
from napari_deepmtj.core.paths import json_path
from napari_deepmtj.core.provenance import Provenance
from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.core.trajectory import COLUMNS, Flag, FramePrediction, Origin, Trajectory
from napari_deepmtj.errors import ResultError
from napari_deepmtj.results.trajectory_file import (
    check_overwrite,
    read_trajectory,
    write_trajectory,
)

SCALE = Scale(0.0883, 0.0791, "given by hand")


def trajectory(
    seed: int = 0, frames: range = range(30), sha: str = "ab" * 32, scale: Scale | None = SCALE
) -> Trajectory:
    rng = np.random.default_rng(seed)
    provenance = Provenance(
        "MG_012.avi", sha, 40, 624, 1148, "container", Roi(3, 4, 500, 250), scale
    ).and_then("track", model="compact", threshold=np.float64(0.5), seconds=float("nan"))
    predictions = []
    for frame in frames:
        root = rng.normal(size=(2, 2))
        seen = frame % 7 != 3
        predictions.append(
            FramePrediction(
                frame,
                *rng.uniform(0, 2000, 2),
                covariance=root @ root.T,
                confidence=rng.uniform(),
                in_view=seen,
                flags=() if seen else (Flag.NOT_IN_VIEW, Flag.LOW_CONFIDENCE),
            )
        )
    return Trajectory.from_predictions(
        predictions, FrameTimes.from_rate(40, 29.97, "c"), provenance
    )


def same(a: pd.DataFrame, b: pd.DataFrame, atol: float = 5e-7) -> None:
    pd.testing.assert_frame_equal(a, b, check_dtype=False, rtol=0, atol=atol)


def test_round_trip_is_exact_to_a_millionth_of_a_pixel(tmp_path) -> None:
    written = trajectory()
    path = write_trajectory(written, tmp_path / "sub" / "MG_012.mtj.csv")
    read = read_trajectory(path)
    same(read.table, written.table)
    assert read.table.dtypes.astype(str).to_dict() == dict.fromkeys(COLUMNS, "float64") | {
        "frame": "int64",
        "in_view": "bool",
        "origin": "object",
        "flags": "object",
    }
    assert (read.provenance.scale, read.provenance.roi) == (SCALE, written.provenance.roi)
    assert read.provenance.operations[0].arguments["seconds"] is None
    # writing what was read changes no byte
    again = write_trajectory(read, tmp_path / "again.mtj.csv")
    assert again.read_bytes() == path.read_bytes()
    assert json_path(again).read_bytes() == json_path(path).read_bytes()
    assert sorted(p.name for p in path.parent.iterdir()) == ["MG_012.mtj.csv", "MG_012.mtj.json"]


def test_missing_is_an_empty_cell_and_true_is_1(tmp_path) -> None:
    path = write_trajectory(trajectory(scale=None), tmp_path / "a.mtj.csv")
    rows = [
        dict(zip(COLUMNS, line.split(","), strict=True)) for line in path.read_text().splitlines()
    ]
    assert list(rows[0].values()) == list(COLUMNS)
    hidden, seen = rows[4], rows[5]
    assert (hidden["frame"], hidden["in_view"], hidden["x_px"], hidden["sd_x_px"]) == (
        "3",
        "0",
        "",
        "",
    )
    assert hidden["flags"] == "not_in_view;low_confidence"
    assert (seen["in_view"], seen["x_mm"], seen["sd_mm"], seen["origin"]) == (
        "1",
        "",
        "",
        "PREDICTED",
    )
    assert "nan" not in path.read_text().lower()
    assert "NaN" not in json_path(path).read_text()


def test_existing_results_need_overwrite(tmp_path) -> None:
    path = write_trajectory(trajectory(0), tmp_path / "a.mtj.csv")
    before = path.read_bytes()
    with pytest.raises(ResultError, match=r"a.mtj.csv: exists already, with 30 .*--overwrite"):
        write_trajectory(trajectory(1), path)
    assert path.read_bytes() == before
    write_trajectory(trajectory(1), path, overwrite=True)
    same(read_trajectory(path).table, trajectory(1).table)


def test_overwriting_can_be_asked_about_before_the_work(tmp_path) -> None:
    path = tmp_path / "a.mtj.csv"
    ours, other = "ab" * 32, "cd" * 32
    assert check_overwrite(path, range(30), ours) is None
    write_trajectory(trajectory(0, range(10)), path)
    for frames, sha, overwrite in ((range(10, 20), ours, False), (range(30), other, True)):
        assert check_overwrite(path, frames, sha, overwrite=overwrite) is not None
    with pytest.raises(ResultError, match="with 1 tracked frames"):
        check_overwrite(path, range(9, 20), ours)
    with pytest.raises(ResultError, match=r"another file named MG_012.avi"):
        check_overwrite(path, range(10, 20), other)


def test_frames_that_were_not_there_are_added_without_asking(tmp_path) -> None:
    path = write_trajectory(trajectory(0, range(10)), tmp_path / "a.mtj.csv")
    write_trajectory(trajectory(1, range(20, 25)), path)
    read = read_trajectory(path)
    assert read.frames.tolist() == [*range(10), *range(20, 25)]
    assert [op.name for op in read.provenance.operations].count("track") >= 1


def test_rows_of_a_person_survive_every_rerun(tmp_path) -> None:
    path = tmp_path / "a.mtj.csv"
    edited = trajectory(0).corrected(5, (1.25, 2.5)).corrected(6, None, Origin.MANUAL)
    write_trajectory(edited, path)
    for seed in (1, 2):
        write_trajectory(trajectory(seed), path, overwrite=True)
        table = read_trajectory(path).table
        same(table.iloc[[5, 6]], edited.table.iloc[[5, 6]])
        rest = [n for n in range(30) if n not in (5, 6)]
        same(table.iloc[rest], trajectory(seed).table.iloc[rest])
    assert [op.name for op in read_trajectory(path).provenance.operations].count("correct") == 2


def test_a_persons_newer_row_replaces_an_older_one(tmp_path) -> None:
    path = tmp_path / "a.mtj.csv"
    write_trajectory(trajectory().corrected(5, (1, 2)).corrected(9, (3, 4)), path)
    write_trajectory(read_trajectory(path).corrected(5, (10, 20)), path, overwrite=True)
    read = read_trajectory(path)
    assert read.xy_px[[5, 9]].tolist() == [[10, 20], [3, 4]]
    assert read.table["origin"][[5, 9]].tolist() == ["CORRECTED", "CORRECTED"]


def test_another_files_result_with_hand_made_rows_is_never_replaced(tmp_path) -> None:
    path = write_trajectory(trajectory().corrected(5, (1, 2)), tmp_path / "a.mtj.csv")
    other = trajectory(1, sha="cd" * 32)
    with pytest.raises(ResultError, match="belongs to another file"):
        write_trajectory(other, path, overwrite=True)
    plain = write_trajectory(trajectory(), tmp_path / "b.mtj.csv")
    write_trajectory(other, plain, overwrite=True)
    same(read_trajectory(plain).table, other.table)


def test_without_json_there_are_no_millimetres_and_it_says_so(tmp_path) -> None:
    path = write_trajectory(trajectory(), tmp_path / "MG_012.mtj.csv")
    json_path(path).unlink()
    read = read_trajectory(path)
    assert read.table[["x_mm", "y_mm", "sd_mm"]].isna().all(axis=None)
    same(read.table[["x_px", "time_s"]], trajectory().table[["x_px", "time_s"]])
    (operation,) = read.provenance.operations
    assert operation.name == "read without provenance"
    assert operation.arguments == {"missing": "MG_012.mtj.json", "millimetres_left_out": True}
    assert (read.provenance.clip, read.provenance.n_frames) == ("MG_012", 30)


def cell(row: int, column: str, value: str):
    def change(lines: list[list[str]]) -> None:
        lines[row - 1][COLUMNS.index(column)] = value

    return change


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (
            cell(3, "x_px", "12,5"),
            "row 3, column x_px: '12,5' is not a number with a decimal point",
        ),
        (cell(3, "x_px", "inf"), "row 3, column x_px: 'inf' is not a finite number"),
        (cell(4, "frame", "2.0"), "row 4, column frame: '2.0' is not a whole number"),
        (cell(4, "frame", "1"), "row 4, column frame: 1 comes after 1"),
        (cell(2, "in_view", "TRUE"), "row 2, column in_view: 'TRUE' is not 0 or 1"),
        (cell(2, "in_view", "0"), "row 2, column in_view: must be 1 with a position"),
        (cell(2, "y_px", ""), "row 2, columns x_px and y_px: one is empty"),
        (cell(2, "origin", "ME"), "row 2, column origin: 'ME' is not one of MANUAL, PREDICTED"),
        (cell(2, "flags", "odd"), "row 2, column flags: 'odd' is not a list"),
        (cell(2, "confidence", "1.5"), "row 2, column confidence: 1.5 is not between 0 and 1"),
        (cell(1, "x_px", "x"), "row 1 lacks the column x_px"),
        (lambda lines: lines[7].pop(), "row 8 has 15 cells, the header 16"),
        (lambda lines: [line.append("1") for line in lines], "unknown column 1; delete it"),
        (lambda lines: lines.insert(0, []), "is no .mtj.csv: row 1 lacks"),
        (lambda lines: lines.clear(), "is no .mtj.csv: row 1 lacks"),
        (lambda lines: lines[0].reverse(), "columns are out of order"),
    ],
)
def test_malformed_csv_is_refused_by_row_and_column(tmp_path, change, what) -> None:
    path = write_trajectory(trajectory(), tmp_path / "a.mtj.csv")
    lines = [line.split(",") for line in path.read_text().splitlines()]
    change(lines)
    rows = [",".join(f'"{c}"' if "," in c else c for c in line) for line in lines]
    path.write_text("\n".join(rows) + "\n")
    with pytest.raises(ResultError) as caught:
        read_trajectory(path)
    assert str(caught.value).startswith("a.mtj.csv: ")
    assert what in str(caught.value)


def test_a_spreadsheets_semicolons_are_named(tmp_path) -> None:
    path = write_trajectory(trajectory(), tmp_path / "a.mtj.csv")
    path.write_text(path.read_text().replace(",", ";"))
    with pytest.raises(ResultError, match="semicolons"):
        read_trajectory(path)


def test_byte_order_mark_and_windows_line_ends_are_read(tmp_path) -> None:
    path = write_trajectory(trajectory(), tmp_path / "a.mtj.csv")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    same(read_trajectory(path).table, trajectory().table)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("{", "is no provenance"),
        ("[1]", "is no provenance"),
        ("{}", "schema None"),
        ('{"schema": 1}', "incomplete"),
    ],
)
def test_malformed_json_is_refused(tmp_path, content, what) -> None:
    path = write_trajectory(trajectory(), tmp_path / "a.mtj.csv")
    json_path(path).write_text(content)
    with pytest.raises(ResultError, match=what) as caught:
        read_trajectory(path)
    assert str(caught.value).startswith("a.mtj.json: ")


def test_a_csv_that_is_open_elsewhere_keeps_its_own_provenance(tmp_path, monkeypatch) -> None:
    path = write_trajectory(trajectory(), tmp_path / "MG_012.mtj.csv")
    before = path.read_bytes(), json_path(path).read_bytes()
    replace = Path.replace

    def locked(self: Path, target: Path) -> Path:
        if target == path:
            raise PermissionError(13, "Permission denied")
        return replace(self, target)

    other = trajectory(1, scale=Scale(0.2, 0.2, "given by hand"))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", locked)
        with pytest.raises(ResultError, match=r"MG_012.mtj.new.csv and MG_012.mtj.new.json"):
            write_trajectory(other, path, overwrite=True)
    assert (path.read_bytes(), json_path(path).read_bytes()) == before
    assert len(list(tmp_path.iterdir())) == 4
    for old in (path, json_path(path)):  # what the message asks for
        old.with_suffix(f".new{old.suffix}").replace(old)
    read = read_trajectory(path)
    same(read.table, other.table)
    assert read.provenance.scale == other.provenance.scale


def test_missing_csv(tmp_path) -> None:
    with pytest.raises(ResultError, match="no such file"):
        read_trajectory(tmp_path / "a.mtj.csv")


def test_an_empty_trajectory_is_written_and_read(tmp_path) -> None:
    path = write_trajectory(trajectory(frames=range(0)), tmp_path / "a.mtj.csv")
    assert len(read_trajectory(path)) == 0


def test_the_documentation_names_every_column_origin_and_flag() -> None:
    text = (Path(__file__).parents[2] / "docs" / "reference" / "results.md").read_text(
        encoding="utf-8"
    )
    for word in (*COLUMNS, *Origin, *Flag):
        assert f"`{word}`" in text, word


@pytest.mark.parametrize("mm", [155.0, 0.0, -1.0, 0.0001, float("nan")])
def test_a_result_of_an_impossible_scale_keeps_its_pixels(tmp_path, mm) -> None:
    path = write_trajectory(trajectory(), tmp_path / "MG_012.mtj.csv")
    data = json.loads(json_path(path).read_text())
    data["scale"]["x_mm_per_px"] = mm
    json_path(path).write_text(json.dumps(data))
    result = read_trajectory(path)
    assert result.provenance.scale is None
    assert result.table[["x_mm", "y_mm", "sd_mm"]].isna().all(axis=None)
    same(result.table[["x_px", "y_px"]], trajectory().table[["x_px", "y_px"]])
    assert "mm per px is impossible" in result.provenance.operations[-1].arguments["why"]


def test_json_names_no_folder(tmp_path) -> None:
    path = write_trajectory(trajectory(), tmp_path / "a.mtj.csv")
    data = json.loads(json_path(path).read_text())
    assert data["schema"] == 1
    assert data["clip"]["name"] == "MG_012.avi"
    assert str(tmp_path) not in json_path(path).read_text()
