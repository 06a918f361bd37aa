"""Millimetres that no B-mode picture has are refused, or told, whichever way they come."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_deepmtj.batch.presets import read_presets
from napari_deepmtj.batch.study import read_study
from napari_deepmtj.calibration.scale import scale_by_hand, scale_from_line
from napari_deepmtj.cli.track import parse_scale
from napari_deepmtj.core.geometry import Roi, Scale
from napari_deepmtj.errors import CalibrationError, DeepMTJError
from napari_deepmtj.video.opening import open_video
from napari_deepmtj.video.sidecar import sidecar_path

#: What is stated, and what was likely meant.
STATED = ((155, "0.155"), (88.3, "0.0883"), (11.3, "0.0885"), (0.0000883, "0.0883"), (100, "0.1"))


@pytest.mark.parametrize(("mm", "meant"), STATED)
def test_the_likely_number_is_named(mm: float, meant: str) -> None:
    with pytest.raises(CalibrationError, match=rf"mm per px is impossible.*did you mean {meant}\b"):
        Scale(0.1, mm, "test")


@pytest.mark.parametrize("mm", [0.005, 0.02, 0.0883, 0.3, 5.0])
def test_what_can_be_is_taken(mm: float) -> None:
    pixels = round(100 / mm)
    assert Scale.isotropic(mm, "test").for_picture(pixels, pixels).x_mm == mm


@pytest.mark.parametrize(
    ("mm", "size", "roi", "complaint"),
    [
        (0.8, (480, 640), None, "picture 512 mm wide, .* did you mean 0.08"),
        (0.5, (700, 500), None, "picture 350 mm high"),
        (0.006, (480, 640), None, r"picture 3.84 mm wide, .* did you mean 0.06 \(0.006 cm"),
        (0.9, (480, 640), Roi(10, 10, 360, 200), "picture 324 mm wide"),
        (4.0, (480, 640), Roi(10, 10, 300, 200), "picture 1.2 m wide"),
    ],
)
def test_the_size_of_the_picture_decides(mm, size, roi, complaint) -> None:
    scale = Scale.isotropic(mm, "test")
    with pytest.raises(CalibrationError, match=complaint):
        scale.for_picture(*size, roi)


def test_a_screen_may_be_wider_than_the_picture_in_it() -> None:
    assert Scale.isotropic(0.2, "test").for_picture(1080, 1920, Roi(100, 100, 800, 600))


def stack(folder: Path, **keywords: object) -> Path:
    path = folder / "clip.tif"
    frames = np.zeros((3, 96, 128), np.uint8)
    tifffile.imwrite(path, frames, photometric="minisblack", **keywords)
    return path


@pytest.mark.parametrize(("mm", "meant"), STATED)
def test_every_way_to_state_a_scale_is_checked(tmp_path: Path, mm: float, meant: str) -> None:
    study = tmp_path / "study.csv"
    study.write_text(f"file,scale\na.avi,{mm}\n")
    presets = tmp_path / "presets.toml"
    presets.write_text(f"[scanner]\nscale = {mm}\n")
    clip = stack(tmp_path)
    entry = {"x_mm_per_px": mm, "y_mm_per_px": mm, "source": "line"}
    sidecar_path(clip).write_text(json.dumps({"schema": 1, "scale": entry}))
    ways = (
        lambda: scale_by_hand(mm),
        lambda: scale_from_line((0, 0), (0, 100), 100 * mm),
        lambda: read_study(study),
        lambda: read_presets(presets),
        lambda: open_video(clip),
    )
    for way in ways:
        with pytest.raises(DeepMTJError, match=rf"mm per px is impossible.*did you mean {meant}\b"):
            way()
    with pytest.raises(Exception, match=rf"did you mean {meant}\b"):
        parse_scale(str(mm))


def test_a_sidecar_s_scale_must_fit_its_clip(tmp_path: Path) -> None:
    clip = stack(tmp_path)
    entry = {"x_mm_per_px": 4, "y_mm_per_px": 4, "source": "line"}
    sidecar_path(clip).write_text(json.dumps({"schema": 1, "scale": entry}))
    with pytest.raises(CalibrationError, match=r"mtj-clip.json: .* 512 mm wide"):
        open_video(clip)


@pytest.mark.parametrize(
    ("resolution", "unit"), [((1, 1), "cm"), ((0.1, 0.1), "mm"), ((1, 1), "um"), ((4, 4), "m")]
)
def test_a_file_s_own_scale_is_left_out_and_told(tmp_path: Path, resolution, unit) -> None:
    path = stack(tmp_path, imagej=True, resolution=resolution, metadata={"unit": unit})
    with open_video(path) as source:
        assert source.scale is None
        assert "its scale is not used" in " ".join(source.notices)
