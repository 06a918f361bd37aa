from __future__ import annotations

import dataclasses
import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from napari_deepmtj.core.labels import Label
from napari_deepmtj.core.trajectory import Origin
from napari_deepmtj.errors import LabelError, MissingExtraError
from napari_deepmtj.labels.formats import deeplabcut as dlc

MakeClip = Callable[..., Path]
HEAD = ("scorer,anna,anna", "bodyparts,MTJ,MTJ", "coords,x,y")


def written(tmp_path: Path, *rows: str, name: str = "CollectedData_anna.csv") -> Path:
    path = tmp_path / name
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def deeplabcut_frame(
    index: object, values: object, *, individuals: tuple[str, ...] = (), likelihood: bool = False
) -> pd.DataFrame:
    """A table as DeepLabCut's own code makes it: columns from the product of its levels."""
    levels: dict[str, Any] = {"scorer": ["Ännä"]}
    if individuals:
        levels["individuals"] = individuals
    levels["bodyparts"] = ["MTJ"]
    levels["coords"] = ["x", "y", "likelihood"] if likelihood else ["x", "y"]
    columns = pd.MultiIndex.from_product(levels.values(), names=list(levels))
    return pd.DataFrame(values, index=index, columns=columns, dtype=float)


def test_the_documented_file(tmp_path: Path, make_clip: MakeClip) -> None:
    path = written(tmp_path, *HEAD, "labeled-data/MG_012/img005.png,85.25,10.36")
    result = dlc.read(path, [make_clip("MG_012.avi")])
    (label,) = result.labels
    assert (label.clip, label.frame, label.x_px, label.y_px) == ("MG_012.avi", 5, 85.25, 10.36)
    assert (label.annotator, label.origin) == ("anna", Origin.MANUAL)
    assert result.notices == ()


@pytest.mark.parametrize("suffix", ["csv", "h5"])
@pytest.mark.parametrize("individual", [None, "id 1"])
def test_round_trip(
    tmp_path: Path,
    clip: Path,
    labels: list[Label],
    same_places: Callable[..., None],
    suffix: str,
    individual: str | None,
) -> None:
    if suffix == "h5":
        pytest.importorskip("tables")
    path = tmp_path / f"CollectedData_Ännä B.{suffix}"
    dlc.write(path, labels, individual=individual)
    back = dlc.read(path, [clip.parent])
    same_places(back.labels, labels, abs=0)
    assert {label.annotator for label in back.labels} == {"Ännä B"}
    assert "1 rows without a position are taken as 'not visible'" in back.notices[0]
    assert len(dlc.read(path, [clip], empty="not labelled").labels) == 3
    assert back.unmatched == ()


@pytest.mark.parametrize("kind", ["fixed", "table"])
@pytest.mark.parametrize("key", ["df_with_missing", "keypoints"])
def test_labels_that_pandas_wrote_as_deeplabcut_does(
    tmp_path: Path, clip: Path, key: str, kind: str
) -> None:
    pytest.importorskip("tables")
    names = [f"labeled-data/{clip.stem}/img{n:03d}.png" for n in (3, 5)]
    index = pd.MultiIndex.from_tuples([tuple(n.split("/")) for n in names])
    frame = deeplabcut_frame(index if kind == "fixed" else names, [[1 / 3, 2], [np.nan] * 2])
    path = tmp_path / "CollectedData_Ännä.h5"
    frame.to_hdf(path, key=key, mode="w", format=kind)
    result = dlc.read(path, [clip])
    assert [(i.frame, i.x_px, i.visible) for i in result.labels] == [
        (3, 1 / 3, True),
        (5, None, False),
    ]
    assert result.labels[0].annotator == "Ännä"


