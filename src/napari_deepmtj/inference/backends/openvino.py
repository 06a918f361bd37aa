"""OpenVINO on the CPU, in 32 bit and, where the gate lets it, in 8 bit (extra `fast-cpu`).

When 8 bits are good enough is `backends_gate`; where exports are kept, `backends_cache`.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Generator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from napari_deepmtj.core.jobs import Notice
from napari_deepmtj.inference.backends.cache import Export, kept_export
from napari_deepmtj.inference.backends.export import Flat, key_of, name_of, output_of, quietly
from napari_deepmtj.inference.backends.speed import Way, fastest_way, processor
from napari_deepmtj.inference.backends.torch_cpu import normalised, what
from napari_deepmtj.networks.interface import NetworkOutput

if TYPE_CHECKING:
    from napari_deepmtj.weights.store import Model

UInt8Array = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float32]

FP32, INT8 = "openvino", "openvino-int8"
_XML, _BIN = "model.xml", "model.bin"


def runtime() -> Any:
    """Import OpenVINO without its telemetry, which tells its maker of every import.

    A tool that sees clinical pictures reports nothing to anybody. OpenVINO and NNCF do without
    the package that reports where it is not installed, so it is made to look absent.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def version() -> str:
    """Return OpenVINO's version, "2026.4.1"."""
    return str(runtime().get_version()).split("-")[0]


class OpenVinoBackend:
    """A `Backend` that computes an export with OpenVINO.

    Parameters
    ----------
    export : Export
        As `exported` makes it.
    model : Model
        Whose export it is.
    name : str
        "openvino" or "openvino-int8".
    threads : int
        How many may be used.
    way : Way, optional
        How they are shared, and how many pictures go together; found by a probe by default.
    """

    device = "cpu"

    def __init__(
        self, export: Export, model: Model, name: str, threads: int, way: Way | None = None
    ) -> None:
        ov = runtime()
        self.name = name
        self._ov, self._threads = ov, threads
        self._names: list[str] = list(export.about["outputs"])
        self._normalisation = model.card.normalisation
        self._size = (model.card.input_height, model.card.input_width)
        with quietly(name):
            self._core = ov.Core()
            self._network = self._core.read_model(export.files[_XML], export.files[_BIN])
            self._way = way or fastest_way(
                {"name": name, "openvino": version(), **what(model)},
                threads,
                self._probe,
                sorted({1, threads}, reverse=True),
            )
            self._compiled = self._compile(self._way.threads, self._way.batch)
            self._queue = ov.AsyncInferQueue(self._compiled, self._way.threads)
        self.about: dict[str, Any] = {
            "name": name,
            "openvino": version(),
            "threads": threads,
            "streams": self._way.threads,
            "batch": self._way.batch,
        }
        if "gate" in export.about:
            self.about["gate"] = dict(export.about["gate"])

    def infer(
        self, pixels: UInt8Array, *, content: tuple[slice, slice] | None = None
    ) -> NetworkOutput:
        """Compute any number of pictures; see `Backend`.

        They are computed a batch at a time, as many batches side by side as there are streams.
        The last one is filled up with nothing, so that what comes of a picture does not depend on
        how many come with it.
        """
        inputs = normalised(pixels, self._normalisation, content).numpy()
        n, batch = len(inputs), self._way.batch
        results = [np.empty((n, *one.shape[1:]), np.float32) for one in self._compiled.outputs]

        def keep(request: Any, start: int) -> None:
            stop = min(start + batch, n)
            for place, result in enumerate(results):
                result[start:stop] = request.get_output_tensor(place).data[: stop - start]

        self._queue.set_callback(keep)
        for start in range(0, n, batch):
            part = inputs[start : start + batch]
            if len(part) < batch:
                part = np.concatenate([part, np.zeros((batch - len(part), *part.shape[1:]), "f4")])
            self._queue.start_async([part], userdata=start, share_inputs=True)
        self._queue.wait_all()
        return output_of(dict(zip(self._names, results, strict=True)))

    def _compile(self, streams: int, batch: int) -> Any:
        network = self._network.clone()
        network.reshape([batch, 1, *self._size])
        settings = {
            "INFERENCE_PRECISION_HINT": "f32",  # else bfloat16, where a processor has it
            "INFERENCE_NUM_THREADS": self._threads,
            "NUM_STREAMS": streams,
        }
        return self._core.compile_model(network, "CPU", settings)

    def _probe(self, streams: int, batch: int) -> Any:
        queue = self._ov.AsyncInferQueue(self._compile(streams, batch), streams)
        pictures = np.zeros((batch, 1, *self._size), np.float32)

        def compute() -> int:
            for _ in range(streams):
                queue.start_async([pictures], share_inputs=True)
            queue.wait_all()
            return streams * batch

        return compute


