"""An accelerator's way, on the CPU in its place: what CUDA alone has is stood in for."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_deepmtj.core.geometry import PixelMap, Roi, Scale
from napari_deepmtj.core.jobs import Done, Notice
from napari_deepmtj.inference.backends import accelerator
from napari_deepmtj.inference.backends.accelerator import Accelerator, faster
from napari_deepmtj.inference.backends.threads import Threads
from napari_deepmtj.inference.backends.torch_cpu import TorchBackend
from napari_deepmtj.inference.predictor import TrackedBatch, track
from napari_deepmtj.inference.runner import Runner
from napari_deepmtj.weights.store import Model

CPU = torch.device("cpu")
ROI = Roi(7, 4, 213, 93)


def stand_in(model, **options):
    """An accelerator that says that it is one."""
    made = Accelerator(model, CPU, **options)
    made.device = "cuda:0"
    return made


def runner_of(model, backend, batch=16):
    def opener(model, name, device):
        return backend if device == "auto" else TorchBackend(model, Threads(1))

    return Runner(model, "auto", batch, opener=opener)


def tracked(clip, model, runner, **options):
    events = list(track(clip, model, roi=ROI, runner=runner, **options))
    assert isinstance(events[-1], Done), events[-1]
    notices = [event.message for event in events if isinstance(event, Notice)]
    return events[-1].result, notices, [e for e in events if isinstance(e, TrackedBatch)]


@pytest.fixture
def by_cpu(clip, model):
    return tracked(clip, model, Runner(model, "cpu", 16, "torch"))[0]


@pytest.mark.parametrize("batch", [1, 7, 16, 64])
@pytest.mark.parametrize("ahead", [1, 2, 3])
def test_positions_are_those_of_the_cpu(clip, model, by_cpu, batch, ahead):
    backend = stand_in(model)
    backend.ahead = ahead
    found, notices, _ = tracked(clip, model, runner_of(model, backend, batch))
    assert notices == []
    assert np.abs(found.xy_px - by_cpu.xy_px).max() < 0.05
    np.testing.assert_allclose(found.table["confidence"], by_cpu.table["confidence"], atol=1e-3)
    said = found.provenance.operations[-1].arguments
    assert (said["device"], said["backend"]["name"]) == ("cuda:0", "torch")


def test_it_computes_network_inputs_as_any_backend(model):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 64, 128), dtype=np.uint8)
    ours, theirs = (b.infer(pixels) for b in (stand_in(model), TorchBackend(model, Threads(1))))
    np.testing.assert_allclose(ours.heatmap, theirs.heatmap, atol=1e-5)
    np.testing.assert_allclose(ours.presence, theirs.presence, atol=1e-4)


def test_attention_is_left_there_unless_asked_for(clip, model):
    backend = stand_in(model)
    regions = np.zeros((2, ROI.height, ROI.width), np.uint8)
    pixel_map = PixelMap.fit(ROI, 64, 128)
    assert backend.launch(regions, pixel_map)(lambda output: len(output.attention)) == 0
    _, _, batches = tracked(clip, model, runner_of(model, backend), attention=True)
    assert np.concatenate([batch.attention for batch in batches]).shape == (40, 64, 128)


@pytest.mark.parametrize("fails_at", [64, 16, 4, 1])
def test_memory_that_runs_out_changes_no_position(clip, model, fakes, by_cpu, fails_at):
    class Cramped(fakes.SpotNetwork):
        def forward(self, x):
            if len(x) >= fails_at and self.there:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().forward(x)

        there = True

    long = fakes.ArrayClip(np.concatenate([clip.array] * 4), scale=clip.scale)
    backend = stand_in(Model(model.card, Cramped()))
    backend.ahead = 2
    found, notices, _ = tracked(long, model, runner_of(model, backend, batch=64))
    assert found.frames.tolist() == list(range(160))
    assert np.abs(found.xy_px - np.concatenate([by_cpu.xy_px] * 4)).max() < 0.05
    assert any("ran out of memory" in notice for notice in notices)
    device = found.provenance.operations[-1].arguments["device"]
    assert device == ("cpu" if fails_at == 1 else "cuda:0")


def test_the_cpu_takes_over_regions_that_look_like_inputs(clip, model, fakes):
    """Regions of the input's very size, which unequal pixels shrink all the same."""

    class Gone(fakes.SpotNetwork):
        def forward(self, x):
            raise RuntimeError("no kernel image is available")

    scale = Scale(0.2, 0.3, "phantom")
    events = [
        list(track(clip, model, roi="60,20,128,64", scale=scale, runner=runner))[-1]
        for runner in (
            runner_of(model, stand_in(Model(model.card, Gone()))),
            Runner(model, "cpu", 16, "torch"),
        )
    ]
    taken_over, by_cpu = (event.result for event in events)
    np.testing.assert_allclose(taken_over.xy_px, by_cpu.xy_px, atol=0.05)


@pytest.fixture
def readable(model):
    """The model with decoding numbers that the precision is chosen by."""
    return Model(replace(model.card, decoding={}), model.network)


def test_half_precision_is_used_where_positions_stay(clip, readable, by_cpu):
    backend = stand_in(readable, half=torch.float16)
    assert backend.name == "torch"
    found, _, _ = tracked(clip, readable, runner_of(readable, backend))
    assert backend.name == "torch, half precision"
    assert np.abs(found.xy_px - by_cpu.xy_px).max() < 0.5
    assert found.provenance.operations[-1].arguments["backend"]["name"] == backend.name


def test_half_precision_that_moves_positions_is_not_used(clip, readable, fakes, by_cpu):
    class Coarse(fakes.SpotNetwork):
        def forward(self, x):
            output = super().forward(x)
            moved = output.heatmap.roll(1, dims=2) if x.dtype == torch.float16 else output.heatmap
            return output._replace(heatmap=moved)

    backend = stand_in(Model(readable.card, Coarse()), half=torch.float16)
    found, _, _ = tracked(clip, readable, runner_of(readable, backend))
    assert backend.name == "torch"
    assert np.abs(found.xy_px - by_cpu.xy_px).max() < 0.05


def test_a_graph_is_made_for_each_size_and_a_few_are_kept(model, monkeypatch):
    made = []

    def capture(forward, example):
        made.append(len(example))
        return forward

    monkeypatch.setattr(accelerator, "_seconds", lambda forward, *_: 1.0)
    backend = stand_in(model, capture=capture)
    pixel_map = PixelMap.fit(ROI, 64, 128)
    for n in (2, 16, 16, 16, 2, 5):
        backend.launch(np.zeros((n, ROI.height, ROI.width), np.uint8), pixel_map)(lambda _: None)
    assert made == [2, 16, 5]


@pytest.mark.parametrize(
    ("graph_s", "used"), [(0.5, True), (0.94, True), (0.96, False), (2, False)]
)
def test_a_graph_is_used_where_it_pays(monkeypatch, graph_s, used):
    plain, graph = object(), object()
    took = {id(plain): 1.0, id(graph): graph_s}
    monkeypatch.setattr(accelerator, "_seconds", lambda forward, *_: took[id(forward)])
    chosen = faster(plain, lambda *_: graph, torch.zeros(1), lambda: None)
    assert (chosen is graph) == used


def test_a_network_that_no_graph_can_hold_is_computed_as_it_is():
    def capture(forward, example):
        raise RuntimeError("operation not permitted when stream is capturing")

    plain = object()
    assert faster(plain, capture, torch.zeros(1), lambda: None) is plain
    assert faster(plain, None, torch.zeros(1), lambda: None) is plain
