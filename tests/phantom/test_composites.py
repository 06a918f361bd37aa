"""Composites of a drawn belly: where the wedge closes, what stays, what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_deepmtj.core.jobs import Done, Notice
from napari_deepmtj.errors import DeepMTJError
from napari_deepmtj.phantom.anatomy import LABEL_DEPTH, LABEL_THICKNESS_MM
from napari_deepmtj.phantom.composite_clips import write_composites
from napari_deepmtj.phantom.composites import (
    Belly,
    Line,
    Wedge,
    composite,
    read_bellies,
    read_belly,
)

HEIGHT, WIDTH, MM = 240, 320, 0.2
SUPERFICIAL, DEEP = (30, 35), (110, 118)


@pytest.fixture
def belly() -> Belly:
    """Muscle of grey 80 with noise between two bright lines, soleus of grey 50 below."""
    rng = np.random.default_rng(0)
    picture = np.full((HEIGHT, WIDTH), 60.0)
    picture[SUPERFICIAL[1] : DEEP[0]] = 80
    picture[DEEP[1] :] = 50
    picture += rng.normal(0, 6, picture.shape)
    for top, bottom in (SUPERFICIAL, DEEP):
        picture[top:bottom] = 230

    def line(edges: tuple[int, int]) -> Line:
        return Line(*(np.full(WIDTH, float(edge)) for edge in edges))

    grey = picture.clip(0, 255).astype(np.uint8)
    return Belly("drawn", grey, line(SUPERFICIAL), line(DEEP), MM)


@pytest.fixture
def wedge() -> Wedge:
    """A straight-sided wedge of 1 mm in 5 that closes at 40 mm, with nothing else changed."""
    return Wedge(40.0, 0.2, 1.0, 0.0, 0.0, 0.0, 0.01, 20.0, 5.0, 0.0, 0.0, 20.0, 1.0)


def test_the_label_lies_where_the_wedge_has_the_thickness_of_the_definition(
    belly: Belly, wedge: Wedge
) -> None:
    made = composite(belly, wedge, np.random.default_rng(1))
    assert made.xy is not None
    muscle = (DEEP[0] - SUPERFICIAL[1]) * MM
    proximal = -np.log1p(-LABEL_THICKNESS_MM / muscle) * muscle / wedge.slope
    assert made.xy[0] * MM == pytest.approx(wedge.tip_mm - proximal, abs=0.5 * MM)
    line = SUPERFICIAL[1] + LABEL_THICKNESS_MM / MM
    assert made.xy[1] == pytest.approx(line + LABEL_DEPTH * (DEEP[1] - DEEP[0]), abs=0.3)


def test_the_deep_line_is_lifted_onto_the_superficial_one(belly: Belly, wedge: Wedge) -> None:
    made = composite(belly, wedge, np.random.default_rng(1))
    distal = made.picture[:, int(55 / MM)].astype(float)
    lines = distal[SUPERFICIAL[0] + 1 : SUPERFICIAL[1] + DEEP[1] - DEEP[0] - 1]
    assert np.count_nonzero(lines <= 200) <= 1, "the two lines touch"
    below = distal[SUPERFICIAL[1] + DEEP[1] - DEEP[0] + 2 :]
    assert abs(below.mean() - 50) < 4, "soleus lies right below"
    assert np.array_equal(made.picture[: SUPERFICIAL[0], :], belly.picture[: SUPERFICIAL[0], :])


def test_no_row_is_made_up_below(belly: Belly, wedge: Wedge) -> None:
    made = composite(belly, wedge, np.random.default_rng(1))
    assert len(made.picture) == HEIGHT - (DEEP[0] - SUPERFICIAL[1])


def test_a_wedge_that_closes_beyond_the_picture_has_no_label(belly: Belly, wedge: Wedge) -> None:
    for tip in (-10.0, WIDTH * MM + 30):
        assert composite(belly, replace(wedge, tip_mm=tip), np.random.default_rng(1)).xy is None


def test_a_moved_tip_moves_the_label_by_as_much(belly: Belly, wedge: Wedge) -> None:
    places = []
    for tip in (36.0, 41.0):
        xy = composite(belly, replace(wedge, tip_mm=tip), np.random.default_rng(1)).xy
        assert xy is not None
        places.append(xy)
    assert (places[1][0] - places[0][0]) * MM == pytest.approx(5.0, abs=0.05)


def test_drawn_wedges_follow_from_the_seed(belly: Belly) -> None:
    one, two, other = (Wedge.sample(belly, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert one == two != other


def test_lines_are_read_from_a_mask(belly: Belly, tmp_path: Path) -> None:
    write(tmp_path, "a", belly)
    read = read_belly(tmp_path / "a.png", tmp_path / "a_aponeuroses.png", MM)
    assert read.superficial.bottom.mean() == pytest.approx(SUPERFICIAL[1], abs=1.5)
    assert read.deep.top.mean() == pytest.approx(DEEP[0], abs=1.5)
    bellies, unusable = read_bellies(tmp_path)
    assert [one.name for one in bellies] == ["a.png"]
    assert not unusable


def test_every_picture_that_cannot_be_used_is_named_with_the_reason(
    belly: Belly, tmp_path: Path
) -> None:
    for name in ("good", "smaller[1]", "broken", "alone"):
        write(tmp_path, name, belly)
    write(tmp_path, "one line", belly, (SUPERFICIAL,))
    Image.fromarray(belly.picture[::2]).save(tmp_path / "smaller[1].png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    (tmp_path / "alone.png").unlink()
    bellies, unusable = read_bellies(tmp_path)
    assert [one.name for one in bellies] == ["good.png"]
    reasons = {Path(error.path or "").name: str(error) for error in unusable}
    assert sorted(reasons) == [
        "alone_aponeuroses.png",
        "broken.png",
        "one line.png",
        "smaller[1].png",
    ]
    assert "another size" in reasons["smaller[1].png"]
    assert "cannot be read" in reasons["broken.png"]
    assert "not beside it" in reasons["alone_aponeuroses.png"]


def test_the_command_names_what_it_leaves_out(belly: Belly, tmp_path: Path) -> None:
    for name, lines in (("a", (SUPERFICIAL, DEEP)), ("b", (SUPERFICIAL,))):
        write(tmp_path, name, belly, lines)
    events = list(write_composites(tmp_path, tmp_path / "out", stills=1, clips=0, seed=1))
    notices = [event.message for event in events if isinstance(event, Notice)]
    assert len(notices) == 1
    assert notices[0].startswith("left out: ")
    assert "b.png" in notices[0]
    assert isinstance(events[-1], Done)


@pytest.mark.parametrize(
    "table",
    ["file;mm\na.png;0.1\n", "file,mm_per_px\na.png,tenth\n", "file,mm_per_px\na.png,155\n"],
)
def test_a_table_of_scales_that_cannot_be_is_refused(
    table: str, belly: Belly, tmp_path: Path
) -> None:
    write(tmp_path, "a", belly)
    (tmp_path / "scales.csv").write_text(table, encoding="utf-8")
    with pytest.raises(DeepMTJError, match=r"scales|mm"):
        read_bellies(tmp_path)


@pytest.mark.parametrize(
    ("lines", "reason"),
    [((SUPERFICIAL,), "no two aponeuroses"), ((SUPERFICIAL, (44, 50)), "muscle between")],
)
def test_masks_that_make_no_wedge_are_refused(belly, lines, reason, tmp_path: Path) -> None:
    write(tmp_path, "a", belly, lines)
    with pytest.raises(DeepMTJError, match=reason):
        read_belly(tmp_path / "a.png", tmp_path / "a_aponeuroses.png", MM)


def write(folder: Path, name: str, belly: Belly, lines=(SUPERFICIAL, DEEP)) -> None:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    for top, bottom in lines:
        mask[top:bottom] = 255
    Image.fromarray(belly.picture).save(folder / f"{name}.png")
    Image.fromarray(mask).save(folder / f"{name}_aponeuroses.png")