def test_three_cells_may_name_the_picture(tmp_path: Path, clip: Path) -> None:
    names = [("labeled-data", clip.stem, "img003.png"), ("labeled-data", clip.stem, "img005.png")]
    frame = deeplabcut_frame(
        pd.MultiIndex.from_tuples(names), [[1.5, 2, 0, 0]] * 2, individuals=("a", "b")
    )
    path = tmp_path / "CollectedData_Ännä.csv"
    frame.to_csv(path)
    result = dlc.read(path, [clip], individual="a")
    assert [(i.frame, i.x_px, i.y_px) for i in result.labels] == [(3, 1.5, 2.0), (5, 1.5, 2.0)]


def test_pandas_reads_what_is_written(tmp_path: Path, clip: Path, labels: list[Label]) -> None:
    pytest.importorskip("tables")
    names = [f"labeled-data/{clip.stem}/img{n:03d}.png" for n in (0, 5, 7, 11)]
    values = [[label.x_px, label.y_px] for label in labels]
    wanted = deeplabcut_frame(names, values).rename(columns={"Ännä": "Ännä B"}, level=0)
    dlc.write(tmp_path / "l.h5", labels)
    pd.testing.assert_frame_equal(
        pd.read_hdf(tmp_path / "l.h5", key="df_with_missing"), wanted, check_exact=True
    )
    with pytest.importorskip("h5py").File(tmp_path / "l.h5") as file:
        # the "table" format of pandas 3 (frame_table) is not read by pandas 2
        assert file["df_with_missing"].attrs["pandas_type"] == b"frame"
    dlc.write(tmp_path / "l.csv", labels)
    read = pd.read_csv(tmp_path / "l.csv", header=[0, 1, 2], index_col=0)
    pd.testing.assert_frame_equal(read, wanted, check_exact=True, check_names=False)
    assert read.columns.names == ["scorer", "bodyparts", "coords"]


@pytest.mark.parametrize("suffix", ["csv", "h5"])
@pytest.mark.parametrize("individual", [None, "id 1"])
def test_predictions_there_and_back(
    tmp_path: Path,
    clip: Path,
    labels: list[Label],
    same_places: Callable[..., None],
    suffix: str,
    individual: str | None,
) -> None:
    if suffix == "h5":
        pytest.importorskip("tables")
    path = tmp_path / f"{clip.stem}DLC_resnet50_mtj.{suffix}"
    dlc.write_predictions(path, labels, n_frames=12, individual=individual)
    back = dlc.read(path, [clip.parent])
    same_places(back.labels, labels, abs=0)
    assert {label.origin for label in back.labels} == {Origin.PREDICTED}
    assert back.unmatched == ()


def test_unlikely_predictions_can_be_left_out(tmp_path: Path, make_clip: MakeClip) -> None:
    frame = deeplabcut_frame([0, 1, 2], [[1, 2, 0.9], [3, 4, 0.1], [5, 6, 0.6]], likelihood=True)
    path = tmp_path / "aDLC_net.csv"
    frame.to_csv(path)
    clips = [make_clip("a.avi"), make_clip("b.avi")]
    assert len(dlc.read(path, clips).labels) == 3
    result = dlc.read(path, clips, min_likelihood=0.6)
    assert [label.frame for label in result.labels] == [0, 2]
    assert result.notices == ("1 rows less likely than 0.6 are left out",)
    path.write_text(path.read_text().replace("0.9", ""))  # one that says no likelihood
    assert len(dlc.read(path, clips).labels) == 3
    assert [label.frame for label in dlc.read(path, clips, min_likelihood=0.6).labels] == [2]