def open_openvino(
    model: Model, threads: int, *, int8: bool
) -> Generator[Notice, None, OpenVinoBackend]:
    """Return a backend, exporting the model where that was not done before.

    Yields
    ------
    Notice
        Of an export, of a damaged one, and of the gate's figures. 8 bits that the gate refuses
        are replaced by 32, and the notice says so.
    """
    plain = yield from kept_export(
        name_of(model, FP32),
        key_of(model, FP32, openvino=version()),
        lambda: exported(model),
        f"{model.card.id} is made ready for OpenVINO, once",
    )
    if not int8:
        return OpenVinoBackend(plain, model, FP32, threads)
    from napari_deepmtj.inference.backends import int8_gate as backends_gate

    small = yield from kept_export(
        name_of(model, INT8),
        key_of(
            model,
            INT8,
            openvino=version(),
            nncf=backends_gate.nncf_version(),
            processor=processor(),  # what 8 bits come to depends on its instructions
            pictures=backends_gate.sample_key(),
        ),
        lambda: quantised(model, plain, threads),
        f"{model.card.id} is made ready for 8 bits, once: phantom pictures are drawn, the network "
        "is quantised and its error measured; that takes some minutes",
    )
    gate = backends_gate.Gate(**small.about["gate"])
    yield Notice(f"{model.card.id}: {gate.said()}")
    if not gate.passed:
        return OpenVinoBackend(plain, model, FP32, threads)
    return OpenVinoBackend(small, model, INT8, threads)


def exported(model: Model) -> Export:
    """Return a model as OpenVINO reads it, in 32 bit, for any number of pictures."""
    ov = runtime()
    with quietly(FP32):
        flat = Flat(model)
        network = ov.convert_model(
            flat,
            example_input=torch.zeros(1, 1, *flat.size),
            input=[ov.PartialShape([-1, 1, *flat.size])],
        )
        return Export(_files(network), {"outputs": flat.names})


def quantised(model: Model, plain: Export, threads: int) -> Export:
    """Return a model in 8 bit with the gate's figures; without its files if they are too high."""
    from napari_deepmtj.inference.backends import int8_gate as backends_gate

    calibration, test = backends_gate.samples(model.card)
    small = quantise(plain, calibration.inputs(model.card.normalisation))
    way = Way(1, 1)
    gate = backends_gate.measured(
        model.card,
        test,
        OpenVinoBackend(plain, model, FP32, threads, way),
        OpenVinoBackend(small, model, INT8, threads, way),
    )
    files = small.files if gate.passed else {}
    return Export(files, {**plain.about, "gate": gate.to_json()})


def quantise(plain: Export, inputs: FloatArray) -> Export:
    """Return an export in 8 bit, whatever that does to its accuracy.

    Weights keep 7 bits: processors without 8-bit dot products (VNNI) add pairs of products in
    16 bits, which 8 would overflow.

    Parameters
    ----------
    plain : Export
        In 32 bit, as `exported` makes it.
    inputs : ndarray of float32, shape (n, 1, H, W)
        Pictures, normalised, in which the range of every layer's values is observed.
    """
    ov = runtime()
    with quietly(INT8), redirect_stdout(StringIO()):  # NNCF draws bars
        import nncf
        from nncf.quantization.advanced_parameters import (
            AdvancedQuantizationParameters,
            OverflowFix,
        )

        network = nncf.quantize(
            ov.Core().read_model(plain.files[_XML], plain.files[_BIN]),
            nncf.Dataset(inputs[:, None]),
            preset=nncf.QuantizationPreset.MIXED,
            target_device=nncf.TargetDevice.CPU,
            subset_size=len(inputs),
            advanced_parameters=AdvancedQuantizationParameters(overflow_fix=OverflowFix.ENABLE),
        )
        return Export(_files(network), plain.about)


def _files(network: Any) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory(prefix="napari-deepmtj-") as folder:
        path = Path(folder) / _XML
        runtime().save_model(network, path, compress_to_fp16=False)
        return {name: (Path(folder) / name).read_bytes() for name in (_XML, _BIN)}
