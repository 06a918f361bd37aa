"""Every weights file that ships; parametrised over what is there, so none escapes."""

import re

import pytest
import torch

from napari_deepmtj.weights.store import (
    DEFAULT_MODEL,
    bundled_folder,
    find_models,
    load_model,
    read_card,
)

MAX_BYTES = 8_000_000
MAX_PARAMETERS = 2_500_000

FILES = sorted(bundled_folder().glob("*.safetensors"))


def test_the_default_model_ships():
    assert DEFAULT_MODEL in [read_card(path).id for path in FILES]


def test_nothing_else_lies_there():
    others = {p.suffix for p in bundled_folder().iterdir() if p.is_file()} - {".py", ".safetensors"}
    assert not others


def test_every_bundled_file_is_offered(monkeypatch, tmp_path):
    monkeypatch.setenv("NAPARI_DEEPMTJ_MODELS", str(tmp_path))
    models, problems = find_models()
    assert not problems
    assert sorted(file.path for file in models) == FILES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_bundled_model_keeps_what_its_card_says(path):
    model = load_model(path)  # verifies the hash and that the tensors fit exactly
    card = model.card
    assert card.id == path.stem
    assert card.licence == "BSD-3-Clause"
    assert re.fullmatch(r"[0-9a-f]{64}", card.sha256)
    for told in (card.version, card.trained_on, card.label_definition, card.created):
        assert told
    for told in (card.decoding, card.figures, card.made_with):
        assert told
    assert path.stat().st_size <= MAX_BYTES
    assert sum(p.numel() for p in model.network.parameters()) <= MAX_PARAMETERS
    assert not model.network.training


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_bundled_model_computes_what_decoding_needs(path):
    model = load_model(path)
    card = model.card
    x = torch.zeros(2, 1, card.input_height, card.input_width)
    with torch.inference_mode():
        out = model.network(x)
    assert out.heatmap is not None
    assert out.heatmap.shape[0] == 2
    assert out.heatmap.isfinite().all()
    assert len(out.attention) >= 1
    for attention in out.attention:
        assert attention.shape[0] == 2
        assert (attention >= 0).all()
