"""Converted checkpoints say what Keras said.

The fixtures are networks of 1/32 of the published width with random weights, saved and run by
tf_keras in `benchmarks/keras_parity.py --fixtures`, which also compares the full width.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_deepmtj.errors import WeightsError
from napari_deepmtj.weights import keras_import
from napari_deepmtj.weights.keras_import import import_keras
from napari_deepmtj.weights.store import load_model, save_model

h5py = pytest.importorskip("h5py", reason="the extra h5 is not installed")

FIXTURES = Path(__file__).parent / "keras"
TITLES = {
    "vgg16": "VGG16",
    "resnet50": "ResNet50",
    "vgg-attention-2": "VGG-Attention-2",
    "vgg-attention-3": "VGG-Attention-3",
    "attention-unet": "Attention U-Net",
}
#: Promised: coordinates in shares of the picture; maps in shares of their maximum.
COORDINATES, MAPS, CORRELATION = 1e-4, 1e-3, 0.9999


@torch.inference_mode()
def outputs(network: torch.nn.Module, grey: np.ndarray) -> list[np.ndarray]:
    inputs = torch.from_numpy(grey).float()[:, None] / 127.5 - 1
    found = network(inputs)
    first = found.xy if found.xy is not None else found.heatmap.sigmoid()[..., None]
    return [t.numpy() for t in (first, *found.attention)]


def expected(name: str) -> tuple[np.ndarray, list[np.ndarray]]:
    with np.load(FIXTURES / f"{name}.npz") as saved:
        n = sum(key.startswith("output") for key in saved)
        scale = [1.0] + [65535.0] * (n - 1)  # maps are saved in shares of their maximum
        return saved["grey"], [saved[f"output{i}"] / scale[i] for i in range(n)]


def same(got: list[np.ndarray], wanted: list[np.ndarray]) -> bool:
    if [a.shape for a in got] != [a.shape for a in wanted]:
        return False
    if np.abs(got[0] - wanted[0]).max() >= COORDINATES:
        return False
    for g, w in zip(got[1:], wanted[1:], strict=True):
        for one, other in zip(g, w, strict=True):
            if np.abs(one / one.max() - other / other.max()).max() >= MAPS:
                return False
            if not np.corrcoef(one.ravel(), other.ravel())[0, 1] > CORRELATION:
                return False
    return True


@pytest.mark.parametrize("name", TITLES)
def test_converted_networks_say_what_keras_said(name: str) -> None:
    network, card = import_keras(FIXTURES / f"{name}.h5")
    grey, wanted = expected(name)
    assert card.made_with["published_as"].startswith(f"{TITLES[name]}, Leitner")
    got = outputs(network, grey)
    assert same(got, wanted)
    turned = [got[0][..., ::-1] if got[0].ndim == 2 else got[0][:, ::-1], *got[1:]]
    assert not same(turned, wanted), "two axes swapped go unnoticed"


@pytest.mark.parametrize("name", [name for name in TITLES if name not in ("vgg16", "resnet50")])
def test_no_map_is_flat(name: str) -> None:
    """Else being equal would mean nothing."""
    _, (_, *maps) = expected(name)
    assert all(np.ptp(one) > 0.05 for level in maps for one in level)


def attended(order: list[int]) -> torch.nn.Module:
    """Return VGG-Attention-3 with the features of its three depths joined in another order."""
    network, _ = import_keras(FIXTURES / "vgg-attention-3.h5")
    parts = network.head.weight.data.chunk(3, dim=1)  # coarse to fine
    network.head.weight.data = torch.cat([parts[i] for i in order], 1)
    return network


def test_swapped_attention_levels_are_noticed() -> None:
    grey, wanted = expected("vgg-attention-3")
    assert same(outputs(attended([0, 1, 2]), grey), wanted)
    for order in ([1, 0, 2], [2, 1, 0], [0, 2, 1]):
        assert not same(outputs(attended(order), grey), wanted), order


@pytest.mark.parametrize(
    ("name", "flattened"),
    [*((name, False) for name in TITLES), ("vgg16", True), ("vgg-attention-3", True)],
)
def test_swapped_rows_and_columns_are_noticed(
    name: str, flattened: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of convolutions, or of the map that a dense layer takes flattened."""
    convert = keras_import._converted

    def swapped(module, layer, grid):  # type: ignore[no-untyped-def]
        arrays = convert(module, layer, grid)
        weight = arrays["weight"]
        if weight.ndim == 4 and not flattened:
            arrays["weight"] = weight.swapaxes(2, 3)
        if flattened and grid:
            turned = weight.reshape(len(weight), -1, *grid).swapaxes(2, 3)
            arrays["weight"] = turned.reshape(weight.shape)
        return arrays

    monkeypatch.setattr(keras_import, "_converted", swapped)
    network, _ = import_keras(FIXTURES / f"{name}.h5")
    grey, wanted = expected(name)
    assert not same(outputs(network, grey), wanted)


