"""Round trips of every format, and what each says where it cannot hold something."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.core.trajectory import COLUMNS, Trajectory
from napari_deepmtj.errors import DeepMTJError, MissingExtraError, ResultError
from napari_deepmtj.results import formats as interchange
from napari_deepmtj.results.formats import FORMATS, Options, netcdf

Make = Callable[..., Trajectory]

NEEDS = {"netcdf": "h5netcdf", "c3d": "ezc3d", "dlc-h5": "tables"}
HIDDEN, UNTRACKED = {3, 4}, {9}


def path_of(tmp_path: Path, key: str) -> Path:
    if key in NEEDS:
        pytest.importorskip(NEEDS[key], reason=f"the extra of {key} is not installed")
    return interchange.default_path(tmp_path / "clip.mtj.csv", key)


@pytest.mark.parametrize("key", FORMATS)
def test_round_trip(tmp_path: Path, make_trajectory: Make, key: str) -> None:
    """Rows, times, positions to a micrometre, and gaps that stay gaps."""
    trajectory = make_trajectory(hidden=HIDDEN, untracked=UNTRACKED)
    path = path_of(tmp_path, key)
    notes = interchange.write(trajectory, path, key, Options(leave_gaps_out=True))
    (track,) = interchange.read(path, key)
    scale = np.array([0.1, 0.2]) if track.unit == "mm" else 1.0
    position = dict(zip(trajectory.frames.tolist(), trajectory.xy_px * scale, strict=True))
    frames = [f for f in range(20) if f not in UNTRACKED]
    if key in ("sto", "mot", "mot-us"):
        frames = [f for f in frames if f not in HIDDEN]
        assert "2 of 19 rows of Läufer 1_MG.avi have no position and are left out" in notes[0]
    elif key in ("trc", "c3d", "dlc-csv", "dlc-h5"):
        frames = list(range(20))  # a row for each frame
    assert len(track) == len(frames)
    if track.time_unit == "s":
        single = key == "c3d"  # the rate is kept in single precision
        wanted = 2 + np.array(frames) / 25
        np.testing.assert_allclose(track.times, wanted, rtol=0, atol=1e-6 if single else 1e-9)
    wanted = np.array([position.get(f, (np.nan, np.nan)) for f in frames])
    assert np.isnan(wanted).any() == (key not in ("sto", "mot", "mot-us"))
    atol = 2e-5 if key == "c3d" else 1e-6  # single precision; ten digits of px
    np.testing.assert_allclose(track.xy, wanted, rtol=0, atol=atol)
    if np.isfinite(track.confidence).any():
        assert track.confidence[3] == 0
        assert track.confidence[5] == pytest.approx(0.55)


@pytest.mark.parametrize("key", ["tidy", "netcdf", "sto", "mot-us"])
def test_uneven_times_stay_true(
    tmp_path: Path, make_trajectory: Make, uneven: FrameTimes, key: str
) -> None:
    path = path_of(tmp_path, key)
    interchange.write(make_trajectory(uneven), path, key)
    (track,) = interchange.read(path, key)
    np.testing.assert_allclose(track.times, uneven.seconds, rtol=0, atol=1e-8)


@pytest.mark.parametrize("key", ["trc", "c3d"])
def test_uneven_times_need_a_rate_which_the_file_states(
    tmp_path: Path, make_trajectory: Make, uneven: FrameTimes, key: str
) -> None:
    path = path_of(tmp_path, key)
    with pytest.raises(ResultError, match="--rate"):
        interchange.write(make_trajectory(uneven), path, key)
    assert not path.exists()
    notes = interchange.write(make_trajectory(uneven), path, key, Options(rate=100))
    (track,) = interchange.read(path, key)
    assert track.notes == notes
    assert notes == ("resampled to 100 Hz, cubic between the true times of the frames",)
    assert track.rate == pytest.approx(100)
    assert not track.missing.any()


@pytest.mark.parametrize("key", ["sto", "mot", "mot-us"])
def test_opensim_tables_refuse_gaps(tmp_path: Path, make_trajectory: Make, key: str) -> None:
    with pytest.raises(ResultError, match=r"2 of 20 rows .* at 2\.120 s.*--leave-gaps-out"):
        interchange.write(make_trajectory(hidden=HIDDEN), path_of(tmp_path, key), key)
    everything = make_trajectory(hidden=range(20))
    with pytest.raises(ResultError, match="nothing to export"):
        interchange.write(everything, path_of(tmp_path, key), key, Options(leave_gaps_out=True))
    assert list(tmp_path.iterdir()) == []


def test_header_of_a_sto(tmp_path: Path, make_trajectory: Make) -> None:
    interchange.write(make_trajectory(), tmp_path / "trial.sto", "sto")
    lines = (tmp_path / "trial.sto").read_text(encoding="utf-8").splitlines()
    assert lines[:5] == ["trial", "version=1", "nRows=20", "nColumns=3", "inDegrees=no"]
    body = lines.index("endheader") + 1
    assert lines[5:8] == [
        "deepmtj_clip=Läufer 1_MG.avi",
        f"deepmtj_sha256={'ab' * 32}",
        "deepmtj_axes=x to the right, y downwards, zero at the centre of the upper left pixel",
    ]
    assert lines[body] == "time\tmtj_x_mm\tmtj_y_mm"
    assert len(lines) == body + 1 + 20


def test_header_of_the_older_dialect(tmp_path: Path, make_trajectory: Make) -> None:
    interchange.write(make_trajectory(), tmp_path / "trial_1_US.mot", "mot-us")
    lines = (tmp_path / "trial_1_US.mot").read_text().splitlines()
    assert lines[:3] == ["name trial_1_US.mot", "datacolumns 3", "datarows 20"]
    word, start, stop = lines[3].split()
    assert (word, float(start), float(stop)) == ("range", 2.0, pytest.approx(2.76))
    assert lines[4:6] == ["endheader", "time\tmtj_x_mm\tmtj_y_mm"]
    assert len(lines) == 26


def test_a_trc_has_the_cells_that_opensim_counts(tmp_path: Path, make_trajectory: Make) -> None:
    interchange.write(make_trajectory(hidden={1}), tmp_path / "a.trc", "trc")
    lines = (tmp_path / "a.trc").read_text(encoding="utf-8").split("\n")
    assert lines[0].startswith("PathFileType\t4\t(X/Y/Z)\ta.trc ")
    assert lines[1] == (
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\t"
        "OrigNumFrames"
    )
    assert lines[2] == "25\t25\t20\t1\tmm\t25\t1\t20"
    assert lines[3] == "Frame#\tTime\tMTJ\t\t\t"
    assert lines[4] == "\t\tX1\tY1\tZ1\t"
    assert lines[5] == ""
    assert [line.count("\t") for line in lines[6:26]] == [5] * 20
    assert lines[7] == "2\t2.04\t\t\t\t"  # missing is empty, never 0


def test_a_c3d_marks_what_is_missing_by_its_residual(tmp_path: Path, make_trajectory: Make) -> None:
    ezc3d = pytest.importorskip("ezc3d", reason="the extra c3d is not installed")
    interchange.write(make_trajectory(hidden={1}), tmp_path / "a.c3d", "c3d")
    file = ezc3d.c3d(str(tmp_path / "a.c3d"))
    assert file["data"]["meta_points"]["residuals"][0, 0, :3].tolist() == [0, -1, 0]
    assert np.isnan(file["data"]["points"][:3, 0, 1]).all()
    point = file["parameters"]["POINT"]
    assert (point["LABELS"]["value"], point["UNITS"]["value"]) == (["MTJ"], ["mm"])
    assert point["RATE"]["value"][0] == 25
    assert file["parameters"]["DEEPMTJ"]["FIRST_TIME_S"]["value"][0] == 2


def test_units_that_a_format_lacks(tmp_path: Path, make_trajectory: Make) -> None:
    for key in ("trc", "c3d"):
        with pytest.raises(DeepMTJError, match=r"no scale|needs the extra"):
            interchange.write(make_trajectory(scale=None), path_of(tmp_path, key), key)
    with pytest.raises(ResultError, match="holds px"):
        interchange.write(make_trajectory(), tmp_path / "a.csv", "dlc-csv", Options(unit="mm"))
    interchange.write(make_trajectory(scale=None), tmp_path / "a.sto", "sto")
    assert "time\tmtj_x_px\tmtj_y_px" in (tmp_path / "a.sto").read_text(encoding="utf-8")
    assert interchange.read(tmp_path / "a.sto", "sto")[0].unit == "px"


def test_a_tidy_table_has_several_clips(tmp_path: Path, make_trajectory: Make) -> None:
    from dataclasses import replace

    first = make_trajectory(hidden=HIDDEN)
    said = replace(first.provenance, clip="=2+2.avi", clip_sha256="cd" * 32, scale=None)
    second = Trajectory(first.table.assign(x_mm=np.nan, y_mm=np.nan, sd_mm=np.nan), said)
    interchange.write([first, second], tmp_path / "all.csv", "tidy")
    table = pd.read_csv(tmp_path / "all.csv")
    assert len(table) == 40
    assert list(table.columns[2:-5]) == list(COLUMNS)
    assert table["clip"].unique().tolist() == ["Läufer 1_MG.avi", "'=2+2.avi"]
    assert table["x_mm_per_px"].isna().tolist() == [False] * 20 + [True] * 20
    assert (table["model"] == "compact 1").all()
    assert table.loc[3, ["x_px", "y_px"]].isna().all()
    back = interchange.read(tmp_path / "all.csv", "tidy")
    assert [track.clip for track in back] == ["Läufer 1_MG.avi", "=2+2.avi"]
    np.testing.assert_allclose(back[1].xy, first.xy_px, rtol=1e-9)
    with pytest.raises(ResultError, match="comes twice"):
        interchange.write([first, first], tmp_path / "all.csv", "tidy")


def test_several_clips_do_not_go_into_a_file_of_one(tmp_path: Path, make_trajectory: Make) -> None:
    with pytest.raises(ResultError, match="of one clip, not of 2"):
        interchange.write([make_trajectory(), make_trajectory()], tmp_path / "a.sto", "sto")


def test_a_rate_makes_no_new_rows_of_predictions(tmp_path: Path, make_trajectory: Make) -> None:
    for key in ("dlc-csv", "tidy"):
        with pytest.raises(ResultError, match="leave"):
            interchange.write(make_trajectory(), path_of(tmp_path, key), key, Options(rate=50))


def test_netcdf_with_the_names_to_come(
    tmp_path: Path, make_trajectory: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    xarray = pytest.importorskip("xarray")
    path = path_of(tmp_path, "netcdf")
    monkeypatch.setattr(netcdf, "installed_dimensions", lambda: netcdf.RENAMED)
    interchange.write(make_trajectory(hidden=HIDDEN), path, "netcdf")
    assert xarray.load_dataset(path, engine="h5netcdf")["position"].dims == (
        "time",
        "space",
        "keypoint",
        "individual",
    )
    (track,) = interchange.read(path, "netcdf")
    np.testing.assert_array_equal(track.xy, make_trajectory(hidden=HIDDEN).xy_px)


def test_netcdf_without_times_or_rate(
    tmp_path: Path, make_trajectory: Make, uneven: FrameTimes
) -> None:
    xarray = pytest.importorskip("xarray")
    path = path_of(tmp_path, "netcdf")
    interchange.write(make_trajectory(FrameTimes.unknown(9), scale=None), path, "netcdf")
    said = xarray.load_dataset(path, engine="h5netcdf")
    assert said.attrs["time_unit"] == "frames"
    assert said["time"].dtype == np.int64
    assert not {"fps", "x_mm_per_px", "notes"} & said.attrs.keys()  # None is never written
    interchange.write(make_trajectory(uneven), path, "netcdf")
    assert "fps" not in xarray.load_dataset(path, engine="h5netcdf").attrs
    interchange.write(make_trajectory(), path, "netcdf")
    assert xarray.load_dataset(path, engine="h5netcdf").attrs["fps"] == pytest.approx(25)


@pytest.mark.parametrize("key", NEEDS)
def test_a_missing_extra_is_named(
    tmp_path: Path, make_trajectory: Make, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setitem(sys.modules, NEEDS[key], None)
    extra = {"dlc-h5": "deeplabcut"}.get(key, key)
    path = interchange.default_path(tmp_path / "clip.mtj.csv", key)
    with pytest.raises(MissingExtraError, match=f'the extra "{extra}"'):
        interchange.write(make_trajectory(), path, key)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("key", FORMATS)
def test_other_files_are_refused_with_one_line(tmp_path: Path, key: str) -> None:
    path = path_of(tmp_path, key)
    with pytest.raises(DeepMTJError, match=r"no such|cannot be read"):
        interchange.read(path, key)
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + b"\xff" * 99 if "5" in key else b"a,b\n1,2\n" * 9)
    with pytest.raises(DeepMTJError) as caught:
        interchange.read(path, key)
    assert str(caught.value).startswith(path.name)


@pytest.mark.parametrize(
    ("key", "old", "new"),
    [
        ("sto", "nRows=20", "nRows=21"),
        ("sto", "time\t", "t\t"),
        ("mot-us", "datacolumns 3", "datacolumns 4"),
        ("trc", "CameraRate\t", ""),
        ("trc", "\tmm\t", "\tinch\t"),
        ("trc", "\t20\t1\tmm", "\t21\t1\tmm"),
        ("trc", "2\t2.04\t", "2\t2.04\t\t"),
        ("trc", "2\t2.04\t", "2\tlater\t"),
    ],
)
def test_a_file_that_breaks_the_rules_is_refused(
    tmp_path: Path, make_trajectory: Make, key: str, old: str, new: str
) -> None:
    path = path_of(tmp_path, key)
    interchange.write(make_trajectory(), path, key)
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ResultError):
        interchange.read(path, key)


def test_an_empty_result_is_refused(tmp_path: Path, make_trajectory: Make) -> None:
    whole = make_trajectory()
    empty = Trajectory(whole.table.iloc[:0], whole.provenance)
    with pytest.raises(ResultError, match="has no rows"):
        interchange.write(empty, tmp_path / "a.sto", "sto")


def test_keys_and_default_names(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="'pdf' is unknown; choose tidy, netcdf"):
        interchange.read(tmp_path / "x", "pdf")
    path = interchange.default_path("in/a.mtj.csv", "mot-us", tmp_path)
    assert path == tmp_path / "a_US.mot"
    assert interchange.default_path("in/a.mtj.csv", "dlc-h5") == Path("in/aDLC_napari-deepmtj.h5")


@pytest.mark.parametrize(
    ("frames", "rate", "asked", "complaint"),
    [
        (65_536, 25.0, None, r"65536 frames, and C3D counts 65535; resample with --rate 24.9 or"),
        (70_000, 25.0, None, "resample with --rate 23.4 or lower, track it in parts of 2621 s"),
        (200_000, 100.0, None, "--rate 32.7 or lower"),
        (20, 40_000.0, None, "40000 frames a second, and C3D counts 32767"),
        (3_000, 25.0, 1000.0, "119961 frames, and C3D counts 65535"),
    ],
)
def test_what_c3d_cannot_count_is_refused_before_anything_is_written(
    tmp_path: Path, make_trajectory: Make, frames: int, rate: float, asked, complaint: str
) -> None:
    pytest.importorskip("ezc3d", reason="the extra c3d is not installed")
    short = make_trajectory(FrameTimes(np.arange(2) / rate, "container"))
    numbers = np.arange(frames)
    table = short.table.iloc[np.zeros(frames, int)].assign(frame=numbers, time_s=numbers / rate)
    path = tmp_path / "a.c3d"
    with pytest.raises(ResultError, match=complaint):
        interchange.write(Trajectory(table, short.provenance), path, "c3d", Options(rate=asked))
    assert list(tmp_path.iterdir()) == []


def test_the_longest_c3d_is_whole(tmp_path: Path, make_trajectory: Make) -> None:
    pytest.importorskip("ezc3d", reason="the extra c3d is not installed")
    short = make_trajectory(FrameTimes(np.arange(2) / 25, "container"))
    n = np.arange(65_535)
    table = short.table.iloc[np.zeros(len(n), int)].assign(frame=n, time_s=n / 25, x_px=n / 1000)
    long = Trajectory(table.assign(x_mm=n / 10_000), short.provenance)
    interchange.write(long, tmp_path / "a.c3d", "c3d")
    (track,) = interchange.read(tmp_path / "a.c3d", "c3d")
    assert len(track) == len(n)
    np.testing.assert_allclose(track.xy[:, 0], n / 10_000, atol=1e-5)


@pytest.mark.parametrize(
    ("key", "name"),
    [("c3d", "a.trc"), ("trc", "a.c3d"), ("dlc-h5", "a.csv"), ("tidy", "a.xlsx"), ("sto", "a.mot")]
    + [("netcdf", "a.csv"), ("mot", "a")],
)
def test_a_file_is_called_like_its_format(
    tmp_path: Path, make_trajectory: Make, key: str, name: str
) -> None:
    with pytest.raises(ResultError, match=rf"^{name}: .* end it with \."):
        interchange.write(make_trajectory(), tmp_path / name, key)
    assert list(tmp_path.iterdir()) == []
