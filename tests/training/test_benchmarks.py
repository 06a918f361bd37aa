"""A slice of `benchmarks/overfit.py`."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
#: Seeds of the weights tried one after the other; rounding, and so one start, differs by processor.
STARTS = (77, 78, 79)


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def overfit() -> ModuleType:
    return load("overfit")


@pytest.fixture(scope="module")
def store(overfit: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> object:
    return overfit.frames(tmp_path_factory.mktemp("frames"))


@pytest.mark.parametrize(
    ("recipe", "width", "shrink"),
    [
        ("compact", 0.2, 1),
        ("paper-vgg16", 0.06, 1),
        ("paper-vgg-attention-2", 0.06, 2),
        ("paper-vgg-attention-3", 0.06, 2),
        ("tbme-attention-unet", 0.06, 2),
    ],
)
def test_a_narrow_network_learns_8_frames_by_heart(
    overfit: ModuleType, store: object, recipe: str, width: float, shrink: int
) -> None:
    """From one of three starts: a sigmoid driven to its end by the first steps learns no more."""
    reached = []
    for seed in STARTS:
        for outcome in overfit.overfit(recipe, width, store, 200, shrink, seed):
            if outcome.error_px < overfit.ENOUGH_PX:
                return
        reached.append(outcome.error_px)
    raise AssertionError(f"{recipe} stays at {reached} px")
