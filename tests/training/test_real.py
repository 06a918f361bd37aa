"""Real pictures: clusters of near-duplicates, their split, and crops with the label in place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from real_pictures import smooth_noise, write_belly

from napari_deepmtj.errors import DeepMTJError
from napari_deepmtj.training.real import (
    STORED,
    clusters,
    find_real,
    make_composites,
    make_negatives,
    of_split,
    split_of,
    stored_crop,
)


def test_near_duplicates_and_mirror_images_are_one_cluster(tmp_path: Path) -> None:
    base = smooth_noise(1)
    noisy = np.clip(base + np.random.default_rng(0).normal(0, 8, base.shape), 0, 255)
    pictures = {"a": base, "b": noisy.astype(np.uint8), "c": base[:, ::-1], "d": smooth_noise(2)}
    paths = []
    for name, picture in pictures.items():
        paths.append(tmp_path / f"{name}.png")
        Image.fromarray(np.ascontiguousarray(picture)).save(paths[-1])
    assert clusters(paths) == ["a.png", "a.png", "a.png", "d.png"]


def test_the_split_is_by_cluster_and_has_all_three_parts() -> None:
    parts = [split_of(f"picture {k}") for k in range(400)]
    assert 30 < parts.count("fit") < 90
    assert 25 < parts.count("development") < 80
    assert parts == [split_of(f"picture {k}") for k in range(400)]


def test_a_folder_is_read_by_kind_and_a_held_out_screen_is_never_trained_on(tmp_path) -> None:
    for k in range(6):
        write_belly(tmp_path / "bellies", f"b{k}", k)
    (tmp_path / "nerves").mkdir()
    Image.fromarray(smooth_noise(9, 90, 130)).save(tmp_path / "nerves" / "n.png")
    found = find_real(tmp_path, leave_out=["b5"], no_wedge=["b4"], held_out=[(130, 90)])
    by_name = {picture.path.stem: picture for picture in found}
    assert sorted(by_name) == ["b0", "b1", "b2", "b3", "b4", "n"]
    assert by_name["b4"].belly is None
    assert by_name["b0"].belly is not None
    assert (by_name["n"].kind, by_name["n"].split) == ("nerves", "development")
    assert of_split(found, "development", "bellies", "nerves")[-1].path.stem == "n"


def test_a_mask_that_cannot_be_used_is_kept_with_its_reason(tmp_path: Path) -> None:
    write_belly(tmp_path / "bellies", "good", 1)
    write_belly(tmp_path / "bellies", "empty", 2)
    mask = tmp_path / "bellies" / "empty_aponeuroses.png"
    Image.fromarray(np.zeros_like(np.asarray(Image.open(mask)))).save(mask)
    reasons = {picture.path.stem: picture.no_belly for picture in find_real(tmp_path)}
    assert reasons["good"] is None
    assert "no two aponeuroses" in str(reasons["empty"])


def test_a_picture_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    write_belly(tmp_path / "bellies", "good", 1)
    (tmp_path / "bellies" / "broken.png").write_bytes(b"no picture")
    with pytest.raises(DeepMTJError, match=r"broken\.png.*cannot be read"):
        find_real(tmp_path)


def test_an_empty_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(DeepMTJError, match="no pictures"):
        find_real(tmp_path)


def test_composites_and_negatives_follow_from_their_seed(tmp_path: Path) -> None:
    for k in range(3):
        write_belly(tmp_path / "bellies", f"b{k}", k)
    real = find_real(tmp_path)
    one, two = (make_composites(real, 6, seed=5) for _ in range(2))
    assert one.stored.shape == (6, *STORED)
    assert bool((one.stored == two.stored).all())
    assert one.present.any()
    assert not make_negatives(real, 4, seed=5).present.any()


@pytest.mark.parametrize("seed", range(12))
def test_a_crop_keeps_the_label_on_its_pixel(seed: int) -> None:
    rng = np.random.default_rng(seed)
    picture = np.zeros((200, 260), np.uint8)
    x, y = int(rng.integers(60, 200)), int(rng.integers(30, 90))
    picture[y - 2 : y + 3, x - 2 : x + 3] = 255
    crop = stored_crop(picture, (float(x), float(y)), 0.2, rng)
    if crop.xy is None:
        return
    rows, columns = np.mgrid[: STORED[0], : STORED[1]]
    weight = crop.picture.astype(float)
    centre = (columns * weight).sum() / weight.sum(), (rows * weight).sum() / weight.sum()
    assert crop.xy == pytest.approx(centre, abs=0.6)
