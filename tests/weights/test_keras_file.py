"""Keras checkpoints are read layer by layer, and nothing else is taken for one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_deepmtj.errors import MissingExtraError, WeightsError
from napari_deepmtj.weights.keras_file import read_keras_layers

h5py = pytest.importorskip("h5py", reason="the extra h5 is not installed")


def save(path: Path, layers: dict[str, dict[str, np.ndarray]], root: str = "") -> Path:
    """Write arrays as Keras 2 does."""
    with h5py.File(path, "w") as file:
        group = file.create_group(root) if root else file
        group.attrs["layer_names"] = [name.encode() for name in layers]
        for name, arrays in layers.items():
            own = group.create_group(name)
            own.attrs["weight_names"] = [key.encode() for key in arrays]
            for key, array in arrays.items():
                own.create_dataset(key, data=array)
    return path


def test_layers_come_in_the_models_order(tmp_path: Path) -> None:
    kernel = np.arange(6.0).reshape(2, 3)
    layers = {
        "input_1": {},
        "zz": {"zz/kernel:0": kernel, "zz/bias:0": np.ones(3)},
        "aa": {"aa/kernel:0": kernel.T},
    }
    for root in ("", "model_weights"):
        found = read_keras_layers(save(tmp_path / f"{root}x.h5", layers, root))
        assert [layer.name for layer in found] == ["zz", "aa"]
        np.testing.assert_array_equal(found[0].arrays["kernel"], kernel)
        np.testing.assert_array_equal(found[0].arrays["bias"], np.ones(3))
        assert found[0].arrays["kernel"].dtype == np.float32


def test_a_nested_models_arrays_are_put_together_by_layer(tmp_path: Path) -> None:
    """Keras lists the moving statistics of a nested model after all its other arrays."""
    one = np.ones(4)
    nested = {
        "a_bn/gamma:0": one,
        "b_bn/gamma:0": 2 * one,
        "a_bn/moving_mean:0": 3 * one,
        "b_bn/moving_mean:0": 4 * one,
    }
    a, b = read_keras_layers(save(tmp_path / "x.h5", {"backbone": nested}))
    assert (a.name, b.name) == ("backbone/a_bn", "backbone/b_bn")
    assert a.arrays["moving_mean"][0] == 3
    assert b.arrays["gamma"][0] == 2


def test_long_lists_of_names_are_split_by_keras(tmp_path: Path) -> None:
    path = save(tmp_path / "x.h5", {"a": {"a/kernel:0": np.ones(2)}, "b": {}})
    with h5py.File(path, "a") as file:
        del file.attrs["layer_names"]
        file.attrs["layer_names0"], file.attrs["layer_names1"] = [b"a"], [b"b"]
    assert [layer.name for layer in read_keras_layers(path)] == ["a"]


@pytest.mark.parametrize("content", [b"", b"text", b"\x89HDF\r\n\x1a\n" + bytes(200)])
def test_other_files_are_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.h5"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"^x\.h5: is no Keras HDF5 checkpoint.*imported$"):
        read_keras_layers(path)


def test_missing_file_and_other_hdf5(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no Keras HDF5 checkpoint"):
        read_keras_layers(tmp_path / "none.h5")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["frames"] = np.ones(3)
    with pytest.raises(WeightsError, match="layer_names is missing"):
        read_keras_layers(tmp_path / "x.h5")


def test_a_name_without_its_array(tmp_path: Path) -> None:
    path = save(tmp_path / "x.h5", {"a": {"a/kernel:0": np.ones(2)}})
    with h5py.File(path, "a") as file:
        del file["a/a/kernel:0"]
    with pytest.raises(WeightsError, match="damaged"):
        read_keras_layers(path)


def test_absurd_sizes_are_refused_before_they_are_read(tmp_path: Path) -> None:
    path = save(tmp_path / "x.h5", {"a": {"a/bias:0": np.ones(2)}})
    with h5py.File(path, "a") as file:
        del file["a/a/bias:0"]
        file["a/a"].create_dataset("bias:0", shape=(10**6, 10**6), chunks=(1000, 1000), dtype="f4")
    with pytest.raises(WeightsError, match="more than 500,000,000 numbers"):
        read_keras_layers(path)


def test_without_h5py(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(MissingExtraError, match=r"napari-deepmtj\[h5\]"):
        read_keras_layers(tmp_path / "x.h5")