@pytest.mark.parametrize("name", TITLES)
def test_saved_and_loaded_it_is_a_model_like_any_other(name: str, tmp_path: Path) -> None:
    network, card = import_keras(FIXTURES / f"{name}.h5", "theirs")
    save_model(tmp_path / "theirs.safetensors", network, card)
    model = load_model(tmp_path / "theirs.safetensors")
    assert model.card.id == "theirs"
    first = name != "attention-unet"
    size = (model.card.input_height, model.card.input_width)
    assert size == ((64, 128) if first else (128, 256))
    assert model.card.normalisation == ("minus-one-one" if first else "standardise")
    grey, _ = expected(name)
    for one, other in zip(outputs(network, grey), outputs(model.network, grey), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_the_card_repeats_the_papers_figures_as_the_papers() -> None:
    _, card = import_keras(FIXTURES / "vgg-attention-3.h5")
    assert card.figures["mae_mm"] == 2.55
    assert "not measured here" in card.figures["on"]
    assert 1 / (1 + np.exp(-card.decoding["bias"])) == pytest.approx(0.8832)
    # RMSE of 3.75 % of the 143.1 px diagonal, over two axes
    assert card.decoding["sd_floor_px"] == pytest.approx(0.0375 * 143.1 / 2**0.5, abs=0.01)


def edited(name: str, tmp_path: Path) -> h5py.File:
    path = tmp_path / f"{name}.h5"
    shutil.copy(FIXTURES / path.name, path)
    return h5py.File(path, "a")


def test_other_networks_are_refused(tmp_path: Path) -> None:
    with edited("vgg16", tmp_path) as file:
        file.attrs["layer_names"] = file.attrs["layer_names"][:-1]
    with pytest.raises(WeightsError, match=r"^vgg16\.h5: its 13 kernels are those of no published"):
        import_keras(tmp_path / "vgg16.h5")


def test_residual_blocks_of_unknown_names_are_not_guessed(tmp_path: Path) -> None:
    with edited("resnet50", tmp_path) as file:
        names = [str(name) for name in file.attrs["layer_names"]]
        for name in names:
            if "_0_" in name:
                new = name.replace("_0_", "_side_")
                file.move(f"{name}/{name}", f"{name}/{new}")
                file.move(name, new)
                inner = [str(n).replace("_0_", "_side_") for n in file[new].attrs["weight_names"]]
                file[new].attrs["weight_names"] = [n.encode() for n in inner]
                names[names.index(name)] = new
        file.attrs["layer_names"] = [name.encode() for name in names]
    with pytest.raises(WeightsError, match="known by the names that Keras gives"):
        import_keras(tmp_path / "resnet50.h5")


def test_a_missing_normalisation_is_named(tmp_path: Path) -> None:
    with edited("vgg16", tmp_path) as file:
        kept = [
            n for n in file.attrs["layer_names"] if not str(n).endswith("batch_normalization_3")
        ]
        file.attrs["layer_names"] = kept
    with pytest.raises(WeightsError, match="lacks the normalisation of"):
        import_keras(tmp_path / "vgg16.h5")


def test_the_bias_of_the_projection_is_taken_where_there_is_one(tmp_path: Path) -> None:
    """The authors' own programs build level 1 with one; P20 does not speak of it."""
    with edited("vgg-attention-3", tmp_path) as file:
        (name,) = [
            str(n) for n in file.attrs["layer_names"]
            if [str(w).rsplit("/")[-1] for w in file[n].attrs["weight_names"]] == ["kernel:0"]
        ]  # fmt: skip
        width = file[f"{name}/{name}/kernel:0"].shape[-1]
        file[name].create_dataset(f"{name}/bias:0", data=np.arange(width, dtype=np.float32))
        file[name].attrs["weight_names"] = [
            f"{name}/{own}:0".encode() for own in ("kernel", "bias")
        ]
    network, card = import_keras(tmp_path / "vgg-attention-3.h5")
    assert card.network_arguments["project_bias"] is True
    bias = network.attend[2].project.bias.detach().numpy()
    np.testing.assert_array_equal(bias, np.arange(width))
