"""Which backend is opened. What each computes: test_runtimes."""

import numpy as np
import psutil
import pytest
import torch
from small_networks import small_model, write_tiny

from napari_deepmtj.errors import DeviceError
from napari_deepmtj.inference import device
from napari_deepmtj.inference.backends import threads as threads_module
from napari_deepmtj.inference.backends.select import open_backend
from napari_deepmtj.inference.backends.threads import Threads, cores, threads_for
from napari_deepmtj.inference.backends.torch_cpu import TorchBackend
from napari_deepmtj.weights.store import load_model


@pytest.fixture(autouse=True)
def auto(monkeypatch):
    """Let "auto" be auto."""
    monkeypatch.delenv("NAPARI_DEEPMTJ_BACKEND", raising=False)


@pytest.fixture
def stored(tmp_path):
    return load_model(write_tiny(tmp_path))


@pytest.fixture
def with_gpu(monkeypatch):
    monkeypatch.setattr(device, "gpu_possible", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)


def test_an_unknown_backend_lists_those_there_are(stored):
    with pytest.raises(DeviceError, match="'tensorrt' is unknown; choose auto, torch, onnxruntime"):
        open_backend(stored, "tensorrt", "cpu")


def test_auto_on_a_cpu_is_onnxruntime_at_every_run(stored):
    backends = [open_backend(stored, "auto", "cpu") for _ in range(2)]
    assert [backend.name for backend in backends] == ["onnxruntime"] * 2
    assert backends[0].about == backends[1].about


def test_a_model_without_a_graph_is_computed_by_torch():
    model = small_model("compact")
    assert open_backend(model, "auto", "cpu").name == "torch"
    with pytest.raises(DeviceError, match="has no ONNX graph; choose --backend torch, or save it"):
        open_backend(model, "onnxruntime", "cpu")


def test_onnxruntime_is_not_asked_for_a_gpu(stored, with_gpu):
    with pytest.raises(DeviceError, match="computes on the CPU, not on cuda"):
        open_backend(stored, "onnxruntime", "cuda")


def test_a_backend_that_is_named_wins_over_a_gpu_that_is_not(stored, with_gpu):
    assert open_backend(stored, "onnxruntime", "auto").device == "cpu"


def test_a_network_of_others_is_computed_with_torch_as_it_is(model):
    backend = open_backend(model, "auto", "cpu")
    assert (backend.name, backend.device) == ("torch", "cpu")
    assert set(backend.about) == {"name", "torch"}
    assert len(backend.infer(np.zeros((3, 64, 128), np.uint8)).heatmap) == 3
    assert model.network.calls == [3]


def test_the_variable_says_what_auto_is(monkeypatch, stored):
    monkeypatch.setenv("NAPARI_DEEPMTJ_BACKEND", "torch")
    assert open_backend(stored, "auto", "cpu").name == "torch"
    monkeypatch.setenv("NAPARI_DEEPMTJ_BACKEND", "fast")
    with pytest.raises(DeviceError, match="'fast' is unknown"):
        open_backend(stored, "auto", "cpu")


def test_a_graph_that_does_not_fit_is_an_error_of_one_line(stored):
    del stored.weights["head.weight"]
    with pytest.raises(DeviceError, match="onnxruntime does not take the model tiny"):
        open_backend(stored, "onnxruntime", "cpu")


def test_torch_leaves_its_number_of_threads_as_it_was():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        backend = TorchBackend(small_model("compact"), Threads(1))
        backend.infer(np.zeros((1, 64, 128), np.uint8))
        assert torch.get_num_threads() == 2
        assert backend.about["threads"] == 1
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("there", "light", "heavy"), [(1, 1, 1), (2, 1, 2), (4, 3, 4), (16, 4, 16)]
)
def test_a_light_network_leaves_a_core_for_decoding(monkeypatch, there, light, heavy):
    monkeypatch.delenv("NAPARI_DEEPMTJ_THREADS", raising=False)
    monkeypatch.setattr(threads_module, "cores", lambda: there)
    assert (threads_for("compact").threads, threads_for("vgg16").threads) == (light, heavy)


def test_the_number_of_threads_can_be_pinned(monkeypatch):
    monkeypatch.setenv("NAPARI_DEEPMTJ_THREADS", "3")
    assert threads_for("compact").threads == 3
    monkeypatch.setenv("NAPARI_DEEPMTJ_THREADS", "all")
    with pytest.raises(DeviceError, match="'all'; give a number of threads"):
        threads_for("compact")


def test_hyperthreads_are_no_cores(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(threads_module.os, "sched_getaffinity", lambda _: range(8), raising=False)
    monkeypatch.setattr(psutil, "cpu_count", lambda logical: 8 if logical else 4)
    assert cores() == 4
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert cores() == 1
