"""Short memory and a lost device: the batch goes on, and says so."""

import pytest
import torch

from napari_deepmtj.batch.ledger import Ledger
from napari_deepmtj.batch.plan import Options, make_plan
from napari_deepmtj.batch.run import run
from napari_deepmtj.batch.study import entries_of_files
from napari_deepmtj.core.jobs import Done, Notice
from napari_deepmtj.io.exports import read_trajectory
from napari_deepmtj.networks.compact import CompactNet

pytestmark = pytest.mark.usefixtures("models")


@pytest.fixture
def plan(make_clip, tmp_path):
    clips = [make_clip(f"{i}.avi", n_frames=20) for i in range(2)]
    options = Options(out=tmp_path / "out", model="tiny", roi="full", device="cpu", at_once=1)
    return make_plan(entries_of_files(clips), options)


def tables(plan):
    return [read_trajectory(task.result).table for task in plan.tasks]


def test_short_memory_halves_the_batch_and_changes_no_number(plan, monkeypatch):
    list(run(plan))
    expected = tables(plan)
    for task in plan.tasks:
        task.result.unlink()
    forward = CompactNet.forward

    def short(self, pictures):
        if len(pictures) > 4:
            raise torch.OutOfMemoryError("no")
        return forward(self, pictures)

    monkeypatch.setattr(CompactNet, "forward", short)
    events = list(run(plan))
    assert isinstance(events[-1], Done)
    told = [event.message for event in events if isinstance(event, Notice)]
    assert [text.split("; ")[-1] for text in told] == ["going on with 8", "going on with 4"]
    for before, after in zip(expected, tables(plan), strict=True):
        torch.testing.assert_close(
            torch.tensor(after["x_px"].to_numpy()), torch.tensor(before["x_px"].to_numpy())
        )
    first, second = (Ledger.of(plan.options.out).line(task.name) for task in plan.tasks)
    assert len(first.facts["notices"]) == 2
    assert second.facts["notices"] == []  # the smaller batch stays


def test_a_lost_device_is_said_and_the_cpu_goes_on(plan, monkeypatch):
    from napari_deepmtj.batch import books

    # the device "meta" stands for one that is lost: it can be named but computes nothing
    monkeypatch.setattr(books, "resolve_device", lambda spec: torch.device("meta"))
    events = list(run(plan))
    assert isinstance(events[-1], Done)
    assert events[-1].result.done == 2
    (told,) = [event.message for event in events if isinstance(event, Notice)]
    assert "going on with the CPU" in told
    lines = [Ledger.of(plan.options.out).line(task.name) for task in plan.tasks]
    assert [line.facts["device"] for line in lines] == ["cpu", "cpu"]
