"""The test set of P21 is read in the layouts that are described, and refused where unclear."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_deepmtj.errors import LabelError
from napari_deepmtj.labels.formats.deepmtj2021 import read_test_set

N = 4


def names(resolution: str) -> list[str]:
    return [f"deepMTJ_TS_f{resolution}_f{i:04d}_annotated.jpg" for i in range(1, N + 1)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two resolutions, as a reader of the set describes it."""
    for resolution, size in (("fullres", (80, 120)), ("256x128px", (16, 32))):
        (tmp_path / resolution).mkdir()
        for name in names(resolution):
            Image.fromarray(np.zeros(size, np.uint8)).save(tmp_path / resolution / name)
    return tmp_path


def table(folder: Path, *lines: str) -> Path:
    path = folder / "MTJ_Benchmark_Labels.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def positions(folder: Path) -> list[tuple[str, float | None, float | None]]:
    return [(p.path.name, p.x_px, p.y_px) for p in read_test_set(folder).pictures]


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("filename,x,y", "{name},{x},{y}"),
        ("Image;MTJ_x;MTJ_y", "{name};{x};{y}"),
        ("y_mean,x_mean,annotator_1_x,annotator_1_y,file name", "{y},{x},1,2,some\\folder\\{name}"),
        (None, "{stem},{x},{y}"),
    ],
)
def test_tables_of_several_layouts(folder: Path, header: str | None, row: str) -> None:
    rows = [
        row.format(name=name, stem=name.removesuffix(".jpg"), x=100 + i, y=50.5 + i)
        for i, name in enumerate(names("fullres"))
    ]
    table(folder, *([header] if header else []), *rows)
    found = read_test_set(folder)
    expected = [(name, 100 + i, 50.5 + i) for i, name in enumerate(names("fullres"))]
    assert positions(folder) == expected
    assert any("the published set has 1344" in notice for notice in found.notices)
    assert any("'annotated'" in notice for notice in found.notices)


def test_the_names_in_the_table_say_which_resolution(folder: Path) -> None:
    table(folder, "filename,x,y", *(f"{name},30,10" for name in names("256x128px")))
    assert {p.path.parent.name for p in read_test_set(folder).pictures} == {"256x128px"}


def test_an_empty_position_is_not_visible_and_pictures_without_a_row_are_told(folder: Path) -> None:
    one, two = names("fullres")[:2]
    table(folder, "filename,x,y", f"{one},,", f"{two},3,4")
    assert positions(folder) == [(one, None, None), (two, 3, 4)]
    assert "2 pictures have no label and are left out" in read_test_set(folder).notices


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (("a,b,c", "1,2,3"), "its columns are not known: a, b, c"),
        (("file,x,x,y", "a,1,1,1"), "its columns are not known"),
        (("filename,x,y", "nothing.jpg,1,2"), "1 of 1 rows name no picture"),
        (("filename,x,y", f"{names('fullres')[0]},121,2"), "row 2: .* is not in .* 120 x 80 px"),
        (("filename,x,y", f"{names('fullres')[0]},wide,2"), "row 2: .* is no position"),
        (("filename,x,y",), "no row"),
        (("filename,x,y", *[f"{names('fullres')[0]},1,2"] * 2), "name no picture"),
    ],
)
def test_what_is_not_clear_is_refused(folder: Path, lines: tuple[str, ...], said: str) -> None:
    table(folder, *lines)
    with pytest.raises(LabelError, match=rf"^MTJ_Benchmark_Labels\.csv: .*{said}"):
        read_test_set(folder)


def test_the_folder_must_have_one_table(folder: Path) -> None:
    with pytest.raises(LabelError, match=r"one table of labels .*none"):
        read_test_set(folder)
    table(folder, "x")
    (folder / "b.csv").write_text("")
    with pytest.raises(LabelError, match=r"MTJ_Benchmark_Labels.csv, b.csv"):
        read_test_set(folder)
    with pytest.raises(LabelError, match="is no folder"):
        read_test_set(folder / "b.csv")
