import numpy as np
import pytest
import torch
from torch import nn

from napari_deepmtj.core.jobs import Notice
from napari_deepmtj.errors import DeviceError
from napari_deepmtj.inference import device
from napari_deepmtj.inference.device import Runner, is_out_of_memory, resolve_device

CPU, META = torch.device("cpu"), torch.device("meta")  # "meta" stands in for an accelerator


def absent(monkeypatch, cuda=False, mps=False, count=1):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count if cuda else 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("cuda", "mps", "spec", "kind"),
    [
        (True, True, "auto", "cuda"),
        (False, True, "auto", "mps"),
        (False, False, "auto", "cpu"),
        (True, False, "cpu", "cpu"),
        (True, False, "cuda", "cuda"),
        (True, False, "cuda:1", "cuda:1"),
        (False, True, "mps", "mps"),
    ],
)
def test_the_device_asked_for_or_the_best(monkeypatch, cuda, mps, spec, kind):
    absent(monkeypatch, cuda, mps, count=2)
    assert str(resolve_device(spec)) == kind


@pytest.mark.parametrize(
    ("cuda", "spec", "said"),
    [
        (False, "cuda", "no CUDA device"),
        (False, "mps", "no MPS device"),
        (True, "cuda:2", "no cuda:2; the last CUDA device is cuda:1"),
        (True, "gpu", "'gpu' is unknown; choose auto"),
        (True, "cuda:x", "'cuda:x' is unknown"),
        (True, "cpu:0", "'cpu:0' is unknown"),
        (True, "", "'' is unknown"),
    ],
)
def test_a_device_that_is_not_there_is_never_replaced(monkeypatch, cuda, spec, said):
    absent(monkeypatch, cuda, count=2)
    with pytest.raises(DeviceError, match=said):
        resolve_device(spec)


def test_torch_that_does_not_load_is_a_device_error(monkeypatch):
    def fail():
        raise DeviceError("torch cannot load its libraries")

    monkeypatch.setattr(device, "require_torch", fail)
    with pytest.raises(DeviceError, match="libraries"):
        resolve_device("cpu")


class Doubler(nn.Module):
    def forward(self, x):
        return x * 2


class Memory:
    """A step that doubles numbers and fails as a device with too little memory does."""

    def __init__(self, holds, error=None):
        self.holds = holds
        self.error = error or torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")
        self.calls = []

    def __call__(self, network, pictures, where):
        self.calls.append((where.type, len(pictures)))
        assert torch.is_inference_mode_enabled()
        if len(pictures) > self.holds[where.type]:
            raise self.error
        return network(torch.from_numpy(pictures[:, 0, 0].astype(np.int64))).numpy()


def run(runner, step, n=16):
    pictures = np.arange(n, dtype=np.uint8).reshape(n, 1, 1)
    events = list(runner.run(pictures, step))
    assert not torch.is_inference_mode_enabled()
    results = [event for event in events if not isinstance(event, Notice)]
    np.testing.assert_array_equal(np.concatenate(results), 2 * np.arange(n))
    return [event.message for event in events if isinstance(event, Notice)]


def test_with_enough_memory_nothing_is_said():
    step = Memory({"cpu": 99})
    assert run(Runner(Doubler(), CPU, 6), step) == []
    assert [size for _, size in step.calls] == [6, 6, 4]


def test_memory_that_runs_out_halves_the_batch_and_says_so():
    step, runner = Memory({"meta": 5}), Runner(Doubler(), META, 16)
    notices = run(runner, step)
    assert notices == [
        "meta ran out of memory with 16 frames at a time; going on with 8",
        "meta ran out of memory with 8 frames at a time; going on with 4",
    ]
    assert [size for _, size in step.calls] == [16, 8, 4, 4, 4, 4]
    assert (runner.device, runner.batch) == (META, 4)
    assert run(runner, step) == []  # and stays so


def test_a_device_without_any_memory_is_left_for_the_cpu():
    step, runner = Memory({"meta": 0, "cpu": 99}), Runner(Doubler(), META, 4)
    notices = run(runner, step)
    assert len(notices) == 3
    assert notices[-1].startswith("meta failed (CUDA out of memory")
    assert notices[-1].endswith("going on with the CPU, which is slower")
    assert (runner.device, runner.batch) == (CPU, 4)
    assert step.calls[-4:] == [("cpu", 4)] * 4


def test_other_failures_of_a_device_go_straight_to_the_cpu():
    step = Memory({"meta": 0, "cpu": 99}, RuntimeError("no kernel image is available"))
    notices = run(Runner(Doubler(), META, 16), step)
    assert notices == [
        "meta failed (no kernel image is available); going on with the CPU, which is slower"
    ]


def test_the_cpu_halves_too_and_then_gives_up():
    error = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate")
    assert len(run(Runner(Doubler(), CPU, 8), Memory({"cpu": 2}, error))) == 2
    with pytest.raises(DeviceError, match="single frame"):
        run(Runner(Doubler(), CPU, 8), Memory({"cpu": 0}, MemoryError()))
    with pytest.raises(DeviceError, match="failed on the CPU: mat1 and mat2"):
        run(Runner(Doubler(), CPU, 8), Memory({"cpu": 0}, RuntimeError("mat1 and mat2")))


def test_a_mistake_in_the_program_is_not_taken_for_a_device_failure():
    def wrong(network, pictures, where):
        raise TypeError("a mistake")

    with pytest.raises(TypeError, match="a mistake"):
        list(Runner(Doubler(), META, 4).run(np.zeros((4, 1, 1), np.uint8), wrong))


def test_the_network_given_is_never_moved():
    network = nn.Linear(1, 1)
    seen = []
    step = lambda net, pictures, where: seen.append(net)  # noqa: E731
    list(Runner(network, META, 1).run(np.zeros((1, 1, 1), np.uint8), step))
    list(Runner(network, CPU, 1).run(np.zeros((1, 1, 1), np.uint8), step))
    assert next(seen[0].parameters()).device == META
    assert next(network.parameters()).device == CPU
    assert seen[1] is network


def test_a_batch_of_nothing_is_refused():
    with pytest.raises(DeviceError, match="batch of 0"):
        Runner(Doubler(), CPU, 0)


@pytest.mark.parametrize(
    ("error", "memory"),
    [
        (torch.OutOfMemoryError("x"), True),
        (MemoryError(), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"), True),
        (RuntimeError("shape mismatch"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_counts_as_out_of_memory(error, memory):
    assert is_out_of_memory(error) is memory
