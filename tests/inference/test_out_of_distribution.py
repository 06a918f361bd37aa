"""A clip of unfamiliar pictures is flagged and said once; a model that cannot tell says nothing."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from napari_deepmtj.core.jobs import Done, Notice
from napari_deepmtj.core.trajectory import Flag
from napari_deepmtj.errors import WeightsError
from napari_deepmtj.inference.backends.onnx import OnnxBackend
from napari_deepmtj.inference.backends.threads import Threads
from napari_deepmtj.inference.decode import decode
from napari_deepmtj.inference.out_of_distribution import Familiar, colour_notice, notice_of
from napari_deepmtj.inference.predictor import track
from napari_deepmtj.networks.build import build
from napari_deepmtj.weights.store import Model, load_model


def by_brightness(limit: float, centre: float = 0.0) -> dict[str, np.ndarray]:
    """What knows pictures around `centre`, spread 1, and others around 0, spread 10."""
    numbers = {
        "axes": [[1.0]],
        "known": [[1.0, centre]],
        "other": [[0.1, 0.0]],
        "limit": [limit],
    }
    return {name: np.array(value, dtype=np.float32) for name, value in numbers.items()}


def test_the_score_is_the_difference_of_two_distances() -> None:
    familiar = Familiar(**by_brightness(1.0))
    x = np.array([[0.0], [2.0], [-4.0]])
    np.testing.assert_allclose(familiar.score(x), 0.495 * x[:, 0] ** 2)
    assert familiar.strange(x).tolist() == [False, True, True]


class Grey(torch.nn.Module):
    """A network whose feature is the brightest pixel, on top of what another one says."""

    def __init__(self, within: torch.nn.Module) -> None:
        super().__init__()
        self.within = within

    def forward(self, x: torch.Tensor):  # type: ignore[no-untyped-def]
        return self.within(x)._replace(features=x.amax(dim=(2, 3)))


def run(clip, model):  # type: ignore[no-untyped-def]
    events = list(track(clip, model, roi="full"))
    assert isinstance(events[-1], Done), events[-1]
    flags = events[-1].result.table["flags"].str.split(";")
    told = [e.message for e in events if isinstance(e, Notice) if "nothing that" in e.message]
    return [Flag.UNFAMILIAR in row for row in flags], told, events[-1].result


def test_unfamiliar_frames_are_flagged_and_said_once(clip, model) -> None:  # type: ignore[no-untyped-def]
    """Dark frames are what this model is meant for; the spots are not."""
    clip.array[1::2] = 0
    model = Model(model.card, Grey(model.network), by_brightness(1.0, -1.0))
    flagged, told, result = run(clip, model)
    assert flagged == [True, False] * 20
    assert len(told) == 1
    assert told[0].startswith("20 of 40 frames, from frame 0 on")
    said = result.provenance.operations[-1].arguments["unfamiliar"]
    assert said == {"limit": 1.0}


def test_a_model_that_cannot_tell_flags_nothing(clip, model) -> None:  # type: ignore[no-untyped-def]
    flagged, told, result = run(clip, model)
    assert not any(flagged)
    assert not told
    assert result.provenance.operations[-1].arguments["unfamiliar"] == "not told"


@pytest.mark.parametrize("wrong", ["axes", "known", "limit", "more"])
def test_numbers_that_do_not_fit_are_refused(model, wrong: str) -> None:  # type: ignore[no-untyped-def]
    numbers = by_brightness(1.0) | {wrong: np.zeros((3, 2), dtype=np.float32)}
    with pytest.raises(WeightsError, match="unknown pictures"):
        Familiar.of(Model(model.card, model.network, numbers))


def test_a_few_frames_are_no_notice() -> None:
    few = np.zeros(100, bool)
    few[7:11] = True
    assert notice_of(few, range(100)) is None
    few[11] = True
    assert "5 of 100 frames, from frame 14 on" in str(notice_of(few, range(0, 200, 2)))


def test_strong_colours_are_said() -> None:
    def source(share: float | None) -> SimpleNamespace:
        return SimpleNamespace(name="a.avi", metadata={} if share is None else {"coloured": share})

    assert colour_notice(source(None)) is None  # type: ignore[arg-type]
    assert colour_notice(source(0.005)) is None  # type: ignore[arg-type]
    assert "12% of the first picture of a.avi" in str(colour_notice(source(0.12)))  # type: ignore[arg-type]


def test_presence_weighs_features_of_the_compact_network_against_its_heat_map() -> None:
    torch.manual_seed(0)
    network = build("compact", channels=[4, 6, 8]).eval()
    with torch.inference_mode():
        output = network(torch.randn(3, 1, 32, 64))
        told = network.presence(output.features)[:, 0]
        evidence = output.heatmap.exp().mean(dim=(1, 2)).log()
    assert output.features.shape == (3, 16)
    torch.testing.assert_close(told + evidence, output.presence)


def test_what_is_no_ultrasound_at_all_is_given_no_position_unwarned() -> None:
    """A linear rule has no far side of its own, so the bundled numbers are held to it."""
    y, x = np.mgrid[:128, :256]
    flat = [np.zeros((128, 256)), np.full((128, 256), 255), x]
    flat += [((x // 16 + y // 16) % 2) * 255, ((y // 8) % 2) * 255]
    noise = list(np.random.default_rng(0).integers(0, 256, (8, 128, 256)))
    model = load_model("compact")
    familiar, card = Familiar.of(model), model.card
    assert familiar is not None
    output = OnnxBackend(model, Threads(1)).infer(np.array(flat + noise, np.uint8))
    size = {"height": card.input_height, "width": card.input_width}
    in_view = decode(output, card.decoding, tolerance_px=16, **size).in_view
    strange = familiar.strange(output.features)
    assert strange[: len(flat)].all()
    assert not (in_view & ~strange).any()  # noise is not always warned of, but called out of view
