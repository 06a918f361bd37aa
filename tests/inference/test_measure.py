"""How fast backends compute is measured, and the way that is pinned is the one that computes."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_networks import write_tiny

from napari_deepmtj.cli import app
from napari_deepmtj.inference.backends.base import BackendName
from napari_deepmtj.inference.backends.measure import PICTURES, measure
from napari_deepmtj.inference.backends.select import BACKEND_VARIABLE, open_backend
from napari_deepmtj.inference.backends.threads import THREADS_VARIABLE, threads_for
from napari_deepmtj.weights.store import load_model


def test_every_way_has_a_speed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    rates = list(measure(load_model(write_tiny(tmp_path)), seconds=0.01))
    ways = [(rate.backend, rate.threads, rate.pictures) for rate in rates]
    backends = (BackendName.TORCH, BackendName.ONNXRUNTIME)
    assert sorted(ways) == sorted((b, t, n) for b in backends for t in (1, 2) for n in PICTURES)
    assert all(rate.frames_per_s > 10 for rate in rates)


def test_the_command_says_how_to_pin_the_fastest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    path = write_tiny(tmp_path)
    app.main.__globals__["app"](["models", str(path), "--benchmark"], standalone_mode=False)
    out = capsys.readouterr().out
    assert "`auto` takes onnxruntime on the CPU, with 1 threads" in out
    pinned = out.split("fastest alone: ")[1].split(";")[0].split()
    for name, value in (part.split("=") for part in pinned):
        monkeypatch.setenv(name, value)
    assert {part.split("=")[0] for part in pinned} == {BACKEND_VARIABLE, THREADS_VARIABLE}
    chosen = open_backend(load_model(path), device="cpu").name
    assert f"{BACKEND_VARIABLE}={chosen}" in pinned
    assert f"{THREADS_VARIABLE}={threads_for('compact').threads}" in pinned
