"""Measure the network alone on every backend, beside eager torch, in one run.

    python benchmarks/backends.py --write

prints how many frames a second each network computes on one thread and on two, how many times as
many that is as eager torch, which share of the processor's matmul speed it uses, and what the gate
says of 8 bits; `--write` puts the tables into the docs. It takes less than four minutes on
two quiet cores. Published networks have random weights (seed 0), which changes no speed; of 8 bits
only their speed is measured then, because the gate needs trained weights: give those with --model.
"""

from __future__ import annotations

import argparse
import copy
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from markdown_tables import markdown, write_between
from napari_deepmtj.core.jobs import Notice
from napari_deepmtj.inference.backends import openvino as backends_openvino
from napari_deepmtj.inference.backends.cache import Export
from napari_deepmtj.inference.backends.select import BackendName, missing, open_backend
from napari_deepmtj.inference.backends.speed import processor, rates
from napari_deepmtj.inference.preprocess import normalise
from napari_deepmtj.networks.build import build
from napari_deepmtj.weights.cards import WeightCard
from napari_deepmtj.weights.store import Model, load_model

DOCUMENT = Path(__file__).parents[1] / "docs" / "explanation" / "backends.md"

#: Name: network, arguments, height and width of the input (P20 and P21).
PUBLISHED: dict[str, tuple[str, dict[str, object], tuple[int, int]]] = {
    "VGG16": ("vgg16", {}, (64, 128)),
    "ResNet50": ("resnet50", {}, (64, 128)),
    "VGG-Attention-2": ("vgg-attention", {"levels": 2}, (64, 128)),
    "VGG-Attention-3": ("vgg-attention", {"levels": 3}, (64, 128)),
    "attention U-Net": ("attention-unet", {}, (128, 256)),
}
#: Those measured unless asked; VGG-Attention-2 is VGG-Attention-3 less one of its maps.
USUAL = ["VGG16", "ResNet50", "VGG-Attention-3", "attention U-Net"]
EAGER = "eager torch"
#: Pictures that every backend computes in a turn; of a network of more GFLOP a picture, fewer.
PICTURES, LARGE, PICTURES_LARGE = 4, 10.0, 2
#: Pictures by which untrained networks are quantised.
OBSERVED = 2
SEED = 0


def published(name: str) -> Model:
    """Return a published network at its published size, with random weights."""
    network, arguments, (height, width) = PUBLISHED[name]
    torch.manual_seed(SEED)
    card = WeightCard(
        id=name,
        version="random weights",
        licence="BSD-3-Clause",
        network=network,
        network_arguments=arguments,
        input_height=height,
        input_width=width,
        normalisation="minus-one-one",
        trained_on="nothing",
        label_definition="none",
    )
    return Model(card, build(network, **arguments).eval())


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Give torch so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def eager(model: Model, pixels: np.ndarray, threads: int, together: int) -> Callable[[], int]:
    """What a user would write: the network as it is, so many pictures at a time."""
    network = copy.deepcopy(model.network).to(memory_format=torch.contiguous_format)

    def compute() -> int:
        with torch.inference_mode(), torch_threads(threads):
            for start in range(0, len(pixels), together):
                part = pixels[start : start + together]
                network(normalise(part, model.card.normalisation))
        return len(pixels)

    return compute


@lru_cache(maxsize=1)
def in_8_bit(name: str) -> Export:
    """Return a published network in 8 bit, quantised by noise: for its speed alone."""
    model = published(name)
    pixels = noise(model, OBSERVED)
    return backends_openvino.quantise(
        backends_openvino.exported(model), normalise(pixels, model.card.normalisation).numpy()
    )


def noise(model: Model, n: int) -> np.ndarray:
    """Return network inputs of noise, uint8 (n, H, W)."""
    size = (n, model.card.input_height, model.card.input_width)
    return np.random.default_rng(SEED).integers(0, 256, size, dtype=np.uint8)


def ready(model: Model, name: str, threads: int, gates: list[str]) -> Callable[..., object] | None:
    """Return `infer` of a backend that is ready, None if it is another than was asked for."""
    if name == BackendName.OPENVINO_INT8 and model.card.version == "random weights":
        small = in_8_bit(model.card.id)
        return backends_openvino.OpenVinoBackend(small, model, name, threads).infer
    job = open_backend(model, name, "cpu", threads=threads)
    while True:
        try:
            event = next(job)
        except StopIteration as end:
            return end.value.infer if end.value.name == name else None
        if isinstance(event, Notice) and "mean error" in event.message:
            gates.append(event.message)