def test_predictions_are_of_the_clip_of_their_name(tmp_path: Path, make_clip: MakeClip) -> None:
    path = tmp_path / "whatever.csv"
    deeplabcut_frame([0], [[1, 2, 0.9]], likelihood=True).to_csv(path)
    first, second = make_clip("a.avi"), make_clip("b.avi")
    (problem,) = dlc.read(path, [first, second]).unmatched
    assert str(problem) == "row 4, whatever: no clip of this name was given"
    assert "no clip of this name" in str(dlc.read(path, [first.parent]).unmatched[0])
    assert dlc.read(path, [first]).labels[0].clip == "a.avi"
    path = path.rename(tmp_path / "bDLC_resnet50_mtjOct1shuffle1_1000.csv")
    assert dlc.read(path, [first.parent]).labels[0].clip == "b.avi"
    (problem,) = dlc.read(path, [first]).unmatched  # not the clip that its name says
    assert str(problem) == "row 4, b: no clip of this name was given"


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        (["scorer,a,a", "bodyparts,MTJ,MTJ", "x,1,2", "y,1,2"], "is not DeepLabCut's"),
        (["scorer,a,a", "bodyparts,A,A,B,B", "coords,x,y"], "header rows differ in length"),
        ([*HEAD, "labeled-data/a/img001.png,1"], "row 4 has 2 cells in place of 3"),
        ([*HEAD, "", "labeled-data/a/img001.png,1,two"], "row 5: 'two' is not a number"),
        ([*HEAD, "labeled-data/a/img001.png,1,"], "row 4: x and y belong together"),
        ([*HEAD, "labeled-data/a/img001.png,inf,1"], "row 4: x and y belong together"),
        (
            [*HEAD, "labeled-data/a/img001.png,1,1", "labeled-data/a/img1.png,2,2"],
            "row 5 labels frame 1 of a.avi again",
        ),
        (["scorer,a,b", *HEAD[1:]], "several scorer"),
        (["scorer,a,a,a,a", "bodyparts,A,A,B,B", "coords,x,y,x,y"], "several bodyparts .A, B."),
        (["scorer,a,a", "bodyparts,M,M", "coords,x,x"], "has the coords x in place of"),
        (["scorer,a,a,a", "bodyparts,M,M,M", "coords,x,y,z"], "has the coords x, y, z"),
    ],
)
def test_malformed_tables_name_the_row(
    tmp_path: Path, make_clip: MakeClip, rows: list[str], complaint: str
) -> None:
    with pytest.raises(LabelError, match=complaint) as caught:
        dlc.read(written(tmp_path, *rows), [make_clip("a.avi")])
    assert str(caught.value).startswith("CollectedData_anna.csv: ")


def test_the_point_is_chosen_not_guessed(tmp_path: Path, make_clip: MakeClip) -> None:
    clips = [make_clip("a.avi")]
    head = ["scorer,s,s,s,s", "bodyparts,heel,heel,mtj,mtj", "coords,x,y,x,y"]
    path = written(tmp_path, *head, "labeled-data/a/img001.png,1,2,3,4")
    assert dlc.read(path, clips).labels[0].x_px == 3
    assert dlc.read(path, clips, point="heel").labels[0].x_px == 1
    with pytest.raises(LabelError, match="has no 'toe' in bodyparts, only heel, mtj"):
        dlc.read(path, clips, point="toe")
    with pytest.raises(LabelError, match="has no individuals"):
        dlc.read(path, clips, individual="a")


def test_names_that_say_no_frame_are_listed(tmp_path: Path, make_clip: MakeClip) -> None:
    path = written(tmp_path, *HEAD, "labeled-data/a/photo.png,1,2", "labeled-data/b/img1.png,1,2")
    result = dlc.read(path, [make_clip("a.avi")])
    assert [str(problem) for problem in result.unmatched] == [
        "row 4, labeled-data/a/photo.png: the name says no clip and frame",
        "row 5, b: no clip of this name was given",
    ]


@pytest.mark.parametrize(("frames", "name"), [(12, "img05.png"), (1001, "img0005.png")])
def test_pictures_are_named_as_deeplabcut_extracts_them(
    tmp_path: Path, make_clip: MakeClip, labels: list[Label], frames: int, name: str
) -> None:
    """It writes `str(frame).zfill(ceil(log10(frames)))`."""
    clip = make_clip(frames=frames)
    sha256 = hashlib.sha256(clip.read_bytes()).hexdigest()
    labels = [dataclasses.replace(label, clip_sha256=sha256) for label in labels]
    dlc.write(tmp_path / "CollectedData_a.csv", labels, clips=[clip])
    text = (tmp_path / "CollectedData_a.csv").read_text(encoding="utf-8")
    assert f"labeled-data/{clip.stem}/{name}," in text
    with pytest.raises(LabelError, match="no clip of this name was given"):
        dlc.write(tmp_path / "CollectedData_a.csv", labels, clips=[])


