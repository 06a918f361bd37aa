import numpy as np
import pytest
import torch

from napari_deepmtj.core.jobs import Notice
from napari_deepmtj.errors import DeviceError, VideoError
from napari_deepmtj.inference import device
from napari_deepmtj.inference.device import gpu_possible, resolve_device
from napari_deepmtj.inference.runner import Runner, is_out_of_memory


def absent(monkeypatch, cuda=False, mps=False, count=1):
    monkeypatch.setattr(device, "gpu_possible", lambda: True)
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
    assert resolve_device(spec) == kind


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
        resolve_device("cuda")
    assert resolve_device("cpu") == "cpu"  # which needs no torch


@pytest.mark.parametrize("build", ["+cpu", "+cu130"])
def test_torch_is_asked_only_where_it_and_the_machine_may_have_a_gpu(monkeypatch, build, tmp_path):
    driver = tmp_path / "driver"
    monkeypatch.setattr(device, "version", lambda _: "2.13.0" + build)
    monkeypatch.setattr(device.sys, "platform", "linux")
    monkeypatch.setattr(device, "_DRIVERS", (str(driver),))
    asked = []
    for there in (False, True):
        if there:
            driver.touch()
        gpu_possible.cache_clear()
        asked.append(gpu_possible())
    gpu_possible.cache_clear()
    assert asked == [False, build != "+cpu"]


class Backend:
    """Doubles numbers, and fails as a device with too little memory does."""

    name, about = "double", {}

    def __init__(self, device, holds, error=None, ahead=1):
        self.device, self.holds, self.ahead = device, holds, ahead
        self.error = error or torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")
        self.calls = []

    def infer(self, pixels, *, content=None):
        self.calls.append(len(pixels))
        if len(pixels) > self.holds:
            raise self.error
        return 2 * pixels[:, 0, 0].astype(int)


def at_once(backend, pictures):
    result = backend.infer(pictures)
    return lambda: result


def later(backend, pictures):
    return lambda: backend.infer(pictures)


def opener(*backends):
    """Open one backend after the other, the later ones on the CPU."""
    left = list(backends)

    def open_backend(model, name, device):
        if len(left) < len(backends):
            assert device == "cpu"
        return left.pop(0)

    return open_backend


def runner_of(*backends, batch=16):
    runner = Runner("a model", "auto", batch, opener=opener(*backends))
    runner.ready()
    return runner


def run(runner, step=at_once, chunks=(16,)):
    """Check that every picture comes back once and in order; return the notices."""
    pictures = np.arange(sum(chunks)).reshape(-1, 1, 1)
    parts = np.split(pictures, np.cumsum(chunks)[:-1])
    events = list(runner.run(iter(parts), step))
    results = [event for event in events if not isinstance(event, Notice)]
    np.testing.assert_array_equal(np.concatenate(results), 2 * pictures.ravel())
    return [event.message for event in events if isinstance(event, Notice)]


def test_with_enough_memory_nothing_is_said():
    backend = Backend("cpu", 99)
    assert run(runner_of(backend, batch=6)) == []
    assert backend.calls == [6, 6, 4]


def test_a_runner_opens_its_backend_once():
    runner = Runner("a model", opener=opener(None, Backend("cpu", 9)))
    with pytest.raises(AssertionError):
        _ = runner.backend
    calls = []
    opened = Runner("a model", "cpu", 3, "torch", opener=lambda *what: calls.append(what) or what)
    opened.ready()
    opened.ready()
    assert opened.backend == ("a model", "torch", "cpu")
    assert len(calls) == 1


@pytest.mark.parametrize("step", [at_once, later])
def test_memory_that_runs_out_halves_the_batch_and_says_so(step):
    backend = Backend("cuda:0", 5)
    runner = runner_of(backend)
    assert run(runner, step) == [
        "cuda:0 ran out of memory with 16 frames at a time; going on with 8",
        "cuda:0 ran out of memory with 8 frames at a time; going on with 4",
    ]
    assert backend.calls == [16, 8, 4, 4, 4, 4]
    assert (runner.device, runner.batch) == ("cuda:0", 4)
    assert run(runner, step) == []  # and stays so


