import pickle
import subprocess
import sys
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from napari_deepmtj.errors import DeviceError, WeightsError
from napari_deepmtj.weights import runtime, store
from napari_deepmtj.weights.store import (
    CARD_KEY,
    MODELS_VARIABLE,
    find_models,
    hash_tensors,
    list_models,
    load_model,
    read_card,
    save_model,
)


@pytest.fixture
def network(tiny):
    torch.manual_seed(0)
    return tiny()


@pytest.fixture
def saved(tmp_path, network, card):
    path = tmp_path / "tiny.safetensors"
    return path, save_model(path, network, card)


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Empty stand-ins for the bundled and the user's folder."""
    bundled, own = tmp_path / "bundled", tmp_path / "own"
    bundled.mkdir()
    own.mkdir()
    monkeypatch.setattr(store, "bundled_folder", lambda: bundled)
    monkeypatch.setenv(MODELS_VARIABLE, str(own))
    return bundled, own


def test_what_is_saved_is_what_is_loaded(saved, network):
    path, card = saved
    model = load_model(path)
    assert model.card == card == read_card(path)
    assert len(card.sha256) == 64
    assert card.created.endswith("+00:00")
    assert not model.network.training
    x = torch.rand(2, 1, 16, 32)
    with torch.inference_mode():
        assert torch.allclose(model.network(x).heatmap, network.eval()(x).heatmap, atol=1e-6)


def test_saving_twice_gives_the_same_bytes(saved, network, tmp_path):
    path, card = saved
    save_model(tmp_path / "again.safetensors", network, card)
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


def test_half_precision_halves_the_file_and_loads_as_single(tiny, tmp_path, card):
    network = tiny(width=500)
    wide = replace(card, network_arguments={"width": 500})
    whole, half = tmp_path / "whole.safetensors", tmp_path / "half.safetensors"
    first, second = (
        save_model(whole, network, wide),
        save_model(half, network, wide, dtype="float16"),
    )
    stored = load_file(half)
    assert stored["conv.weight"].dtype == np.float16
    assert stored["norm.running_var"].dtype == np.float32
    assert whole.stat().st_size - half.stat().st_size == pytest.approx(2 * 500 * 9, abs=64)
    assert first.sha256 != second.sha256
    loaded = load_model(half).network
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    expected = network.conv.weight.detach().half().float()
    assert torch.equal(loaded.conv.weight, expected)


def test_weights_that_are_not_finite_are_not_saved(tmp_path, network, card):
    path = tmp_path / "bad.safetensors"
    with torch.no_grad():
        network.conv.weight[0, 0, 0, 0] = 1e6  # beyond half precision
    save_model(path, network, card)
    with pytest.raises(WeightsError, match=r"bad.safetensors: the weight conv.weight .*float16"):
        save_model(path, network, card, dtype="float16")
    with torch.no_grad():
        network.norm.bias[0] = float("nan")
    with pytest.raises(WeightsError, match=r"norm\.bias"):
        save_model(path, network, card)
    assert load_model(path).network.norm.bias.isfinite().all()


def test_weights_have_their_suffix(tmp_path, network, card):
    with pytest.raises(WeightsError, match=r"saved as .safetensors, not '.pt'"):
        save_model(tmp_path / "net.pt", network, card)


def test_one_changed_number_is_noticed(saved):
    path, card = saved
    arrays = load_file(path)
    arrays["conv.bias"][0] += 1e-3
    save_file(arrays, path, metadata={CARD_KEY: card.to_json()})
    with pytest.raises(WeightsError, match=r"tiny.safetensors: the weights are damaged"):
        load_model(path)


def test_the_hash_knows_names_types_and_shapes():
    a = np.arange(6, dtype=np.float32)
    hashes = {
        hash_tensors({"a": a}),
        hash_tensors({"b": a}),
        hash_tensors({"a": a.reshape(2, 3)}),
        hash_tensors({"a": a.view(np.int32)}),
        hash_tensors({"a": a[::-1]}),
    }
    assert len(hashes) == 5
    assert hash_tensors({"a": a, "b": a}) == hash_tensors({"b": a, "a": a})
    assert hash_tensors({"a": a.astype(">f4")}) == hash_tensors({"a": a})


