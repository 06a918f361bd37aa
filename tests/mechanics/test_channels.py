"""Channels from the CSV that programs and spreadsheets write, and from C3D."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from napari_deepmtj.errors import ChannelError, MissingExtraError
from napari_deepmtj.mechanics.channels import Channels, read_channels

PLAIN = "time (s),Torque (Nm),Ankle angle [deg]\n0,1.5,-10\n0.1,2.25,\n0.2,3,-9.5\n"


def saved(tmp_path: Path, text: str, encoding: str = "utf-8") -> Path:
    path = tmp_path / "dyno.csv"
    path.write_bytes(text.encode(encoding))
    return path


def same(path: Path) -> None:
    found = read_channels(path)
    assert found.times_s == pytest.approx([0, 0.1, 0.2])
    assert list(found.values) == ["Torque", "Ankle angle"]
    assert found.units == {"Torque": "Nm", "Ankle angle": "deg"}
    assert found["Torque"] == pytest.approx([1.5, 2.25, 3])
    assert found["Ankle angle"] == pytest.approx([-10, np.nan, -9.5], nan_ok=True)


GERMAN = PLAIN.replace(",", ";").replace(".", ",")


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        PLAIN.replace(",", "\t"),
        PLAIN.replace(",", ";"),
        GERMAN,
        GERMAN.replace(";", "\t"),
        "sep=;\n" + GERMAN,
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", ",,\n") + ",,,,\n\n",
        "time,Torque,Ankle angle\ns,Nm,deg\n0,1.5,-10\n0.1,2.25,NaN\n0.2,3,-9.5\n",
        'time_s,Torque_Nm,"Ankle angle (deg)"\n0,1.5,-10\n1e-1,2.25,\n.2,3.,-9.5\n',
        PLAIN.replace("time (s)", "Time [ms]").replace("\n0.1", "\n100").replace("\n0.2", "\n200"),
    ],
)
def test_every_usual_dialect_says_the_same(tmp_path: Path, text: str) -> None:
    same(saved(tmp_path, text))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_spreadsheets_encodings(tmp_path: Path, encoding: str) -> None:
    path = saved(tmp_path, GERMAN.replace("deg", "°"), encoding)
    found = read_channels(path)
    assert found.units["Ankle angle"] == "°"
    assert (found.name, found.sha256) == (path.name, hashlib.sha256(path.read_bytes()).hexdigest())


def test_a_rate_stands_for_times(tmp_path: Path) -> None:
    found = read_channels(saved(tmp_path, "F (N)\n1\n2\n3\n"), rate_hz=200)
    assert found.times_s == pytest.approx([0, 0.005, 0.01])
    assert found.interval_s == pytest.approx(0.005)
    later = found.shifted(1.5)
    assert later.times_s == pytest.approx([1.5, 1.505, 1.51])
    assert later["F"] == pytest.approx([1, 2, 3])


def test_a_named_column_of_times_and_its_unit(tmp_path: Path) -> None:
    path = saved(tmp_path, "clock;F\n0;1\n500;2\n")
    assert read_channels(path, time="clock", time_unit="ms").times_s == pytest.approx([0, 0.5])
    with pytest.raises(ChannelError, match="has no unit"):
        read_channels(path, time="clock")
    with pytest.raises(ChannelError, match="'clock', 'F'"):
        read_channels(path, time="Clock")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("time (s),F\n", "no rows"),
        ("0,1\n1,2\n", "row 1 has numbers"),
        ("time,F\n0,1\n1,2\n", "has no unit"),
        ("time (min),F\n0,1\n", "is in 'min'"),
        ("F (N),M (Nm)\n0,1\n", "no column of times"),
        ("time (s)\n0\n1\n", "nothing else"),
        ("time (s),F\n0,1\n0,2\n", "row 3, column 'time'"),
        ("time (s),F\n0,1\n,2\n", "row 3, column 'time'"),
        ("time (s),F,F\n0,1,2\n", "two columns 'F'"),
        ("time (s),,F\n0,1,2\n", "column 2 has no name"),
        ("time (s),F\n0,1\n1,#N/A\n", "row 3, column 'F': '#N/A'"),
        ("time (s),F\n0,#N/A\n1,2\n", "row 2, column 'F': '#N/A'"),
        ("time (s),F\n0,1\n1,2,3\n", "row 3 has 3 cells, the header 2"),
        ("time (s);F\n0;1.5\n1;2,5\n", "'2,5' is no number|'1.5' is no number"),
        ("time (s);F\n0;1.234,5\n", "'1.234,5' is no number"),
        ("time (s);F\n0;1.234\n1;2.345\n", "in two ways"),
        ('time (s),F\n0,"1\n', "is no CSV"),
        ("time (s),t (s),F\n0,1,2\n", "several columns of times"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ChannelError, match=said) as error:
        read_channels(saved(tmp_path, text))
    assert str(error.value).startswith("dyno.csv: ")


def test_contradictions_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, PLAIN)
    with pytest.raises(ChannelError, match="leave out the rate"):
        read_channels(path, rate_hz=10)
    with pytest.raises(ChannelError, match="in s, not in ms"):
        read_channels(path, time_unit="ms")
    with pytest.raises(ChannelError, match="no C3D"):
        read_channels(path, part="analog")
    with pytest.raises(ChannelError, match="impossible"):
        read_channels(saved(tmp_path, "F\n1\n"), rate_hz=0)
    with pytest.raises(ChannelError, match="cannot be read"):
        read_channels(tmp_path / "none.csv")
    with pytest.raises(ChannelError, match="no channel 'torque'; it has 'Torque'"):
        read_channels(saved(tmp_path, PLAIN))["torque"]
    with pytest.raises(ChannelError, match="increase"):
        Channels(np.array([0.0, 0.0]), {}, {})
    with pytest.raises(ChannelError, match="one value a time"):
        Channels(np.array([0.0, 1.0]), {"a": np.zeros(3)}, {"a": ""})


def c3d(tmp_path: Path, *, points: bool = True, analog: bool = True) -> Path:
    ezc3d = pytest.importorskip("ezc3d", reason="the extra c3d is not installed")
    file = ezc3d.c3d()
    if points:
        file["parameters"]["POINT"]["RATE"]["value"] = [100]
        file["parameters"]["POINT"]["LABELS"]["value"] = ("HEEL",)
        file["parameters"]["POINT"]["UNITS"]["value"] = ("mm",)
        data = np.ones((4, 1, 5))
        data[:3, 0] = np.arange(15).reshape(3, 5)
        file["data"]["points"] = data
        file["data"]["meta_points"]["residuals"] = np.array([[[0, 0, -1, 0, 0]]])
        file["data"]["meta_points"]["camera_masks"] = np.zeros((7, 1, 5), dtype=bool)
    else:
        file["parameters"]["POINT"]["RATE"]["value"] = [100]
        file["data"]["points"] = np.empty((4, 0, 5))
    if analog:
        file["parameters"]["ANALOG"]["RATE"]["value"] = [200]
        file["parameters"]["ANALOG"]["LABELS"]["value"] = ("Torque", "Sync")
        file["parameters"]["ANALOG"]["UNITS"]["value"] = ("Nm", "V")
        file["data"]["analogs"] = np.stack([np.arange(10), np.arange(10) % 2])[None].astype(float)
    path = tmp_path / "trial.c3d"
    file.write(str(path))
    return path


def test_c3d(tmp_path: Path) -> None:
    path = c3d(tmp_path)
    found = read_channels(path, part="analog")
    assert found.units == {"Torque": "Nm", "Sync": "V"}
    assert found["Torque"] == pytest.approx(np.arange(10))
    assert found.times_s == pytest.approx(np.arange(10) / 200)
    points = read_channels(path, part="points")
    assert list(points.values) == ["HEEL x", "HEEL y", "HEEL z"]
    assert points["HEEL y"] == pytest.approx([5, 6, np.nan, 8, 9], nan_ok=True)
    assert points.units["HEEL z"] == "mm"
    assert points.interval_s == pytest.approx(0.01)
    with pytest.raises(ChannelError, match="analog or points"):
        read_channels(path)


def test_c3d_with_one_group_and_what_is_none(tmp_path: Path) -> None:
    assert "Torque" in read_channels(c3d(tmp_path, points=False)).values
    with pytest.raises(ChannelError, match="has no points"):
        read_channels(c3d(tmp_path, points=False), part="points")
    broken = tmp_path / "broken.c3d"
    broken.write_bytes(b"not at all")
    with pytest.raises(ChannelError, match="is no C3D file"):
        read_channels(broken)


def test_c3d_without_the_extra_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ezc3d", None)
    path = tmp_path / "trial.c3d"
    path.write_bytes(b"")
    with pytest.raises(MissingExtraError, match=r"napari-deepmtj\[c3d\]"):
        read_channels(path)


MOT = """Coordinates
version=1
nRows=3
nColumns=3
inDegrees=yes