@pytest.mark.parametrize("step", [at_once, later])
@pytest.mark.parametrize("ahead", [1, 2, 3])
@pytest.mark.parametrize("fails_at", [64, 16, 4, 1])
def test_no_picture_is_lost_or_doubled_when_memory_runs_out(step, ahead, fails_at):
    gpu, cpu = Backend("cuda:0", fails_at - 1, ahead=ahead), Backend("cpu", 999)
    runner = runner_of(gpu, cpu, batch=64)
    notices = run(runner, step, chunks=(2, 64, 64, 64, 7))
    assert runner.device == ("cpu" if fails_at == 1 else "cuda:0")
    assert runner.batch == (64 if fails_at == 1 else fails_at // 2)
    assert any("out of memory" in notice for notice in notices)
    assert sum(size for size in cpu.calls) == (201 if fails_at == 1 else 0)


@pytest.mark.parametrize("step", [at_once, later])
def test_memory_that_comes_and_goes_loses_nothing(step):
    class Shared(Backend):
        """Others take its memory at times."""

        def infer(self, pixels, *, content=None):
            self.holds = rng.choice([1, 3, 40, 99])
            return super().infer(pixels)

    for seed in range(30):
        rng = np.random.default_rng(seed)
        gpu, cpu = Shared("cuda:0", 99, ahead=1 + seed % 3), Backend("cpu", 999)
        run(runner_of(gpu, cpu, batch=64), step, chunks=(2, 33, 64, 1, 64, 17))


def test_a_device_without_any_memory_is_left_for_the_cpu():
    gpu, cpu = Backend("cuda:0", 0), Backend("cpu", 99)
    runner = runner_of(gpu, cpu, batch=4)
    notices = run(runner)
    assert len(notices) == 3
    assert notices[-1].startswith("cuda:0 failed (CUDA out of memory")
    assert notices[-1].endswith("going on with the CPU, which is slower")
    assert (runner.device, runner.batch) == ("cpu", 4)
    assert cpu.calls == [1, 1, 2, 4, 4, 4]  # what was cut stays so


def test_other_failures_of_a_device_go_straight_to_the_cpu():
    gpu = Backend("cuda:0", 0, RuntimeError("no kernel image is available"))
    assert run(runner_of(gpu, Backend("cpu", 99)))[0] == (
        "cuda:0 failed (no kernel image is available); going on with the CPU, which is slower"
    )


def test_the_cpu_halves_too_and_then_gives_up():
    error = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate")
    assert len(run(runner_of(Backend("cpu", 2, error), batch=8))) == 2
    with pytest.raises(DeviceError, match="single frame"):
        run(runner_of(Backend("cpu", 0, MemoryError())))
    with pytest.raises(DeviceError, match="failed on the CPU: mat1 and mat2"):
        run(runner_of(Backend("cpu", 0, RuntimeError("mat1 and mat2"))))


def test_a_mistake_in_the_program_is_not_taken_for_a_device_failure():
    def wrong(backend, pictures):
        raise TypeError("a mistake")

    with pytest.raises(TypeError, match="a mistake"):
        run(runner_of(Backend("cuda:0", 9)), wrong)


@pytest.mark.parametrize("ahead", [1, 2, 3])
def test_what_was_begun_comes_before_the_error_that_ends_the_pictures(ahead):
    def torn():
        yield np.zeros((2, 1, 1), int)
        yield np.ones((2, 1, 1), int)
        raise VideoError("is torn here")

    events = runner_of(Backend("cuda:0", 9, ahead=ahead)).run(torn(), at_once)
    assert next(events).tolist() == [0, 0]
    assert next(events).tolist() == [2, 2]
    with pytest.raises(VideoError, match="torn"):
        next(events)


@pytest.mark.parametrize("ahead", [1, 2])
def test_work_is_begun_ahead_where_a_device_computes_beside(ahead):
    done = []

    def step(backend, pictures):
        done.append("begun")
        return lambda: done.append("read")

    list(runner_of(Backend("cuda:0", 9, ahead=ahead), batch=1).run([np.zeros((3, 1, 1))], step))
    by_turns = ["begun", "read"] * 3
    assert done == (by_turns if ahead == 1 else ["begun", *["begun", "read"] * 2, "read"])


def test_a_batch_of_nothing_is_refused():
    with pytest.raises(DeviceError, match="batch of 0"):
        Runner("a model", "cpu", 0)


def test_a_device_that_is_not_there_is_told_before_anything_is_opened(monkeypatch):
    absent(monkeypatch)
    with pytest.raises(DeviceError, match="no CUDA device"):
        Runner("a model", "cuda")


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
