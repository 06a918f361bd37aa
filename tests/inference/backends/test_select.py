"""Which backend is opened, and what is said of it. What each computes: test_backends_runtimes."""

import numpy as np
import pytest
import torch
from small_networks import opened, small_model

from napari_deepmtj.core.jobs import Notice
from napari_deepmtj.errors import DeviceError
from napari_deepmtj.inference.backends import select as backends
from napari_deepmtj.inference.backends import speed as backends_speed
from napari_deepmtj.inference.backends import torch_cpu as backends_torch
from napari_deepmtj.inference.backends.select import BackendName


@pytest.fixture
def there(monkeypatch):
    """Return a function that lets only these packages be installed."""

    def only(*packages):
        found = lambda name: object() if name in {*packages, "torch"} else None  # noqa: E731
        monkeypatch.setattr(backends, "find_spec", found)

    return only


@pytest.fixture
def auto(monkeypatch, tmp_path):
    """Let "auto" be auto, with nothing remembered."""
    monkeypatch.delenv("NAPARI_DEEPMTJ_BACKEND")
    monkeypatch.setenv("NAPARI_DEEPMTJ_CACHE", str(tmp_path))
    monkeypatch.setattr(backends_speed, "_SETTLED", {})


@pytest.mark.parametrize(
    ("name", "packages", "said"),
    [
        ("openvino", (), r"needs openvino; install napari-deepmtj\[fast-cpu\]"),
        ("openvino-int8", ("openvino",), r"needs nncf; install napari-deepmtj\[fast-cpu\]"),
        ("onnxruntime", ("onnx",), r"needs onnxruntime, onnxscript; .*\[onnx\]"),
    ],
)
def test_a_backend_that_is_not_installed_names_its_extra(there, name, packages, said):
    there(*packages)
    with pytest.raises(DeviceError, match=said):
        opened(small_model("compact"), name, "cpu")


def test_an_unknown_backend_lists_those_there_are():
    with pytest.raises(DeviceError, match="'tensorrt' is unknown; choose auto, torch, openvino,"):
        opened(small_model("compact"), "tensorrt", "cpu")


def test_a_backend_of_the_cpu_is_not_asked_for_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(DeviceError, match="computes on the CPU, not on cuda"):
        opened(small_model("compact"), "openvino", "cuda")


def test_a_backend_that_is_named_wins_over_a_gpu_that_is_not(monkeypatch, there):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    there()
    with pytest.raises(DeviceError, match="needs openvino"):  # and not: "computes on the CPU"
        opened(small_model("compact"), "openvino", "auto")


def test_a_network_of_others_is_computed_with_torch_as_it_is(model, auto):
    backend, notices = opened(model, "auto", "cpu")
    assert (backend.name, backend.device, notices) == ("torch", "cpu", [])
    assert set(backend.about) == {"name", "torch"}  # nothing was probed
    pixels = np.zeros((3, 64, 128), np.uint8)
    assert len(backend.infer(pixels).heatmap) == 3
    assert model.network.calls == [3]
    with pytest.raises(DeviceError, match="'spot' is not one of this package's"):
        opened(model, "openvino", "cpu")


def test_without_other_runtimes_auto_is_torch_and_nothing_is_compared(auto, there, monkeypatch):
    there()
    monkeypatch.setattr(backends, "rates", lambda *_: pytest.fail("compared"))
    backend, notices = opened(small_model("compact"), "auto", "cpu")
    assert (backend.name, notices) == ("torch", [])


class Fake:
    """A backend that computes nothing."""

    device = "cpu"

    def __init__(self, name):
        self.name, self.about = name, {"name": name}

    def infer(self, pixels, *, content=None):
        return None


@pytest.fixture
def three(auto, there, monkeypatch):
    """Three backends, opened by a fake, of which "openvino" is the fastest; returns what opened."""
    there("openvino", "onnxruntime", "onnx", "onnxscript", "nncf")
    seen = []

    def fake(name, model, threads):
        seen.append(name.value)
        yield Notice(f"{name.value} is made ready")
        return Fake(name.value)

    monkeypatch.setattr(backends, "_open", fake)
    speeds = {"torch": 100.0, "openvino": 300.0, "onnxruntime": 200.0}
    monkeypatch.setattr(backends, "rates", lambda all_, _: {name: speeds[name] for name in all_})
    return seen


def test_auto_opens_those_with_the_same_coordinates_and_takes_the_fastest(three):
    backend, notices = opened(small_model("compact"), "auto", "cpu")
    assert backend.name == "openvino"
    assert three == ["torch", "openvino", "onnxruntime"]  # no 8 bits unless asked for
    assert notices[-1] == (
        "openvino computes small fastest here (frames/s: torch 100, openvino 300, onnxruntime 200)"
    )


def test_auto_remembers_by_architecture_and_then_opens_the_chosen_one_only(three):
    opened(small_model("compact"), "auto", "cpu")
    three.clear()
    backend, notices = opened(small_model("compact", seed=1), "auto", "cpu")
    assert (backend.name, notices) == ("openvino", ["openvino is made ready"])
    assert three == ["openvino"]
    opened(small_model("vgg16"), "auto", "cpu")
    opened(small_model("compact"), "auto", "cpu", threads=7)
    assert three[1:] == ["torch", "openvino", "onnxruntime"] * 2


@pytest.mark.parametrize("before", [False, True], ids=["at first", "after it was chosen"])
def test_auto_goes_on_without_a_backend_that_fails_and_says_so(three, monkeypatch, before):
    works = backends._open
    if before:
        assert opened(small_model("compact"), "auto", "cpu")[0].name == "openvino"

    def fails(name, model, threads):
        if name is BackendName.OPENVINO:
            raise DeviceError("openvino does not load; choose --backend torch")
        return (yield from works(name, model, threads))

    monkeypatch.setattr(backends, "_open", fails)
    backend, notices = opened(small_model("compact"), "auto", "cpu")
    assert backend.name == "onnxruntime"
    assert "openvino does not load; it is left out" in notices


def test_the_variable_says_what_auto_is(monkeypatch):
    monkeypatch.setenv("NAPARI_DEEPMTJ_BACKEND", "torch")
    assert opened(small_model("compact"), "auto", "cpu")[0].name == "torch"
    monkeypatch.setenv("NAPARI_DEEPMTJ_BACKEND", "fast")
    with pytest.raises(DeviceError, match="'fast' is unknown"):
        opened(small_model("compact"), "auto", "cpu")


def test_torch_leaves_its_number_of_threads_as_it_was(monkeypatch):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        backend = backends_torch.TorchBackend(small_model("compact"), 1)
        backend.infer(np.zeros((1, 64, 128), np.uint8))
        assert torch.get_num_threads() == 2
        assert backend.about["threads"] == 1
    finally:
        torch.set_num_threads(before)


def test_backends_are_compared_with_as_many_pictures_as_the_widest_takes(three, monkeypatch):
    given = []

    def infer(self, pixels, *, content=None):
        given.append(len(pixels))

    def rates(all_, seconds):
        return {name: float(compute()) for name, compute in all_.items()}

    wide = property(
        lambda self: {"streams": 3, "batch": 4} if self.name == "openvino" else {"batch": 2},
        lambda self, value: None,
    )
    monkeypatch.setattr(Fake, "about", wide, raising=False)
    monkeypatch.setattr(Fake, "infer", infer)
    monkeypatch.setattr(backends, "rates", rates)
    opened(small_model("compact"), "auto", "cpu")
    assert given == [12, 12, 12]