def test_a_formula_is_not_written_as_one(tmp_path: Path, clip: Path, labels: list[Label]) -> None:
    path = tmp_path / "x.csv"
    notices = dlc.write(path, labels, scorer="=cmd|calc")
    assert path.read_text(encoding="utf-8").startswith("scorer,'=cmd|calc,'=cmd|calc\n")
    assert "apostrophe" in notices[-1]
    assert dlc.read(path, [clip]).labels[0].annotator == "=cmd|calc"


def test_a_program_in_hdf5_is_not_run(tmp_path: Path, make_clip: MakeClip) -> None:
    """PyTables unpickles attributes: an attribute that would make a folder must not."""
    h5py = pytest.importorskip("h5py")
    pytest.importorskip("tables")
    folder = tmp_path / "made by the file"
    programs = [
        f"cposix\nmkdir\n(V{folder}\nI511\ntR.".encode(),
        b"\x80\x04\x8c\x05posix\x94\x8c\x05mkdir\x94\x93\x94\x8c"
        + bytes([len(os.fsencode(folder))])
        + os.fsencode(folder)
        + b"\x94M\xff\x01\x86\x94R\x94.",
    ]
    clip = make_clip("a.avi")
    for number, program in enumerate(programs):
        path = tmp_path / f"CollectedData_{number}.h5"
        deeplabcut_frame(["labeled-data/a/img001.png"], [[1, 2]]).to_hdf(
            path, key="df_with_missing", format="table"
        )
        assert len(dlc.read(path, [clip]).labels) == 1
        with h5py.File(path, "r+") as file:
            file["df_with_missing"].attrs["info"] = np.bytes_(program)
        with pytest.raises(LabelError, match=r"holds a program \(posix mkdir\)"):
            dlc.read(path, [clip])
        assert not folder.exists()
    pd.read_hdf(path)  # the attack is real: without the check the folder is made
    assert folder.exists()


def test_damaged_hdf5_is_one_line(tmp_path: Path, clip: Path, labels: list[Label]) -> None:
    h5py = pytest.importorskip("h5py")
    pytest.importorskip("tables")
    path = tmp_path / "CollectedData_x.h5"
    dlc.write(path, labels)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(LabelError, match=r"CollectedData_x.h5: cannot be read"):
        dlc.read(path, [clip])
    path.unlink()
    with h5py.File(path, "w") as file:
        file["tracks"] = np.zeros(3)
    with pytest.raises(LabelError, match="holds tracks in place of df_with_missing or keypoints"):
        dlc.read(path, [clip])


def test_without_pytables_the_extra_is_named(
    tmp_path: Path, labels: list[Label], clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "CollectedData_x.h5"
    path.write_bytes(b"\x89HDF\r\n\x1a\n")
    monkeypatch.setitem(sys.modules, "tables", None)
    with pytest.raises(MissingExtraError, match=r"napari-deepmtj\[deeplabcut\]"):
        dlc.read(path, [clip])
    with pytest.raises(MissingExtraError, match=r"napari-deepmtj\[deeplabcut\]"):
        dlc.write(tmp_path / "new.h5", labels)


def test_predictions_are_of_one_clip_and_fit_it(tmp_path: Path, labels: list[Label]) -> None:
    with pytest.raises(LabelError, match="frame 11: is labelled, but the clip has only 11 frames"):
        dlc.write_predictions(tmp_path / "x.csv", labels, n_frames=11)
    with pytest.raises(LabelError, match=r"reads .csv and .h5 only"):
        dlc.write(tmp_path / "x.txt", labels)