def matmul_peak(threads: int, size: int = 1024) -> float:
    """Return GFLOP/s of the product of two float32 matrices."""
    a, b = torch.rand(2, size, size)

    def compute() -> int:
        with torch_threads(threads):
            torch.mm(a, b)
        return 1

    return rates({"": compute}, 1.0)[""] * 2 * size**3 / 1e9


def gflop(model: Model) -> float:
    """Return the floating-point operations of one picture, in 1e9; a multiply-add is two."""
    size = model.card.input_height, model.card.input_width
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model.network(torch.zeros(1, 1, *size))
    return counter.get_total_flops() / 1e9


def measure(
    model: Model, threads: int, names: list[str], seconds: float, gates: list[str]
) -> dict[str, float]:
    """Return pictures a second of a network on every backend, timed by turns."""
    pixels = noise(model, PICTURES if gflop(model) < LARGE else PICTURES_LARGE)
    computes = {f"{EAGER} {n}": eager(model, pixels, threads, n) for n in (1, len(pixels))}
    for name in names:
        infer = ready(model, name, threads, gates)
        if infer is not None:

            def compute(infer: Callable[..., object] = infer) -> int:
                infer(pixels)
                return len(pixels)

            computes[name] = compute
    found = rates(computes, seconds)
    both = [found.pop(name) for name in list(found) if name.startswith(EAGER)]
    return {EAGER: max(both), **found}


def main() -> None:
    """Measure, print, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", action="append", help="trained weights (default: compact)")
    parser.add_argument("--networks", nargs="*", default=USUAL, choices=list(PUBLISHED))
    parser.add_argument("--threads", nargs="*", type=int, default=[1, 2])
    parser.add_argument("--seconds", type=float, default=1.0, help="of timing, for each row")
    parser.add_argument("--write", action="store_true", help="put the tables into the document")
    options = parser.parse_args()
    began = time.perf_counter()
    names = [name.value for name in BackendName if name is not BackendName.AUTO]
    names = [name for name in names if not missing(BackendName(name))]
    models = [load_model(name) for name in options.model or ["compact"]]
    models += [published(name) for name in options.networks]
    gates: list[str] = []
    rows: list[list[str]] = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NAPARI_DEEPMTJ_CACHE"] = folder
        peaks = {threads: matmul_peak(threads) for threads in options.threads}
        for model in models:
            work = gflop(model)
            for threads in options.threads:
                found = measure(model, threads, names, options.seconds, gates)
                row = [model.card.id, f"{work:.2g}", str(threads), f"{found[EAGER]:.1f}"]
                for name in names:
                    if name in found:
                        share = found[name] * work / peaks[threads]
                        times = found[name] / found[EAGER]
                        row.append(f"{found[name]:.1f} ({times:.2f} x, {share:.0%})")
                    else:
                        row.append("refused by the gate")
                rows.append(row)
                seconds = time.perf_counter() - began
                print(f"{seconds:5.0f} s  " + "  ".join(row), file=sys.stderr, flush=True)
    head = ["network", "GFLOP a frame", "threads", f"{EAGER} (frames/s)", *names]
    told = ", ".join(f"{peak:.0f} GFLOP/s on {n}" for n, peak in peaks.items())
    text = "\n\n".join(
        [
            f"Measured on {processor()} ({torch.backends.cpu.get_cpu_capability()}; matmul of "
            f"float32: {told} thread{'s' * (max(peaks) > 1)}), torch {torch.__version__}. Frames/s "
            "of the network alone; in brackets, times eager torch in the same run (the faster of "
            "one and of several frames at a time), and the share of the matmul speed that is used. "
            "Published networks have random weights, so that their 8 bits passed no gate: they are "
            "timed only.",
            markdown(head, rows),
            *(f"Gate: {said}." for said in dict.fromkeys(gates)),
        ]
    )
    print(text)
    if options.write:
        write_between(DOCUMENT, "backends", text)


if __name__ == "__main__":
    main()
