"""Short memory and a lost device: the batch goes on, and says so."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_deepmtj.batch.ledger import Ledger
from napari_deepmtj.batch.plan import Options, make_plan
from napari_deepmtj.batch.run import run
from napari_deepmtj.batch.study import entries_of_files
from napari_deepmtj.core.jobs import Done, Notice
from napari_deepmtj.inference import runner
from napari_deepmtj.inference.backends.torch_cpu import TorchBackend
from napari_deepmtj.results.trajectory_file import read_trajectory

pytestmark = pytest.mark.usefixtures("models")


@pytest.fixture
def entries(make_clip):
    return entries_of_files([make_clip(f"{i}.avi", n_frames=20) for i in range(2)])


@pytest.fixture
def options(tmp_path):
    return Options(
        out=tmp_path / "out", model="tiny", roi="full", backend="torch", at_once=1, report=False
    )


def told_by(plan):
    events = list(run(plan))
    assert isinstance(events[-1], Done), events[-1]
    assert events[-1].result.done == 2
    return [event.message for event in events if isinstance(event, Notice)]


def lines(plan):
    ledger = Ledger.of(plan.options.out)
    return [ledger.line(task.name) for task in plan.tasks]


def test_short_memory_halves_the_batch_and_changes_no_number(
    entries, options, tmp_path, monkeypatch
):
    plenty = make_plan(entries, replace(options, out=tmp_path / "plenty", device="cpu"))
    assert told_by(plenty) == []
    infer = TorchBackend.infer

    def short(self, pixels, **more):
        if len(pixels) > 2:
            raise torch.OutOfMemoryError("no")
        return infer(self, pixels, **more)

    monkeypatch.setattr(TorchBackend, "infer", short)
    plan = make_plan(entries, replace(options, device="cpu"))
    assert [text.split("; ")[-1] for text in told_by(plan)] == ["going on with 2"]
    for before, after in zip(plenty.tasks, plan.tasks, strict=True):
        before, after = (read_trajectory(task.result).xy_px for task in (before, after))
        np.testing.assert_allclose(after, before, atol=1e-3)
    # The smaller batch stays, so the second clip has nothing to tell.
    assert [len(line.facts["notices"]) for line in lines(plan)] == [1, 0]


def test_a_lost_device_is_said_and_the_cpu_goes_on(entries, options, monkeypatch):
    opened = runner.open_backend

    class Lost:
        name, device, about = "torch", "cuda:0", {"name": "torch"}

        def infer(self, pixels, **more):
            raise RuntimeError("CUDA error: the device is gone")

    def opener(model, backend="auto", device="auto", **more):
        if device == "cpu":
            return opened(model, backend, device, **more)
        return Lost()

    monkeypatch.setattr(runner, "open_backend", opener)
    plan = make_plan(entries, options)
    (told,) = told_by(plan)
    assert told.startswith("0.avi: cuda:0 failed (CUDA error: the device is gone)")
    assert told.endswith("going on with the CPU, which is slower")
    assert [line.facts["device"] for line in lines(plan)] == ["cpu", "cpu"]