@pytest.mark.parametrize(
    "spoil",
    [
        lambda arrays, card: (arrays.pop("conv.bias"), card)[1],
        lambda arrays, card: (arrays.update(extra=np.zeros(1, np.float32)), card)[1],
        lambda arrays, card: replace(card, network_arguments={"width": 4}),
        lambda arrays, card: replace(card, network_arguments={"depth": 4}),
    ],
    ids=["missing", "unexpected", "other shape", "other argument"],
)
def test_weights_must_fit_their_network_exactly(saved, spoil):
    path, card = saved
    arrays = load_file(path)
    card = spoil(arrays, card)
    card = replace(card, sha256=hash_tensors(arrays))
    save_file(arrays, path, metadata={CARD_KEY: card.to_json()})
    with pytest.raises(WeightsError, match="do not fit the network 'tiny'") as caught:
        load_model(path)
    assert "\n" not in str(caught.value)


class Trap:
    """Unpickling it would be noticed."""

    def __reduce__(self):
        return (pytest.fail, ("a pickle was loaded",))


def make_pickle(path):
    path.write_bytes(pickle.dumps(Trap()))


def make_torch(path):
    torch.save({"x": torch.zeros(3)}, path)


def make_hdf5(path):
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))


def make_zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.pkl", pickle.dumps(Trap()))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (make_pickle, "is a pickle"),
        (make_torch, "torch or zip archive"),
        (make_zip, "torch or zip archive"),
        (make_hdf5, "HDF5"),
        (lambda path: path.write_text("just text\n"), "no safetensors file or is damaged"),
        (lambda path: path.write_bytes(b""), "no safetensors file or is damaged"),
        (lambda path: save_file({"x": np.zeros(3)}, path), "without a model card"),
        (lambda path: path.mkdir(), "there is no such weights file"),
        (lambda path: None, "there is no such weights file"),
    ],
)
@pytest.mark.parametrize("name", ["net.pt", "net.safetensors"])
def test_other_files_are_refused_by_name(tmp_path, make, said, name):
    path = tmp_path / name
    make(path)
    with pytest.raises(WeightsError, match=said) as caught:
        load_model(path)
    assert str(caught.value).startswith(f"{name}: ")
    assert str(tmp_path) not in str(caught.value)


def test_every_truncation_is_noticed(saved):
    path, _ = saved
    whole = path.read_bytes()
    for length in range(0, len(whole), max(1, len(whole) // 40)):
        path.write_bytes(whole[:length])
        with pytest.raises(WeightsError, match=r"^tiny.safetensors: "):
            load_model(path)


def test_models_are_found_in_both_folders(folders, network, card):
    bundled, own = folders
    save_model(bundled / "b.safetensors", network, replace(card, id="beta"))
    save_model(own / "a.safetensors", network, replace(card, id="alpha"))
    assert [found.id for found in list_models()] == ["beta", "alpha"]
    assert load_model("alpha").card.id == "alpha"


def test_an_unknown_id_lists_what_there_is(folders, network, card):
    bundled, own = folders
    save_model(bundled / "b.safetensors", network, replace(card, id="beta"))
    (own / "broken.safetensors").write_text("no")
    with pytest.raises(WeightsError, match=r"no model 'gamma'; there are: beta .*broken"):
        load_model("gamma")


def test_bad_files_and_taken_ids_are_told_and_hide_nothing(folders, network, card):
    bundled, own = folders
    first = save_model(bundled / "b.safetensors", network, card)
    (own / "broken.safetensors").write_text("no")
    network.conv.bias.data += 1
    save_model(own / "same.safetensors", network, card)
    models, problems = find_models()
    assert [file.path.name for file in models] == ["b.safetensors"]
    assert [problem.path.name for problem in problems] == ["broken.safetensors", "same.safetensors"]
    assert "'tiny-test' is taken by b.safetensors" in str(problems[1])
    assert load_model("tiny-test").card.sha256 == first.sha256


def test_the_users_folder_has_a_place_without_the_variable(monkeypatch):
    monkeypatch.delenv(MODELS_VARIABLE, raising=False)
    folder = store.user_folder()
    assert folder.is_absolute()
    assert folder.parts[-2:] == ("napari-deepmtj", "models")


def test_listing_models_needs_no_torch():
    code = (
        "import sys; from napari_deepmtj.weights.store import find_models; find_models();"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("error", [OSError("[WinError 1114] c10.dll"), ImportError("no torch")])
def test_torch_that_does_not_load_says_what_to_do(monkeypatch, error):
    def fail(name):
        raise error

    monkeypatch.setattr(runtime.importlib, "import_module", fail)
    with pytest.raises(DeviceError, match="import torch; from napari"):
        runtime.require_torch()
