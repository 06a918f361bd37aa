from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_deepmtj.core.geometry import Scale
from napari_deepmtj.core.labels import Label
from napari_deepmtj.errors import MissingExtraError
from napari_deepmtj.evaluation.agreement import Pair, raters_of_labels, study
from napari_deepmtj.report.agreement import bland_altman_figure
from napari_deepmtj.report.plots import save_figure

pytest.importorskip("pingouin", reason="the extra statistics is not installed")


def pair_of(n: int) -> Pair:
    rng = np.random.default_rng(1)
    places = rng.uniform(50, 150, (n, 2))
    raters = raters_of_labels(
        {
            "": [
                Label(clip="a.avi", clip_sha256="aa", frame=f, x_px=x + dx, y_px=y, annotator=who)
                for f, (x, y) in enumerate(places)
                for who, dx in (("a$b$", 0.0), ("bert", 3 + f % 2))
            ]
        }
    )
    (pair,) = study(raters, {"aa": Scale(0.1, 0.2, "test")}).pairs
    return pair


def test_points_and_lines_are_the_study(tmp_path: Path) -> None:
    pair = pair_of(20)
    figure = bland_altman_figure(pair)
    x, y = figure.axes
    lines = {line.get_label(): line for line in x.get_lines()}
    means, differences = lines["frames"].get_data()
    np.testing.assert_allclose(differences, np.tile([0.3, 0.4], 10))
    np.testing.assert_allclose(means, pair.table["x_first"] + differences / 2)
    limits = pair.limits["x"]
    assert lines["bias"].get_ydata()[0] == pytest.approx(0.35)
    assert lines["upper limit"].get_ydata()[0] == limits.upper.value
    assert lines["lower limit"].get_ydata()[0] == limits.lower.value
    bands = sorted((p.get_y(), p.get_y() + p.get_height()) for p in x.patches)
    wanted = sorted((e.low, e.high) for e in (limits.lower, limits.bias, limits.upper))
    np.testing.assert_allclose(bands, wanted)
    assert x.get_xlabel() == "mean of both [mm]"
    assert x.get_ylabel() == r"bert minus a\$b\$ [mm]"
    assert y.get_title() == "y, depth"
    png = save_figure(figure, tmp_path / "a.png")
    pixels = np.asarray(Image.open(png).convert("RGB")).astype(int)
    assert (np.abs(pixels - (0xD5, 0x5E, 0x00)).max(axis=-1) < 10).sum() > 500
    svg = save_figure(figure, tmp_path / "a.svg").read_text(encoding="utf-8")
    assert svg.rstrip().endswith("</svg>")


@pytest.mark.parametrize("n", [1, 2])
def test_few_frames_can_be_drawn(tmp_path: Path, n: int) -> None:
    figure = bland_altman_figure(pair_of(n))
    assert len(figure.axes[0].get_lines()) == (2 if n == 1 else 5)
    assert save_figure(figure, tmp_path / "a.png").stat().st_size > 5000


def test_no_matplotlib_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = pair_of(3)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"napari-deepmtj\[plots\]"):
        bland_altman_figure(pair)


def test_importing_it_loads_no_matplotlib() -> None:
    code = (
        "import sys, napari_deepmtj.report.agreement\n"
        "assert not {'matplotlib', 'pingouin', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
