"""What Telemed's converters leave: `.mat` side-cars and `.tvd.h5` clips."""

from __future__ import annotations

import re
import shutil
import sys

import numpy as np
import pytest
from scipy.io import savemat

from napari_deepmtj.core.geometry import Roi, Scale
from napari_deepmtj.errors import MissingExtraError, VideoError
from napari_deepmtj.video.opening import open_video
from napari_deepmtj.video.sidecar import ClipInfo, write_sidecar

SECONDS = np.cumsum(np.random.default_rng(2).uniform(0.01, 0.03, 60))


@pytest.fixture
def converted(tmp_path, clip_folder):
    """A clip of 60 frames of 160 x 64 px; call it to write `TVDdata` beside it."""
    clip = shutil.copy(clip_folder / "mjpeg.avi", tmp_path / "trial 1.avi")

    def write(**fields):
        data = {"Time": SECONDS, "Height": 64.0, "Width": 160.0, "fps": 50.0, "Fnum": 60.0}
        data |= {"cmPerPixX": 0.01, "cmPerPixY": 0.012, "rect": [1, 1, 2, 2]}
        data |= fields
        savemat(clip.with_suffix(".mat"), {"TVDdata": data})
        return clip

    return write


def test_mat_gives_times_and_scale(converted) -> None:
    with open_video(converted()) as source:
        np.testing.assert_allclose(source.times.seconds, SECONDS - SECONDS[0])
        assert source.times.source == "side-car .mat"
        assert source.scale is not None
        assert (source.scale.x_mm, source.scale.y_mm) == pytest.approx((0.1, 0.12))
        assert source.scale.source == "side-car .mat (cmPerPixX, cmPerPixY)"
        assert source.notices == ()


@pytest.mark.parametrize(
    ("fields", "what", "times", "scale"),
    [
        ({"Time": SECONDS[:-1]}, "times in trial 1.mat are not used: there are 59 for 60", 0, 1),
        ({"Time": SECONDS[::-1]}, "are not used: they do not increase", 0, 1),
        ({"Time": []}, "there are 0 for 60 frames", 0, 1),
        ({"Width": 320.0}, "scale .* for pictures of 320 x 64 px, these are 160 x 64", 1, 0),
        ({"cmPerPixX": 0.0}, "scale .* of 0.0 mm per px is impossible", 1, 0),
        ({"cmPerPixY": "none"}, "not made of numbers", 0, 0),
    ],
)
def test_mat_that_does_not_fit_is_not_used_and_told(converted, fields, what, times, scale) -> None:
    with open_video(converted(**fields)) as source:
        assert len(source.notices) == 1
        assert re.search(what, source.notices[0])
        assert source.times.source == ("side-car .mat" if times else "container")
        assert (source.scale is not None) == bool(scale)


def test_mat_of_another_program_and_damaged_ones(converted) -> None:
    clip = converted()
    mat = clip.with_suffix(".mat")
    savemat(mat, {"Fdat": 1.0})
    with open_video(clip) as source:
        assert (source.notices, source.scale, source.times.source) == ((), None, "container")
    mat.write_bytes(b"noise" * 50)
    with open_video(clip) as source:
        assert source.notices == (
            "trial 1.avi: trial 1.mat beside it cannot be read and is not used",
        )
    mat.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM" + bytes(400))
    with open_video(clip) as source:
        assert "save it with -v7" in source.notices[0]


def test_own_sidecar_stands_above_the_mat(converted) -> None:
    clip = converted()
    write_sidecar(clip, ClipInfo(scale=Scale(0.5, 0.5, "by hand")))
    with open_video(clip) as source:
        assert source.scale == Scale(0.5, 0.5, "side-car (by hand)")
        assert source.times.source == "side-car .mat"
        assert any("the scale of its side-car, 0.5 x 0.5" in notice for notice in source.notices)


FRAMES = np.arange(6 * 12 * 18).reshape(6, 12, 18).astype(np.uint8)
MILLISECONDS = np.array([100.0, 120, 145, 160, 180, 205])


@pytest.fixture
def tvd(tmp_path):
    """Call it to write a `.tvd.h5` clip."""
    h5py = pytest.importorskip("h5py")

    def write(milliseconds=MILLISECONDS, frames=FRAMES, **attributes):
        path = tmp_path / "trial.tvd.h5"
        with h5py.File(path, "w") as file:
            file["frames/gray"] = frames
            if milliseconds is not None:
                file["timing/time_ms"] = milliseconds
            file.attrs.update(attributes)
        return path

    return write