endheader
time\tankle_angle_r\tpelvis_ty
0.00\t1.5\t0.9
0.01\t2.5\t0.91
0.02\t3.5\t0.92
"""


@pytest.mark.parametrize("ending", [".mot", ".sto", ".MOT"])
def test_opensim_tables(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"ik{ending}"
    path.write_text(MOT, encoding="utf-8")
    found = read_channels(path)
    np.testing.assert_allclose(found.times_s, [0, 0.01, 0.02])
    np.testing.assert_allclose(found["ankle_angle_r"], [1.5, 2.5, 3.5])
    assert found.units == {"ankle_angle_r": "deg", "pelvis_ty": ""}


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("endheader", "end", "has no line endheader"),
        ("0.01\t2.5", "0.01", "line 10: must have 3 numbers"),
        ("0.01\t2.5", "0.01\tx", "line 10: must have 3 numbers"),
        ("0.02\t", "0.01\t", "line 11: times must increase"),
        ("pelvis_ty", "ankle_angle_r", "line 8: must be time and names"),
        ("time", "frame", "line 8: must be time"),
    ],
)
def test_opensim_tables_that_cannot_be_read(
    tmp_path: Path, before: str, after: str, said: str
) -> None:
    path = tmp_path / "ik.mot"
    path.write_text(MOT.replace(before, after), encoding="utf-8")
    with pytest.raises(ChannelError, match=f"ik.mot: {said}"):
        read_channels(path)


def test_angles_of_opensim_in_radians_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "ik.mot"
    path.write_text(MOT.replace("inDegrees=yes", "inDegrees=no"), encoding="utf-8")
    assert read_channels(path).units["ankle_angle_r"] == "rad"


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3, 0.45, 0.6])
def test_a_c3d_that_is_cut_off_is_refused_before_it_is_read_beyond_its_end(
    tmp_path: Path, share: float
) -> None:
    whole = c3d(tmp_path)
    content = whole.read_bytes()
    whole.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ChannelError, match=r"no header|cut off"):
        read_channels(whole)
