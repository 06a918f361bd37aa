"""Weights files hold the network as an ONNX graph, which gives what torch gives."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.numpy import load_file, save_file
from small_networks import SMALL, small_model, write_tiny

from napari_deepmtj.errors import WeightsError
from napari_deepmtj.networks.build import build
from napari_deepmtj.weights.graph import INPUT, make_graph, named_outputs
from napari_deepmtj.weights.store import (
    CARD_KEY,
    bundled_folder,
    load_model,
    read_card,
    save_card,
)


def computed(graph: bytes, weights, pictures: np.ndarray) -> dict[str, np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    values = {
        name: onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array, np.float32))
        for name, array in weights.items()
        if array.dtype.kind == "f"
    }
    options.add_external_initializers(list(values), list(values.values()))
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_outputs()]
    return dict(zip(names, session.run(names, {INPUT: pictures}), strict=True))


@pytest.mark.parametrize("which", SMALL)
def test_graph_gives_what_torch_gives_for_any_number_of_pictures(which):
    model = small_model(which)
    graph = make_graph(model.network, model.card)
    weights = {name: each.numpy() for name, each in model.network.state_dict().items()}
    size = (model.card.input_height, model.card.input_width)
    for n in (1, 3):
        pictures = np.random.default_rng(n).uniform(-1, 1, (n, 1, *size)).astype(np.float32)
        with torch.inference_mode():
            expected = named_outputs(model.network(torch.from_numpy(pictures)))
        results = computed(graph, weights, pictures)
        assert results.keys() == expected.keys()
        for name, result in results.items():
            torch.testing.assert_close(
                torch.from_numpy(result), expected[name], atol=1e-4, rtol=1e-3
            )


@pytest.mark.parametrize("name", ["compact", "compact-fast"])
def test_bundled_models_have_a_graph_and_fit_their_network(name):
    model = load_model(name)
    assert model.graph
    assert model.network.state_dict().keys() == model.weights.keys()


def test_bundled_files_stay_small():
    assert sum(path.stat().st_size for path in bundled_folder().glob("*.safetensors")) < 8e6


def rewritten(path, change) -> None:
    """Change the tensors of a weights file, and keep its card."""
    card = read_card(path)
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={CARD_KEY: card.to_json()})


def test_changed_graph_is_refused(tmp_path):
    path = write_tiny(tmp_path)

    def change(tensors):
        tensors["onnx/graph"] = tensors["onnx/graph"].copy()
        tensors["onnx/graph"][100] ^= 1

    rewritten(path, change)
    with pytest.raises(WeightsError, match=r"ONNX graph is damaged.*get the file again"):
        load_model(path)


def test_missing_graph_is_refused_where_the_card_names_one(tmp_path):
    path = write_tiny(tmp_path)
    rewritten(path, lambda tensors: tensors.pop("onnx/graph"))
    with pytest.raises(WeightsError, match="ONNX graph is damaged"):
        load_model(path)


def test_file_from_before_graphs_is_read_and_gets_one_with_a_new_card(tmp_path):
    path = write_tiny(tmp_path)
    whole = load_model(path)
    tensors = load_file(path)
    del tensors["onnx/graph"]
    card = json.loads(whole.card.to_json())
    del card["graph_sha256"]
    save_file(tensors, path, metadata={CARD_KEY: json.dumps(card)})
    old = load_model(path)
    assert (old.graph, old.card.sha256) == (b"", whole.card.sha256)
    renewed = save_card(path, path, old.card)
    assert renewed.graph_sha256 == whole.card.graph_sha256
    assert load_model(path).graph == whole.graph


def test_graph_of_fresh_weights_serves_trained_ones():
    """Fresh weights are alike (zeros and ones), and must not be made one."""
    fresh = build("compact", channels=(4, 4, 4))
    card = replace(small_model("compact").card, network_arguments={"channels": [4, 4, 4]})
    graph = make_graph(fresh, card)
    rng = np.random.default_rng(2)
    weights = {
        name: rng.uniform(0.5, 1.5, each.shape).astype(np.float32)
        for name, each in fresh.state_dict().items()
        if each.is_floating_point()
    }
    fresh.load_state_dict({k: torch.from_numpy(v) for k, v in weights.items()}, strict=False)
    pictures = rng.uniform(-1, 1, (2, 1, card.input_height, card.input_width)).astype(np.float32)
    with torch.inference_mode():
        expected = fresh.eval()(torch.from_numpy(pictures)).heatmap.numpy()
    result = computed(graph, weights, pictures)["heatmap"]
    np.testing.assert_allclose(result, expected, atol=1e-4 * np.abs(expected).max())