def test_tvd_h5(tvd) -> None:
    path = tvd(image_dx_cm_per_px=0.05, physical_dx1_cm_per_px=0.051)
    with open_video(path) as source:
        assert (source.name, source.n_frames) == ("trial.tvd.h5", 6)
        for frame in (5, 0, 3):
            np.testing.assert_array_equal(source.read(frame), FRAMES[frame])
        np.testing.assert_allclose(source.times.seconds, (MILLISECONDS - 100) / 1000)
        assert source.times.source == "/timing/time_ms"
        assert source.scale == Scale(0.5, 0.5, "file (image_dx_cm_per_px)")
        assert source.metadata["scale_from"] == "image_dx_cm_per_px"
        assert source.metadata["physical_dx1_cm_per_px"] == 0.051
        assert source.notices == (
            "trial.tvd.h5 has two scales, 0.5 and 0.51 mm per pixel; image_dx_cm_per_px, the "
            "first, is used",
        )
    with pytest.raises(VideoError, match="was closed"):
        source.read(0)


def test_tvd_h5_with_the_other_scale_or_none(tvd) -> None:
    with open_video(tvd(physical_dx1_cm_per_px=0.06)) as source:
        assert source.scale == Scale.isotropic(0.6, "file (physical_dx1_cm_per_px)")
    with open_video(tvd()) as source:
        assert (source.scale, source.metadata["scale_from"], source.notices) == (None, None, ())
    with open_video(tvd(image_dx_cm_per_px=-1.0)) as source:
        assert source.scale is None
        assert "scale is not used" in source.notices[0]
    with open_video(tvd(image_dx_cm_per_px=5.0)) as source:  # mm, not cm
        assert source.scale is None
        assert "50 mm per px is impossible" in source.notices[0]


@pytest.mark.parametrize("milliseconds", [None, MILLISECONDS[:-1], MILLISECONDS[::-1]])
def test_tvd_h5_whose_times_do_not_fit(tvd, milliseconds) -> None:
    with open_video(tvd(milliseconds)) as source:
        assert not source.times.known
        assert "its times are not used" in source.notices[0]


def test_hdf5_that_is_none_of_ours(tvd) -> None:
    with pytest.raises(VideoError, match=r"^trial.tvd.h5: is HDF5 without pictures in /frames/gr"):
        open_video(tvd(frames=FRAMES[0]))
    path = tvd()
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(VideoError, match=r"^trial.tvd.h5: cannot be opened as HDF5"):
        open_video(path)


def test_without_h5py_one_line_names_the_extra(tvd, monkeypatch) -> None:
    path = tvd()
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingExtraError, match=r"napari-deepmtj\[h5\]"):
        open_video(path)


def test_the_panel_is_the_region(tvd) -> None:
    """Columns and rows are counted from 1, and the last ones belong to the panel."""
    edges = {"roi1_x1": 3, "roi1_x2": 14, "roi1_y1": 1, "roi1_y2": 12}
    with open_video(tvd(**edges, roi2_x1=0, roi2_x2=0, roi2_y1=0, roi2_y2=0)) as source:
        assert source.roi == Roi(2, 0, 12, 12, "file (roi1)")
        assert source.notices == ()


@pytest.mark.parametrize(
    ("edges", "why"),
    [
        ((3, 1, 19, 12), "columns 3 to 19 and rows 1 to 12, does not fit the picture of 18 x 12"),
        ((3, 0, 14, 12), "does not fit"),
        ((14, 1, 3, 12), "does not fit"),
        ((2**40, 1, 2**41, 12), "does not fit"),
    ],
)
def test_a_panel_that_does_not_fit_is_not_used_and_told(tvd, edges, why) -> None:
    names = ("roi1_x1", "roi1_y1", "roi1_x2", "roi1_y2")
    with open_video(tvd(**dict(zip(names, edges, strict=True)))) as source:
        assert source.roi is None
        assert why in source.notices[0]


def test_one_of_two_panels_is_not_chosen(tvd) -> None:
    edges = {"x1": 1, "x2": 8, "y1": 1, "y2": 12}
    panels = {f"roi{n}_{name}": edge for n in (1, 2) for name, edge in edges.items()}
    with open_video(tvd(**panels)) as source:
        assert source.roi is None
        assert source.notices == (
            "trial.tvd.h5 has 2 panels, none of which is taken as the B-mode picture; give a "
            "region",
        )
